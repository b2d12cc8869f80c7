"""The boxes of AVIF and HEIC: which pictures a file holds, what belongs to each, and how to make another one the first.

Source: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from hdrgan.files.limits import cut_off, damaged

_LARGEST_META = 8 << 20
_MOST_BOXES = 20_000
_LARGEST_PAYLOAD = 4 << 20
_HIDDEN = 1


@dataclass
class Item:
    """One item of a file: a picture, a tile of one, or metadata."""

    kind: bytes
    content: bytes = b""
    flags_at: int = 0  # where the last byte of its flags is
    spans: list[tuple[int, int]] = field(default_factory=list)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass
class Meta:
    """What the meta box says.

    Args:
        primary: number of the picture that counts; 0 where the file names none.
        primary_at, primary_wide: where its number is stored, and whether in four bytes.
        items: by number.
        references: (kind, from, to, where the kind is stored).
    """

    primary: int = 0
    primary_at: int = 0
    primary_wide: bool = False
    items: dict[int, Item] = field(default_factory=dict)
    references: list[tuple[bytes, int, tuple[int, ...], int]] = field(default_factory=list)

    def payload(self, data: bytes, number: int) -> bytes | None:
        """The bytes of an item; None where they are not in the file."""
        item = self.items.get(number)
        if item is None or not item.spans or sum(length for _, length in item.spans) > _LARGEST_PAYLOAD:
            return None
        if any(at < 0 or at + length > len(data) for at, length in item.spans):
            return None
        return b"".join(data[at : at + length] for at, length in item.spans)


def boxes(data: bytes, start: int, end: int, kind: str) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two offsets: name, and where the body begins and ends."""
    at = start
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            if at + 16 > end:
                raise cut_off(kind)
            size = struct.unpack_from(">Q", data, at + 8)[0]
            body = at + 16
        stop = end if size == 0 else at + size
        if stop < body:
            raise damaged(kind)
        if stop > end:
            raise cut_off(kind)
        yield name, body, stop
        at = stop
    raise damaged(kind)


def read_meta(data: bytes, start: int, end: int, kind: str) -> Meta:
    """Read the body of a meta box behind its version."""
    if end - start > _LARGEST_META:
        raise damaged(kind)
    meta, properties, idat = Meta(), [], 0
    associations: dict[int, list[int]] = {}
    locations: list[tuple[int, int, list[tuple[int, int]]]] = []
    for name, body, stop in boxes(data, start, end, kind):
        if name == b"pitm":
            meta.primary_wide = data[body] != 0
            meta.primary_at = body + 4
            meta.primary = struct.unpack_from(">I" if meta.primary_wide else ">H", data, body + 4)[0]
        elif name == b"iinf":
            _read_items(data, body + (6 if data[body] == 0 else 8), stop, kind, meta)
        elif name == b"iref":
            _read_references(data, body, stop, kind, meta)
        elif name == b"idat":
            idat = body
        elif name == b"iloc":
            locations = _read_locations(data, body, stop)
        elif name == b"iprp":
            for inner, inner_body, inner_stop in boxes(data, body, stop, kind):
                if inner == b"ipco":
                    properties = [(n, data[a:b]) for n, a, b in boxes(data, inner_body, inner_stop, kind)]
                elif inner == b"ipma":
                    _read_associations(data, inner_body, inner_stop, associations, kind)
    for number, indices in associations.items():
        item = meta.items.setdefault(number, Item(b""))
        item.properties = [properties[k - 1] for k in indices if 0 < k <= len(properties)]
    for number, method, spans in locations:
        if number in meta.items and method in (0, 1):
            shift = idat if method == 1 else 0
            meta.items[number].spans = [(at + shift, length) for at, length in spans]
    return meta


def _read_items(data: bytes, at: int, end: int, kind: str, meta: Meta) -> None:
    for name, body, stop in boxes(data, at, end, kind):
        if name != b"infe" or stop - body < 12 or data[body] < 2:
            continue
        wide = data[body] > 2
        number = struct.unpack_from(">I" if wide else ">H", data, body + 4)[0]
        at = body + (10 if wide else 8)
        item = Item(data[at : at + 4], flags_at=body + 3)
        if item.kind == b"mime":
            item.content = data[at + 4 : stop].split(b"\0")[1] if b"\0" in data[at + 4 : stop] else b""
        meta.items.setdefault(number, item)


