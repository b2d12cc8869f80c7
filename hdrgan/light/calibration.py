"""Calibrate a camera from brackets: fit its response, judge it by pairs that were held out, or refuse in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdrgan.light.response import mean_camera
from hdrgan.light.response_fit import CalibrationError, Fit, Match, error_of, fit
from hdrgan.light.srgb import srgb_response
from hdrgan.light.still_scene import Bracket, matches_of, seen_codes

__all__ = ["Bracket", "Calibrated", "CalibrationError", "calibrate"]

_DOUBTFUL_TIME = 0.25  # stops that an exposure may be off by its own pictures, in a step of two stops
_LOOSE = 0.5  # stops: what exposures are let go to see whether they are wrong
_STRANGE = 5.0  # standard deviations from the mean camera that no camera has
_CONTRADICTION = 0.3  # stops of error that no response explains
_LEAST_CODES = 90  # of 256 that must be seen


@dataclass(frozen=True)
class Calibrated:
    """A camera's response, and what is known of how good it is.

    Args:
        response: (256,) float64 linear values of the codes, from 0 to 1.
        seen: (256,) boolean; the other codes were filled in by what is known of cameras.
        error: RMS error in stops on pairs of shots that the fit did not see.
        mean_error: that of the mean camera on the same pairs; ``srgb_error``: that of the sRGB curve.
        held_out: what was held out: "shots", or "half of the picture" where a bracket has two shots.
        time_errors: for each bracket, the stops that each of its shots got more than its exposure says.
        deviations: (2,) standard deviations from the mean camera along `hdrgan.light.response.camera_shapes`.
        shots: how many shots were used.
    """

    response: np.ndarray
    seen: np.ndarray
    error: float
    mean_error: float
    srgb_error: float
    held_out: str
    time_errors: tuple[np.ndarray, ...]
    deviations: np.ndarray
    shots: int


def calibrate(brackets: Sequence[Bracket]) -> Calibrated:
    """Fit one response to one or more brackets of the same camera and picture style.

    Raises:
        CalibrationError: a bracket cannot be used; the message says why, and what to do.
    """
    if not brackets:
        raise CalibrationError("Give at least one bracket.")
    matches: list[Match] = []
    evs: list[float] = []
    names: list[str] = []
    stack_of: list[int] = []
    for number, bracket in enumerate(brackets):
        start = len(evs)
        matches += [
            Match(m.darker + start, m.brighter + start, m.codes_darker, m.codes_brighter, m.weight)
            for m in matches_of(bracket)
        ]
        evs += map(float, bracket.evs)
        names += bracket.names
        stack_of += [number] * len(bracket.evs)
    seen = seen_codes(matches)
    if np.count_nonzero(seen) < _LEAST_CODES:
        raise CalibrationError(
            f"The shots show only {np.count_nonzero(seen)} of the 256 codes in two exposures, because the rest is "
            "black, clipped or not in the scene; shoot a scene with light and shade, in steps of one or two stops."
        )
    _check_times(matches, evs, stack_of, names)
    found = fit(matches, evs, stack_of)
    _check_camera(found)
    held_out, errors = _held_out(brackets, matches, evs, stack_of)
    return Calibrated(
        found.response,
        seen,
        *errors,
        held_out,
        tuple(found.time_errors[np.asarray(stack_of) == k] for k in range(len(brackets))),
        found.deviations,
        len(evs),
    )


def _check_times(matches: list[Match], evs: list[float], stack_of: list[int], names: list[str]) -> None:
    """Refuse a shot whose exposure contradicts its pictures: a fit that may correct exposures corrects it by much."""
    loose = fit(matches, evs, stack_of, time_error=_LOOSE)
    worst = int(np.argmax(np.abs(loose.time_errors)))
    stops = float(loose.time_errors[worst])
    if abs(stops) > _DOUBTFUL_TIME:
        raise CalibrationError(
            f"By its pixels, {names[worst]} got {abs(stops):.1f} stops {'more' if stops > 0 else 'less'} light than "
            "its exposure says; correct the exposures (--times or --evs), or leave that shot out."
        )


def _check_camera(found: Fit) -> None:
    """Refuse exposures that would make a camera like no other: steps larger or smaller than those that were shot."""
    if float(np.abs(found.deviations).max()) > _STRANGE:
        wide = found.response[127] < mean_camera()[127]
        raise CalibrationError(
            f"With these exposures the camera would differ from all known ones by {np.abs(found.deviations).max():.0f} "
            f"standard deviations; their steps seem too {'large' if wide else 'small'}; correct them (--times, --evs)."
        )
    if found.error > _CONTRADICTION:
        raise CalibrationError(
            f"No response explains these shots: the best one is off by {found.error:.2f} stops. Their exposures may be "
            "wrong, the light may have changed, or each was processed in its own way (HDR mode, automatic contrast)."
        )


def _held_out(
    brackets: Sequence[Bracket], matches: list[Match], evs: list[float], stack_of: list[int]
) -> tuple[str, tuple[float, float, float]]:
    """What was held out, and RMS errors in stops there: of the fit to the rest, of the mean camera, and of sRGB."""
    tests: list[tuple[list[Match], list[Match]]] = []
    for shot in range(len(evs)):
        without = [m for m in matches if shot not in (m.darker, m.brighter)]
        alone = [m for m in matches if shot in (m.darker, m.brighter)]
        if without and alone:
            tests.append((without, alone))
    what = "shots"
    if not tests:
        what = "half of the picture"
        left, right = ([_half(bracket, side) for bracket in brackets] for side in (0, 1))
        try:
            halves = [matches_of(half) for half in (*left[:1], *right[:1])]
        except CalibrationError:
            return "nothing", (float("nan"),) * 3
        tests = [(halves[0], halves[1]), (halves[1], halves[0])]
        evs, stack_of = list(brackets[0].evs), [0] * len(brackets[0].evs)
    squares = np.zeros(3)
    for rest, alone in tests:
        own = fit(rest, evs, stack_of).response
        squares += [error_of(curve, alone, evs) ** 2 for curve in (own, mean_camera(), srgb_response())]
    own_error, mean_error, srgb_error = (float(value) for value in np.sqrt(squares / len(tests)))
    return what, (own_error, mean_error, srgb_error)


def _half(bracket: Bracket, side: int) -> Bracket:
    """Every second column strip of 32 pixels, as pictures of their own."""
    width = bracket.pictures[0].shape[1]
    columns = np.flatnonzero(np.arange(width) // 32 % 2 == side)
    return Bracket([picture[:, columns] for picture in bracket.pictures], bracket.evs, bracket.names)
