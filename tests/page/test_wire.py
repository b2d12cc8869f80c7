"""The page under attack and in a crowd, over real connections: what a stranger with a socket can do."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from fake_pipeline import FakePipeline
from gradio_client import Client, handle_file
from page_server import free_port
from PIL import Image

from hdrgan.light.cancellation import check_cancelled
from hdrgan.page import guard
from hdrgan.page.handlers import Handlers
from hdrgan.page.housekeeping import sweep
from hdrgan.page.kept import KeptResults
from hdrgan.page.layout import build_demo
from hdrgan.page.main import launch_options
from hdrgan.page.settings import Settings

QUEUE = 2
HOSTILE_NAMES = [
    "../../../../tmp/pwned.jpg",
    "/etc/passwd",
    "..\\..\\windows\\win.ini",
    "....//....//x.jpg",
    "%2e%2e%2f%2e%2e%2fx.jpg",
    "a" * 3000 + ".jpg",
    "",
    "..",
    "~/.ssh/id_rsa",
    "file:///etc/passwd",
    "http://127.0.0.1/x.jpg",
    "\r\nX-Injected: 1\r\n.jpg",
]


class GatedPipeline(FakePipeline):
    """A network that is as slow as a test wants: each of its tiles waits for the gate."""

    tiles = 4

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.tiles_done = 0

    def __call__(self, photo, evs=(-4.0, -2.0, 0.0, 2.0, 4.0), response="auto", **named):
        for _ in range(self.tiles):
            check_cancelled()
            self.entered.release()
            assert self.gate.wait(60)
            self.tiles_done += 1
        return super().__call__(photo, evs, response)

    def reset(self) -> None:
        self.gate.clear()
        self.tiles_done = 0
        self.calls.clear()
        while self.entered.acquire(blocking=False):
            pass


class Page:
    """The page as `main` serves it, with a network that waits."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self.slow = GatedPipeline()
        self.settings = Settings(max_megabytes=1, max_json_kilobytes=64, queue=QUEUE)
        self.demo = build_demo({"fake": FakePipeline(), "slow": self.slow}, self.settings)
        (self.handlers,) = {
            function.fn.__self__ for function in self.demo.fns.values() if hasattr(function.fn, "__self__")
        }
        self.handlers.kept = KeptResults(0, 0)  # the same picture is to be worked on again
        options = launch_options(self.settings)
        _, self.url, _ = self.demo.launch(**options, prevent_thread_lock=True, server_port=free_port())
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def upload(self, name: str = "beach.png", content: bytes | None = None) -> str:
        answer = self.http.post("gradio_api/upload", files={"files": (name, content or picture())})
        assert answer.status_code == 200, answer.text
        return answer.json()[0]

    def ask(self, photo: object, model: str = "fake") -> httpx.Response:
        data = [photo if not isinstance(photo, str) else file_data(photo), model, 2, "auto", ""]
        return self.http.post("gradio_api/call/generate", json={"data": data})

    def answer(self, asked: httpx.Response) -> tuple[str, object]:
        """The last event of an asked question, and what came with it."""
        assert asked.status_code == 200, asked.text
        lines = self.http.get(f"gradio_api/call/generate/{asked.json()['event_id']}").text.splitlines()
        events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
        return events[-1], json.loads([line for line in lines if line.startswith("data: ")][-1].removeprefix("data: "))

    def works(self) -> None:
        assert self.http.get("healthz").json() == {"status": "ok"}
        event, files = self.answer(self.ask(self.upload()))
        assert event == "complete"
        assert self.http.get(f"gradio_api/file={files[0][2]['path']}").content.startswith(b"\x89PNG")


def picture() -> bytes:
    import io

    file = io.BytesIO()
    Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


def file_data(path: str, **more) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as patch:
        temporary = tmp_path_factory.mktemp("served")
        patch.setenv("GRADIO_TEMP_DIR", str(temporary))
        patch.setattr("hdrgan.page.jobs.PULSE_S", 0.05)
        page = Page(temporary)
        yield page
        page.slow.gate.set()
        page.http.close()
        page.demo.close()


