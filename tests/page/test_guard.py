"""The guard and the folder, each on its own; test_wire.py has them behind a real connection."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from hdrgan.page import bodies, housekeeping
from hdrgan.page.guard import BUSY, GONE, HEALTH, MANY_UPLOADS, NO_ADDRESSES, NO_FIT, NO_ROOM, NOT_ASKED, Guard
from hdrgan.page.housekeeping import claim, has_room, remove_orphans, sweep

CALL = "/gradio_api/call/generate"
UPLOAD = "/gradio_api/upload"


class Echo:
    """An application that answers with the body that reached it."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.bodies: list[bytes] = []

    async def __call__(self, scope, receive, send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        assert dict(scope["headers"]).get(b"content-length", b"%d" % len(body)) == b"%d" % len(body)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": body})


class Unhurried(Echo):
    """The same, whatever length was announced."""

    async def __call__(self, scope, receive, send) -> None:
        await super().__call__({**scope, "headers": []}, receive, send)


def guarded(app, folder: Path, **limits) -> Guard:
    usual = {
        "upload_bytes": 1 << 20,
        "json_bytes": 1 << 12,
        "body_seconds": 600.0,
        "connections": 8,
        "disk_bytes": 1 << 30,
    }
    return Guard(app, folder=folder, **{**usual, **limits})


def request(guard: Guard, method: str, path: str, **content) -> httpx.Response:
    async def exchange() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://page") as client:
            return await client.request(method, path, **content)

    return asyncio.run(exchange())


# What comes in


def test_a_body_announced_too_large_is_refused_unread(tmp_path):
    echo = Echo()
    answer = request(guarded(echo, tmp_path), "POST", CALL, content=b"[" + b" " * 5000 + b"]")
    assert answer.status_code == 413
    assert "0.003906 MB" in answer.json()["detail"]
    assert not echo.bodies


@pytest.mark.parametrize(("path", "parts"), [(CALL, 10), (UPLOAD, 5000)])
def test_a_body_that_grows_too_large_is_cut_off(tmp_path, path, parts):
    async def endless():
        for _ in range(parts):
            yield b" " * 512

    assert request(guarded(Echo(), tmp_path), "POST", path, content=endless()).status_code == 413


def test_an_upload_may_be_larger_than_other_requests(tmp_path):
    assert len(request(guarded(Echo(), tmp_path), "POST", UPLOAD, content=b"x" * 90_000).content) == 90_000


def test_a_body_that_never_ends_is_given_up(tmp_path):
    async def slow():
        yield b"["
        await asyncio.sleep(30)

    started = time.monotonic()
    answer = request(guarded(Echo(), tmp_path, body_seconds=0.2), "POST", CALL, content=slow())
    assert answer.status_code == 408
    assert time.monotonic() - started < 10


def test_uploads_wait_until_there_is_room(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"x" * 1000)
    assert request(guarded(Echo(), tmp_path, disk_bytes=1001), "POST", UPLOAD, content=b"x").status_code == 200
    refused = request(guarded(Echo(), tmp_path, disk_bytes=1000), "POST", UPLOAD, content=b"x")
    assert (refused.status_code, refused.json()["detail"]) == (507, NO_ROOM)


def test_a_full_disk_counts_as_no_room(tmp_path, monkeypatch):
    assert has_room(tmp_path, 1)
    usage = type("Usage", (), {"free": housekeeping.SPARE_DISK})()
    monkeypatch.setattr(housekeeping.shutil, "disk_usage", lambda _: usage)
    assert not has_room(tmp_path, 1)


def test_more_visitors_than_it_takes_are_told_so_and_health_still_answers(tmp_path):
    async def crowd() -> list[int]:
        leave = asyncio.Event()

        async def waiting(scope, receive, send):
            await leave.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        guard = guarded(waiting, tmp_path, connections=3)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://page") as client:
            inside = [asyncio.ensure_future(client.get("/")) for _ in range(3)]
            await asyncio.sleep(0.05)
            outside, health = await client.get("/"), await client.get("/healthz")
            leave.set()
            first = [answer.status_code for answer in await asyncio.gather(*inside)]
            return [*first, (await client.get("/")).status_code, outside.status_code, health.status_code]

    assert asyncio.run(crowd()) == [200, 200, 200, 200, 503, 200]


@pytest.mark.parametrize("hangs_up", [True, False])
def test_who_hangs_up_while_uploading_is_no_fault_of_the_server(tmp_path, hangs_up):
    async def application(scope, receive, send):
        while (await receive())["type"] == "http.request":
            if not hangs_up:
                break
        raise RuntimeError("the form has no end")

    async def exchange() -> None:
        news = [{"type": "http.request", "body": b"--x", "more_body": True}, {"type": "http.disconnect"}]
        scope = {"type": "http", "method": "POST", "path": UPLOAD, "headers": []}
        line = iter(news)

        async def receive():
            return next(line)

        async def send(message):
            raise AssertionError("nobody listens")

        await guarded(application, tmp_path)(scope, receive, send)

    if hangs_up:
        asyncio.run(exchange())
    else:
        with pytest.raises(RuntimeError, match="no end"):
            asyncio.run(exchange())


def test_one_address_cannot_hold_all_connections_with_uploads_that_stall(tmp_path):
    async def crowd() -> list[int]:
        goes_on = asyncio.Event()

        async def stalled():
            yield b"--x"
            await goes_on.wait()

        guard = guarded(Echo(), tmp_path, connections=20)
        mine = httpx.AsyncClient(transport=httpx.ASGITransport(guard, client=("10.0.0.1", 1)), base_url="http://page")
        other = httpx.AsyncClient(transport=httpx.ASGITransport(guard, client=("10.0.0.2", 1)), base_url="http://page")
        async with mine, other:
            first = [asyncio.ensure_future(mine.post(UPLOAD, content=stalled())) for _ in range(5)]
            while guard._uploads["10.0.0.1"] < 5:
                await asyncio.sleep(0)
            refused = await mine.post(UPLOAD, content=b"x")
            assert refused.json() == {"detail": MANY_UPLOADS}
            answers = [refused.status_code, (await other.post(UPLOAD, content=b"x")).status_code]
            goes_on.set()
            return answers + [answer.status_code for answer in await asyncio.gather(*first)]

    assert asyncio.run(crowd()) == [503, 200, *[200] * 5]


def test_uploads_under_way_together_must_fit_on_the_disk(tmp_path):
    async def crowd() -> list[int]:
        goes_on = asyncio.Event()

        async def stalled():
            yield b"--x"
            await goes_on.wait()

        size = {"content-length": str(1 << 20)}
        guard = guarded(Unhurried(), tmp_path, disk_bytes=(2 << 20) + 10)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://page") as client:
            first = [asyncio.ensure_future(client.post(UPLOAD, content=stalled(), headers=size)) for _ in range(2)]
            while guard._arriving < 2 << 20:
                await asyncio.sleep(0)
            third = await client.post(UPLOAD, content=b"x" * 100)
            goes_on.set()
            return [third.status_code] + [answer.status_code for answer in await asyncio.gather(*first)]

    assert asyncio.run(crowd()) == [507, 200, 200]


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8000/x.jpg",
        "HTTP://169.254.169.254/latest/meta-data/",
        " https://example.org/x.jpg",
        "file:///etc/passwd",
        "data:image/png;base64,iVBORw0KGgo=",
        "//host/share",
    ],
)
def test_a_file_named_by_an_address_is_refused(tmp_path, address):
    echo = Echo()
    for body in ({"data": [{"path": address}]}, {"photo": address}, [{"data": [[{"deep": [address]}]]}]):
        answer = request(guarded(echo, tmp_path), "POST", CALL, json=body)
        assert (answer.status_code, answer.json()["detail"]) == (400, NO_ADDRESSES)
    assert not echo.bodies


