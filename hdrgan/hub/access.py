"""Who may write to the Hugging Face Hub, and what its refusals mean in a sentence."""

from __future__ import annotations

from httpx2 import HTTPError
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

from hdrgan.version import __version__


class HubError(OSError):
    """The Hub could not do what was asked; the message is one sentence that says why and what is there now."""


def hub_api(token: str | bool | None = None) -> HfApi:
    """The Hub's client, under the library's name; ``token`` None uses the stored login."""
    return HfApi(token=token, library_name="hdrgan", library_version=__version__)


def check_push(repo_id: str, *, token: str | bool | None = None) -> None:
    """Make sure that somebody is logged in who may write to a model repository, before long work is begun for it.

    Args:
        repo_id: ``user/name``; it need not be there yet.
        token: access token of the Hub; None uses the stored login.

    Raises:
        HubError: nobody is, or they may not, or the Hub cannot be reached.
    """
    namespace, slash, name = repo_id.partition("/")
    if not slash or not namespace or not name or "/" in name:
        raise HubError(f"{repo_id!r} is not a name on the Hub, which is written user/name.")
    api = hub_api(token)
    try:
        known = api.whoami()
        spaces = {known["name"], *(org["name"] for org in known.get("orgs", ()))}
        if namespace not in spaces:
            raise HubError(f"Logged in as {known['name']}, who may not publish {repo_id}.")
        if api.repo_exists(repo_id):
            api.auth_check(repo_id, write=True)
    except (HTTPError, HFValidationError, ValueError, OSError) as error:
        if isinstance(error, HubError):
            raise
        raise HubError(f"{repo_id} cannot be published: {reason(error)}.") from error


def reason(error: BaseException) -> str:
    """What went wrong between us and the Hub, as the end of a sentence."""
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        return reason(error.__cause__)
    if isinstance(error, LocalTokenNotFoundError):
        return "you are not logged in ('hf auth login')"
    if isinstance(error, HFValidationError):
        return "its name must be written user/name"
    if isinstance(error, HfHubHTTPError):
        code = error.response.status_code
        meaning = {
            401: "you are not logged in, or the token is wrong ('hf auth login')",
            403: "the token may not write there",
            404: "it is not there",
            412: "somebody else changed it at the same time",
        }
        return meaning.get(code, f"the Hub answered {code}")
    if isinstance(error, HTTPError | ConnectionError | TimeoutError):
        return "the Hub cannot be reached"
    return " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__
