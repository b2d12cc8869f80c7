"""What a request brings: within limits of size and time, and without long form fields. Standard library only."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FIELD_BYTES = 64 << 10
TOO_LONG_FIELD = f"A form field of this request is larger than the {FIELD_BYTES >> 10} KB that this server takes."


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


def without_long_fields(receive: Receive, content_type: bytes) -> Receive:
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
                    raise RefusalError(413, TOO_LONG_FIELD)
                if at < 0:
                    return
                self._plain, self._size = b"filename" not in self._rest[:at].lower(), 0
            else:
                self._size += seen
                if self._plain and self._size > FIELD_BYTES:
                    raise RefusalError(413, TOO_LONG_FIELD)
                if at < 0:
                    self._rest = self._rest[seen:]
                    return
            self._rest = self._rest[at + len(mark) :]
            self._in_head = not self._in_head


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
