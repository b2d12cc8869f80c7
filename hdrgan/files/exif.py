"""EXIF: read into Pillow's form field by field, packed, and written again for the exposures of a bracket."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from hdrgan.files import ifd
from hdrgan.files.ifd import Entry

EXIF_POINTER, GPS_POINTER = 0x8769, 0x8825
MAKE, MODEL, ORIENTATION, SOFTWARE, _DATE = 271, 272, 274, 305, 306
EXPOSURE_TIME, _EXPOSURE_BIAS, _COLOUR_SPACE = 33434, 37380, 40961
_SHUTTER_SPEED, COPYRIGHT, _USER_COMMENT, SENSITIVITY = 37377, 33432, 37510, 34855
# Captions, rights, titles and keywords of Windows, rating. What the file was, rather than the photo, stays behind.
KEPT_BASE = (270, MAKE, MODEL, _DATE, 315, COPYRIGHT, 18246, 18249, 40091, 40092, 40093, 40094, 40095)
# Everything of the making but serial numbers, the camera's owner, maker notes, and what describes the stored file.
_LEFT_BEHIND = {37500, 40965, 42016, 42032, 42033, 42037, 37377, 37380, 33434, 34856, 41730, 37396, 41492}


def read_exif(block: bytes | None) -> Image.Exif | None:
    """Read an EXIF block field by field; damaged fields are left out, and a block without a readable field is None."""
    base, children = read_directories(block, largest=1 << 16)
    exif = Image.Exif()
    for pointer, fields in children.items():
        exif.get_ifd(pointer).update({tag: _pillow_value(entry) for tag, entry in fields.items()})
    for tag, entry in base.items():
        if tag not in (EXIF_POINTER, GPS_POINTER):
            exif[tag] = _pillow_value(entry)
    return exif if base else None


def read_directories(block: bytes | None, largest: int) -> tuple[dict[int, Entry], dict[int, dict[int, Entry]]]:
    """The first directory of an EXIF block or TIFF file, and those that its EXIF and GPS pointers lead to, by pointer.

    What is damaged, missing or larger is left out, as by `hdrgan.files.ifd.read_directory`.
    """
    block = (block or b"").removeprefix(b"Exif\0\0")
    order = ifd.read_header(block)
    if order is None:
        return {}, {}
    base = ifd.read_directory(block, order, order.first, largest)
    places = {pointer: ifd.integer(base, pointer) for pointer in (EXIF_POINTER, GPS_POINTER)}
    return base, {pointer: ifd.read_directory(block, order, at, largest) for pointer, at in places.items() if at}


def _pillow_value(entry: Entry) -> Any:
    value: Any = entry.value
    if isinstance(value, (str, bytes)):
        return value
    if entry.type in (ifd.RATIONAL, ifd.SRATIONAL):
        value = tuple(IFDRational(n, d) for n, d in value)
    return value[0] if len(value) == 1 else value


def pack_exif(exif: Image.Exif | None) -> bytes:
    """What `Photo.exif` holds as one block of bytes, position and all; empty for None."""
    base, detail, position = _exif_entries(exif)
    return ifd.write_tiff(base, {EXIF_POINTER: detail, GPS_POINTER: position})[0] if base or detail else b""


def bracket_exif(
    exif: Image.Exif | None,
    size: tuple[int, int],
    ev: float,
    *,
    keep_gps: bool = False,
    orientation: int = 1,
    comment: str = "",
) -> bytes:
    """EXIF for one exposure of a bracket, as merge software groups frames by it.

    ExposureBiasValue is ``ev``; ExposureTime, where the photo has one or a shutter speed, is scaled by 2^ev. What the
    photo says of its making, its caption and its rights is kept; serial numbers, owner, maker notes and thumbnails are
    left behind.

    Args:
        exif: what `Photo.exif` says of the photo that the exposure comes from.
        size: (width, height) of the upright photo, in pixels.
        ev: stops relative to the photo.
        keep_gps: whether the position is handed on.
        orientation: in which the picture is stored.
        comment: ASCII text for UserComment, such as the response that the exposure was made with.

    Returns:
        An EXIF block beginning with ``Exif\\0\\0``, software "hdrgan".
    """
    base, detail, position = _exif_entries(exif)
    directory = {tag: base[tag] for tag in KEPT_BASE if tag in base}
    directory[ORIENTATION] = Entry(ifd.SHORT, (orientation,))
    directory[SOFTWARE] = Entry(ifd.ASCII, "hdrgan")
    fields = {tag: entry for tag, entry in detail.items() if tag not in _LEFT_BEHIND}
    directory |= {282: Entry(ifd.RATIONAL, ((72, 1),)), 283: Entry(ifd.RATIONAL, ((72, 1),))}
    directory |= {296: Entry(ifd.SHORT, (2,)), 531: Entry(ifd.SHORT, (1,))}
    fields |= {36864: Entry(ifd.UNDEFINED, b"0232"), 40960: Entry(ifd.UNDEFINED, b"0100")}
    fields |= {37121: Entry(ifd.UNDEFINED, b"\1\2\3\0"), _COLOUR_SPACE: Entry(ifd.SHORT, (1,))}
    fields |= {40962: Entry(ifd.LONG, (size[0],)), 40963: Entry(ifd.LONG, (size[1],))}
    fields[_EXPOSURE_BIAS] = Entry(ifd.SRATIONAL, (_ratio(Fraction(ev), 2**31 - 1),))
    if comment:
        fields[_USER_COMMENT] = Entry(ifd.UNDEFINED, b"ASCII\0\0\0" + comment.encode("ascii", "replace"))
    seconds = _seconds(exif)
    if seconds is not None:
        fields[EXPOSURE_TIME] = Entry(ifd.RATIONAL, (_ratio(seconds * Fraction(2.0**ev), 2**32 - 1),))
    if keep_gps and position:
        position = {0: Entry(ifd.BYTE, b"\2\3\0\0")} | position
    children = {EXIF_POINTER: fields} | ({GPS_POINTER: position} if keep_gps else {})
    return b"Exif\0\0" + ifd.write_tiff(directory, children)[0]


def exr_making(exif: Image.Exif | None, *, keep_gps: bool = False) -> dict[str, str | float]:
    """What a photo says of its making as the standard attributes of OpenEXR."""
    if exif is None:
        return {}
    detail = exif.get_ifd(EXIF_POINTER)
    texts = {"cameraMake": exif.get(MAKE), "cameraModel": exif.get(MODEL), "lensModel": detail.get(42036)}
    texts |= {"owner": exif.get(COPYRIGHT) or exif.get(315), "artist": exif.get(315), "description": exif.get(270)}
    texts |= {"capDate": detail.get(36867) or exif.get(_DATE), "copyright": exif.get(COPYRIGHT)}
    found: dict[str, str | float] = {
        name: " / ".join(part.strip() for part in text.split("\0") if part.strip())
        for name, text in texts.items()
        if isinstance(text, str) and text.strip(" \0")
    }
    seconds, aperture, speed = _seconds(exif), detail.get(33437), detail.get(SENSITIVITY)
    if seconds is not None:
        found["expTime"] = float(seconds)
    for name, value in (("aperture", aperture), ("isoSpeed", speed), ("nominalFocalLength", detail.get(37386))):
        number = _number(value)
        if number is not None:
            found[name] = number
    if keep_gps:
        position = exif.get_ifd(GPS_POINTER)
        for name, tag, sign in (("latitude", 2, "S"), ("longitude", 4, "W")):
            degrees = position.get(tag)
            parts = [_number(part) for part in degrees] if isinstance(degrees, tuple) else []
            if len(parts) == 3 and None not in parts:
                value = parts[0] + parts[1] / 60 + parts[2] / 3600  # type: ignore[operator]
                found[name] = -value if position.get(tag - 1) == sign else value
        height = _number(position.get(6))
        if height is not None:
            found["altitude"] = -height if position.get(5) in (1, b"\1") else height
    return found


def hdr_making(exif: Image.Exif | None, *, keep_gps: bool = False) -> dict[str, str | float]:
    """The same as header lines of a Radiance .hdr file."""
    made = exr_making(exif, keep_gps=keep_gps)
    if "latitude" in made and "longitude" in made:
        made["GPS"] = f"{made.pop('latitude'):.7f} {made.pop('longitude'):.7f}"
    return made


def sensitivity(exif: Image.Exif | None) -> float:
    """ISO of the sensor; 0 where it is not stated."""
    value = None if exif is None else exif.get_ifd(EXIF_POINTER).get(SENSITIVITY)
    return _number(value[0] if isinstance(value, tuple) and value else value) or 0.0


def _number(value: Any) -> float | None:
    if isinstance(value, IFDRational):
        return float(value) if value.denominator else None
    return float(value) if isinstance(value, int) else None


def _seconds(exif: Image.Exif | None) -> Fraction | None:
    """The exposure time; where only the shutter speed is stated, in APEX units, 2^-speed."""
    if exif is None:
        return None
    detail = exif.get_ifd(EXIF_POINTER)
    value, speed = detail.get(EXPOSURE_TIME), detail.get(_SHUTTER_SPEED)
    if value is None and isinstance(speed, IFDRational) and speed.denominator and abs(float(speed)) < 20:
        return Fraction(2.0 ** -float(speed)).limit_denominator(100_000)
    if not isinstance(value, IFDRational) or not value.denominator or int(value.numerator) <= 0:
        return None
    return Fraction(int(value.numerator), int(value.denominator))


def _ratio(value: Fraction, most: int) -> tuple[int, int]:
    """The nearest fraction whose two numbers fit the field."""
    near = value.limit_denominator(1_000_000) or value.limit_denominator(most)
    if abs(near.numerator) > most:
        near = Fraction(most if value > 0 else -most)
    return near.numerator, near.denominator


def _exif_entries(exif: Image.Exif | None) -> tuple[dict[int, Entry], dict[int, Entry], dict[int, Entry]]:
    """An Exif object as typed entries: base, EXIF and GPS directories."""
    if exif is None:
        return {}, {}, {}
    return tuple(  # type: ignore[return-value]
        {tag: entry for tag, value in fields.items() if (entry := _typed(tag, value)) is not None}
        for fields in (dict(exif), exif.get_ifd(EXIF_POINTER), exif.get_ifd(GPS_POINTER))
    )


_UNDEFINED_TAGS = {37510, 36864, 37121, 40960, 41728, 41729}
_SIGNED_TAGS = {37377, 37379, 37380}  # SRATIONAL by Exif 2.32, whatever the value
_LONG_TAGS = {34865, 34866, 34867, 34869, 40962, 40963}


def _typed(tag: int, value: Any) -> Entry | None:
    """One value of an Exif object with the TIFF type it is to be written in; None where it has none."""
    if isinstance(value, str):
        # The copyright notice of photographer and editor are two texts with a zero between them.
        kept = "\0\n" if tag == COPYRIGHT else "\n"
        text = "".join(c for c in value if c.isprintable() or c in kept).strip(" \0\n")[:4000]
        return Entry(ifd.ASCII, text) if text else None
    if isinstance(value, bytes):
        return Entry(ifd.UNDEFINED if tag in _UNDEFINED_TAGS else ifd.BYTE, value[:8000]) if value else None
    values = value if isinstance(value, tuple) else (value,)
    if values and all(isinstance(v, IFDRational) for v in values):
        pairs = tuple((int(v.numerator), int(v.denominator)) for v in values)
        signed = tag in _SIGNED_TAGS or any(n < 0 or d < 0 for n, d in pairs)
        most = 2**31 if signed else 2**32
        if any(abs(n) >= most or abs(d) >= most for n, d in pairs):
            return None
        return Entry(ifd.SRATIONAL if signed else ifd.RATIONAL, pairs)
    if values and all(isinstance(v, int) and 0 <= v < 2**32 for v in values):
        return Entry(ifd.LONG if tag in _LONG_TAGS or max(values) > 65535 else ifd.SHORT, values)
    return None
