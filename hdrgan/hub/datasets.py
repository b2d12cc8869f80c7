"""Data sets on the Hugging Face Hub: fetching one to train on, and publishing one that was prepared."""

from __future__ import annotations

from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import DatasetCard, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from hdrgan.data.bracket_folder import PICTURE_SUFFIXES
from hdrgan.data.describe import CARD_NAME, METADATA_NAME, NOT_STATED
from hdrgan.data.hdr_folder import SCENE_TABLE
from hdrgan.data.layout import RADIANCE_SUFFIXES, TABLE_SUFFIXES, recognise_layout
from hdrgan.hub.access import HubError, hub_api, reason
from hdrgan.version import __version__


def fetch_dataset(repo_id: str, *, revision: str | None = None, token: str | bool | None = None) -> Path:
    """Download a data set of the Hub, or what has changed of it since.

    Args:
        repo_id: ``user/name``.
        revision: branch, tag or commit.
        token: access token of the Hub; None uses the stored login.

    Returns:
        Its folder in the Hub's cache.

    Raises:
        HubError: it is not there, private, or out of reach and not in the cache.
    """
    try:
        folder = snapshot_download(
            repo_id,
            repo_type="dataset",
            revision=revision,
            token=token,
            library_name="hdrgan",
            library_version=__version__,
        )
    except LocalEntryNotFoundError as error:
        raise HubError(f"The Hub cannot be reached, and the data set {repo_id} is not in the cache.") from error
    except (HTTPError, ValueError, OSError) as error:
        raise HubError(
            f"There is no folder {repo_id}, and no such data set could be fetched from the Hub: {reason(error)}."
        ) from error
    return Path(folder)


def stated_licence(folder: Path) -> str:
    """The licence that the card of a data set states in its front matter; several are listed, and "other" is named."""
    try:
        data = vars(DatasetCard((folder / CARD_NAME).read_text(encoding="utf-8"), ignore_metadata_errors=True).data)
    except Exception:  # there is no card, or a stranger's is no YAML
        return NOT_STATED
    stated = data.get("license")
    named = stated if isinstance(stated, list) else [stated]
    words = {"other": data.get("license_name") or "other, see the card of the data", "unknown": NOT_STATED}
    return ", ".join(str(words.get(one, one)) for one in named if one) or NOT_STATED


def push_dataset(
    folder: Path, repo_id: str, *, private: bool = False, message: str | None = None, token: str | bool | None = None
) -> str:
    """Publish a data set as one commit: pictures, tables and card; other files of its folder are not published.

    Args:
        folder: of one of the known layouts, with a card, as `hdrgan.data.prepare.prepare` writes it.
        repo_id: ``user/name``; made where it is not there.
        private: make it private; an existing public one is refused.
        message: of the commit.
        token: access token of the Hub; None uses the stored login.

    Returns:
        Its address.

    Raises:
        DatasetError: the folder is no data set.
        HubError: the Hub refused or was out of reach.
        ValueError: the folder has no card.
    """
    layout = recognise_layout(folder)
    if not (folder / CARD_NAME).is_file():
        raise ValueError(f"{folder} has no {CARD_NAME}, which says what the data are and under which licence")
    suffixes = sorted(PICTURE_SUFFIXES | set(RADIANCE_SUFFIXES))
    named = [CARD_NAME, METADATA_NAME, SCENE_TABLE, "evs.json", "**/evs.json", *(f"*{s}" for s in TABLE_SUFFIXES)]
    api = hub_api(token)
    try:
        made = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        if private and not api.repo_info(repo_id, repo_type="dataset").private:
            raise ValueError("it is there already, and public")
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=[*named, *(f"**/*{suffix}" for suffix in suffixes), *(f"*{suffix}" for suffix in suffixes)],
            ignore_patterns=[".*", "**/.*"],
            commit_message=message or f"Publish data of the layout {layout}",
        )
    except (OSError, ValueError, RuntimeError, HTTPError) as error:
        raise HubError(f"The data set {repo_id} was not published: {reason(error)}.") from error
    return str(made)