def _read_references(data: bytes, body: int, end: int, kind: str, meta: Meta) -> None:
    number = ">I" if data[body] else ">H"
    size = struct.calcsize(number)
    for name, at, stop in boxes(data, body + 4, end, kind):
        if stop - at < size + 2:
            continue
        origin = struct.unpack_from(number, data, at)[0]
        count = min(struct.unpack_from(">H", data, at + size)[0], (stop - at - size - 2) // size)
        to = tuple(struct.unpack_from(number, data, at + size + 2 + size * k)[0] for k in range(count))
        meta.references.append((name, origin, to, at - 4))


def _read_associations(data: bytes, at: int, stop: int, found: dict[int, list[int]], kind: str) -> None:
    version, flags = data[at], data[at + 3]
    count = struct.unpack_from(">I", data, at + 4)[0]
    at += 8
    for _ in range(min(count, _MOST_BOXES)):
        item = struct.unpack_from(">H" if version < 1 else ">I", data, at)[0]
        at += 2 if version < 1 else 4
        wide, total = flags & 1, data[at]
        at += 1
        indices = [
            (struct.unpack_from(">H", data, at + 2 * k)[0] & 0x7FFF) if wide else data[at + k] & 0x7F
            for k in range(total)
        ]
        at += total * (2 if wide else 1)
        if at > stop:
            raise cut_off(kind)
        found.setdefault(item, indices)


def _read_locations(data: bytes, body: int, stop: int) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """(item, construction method, spans) of an iloc box."""
    version = data[body]
    sizes = struct.unpack_from(">H", data, body + 4)[0]
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    at = body + 6
    count = int.from_bytes(data[at : at + (2 if version < 2 else 4)], "big")
    at += 2 if version < 2 else 4
    found = []

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(data[at - size : at], "big")

    for _ in range(min(count, _MOST_BOXES)):
        if at >= stop:
            break
        item = number(2 if version < 2 else 4)
        method = number(2) & 15 if version in (1, 2) else 0
        number(2)  # data reference
        base = number(base_size)
        spans = []
        for _ in range(min(number(2), _MOST_BOXES)):
            number(index_size)
            offset = number(offset_size)
            spans.append((base + offset, number(length_size)))
            if at > stop:
                break
        found.append((item, method, spans))
    return found


def with_primary(data: bytes, meta: Meta, number: int) -> bytes:
    """The file with another of its pictures as the one that counts; it is shown even where it was hidden."""
    patched = bytearray(data)
    width = 4 if meta.primary_wide else 2
    patched[meta.primary_at : meta.primary_at + width] = number.to_bytes(width, "big")
    patched[meta.items[number].flags_at] &= ~_HIDDEN
    for kind, origin, _, at in meta.references:
        if kind in (b"auxl", b"thmb") and origin == number:
            patched[at : at + 4] = b"none"
    return bytes(patched)


def without_maps(data: bytes, meta: Meta) -> bytes:
    """The file as a reader sees it that knows no gain maps of ISO 21496-1; the same where it has none.

    libavif reads them with the picture, and refuses the picture for what is wrong with its map.
    """
    maps = [item for item in meta.items.values() if item.kind == b"tmap"]
    if not maps:
        return data
    patched = bytearray(data)
    for item in maps:
        at = patched.find(b"tmap", item.flags_at, item.flags_at + 16)
        if at > 0:
            patched[at : at + 4] = b"none"
    for at in range(16, min(struct.unpack_from(">I", data, 0)[0], 512, len(data)) - 3, 4):
        if patched[at : at + 4] == b"tmap":
            patched[at : at + 4] = b"miaf"
    return bytes(patched)


def as_still(data: bytes) -> bytes:
    """A sequence without its frames: only the still picture that stands for it is left to be decoded."""
    patched = bytearray(data)
    end = struct.unpack_from(">I", data, 0)[0]
    for at in (8, *range(16, min(end, 512, len(data)) - 3, 4)):
        name = bytes(patched[at : at + 4])
        if name in (b"avis", b"msf1", b"hevc", b"hevx"):
            still = b"avif" if name == b"avis" else b"heic" if name in (b"hevc", b"hevx") else b"mif1"
            patched[at : at + 4] = still
    at = 0
    while at + 8 <= len(patched):
        size = struct.unpack_from(">I", patched, at)[0]
        if patched[at + 4 : at + 8] == b"moov":
            patched[at + 4 : at + 8] = b"free"
        if size == 1 and at + 16 <= len(patched):
            size = struct.unpack_from(">Q", patched, at + 8)[0]
        if size < 8:
            break
        at += size
    return bytes(patched)
