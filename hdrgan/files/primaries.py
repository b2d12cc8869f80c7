"""Sets of primaries and the matrices between them.

Sources: SMPTE RP 177 (matrices); ITU-T H.273, table 2 (code points); Bradford's adaptation of white.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hdrgan.files.limits import RadianceFileError

D65 = (0.3127, 0.3290)
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""x and y of red, green and blue: ITU-R BT.709."""

CODED = {
    1: REC709,
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def to_xyz(primaries: Sequence[float]) -> np.ndarray:
    """The 3 x 3 matrix to XYZ from RGB whose red, green, blue and white have these x and y (eight numbers).

    A primary may have a y of 0, as those of XYZ itself have; white may not.
    """
    x, y = np.array(primaries, np.float64).reshape(4, 2).T
    columns = np.stack([x, y, 1 - x - y])
    white = columns[:, 3] / y[3]
    matrix: np.ndarray = columns[:, :3] * np.linalg.solve(columns[:, :3], white)
    return matrix


XYZ_TO_REC709 = np.linalg.inv(to_xyz((*REC709, *D65)))


def to_rec709(primaries: Sequence[float] | None) -> np.ndarray | None:
    """The matrix to Rec. 709, white adapted to D65; None where nothing has to change.

    Args:
        primaries: x and y of red, green, blue and white; None, or eight zeros as Photoshop and ImageMagick write, is
            Rec. 709.

    Raises:
        RadianceFileError: these are no primaries.
    """
    if primaries is None or not np.any(primaries) or np.abs(np.subtract(primaries, (*REC709, *D65))).max() < 1e-3:
        return None
    # ACES puts its blue at a negative y; a white without one has no meaning.
    if not np.isfinite(primaries).all() or abs(primaries[7]) < 1e-6 or np.abs(primaries).max() > 2:
        raise RadianceFileError("its stated primaries make no sense")
    try:
        own = to_xyz(primaries)
        cones = [_BRADFORD @ matrix @ np.ones(3) for matrix in (own, to_xyz((*REC709, *D65)))]
        adaptation = np.linalg.solve(_BRADFORD, np.diag(cones[1] / cones[0])) @ _BRADFORD
        matrix: np.ndarray = XYZ_TO_REC709 @ adaptation @ own
    except np.linalg.LinAlgError as error:
        raise RadianceFileError("its stated primaries make no sense") from error
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 100:
        raise RadianceFileError("its stated primaries make no sense")
    return matrix


def coded_to_rec709(code: int) -> np.ndarray | None:
    """The matrix behind a code point of ITU-T H.273; unknown ones count as Rec. 709."""
    return to_rec709((*CODED.get(code, REC709), *D65))
