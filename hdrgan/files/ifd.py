"""Image file directories: the tables of tagged fields of TIFF and EXIF; every offset and size is checked.

Source: TIFF 6.0, section 2; BigTIFF; CIPA DC-008 (Exif 2.32).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

Value = tuple[int, ...] | tuple[tuple[int, int], ...] | tuple[float, ...] | bytes | str

BYTE, ASCII, SHORT, LONG, RATIONAL, SBYTE, UNDEFINED, SSHORT, SLONG, SRATIONAL, FLOAT, DOUBLE = range(1, 13)
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_DTYPES = {3: "u2", 4: "u4", 5: "u4", 6: "i1", 8: "i2", 9: "i4", 10: "i4", 11: "f4", 12: "f8", 13: "u4", 16: "u8"}
_DTYPES |= {17: "i8", 18: "u8"}


class Order(NamedTuple):
    """Byte order and flavour of a TIFF structure, and where its first directory begins."""

    endian: str
    big: bool
    first: int


class Entry(NamedTuple):
    """One field of a directory: its TIFF type and its value."""

    type: int
    value: Value


def read_header(data: bytes) -> Order | None:
    """Read the 8 or 16 bytes that open every TIFF and EXIF block; None where they are not such bytes."""
    endian = {b"II": "<", b"MM": ">"}.get(data[:2])
    if endian is None or len(data) < 8:
        return None
    magic = struct.unpack_from(endian + "H", data, 2)[0]
    if magic == 42:
        return Order(endian, False, struct.unpack_from(endian + "I", data, 4)[0])
    if magic == 43 and len(data) >= 16 and struct.unpack_from(endian + "HH", data, 4) == (8, 0):
        return Order(endian, True, struct.unpack_from(endian + "Q", data, 8)[0])
    return None


def read_directory(
    data: bytes, order: Order, offset: int, largest: int = 1 << 22, outside: set[int] | None = None
) -> dict[int, Entry]:
    """Read one directory; fields that point outside the data, or claim more than it holds, are left out.

    Args:
        data: the whole TIFF structure; offsets count from its first byte.
        order: as `read_header` gave it.
        offset: of the directory.
        largest: bytes of value that are worth reading; longer fields are left out.
        outside: takes the tags whose values are outside of the data.

    Returns:
        Tag to entry. Numbers are tuples; rationals are tuples of (numerator, denominator); text ends at its first NUL.
        Directories that follow are never visited, so that loops among them do no harm.
    """
    count_format, entry_size, inline = (order.endian + "Q", 20, 8) if order.big else (order.endian + "H", 12, 4)
    if offset < 8 or offset + struct.calcsize(count_format) > len(data):
        return {}
    count = struct.unpack_from(count_format, data, offset)[0]
    start = offset + struct.calcsize(count_format)
    count = min(count, 65_535, (len(data) - start) // entry_size)
    found: dict[int, Entry] = {}
    for k in range(count):
        at = start + k * entry_size
        tag, kind, items = struct.unpack_from(order.endian + ("HHQ" if order.big else "HHI"), data, at)
        size = _SIZES.get(kind, 0) * items
        if not 0 < size <= min(largest, len(data)) or tag in found:
            continue
        place = at + entry_size - inline
        if size > inline:
            place = struct.unpack_from(order.endian + ("Q" if order.big else "I"), data, place)[0]
            if place + size > len(data):
                if outside is not None:
                    outside.add(tag)
                continue
        found[tag] = Entry(kind, _decode(data[place : place + size], kind, order.endian))
    return found


def _decode(raw: bytes, kind: int, endian: str) -> Value:
    if kind == ASCII:
        text = raw.rstrip(b"\0")
        if text.count(b"\0") != 1 or text.startswith(b"\0"):  # two texts are photographer and editor of a copyright
            text = raw.split(b"\0", 1)[0]
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError:
            return text.decode("latin-1")  # what cameras and older software wrote
    if kind in (BYTE, UNDEFINED):
        return bytes(raw)
    numbers = np.frombuffer(raw, endian + _DTYPES[kind]).tolist()
    if kind in (RATIONAL, SRATIONAL):
        return tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return tuple(numbers)


def integer(fields: Mapping[int, Entry], tag: int, default: int | None = None) -> int | None:
    """The first whole number of a field; ``default`` where it is missing or of another type."""
    entry = fields.get(tag)
    if entry is None or entry.type not in (BYTE, SHORT, LONG, 13, 16, 18):
        return default
    return entry.value[0]  # type: ignore[return-value]  # bytes give numbers, too


def write_tiff(
    directory: Mapping[int, Entry], children: Mapping[int, Mapping[int, Entry]] | None = None
) -> tuple[bytes, dict[int, int]]:
    """Lay out a little-endian TIFF structure: header, first directory, the directories it points to, values.

    Args:
        directory: tag to entry of the first directory.
        children: pointer tag (0x8769 EXIF, 0x8825 GPS) to the directory it leads to.

    Returns:
        (bytes, places): places maps each tag of the first directory to the offset of its value, so that a writer can
        fill in strip offsets once it knows them.
    """
    body = bytearray(b"II*\0\x08\0\0\0")
    children = {tag: child for tag, child in (children or {}).items() if child}
    root = dict(directory) | {tag: Entry(LONG, (0,)) for tag in children}
    places = _append(body, root)
    for tag, child in sorted(children.items()):
        struct.pack_into("<I", body, places[tag], len(body))
        _append(body, child)
    return bytes(body), places


def _append(body: bytearray, directory: Mapping[int, Entry]) -> dict[int, int]:
    """Append one directory and its values to ``body``; give the offset of each value."""
    start = len(body)
    body += struct.pack("<H", len(directory)) + bytes(12 * len(directory) + 4)
    places: dict[int, int] = {}
    for k, (tag, entry) in enumerate(sorted(directory.items())):
        raw, items = _encode(entry)
        at = start + 2 + 12 * k
        struct.pack_into("<HHI", body, at, tag, entry.type, items)
        if len(raw) <= 4:
            places[tag] = at + 8
            body[at + 8 : at + 8 + len(raw)] = raw
        else:
            if len(body) % 2:
                body += b"\0"  # values begin on even offsets
            places[tag] = len(body)
            struct.pack_into("<I", body, at + 8, len(body))
            body += raw
    if len(body) % 2:
        body += b"\0"
    return places


def _encode(entry: Entry) -> tuple[bytes, int]:
    value = entry.value
    if isinstance(value, str):
        raw = value.encode("utf-8") + b"\0"
        return raw, len(raw)
    if isinstance(value, bytes):
        return value, len(value)
    raw = np.asarray(value).astype("<" + _DTYPES[entry.type]).tobytes()
    return raw, len(raw) // _SIZES[entry.type]
