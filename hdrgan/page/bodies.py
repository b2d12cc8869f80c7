"""What a request brings: within limits of size and time, and without long form fields. Standard library only."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FIELD_BYTES = 64 << 10
TOO_LONG_FIELDS = f"Beside its files this form has more than the {FIELD_BYTES >> 10} KB that this server takes."
NO_FORM = "This form cannot be read; send it as a browser does, with one boundary on lines of its own."
_CHARSET = r'(?:\s*;\s*charset="?[-\w]+"?)?'
_BOUNDARY = re.compile(
    rf"""multipart/form-data{_CHARSET}\s*;\s*boundary=("?)([^";,\s]{{1,200}})\1{_CHARSET}\s*""".encode(), re.IGNORECASE
)
_QUOTED = re.compile(rb'"(?:\\"|[^"\\]|\\(?!"))*"')


class RefusalError(Exception):
    """A request that gets an answer and nothing else: a sentence, or what its sender needs in order to show one."""

    def __init__(self, status: int, detail: str, content: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.content = content


@dataclass
class RequestLog:
    """What is logged about one request."""

    started: float = field(default_factory=time.monotonic)
    taken: int = 0
    given: int = 0
    status: int = 0
    broken_off: bool = False


def too_large(most: int) -> str:
    """The sentence for who sends more bytes than that."""
    return f"This request is larger than the {most / 2**20:.4g} MB that this server takes."


def bounded(receive: Receive, most: int, seconds: float, exchange: RequestLog) -> Receive:
    """Bound what comes in, and until when; after the body, only the news that the visitor left comes through here."""
    deadline = time.monotonic() + seconds
    arrived = False

    async def part() -> Message:
        nonlocal arrived
        if arrived:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise RefusalError(408, f"This request did not arrive within {seconds:g} seconds.") from None
        exchange.taken += len(message.get("body", b""))
        if exchange.taken > most:
            raise RefusalError(413, too_large(most))
        exchange.broken_off = message["type"] == "http.disconnect"
        arrived = exchange.broken_off or not message.get("more_body", False)
        return message

    return part


def without_long_fields(receive: Receive, headers: Iterable[tuple[bytes, bytes]]) -> Receive:
    """Refuse a form whose plain fields are long together: a form's reader holds those in memory, unlike files.

    A form that another reader may take apart at other places than this one does is refused as well.
    """
    content_type = b", ".join(value for name, value in headers if name.lower() == b"content-type")
    if b"multipart" not in content_type.lower():
        return receive
    named = _BOUNDARY.fullmatch(content_type.strip())
    if named is None:
        raise RefusalError(400, NO_FORM)
    fields = _PlainFields(named[2])

    async def checked() -> Message:
        message = await receive()
        fields.feed(message.get("body", b""))
        return message

    return checked


class _PlainFields:
    """Follow a form as it arrives, and refuse it when its plain fields and the heads of its parts become too long."""

    def __init__(self, boundary: bytes) -> None:
        self._end = b"\r\n--" + boundary
        self._rest = b"\r\n"  # what is not yet told apart; the first boundary has no line before it
        self._in_head, self._plain, self._held = False, True, 0

    def feed(self, body: bytes) -> None:
        self._rest += body
        while True:
            mark = b"\r\n\r\n" if self._in_head else self._end
            at = self._rest.find(mark)
            seen = at if at >= 0 else max(0, len(self._rest) - len(mark))
            if self._held + seen * (self._in_head or self._plain) > FIELD_BYTES:
                raise RefusalError(413, TOO_LONG_FIELDS)
            behind = self._rest[at + len(mark) :] if at >= 0 else b""
            if self._in_head:
                if at < 0:
                    return
                self._held += at
                self._plain, self._in_head = not _names_a_file(self._rest[:at]), False
            else:
                self._held += seen * self._plain
                if len(behind) < 2:  # the end of a line or of the form is still to come
                    self._rest = self._rest[seen:]
                    return
                if behind[:2] not in (b"\r\n", b"--"):
                    raise RefusalError(400, NO_FORM)
                self._in_head = True
            self._rest = behind


def _names_a_file(head: bytes) -> bool:
    """Whether the head of a part names a file, for every reader; what is in quotes does not count."""
    lines = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-disposition:")]
    bare = _QUOTED.sub(b"", lines[0]) if len(lines) == 1 else b""
    return b'"' not in bare and re.search(rb";[ \t]*filename[ \t]*=", bare) is not None


async def whole(receive: Receive) -> tuple[bytes, bool]:
    """All of a body, and whether its sender left before the end."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"", True
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts), False


def replay(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read already to an application."""
    told = False

    async def part() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return part
