"""The response of a camera from brackets of still scenes: Debevec and Malik's problem, solved by quantiles and a prior.

Two shots of one scene say which code of the darker one becomes which code of the brighter one. That map is read off the
quantiles of the same pixels, not pixel by pixel: the noise of single pixels then cancels instead of bending the curve
(Grossberg and Nayar, "What can be known about the radiometric response from images?", 2002). The response is the mean
of measured cameras times a deviation, in stops:

    log2 light(code) = log2 mean(code) + deviation(code),   deviation(255) = 0
    log2 light(code of the brighter) - log2 light(code of the darker) = stops between the two

The deviation is the most probable one under what is known of cameras: their two shapes (`camera_shapes`), how much
light lies between the last codes and white, and a smooth rest. Each exposure may be off by a little; a common trend of
those errors cannot be told from a gamma and is kept at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hdrgan.light.response import camera_shapes, mean_camera

CODES = np.arange(256.0)
_FIRST, _LAST = 4, 250  # codes outside are noise or clipping in most shots
_FEWEST = 500  # pixels that a pair must share
_GREYISH = (4.0, 0.16)  # codes between the channels of what counts as greyish, and more in proportion to the code
_GREY = (2.0, 0.03)  # the same of what counts as grey, near white
_ENOUGH_GREYISH = 0.1  # share of the pixels from which on these alone are used
_MASS = 20  # pixels within one code of a code that is used
_FULL_MASS = 60  # from which on more pixels say nothing more
_FURTHEST = 4.6  # stops between the two shots of a pair
_NEAREST = 0.25
_PARTNERS = 6  # brighter shots that each shot is matched with, at most

_REST = 0.25  # stops: one standard deviation of the rest that the shapes of cameras leave
_REACH = 30.0  # how far along sqrt(255 code) that rest is alike
_TIME_ERROR = 0.03  # stops: one standard deviation of what an exposure may be off
_MATCH_ERROR = 0.03  # stops: of a match, from flare and light that changes
_CODE_ERROR = 0.7  # codes: of a match, from rounding and compression
_ALIKE = 8.0  # matches of neighbouring codes that are worth one
_KNOTS = np.unique(
    np.r_[0, 2, 4, 7, 10, 14, 19, 25, 32, 40, 49, 59, np.arange(70, 246, 11), 246, 249, 251, 253, 254, 255]
).astype(float)
_WHITE = 0.3  # stops: two standard deviations, among measured cameras, of the light between `_NEAR_WHITE` and white
_WHITE_REST = 0.08  # stops: the same of what that shape leaves
_NEAR_WHITE = 246.0  # code from which on JPEG mixes clipped pixels with others
_SMOOTH = 0.65  # how much the last code is expected to go on as those before
_HIGHEST = 254.3  # median code up to which half of the pixels did not clip
_ROUNDS = 8
_STRAY = 1.5  # standard deviations from which on a match counts less


class CalibrationError(ValueError):
    """A bracket that no response can be read from; the message is one plain sentence: what is wrong and what to do."""


@dataclass(frozen=True)
class Match:
    """What two shots of one scene say: which code of the darker one is which code of the brighter one.

    Args:
        darker, brighter: indices of the shots.
        codes_darker, codes_brighter: (K,) codes, 0 to 255, not necessarily whole.
        weight: (K,) up to 1, by how many pixels there are.
    """

    darker: int
    brighter: int
    codes_darker: np.ndarray
    codes_brighter: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Fit:
    """A response and how well it explains the matches that it was fitted to.

    Args:
        response: (256,) float64 linear values of the codes, ascending from 0 to 1.
        time_errors: (N,) stops that each shot got more than its exposure says.
        deviations: (2,) standard deviations from the mean camera along `camera_shapes`.
        error: RMS difference in stops between what the response says and the exposures.
    """

    response: np.ndarray
    time_errors: np.ndarray
    deviations: np.ndarray
    error: float


class Shot(NamedTuple):
    """What is asked of the pixels of a shot, (H, W) each: sum of the three codes, the lowest and the highest."""

    total: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray) -> Shot:
        """Of (H, W, 3) uint8."""
        red, green, blue = (np.ascontiguousarray(picture[..., channel]) for channel in range(3))
        total = red.astype(np.int32)
        total += green
        total += blue
        lowest, highest = (f(f(red, green), blue) for f in (np.minimum, np.maximum))
        return cls(total, lowest, highest)


def pairs(evs: Sequence[float]) -> list[tuple[int, int]]:
    """Indices (darker, brighter) of the shots that are worth matching."""
    found = []
    for darker, ev in enumerate(evs):
        further = [k for k, other in enumerate(evs) if _NEAREST <= other - ev <= _FURTHEST]
        further.sort(key=lambda k: evs[k])
        chosen = sorted({round(k) for k in np.linspace(0, len(further) - 1, _PARTNERS)}) if further else []
        found += [(darker, further[k]) for k in chosen]
    return found


def match(darker: Shot, brighter: Shot, still: np.ndarray | None = None) -> tuple[np.ndarray, ...] | None:
    """Match the codes of two aligned shots by the quantiles of the pixels that are good in both.

    Channels are averaged first, and greyish pixels are preferred: a camera mixes channels after its curve, so that
    those of a saturated colour make light look closer together than it is.

    Args:
        darker, brighter: aligned.
        still: (H, W) boolean; False where something moved.

    Returns:
        ``codes_darker``, ``codes_brighter`` and ``weight`` of a `Match`, or None where the two share too little.
    """
    exposed = darker.lowest >= _FIRST
    if still is not None:
        exposed &= still
    unclipped = brighter.highest <= _LAST
    spread = (darker.highest - darker.lowest).astype(np.float32)
    greyish = exposed & (spread <= _GREYISH[0] + np.float32(_GREYISH[1] / 3) * darker.total)
    enough = max(_FEWEST, _ENOUGH_GREYISH * np.count_nonzero(exposed & unclipped))
    near_white = np.count_nonzero(greyish & unclipped) >= enough
    # Where a coloured pixel clips in one channel alone, its mean says nothing.
    usable = greyish if near_white else exposed & unclipped
    sums = [shot.total[usable] for shot in (darker, brighter)]
    if near_white:
        found = _by_quantiles(sums[0], sums[1], 3, np.arange(_FIRST, _NEAR_WHITE, 2.0))
        # Where one channel clips before the others, their mean falls behind the light.
        grey = spread[usable] <= _GREY[0] + np.float32(_GREY[1] / 3) * sums[0]
        found = tuple(np.r_[a, b] for a, b in zip(found, _by_medians(sums[0][grey], sums[1][grey], 3), strict=True))
    else:
        found = _by_quantiles(sums[0], sums[1], 3, np.arange(_FIRST, _LAST + 1, 2.0))
    return found if len(found[0]) >= 3 else None


def _by_quantiles(
    darker: np.ndarray, brighter: np.ndarray, steps: int, codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which value of ``darker`` has the share of pixels below it that ``codes`` have in ``brighter``; with weights.

    Both hold whole numbers of ``1 / steps`` codes.
    """
    total = len(darker)
    if total < _FEWEST:
        return (np.empty(0),) * 3
    levels = 255 * steps + 1
    edges = (np.arange(levels + 1) - 0.5) / steps
    below_dark, below_bright = (
        np.r_[0, np.cumsum(np.bincount(values, minlength=levels))] / total for values in (darker, brighter)
    )
    share = np.interp(codes, edges, below_bright)
    mass = total * (np.interp(codes + 1.5, edges, below_bright) - np.interp(codes - 1.5, edges, below_bright))
    rising = np.r_[True, np.diff(below_dark) > 0]
    origins = np.interp(share, below_dark[rising], edges[rising])
    # The outermost pixels were chosen by their own noise.
    good = (share > 0.005) & (share < 0.995) & (mass > _MASS) & (origins >= _FIRST)
    return origins[good], codes[good], np.minimum(1.0, mass[good] / _FULL_MASS)


