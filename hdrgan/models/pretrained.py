"""What every network of ours has in common: configuration, strict and safe loading, safetensors with metadata.

A model is a folder with ``config.json`` (the constructor's arguments, the class, the library version),
``model.safetensors`` and ``SHA256SUMS`` (in the format of ``sha256sum -c``). It is found by the name of a bundled
model, by its path, or by its id on the Hugging Face Hub.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, cast

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from packaging.version import InvalidVersion, Version
from torch import nn

from hdrgan.models.finding import CARD_NAME, CONFIG_NAME, WEIGHTS_NAME, first_line, project_file
from hdrgan.models.finding import PretrainedError as PretrainedError  # part of this module's names, like the next
from hdrgan.models.finding import locate as locate
from hdrgan.models.weights_file import (
    check_tensors,
    listed,
    load_tensors,
    no_more_tensors_than,
    read_header,
    serialised,
    verify_checksum,
    write_checksums,
    write_file,
)
from hdrgan.version import __version__

_LARGEST_CONFIG = 1 << 16  # bytes; ours have a few hundred
_LARGEST_NUMBER = 4096  # of an argument: widths, counts, stops and shares all stay below it
_LONGEST_LIST = 64  # of an argument's numbers


def read_config(folder: Path) -> dict[str, Any]:
    """Read and verify a model folder's configuration.

    Returns:
        The JSON object; ``"_class_name"`` is the network's class and ``"_hdrgan_version"`` the version that wrote it,
        where recorded, all else are arguments of the constructor.

    Raises:
        PretrainedError: damaged, not the published file, or written by a later version of the library.
    """
    path = folder / CONFIG_NAME
    verify_checksum(path)
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        config = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_duplicates)
    except (OSError, ValueError, RecursionError) as error:
        raise PretrainedError(f"{path} cannot be read as a configuration: {first_line(error)}.") from error
    if not isinstance(config, dict):
        raise PretrainedError(f"{path} holds a JSON {type(config).__name__}, not an object of arguments.")
    if not isinstance(config.get("_class_name", ""), str):
        raise PretrainedError(f"{path} names no class: _class_name must be a word.")
    _check_version(path, config.get("_hdrgan_version"))
    return config


def count_parameters(folder: Path) -> int:
    """Number of values in the weights file of a model folder, read from its header alone."""
    return sum(math.prod(shape) for shape, _ in read_header(folder / WEIGHTS_NAME)[0].values())


class PretrainedModel(PyTorchModelHubMixin):
    """Base of the networks: ``class Net(nn.Module, PretrainedModel, library_name="hdrgan", license="mit", …)``.

    The constructor takes plain JSON-able values, which become ``config.json``, and can be run on torch's ``meta``
    device: a file is compared with that blueprint before any memory is spent on it. Loading is strict: every key of
    the configuration, every tensor's name, shape, type and finiteness is checked, a SHA-256 where one is published,
    and no pickle is ever opened.
    """

    training_summary: Mapping[str, Any] = MappingProxyType({})
    """How the weights were trained, as `save_pretrained` was told; kept in the weights file."""

    loaded_from: Path | None = None
    """The folder that `from_pretrained` read; a network that is as it was there is published with what lies there."""

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
        verify_checksum(weights_path)
        header, metadata = read_header(weights_path)
        _check_class(pretrained_model_name_or_path, metadata.get("class_name"), cls.__name__)
        try:
            with torch.device("meta"), no_more_tensors_than(header):
                blueprint = cast(nn.Module, cls(**arguments))
        except (TypeError, ValueError, ArithmeticError, IndexError, RuntimeError) as error:
            raise PretrainedError(
                f"{folder / CONFIG_NAME} does not fit a {cls.__name__}: {first_line(error)}."
            ) from error
        check_tensors(weights_path, header, blueprint.state_dict())
        state = load_tensors(weights_path)

        network = cls(**arguments)
        cast(nn.Module, network).load_state_dict(state, strict=True)
        cast(nn.Module, network).to(device=place, dtype=dtype or torch.float32).eval()
        network.training_summary = _training_of(weights_path, metadata)
        network.loaded_from = folder
        return network

    @classmethod
    def _arguments_of(cls, folder: Path, name: str | Path) -> dict[str, Any]:
        config = read_config(folder)
        _check_class(name, config.get("_class_name"), cls.__name__)
        arguments = {key: value for key, value in config.items() if not key.startswith("_")}
        expected = cls._constructor_arguments()
        if unknown := sorted(arguments.keys() - expected):
            raise PretrainedError(f"{folder / CONFIG_NAME} has {listed(unknown)}, which {cls.__name__} does not know.")
        if missing := sorted(expected - arguments.keys()):
            raise PretrainedError(f"{folder / CONFIG_NAME} lacks {listed(missing)}, which {cls.__name__} needs.")
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
            write_file(directory / CARD_NAME, str(card).encode())
        if push_to_hub:
            return self.push_to_hub(repo_id or directory.name, **push_to_hub_kwargs)
        return None

    def _save_pretrained(self, save_directory: Path, *, dtype: torch.dtype | None = None) -> None:
        arguments = self._arguments()
        if missing := sorted((self._constructor_arguments() - arguments.keys()).union(self._lost_arguments)):
            raise ValueError(f"{listed(missing)} of {type(self).__name__} cannot be written as JSON")
        config = {"_class_name": type(self).__name__, "_hdrgan_version": __version__, **arguments}
        metadata = {
            "format": "pt",
            "library": "hdrgan",
            "library_version": __version__,
            "class_name": type(self).__name__,
            "training": json.dumps(dict(self.training_summary), sort_keys=True, allow_nan=False),
        }
        weights = serialised(cast(nn.Module, self), dtype, metadata)
        text = json.dumps(config, sort_keys=True, indent=2, allow_nan=False)
        write_file(save_directory / WEIGHTS_NAME, weights)
        write_file(save_directory / CONFIG_NAME, f"{text}\n".encode())
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
        # hdrgan.hub is above the networks, which work without it: it is imported by name, when needed.
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


def _training_of(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    try:
        summary = json.loads(metadata.get("training", "{}"))
    except (TypeError, ValueError, RecursionError) as error:
        raise PretrainedError(f"{path} has a training summary that is not JSON.") from error
    return summary if isinstance(summary, dict) else {}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"{listed(sorted({key for key in keys if keys.count(key) > 1}))} is there twice")
    return dict(pairs)
