"""Photos that ``recipes.pack_light`` packed, held where they are learnt from."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.pack_light import WHITE


class Packed:
    """Packed photos, of training or held out, on a device.

    Args:
        folder: what ``recipes.pack_light`` writes; files that are added later are read by `grow`.
        held_out: which of the two.
        device: where batches are wanted, and on a graphics card also where photos are held.
        most: photos that are held; those that come later are left out.
        kinds: of files to read: "scenes", "photos".
    """

    def __init__(
        self,
        folder: Path,
        held_out: bool,
        device: torch.device,
        most: int,
        kinds: Collection[str] = ("scenes", "photos"),
    ):
        self.kinds = kinds
        self.folder, self.held_out, self.device, self.most = folder, held_out, device, most
        self.is_photo, self.lost = np.empty(0, bool), np.empty(0, np.float32)
        self._seen: set[Path] = set()
        self._blocks: list[tuple[Tensor, ...]] = []
        self._block_of, self._place_of = np.empty(0, int), np.empty(0, int)
        self._read: queue.Queue[tuple[bool, dict[str, np.ndarray]]] = queue.Queue(2)
        while self._read_new():
            self.grow()

    def __len__(self) -> int:
        return len(self.lost)

    def _read_new(self) -> bool:
        """Read the next file that has not been read; whether there was one."""
        for file in sorted(set(self.folder.glob("*.npz")) - self._seen, key=lambda file: file.stat().st_mtime):
            self._seen.add(file)
            if file.name.split("-")[0] not in self.kinds:
                continue
            with np.load(file) as read:
                chosen = read["held_out"] == self.held_out
                columns = {name: read[name][chosen] for name in ("srgb", "light", "known", "curve", "lost")}
            self._read.put((file.name.startswith("photos"), columns))
            return True
        return False

    def watch(self) -> None:
        """Read files as they come, in a thread of its own, until enough are held."""

        def read() -> None:
            while len(self) < self.most:
                if not self._read_new():
                    time.sleep(1)

        threading.Thread(target=read, daemon=True).start()

    def grow(self) -> bool:
        """Take in one file that was read; whether there was one."""
        try:
            photos, columns = self._read.get_nowait()
        except queue.Empty:
            return False
        count = min(len(columns["lost"]), self.most - len(self))
        held = self.device if self.device.type == "cuda" else torch.device("cpu")
        self._blocks.append(
            tuple(torch.from_numpy(columns[name][:count]).to(held) for name in ("srgb", "light", "known", "curve"))
        )
        self._block_of = np.append(self._block_of, np.full(count, len(self._blocks) - 1))
        self._place_of = np.append(self._place_of, np.arange(count))
        self.is_photo = np.append(self.is_photo, np.full(count, photos))
        self.lost = np.append(self.lost, columns["lost"][:count])
        return True

    def items(self, chosen: np.ndarray) -> tuple[Tensor, ...]:
        """What is packed of photos (B,): srgb (B, S, S, 3), light (B, S, S, 3), known (B, S, S), curve (B, 256)."""
        places = zip(self._block_of[chosen], self._place_of[chosen], strict=True)
        found = zip(*([column[place] for column in self._blocks[block]] for block, place in places), strict=True)
        return tuple(torch.stack(column).to(self.device) for column in found)

    def batch(self, chosen: np.ndarray, mirrored: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """srgb (B, 3, S, S) and linear light (B, 3, S, S), 1.0 = white both, known (B, 1, S, S), float32."""
        srgb, light, known, _ = self.items(chosen)
        srgb, light = srgb.permute(0, 3, 1, 2).float() / 255, light.permute(0, 3, 1, 2).float() / WHITE
        known = known[:, None].float()
        if mirrored:
            srgb, light, known = srgb.flip(3), light.flip(3), known.flip(3)
        return srgb.contiguous(), light.contiguous(), known.contiguous()
