"""A bracket as it was shot, to matches of codes: aligned, without what moved, or refused in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdrgan.light.align import offset
from hdrgan.light.response_fit import CODES, CalibrationError, Match, Shot, match, pairs

_LEAST_RANGE = 0.8  # stops between the darkest and the brightest shot
_LEAST_OVERLAP = 0.5  # of a side that aligned shots must share
_SAME_SCENE = 0.6  # rank correlation of codes, from which on two shots show the same scene
_WINDOW = 9  # pixels: side of the square in which motion is looked for
_MOVED = 5.0  # codes by which the mean of such a square may be off, and
_MOVED_OF_SPREAD = 4.0  # times the usual difference of all squares
_NEIGHBOURS = 2  # brighter shots that each shot is compared with


@dataclass(frozen=True)
class Bracket:
    """Shots of one still scene.

    Args:
        pictures: (H, W, 3) uint8, all of one size.
        evs: stops of each; only differences count.
        names: what to call them.
    """

    pictures: Sequence[np.ndarray]
    evs: Sequence[float]
    names: Sequence[str]


def matches_of(bracket: Bracket) -> list[Match]:
    """Align the shots, leave out what moved, and match the codes of each pair; indices are those of the bracket.

    Raises:
        CalibrationError: one shot or one exposure, shots of different sizes, exposures that contradict the pictures,
            different scenes, or nothing that is exposed well in two of them.
    """
    _check_exposures(bracket)
    order = sorted(range(len(bracket.evs)), key=lambda k: bracket.evs[k])
    _check_order(bracket, order)
    shots = _aligned([bracket.pictures[k] for k in order], [bracket.names[k] for k in order])
    evs = [bracket.evs[k] for k in order]
    _check_scene(shots, [bracket.names[k] for k in order])
    found = []
    codes = [Shot.of(shot) for shot in shots]
    for darker, brighter in pairs(evs):
        matched = match(codes[darker], codes[brighter])
        if matched is None:
            continue
        still = _still(codes[darker], codes[brighter], *matched[:2])
        matched = match(codes[darker], codes[brighter], still)
        if matched is not None:
            found.append(Match(order[darker], order[brighter], *matched))
    if not found:
        raise CalibrationError(
            "No two shots share pixels that are neither black nor clipped; shoot the bracket in steps of one or two "
            "stops, around an exposure that shows most of the scene."
        )
    return found


def _check_exposures(bracket: Bracket) -> None:
    if len(bracket.pictures) < 2:
        raise CalibrationError("A bracket is two or more shots of one scene; give more shots.")
    if len({picture.shape for picture in bracket.pictures}) > 1:
        listed = ", ".join(
            f"{n} {p.shape[1]} x {p.shape[0]}" for n, p in zip(bracket.names, bracket.pictures, strict=True)
        )
        raise CalibrationError(f"The shots have different sizes ({listed}); give those of one bracket.")
    if max(bracket.evs) - min(bracket.evs) < _LEAST_RANGE:
        raise CalibrationError(
            "All shots have the same exposure; shoot a bracket: one scene, in steps of one or two stops."
        )


def _check_order(bracket: Bracket, order: Sequence[int]) -> None:
    """Refuse exposures that grow while the picture gets darker."""
    levels = [float(picture.mean()) for picture in bracket.pictures]
    for place, brighter in enumerate(order):
        for darker in order[:place]:
            stops = bracket.evs[brighter] - bracket.evs[darker]
            if stops > 0.5 and levels[brighter] < levels[darker] - 1:
                raise CalibrationError(
                    f"{bracket.names[brighter]} was exposed {stops:.1f} stops more than {bracket.names[darker]} by "
                    "what its file or your list says, and is darker; correct the exposures, or leave that shot out."
                )


def _aligned(shots: Sequence[np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
    """The part that all shots share, each shifted onto the one in the middle."""
    height, width = shots[0].shape[:2]
    grey = [shot.mean(-1).astype(np.uint8) for shot in shots]
    middle = len(shots) // 2
    places = {middle: (0, 0)}
    for step in (1, -1):
        for k in range(middle + step, len(shots) if step > 0 else -1, step):
            down, right = offset(grey[k], grey[k - step], most=max(8, max(height, width) // 24))
            places[k] = down + places[k - step][0], right + places[k - step][1]
    top, bottom = max(0, *(p[0] for p in places.values())), height + min(0, *(p[0] for p in places.values()))
    left, right_end = max(0, *(p[1] for p in places.values())), width + min(0, *(p[1] for p in places.values()))
    if bottom - top < _LEAST_OVERLAP * height or right_end - left < _LEAST_OVERLAP * width:
        raise CalibrationError(f"{names[0]} and the other shots cannot be brought onto one another; use a tripod.")
    return [
        np.ascontiguousarray(
            shot[top - places[k][0] : bottom - places[k][0], left - places[k][1] : right_end - places[k][1]]
        )
        for k, shot in enumerate(shots)
    ]


def _check_scene(shots: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Refuse shots that do not show what the others show: where these are bright, it should be bright.

    Shots of neighbouring exposures are compared; two that share too little to be compared are taken for one scene.
    """
    scene = list(range(len(shots)))  # number of the scene that each shot belongs to
    for k, one in enumerate(shots):
        for j in range(k + 1, min(k + 1 + _NEIGHBOURS, len(shots))):
            alike = _alike(one, shots[j])
            if alike is None or alike >= _SAME_SCENE:
                scene = [scene[k] if number == scene[j] else number for number in scene]
    if len(set(scene)) > 1:
        smallest = min(set(scene), key=scene.count)
        others = ", ".join(name for name, number in zip(names, scene, strict=True) if number == smallest)
        raise CalibrationError(
            f"Of these shots, {others} does not show the scene that the others show; give the shots of one bracket, "
            "a folder for each."
        )


