"""Data sets on the Hugging Face Hub: fetching one to train on."""

from __future__ import annotations

from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from hdrgan.hub.access import HubError, reason
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