def _by_medians(darker: np.ndarray, brighter: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which code near white half of the pixels of a code of ``darker`` have or exceed; with weights.

    Clipped pixels that compression made darker would count as pixels that did not clip, and quantiles would take white
    for nearer than it is. A median does not ask how far a pixel is off.
    """
    first = int(_NEAR_WHITE) * steps
    codes = darker // steps
    high = 255 * steps - first + 1
    at = codes * (high + 1) + (brighter - first + 1).clip(0, high)
    counts = np.bincount(at, minlength=256 * (high + 1)).reshape(256, high + 1)
    below = counts.cumsum(1)
    mass = below[:, -1]
    origins, medians = [], []
    for code in np.flatnonzero((mass > _MASS) & (np.arange(256) >= _FIRST)):
        median = first - 1 + float(np.interp(0.5 * mass[code], below[code], np.arange(high + 1) + 0.5))
        if _NEAR_WHITE <= median / steps <= _HIGHEST:
            origins.append(code + (steps - 1) / 2 / steps)
            medians.append(median / steps)
    share = np.minimum(1.0, mass[[int(origin) for origin in origins]] / _FULL_MASS) if origins else np.empty(0)
    return np.array(origins), np.array(medians), share


def fit(
    matches: Sequence[Match],
    evs: Sequence[float],
    stack_of: Sequence[int] | None = None,
    time_error: float = _TIME_ERROR,
) -> Fit:
    """The response that explains the matches, by robust least squares.

    Args:
        matches: of all shots of all stacks.
        evs: (N,) stops of each shot.
        stack_of: (N,) number of the stack that each shot belongs to; None where there is one.
        time_error: stops, one standard deviation of what an exposure may be off.

    Raises:
        CalibrationError: without any match.
    """
    if not matches:
        raise CalibrationError("No two shots of the bracket share pixels that are neither black nor clipped.")
    exposures = np.asarray(evs, float)
    shapes = np.vstack([camera_shapes(), _white_shape()])
    shots, first, knots = len(exposures), len(shapes), len(_KNOTS)
    mean = np.log2(np.maximum(mean_camera(), 2.0**-20))
    slope = np.gradient(mean).clip(0, 0.6)  # stops a code
    rows, wanted, weights = [], [], []
    for one in matches:
        low, high = one.codes_darker, one.codes_brighter
        by_shape = np.stack([np.interp(high, CODES, s) - np.interp(low, CODES, s) for s in shapes], 1)
        by_shot = np.zeros((len(low), shots))
        by_shot[:, one.darker], by_shot[:, one.brighter] = 1, -1
        rows.append(np.hstack([by_shape, _between_knots(high) - _between_knots(low), by_shot]))
        stops = exposures[one.brighter] - exposures[one.darker]
        wanted.append(stops - (np.interp(high, CODES, mean) - np.interp(low, CODES, mean)))
        slopes = np.interp(high, CODES, slope) ** 2 + np.interp(low, CODES, slope) ** 2
        weights.append(one.weight / (_MATCH_ERROR**2 + _CODE_ERROR**2 * slopes))
    matrix, target, certainty = np.vstack(rows), np.hstack(wanted), np.hstack(weights)
    prior = _prior(exposures, np.zeros(shots, int) if stack_of is None else np.asarray(stack_of), first, time_error)
    trust = np.ones(len(target))
    solution = np.zeros(matrix.shape[1])
    for _ in range(_ROUNDS):
        weighted = matrix * (trust * certainty / _ALIKE)[:, None]
        solution = np.linalg.solve(matrix.T @ weighted + prior, weighted.T @ target)
        stray = np.abs(target - matrix @ solution) * np.sqrt(certainty)
        trust = 1 / np.maximum(1, stray / _STRAY)
    deviation = solution[:first] @ shapes + np.interp(CODES, _KNOTS, solution[first : first + knots])
    response = _up_to_white(np.exp2(mean + deviation - deviation[-1]))
    response[0] = 0
    response = np.maximum.accumulate(response.clip(0, 1))
    response[-1] = 1
    return Fit(response, solution[first + knots :], solution[:2], error_of(response, matches, exposures))


def error_of(response: np.ndarray, matches: Sequence[Match], evs: Sequence[float] | np.ndarray) -> float:
    """RMS difference in stops between what a response says of matched codes and what the exposures say."""
    logs = np.log2(np.maximum(response, 2.0**-20))
    squares, total = 0.0, 0.0
    for one in matches:
        stops = np.interp(one.codes_brighter, CODES, logs) - np.interp(one.codes_darker, CODES, logs)
        # In the dark a single code is a third of a stop: no response is to blame for that.
        weight = one.weight * (one.codes_darker >= 16)
        squares += float(weight @ (stops - (evs[one.brighter] - evs[one.darker])) ** 2)
        total += float(weight.sum())
    return float(np.sqrt(squares / total)) if total else float("nan")


def _up_to_white(response: np.ndarray) -> np.ndarray:
    """A response whose white follows from the codes below it, in which (256,) light of any scale ascends.

    No shot tells how much light the last code holds, because clipped pixels have it as well. Responses that
    laboratories measured go on there as the codes before; those that were fitted to brackets, and with them the mean
    camera, have twice as much. White is put between the two (`_SMOOTH`), where no measured camera is far off.
    """
    steps = np.log2(np.maximum(response[252:], 1e-9) / np.maximum(response[251:-1], 1e-9)).clip(0)  # stops of a code
    smooth = steps[2] * min(1.0, steps[2] / max(steps[1], 1e-9))
    scaled: np.ndarray = response / (response[254] * 2.0 ** (_SMOOTH * smooth + (1 - _SMOOTH) * steps[3]))
    scaled[255] = 1
    return scaled


def _white_shape() -> np.ndarray:
    """(256,) stops: how cameras differ in the light between the last codes and white; 0 at white."""
    risen: np.ndarray = ((CODES - _NEAR_WHITE) / (255 - _NEAR_WHITE)).clip(0, 1) ** 1.7
    return _WHITE * (risen - 1)


def _between_knots(codes: np.ndarray) -> np.ndarray:
    """(K, knots) weights of linear interpolation between the knots."""
    left = np.clip(np.searchsorted(_KNOTS, codes, "right") - 1, 0, len(_KNOTS) - 2)
    share = (codes - _KNOTS[left]) / (_KNOTS[left + 1] - _KNOTS[left])
    weights = np.zeros((len(codes), len(_KNOTS)))
    at = np.arange(len(codes))
    weights[at, left], weights[at, left + 1] = 1 - share, share
    return weights


def _prior(exposures: np.ndarray, stack_of: np.ndarray, shapes: int, time_error: float) -> np.ndarray:
    """The inverse covariance of shapes, rest and errors of exposure before any picture is seen."""
    knots = len(_KNOTS)
    place = np.sqrt(255 * _KNOTS)
    alike = _REST**2 * np.exp(-0.5 * ((place[:, None] - place) / _REACH) ** 2) + 1e-6 * np.eye(knots)
    risen = ((_KNOTS - _NEAR_WHITE) / (255 - _NEAR_WHITE)).clip(0, 1)
    # At white it is 0 as well; what is left below `_NEAR_WHITE` is a factor common to all codes.
    alike += _WHITE_REST**2 * np.exp(-0.5 * ((risen[:, None] - risen) / 0.35) ** 2)
    white = alike[:, -1:]
    alike = alike - white @ white.T / alike[-1, -1] + 1e-6 * np.eye(knots)  # the rest is 0 at white
    prior = np.zeros((shapes + knots + len(exposures),) * 2)
    prior[:shapes, :shapes] = np.eye(shapes)
    prior[shapes : shapes + knots, shapes : shapes + knots] = np.linalg.inv(alike)
    errors = np.eye(len(exposures)) / time_error**2
    for stack in np.unique(stack_of):
        mine = stack_of == stack
        for fixed in (mine.astype(float), np.where(mine, exposures - exposures[mine].mean(), 0)):
            if (length := np.linalg.norm(fixed)) > 0:
                errors += 1e6 * np.outer(fixed, fixed) / length**2
    prior[shapes + knots :, shapes + knots :] = errors
    return prior
