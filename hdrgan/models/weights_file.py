"""The weights file of a model folder: safetensors with metadata, and the SHA-256 published beside it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.utils.sha import git_hash
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from hdrgan.files.atomic import write_atomic
from hdrgan.models.finding import CHECKSUMS_NAME, CONFIG_NAME, WEIGHTS_NAME, PretrainedError, first_line

_LARGEST_HEADER = 1 << 20  # bytes; room for ten thousand tensors
_FLOAT_TYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
_OTHER_TYPES = {"F64": torch.float64, "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}

Header = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and type, as safetensors calls it, of each tensor of a file."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_file(path: Path, content: bytes) -> None:
    try:
        write_atomic(path, content)
    except OSError as error:
        raise PretrainedError(f"{path} cannot be written: {error.strerror or first_line(error)}.") from error


def checksums(folder: Path) -> bytes:
    """The SHA-256 of a model folder's configuration and weights, as ``sha256sum -c`` reads them."""
    return "".join(f"{sha256_of(folder / name)}  {name}\n" for name in (CONFIG_NAME, WEIGHTS_NAME)).encode()


def write_checksums(folder: Path) -> None:
    """Publish the `checksums` of a model folder in it."""
    write_file(folder / CHECKSUMS_NAME, checksums(folder))


def verify_checksum(path: Path) -> None:
    """Compare a file with the SHA-256 published beside it, or with the hash that the Hub's cache names it by."""
    if not path.is_file():
        raise PretrainedError(f"{path} is missing.")
    published = path.parent / CHECKSUMS_NAME
    if published.is_file():
        for line in published.read_text(encoding="utf-8", errors="replace").splitlines():
            digest, _, name = line.partition(" ")
            if name.strip().lstrip("*") == path.name and digest.lower() != sha256_of(path):
                raise PretrainedError(
                    f"{path} is damaged or was changed: its SHA-256 is not the one in {CHECKSUMS_NAME}."
                )
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and len(blob.name) in (40, 64):
        actual = git_hash(blob.read_bytes()) if len(blob.name) == 40 else sha256_of(blob)
        if actual != blob.name:
            raise PretrainedError(
                f"The cached {path.name} is damaged ({blob}): load once with force_download=True, or delete it."
            )


def read_header(path: Path) -> tuple[Header, dict[str, str]]:
    """Shape and type of each tensor of a safetensors file, and the file's metadata; no tensor is read."""
    try:
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > _LARGEST_HEADER:
                raise ValueError("it is cut short or is not a safetensors file")
        with safe_open(path, framework="pt") as opened:
            slices = {key: opened.get_slice(key) for key in opened.keys()}  # it is no mapping
            tensors = {key: (tuple(part.get_shape()), part.get_dtype()) for key, part in slices.items()}
            return tensors, dict(opened.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise PretrainedError(f"{path} is damaged: {first_line(error)}.") from error


@contextmanager
def no_more_tensors_than(header: Header) -> Iterator[None]:
    """While a blueprint is built: stop as soon as it has far more tensors than a file, whatever its arguments ask for.

    Raises:
        ValueError: by the constructor that goes too far.
    """
    most, own, count = 2 * len(header) + 16, threading.get_ident(), 0  # some layers register a tensor twice

    def one_more(_module: nn.Module, _name: str, parameter: object) -> None:
        nonlocal count
        count += parameter is not None and threading.get_ident() == own
        if count > most:
            raise ValueError(f"it asks for far more tensors than the {len(header)} of {WEIGHTS_NAME}")

    hook = register_module_parameter_registration_hook(one_more)
    try:
        yield
    finally:
        hook.remove()


def check_tensors(path: Path, header: Header, expected: Mapping[str, Tensor]) -> None:
    if missing := sorted(expected.keys() - header.keys()):
        raise PretrainedError(f"{path} lacks {listed(missing)}.")
    if extra := sorted(header.keys() - expected.keys()):
        raise PretrainedError(f"{path} has {listed(extra)}, which the network does not know.")
    for key, wanted in expected.items():
        shape, stored = header[key]
        if shape != tuple(wanted.shape):
            raise PretrainedError(f"{path} has {key} of shape {shape}, and the network needs {tuple(wanted.shape)}.")
        floating = wanted.is_floating_point()
        if (stored not in _FLOAT_TYPES) if floating else (_OTHER_TYPES.get(stored) != wanted.dtype):
            allowed = " or ".join(_FLOAT_TYPES) if floating else str(wanted.dtype)
            raise PretrainedError(f"{path} stores {key} as {stored}, and the network needs {allowed}.")


def load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise PretrainedError(f"{path} is damaged: {first_line(error)}.") from error
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise PretrainedError(f"{path} has values in {key} that are not finite.")
    return state


def serialised(network: nn.Module, dtype: torch.dtype | None, metadata: Mapping[str, str]) -> bytes:
    """A network as a safetensors file.

    Args:
        network: in any type and memory layout.
        dtype: floating type to store; None keeps the network's.
        metadata: written in sorted order: the library shuffles it, and equal networks should hash equally.

    Raises:
        ValueError: a weight is not finite, or not finite in ``dtype``.
    """
    weights = serialise(_stored_tensors(network, dtype), metadata=dict(metadata))
    start = 8 + int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text + memoryview(weights)[start:]


def _stored_tensors(network: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    tensors = {}
    for key, value in network.state_dict().items():
        stored = value.detach().to(device="cpu", dtype=dtype if value.is_floating_point() else None)
        if not torch.isfinite(stored).all():
            raise ValueError(f"{key} has values that are not finite" + (f" as {dtype}" if dtype else ""))
        # A clone of its own: safetensors refuses tensors that share memory or are not contiguous.
        tensors[key] = stored.clone(memory_format=torch.contiguous_format)
    return tensors


def listed(names: list[str], most: int = 4) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