@pytest.fixture(autouse=True)
def still_there(page):
    """Whatever a test does to the server, it must answer afterwards."""
    page.slow.reset()
    yield
    page.slow.gate.set()
    page.works()


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """A server on the loopback that nobody should ask for anything: its address, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture())

        do_HEAD = do_POST = do_GET  # noqa: N815

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def names_looked_up(monkeypatch) -> list[str]:
    """Host names that this process wanted to know the address of."""
    names: list[str] = []
    look_up = socket.getaddrinfo

    def noted(host, *args, **kwargs):
        names.append(str(host))
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    return names


def assert_nothing_leaked(answer: httpx.Response, root: Path) -> None:
    assert answer.status_code >= 400
    for secret in ("root:", "Traceback", str(root), "One photo in; five exposures", "site-packages"):
        assert secret not in answer.text


# Sizes


def test_an_upload_over_the_limit_is_413_announced_or_not(page, root):
    big = b"0" * (2**21 + 2**17)
    assert page.http.post("gradio_api/upload", files={"files": ("big.jpg", big)}).status_code == 413
    form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + big + b"\r\n--x--\r\n"
    head = {"content-type": "multipart/form-data; boundary=x"}
    chunked = page.http.post(
        "gradio_api/upload", headers=head, content=(form[i : i + 65536] for i in range(0, len(form), 65536))
    )
    assert chunked.status_code == 413
    assert_nothing_leaked(chunked, root)
    assert not [path for path in page.temporary.iterdir() if path.is_file() and path.stat().st_size > 2**18]


def test_many_files_or_a_large_field_do_not_go_around_the_limit(page):
    files = [("files", (f"{i}.jpg", b"0" * 2**18)) for i in range(12)]
    assert page.http.post("gradio_api/upload", files=files).status_code == 413
    assert page.http.post("gradio_api/upload", files={"files": (None, b"0" * 2**22)}).status_code == 413


def test_json_over_the_limit_is_413_and_broken_json_an_error(page, root):
    for path in ("call/generate", "call/v2/generate", "queue/join", "run/generate", "mcp/", "cancel"):
        answer = page.http.post(f"gradio_api/{path}", json={"data": ["x" * 70_000]})
        assert answer.status_code == 413, path
        assert_nothing_leaked(answer, root)
    for body in (b"[" * 30_000 + b"]" * 30_000, b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}", b"{", b"\xff\xfe", b"7"):
        answer = page.http.post("gradio_api/queue/join", content=body, headers={"content-type": "application/json"})
        assert_nothing_leaked(answer, root)


def test_a_request_that_fits_no_function_is_told_so(page):
    unfit = {"call/nope": {"data": []}, "call/v2/generate": {"data": [1]}, "call/v2/nope": {"photo": 1}}
    for path, body in unfit.items():
        answer = page.http.post(f"gradio_api/{path}", json=body)
        assert (answer.status_code, answer.json()) == (400, {"detail": guard.NO_FIT}), path
    for content in (b'{"data": [[', b'{"data": 7}', b"[]", b"7", b""):  # what its reader takes apart, in a list
        for path in ("call/generate", "queue/join", "run/generate"):
            answer = page.http.post(f"gradio_api/{path}", content=content)
            assert (answer.status_code, answer.json()) == (422, {"detail": guard.NO_FIT}), (path, content)


# Paths


def test_no_name_of_an_upload_leads_out_of_the_folder(page):
    for name in HOSTILE_NAMES:
        head = {"content-type": "multipart/form-data; boundary=x"}
        form = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\nx\r\n--x--\r\n'
        answer = page.http.post("gradio_api/upload", content=form.encode(), headers=head)
        assert "x-injected" not in answer.headers
        if answer.status_code == 200:
            assert all(Path(path).resolve().is_relative_to(page.temporary) for path in answer.json())
    assert not Path("/tmp/pwned.jpg").exists()


@pytest.mark.parametrize("door", ["gradio_api/file=", "gradio_api/file/", "file=", "static/", "assets/", "svelte/"])
def test_files_of_the_server_are_not_for_reading(page, root, door):
    inside = page.temporary / "answer-x"
    depth = "../" * (len(inside.parts) + 3)
    for path in ("/etc/passwd", f"{depth}etc/passwd", f"{inside}/{depth}etc/passwd", str(root / "README.md"), "app.py"):
        for spelled in (path, path.replace("../", "%2e%2e/"), path.replace("/", "%2f"), path.replace("/", "%252f")):
            with socket.create_connection(("127.0.0.1", httpx.URL(page.url).port)) as line:  # httpx would tidy it up
                line.sendall(f"GET /{door}{spelled} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda line=line: line.recv(65536), b"")).decode(errors="replace")
            assert " 200 " not in answer.split("\r\n")[0], spelled
            assert "root:" not in answer
            assert "One photo in; five exposures" not in answer


def test_a_photo_cannot_be_forged(page, root):
    stolen = str(root / "README.md")
    forged: list[object] = [
        file_data(stolen),
        file_data(stolen, is_stream=True),
        file_data("../" * 12 + "etc/passwd"),
        file_data(f"{page.temporary}/../../../../../../etc/passwd"),
        file_data(str(page.temporary)),
        {"path": stolen},
        {"path": None, "meta": {"_type": "gradio.FileData"}},
        [file_data(stolen)],
        {"path": {"path": stolen}, "meta": {"_type": "gradio.FileData"}},
        7,
        {"__type__": "update", "value": stolen},
    ]
    for photo in forged:
        asked = page.ask(photo)
        if asked.status_code == 200:
            event, said = page.answer(asked)
            assert event == "error", photo
            assert str(root) not in json.dumps(said)
            assert "root:" not in json.dumps(said)
        else:
            assert_nothing_leaked(asked, root)
    stolen = [
        path for path in page.temporary.rglob("*") if path.name in ("README.md", "passwd") and path.stat().st_size
    ]
    assert not [path for path in stolen if b"root:" in path.read_bytes() or b"hdrgan" in path.read_bytes()]


# Addresses


def test_no_address_is_ever_opened(page, root, trap, names_looked_up):
    address, asked = trap
    places = [f"{address}/x.jpg", address.replace("127.0.0.1", "localhost") + "/x.jpg", "http://[::1]:80/x.jpg"]
    places += ["http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/x", "http://0x7f000001/x"]
    places += ["https://photos.example/x.jpg", "data:image/png;base64,iVBORw0KGgo=", "file:///etc/passwd"]
    for place in places:
        for photo in (file_data(place), file_data(place, url=place), [file_data(place)]):
            assert_nothing_leaked(page.ask(photo), root)
        for path in ("queue/join", "run/generate", "api/generate"):
            body = {"data": [file_data(place), "fake", 2, "auto", ""], "session_hash": "s", "fn_index": 0}
            assert_nothing_leaked(page.http.post(f"gradio_api/{path}", json=body), root)
        body = {"photo": file_data(place), "model": "fake", "ev_step": 2, "response": "auto"}
        assert_nothing_leaked(page.http.post("gradio_api/call/v2/generate", json=body), root)
        for door in ("file=", "file/", "proxy="):
            assert_nothing_leaked(page.http.get(f"gradio_api/{door}{place}"), root)
    photo = page.upload()
    event, _ = page.answer(page.ask(file_data(photo, url=f"{address}/x.jpg")))
    assert event == "complete", "an address beside the path of an upload is ignored"
    assert asked == []
    assert set(names_looked_up) <= {"127.0.0.1"}


def tool_call(page: Page, photo: str) -> dict:
    arguments = {"photo": photo, "model": "fake", "ev_step": 2, "response": "auto", "evs": ""}
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "generate", "arguments": arguments},
    }
    answer = page.http.post(
        "gradio_api/mcp/", json=message, headers={"accept": "application/json, text/event-stream"}, timeout=60
    )
    return {"status": answer.status_code, "text": answer.text}


def text(says: str) -> dict:
    return {"type": "text", "text": says}


def test_language_models_upload_first_and_then_name_the_address_here(page, trap, names_looked_up):
    address, asked = trap
    for place in (f"{address}/x.jpg", "https://photos.example/x.jpg", "data:image/png;base64,iVBORw0KGgo="):
        answer = tool_call(page, place)
        assert answer["status"] == 200
        assert json.loads(answer["text"])["result"] == {"content": [text(guard.NO_ADDRESSES)], "isError": True}
    answer = tool_call(page, page.upload())
    assert "beach_ev-4.png" in answer["text"], "by its path as well"
    answer = tool_call(page, f"{page.url}gradio_api/file={page.upload()}")
    assert answer["status"] == 200
    assert "beach_ev-4.png" in answer["text"]
    assert asked == []
    assert set(names_looked_up) <= {"127.0.0.1"}


@pytest.mark.parametrize("fetches", [False, True])
def test_gradios_client_shows_why_an_address_is_not_opened(tmp_path, fetches, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    settings = Settings(fetch=fetches)
    demo = build_demo({"fake": FakePipeline()}, settings)
    _, url, _ = demo.launch(**launch_options(settings), prevent_thread_lock=True, server_port=free_port())
    says = "Only addresses of the public internet" if fetches else "opens no addresses"
    try:
        photo = {"path": "https://127.0.0.1/x.jpg", "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(Exception, match=says):
            Client(url, verbose=False).predict(photo, "fake", 2, "auto", api_name="/generate")
    finally:
        demo.close()


# Files that are not there


def test_a_file_that_was_deleted_or_never_made_is_gone_in_a_sentence(page, capfd):
    made = page.answer(page.ask(page.upload()))[1][0][0]["path"]
    door = "gradio_api/file="
    assert page.http.get(door + made).status_code == 200
    assert page.http.get(door + made, headers={"range": "bytes=0-1,3-4"}).status_code == 200
    sweep(page.temporary, keep_s=600, now=time.time() + 610)
    for path in (made, page.upload() + "x", str(page.temporary), "/etc/passwd", "/", "", "app.py", "%00", "x" * 5000):
        answer = page.http.get(door + path)
        assert (answer.status_code, answer.json()) == (404, {"detail": guard.GONE}), path
        assert page.http.head(door + path).status_code == 404
    browser = page.http.get(door + made, headers={"accept": "text/html"})
    assert (browser.status_code, browser.text) == (404, guard.GONE)
    assert page.http.get("assets/" + "x" * 5000).status_code == 404
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_photo_that_nobody_sent_is_refused_in_a_sentence_and_leaves_no_traceback(page, capfd):
    photos = [file_data(path) for path in ("/etc/passwd", "app.py", "", "x" * 5000, "/x\0y", str(page.temporary))]
    photos += [file_data(f"{page.temporary}/gone.jpg"), file_data(7), file_data(None), 7, [], {"path": "/etc/passwd"}]
    calls = [[photo, "fake", 2, "auto", ""] for photo in photos]
    calls += [[None, "fake", 2, "auto", ""], [], [None] * 5, [file_data(page.upload()), "nope", 2, "auto", ""]]
    calls += [[file_data(page.upload()), "fake", step, "auto", ""] for step in (99, "x", {})]
    for data in calls:
        event, said = page.answer(page.http.post("gradio_api/call/generate", json={"data": data}))
        assert event == "error", data
        assert re.fullmatch(r"[A-Zekr].* .*[a-z.\]]", said["error"]), (data, said)
        assert "our side" not in said["error"], data
    data = [file_data(page.upload()), "fake", 2, "auto", None, ""]
    asked = page.http.post("gradio_api/call/export", json={"data": data}).json()["event_id"]
    assert "kind must be one of" in page.http.get(f"gradio_api/call/export/{asked}").text
    assert "Traceback" not in "".join(capfd.readouterr())


def test_news_that_nobody_asked_for_are_refused_in_a_sentence(page, capfd):
    for path in ("call/generate/nope", "queue/data?session_hash=nope"):
        assert guard.NOT_ASKED in page.http.get(f"gradio_api/{path}").text
    for path in ("queue/data", "upload_progress"):
        assert page.http.get(f"gradio_api/{path}").json() == {"detail": guard.NO_FIT}
    assert page.http.get("gradio_api/upload_progress?upload_id=nope").status_code == 404
    assert "Traceback" not in "".join(capfd.readouterr())


def test_the_page_says_who_may_frame_it_and_nothing_of_where_it_is_installed(page, root):
    for path in ("", "config", "gradio_api/info", "gradio_api/openapi.json", "gradio_api/mcp/schema"):
        answer = page.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space" in policy
        assert "default-src 'self'" in policy
        for inside in (str(root), "site-packages", str(page.temporary)):
            assert inside not in answer.text, path


# Crowds


def test_a_full_queue_says_that_the_page_is_busy(page):
    photo = page.upload()
    asked = [page.ask(photo, "slow")]
    assert page.slow.entered.acquire(timeout=30)
    asked += [page.ask(photo, "slow") for _ in range(QUEUE)]
    seen_soon(lambda: sum(map(len, page.handlers.jobs._lanes)) == QUEUE + 1)
    asked += [page.ask(photo, "slow")]
    seen_soon(lambda: sum(map(len, page.handlers.jobs._lanes)) == QUEUE + 2)
    event, said = page.answer(page.ask(photo, "slow"))
    assert event == "error"
    assert "busy" in json.dumps(said)
    with pytest.raises(Exception, match="(?i)busy"):
        Client(page.url, verbose=False).predict(handle_file(photo), "slow", 2, "auto", api_name="/generate")
    started = time.monotonic()
    assert page.http.get("healthz").status_code == 200
    assert time.monotonic() - started < 2
    page.slow.gate.set()
    assert [page.answer(question)[0] for question in asked] == ["complete"] * (QUEUE + 2)


def join(page: Page, photo: str) -> str:
    """Ask as a browser does: where to listen."""
    session = f"session-{time.monotonic_ns()}"
    doors = page.http.get("config").json()["dependencies"]
    door = next(item["id"] for item in doors if item["api_name"] == "generate")
    body = {"data": [file_data(photo), "slow", 2, "auto", ""], "fn_index": door, "session_hash": session}
    assert page.http.post("gradio_api/queue/join", json=body).status_code == 200
    return f"gradio_api/queue/data?session_hash={session}"


def seen_soon(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listen_and_leave(page: Page, listening: str) -> None:
    """Hang up as soon as the first news arrive."""
    with httpx.Client(base_url=page.url, timeout=30) as client, client.stream("GET", listening) as events:
        next(events.iter_raw())


@pytest.mark.parametrize("way", ["program", "browser"])
def test_work_stops_within_one_call_of_the_network_when_its_client_leaves(page, way):
    photo = page.upload()
    if way == "browser":
        listening = join(page, photo)
    else:
        listening = f"gradio_api/call/generate/{page.ask(photo, 'slow').json()['event_id']}"
    assert page.slow.entered.acquire(timeout=30)
    listen_and_leave(page, listening)
    seen_soon(lambda: not any(page.demo._queue.active_jobs))  # while the network is still in its first call
    assert page.slow.tiles_done == 0
    page.slow.gate.set()
    page.works()  # has its turn only when the network is free again
    assert page.slow.tiles_done == 1
    assert page.slow.calls == []


def test_who_leaves_the_queue_is_never_worked_for(page):
    photo = page.upload()
    first = page.ask(photo, "slow")
    assert page.slow.entered.acquire(timeout=30)
    listening = join(page, photo)
    seen_soon(lambda: len(page.handlers.jobs._lanes[0]) == 2)
    listen_and_leave(page, listening)
    seen_soon(lambda: len(page.handlers.jobs._lanes[0]) == 1)
    page.slow.gate.set()
    assert page.answer(first)[0] == "complete"
    page.works()
    assert page.slow.tiles_done == GatedPipeline.tiles


# What is left


def test_an_upload_that_breaks_off_is_swept_and_all_else_with_it(page):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", httpx.URL(page.url).port)) as line:
            head = "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n"
            form = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
            line.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n{form}".encode() + b"0" * 200_000)
            time.sleep(0.2)

    def broken_off() -> int:
        return sum(path.is_file() and path.stat().st_size > 100_000 for path in page.temporary.iterdir())

    seen_soon(lambda: broken_off() == 3)
    page.works()
    sweep(page.temporary, keep_s=600, now=time.time() + 610)
    assert not list(page.temporary.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_put_into_words_and_leaves_nothing_half_written(tmp_path, monkeypatch, number):
    def disk_is_full(*_, **__):
        raise OSError(number, os.strerror(number))

    folders = {name: tmp_path / name for name in ("full", "filling")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "beach.png").write_bytes(picture())
    full = Handlers({"fake": FakePipeline()}, Settings(disk_megabytes=1), folders["full"])
    (folders["full"] / "other.jpg").write_bytes(bytes(2**20))
    with pytest.raises(gr.Error, match=re.escape(guard.NO_ROOM)):
        list(full.generate(str(folders["full"] / "beach.png"), "fake", 2, "auto"))
    filling = Handlers({"fake": FakePipeline()}, Settings(), folders["filling"])
    monkeypatch.setattr("hdrgan.files.write.write_atomic", disk_is_full)
    with pytest.raises(gr.Error, match=re.escape(guard.NO_ROOM)):
        list(filling.generate(str(folders["filling"] / "beach.png"), "fake", 2, "auto"))
    assert {path.name for path in folders["full"].iterdir()} == {"beach.png", "other.jpg"}
    assert [path.name for path in folders["filling"].iterdir()] == ["beach.png"]


# What is said of it


def test_the_deployment_guide_lists_every_limit_with_its_default(root):
    guide = (root / "docs/deploy.md").read_text()
    rows = dict(line.strip("| ").split(" | ")[:2] for line in guide.splitlines() if line.startswith("| `HDRGAN_"))
    fields = {f"`HDRGAN_{field.name.upper()}`": field.default for field in dataclasses.fields(Settings)}
    assert set(rows) == set(fields)
    numbers = {name: str(int(default)) for name, default in fields.items() if not isinstance(default, str)}
    assert {name: rows[name] for name in numbers} == numbers
    assert Settings.from_env({name.strip("`"): default for name, default in numbers.items()}) == Settings()
