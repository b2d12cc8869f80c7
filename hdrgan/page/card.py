"""What a shared link shows: title, description and picture of the page, in the HTML that is served; and its icon."""

from __future__ import annotations

import io
import os
import re
from collections.abc import MutableMapping
from html import escape
from typing import Any

from gradio.route_utils import get_root_url
from PIL import Image, ImageDraw, ImageOps
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from hdrgan.models.finding import project_file
from hdrgan.page.bodies import Message, Receive, Send
from hdrgan.page.guard import Application
from hdrgan.page.look import DESCRIPTION, TITLE

BARS = ("#0b0d12", "#3a4254", "#8b8f94", "#e8c987", "#fff7e0")
"""Colours of the mark: five exposures, dark to bright."""

SIZE = (1200, 630)
"""Of the picture: what social networks show whole."""

_GRADIOS = re.compile(r"""<(meta\s+(property|name)="(og:|twitter:|description")[^>]*|title>[^<]*</title)>""")


class Card:
    """Wrap the page: its HTML carries our title, description and picture instead of Gradio's.

    Gradio's own option reaches the head by a script, which those who draw the cards of shared links do not run.

    Args:
        app: the application, by the ASGI specification.
    """

    def __init__(self, app: Application) -> None:
        self.app = app
        self.files = {"/card.jpg": (_picture(), "image/jpeg"), "/favicon.ico": (_icon(), "image/x-icon")}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, as the ASGI specification says."""
        path = scope["path"] if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        if path in self.files:
            content, kind = self.files[path]
            kept = {"cache-control": "public, max-age=86400"}
            await Response(content, media_type=kind, headers=kept)(scope, receive, send)
        else:
            await self.app(scope, receive, _with_card(Request(scope), send) if path == "/" else send)


def _with_card(request: Request, send: Send) -> Send:
    """Hold an answer back until it is whole, and give it our head if it is the page."""
    head: Message = {}
    body = bytearray()

    async def held(message: Message) -> None:
        nonlocal body
        if message["type"] == "http.response.start":
            head.update(message)
            return
        body += message.get("body", b"")
        if message.get("more_body", False):
            return
        headers = MutableHeaders(scope=head)
        if head["status"] == 200 and headers.get("content-type", "").startswith("text/html"):
            body = bytearray(_ours(body.decode(), request).encode())
            headers["content-length"] = str(len(body))
        await send(head)
        await send({"type": "http.response.body", "body": bytes(body)})

    return held


def _ours(page: str, request: Request) -> str:
    """The page with our tags where Gradio's first one is, and without all others of their kind."""
    root = escape(get_root_url(request, "/", os.environ.get("GRADIO_ROOT_PATH")))
    title, about = escape(TITLE), escape(DESCRIPTION)
    tags = iter(
        [
            f'<title>{title}</title><meta name="description" content="{about}">'
            f'<meta property="og:type" content="website"><meta property="og:url" content="{root}/">'
            f'<meta property="og:title" content="{title}"><meta property="og:description" content="{about}">'
            f'<meta property="og:image" content="{root}/card.jpg">'
            f'<meta property="og:image:width" content="{SIZE[0]}"><meta property="og:image:height" content="{SIZE[1]}">'
            '<meta name="twitter:card" content="summary_large_image"><link rel="icon" href="./favicon.ico">'
        ]
    )
    head, script, rest = page.partition("<script")
    return _GRADIOS.sub(lambda _: next(tags, ""), head) + script + rest


def _mark(side: int) -> Image.Image:
    mark = Image.new("RGB", (side, side))
    edges = [round(side * k / len(BARS)) for k in range(len(BARS) + 1)]
    for colour, left, right in zip(BARS, edges, edges[1:], strict=False):
        ImageDraw.Draw(mark).rectangle((left, 0, right - 1, side - 1), colour)
    return mark


def _icon() -> bytes:
    file = io.BytesIO()
    _mark(64).save(file, "ICO", sizes=[(side, side) for side in (16, 32, 48, 64)])
    return file.getvalue()


def _picture() -> bytes:
    """An example, which is in the public domain, with our mark in its corner."""
    with Image.open(project_file("examples") / "dandelions.jpg") as photo:
        card = ImageOps.fit(photo.convert("RGB"), SIZE)
    card.paste(_mark(120), (40, SIZE[1] - 160))
    file = io.BytesIO()
    card.save(file, "JPEG", quality=85)
    return file.getvalue()
