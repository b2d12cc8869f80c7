"""Protect the page from untrusted clients: limits, an allow list of paths, and a log. Standard library only."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hdrgan.page.housekeeping import has_room

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

API = "/gradio_api"
HEALTH = "/healthz"
FORM_BYTES = 1 << 20  # that a form may add to its file: its reader meets the limit of a file first, and tidies up

# What the page and its programs use; Gradio has more, for its developers and for what this page does not do.
_OPEN = re.compile(
    r"/(config/?|theme\.css|manifest\.json|favicon\.ico|robots\.txt|(assets|static|svelte)/.*)?"
    rf"|{API}/?((info|openapi\.json|startup-events|app_id|theme\.css|upload|upload_progress|cancel|reset)/?"
    r"|(heartbeat|call|api|run|queue)/.*|file=.*|mcp(/.*)?)?",
    re.DOTALL,
)
_ADDRESSES = re.compile(rf"{API}/(proxy=|file(=|/)\s*[a-z][a-z0-9+.-]+:)", re.IGNORECASE)
_JOINS = re.compile(rf"{API}/(queue/join|call/|run/|api/)")
_STREAMS = re.compile(rf"{API}/(queue/data|call/)")
_WEB = re.compile(r"https://", re.IGNORECASE)
_ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]+:/|data:|//)", re.IGNORECASE)
_NAMED = re.compile(rf"{API}(/[a-z_]{{1,24}}){{1,2}}|/[a-z_]{{0,24}}")
_OURS = f"{API}/file="

BUSY = "The page is busy: as many photos as it takes are waiting already. Please try again in a minute."
CROWDED = "The page is busy: it has as many visitors as it takes. Please try again in a minute."
NO_FIT = f"This request fits none of the functions that this server has; {API}/info lists them."
NO_ADDRESSES = f"This server opens no addresses. Upload the photo to {API}/upload, and name the path that it answers."
NOT_OFFERED = "This server does not offer that."
FIELD_BYTES = 64 << 10
TOO_LONG_FIELD = f"A form field of this request is larger than the {FIELD_BYTES >> 10} KB that this server takes."
MANY_UPLOADS = "This server has as many uploads under way from your address as it takes. Please try again in a minute."
# What the page itself does, and who may show it in a frame: the Hub, where it is a Space.
_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    b"frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
)
NO_ROOM = "The disk of this server is full for the moment. Please try again in some minutes."


class _RefusalError(Exception):
    """A request that gets an answer and nothing else."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass
class _RequestLog:
    """What is logged about one request."""

    started: float = field(default_factory=time.monotonic)
    taken: int = 0
    given: int = 0
    status: int = 0
    broken_off: bool = False


