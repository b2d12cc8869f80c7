"""Model folders that somebody tampered with: about two hundred from a seed, none of which may load.

Checksums are written again after each change, unless the checksum is what is tried: the checks behind it must do.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from hdrgan.models.finding import CHECKSUMS_NAME, CONFIG_NAME, WEIGHTS_NAME
from hdrgan.models.weights_file import write_checksums

NUMBERS = [None, "x", {}, [], [1], True, float("nan"), float("inf"), -1e9, 10**9, 10**400]
LISTS = [None, "x", 5, {}, True, [float("nan")], ["a"], [[1]], [10**9], [10**400], [True], [0.5] * 65]
WORDS = [None, 5, {}, [], True, "nonsense", "x" * 10_000]
CLASSES = [["RadianceGenerator"], {"a": 1}, 5, True, "Pipeline", "", "os.system", "../x"]
VERSIONS = [["0.1.0"], {}, "99.0", "x", True]
TEXTS = [b"", b"{", b"[1]", b"3", b"null", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":' * 50_000, b" " * 70_000]
HEADERS = [b"", b"[]", b"null", b"{", b'{"a": 3}', b'{"a": {}}', b'{"__metadata__": 3}', b"[" * 100_000, b"\xff" * 64]
ENTRIES: list[dict[str, object]] = [
    {"dtype": "F64"},
    {"dtype": "F9000"},
    {"dtype": 5},
    {"shape": [-1]},
    {"shape": [2**62, 4]},
    {"shape": "x"},
    {"shape": []},
    {"data_offsets": [0, 2**60]},
    {"data_offsets": [9, 3]},
    {"data_offsets": []},
]


def split(weights: bytes) -> tuple[dict, bytes]:
    """Header and data of a safetensors file."""
    length = struct.unpack("<Q", weights[:8])[0]
    return json.loads(weights[8 : 8 + length]), weights[8 + length :]


def joined(header: bytes | dict, data: bytes) -> bytes:
    """A safetensors file of them."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tampered(sound: Path, home: Path, seed: int = 0) -> Iterator[tuple[str, Path]]:
    """Copies of a sound model folder, each with one thing wrong, and what it is."""
    rng = random.Random(seed)
    config = json.loads((sound / CONFIG_NAME).read_text())
    weights = (sound / WEIGHTS_NAME).read_bytes()
    header, data = split(weights)
    tensors = [name for name in header if name != "__metadata__"]
    count = 0

    def folder(change: Callable[[Path], object], *, checksums: bool = True) -> Path:
        nonlocal count
        count += 1
        made = Path(shutil.copytree(sound, home / f"{sound.name}_{count}"))
        change(made)
        if checksums and all((made / name).is_file() for name in (CONFIG_NAME, WEIGHTS_NAME)):
            write_checksums(made)
        return made

    def with_config(content: object) -> Path:
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        return folder(lambda made: (made / CONFIG_NAME).write_bytes(text))

    def with_weights(content: bytes) -> Path:
        return folder(lambda made: (made / WEIGHTS_NAME).write_bytes(content))

    for key, value in config.items():
        kind = LISTS if isinstance(value, list) else WORDS if isinstance(value, str) else NUMBERS
        wrong = {"_class_name": CLASSES, "_hdrgan_version": VERSIONS}.get(key, kind)
        for other in rng.sample(wrong, min(5, len(wrong))):
            yield f"{key} = {str(other)[:30]}", with_config({**config, key: other})
        if not key.startswith("_"):
            yield f"no {key}", with_config({name: v for name, v in config.items() if name != key})
            if isinstance(value, int) and not isinstance(value, bool):
                yield f"{key} = 2048", with_config({**config, key: 2048})
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{key} is no number", with_config({**config, key: float("nan")})
    yield "an unknown argument", with_config({**config, "depth": 3})
    for text in TEXTS:
        yield f"config of {text[:12]!r}", with_config(text)

    for name in rng.sample(tensors, 3):
        entry = header[name]
        without = {key: value for key, value in header.items() if key != name}
        yield f"{name} renamed", with_weights(joined({**without, "other": entry}, data))
        for change in rng.sample(ENTRIES, 4):
            yield f"{name} with {change}", with_weights(joined({**header, name: {**entry, **change}}, data))
        start, end = entry["data_offsets"]
        for value in (float("nan"), float("inf"), float("-inf")):
            place = rng.randrange(start, end, 4)
            spoiled = data[:place] + struct.pack("<f", value) + data[place + 4 :]
            yield f"{value} in {name}", with_weights(joined(header, spoiled))
    last = max(tensors, key=lambda name: header[name]["data_offsets"][1])
    begin, end = header[last]["data_offsets"]
    yield "a tensor missing", with_weights(joined({k: v for k, v in header.items() if k != last}, data[:begin]))
    extra = {"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}
    yield "a tensor too many", with_weights(joined({**header, "extra": extra}, data + b"\0\0\0\0"))
    for text in HEADERS:
        yield f"header of {text[:12]!r}", with_weights(joined(text, data))
    for length in (0, 2**20 + 1, 2**40, 2**64 - 1):
        yield f"a header of {length} bytes", with_weights(struct.pack("<Q", length) + weights[8:])
    for share in (0, 0.3, 0.9):
        yield f"cut at {share}", with_weights(weights[: int(len(weights) * share)])
    yield "more than there is", with_weights(weights + b"\0" * 64)
    yield "a pickle", with_weights(b"\x80\x04\x95" + bytes(60))
    for key, value in {"class_name": "EIN2", "training": "{", "format": 3}.items():
        metadata = {**header["__metadata__"], key: value}
        yield f"metadata {key} = {value}", with_weights(joined({**header, "__metadata__": metadata}, data))

    def flip(made: Path) -> None:
        content = bytearray(weights)
        content[rng.randrange(len(content) - len(data), len(content))] ^= 1 << rng.randrange(8)
        (made / WEIGHTS_NAME).write_bytes(content)

    for _ in range(3):
        yield "a flipped bit", folder(flip, checksums=False)
    yield (
        "another checksum",
        folder(lambda made: (made / CHECKSUMS_NAME).write_text(f"{'0' * 64}  {WEIGHTS_NAME}\n"), checksums=False),
    )
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        yield f"no {name}", folder(lambda made, name=name: (made / name).unlink())
        yield f"{name} is a folder", folder(lambda made, name=name: ((made / name).unlink(), (made / name).mkdir()))
        yield (
            f"{name} leads nowhere",
            folder(lambda made, name=name: ((made / name).unlink(), (made / name).symlink_to(made / name))),
        )
