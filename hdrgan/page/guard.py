"""Protect the page from untrusted clients: limits, an allow list of paths, and a log. Standard library only."""

from __future__ import annotations

import json
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from hdrgan.page.bodies import (
    Message,
    Receive,
    RefusalError,
    RequestLog,
    Send,
    bounded,
    replay,
    too_large,
    whole,
    without_long_fields,
)
from hdrgan.page.housekeeping import has_room

log = logging.getLogger(__name__)

Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

API = "/gradio_api"
HEALTH = "/healthz"
FORM_BYTES = 1 << 20  # that a form may add to its file: its reader meets the limit of a file first, and tidies up

# What the page and its programs use; Gradio has more, for its developers and for what this page does not do.
_OPEN = re.compile(
    r"/(config/?|theme\.css|manifest\.json|favicon\.ico|card\.jpg|robots\.txt|(assets|static|svelte)/.*)?"
    rf"|{API}/?((info|openapi\.json|startup-events|app_id|theme\.css|upload|upload_progress|cancel|reset)/?"
    r"|(heartbeat|call|api|run|queue)/.*|file=.*|mcp(/.*)?)?",
    re.DOTALL,
)
_ADDRESSES = re.compile(rf"{API}/(proxy=|file(=|/)\s*[a-z][a-z0-9+.-]+:)", re.IGNORECASE)
_JOINS = re.compile(rf"{API}/(queue/join|call/|run/|api/)")
_TOOLS = f"{API}/mcp"
_STREAMS = re.compile(rf"{API}/(queue/data|call/)")
_WEB = re.compile(r"https://", re.IGNORECASE)
_ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]+:/|data:|//)", re.IGNORECASE)
_NAMED = re.compile(rf"{API}(/[a-z_]{{1,24}}){{1,2}}|/[a-z_]{{0,24}}")
_OURS = f"{API}/file="
_FILES = re.compile(rf"{_OURS}|/(assets|static|svelte)/")
_RANGE = re.compile(rb"bytes=(\d+-\d*|-\d+)")  # several at once are answered by the whole file

BUSY = "The page is busy: as many photos as it takes are waiting already. Please try again in a minute."
CROWDED = "The page is busy: it has as many visitors as it takes. Please try again in a minute."
NO_FIT = f"This request fits none of the functions that this server has; {API}/info lists them."
NO_ADDRESSES = f"This server opens no addresses. Upload the photo to {API}/upload, and name the path that it answers."
ONLY_HTTPS = f"This server opens https addresses alone. Upload the photo to {API}/upload, and name the path it answers."
GONE = "There is no such file here. Photos and results are deleted after some minutes: please send the photo again."
NOT_ASKED = "There is no answer of that name: nothing was asked, or it was given already. Please ask again."
NOT_OFFERED = "This server does not offer that."
_BUSY_OR_UNFIT = {503: (503, {"detail": BUSY}, (b"retry-after", b"60")), 422: (422, {"detail": NO_FIT})}
MANY_UPLOADS = "This server has as many uploads under way from your address as it takes. Please try again in a minute."
# What the page itself does, and who may show it in a frame: the Hub, where it is a Space.
_POLICY = (
    b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    b"frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
)
NO_ROOM = "The disk of this server is full for the moment. Please try again in some minutes."


