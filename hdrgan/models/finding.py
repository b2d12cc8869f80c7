"""Where a model is: inside the package, in a folder, or on the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import errors, hf_hub_download

from hdrgan.version import __version__

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
CHECKSUMS_NAME = "SHA256SUMS"
CARD_NAME = "README.md"

_PACKAGE = Path(__file__).resolve().parent.parent
_PICKLE_SUFFIXES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


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


def _download(repo_id: str, filename: str, revision: str | None, options: dict[str, Any]) -> Path:
    at = f"{repo_id} at revision {revision}" if revision else repo_id
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"} or options["local_files_only"]
    try:
        return Path(
            hf_hub_download(
                repo_id, filename, revision=revision, library_name="hdrgan", library_version=__version__, **options
            )
        )
    except errors.HFValidationError as error:
        raise PretrainedError(f"{repo_id!r} is not a valid name of a model on the Hub, which is user/name.") from error
    except errors.LocalEntryNotFoundError as error:
        if offline:
            why = f"{filename} of {at} is not in the cache, and downloads are switched off"
        else:
            why = f"The Hub cannot be reached, and {filename} of {at} is not in the cache"
        raise PretrainedError(f"{why}.") from error
    except errors.GatedRepoError as error:
        raise PretrainedError(f"{repo_id} is gated: ask for access on its page, then run 'hf auth login'.") from error
    except errors.RepositoryNotFoundError as error:
        raise PretrainedError(
            f"The Hub has no model {repo_id}, or it is private and you are not logged in ('hf auth login')."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise PretrainedError(f"{repo_id} has no revision {revision!r} (a branch, a tag or a commit).") from error
    except errors.EntryNotFoundError as error:
        raise PretrainedError(f"{at} has no {filename}: it is not a model of this library.") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        raise PretrainedError(f"The Hub answered {code} when asked for {filename} of {at}.") from error
    except (OSError, HTTPError) as error:
        raise PretrainedError(f"{filename} of {at} cannot be downloaded: {first_line(error)}.") from error


def _pickle_hint(folder: Path) -> str:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in _PICKLE_SUFFIXES)
    return f", only {pickles[0]}, a pickle, which is never opened" if pickles else ""


def first_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__).rstrip(".")[:300]
