"""What the files of a result are called: ``photo_ev+2.png``, ``photo.exr``, ``photo_finished.jpg``."""

from __future__ import annotations

from collections.abc import Sequence

FINISHED = "finished"  # beside the HDR formats: one picture for a screen, drawn from the same light


def signed(ev: float) -> str:
    """Stops as names and captions show them: ``+2``, ``-1.5``; as many digits as tell any two EVs apart."""
    short = f"{ev + 0.0:+g}"  # -0.0 + 0.0 is 0.0
    return short if float(short) == ev else f"{ev:+}"


def bracket_names(name: str, evs: Sequence[float], format: str, *, zip: bool = False) -> list[str]:
    """What `Result.save` calls the exposures of a photo, dark to bright, or the archive that holds them."""
    return [f"{name}_bracket.zip"] if zip else [f"{name}_ev{signed(ev)}.{format}" for ev in evs]


def hdr_names(name: str, hdr: Sequence[str], *, zip: bool = False) -> list[str]:
    """What `Result.save_hdr` calls the HDR images of a photo, or the archive that holds them."""
    if zip:
        return [f"{name}_hdr.zip"]
    # Never plain <stem>.jpg: in the photo's own folder that would replace the photo.
    suffixes = {"ultrahdr": "_ultrahdr.jpg", FINISHED: "_finished.jpg"}
    return [name + suffixes.get(kind, f".{kind}") for kind in dict.fromkeys(hdr)]
