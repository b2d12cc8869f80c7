"""What every network of ours has in common: configuration, strict and safe loading, safetensors with metadata.

A model is a folder with ``config.json`` (the constructor's arguments, the class, the library version),
``model.safetensors`` and ``SHA256SUMS`` (in the format of ``sha256sum -c``). It is found by the name of a bundled
model, by its path, or by its id on the Hugging Face Hub.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, cast

import torch
from httpx2 import HTTPError
from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from packaging.version import InvalidVersion, Version
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn

from hdrgan.files.atomic import write_atomic
from hdrgan.version import __version__

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
CHECKSUMS_NAME = "SHA256SUMS"
CARD_NAME = "README.md"

_PACKAGE = Path(__file__).resolve().parent.parent
_LARGEST_CONFIG = 1 << 16  # bytes; ours have a few hundred
_LARGEST_HEADER = 1 << 20  # bytes; room for ten thousand tensors
_LARGEST_NUMBER = 4096  # of an argument: widths, counts, stops and shares all stay below it
_LONGEST_LIST = 64  # of an argument's numbers
_PICKLE_SUFFIXES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FLOAT_TYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
_OTHER_TYPES = {"F64": torch.float64, "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}

Header = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and type, as safetensors calls it, of each tensor of a file."""


class PretrainedError(OSError):
    """A model cannot be found, loaded or saved; the message is one sentence that says why and what to do."""


def bundled_names() -> tuple[str, ...]:
    """Names of the trained models that ship inside the package, in alphabetical order."""
    return tuple(sorted(path.parent.name for path in (_PACKAGE / "weights").glob(f"*/{WEIGHTS_NAME}")))


def bundled_folder(name: str) -> Path | None:
    """The folder of a model that ships inside the package, or None where there is none of that name."""
    return _PACKAGE / "weights" / name if name in bundled_names() else None


def project_file(name: str) -> Path:
    """A file of the project's top level: in the wheel inside the package, in a checkout beside it.

    Raises:
        FileNotFoundError: where neither has it.
    """
    for home in (_PACKAGE / "project", _PACKAGE.parent):
        if (home / name).exists():
            return home / name
    raise FileNotFoundError(f"{name} is missing from this installation of hdrgan")


def locate(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    subfolder: str = "",
) -> Path:
    """Find a model, downloading it from the Hub where it is neither bundled nor a folder.

    Args:
        name: a bundled name (``"radiance"``), a folder, or a Hub id (``"user/repo"``).
        revision: branch, tag or commit on the Hub; only for a Hub id.
        token: access token of the Hub; None uses the stored login, False none.
        cache_dir: where downloads are kept; None is the Hub's usual cache (``HF_HOME``).
        local_files_only: use the cache alone, ask no server.
        force_download: download again what is cached already.
        subfolder: folder within the repository, or within the folder.

    Returns:
        A folder that has `CONFIG_NAME` and `WEIGHTS_NAME`, both of one commit.

    Raises:
        PretrainedError: the model is not there, not complete, or out of reach.
    """
    text = os.fspath(name)
    if isinstance(name, str) and (bundled := bundled_folder(name)) is not None:
        if revision is not None:
            raise PretrainedError(f"{name!r} is bundled with hdrgan {__version__} and has no revision {revision!r}.")
        return bundled
    folder = Path(text).expanduser()
    if folder.is_dir() and subfolder:
        folder, text = folder / subfolder, f"{text}/{subfolder}"
        if not folder.is_dir():
            raise PretrainedError(f"There is no folder {text}.")
    if folder.is_dir():
        for filename in (CONFIG_NAME, WEIGHTS_NAME):
            if not (folder / filename).is_file():
                raise PretrainedError(f"The folder {text} has no {filename}{_pickle_hint(folder)}.")
        return folder
    if folder.is_file():
        if folder.suffix.lower() in _PICKLE_SUFFIXES:
            raise PretrainedError(
                f"{text} is a pickle, which can run any program when it is opened: "
                f"convert it with 'hdrgan convert' to a folder with {WEIGHTS_NAME}."
            )
        raise PretrainedError(f"{text} is a file: give the folder that holds {CONFIG_NAME} and {WEIGHTS_NAME}.")
    if not isinstance(name, str) or not _HUB_ID.fullmatch(name) or name.startswith("."):
        bundled_list = ", ".join(bundled_names()) or "none"
        raise PretrainedError(
            f"There is no folder {text}, no bundled model of that name (bundled: {bundled_list}), "
            "and a model on the Hub is written user/name."
        )
    options: dict[str, Any] = {
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
        "force_download": force_download,
        "subfolder": subfolder or None,
    }
    config = _download(name, CONFIG_NAME, revision, options)
    # The folder of a cached file is named by its commit: asking for that commit keeps the two files together.
    commit = config.parents[len(Path(subfolder).parts)].name
    weights = _download(name, WEIGHTS_NAME, commit, options)
    return weights.parent