@pytest.mark.parametrize("path", ["/etc/passwd", "", "%00", "FOLDER", "FOLDER/gone.jpg", "FOLDER/../outside.jpg"])
def test_a_file_named_by_an_address_here_must_be_there(tmp_path, path):
    echo, folder = Echo(), tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside.jpg").touch()
    address = f"http://page/gradio_api/file={path.replace('FOLDER', str(folder))}"
    for body in ({"data": [{"path": address}]}, {"photo": address}):
        answer = request(guarded(echo, folder), "POST", CALL, json=body)
        assert (answer.status_code, answer.json()["detail"]) == (404, GONE)
    assert not echo.bodies


def test_an_upload_named_by_its_address_here_becomes_its_path(tmp_path):
    photo = tmp_path / "so nice.jpg"
    photo.touch()
    address = f"https://page.example/gradio_api/file={str(photo).replace(' ', '%20')}"
    body = {"data": [{"path": address, "url": "http://elsewhere/x.jpg", "meta": {}}, "radiance", 2]}
    reached = request(guarded(Echo(), tmp_path), "POST", CALL, json=body).json()
    assert reached == {"data": [{"path": str(photo), "url": None, "meta": {}}, "radiance", 2]}


def test_tools_name_photos_by_address_or_path_and_may_say_who_they_are(tmp_path):
    guard, door = guarded(Echo(), tmp_path), "/gradio_api/mcp/"
    (tmp_path / "a b.jpg").touch()
    path = f"{tmp_path}/a b.jpg"
    for photo in (path, f"http://page/gradio_api/file={path}", f"https://x/gradio_api/file={path.replace(' ', '%20')}"):
        own = {"method": "tools/call", "params": {"arguments": {"photo": photo}}}
        reached = request(guard, "POST", door, json=own).json()["params"]["arguments"]["photo"]
        assert reached == f"http://127.0.0.1/gradio_api/file={path.replace(' ', '%20')}"
    hello = {"method": "initialize", "params": {"clientInfo": {"websiteUrl": "https://example.org"}}}
    assert request(guard, "POST", door, json=hello).json() == hello


