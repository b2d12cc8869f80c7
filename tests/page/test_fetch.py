"""Photos by address: what is opened, what is not, and how much of it. Nothing here leaves this machine."""

from __future__ import annotations

import asyncio
import doctest

import httpx
import pytest
from test_guard import CALL, Echo, guarded, request

from hdrgan.page import fetch as module
from hdrgan.page.fetch import FetchError, fetch, is_public
from hdrgan.page.guard import NO_ADDRESSES, ONLY_HTTPS
from hdrgan.page.settings import Settings

PUBLIC, URL = "93.184.216.34", "https://photos.example/a%20b/IMG_1.jpg?size=full"


def run(url, folder, answer=None, addresses=(PUBLIC,)):
    """Fetch from a web of one function."""
    asked = []

    async def resolve(host):
        return list(addresses[host]) if isinstance(addresses, dict) else list(addresses)

    def respond(asks):
        asked.append(str(asks.url))
        return answer(asks) if callable(answer) else answer or httpx.Response(200, content=b"photo")

    def transport(verified):
        asked.append(verified)
        return httpx.MockTransport(respond)

    path = asyncio.run(fetch(url, folder, 1 << 20, resolve=resolve, transport=transport))
    return path, asked


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(module).failed == 0


def test_a_photo_is_fetched_from_the_address_that_was_checked(tmp_path):
    path, asked = run(URL, tmp_path)
    assert path.read_bytes() == b"photo"
    assert (path.name, path.parent.parent) == ("IMG_1.jpg", tmp_path)
    assert asked[0] == PUBLIC


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "0.0.0.0", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"]
    + ["::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "ff02::1"],
)
def test_no_address_within_is_opened(tmp_path, address):
    assert not is_public(address)
    for addresses in ([address], [PUBLIC, address]):
        with pytest.raises(FetchError, match="public internet"):
            run(URL, tmp_path, addresses=addresses)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url",
    ["http://photos.example/a.jpg", "ftp://photos.example/a.jpg", "file:///etc/passwd", "https:///a.jpg"]
    + ["https://photos.example:8443/a.jpg", "https://me:secret@photos.example/a.jpg"],
)
def test_only_plain_https_is_opened(tmp_path, url):
    with pytest.raises(FetchError, match="https|cannot be opened"):
        run(url, tmp_path)


@pytest.mark.parametrize("to", ["http://photos.example/a.jpg", "https://inside.example/a.jpg"])
def test_no_redirect_leads_within(tmp_path, to):
    addresses = {"photos.example": [PUBLIC], "inside.example": ["10.0.0.1"]}
    with pytest.raises(FetchError):
        run(URL, tmp_path, httpx.Response(302, headers={"location": to}), addresses)


def test_a_redirect_is_followed_and_a_circle_is_not(tmp_path):
    def once(asks):
        return httpx.Response(200, content=b"x") if asks.url.path == "/b.png" else httpx.Response(301, headers=to)

    to = {"location": "/b.png"}
    assert run(URL, tmp_path, once)[0].name == "b.png"
    with pytest.raises(FetchError, match="one to the next"):
        run(URL, tmp_path, httpx.Response(302, headers={"location": URL}))


def test_what_is_too_large_or_no_photo_leaves_nothing(tmp_path):
    with pytest.raises(FetchError, match="larger than the 1 MB"):
        run(URL, tmp_path, httpx.Response(200, content=bytes(2 << 20)))
    with pytest.raises(FetchError, match="answers 404"):
        run(URL, tmp_path, httpx.Response(404))
    assert not list(tmp_path.iterdir())


def test_a_name_leads_nowhere_else(tmp_path):
    path, _ = run("https://photos.example/..%2F..%2Fetc%2F.passwd", tmp_path)
    assert path.resolve().is_relative_to(tmp_path)


def test_who_does_not_answer_is_not_waited_for(tmp_path):
    async def never(host):
        await asyncio.Event().wait()

    with pytest.raises(FetchError, match="did not arrive"):
        asyncio.run(fetch(URL, tmp_path, 1, seconds=0.01, resolve=never))


# At the door


def test_the_guard_fetches_where_it_may_and_names_the_file(tmp_path):
    asked = []

    async def fetched(url):
        asked.append(url)
        return tmp_path / "IMG_1.jpg"

    body = {"data": [{"path": URL, "url": URL, "meta": {}}, "radiance", 2]}
    reached = request(guarded(Echo(), tmp_path, fetch=fetched), "POST", CALL, json=body).json()
    assert reached["data"][0]["path"] == str(tmp_path / "IMG_1.jpg")
    assert asked == [URL]
    refused = request(guarded(Echo(), tmp_path), "POST", CALL, json=body)
    assert (refused.status_code, refused.json()["detail"]) == (400, NO_ADDRESSES)
    assert not Settings().fetch, "it is off unless the operator asks for it"
    two = {"data": [{"path": URL}, {"path": URL + "2"}]}
    assert request(guarded(Echo(), tmp_path, fetch=fetched), "POST", CALL, json=two).status_code == 400


def test_the_guard_hands_on_why_an_address_is_not_opened(tmp_path):
    async def refusing(url):
        raise FetchError("Only addresses of the public internet are opened.")

    body = {"data": [{"path": URL}]}
    answer = request(guarded(Echo(), tmp_path, fetch=refusing), "POST", CALL, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (400, "Only addresses of the public internet are opened.")
    plain = request(guarded(Echo(), tmp_path, fetch=refusing), "POST", CALL, json={"photo": "http://a.example/b.jpg"})
    assert (plain.status_code, plain.json()["detail"]) == (400, ONLY_HTTPS)


def test_a_tools_photo_is_fetched_and_handed_on_as_a_file_of_this_server(tmp_path):
    async def fetched(url):
        assert url == URL
        return tmp_path / "IMG 1.jpg"

    message = {"method": "tools/call", "params": {"arguments": {"photo": URL, "model": "radiance"}}}
    answer = request(guarded(Echo(), tmp_path, fetch=fetched), "POST", "/gradio_api/mcp/", json=message).json()
    assert answer["params"]["arguments"]["photo"] == f"http://127.0.0.1/gradio_api/file={tmp_path}/IMG%201.jpg"


def test_a_tool_reads_why_an_address_is_not_opened(tmp_path):
    async def refusing(url):
        raise FetchError("Only addresses of the public internet are opened.")

    message = {"id": "a", "method": "tools/call", "params": {"arguments": {"photo": URL}}}
    answer = request(guarded(Echo(), tmp_path, fetch=refusing), "POST", "/gradio_api/mcp/", json=message)
    (said,) = answer.json()["result"]["content"]
    assert said["text"] == "Only addresses of the public internet are opened."