@dataclass(eq=False)
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

    app: Application
    _: KW_ONLY
    folder: Path
    upload_bytes: int
    json_bytes: int
    body_seconds: float
    connections: int
    disk_bytes: int
    fetch: Callable[[str], Awaitable[Path]] | None = None

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()
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
        exchange = RequestLog()
        self._open += 1
        try:
            await self._exchange(scope, receive, self._noting(send, exchange, scope), exchange)
        except RefusalError as refusal:
            if not exchange.status:
                content = refusal.content or _in_kind(scope, refusal.detail)
                await _answer(self._noting(send, exchange, scope), refusal.status, content)
        except Exception as error:
            # Log client errors without a traceback, so that they cannot flood the log.
            if exchange.broken_off:
                pass  # a client that disconnects during an upload gets no answer
            elif not exchange.status and _JOINS.match(scope["path"]):
                log.warning("a request that fits no function was refused: %s", type(error).__name__)
                await _answer(self._noting(send, exchange, scope), 400, {"detail": NO_FIT})
            elif not exchange.status and _FILES.match(scope["path"]):  # deleted meanwhile, or no name of a file
                log.warning("a file could not be sent: %s", type(error).__name__)
                await _answer(self._noting(send, exchange, scope), 404, _in_kind(scope, GONE))
            elif exchange.status and _STREAMS.match(scope["path"]):
                log.warning("a stream of events broke off: %s", type(error).__name__)
                await send({"type": "http.response.body", "body": b""})  # what was said reaches its reader
            else:
                raise
        finally:
            self._open -= 1
            _report(scope, exchange)

    async def _exchange(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, exchange: RequestLog
    ) -> None:
        path, headers = scope["path"], dict(scope["headers"])
        if self._open > self.connections:
            raise RefusalError(503, CROWDED)
        if _ADDRESSES.match(path):
            raise RefusalError(403, NO_ADDRESSES)
        if not _OPEN.fullmatch(path):
            raise RefusalError(403, NOT_OFFERED)
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._read(scope, receive, send)
            return
        upload = path.rstrip("/") == f"{API}/upload"
        most = self.upload_bytes + FORM_BYTES if upload else self.json_bytes
        with suppress(ValueError):
            announced = int(headers.get(b"content-length", b"0"))
            if announced > most:
                raise RefusalError(413, too_large(most))
        receive = bounded(receive, most, self.body_seconds, exchange)
        if upload:
            await self._upload(scope, without_long_fields(receive, scope["headers"]), send, most)
            return
        body, gone = await whole(receive)
        if gone:
            return
        body = await self._with_own_files(path, body)
        kept = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        scope = {**scope, "headers": [*kept, (b"content-length", b"%d" % len(body))]}
        await self.app(scope, replay(body, receive), _in_words(send, {} if path.startswith(_TOOLS) else _BUSY_OR_UNFIT))

    async def _read(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Hand on a request that only reads: of a page, of a file, of the news of a call."""
        path = scope["path"]
        if path.startswith(_OURS):
            kept = [(name, value) for name, value in scope["headers"] if name != b"range" or _RANGE.fullmatch(value)]
            missing = 404, _in_kind(scope, GONE)
            send, scope = _in_words(send, {403: missing, 404: missing}, held=(200, 206)), {**scope, "headers": kept}
        elif path.startswith(API):
            send = _in_words(_known(send), _BUSY_OR_UNFIT)
        await self.app(scope, receive, send)

    async def _upload(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, most: int) -> None:
        """Let an upload in if there is room for it beside all that are under way."""
        expected = most
        with suppress(ValueError):
            expected = int(dict(scope["headers"]).get(b"content-length", b"")) or most
        address = (scope.get("client") or ("",))[0]
        if not has_room(self.folder, self.disk_bytes, reserved=self._arriving + expected):
            raise RefusalError(507, NO_ROOM)
        if self._uploads[address] >= max(4, self.connections // 4):
            raise RefusalError(503, MANY_UPLOADS)
        self._arriving += expected
        self._uploads[address] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._arriving -= expected
            self._uploads[address] -= 1
            if not self._uploads[address]:
                del self._uploads[address]

    async def _with_own_files(self, path: str, body: bytes) -> bytes:
        """The body with files of this server only; a refusal where an address or a path names anything else."""
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return body  # the application has its own words for what is no JSON
        tool, one = path.startswith(_TOOLS), isinstance(message, dict)
        try:
            calls = [message] if one else message if isinstance(message, list) else []
            if tool:
                calls = [call.get("params") for call in calls if isinstance(call, dict)]
                calls = [call["arguments"] for call in calls if isinstance(call, dict) and "arguments" in call]
            named = (
                {each for each in _strings(calls) if _WEB.match(each) and _OURS not in each} if self.fetch else set()
            )
            fetched = await self._fetched(named) if tool or _JOINS.match(path) else {}
            for call in calls:
                self._localise(call, fetched, tool)
            return json.dumps(message).encode()
        except RecursionError:
            raise RefusalError(400, "This request is nested too deeply.") from None
        except RefusalError as refusal:
            if tool and one:  # in the answer of the tool, or its model reads no more than the status
                said = {"content": [{"type": "text", "text": refusal.detail}], "isError": True}
                answer = {"jsonrpc": "2.0", "id": message.get("id"), "result": said}
                raise RefusalError(200, refusal.detail, answer) from None
            if path.rstrip("/") == f"{API}/queue/join":  # where Gradio's clients show nothing else
                invalid = {
                    "__type__": "validate",
                    "is_valid": False,
                    "parameter_name": "photo",
                    "message": refusal.detail,
                }
                raise RefusalError(422, refusal.detail, {"detail": [invalid]}) from None
            raise

    async def _fetched(self, named: Collection[str]) -> dict[str, Path]:
        """Photos that a call names by their https addresses, where that is allowed: their paths."""
        if self.fetch is None or not named:
            return {}
        if len(named) > 1:
            raise RefusalError(400, "This server opens one address at a time.")
        if not has_room(self.folder, self.disk_bytes, reserved=self._arriving + self.upload_bytes):
            raise RefusalError(507, NO_ROOM)
        self._arriving += self.upload_bytes
        try:
            return {address: await self.fetch(address) for address in named}
        except OSError as refused:
            raise RefusalError(400, str(refused)) from None
        finally:
            self._arriving -= self.upload_bytes

    def _localise(self, node: Any, fetched: dict[str, Path], tool: bool) -> None:
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
            if not isinstance(value, str):
                self._localise(value, fetched, tool)
            elif _ADDRESS.match(value) or (tool and key == "photo"):
                path = fetched.get(value) or self._own_file(value)
                if tool:  # which takes a file by its address alone, and hands that on to its function
                    node[key] = f"http://127.0.0.1{_OURS}{quote(str(path))}"
                elif key == "path" or value in fetched:
                    node[key] = str(path)

    def _own_file(self, name: str) -> Path:
        """The upload that is named by its path, or by its address on this server."""
        own = not _ADDRESS.match(name)
        with suppress(ValueError, OSError):
            parts = urlsplit(name)
            if parts.scheme in ("http", "https") and _OURS in parts.path:
                own, name = True, unquote(parts.path.split(_OURS, 1)[1])
            path = Path(name).resolve()
            if own and path.is_relative_to(self.folder) and path.is_file():
                return path
        if own:
            raise RefusalError(404, GONE)
        raise RefusalError(400, ONLY_HTTPS if self.fetch else NO_ADDRESSES)

    def _noting(self, send: Send, exchange: RequestLog, scope: MutableMapping[str, Any]) -> Send:
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


def _in_words(send: Send, words: dict[int, Any], held: Collection[int] = ()) -> Send:
    """Give answers of some statuses others instead; the head of some is held back until their body begins.

    Args:
        send: where to.
        words: by a status, what is answered instead: status, content and headers.
        held: statuses of answers that may still break before their first byte.
    """
    head: Message | None = None

    async def worded(message: Message) -> None:
        nonlocal head
        if message["type"] == "http.response.start" and (message["status"] in words or message["status"] in held):
            head = message
        elif head is not None and head["status"] in words:
            if not message.get("more_body", False):
                status, content, *headers = words[head["status"]]
                await _answer(send, status, content, *headers)
        else:
            if head is not None:
                await send(head)
                head = None
            await send(message)

    return worded


def _known(send: Send) -> Send:
    """Say of a stream that nobody asked for, or that has ended, what Gradio gives a number for."""

    async def worded(message: Message) -> None:
        if b'"404: Not Found"' in message.get("body", b""):
            message = {**message, "body": message["body"].replace(b"404: Not Found", NOT_ASKED.encode())}
        await send(message)

    return worded


def _in_kind(scope: MutableMapping[str, Any], says: str) -> dict[str, Any] | str:
    """A sentence as its reader wants it: a person in a browser as it is, a program in JSON."""
    return says if b"text/html" in dict(scope["headers"]).get(b"accept", b"") else {"detail": says}


async def _answer(send: Send, status: int, content: dict[str, Any] | str, *headers: tuple[bytes, bytes]) -> None:
    kind, text = (b"application/json", json.dumps(content)) if isinstance(content, dict) else (b"text/plain", content)
    body = text.encode()
    fixed = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})


def _report(scope: MutableMapping[str, Any], exchange: RequestLog) -> None:
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