@pytest.mark.parametrize(
    ("photo", "says"),
    [
        ("http://example.org/a.jpg", NO_ADDRESSES),
        ("data:image/png;base64,AAAA", NO_ADDRESSES),
        ("/etc/passwd", GONE),
        ("nonsense", GONE),
        ("", GONE),
        ("http://page/gradio_api/file=/etc/passwd", GONE),
    ],
)
def test_a_tool_reads_why_its_photo_is_refused(tmp_path, photo, says):
    guard, door = guarded(Echo(), tmp_path), "/gradio_api/mcp/"
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"arguments": {"photo": photo}}}
    answer = request(guard, "POST", door, json=call)
    told = {"content": [{"type": "text", "text": says}], "isError": True}
    assert (answer.status_code, answer.json()) == (200, {"jsonrpc": "2.0", "id": 7, "result": told})
    several = request(guard, "POST", door, json=[call])
    assert several.status_code in (400, 404)
    assert several.json() == {"detail": says}


def test_gradios_own_clients_can_show_why_a_photo_is_refused(tmp_path):
    body = {"data": [{"path": "http://example.org/a.jpg"}], "session_hash": "s", "fn_index": 0}
    answer = request(guarded(Echo(), tmp_path), "POST", "/gradio_api/queue/join", json=body)
    shown = {"__type__": "validate", "is_valid": False, "parameter_name": "photo", "message": NO_ADDRESSES}
    assert (answer.status_code, answer.json()) == (422, {"detail": [shown]})


def test_a_body_of_nothing_but_brackets_is_refused_or_left_to_the_application(tmp_path):
    guard = guarded(Echo(), tmp_path, json_bytes=1 << 20)
    assert request(guard, "POST", CALL, content=b"[" * 100_000 + b"]" * 100_000).status_code in (200, 400)
    nested = "[" * 900 + "]" * 900
    assert request(guard, "POST", CALL, content=nested).status_code in (200, 400)
    assert request(guard, "POST", CALL, content=b"no json").content == b"no json"


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://127.0.0.1:1/x",
        "/gradio_api/file=%20https://example.org/x",
        "/gradio_api/file/http://127.0.0.1:1/x",
        "/gradio_api/file=ftp:/x",
        "/gradio_api/proxy=http://127.0.0.1:1/x",
        "/gradio_api/component_server",
        "/gradio_api/process_recording",
        "/gradio_api/vibe-code",
        "/gradio_api/deep_link",
    ],
)
def test_doors_that_the_page_does_not_use_are_closed(tmp_path, path):
    echo = Echo()
    for method in ("GET", "POST"):
        assert request(guarded(echo, tmp_path), method, path).status_code == 403
    assert not echo.bodies


# What goes out


