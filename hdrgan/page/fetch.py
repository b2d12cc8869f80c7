"""Photos by address, where the operator allows it: https only, public addresses only, bounded in bytes and time."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote

import httpx
import safehttpx

SECONDS = 30.0
"""That one photo may take to arrive."""

_REDIRECTS = 5
_PORT = 443


class FetchError(OSError):
    """An address that is not opened, or that has no photo; the message is for whoever named it."""


def is_public(address: str) -> bool:
    """Whether an IP address is of the internet at large: not of this machine, its network, or a cloud's own services.

    >>> [is_public(a) for a in ("1.1.1.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "::1", "::ffff:10.0.0.1")]
    [True, False, False, False, False, False]
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        # Other ways of writing an IPv4 address.
        if ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip in ipaddress.ip_network("64:ff9b::/96"):
            return False
    return ip.is_global and not ip.is_multicast


async def resolve(host: str) -> list[str]:
    """All addresses of a host."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(entry[4][0]) for entry in found]


async def fetch(
    url: str,
    folder: Path,
    most_bytes: int,
    *,
    seconds: float = SECONDS,
    resolve: Callable[[str], Awaitable[list[str]]] = resolve,
    transport: Callable[[str], httpx.AsyncBaseTransport] = safehttpx.AsyncSecureTransport,
) -> Path:
    """Fetch a file.

    Args:
        url: https, on the usual port, without a name and password.
        folder: takes a folder with the file.
        most_bytes: that it may have.
        seconds: that it may take.
        resolve: from a host to its addresses.
        transport: from the address that was checked to what connects with that very one: asked again, a name may lead
            elsewhere.

    Raises:
        FetchError: the address is refused, or nothing came.
    """
    try:
        async with asyncio.timeout(seconds):
            for _ in range(_REDIRECTS + 1):
                verified = await _verified(url, resolve)
                async with (
                    httpx.AsyncClient(transport=transport(verified), timeout=seconds) as client,
                    client.stream("GET", url, follow_redirects=False) as answer,
                ):
                    if answer.has_redirect_location:
                        url = str(httpx.URL(url).join(answer.headers["location"]))
                        continue
                    if answer.status_code != 200:
                        raise FetchError(f"That address answers {answer.status_code}, and no photo.")
                    return await _saved(answer, folder, most_bytes)
    except TimeoutError:
        raise FetchError(f"The photo did not arrive within {seconds:g} seconds.") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        raise FetchError("That address cannot be opened.") from None
    raise FetchError("That address leads from one to the next.")


async def _verified(url: str, resolve: Callable[[str], Awaitable[list[str]]]) -> str:
    parts = httpx.URL(url)
    if parts.scheme != "https" or parts.port not in (None, _PORT) or parts.userinfo or not parts.host:
        raise FetchError("Only plain https addresses are opened.")
    addresses = await resolve(parts.host)
    # One that is not public among them is an attempt to get in by turns.
    if not addresses or not all(is_public(address) for address in addresses):
        raise FetchError("Only addresses of the public internet are opened.")
    return addresses[0]


async def _saved(answer: httpx.Response, folder: Path, most_bytes: int) -> Path:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(answer.request.url.path.rsplit("/", 1)[-1]))[-80:].lstrip(".")
    inside = folder / f"fetched-{secrets.token_hex(16)}"
    inside.mkdir(mode=0o700)
    path = inside / (name or "photo")
    size = 0
    try:
        with path.open("wb") as file:
            async for part in answer.aiter_bytes(1 << 16):
                size += len(part)
                if size > most_bytes:
                    raise FetchError(f"That photo is larger than the {most_bytes >> 20} MB that this server takes.")
                file.write(part)
    except BaseException:
        path.unlink(missing_ok=True)
        inside.rmdir()
        raise
    return path
