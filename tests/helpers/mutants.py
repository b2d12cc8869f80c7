"""Files broken in the ways in which files break, mended so far that a decoder looks behind the damage.

Checksums, sizes and offsets stop a reader at the first change. So what was changed is put right again in them: CRCs of
PNG, boxes and extents of ISO files, directories and strips of TIFF, chunks of OpenEXR and RIFF, segments of JPEG.
"""

from __future__ import annotations

import contextlib
import struct
import zlib

import numpy as np

_PNG = b"\x89PNG\r\n\x1a\n"
_WORDS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\1\0\0", b"\xff\xff\xff\x7f")
_REPAIRED = 0.8  # the share of mutants that are mended; the others are as broken as they come
_DEEP = 0.3  # the share of PNGs that are changed within their compressed data


def mutate(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Break a file in one to four places, and repair what would keep a reader from getting there."""
    if data.startswith(_PNG) and rng.random() < _DEEP:
        return _deep_png(data, rng, others)
    raw = _broken(data, rng, others)
    if rng.random() < _REPAIRED:
        with contextlib.suppress(struct.error, IndexError):  # too broken to be mended
            return repaired(raw)
    return raw


def _broken(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    raw = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        if not raw:
            break
        # Headers are short and decide most: half of all changes are in the first 200 bytes.
        at = int(rng.integers(0, min(len(raw), 200) if rng.random() < 0.5 else len(raw)))
        way = rng.integers(0, 8)
        if way == 0:
            raw[at] ^= 1 << int(rng.integers(0, 8))
        elif way == 1:
            raw[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
        elif way == 2:
            raw[at : at + 4] = _WORDS[int(rng.integers(0, len(_WORDS)))]
        elif way == 3:
            raw[at : at + int(rng.integers(1, 64))] = rng.bytes(int(rng.integers(1, 64)))
        elif way == 4:
            del raw[at : at + int(rng.integers(1, 64))]
        elif way == 5:
            raw = raw[:at] + raw[max(0, at - int(rng.integers(1, 400))) :]
        elif way == 6:
            del raw[max(8, at) :]
        else:
            other = others[int(rng.integers(0, len(others)))]
            start = int(rng.integers(0, len(other)))
            raw[at : at + 128] = other[start : start + 128]
    return bytes(raw)


def repaired(data: bytes) -> bytes:
    """The file with the sizes, offsets and checksums that its content asks for; what cannot be told stays."""
    if data.startswith(_PNG):
        return repair_png(data)
    if data[4:8] == b"ftyp":
        return repair_extents(repair_boxes(data))
    if data[:4] in (b"II*\0", b"MM\0*"):
        return repair_tiff(data)
    if data.startswith(b"\x76\x2f\x31\x01"):
        return repair_exr(data)
    if data.startswith(b"RIFF"):
        return repair_riff(data)
    if data.startswith(b"\xff\xd8"):
        return repair_jpeg(data)
    return data


# PNG


def repair_png(data: bytes) -> bytes:
    """Chunks that end within the file, each with its checksum."""
    raw, at = bytearray(data), 8
    while at + 12 <= len(raw):
        end = at + 8 + int.from_bytes(raw[at : at + 4], "big")
        if end + 4 > len(raw):
            # The next chunk whose name is known begins where this one ends.
            places = [p - 4 for name in (b"IDAT", b"IEND") if (p := raw.find(name, at + 8)) >= at + 16]
            end = (min(places) if places else len(raw)) - 4
            raw[at : at + 4] = (end - at - 8).to_bytes(4, "big")
        raw[end : end + 4] = zlib.crc32(raw[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(raw)


def _deep_png(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Change the filtered rows rather than their compressed form, so that all of them reach the decoder."""
    at, rows, before, after = 8, b"", [data[:8]], []
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            rows += data[at + 8 : at + 8 + size]
        else:
            (after if rows else before).append(data[at : at + 12 + size])
        at += 12 + size
    body = zlib.compress(_broken(zlib.decompress(rows), rng, others))
    chunk = len(body).to_bytes(4, "big") + b"IDAT" + body + zlib.crc32(b"IDAT" + body).to_bytes(4, "big")
    return b"".join([*before, chunk, *after])


# ISO base media: AVIF and HEIC


def repair_boxes(data: bytes) -> bytes:
    """Let the last box end where the file does, and the last of its meta box where that one does."""
    raw = bytearray(data)

    def mend(at: int, end: int) -> None:
        while at + 8 <= end:
            size = int.from_bytes(raw[at : at + 4], "big")
            following = bytes(raw[at + size + 4 : at + size + 8])
            if size < 8 or at + size > end or (at + size < end and not following.isalnum()):
                # A box that was cut or grew: the next one whose name is known begins where this one ends.
                names = (b"meta", b"mdat", b"iloc", b"iinf", b"iref", b"iprp", b"ipco", b"ipma", b"moov")
                places = [place for name in names if (place := raw.find(name, at + 8, end)) > 0]
                size = (min(places) - 4 if places else end) - at
                if size < 8:
                    return
                raw[at : at + 4] = size.to_bytes(4, "big")
            if raw[at + 4 : at + 8] in (b"meta", b"iprp"):
                mend(at + (12 if raw[at + 4 : at + 8] == b"meta" else 8), at + size)
            at += size

    mend(0, len(raw))
    return bytes(raw)


def repair_extents(data: bytes) -> bytes:
    """Let the items of an ISO file begin where its media data does, and end within the file."""
    raw = bytearray(data)
    media, at = raw.find(b"mdat"), raw.find(b"iloc")
    if media < 0 or at < 0 or at + 12 > len(raw) or raw[at + 4] > 1 or raw[at + 8] != 0x44:
        return data
    start, version = media + 4, raw[at + 4]
    places, at, count = [], at + 12, int.from_bytes(raw[at + 10 : at + 12], "big")
    for _ in range(min(count, 64)):
        at += 6 if version == 1 else 4  # number, method, reference
        at += 4 if raw[at - 1 : at] and raw[at] >> 4 and raw[at] != 0 else 0
        extents = int.from_bytes(raw[at : at + 2], "big")
        at += 2
        if extents != 1 or at + 8 > len(raw):
            return data
        places.append(at)
        at += 8
    if not places:
        return data
    shift = start - min(int.from_bytes(raw[p : p + 4], "big") for p in places)
    for place in places:
        offset = min(max(int.from_bytes(raw[place : place + 4], "big") + shift, 0), len(raw) - 1)
        length = min(int.from_bytes(raw[place + 4 : place + 8], "big"), len(raw) - offset)
        raw[place : place + 8] = struct.pack(">II", offset, length)
    return bytes(raw)


# TIFF

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_OFFSETS, _COUNTS = (273, 324), (279, 325)


def repair_tiff(data: bytes) -> bytes:
    """Directories and values that are within the file, and strips and tiles that end within it."""
    raw = bytearray(data)
    order = "<" if raw[:1] == b"I" else ">"
    at, seen = struct.unpack_from(order + "I", raw, 4)[0] if len(raw) >= 8 else 0, set()
    if at + 2 > len(raw):
        at = 8
        raw[4:8] = struct.pack(order + "I", at)
    while 8 <= at <= len(raw) - 2 and at not in seen:
        seen.add(at)
        count = min(struct.unpack_from(order + "H", raw, at)[0], (len(raw) - at - 2) // 12, 200)
        struct.pack_into(order + "H", raw, at, count)
        ends: dict[int, tuple[int, int, int]] = {}
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, number, offset = struct.unpack_from(order + "HHII", raw, entry)
            size = _SIZES.get(kind, 1) * number
            if size > len(raw):
                number, size = 1, _SIZES.get(kind, 1)
                struct.pack_into(order + "I", raw, entry + 4, number)
            if size > 4 and offset + size > len(raw):
                offset = len(raw) - size
                struct.pack_into(order + "I", raw, entry + 8, offset)
            if tag in (*_OFFSETS, *_COUNTS) and kind in (3, 4):
                ends[tag] = (entry + 8 if size <= 4 else offset, kind, number)
        for first, second in zip(_OFFSETS, _COUNTS, strict=True):
            if first in ends and second in ends:
                _mend_strips(raw, order, ends[first], ends[second])
        after = at + 2 + 12 * count
        if after + 4 > len(raw):
            break
        at = struct.unpack_from(order + "I", raw, after)[0]
        if at > len(raw) - 2:
            at = 0
            struct.pack_into(order + "I", raw, after, 0)
    return bytes(raw)


def _mend_strips(raw: bytearray, order: str, offsets: tuple[int, int, int], counts: tuple[int, int, int]) -> None:
    for k in range(min(offsets[2], counts[2], 4096)):
        places = [(at + k * _SIZES[kind], order + ("H" if kind == 3 else "I")) for at, kind, _ in (offsets, counts)]
        with contextlib.suppress(struct.error):
            start, size = (struct.unpack_from(form, raw, place)[0] for place, form in places)
            start = min(start, len(raw) - 1)
            struct.pack_into(places[0][1], raw, places[0][0], start)
            struct.pack_into(places[1][1], raw, places[1][0], min(size, len(raw) - start))


# OpenEXR

_ATTRIBUTES = {b"box2i": 16, b"v2f": 8, b"float": 4, b"compression": 1, b"lineOrder": 1, b"chromaticities": 32}
_ATTRIBUTES |= {b"int": 4, b"double": 8, b"v2i": 8, b"v3f": 12, b"tiledesc": 9, b"m44f": 64, b"rational": 8}
_LINES = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}


def repair_exr(data: bytes) -> bytes:
    """Attributes of their size, an offset table that names every chunk, and chunks that end within the file."""
    raw = bytearray(data)
    table, window, lines = exr_header(raw)
    if table is None or window is None or raw[5] & 0x12:  # tiles and parts have tables of other kinds
        return bytes(raw)
    top, height = window[1], window[3] - window[1] + 1
    count = -(-height // lines)
    if not 0 < count <= 4096 or table + 8 * count > len(raw):
        return bytes(raw)
    at = table + 8 * count
    for k in range(count):
        if at + 8 > len(raw):
            break
        struct.pack_into("<Q", raw, table + 8 * k, at)
        size = min(struct.unpack_from("<I", raw, at + 4)[0], len(raw) - at - 8)
        with contextlib.suppress(struct.error):
            struct.pack_into("<iI", raw, at, top + k * lines, size)
        at += 8 + size
    return bytes(raw)


def exr_header(raw: bytearray) -> tuple[int | None, tuple[int, ...] | None, int]:
    """Where the offset table begins, the data window, and the lines of a chunk; attributes get the size of their kind.

    The table's place is None where the header cannot be followed.
    """
    at, window, lines = 8, None, 1
    while at < len(raw) and raw[at]:
        name_end = raw.find(b"\0", at)
        kind_end = raw.find(b"\0", name_end + 1)
        if min(name_end, kind_end) < 0 or kind_end + 5 > len(raw) or max(name_end - at, kind_end - name_end) > 64:
            return None, window, lines
        kind, body = bytes(raw[name_end + 1 : kind_end]), kind_end + 5
        size = int.from_bytes(raw[kind_end + 1 : body], "little")
        if kind == b"chlist" and body + size > len(raw):
            end = raw.find(b"\0\0", body)
            size = end + 2 - body if end > 0 else len(raw) - body
        size = min(_ATTRIBUTES.get(kind, size), len(raw) - body)
        raw[kind_end + 1 : body] = size.to_bytes(4, "little")
        if bytes(raw[at:name_end]) == b"dataWindow" and size == 16:
            window = struct.unpack_from("<iiii", raw, body)
        if kind == b"compression" and size == 1:
            lines = _LINES.get(raw[body], 1)
        at = body + size
    return at + 1, window, lines


# RIFF and JPEG


def repair_riff(data: bytes) -> bytes:
    """Chunks that end within the file, which is as long as it says."""
    raw, at = bytearray(data), 12
    if len(raw) < 12:
        return data
    raw[4:8] = (len(raw) - 8).to_bytes(4, "little")
    while at + 8 <= len(raw):
        size = min(int.from_bytes(raw[at + 4 : at + 8], "little"), len(raw) - at - 8)
        raw[at + 4 : at + 8] = size.to_bytes(4, "little")
        at += 8 + size + size % 2
    return bytes(raw)


def repair_jpeg(data: bytes) -> bytes:
    """Segments behind which there is another one, up to the start of the scan."""
    raw, at = bytearray(data), 2
    while at + 4 <= len(raw) and raw[at] == 0xFF and raw[at + 1] != 0xDA:
        if raw[at + 1] in (0xD8, 0x01) or 0xD0 <= raw[at + 1] <= 0xD7:
            at += 2
            continue
        size = int.from_bytes(raw[at + 2 : at + 4], "big")
        if size < 2 or at + 2 + size >= len(raw) or raw[at + 2 + size] != 0xFF:
            following = raw.find(b"\xff", at + 4)
            while following >= 0 and raw[following + 1 : following + 2] in (b"\0", b"\xff"):
                following = raw.find(b"\xff", following + 1)
            if following < 0 or following - at - 2 > 0xFFFF:
                break
            size = following - at - 2
            raw[at + 2 : at + 4] = size.to_bytes(2, "big")
        at += 2 + size
    return bytes(raw)