class Guard:
    """Wrap an application: bound what comes in, open no address, answer /healthz, and log time and size.

    Args:
        app: the application, by the ASGI specification.
        folder: of the temporary files; the only place whose files a request may name.
        upload_bytes: most bytes of one upload request.
        json_bytes: most bytes of any other request.
        body_seconds: a request must have arrived whole within this time.
        connections: most requests at a time, open event streams included.
        disk_bytes: uploads are refused while the folder holds as much.
        fetch: saves the photo at an https address in the folder, or raises with a sentence; None opens no address.
    """

    def __init__(
        self,
        app: Application,
        *,
        folder: Path,
        upload_bytes: int,
        json_bytes: int,
        body_seconds: float,
        connections: int,
        disk_bytes: int,
        fetch: Callable[[str], Awaitable[Path]] | None = None,
    ) -> None:
        self.app = app
        self.fetch = fetch
        self.folder = folder.resolve()
        self.upload_bytes = upload_bytes
        self.json_bytes = json_bytes
        self.body_seconds = body_seconds
        self.connections = connections
        self.disk_bytes = disk_bytes
        self._open = 0
        self._arriving = 0  # bytes that uploads under way may still bring
        self._uploads: Counter[str] = Counter()  # uploads under way, by address

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, as the ASGI specification says."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == HEALTH:
            await _answer(send, 200, {"status": "ok"})
            return
        exchange = _RequestLog()
        self._open += 1
        try:
            await self._exchange(scope, receive, self._noting(send, exchange, scope), exchange)
        except _RefusalError as refusal:
            if not exchange.status:
                await _answer(self._noting(send, exchange, scope), refusal.status, {"detail": refusal.detail})
        except Exception as error:
            # Log client errors without a traceback, so that they cannot flood the log.
            if exchange.broken_off:
                pass  # a client that disconnects during an upload gets no answer
            elif not exchange.status and _JOINS.match(scope["path"]):
                log.warning("a request that fits no function was refused: %s", type(error).__name__)
                await _answer(self._noting(send, exchange, scope), 400, {"detail": NO_FIT})
            elif exchange.status and _STREAMS.match(scope["path"]):
                log.warning("a stream of events broke off: %s", type(error).__name__)
            else:
                raise
        finally:
            self._open -= 1
            _report(scope, exchange)

    async def _exchange(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, exchange: _RequestLog
    ) -> None:
        path, headers = scope["path"], dict(scope["headers"])
        if self._open > self.connections:
            raise _RefusalError(503, CROWDED)
        if _ADDRESSES.match(path):
            raise _RefusalError(403, NO_ADDRESSES)
        if not _OPEN.fullmatch(path):
            raise _RefusalError(403, NOT_OFFERED)
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        upload = path.rstrip("/") == f"{API}/upload"
        most = self.upload_bytes + FORM_BYTES if upload else self.json_bytes
        with suppress(ValueError):
            announced = int(headers.get(b"content-length", b"0"))
            if announced > most:
                raise _RefusalError(413, _too_large(most))
        receive = _bounded(receive, most, self.body_seconds, exchange)
        if upload:
            await self._upload(scope, _without_long_fields(receive, headers.get(b"content-type", b"")), send, most)
            return
        body, gone = await _whole(receive)
        if gone:
            return
        body = self._without_addresses(path, body, await self._fetched(path, body))
        kept = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        scope = {**scope, "headers": [*kept, (b"content-length", b"%d" % len(body))]}
        await self.app(scope, _replay(body, receive), _in_words(send) if _JOINS.match(path) else send)

    async def _upload(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, most: int) -> None:
        """Let an upload in if there is room for it beside all that are under way."""
        expected = most
        with suppress(ValueError):
            expected = int(dict(scope["headers"]).get(b"content-length", b"")) or most
        address = (scope.get("client") or ("",))[0]
        if not has_room(self.folder, self.disk_bytes, reserved=self._arriving + expected):
            raise _RefusalError(507, NO_ROOM)
        if self._uploads[address] >= max(4, self.connections // 4):
            raise _RefusalError(503, MANY_UPLOADS)
        self._arriving += expected
        self._uploads[address] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._arriving -= expected
            self._uploads[address] -= 1
            if not self._uploads[address]:
                del self._uploads[address]

    async def _fetched(self, path: str, body: bytes) -> dict[str, Path | None]:
        """Photos that a call names by their https addresses, where that is allowed: their paths.

        A tool's call comes in a second time as a call of its function; only then is its photo fetched.
        """
        tool = path.startswith(f"{API}/mcp")
        if self.fetch is None or not (tool or _JOINS.match(path)):
            return {}
        with suppress(ValueError, RecursionError):
            named = {one for one in _strings(json.loads(body)) if _WEB.match(one) and _OURS not in one}
            if tool:
                return dict.fromkeys(named)
            if len(named) > 1:
                raise _RefusalError(400, "This server opens one address at a time.")
            if named and not has_room(self.folder, self.disk_bytes, reserved=self._arriving + self.upload_bytes):
                raise _RefusalError(507, NO_ROOM)
            self._arriving += self.upload_bytes
            try:
                return {address: await self.fetch(address) for address in named}
            except OSError as refused:
                raise _RefusalError(400, str(refused)) from None
            finally:
                self._arriving -= self.upload_bytes
        return {}

    def _without_addresses(self, path: str, body: bytes, fetched: dict[str, Path | None]) -> bytes:
        """The body with files named by path only; a refusal where an address names anything else."""
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return body  # the application has its own words for what is no JSON
        try:
            for call in message if isinstance(message, list) else [message]:
                if path.startswith(f"{API}/mcp"):
                    arguments = call.get("params") if isinstance(call, dict) else None
                    if isinstance(arguments, dict) and "arguments" in arguments:
                        self._localise(arguments["arguments"], fetched)
                else:
                    self._localise(call, fetched)
            return json.dumps(message).encode()
        except RecursionError:
            raise _RefusalError(400, "This request is nested too deeply.") from None

    def _localise(self, node: Any, fetched: dict[str, Path | None]) -> None:
        pairs: Iterable[tuple[Any, Any]]
        if isinstance(node, dict):
            if "path" in node and isinstance(node.get("url"), str):
                node["url"] = None  # the page sends it along, and nothing here reads it
            pairs = list(node.items())
        elif isinstance(node, list):
            pairs = list(enumerate(node))
        else:
            return
        for key, value in pairs:
            if isinstance(value, str) and value in fetched:
                node[key] = str(fetched[value] or value)
            elif isinstance(value, str) and _ADDRESS.match(value):
                node[key] = self._own_file(value, as_path=key == "path")
            else:
                self._localise(value, fetched)

    def _own_file(self, address: str, *, as_path: bool) -> str:
        """The path of an upload named by its address on this server; a tool gets the address of the path again."""
        with suppress(ValueError, OSError):
            parts = urlsplit(address)
            if parts.scheme in ("http", "https") and _OURS in parts.path:
                path = Path(unquote(parts.path.split(_OURS, 1)[1])).resolve()
                if path.is_relative_to(self.folder) and path.is_file():
                    return str(path) if as_path else address
        raise _RefusalError(400, NO_ADDRESSES)

    def _noting(self, send: Send, exchange: _RequestLog, scope: MutableMapping[str, Any]) -> Send:
        private = scope["path"].startswith(_OURS)

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                extra = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin")]
                extra.append((b"content-security-policy", _POLICY))
                if private:  # no cache on the way may keep somebody's photo
                    extra.append((b"cache-control", b"private"))
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            exchange.given += len(message.get("body", b""))
            await send(message)

        return note


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _strings(value)


def _too_large(most: int) -> str:
    return f"This request is larger than the {most / 2**20:.4g} MB that this server takes."


def _bounded(receive: Receive, most: int, seconds: float, exchange: _RequestLog) -> Receive:
    """Bound what comes in, and until when; after the body, only the news that the visitor left comes through here."""
    deadline = time.monotonic() + seconds
    arrived = False

    async def bounded() -> Message:
        nonlocal arrived
        if arrived:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise _RefusalError(408, f"This request did not arrive within {seconds:g} seconds.") from None
        exchange.taken += len(message.get("body", b""))
        if exchange.taken > most:
            raise _RefusalError(413, _too_large(most))
        exchange.broken_off = message["type"] == "http.disconnect"
        arrived = exchange.broken_off or not message.get("more_body", False)
        return message

    return bounded


def _without_long_fields(receive: Receive, content_type: bytes) -> Receive:
    """Refuse a form with a long plain field: a form's reader holds those in memory, unlike files."""
    named = re.search(rb'boundary="?([^";,\s]{1,200})', content_type)
    if named is None:
        return receive
    fields = _PlainFields(named[1])

    async def checked() -> Message:
        message = await receive()
        fields.feed(message.get("body", b""))
        return message

    return checked


class _PlainFields:
    """Follow a form as it arrives, and refuse it at a plain field, or a head of a part, that is too long."""

    def __init__(self, boundary: bytes) -> None:
        self._end = b"\r\n--" + boundary
        self._rest = b"\r\n"  # what is not yet told apart; the first boundary has no line before it
        self._in_head, self._plain, self._size = False, True, 0

    def feed(self, body: bytes) -> None:
        self._rest += body
        while True:
            mark = b"\r\n\r\n" if self._in_head else self._end
            at = self._rest.find(mark)
            seen = at if at >= 0 else max(0, len(self._rest) - len(mark))
            if self._in_head:
                if seen > FIELD_BYTES:
                    raise _RefusalError(413, TOO_LONG_FIELD)
                if at < 0:
                    return
                self._plain, self._size = b"filename" not in self._rest[:at].lower(), 0
            else:
                self._size += seen
                if self._plain and self._size > FIELD_BYTES:
                    raise _RefusalError(413, TOO_LONG_FIELD)
                if at < 0:
                    self._rest = self._rest[seen:]
                    return
            self._rest = self._rest[at + len(mark) :]
            self._in_head = not self._in_head


async def _whole(receive: Receive) -> tuple[bytes, bool]:
    """All of a body, and whether its sender left before the end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"", True
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts), False


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _in_words(send: Send) -> Send:
    """Explain a full queue to the visitor, and when to try again; and a request of the wrong form."""
    refused = 0

    async def worded(message: Message) -> None:
        nonlocal refused
        if message["type"] == "http.response.start" and message["status"] in (422, 503):
            refused = message["status"]
        elif not refused:
            await send(message)
        elif not message.get("more_body", False):
            if refused == 503:
                await _answer(send, 503, {"detail": BUSY}, (b"retry-after", b"60"))
            else:
                await _answer(send, 422, {"detail": NO_FIT})

    return worded


async def _answer(send: Send, status: int, content: dict[str, str], *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps(content).encode()
    fixed = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    fixed.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})


def _report(scope: MutableMapping[str, Any], exchange: _RequestLog) -> None:
    """Log one request: path, duration, size. No file name, no address of a visitor, nothing of a photo."""
    path = scope["path"]
    telling = scope["method"] == "POST" or path.startswith(f"{API}/file") or exchange.status >= 400
    door = _NAMED.match(path)
    log.log(
        logging.INFO if telling else logging.DEBUG,
        "%s %s: %s in %.2f s, %d bytes in, %d bytes out",
        scope["method"],
        door[0] if door else "/",
        exchange.status or "no answer",
        time.monotonic() - exchange.started,
        exchange.taken,
        exchange.given,
    )
