"""A folder of exposure stacks as real brackets: which shots are scored, and against which others of their stack.

A stack is a folder of 3 to 30 photos of one scene whose EXIF states their exposures. Of each stack at most two shots
are scored: those of whose pixels 1 to 35 % clip, and that have partners 2 or 4 stops away. Nothing is written into it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from hdrgan.data.layout import DatasetError, Fault, visible
from hdrgan.evaluation.real_brackets import RealBracket
from hdrgan.files import colour
from hdrgan.files.exif import SOFTWARE
from hdrgan.files.photo import PhotoError, load_photo
from hdrgan.files.stack import exposure_of, pictures_in
from hdrgan.light.srgb import srgb_response

_EVS = (-4, -2, 2, 4)
_NEAR = 0.25  # stops that a partner may be off
_SHOTS = (3, 30)
_OF_ONE_STACK = 2
_LONG_SIDE = 768  # pixels, at which shots are scored
_CLIPPED, _DARK = 250, 8  # codes of the largest channel, from which and up to which a pixel counts
_CLIPPED_SHARE, _MOST_DARK = (0.01, 0.35), 0.5
_BRIGHTER = 1.25  # times as bright at least, as a picture, is a shot of two stops more
_USUAL = 0.42  # mean code of a well-exposed photo
_LINEAR = srgb_response()


class _NoStackError(ValueError):
    """Why a folder is no stack that can be scored, as the end of a sentence."""


@dataclass(frozen=True)
class _Shot:
    """One shot, reduced: a JPEG, its exposure in stops, mean light, mean code, and how much of it clips and is dark."""

    name: str
    jpeg: bytes
    size: tuple[int, int]
    ev: float
    light: float
    mean: float
    clipped: float
    dark: float


@dataclass(frozen=True)
class ScoredShot:
    """A shot that is scored: its title, itself, the shots that it is scored against by EV, and its whole stack."""

    title: str
    shot: _Shot
    partners: Mapping[int, _Shot]
    stack: Sequence[_Shot]

    def read(self) -> RealBracket:
        """The pictures."""
        photos = {one.name: load_photo(one.jpeg) for one in self.stack}
        others = {float(ev): photos[self.partners[ev].name] for ev in sorted(self.partners)}
        stack = [(one.ev, photos[one.name]) for one in self.stack]
        return RealBracket(self.title, photos[self.shot.name], others, stack)


def stack_folders(root: Path) -> list[Path]:
    """A folder and those within it, as far as they hold photos; none are hidden."""
    if not root.is_dir():
        return []
    within = (path for path in sorted(root.rglob("*")) if path.is_dir())
    shown = (path for path in within if all(visible(part) for part in (path, *path.relative_to(root).parents)[:-1]))
    return [path for path in (root, *shown) if pictures_in(path)]


def choose_shots(root: Path, limit: int | None) -> tuple[list[ScoredShot], list[Fault]]:
    """The shots of a folder of stacks that are scored, and why folders of photos are left out.

    Raises:
        DatasetError: no folder is a stack that can be scored; it names each with the reason.
    """
    chosen: list[ScoredShot] = []
    faults: list[Fault] = []
    for folder in stack_folders(root):
        name = folder.relative_to(root).as_posix() if folder != root else root.resolve().name
        try:
            chosen += _scored(name, _read(pictures_in(folder)))
        except _NoStackError as error:
            faults.append(Fault(name, str(error)))
        if limit is not None and len(chosen) >= limit:
            break
    if not chosen:
        raise DatasetError(f"{root} holds no exposure stack that can be scored", faults)
    return chosen[:limit], faults


def _read(paths: Sequence[Path]) -> list[_Shot]:
    if not _SHOTS[0] <= len(paths) <= _SHOTS[1]:
        raise _NoStackError(f"it holds {len(paths)} photos, and a stack has {_SHOTS[0]} to {_SHOTS[1]}")
    shots = []
    for path in paths:
        try:
            photo = load_photo(path)
        except PhotoError as error:
            raise _NoStackError(f"{path.name}: {error}") from error
        ev = exposure_of(photo.exif)
        if ev is None or photo.exif is None:
            raise _NoStackError(f"the EXIF of {path.name} states no exposure time")
        if str(photo.exif.get(SOFTWARE) or "").startswith("hdrgan"):
            raise _NoStackError(f"{path.name} was written by hdrgan, and no camera took it")
        picture = Image.fromarray(colour.to_8_bits(photo.pixels))
        picture.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
        codes, stream = np.asarray(picture), io.BytesIO()
        picture.save(stream, "JPEG", quality=95, subsampling=0)
        largest = codes.max(-1)
        shares = float((largest >= _CLIPPED).mean()), float((largest <= _DARK).mean())
        levels = float(_LINEAR[codes].mean()), float(codes.mean()) / 255
        shots.append(_Shot(path.name, stream.getvalue(), picture.size, ev, *levels, *shares))
    if len({shot.size for shot in shots}) > 1:
        raise _NoStackError("its photos have different sizes")
    return sorted(shots, key=lambda shot: shot.ev)


def _scored(stack: str, shots: Sequence[_Shot]) -> Iterator[ScoredShot]:
    """At most two shots of a stack: those with the most partners, then the best exposed."""
    found: list[tuple[_Shot, dict[int, _Shot]]] = []
    contradicted = False
    for shot in shots:
        nearest = {ev: min(shots, key=lambda one, ev=ev: abs(one.ev - shot.ev - ev)) for ev in _EVS}  # type: ignore[misc]
        partners = {ev: one for ev, one in nearest.items() if one is not shot and abs(one.ev - shot.ev - ev) <= _NEAR}
        if len(partners) < 2 or min(partners) > 0:
            continue
        if not (_CLIPPED_SHARE[0] <= shot.clipped <= _CLIPPED_SHARE[1] and shot.dark < _MOST_DARK):
            continue
        by_ev = sorted((partners | {0: shot}).items())
        if any(brighter.light < _BRIGHTER * darker.light for (_, darker), (_, brighter) in pairwise(by_ev)):
            contradicted = True
            continue
        found.append((shot, partners))
    if not found:
        raise _NoStackError(
            "the exposures that its EXIF states are not those of its pictures"
            if contradicted
            else "no shot of whose pixels 1 to 35 % clip has two others 2 or 4 stops away, one of them darker"
        )
    found.sort(key=lambda one: (-len(one[1]), abs(one[0].mean - _USUAL), one[0].name))
    for shot, partners in found[:_OF_ONE_STACK]:
        yield ScoredShot(f"{stack}/{Path(shot.name).stem}", shot, partners, shots)