def _alike(a: np.ndarray, b: np.ndarray) -> float | None:
    """Rank correlation of two shots where neither is black or clipped; None where there is too little of that."""
    a, b = (shot[::3, ::3].mean(-1) for shot in (a, b))
    usable = (np.minimum(a, b) > 6) & (np.maximum(a, b) < 249)
    if np.count_nonzero(usable) < max(200, 0.02 * usable.size):
        return None
    ranks = [np.argsort(np.argsort(shot[usable])).astype(float) for shot in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _still(darker: Shot, brighter: Shot, codes_darker: np.ndarray, codes_brighter: np.ndarray) -> np.ndarray:
    """Where the brighter shot is what the darker one becomes by the map of codes: (H, W) boolean."""
    # Along the map a moved edge is as far off as it is wide; across the steep dark end noise would be taken for it.
    table = np.interp(np.arange(766) / 3, codes_darker, codes_brighter)
    off = table[darker.total] - brighter.total / 3
    off[(brighter.highest > 250) | (darker.lowest < 4)] = 0
    means = np.abs(_squares(off))
    usual = float(np.median(means[means > 0])) if (means > 0).any() else 0.0
    moved = means > max(_MOVED, _MOVED_OF_SPREAD * usual)
    return _squares(moved.astype(float)) < 1e-6  # and its neighbours


def _squares(values: np.ndarray) -> np.ndarray:
    """Means over squares around every pixel; (H, W)."""
    half = _WINDOW // 2
    padded = np.pad(values, ((half + 1, half), (half + 1, half)), mode="edge")
    sums = padded.cumsum(0).cumsum(1)
    total = (
        sums[_WINDOW:, _WINDOW:] - sums[:-_WINDOW, _WINDOW:] - sums[_WINDOW:, :-_WINDOW] + sums[:-_WINDOW, :-_WINDOW]
    )
    return np.asarray(total / _WINDOW**2)


def seen_codes(matches: Sequence[Match]) -> np.ndarray:
    """(256,) boolean: which codes some match speaks of."""
    seen = np.zeros(256, bool)
    for one in matches:
        for codes in (one.codes_darker, one.codes_brighter):
            seen |= (CODES >= np.floor(codes.min())) & (CODES <= np.ceil(codes.max()))
    return seen
