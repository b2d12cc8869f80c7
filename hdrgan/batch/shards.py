"""Which part of a batch this process does, by the environment of the launcher that started it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """One of several processes that share a batch.

    Args:
        rank: 0 to ``world`` - 1.
        world: how many there are.
        local: number of this process on its machine, which chooses its graphics card; None where nothing says it.
        launched: whether one engine started all of them at once, so that they can wait for one another.
    """

    rank: int = 0
    world: int = 1
    local: int | None = None
    launched: bool = False

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``"3/64"`` is the third of 64.

        Raises:
            ValueError: it is something else.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"--shard must be a number and how many there are, such as 3/64, got {text!r}")
        return cls(int(match[1]) - 1, int(match[2]))

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Shard:
        """What torchrun, ``accelerate launch`` (RANK, WORLD_SIZE, LOCAL_RANK) or srun state; else the whole batch.

        A script given to sbatch runs once, whatever number of tasks was asked for; what srun starts within it knows
        the number of its step.
        """

        def number(name: str) -> int | None:
            text = environment.get(name, "")
            return int(text) if text.isdecimal() else None

        slurm_tasks = number("SLURM_STEP_NUM_TASKS")
        if slurm_tasks is None and "SLURM_JOB_ID" not in environment:
            slurm_tasks = number("SLURM_NTASKS")
        for rank, world, local in (
            (number("RANK"), number("WORLD_SIZE"), number("LOCAL_RANK")),
            (number("SLURM_PROCID"), slurm_tasks, number("SLURM_LOCALID")),
        ):
            if rank is not None and world is not None and rank < world:
                return cls(rank, world, local, launched=world > 1)
        return cls()

    @property
    def tells(self) -> bool:
        """Whether it says how far it is and how it went: of processes that were launched together, the first alone."""
        return self.rank == 0 or not self.launched

    def __str__(self) -> str:
        return f"{self.rank + 1}-of-{self.world}"