def read_config(folder: Path) -> dict[str, Any]:
    """Read and verify a model folder's configuration.

    Args:
        folder: as from `locate`.

    Returns:
        The JSON object; ``"_class_name"`` is the network's class and ``"_hdrgan_version"`` the version that wrote it,
        where recorded, all else are arguments of the constructor.

    Raises:
        PretrainedError: damaged, not the published file, or written by a later version of the library.
    """
    path = folder / CONFIG_NAME
    _verify_checksum(path)
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        config = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_duplicates)
    except (OSError, ValueError, RecursionError) as error:
        raise PretrainedError(f"{path} cannot be read as a configuration: {_first_line(error)}.") from error
    if not isinstance(config, dict):
        raise PretrainedError(f"{path} holds a JSON {type(config).__name__}, not an object of arguments.")
    if not isinstance(config.get("_class_name", ""), str):
        raise PretrainedError(f"{path} names no class: _class_name must be a word.")
    _check_version(path, config.get("_hdrgan_version"))
    return config


def read_metadata(folder: Path) -> dict[str, str]:
    """What the weights file of a model folder says of itself: ``format``, ``library_version``, ``training`` and so on.

    Raises:
        PretrainedError: the file is damaged.
    """
    return _read_header(folder / WEIGHTS_NAME)[1]


def count_parameters(folder: Path) -> int:
    """Number of values in the weights file of a model folder, read from its header alone."""
    return sum(math.prod(shape) for shape, _ in _read_header(folder / WEIGHTS_NAME)[0].values())


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path) -> None:
    """Publish the SHA-256 of a model folder's configuration and weights, as ``sha256sum -c`` reads them."""
    lines = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in (CONFIG_NAME, WEIGHTS_NAME))
    _write(folder / CHECKSUMS_NAME, lines.encode())


