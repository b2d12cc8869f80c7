"""The order of samples: independent of the number of processes, and resumable in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class SampleStream(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) for one process out of an endless, shuffled row of samples.

    Sample number p is item ``permutation(p // length)[p % length]``, in every process. A global batch is the next
    ``batch_size * processes * accumulation`` samples; processes take turns in it. So the global batch decides the
    result and not how many processes share it, epochs need not be whole batches, and a run that goes on at sample p
    sees what an uninterrupted one would have seen.

    Args:
        length: items in the data set.
        batch_size: samples of one process in one forward pass.
        seed: of the shuffling.
        start: first sample, a multiple of ``batch_size * processes``.
        stop: sample to end before.
        rank: number of this process.
        processes: how many there are.
    """

    def __init__(
        self, length: int, *, batch_size: int, seed: int, start: int, stop: int, rank: int = 0, processes: int = 1
    ):
        if length < 1 or batch_size < 1:
            raise ValueError(f"length and batch_size must be at least 1, got {length} and {batch_size}")
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.start, self.stop, self.rank, self.processes = start, stop, rank, processes
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def sample(self, position: int) -> tuple[int, int]:
        """Epoch and index of the item at a position."""
        epoch, place = divmod(position, self.length)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, np.random.default_rng((self.seed, epoch)).permutation(self.length)
        return epoch, int(self._order[place])

    def __len__(self) -> int:
        """Batches of this process; every process has as many."""
        share = self.batch_size * self.processes
        return -(-max(0, self.stop - self.start) // share)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first = self.start + self.rank * self.batch_size
        for batch in range(len(self)):
            position = first + batch * self.batch_size * self.processes
            yield [self.sample(p) for p in range(position, position + self.batch_size)]