FORM = "multipart/form-data; boundary=x"


def form(*parts: tuple[str, bytes]) -> bytes:
    heads = ((f"Content-Disposition: form-data; {head}".encode(), body) for head, body in parts)
    return b"".join(b"--x\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in heads) + b"--x--\r\n"


def refusal_of(body: bytes, step: int) -> int | None:
    """The status with which a form is refused that comes in parts of so many bytes."""
    fields = bodies._PlainFields(b"x")
    try:
        for start in range(0, len(body), step):
            fields.feed(body[start : start + step])
    except bodies.RefusalError as refusal:
        return refusal.status
    return None


@pytest.mark.parametrize("step", [1, 7, 4096, 1 << 20])
def test_a_long_plain_field_is_refused_and_a_file_is_not(tmp_path, step, monkeypatch):
    file, field = 'name="files"; filename="a"', 'name="files"'
    most = bodies.FIELD_BYTES // 64 if step == 1 else bodies.FIELD_BYTES
    monkeypatch.setattr(bodies, "FIELD_BYTES", most)
    half, long = bytes(most // 2 - 150), bytes(most + 200)
    for body, status in (
        (form((file, long)), None),
        (form((file.replace('"a"', "a"), long)), None),
        (form((f'name="a"; filename="a{chr(92)}"b.jpg"', long)), None),
        (form((field, half), (file, long), (field, half)), None),
        (form((field, long)), 413),
        (form((file, long), (field, long)), 413),
        (form((field + "; x=" + "y" * len(long), b"")), 413),
        (form(*[(field, half)] * 3), 413),  # none is long, all together are
        (form(*[(field, b"")] * (most // 20)), 413),
        (form(*[(file, b"")] * (most // 20)), 413),  # what a file is called is held as well
    ):
        assert refusal_of(body, step) == status


@pytest.mark.parametrize(
    "head",
    [
        'name="filename"',
        'name="a; filename=b"',
        f'name="a{chr(92)}{chr(92)}"; filename=b"',
        'name="a"; filename*=b',
        'name="a"\r\nX-Other: filename=b',
        'name="a"; filename="b"\r\nContent-Disposition: form-data; name="a"',
    ],
)
def test_a_plain_field_that_only_looks_like_a_file_counts(head):
    assert refusal_of(form((head, bytes(2 * bodies.FIELD_BYTES))), 4096) == 413


def test_a_boundary_that_another_reader_would_not_take_for_one_is_refused():
    inner = b'\r\n--xx\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'
    assert refusal_of(form(('name="a"', inner + bytes(2 * bodies.FIELD_BYTES))), 4096) == 400


@pytest.mark.parametrize(
    "kinds",
    [
        ["multipart/form-data"],
        ["multipart/form-data; boundary=x; boundary=y"],
        ["multipart/form-data; Boundary =x"],
        ["multipart/form-data; boundary=x", "multipart/form-data; boundary=y"],
        ["multipart/mixed; boundary=x"],
    ],
)
def test_a_form_whose_boundary_is_in_doubt_is_refused(kinds, tmp_path):
    echo = Echo()
    answer = request(
        guarded(echo, tmp_path), "POST", UPLOAD, content=b"x", headers=[("content-type", k) for k in kinds]
    )
    assert (answer.status_code, answer.json()) == (400, {"detail": bodies.NO_FORM})
    assert not echo.bodies


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
        'Multipart/Form-Data;charset=utf-8; Boundary="x"',
        "multipart/form-data; boundary=x; charset=UTF-8",
        "image/jpeg",
    ],
)
def test_other_forms_and_files_go_through(kind, tmp_path):
    assert request(guarded(Echo(), tmp_path), "POST", UPLOAD, content=b"x", headers={"content-type": kind}).text == "x"


def test_health_is_answered_by_the_guard_itself(tmp_path):
    answer = request(guarded(None, tmp_path), "GET", "/healthz")
    assert (answer.status_code, answer.json(), answer.headers["cache-control"]) == (200, {"status": "ok"}, "no-store")


def test_a_full_queue_is_put_into_words(tmp_path):
    answer = request(guarded(Echo(503), tmp_path), "POST", CALL, json={"data": []})
    assert (answer.status_code, answer.json(), answer.headers["retry-after"]) == (503, {"detail": BUSY}, "60")
    assert request(guarded(Echo(500), tmp_path), "POST", CALL, json={"data": []}).json() == {"data": []}


def test_a_request_of_the_wrong_form_is_put_into_words(tmp_path):
    answer = request(guarded(Echo(422), tmp_path), "POST", CALL, content=b'{"data": [[')
    assert (answer.status_code, answer.json()) == (422, {"detail": NO_FIT})
    assert request(guarded(Echo(422), tmp_path), "POST", UPLOAD, content=b"x").content == b"x"


class Sends:
    """An application that begins an answer of a status, and then sends its body or breaks."""

    def __init__(self, status: int, then: Exception | bytes) -> None:
        self.status, self.then = status, then

    async def __call__(self, scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        if isinstance(self.then, Exception):
            raise self.then
        await send({"type": "http.response.body", "body": self.then[:3], "more_body": True})
        await send({"type": "http.response.body", "body": self.then[3:]})


@pytest.mark.parametrize(
    "application",
    [
        Sends(403, b"File not allowed: /etc/passwd"),
        Sends(404, b"Not found"),
        Sends(200, FileNotFoundError("deleted between its size and its first byte")),
        Sends(206, RuntimeError("File at path /x does not exist.")),
    ],
)
def test_a_file_that_is_not_there_is_said_to_be_gone_and_nothing_else(tmp_path, application, caplog):
    for accept, kind, says in (
        ("*/*", "application/json", f'{{"detail": "{GONE}"}}'),
        ("text/html,*/*;q=0.8", "text/plain", GONE),
    ):
        path = f"/gradio_api/file={tmp_path}/a.jpg"
        answer = request(guarded(application, tmp_path), "GET", path, headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"], answer.text) == (404, kind, says)
    assert "Traceback" not in caplog.text
    whole = request(guarded(Sends(200, b"pixels"), tmp_path), "GET", f"/gradio_api/file={tmp_path}/a.jpg")
    assert (whole.status_code, whole.content) == (200, b"pixels")


def test_a_name_too_long_for_a_file_is_no_fault_of_the_server(tmp_path, caplog):
    async def application(scope, receive, send):
        raise OSError(36, "File name too long")

    answer = request(guarded(application, tmp_path), "GET", "/assets/" + "x" * 5000)
    assert (answer.status_code, answer.json()) == (404, {"detail": GONE})
    assert "a file could not be sent: OSError" in caplog.text


@pytest.mark.parametrize(("asked", "reaches"), [("bytes=0-3", 1), ("bytes=-5", 1), ("bytes=0-1,3-4", 0), ("x", 0)])
def test_ranges_that_cannot_be_answered_are_answered_by_the_whole_file(tmp_path, asked, reaches):
    async def application(scope, receive, send):
        assert (b"range" in dict(scope["headers"])) == bool(reaches)
        await Echo()(scope, receive, send)

    path = f"/gradio_api/file={tmp_path}/a.jpg"
    assert request(guarded(application, tmp_path), "GET", path, headers={"range": asked}).status_code == 200


def test_answers_are_not_guessed_at_and_photos_not_cached_on_the_way(tmp_path):
    answer = request(guarded(Echo(), tmp_path), "GET", f"/gradio_api/file={tmp_path}/a.jpg")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private"


def test_the_log_has_time_and_size_and_nothing_of_the_photo(tmp_path, caplog):
    guard = guarded(Echo(), tmp_path)
    with caplog.at_level(logging.INFO):
        request(guard, "POST", f"{CALL}?session_hash=s3cret", json={"data": ["s3cret", 1]})
        request(guard, "GET", f"/gradio_api/file={tmp_path}/s3cret.jpg")
        request(guard, "GET", "/gradio_api/call/generate/50c4e7")
        request(guard, "GET", "/gradio_api/file=http://s3cret/x%0aINFO forged")
        request(guard, "GET", "/healthz")
    assert [record.name for record in caplog.records if record.name.startswith("hdrgan")] == ["hdrgan.page.guard"] * 3
    assert "POST /gradio_api/call/generate: 200 in 0.0" in caplog.text
    assert "21 bytes in, 23 bytes out" in caplog.text
    mine = [record.getMessage() for record in caplog.records if record.name.startswith("hdrgan")]
    assert not [line for line in mine if "s3cret" in line or "50c4e7" in line or "\n" in line]


@pytest.mark.parametrize("path", ["/gradio_api/queue/data", "/gradio_api/call/generate/nope", "/"])
def test_a_stream_that_nobody_asked_for_leaves_a_line_in_the_log_and_no_traceback(tmp_path, path, caplog):
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'data: "404: Not Found"', "more_body": True})
        raise RuntimeError("no such event")

    if path == "/":  # the page's own faults are for the log
        with pytest.raises(RuntimeError):
            request(guarded(application, tmp_path), "GET", path)
        return
    assert request(guarded(application, tmp_path), "GET", path).text == f'data: "{NOT_ASKED}"'
    assert "a stream of events broke off: RuntimeError" in caplog.text


# The folder


def test_the_sweep_takes_no_link_for_what_it_points_at(tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    for path in (folder, outside):
        path.mkdir()
    (outside / "mine.jpg").touch()
    (folder / "link").symlink_to(outside, target_is_directory=True)
    sweep(folder, keep_s=600, now=time.time() + 610)
    assert (outside / "mine.jpg").exists()
    assert not list(folder.iterdir())


def test_a_folder_is_claimed_for_this_account_only(tmp_path):
    (tmp_path / "there").mkdir(mode=0o755)
    for folder in (tmp_path / "new", tmp_path / "there"):
        held = claim(folder)
        assert folder.stat().st_mode & 0o777 == 0o700
        os.close(held)


def test_only_folders_of_servers_that_ended_are_orphans(tmp_path):
    kept = [tmp_path / name for name in ("hdrgan-1", "hdrgan-2", "other-3", "hdrgan-3x")]
    holds = [claim(folder) for folder in kept[:2]]
    kept += [tmp_path / "hdrgan-9"]
    (tmp_path / "elsewhere").mkdir()
    kept[-1].symlink_to(tmp_path / "elsewhere")
    for folder in kept[2:4]:
        folder.mkdir()
    code = "import sys, os, signal; from hdrgan.page.housekeeping import claim; from pathlib import Path\n"
    code += "claim(Path(sys.argv[1])); (Path(sys.argv[1]) / 'half.png').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "hdrgan-4")], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "hdrgan-4" / "half.png").exists()

    assert remove_orphans(tmp_path, r"hdrgan-\d") == [tmp_path / "hdrgan-4"]
    assert all(folder.exists() for folder in kept)
    os.close(holds[0])
    assert remove_orphans(tmp_path, r"hdrgan-\d") == [tmp_path / "hdrgan-1"]
    os.close(holds[1])
    assert remove_orphans(tmp_path / "nowhere", "x") == []


# Memory

CROWD = """
import sys, threading
import numpy as np
from hdrgan.page.housekeeping import settle_memory, trim_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def visit():
    for side in (200, 700, 1100):
        kept = [np.ones((side, side, 3), np.float32) for _ in range(4)]
        small = [bytes(3000) for _ in range(3000)]

settled = sys.argv[1] == "settled" and settle_memory()
before = resident()
for _ in range(2):
    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
if settled:
    trim_memory()
print(resident() - before)
"""


def test_memory_goes_back_after_a_crowd(root):
    command = [sys.executable, "-c", CROWD, "settled"]  # any other word, and more than 100 MB stay
    grown = float(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)
    assert grown < 16, "megabytes that stay after eight visitors at once"


# The image


def test_the_image_has_what_the_page_needs_and_runs_without_rights(root):
    steps = [line.split() for line in (root / "Dockerfile").read_text().replace("\\\n", " ").splitlines() if line]
    let_through = (root / ".dockerignore").read_text().split()
    assert let_through[0] == "*"
    copied = {source for step in steps if step[0] == "COPY" for source in step[1:-1]}
    assert copied == {"requirements.txt", "app.py", "LICENSE", "README.md", "hdrgan", "examples"}
    assert all((root / source).exists() and f"!{source}" in let_through for source in copied)
    words = [step[0] for step in steps]
    assert words.index("USER") < words.index("CMD")
    assert steps[words.index("USER")][1] != "root"
    assert any(f"7860{HEALTH}'" in word for word in steps[words.index("HEALTHCHECK")])