class PretrainedModel(PyTorchModelHubMixin):
    """Base of the networks: ``class Net(nn.Module, PretrainedModel, library_name="hdrgan", license="mit", …)``.

    The constructor takes plain JSON-able values, which become ``config.json``, and can be run on torch's ``meta``
    device: a file is compared with that blueprint before any memory is spent on it. Loading is strict: every key of
    the configuration, every tensor's name, shape, type and finiteness is checked, a SHA-256 where one is published,
    and no pickle is ever opened.
    """

    training_summary: Mapping[str, Any] = MappingProxyType({})
    """How the weights were trained, as `save_pretrained` was told; kept in the weights file."""

    _lost_arguments: tuple[str, ...] = ()

    def __init_subclass__(cls, *, tags: list[str] | None = None, **metadata: Any) -> None:
        # The mixin appends to the list that it is given; a copy keeps one class's tags out of another's.
        super().__init_subclass__(tags=list(tags or ()), **metadata)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        network = super().__new__(cls, *args, **kwargs)
        # The mixin drops what JSON cannot hold and would write the default instead.
        given = dict(zip(list(cls._hub_mixin_init_parameters)[1:], args, strict=False)) | kwargs
        network._lost_arguments = tuple(key for key, value in given.items() if not cls._is_jsonable(value))
        return network

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the mixin passes anything on to the constructor; here, config does
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        strict: bool = True,
    ) -> Self:
        """Load a trained network, in evaluation mode.

        Args:
            pretrained_model_name_or_path: a bundled name, a folder, or a Hub id.
            dtype: floating type of the loaded network; None is float32, whatever the file is stored in.
            device: where to put it; None is the CPU.
            revision: branch, tag or commit on the Hub.
            token: access token of the Hub; None uses the stored login, False none.
            cache_dir: where downloads are kept; None is the Hub's usual cache.
            local_files_only: use the cache alone, ask no server.
            force_download: download again what is cached already.
            strict: always true here; the mixin's own parameter, kept so that existing calls work.

        Raises:
            PretrainedError: not found, out of reach, damaged, or of another class; the message says which.
            ValueError: ``dtype`` is not a floating type, ``device`` is not there, or ``strict`` is false.
        """
        if not strict:
            raise ValueError("a network with missing weights would answer noise: loading is always strict")
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"dtype must be a floating type, got {dtype}")
        place = _checked_device(device)
        folder = locate(
            pretrained_model_name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        arguments = cls._arguments_of(folder, pretrained_model_name_or_path)
        weights_path = folder / WEIGHTS_NAME
        _verify_checksum(weights_path)
        header, metadata = _read_header(weights_path)
        _check_class(pretrained_model_name_or_path, metadata.get("class_name"), cls.__name__)
        try:
            with torch.device("meta"):
                blueprint = cast(nn.Module, cls(**arguments))
        except (TypeError, ValueError, ArithmeticError, IndexError, RuntimeError) as error:
            raise PretrainedError(
                f"{folder / CONFIG_NAME} does not fit a {cls.__name__}: {_first_line(error)}."
            ) from error
        _check_tensors(weights_path, header, blueprint.state_dict())
        state = _load_tensors(weights_path)

        network = cls(**arguments)
        cast(nn.Module, network).load_state_dict(state, strict=True)
        cast(nn.Module, network).to(device=place, dtype=dtype or torch.float32).eval()
        network.training_summary = _training_of(weights_path, metadata)
        return network

    @classmethod
    def _arguments_of(cls, folder: Path, name: str | Path) -> dict[str, Any]:
        config = read_config(folder)
        _check_class(name, config.get("_class_name"), cls.__name__)
        arguments = {key: value for key, value in config.items() if not key.startswith("_")}
        expected = cls._constructor_arguments()
        if unknown := sorted(arguments.keys() - expected):
            raise PretrainedError(f"{folder / CONFIG_NAME} has {_listed(unknown)}, which {cls.__name__} does not know.")
        if missing := sorted(expected - arguments.keys()):
            raise PretrainedError(f"{folder / CONFIG_NAME} lacks {_listed(missing)}, which {cls.__name__} needs.")
        for key, value in arguments.items():
            if fault := _fault_of(value, cls._hub_mixin_init_parameters[key].default):
                raise PretrainedError(f"{folder / CONFIG_NAME}: {key} of {_a(cls.__name__)} must be {fault}.")
        return arguments

    def _arguments(self) -> dict[str, Any]:
        return dict(cast(dict[str, Any], self._hub_mixin_config or {}))

    @classmethod
    def _constructor_arguments(cls) -> set[str]:
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return {key for key, p in cls._hub_mixin_init_parameters.items() if p.kind in named and key != "self"}

    def save_pretrained(  # type: ignore[override]  # the mixin takes a config; ours is always the constructor's
        self,
        save_directory: str | Path,
        *,
        dtype: torch.dtype | None = None,
        training: Mapping[str, Any] | None = None,
        config: None = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write ``config.json``, ``model.safetensors``, ``SHA256SUMS`` and, where there is none, a card.

        Each file is replaced as a whole: a full disk or a killed process never leaves half a file.

        Args:
            save_directory: folder, made where needed.
            dtype: floating type to store, e.g. ``torch.float16`` for half the size; None keeps the network's.
            training: JSON-able summary of the training, kept in the weights file; None keeps `training_summary`.
            config: None; the configuration is always the constructor's arguments.
            repo_id: name on the Hub, with ``push_to_hub``; the folder's name where None.
            push_to_hub: publish as well, as `push_to_hub` does.
            model_card_kwargs: more variables for the card's template.
            push_to_hub_kwargs: arguments of `push_to_hub`.

        Returns:
            The commit's address where pushed, else None.

        Raises:
            ValueError: a weight is not finite, or not finite in ``dtype``; an argument or summary is not JSON-able.
            OSError: the folder cannot be written.
        """
        if config is not None:
            raise ValueError("config is always made of the constructor's arguments: leave it out")
        if push_to_hub and dtype is not None:
            raise ValueError(
                "push_to_hub saves in the network's own type: save in half precision, then push the folder"
            )
        directory = Path(save_directory)
        directory.mkdir(parents=True, exist_ok=True)
        if training is not None:
            self.training_summary = dict(training)  # plain, so that networks can be copied and pickled
        self._save_pretrained(directory, dtype=dtype)
        if not (directory / CARD_NAME).exists():
            card = self.generate_model_card(**(model_card_kwargs or {}))
            _write(directory / CARD_NAME, str(card).encode())
        if push_to_hub:
            return self.push_to_hub(repo_id or directory.name, **push_to_hub_kwargs)
        return None

    def _save_pretrained(self, save_directory: Path, *, dtype: torch.dtype | None = None) -> None:
        arguments = self._arguments()
        if missing := sorted((self._constructor_arguments() - arguments.keys()).union(self._lost_arguments)):
            raise ValueError(f"{_listed(missing)} of {type(self).__name__} cannot be written as JSON")
        config = {"_class_name": type(self).__name__, "_hdrgan_version": __version__, **arguments}
        metadata = {
            "format": "pt",
            "library": "hdrgan",
            "library_version": __version__,
            "class_name": type(self).__name__,
            "training": json.dumps(dict(self.training_summary), sort_keys=True, allow_nan=False),
        }
        weights = _in_order(serialise(_stored_tensors(cast(nn.Module, self), dtype), metadata=metadata))
        text = json.dumps(config, sort_keys=True, indent=2, allow_nan=False)
        _write(save_directory / WEIGHTS_NAME, weights)
        _write(save_directory / CONFIG_NAME, f"{text}\n".encode())
        write_checksums(save_directory)

    def push_to_hub(  # type: ignore[override]  # the mixin's arguments that choose single files make no sense here
        self,
        repo_id: str,
        *,
        commit_message: str | None = None,
        private: bool = False,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **options: Any,
    ) -> str:
        """Publish the network as `hdrgan push` does, with the same files and the same card.

        Args:
            repo_id: ``user/name``.
            commit_message: of the commit.
            private, token, branch, create_pr: as for `hdrgan.hub.publish.push`.
            model_card_kwargs: None; the card says what the weights and the evaluation say.
            options: further ones of `push`, such as ``evaluation``, ``samples``, ``space`` and ``tag``.

        Returns:
            The address of the pull request where one was made, else of the commit.
        """
        if model_card_kwargs:
            raise ValueError("the card is made of the weights and the evaluation alone: leave out model_card_kwargs")
        # The Hub's folder stands above the networks, which work without it: it is asked for by name, when needed.
        publish = importlib.import_module("hdrgan.hub.publish")
        done = publish.push(
            self,
            repo_id,
            private=private,
            token=token,
            message=commit_message,
            branch=branch,
            create_pr=create_pr,
            **options,
        )
        return str(done.pr_url or done.commit_url)

    def generate_model_card(self, **facts: Any) -> ModelCard:
        """The network's card, rendered from the project's template; ``facts`` are further template variables."""
        parameters = sum(parameter.numel() for parameter in cast(nn.Module, self).parameters())
        known: dict[str, Any] = {
            "class_name": type(self).__name__,
            "config": self._arguments(),
            "parameters": parameters,
            "training": dict(self.training_summary),
            "hdrgan_version": __version__,
        }
        data = facts.pop("card_data", None) or type(self)._hub_mixin_info.model_card_data
        template = project_file("model_card.md").read_text(encoding="utf-8")
        return cast(ModelCard, ModelCard.from_template(data, template_str=template, **(known | facts)))


def _stored_tensors(network: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    tensors = {}
    for key, value in network.state_dict().items():
        stored = value.detach().to(device="cpu", dtype=dtype if value.is_floating_point() else None)
        if not torch.isfinite(stored).all():
            raise ValueError(f"{key} has values that are not finite" + (f" as {dtype}" if dtype else ""))
        # A clone of its own: safetensors refuses tensors that share memory or are not contiguous.
        tensors[key] = stored.clone(memory_format=torch.contiguous_format)
    return tensors


def _in_order(weights: bytes) -> bytes:
    """A safetensors file with sorted metadata: the library shuffles them, and equal networks should hash equally."""
    start = 8 + int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text + memoryview(weights)[start:]


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomic(path, content)
    except OSError as error:
        raise PretrainedError(f"{path} cannot be written: {error.strerror or _first_line(error)}.") from error


def _fault_of(value: object, default: object) -> str | None:
    """What a configuration's value should have been, judged by the argument's default; None where it is fine.

    Sizes are bounded before anything is built with them, so that no file makes us build a million layers.
    """
    if isinstance(default, str):
        return None if isinstance(value, str) and len(value) <= 100 else "a word"
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float):
        whole = isinstance(default, int)
        if _is_number(value, whole=whole):
            return None
        return f"a {'whole' if whole else 'finite'} number of at most {_LARGEST_NUMBER}"
    if isinstance(default, list | tuple):
        if isinstance(value, list) and len(value) <= _LONGEST_LIST and all(_is_number(part) for part in value):
            return None
        return f"a list of at most {_LONGEST_LIST} finite numbers"
    return None


def _is_number(value: object, *, whole: bool = False) -> bool:
    kinds = int if whole else int | float
    return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) <= _LARGEST_NUMBER


def _download(repo_id: str, filename: str, revision: str | None, options: dict[str, Any]) -> Path:
    at = f"{repo_id} at revision {revision}" if revision else repo_id
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"} or options["local_files_only"]
    try:
        return Path(
            hf_hub_download(
                repo_id, filename, revision=revision, library_name="hdrgan", library_version=__version__, **options
            )
        )
    except HFValidationError as error:
        raise PretrainedError(f"{repo_id!r} is not a valid name of a model on the Hub, which is user/name.") from error
    except LocalEntryNotFoundError as error:
        if offline:
            why = f"{filename} of {at} is not in the cache, and downloads are switched off"
        else:
            why = f"The Hub cannot be reached, and {filename} of {at} is not in the cache"
        raise PretrainedError(f"{why}.") from error
    except GatedRepoError as error:
        raise PretrainedError(f"{repo_id} is gated: ask for access on its page, then run 'hf auth login'.") from error
    except RepositoryNotFoundError as error:
        raise PretrainedError(
            f"The Hub has no model {repo_id}, or it is private and you are not logged in ('hf auth login')."
        ) from error
    except RevisionNotFoundError as error:
        raise PretrainedError(f"{repo_id} has no revision {revision!r} (a branch, a tag or a commit).") from error
    except EntryNotFoundError as error:
        raise PretrainedError(f"{at} has no {filename}: it is not a model of this library.") from error
    except HfHubHTTPError as error:
        code = error.response.status_code
        raise PretrainedError(f"The Hub answered {code} when asked for {filename} of {at}.") from error
    except (OSError, HTTPError) as error:
        raise PretrainedError(f"{filename} of {at} cannot be downloaded: {_first_line(error)}.") from error


def _checked_device(device: torch.device | str | None) -> torch.device:
    try:
        place = torch.device(device or "cpu")
    except RuntimeError as error:
        raise ValueError(f"device must be like 'cpu', 'cuda', 'cuda:1' or 'mps', got {device!r}") from error
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if (place.index or 0) >= there.get(place.type, 1):
        raise ValueError(f"device {str(place)!r} is not there: this torch sees {there.get(place.type, 0)} of its kind")
    return place


def _verify_checksum(path: Path) -> None:
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
    if path.is_symlink() and blob.parent.name == "blobs":
        content = blob.read_bytes() if len(blob.name) == 40 else b""
        actual = {
            40: lambda: hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest(),
            64: lambda: sha256_of(blob),
        }.get(len(blob.name))
        if actual is not None and actual() != blob.name:
            raise PretrainedError(
                f"The cached {path.name} is damaged ({blob}): load once with force_download=True, or delete it."
            )


def _read_header(path: Path) -> tuple[Header, dict[str, str]]:
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
        raise PretrainedError(f"{path} is damaged: {_first_line(error)}.") from error


def _check_class(name: str | Path, recorded: object, wanted: str) -> None:
    if recorded is not None and recorded != wanted:
        raise PretrainedError(
            f"{name} holds {_a(recorded)}, not {_a(wanted)}: load it with {recorded}.from_pretrained."
        )


def _a(name: object) -> str:
    return f"an {name}" if str(name)[:1] in "AEIOU" else f"a {name}"


def _check_version(path: Path, recorded: object) -> None:
    if recorded is None:
        return
    try:
        theirs, ours = Version(str(recorded)), Version(__version__)
    except InvalidVersion as error:
        raise PretrainedError(f"{path} names no valid version of hdrgan: {recorded!r}.") from error
    # Below 1.0 a minor version may change what an argument means, from 1.0 on only a major one.
    if (theirs.release[:2] > ours.release[:2]) if ours.major == 0 else (theirs.major > ours.major):
        raise PretrainedError(f"{path} was written by hdrgan {theirs}, and this is {ours}: upgrade hdrgan to load it.")


def _check_tensors(
    path: Path, header: Mapping[str, tuple[tuple[int, ...], str]], expected: Mapping[str, Tensor]
) -> None:
    if missing := sorted(expected.keys() - header.keys()):
        raise PretrainedError(f"{path} lacks {_listed(missing)}.")
    if extra := sorted(header.keys() - expected.keys()):
        raise PretrainedError(f"{path} has {_listed(extra)}, which the network does not know.")
    for key, wanted in expected.items():
        shape, stored = header[key]
        if shape != tuple(wanted.shape):
            raise PretrainedError(f"{path} has {key} of shape {shape}, and the network needs {tuple(wanted.shape)}.")
        floating = wanted.is_floating_point()
        if (stored not in _FLOAT_TYPES) if floating else (_OTHER_TYPES.get(stored) != wanted.dtype):
            allowed = " or ".join(_FLOAT_TYPES) if floating else str(wanted.dtype)
            raise PretrainedError(f"{path} stores {key} as {stored}, and the network needs {allowed}.")


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise PretrainedError(f"{path} is damaged: {_first_line(error)}.") from error
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise PretrainedError(f"{path} has values in {key} that are not finite.")
    return state


def _training_of(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        summary = json.loads(metadata.get("training", "{}"))
    except (TypeError, ValueError, RecursionError) as error:
        raise PretrainedError(f"{path} has a training summary that is not JSON.") from error
    return summary if isinstance(summary, dict) else {}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"{_listed(sorted({key for key in keys if keys.count(key) > 1}))} is there twice")
    return dict(pairs)


def _pickle_hint(folder: Path) -> str:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _PICKLE_SUFFIXES)
    return f", only {pickles[0]}, a pickle, which is never opened" if pickles else ""


def _listed(names: list[str], most: int = 4) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _first_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__).rstrip(".")[:300]
