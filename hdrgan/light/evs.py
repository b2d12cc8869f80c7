"""The stops of a bracket: which exposures are made where nobody asks for others, and what may be asked for."""

from __future__ import annotations

from collections.abc import Sequence

DEFAULT_EVS = (-4.0, -2.0, 0.0, 2.0, 4.0)
"""Stops of a bracket relative to the photo, dark to bright, where nobody asks for others."""

NETWORK_EVS: tuple[float, ...] = tuple(map(int, DEFAULT_EVS))
"""The same as the networks take them: ``config.json`` holds whole numbers."""

EVS_TEXT = ",".join(f"{ev:g}" for ev in DEFAULT_EVS)
"""The same as they are written on a command line."""


def check_evs(evs: Sequence[float]) -> tuple[float, ...]:
    """Coerce EVs to floats; ValueError unless they are at least one, finite, ascending and within 20 stops."""
    stops = tuple(float(ev) for ev in evs)
    # A comparison with NaN is false, so that NaN is refused as well.
    if not stops or list(stops) != sorted(set(stops)) or not all(abs(ev) <= 20 for ev in stops):
        raise ValueError(f"evs must be ascending numbers of stops between -20 and 20 without repeats, got {tuple(evs)}")
    return stops
