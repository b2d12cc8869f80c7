"""The page without a browser: settings, wiring, the answers to programs, what is said when something goes wrong."""

from __future__ import annotations

import ast
import base64
import dataclasses
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from fake_pipeline import FakePipeline
from gain_map_files import jpeg_with_iso, scene
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from page_requests import RED, address, asked, corners, handlers_at, told, uploaded
from page_server import free_port
from photo_files import heic
from PIL import Image

from hdrgan import Pipeline, load_photo
from hdrgan.files.limits import PhotoError
from hdrgan.files.radiance import load_radiance
from hdrgan.light.cancellation import CancelledError, check_cancelled, token_in_force
from hdrgan.page import handlers as handlers_module
from hdrgan.page.answers import KINDS, failure, sentence_of
from hdrgan.page.guard import GONE
from hdrgan.page.housekeeping import sweep
from hdrgan.page.jobs import BusyError
from hdrgan.page.layout import build_demo
from hdrgan.page.look import DESCRIPTION, TITLE, footer, markup
from hdrgan.page.main import launch_options, offered_models
from hdrgan.page.settings import Settings


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "beach.png"
    corners().save(path)
    return path


@pytest.fixture
def not_a_photo(tmp_path) -> Path:
    path = tmp_path / "holiday.jpg"
    path.write_text("Dear diary, today I went to the beach.\n" * 20)
    return path


@pytest.fixture(scope="module", autouse=True)
def temporary(tmp_path_factory):
    """Where the server keeps its temporary files while these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("temporary")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def server(temporary):
    """The page with the real default network, launched as `main` launches it: its address."""
    settings = Settings(max_megabytes=1)
    demo = build_demo({"radiance": Pipeline.from_pretrained("radiance", device="cpu")}, settings)
    assert not list(temporary.iterdir()), "what the page itself shows must not lie where files are deleted by age"
    _, url, _ = demo.launch(**launch_options(settings), prevent_thread_lock=True, server_port=free_port())
    yield url
    demo.close()


@pytest.fixture(scope="module")
def client(server, tmp_path_factory) -> Client:
    return Client(server, verbose=False, download_files=tmp_path_factory.mktemp("answers"))


# Settings


def test_every_limit_can_be_set_from_outside():
    environ = {"HDRGAN_MAX_MEGAPIXELS": "12", "HDRGAN_MODELS": "radiance,me/mine", "HDRGAN_MCP": "0", "OTHER": "1"}
    settings = Settings.from_env(environ)
    assert (settings.max_megapixels, settings.models, settings.mcp) == (12, "radiance,me/mine", False)
    assert settings.queue == Settings().queue


@pytest.mark.parametrize(
    ("variable", "value"), [("HDRGAN_QUEUE", "many"), ("HDRGAN_THREADS", "0"), ("HDRGAN_MCP", "perhaps")]
)
def test_a_setting_that_makes_no_sense_is_named(variable, value):
    with pytest.raises(ValueError, match=f"{variable} must be .*{value}"):
        Settings.from_env({variable: value})


def test_settings_print_as_the_variables_that_would_set_them():
    line = str(Settings(queue=3))
    assert "HDRGAN_QUEUE=3" in line
    assert line.count("HDRGAN_") == len(dataclasses.fields(Settings))


def test_models_are_those_asked_for_or_those_in_the_box(monkeypatch):
    assert offered_models(Settings(models=" bracket , me/mine ")) == ["bracket", "me/mine"]
    with monkeypatch.context() as patch:
        patch.setattr("hdrgan.page.main.bundled_names", lambda: ("bracket", "radiance"))
        assert offered_models(Settings()) == ["radiance", "bracket"]
    assert offered_models(Settings())[0] == "radiance"


def test_the_launch_is_hardened():
    options = launch_options(Settings(max_megabytes=7))
    assert options["max_file_size"] == 7 * 2**20
    expected = {"show_error": False, "strict_cors": True, "share": False, "enable_monitoring": False}
    assert {name: options[name] for name in expected} == expected


# Wiring


def test_a_page_needs_a_model():
    with pytest.raises(ValueError, match="at least one model"):
        build_demo({})


def test_the_first_model_is_preselected_and_the_queue_is_bounded():
    demo = build_demo({"bracket": FakePipeline(), "radiance": FakePipeline()}, Settings(queue=5))
    networks = [block for block in demo.blocks.values() if getattr(block, "label", None) == "Network"]
    assert [block.value for block in networks] == ["bracket"]
    assert demo._queue.max_size == 10


def test_the_page_knows_nothing_of_torch(root):
    modules = set()
    for path in [root / "app.py", *(root / "hdrgan" / "page").glob("*.py")]:
        tree = ast.parse(path.read_text())
        modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "hdrgan.page.main" in modules
    assert not {name for name in modules if name.split(".")[0] == "torch"}


def test_a_strangers_bytes_are_decoded_in_no_process_but_the_guarded_one(root):
    """What of `hdrgan.files` reads files is imported by the guarded decoder alone."""
    readers = {"load_photo", "load_radiance", "recognise", "decode_radiance"}
    found = set()
    for path in (root / "hdrgan" / "page").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom | ast.Import) else set()
            found |= {path.name for name in names if name in readers}
    assert not found


def test_nothing_is_sent_home():
    program = "import os, sys; from hdrgan.page.environment import prepare; prepare(); import hdrgan.page.main\n"
    program += "from huggingface_hub import constants as hub\n"
    program += "sys.exit(not hub.HF_HUB_DISABLE_TELEMETRY or os.environ['GRADIO_ANALYTICS_ENABLED'] != 'False')"
    named = ("HF_HUB_DISABLE_TELEMETRY", "GRADIO_ANALYTICS_ENABLED")
    environment = {name: value for name, value in os.environ.items() if name not in named}
    assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0


# What the handlers do


def test_a_photo_is_answered_step_by_step(tmp_path):
    photo = uploaded(tmp_path, corners(100, 300), "wide.png")
    news = told(handlers_at(tmp_path, preview_pixels=150).develop(asked(photo)))
    assert {one["ticket"] for one in news} == {"t"}
    states = [one["state"] for one in news if one["state"] != "working"]
    assert states == ["first", "frames", "done"]
    first, frames, done = (one for one in news if one["state"] != "working")
    assert (first["width"], first["height"], first["full"]) == (150, 50, [300, 100])
    for url in (first["photo"], first["finished"], done["hdr"], *(frame["url"] for frame in frames["frames"])):
        assert Image.open(address(url)).size == (150, 50)
        assert len(Path(address(url)).parent.name.removeprefix("answer-")) == 32, "128 bits that nobody guesses"
    assert [frame["ev"] for frame in frames["frames"]] == [-4, -2, 0, 2, 4]
    assert frames["frames"][2]["says"] == "EV 0 · the photo"
    for words in ("From darkest to brightest", "Blown out in the photo", "Clearly invented", "The higher, the more"):
        assert words in done["numbers"]
    sizes = [one["photo"] for one in news if "photo" in one and one["state"] == "working"]
    assert sizes == [{"width": 300, "height": 100, "bits": 8, "light": ""}]


@pytest.mark.parametrize(("brightest", "words"), [(254, "Nothing was blown out"), (255, "in 25.0 % of")])
def test_the_page_says_how_much_was_invented(tmp_path, brightest, words):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4, :4] = brightest
    photo = uploaded(tmp_path, Image.fromarray(pixels))
    done = told(handlers_at(tmp_path).develop(asked(photo)))[-1]
    assert words in done["summary"]
    marks = np.asarray(Image.open(address(done["marks"])).convert("RGBA"))
    assert ((marks[..., 3] > 0) == (pixels[..., 0] == 255)).all()


def test_the_exposures_are_those_asked_for(tmp_path):
    pipeline = FakePipeline()
    list(handlers_at(tmp_path, pipeline).develop(asked(uploaded(tmp_path), evs=[-3, 0, 1.5], response="srgb")))
    assert pipeline.calls == [((-3, 0, 1.5), "srgb")]


def test_a_calibration_comes_with_the_request_and_is_part_of_what_is_kept(tmp_path):
    pipeline = FakePipeline()
    handlers = handlers_at(tmp_path, pipeline)
    photo = uploaded(tmp_path)
    facts = {"format": 1, "kind": "hdrgan camera calibration", "make": "Acme", "model": "One"}
    for power in (2, 3, 3):
        curve = [(code / 255) ** power for code in range(256)]
        list(handlers.develop(asked(photo, calibration=json.dumps(facts | {"response": curve}))))
    used = [response for _, response in pipeline.calls]
    assert [one.title for one in used] == ["Acme One"] * 2, "the third is the second"
    np.testing.assert_allclose(used[1].response[128], (128 / 255) ** 3)
    for bad in ("[]", '{"response": 1}', "[" * 9000, "no"):
        news = told(handlers.develop(asked(photo, calibration=bad)))[-1]
        assert news["state"] == "failed"
        assert "is no camera calibration" in news["says"]


@pytest.mark.parametrize("kind", ["finished", "zip", "frame", "exr", "hdr", "ultrahdr"])
def test_what_is_saved_costs_no_second_run(tmp_path, kind):
    pipeline = FakePipeline()
    handlers = handlers_at(tmp_path, pipeline)
    photo = uploaded(tmp_path)
    list(handlers.develop(asked(photo)))
    saved = told(handlers.save(asked(photo, kind=kind, format="jpg", ev=-4)))[-1]
    assert saved["state"] == "file"
    assert saved["name"].startswith("beach")
    assert Path(address(saved["url"])).stat().st_size
    assert len(pipeline.calls) == 1
    list(handlers.develop(asked(photo, response="srgb")))
    assert len(pipeline.calls) == 2, "another setting is another result"


def test_work_stops_where_a_visitor_leaves(tmp_path):
    pipeline = FakePipeline()
    handlers = handlers_at(tmp_path, pipeline)
    photo = uploaded(tmp_path)
    leaving = handlers.develop(asked(photo))
    next(leaving)
    leaving.close()
    assert not pipeline.calls

    leaving = handlers.develop(asked(photo))
    while not list(tmp_path.glob("answer-*/*")):
        next(leaving)
    leaving.close()
    assert len(pipeline.calls) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["beach.png"], "an answer that nobody gets must not stay"


@pytest.mark.parametrize("way", ["leaves", "cancels"])
def test_reading_stops_where_a_visitor_leaves(tmp_path, monkeypatch, way):
    """The reader stands for one that takes long, and looks at the token as the guarded one does."""
    reading, ended = threading.Event(), threading.Event()

    def slow(*_, **__):
        reading.set()
        token = token_in_force()
        while not token.cancelled:
            threading.Event().wait(0.01)
        ended.set()
        token.check()

    monkeypatch.setattr(handlers_module, "load_photo_guarded", slow)
    pipeline = FakePipeline()
    handlers = handlers_at(tmp_path, pipeline)
    visit = handlers.develop(asked(uploaded(tmp_path)))
    while not reading.is_set():
        next(visit)
    next(visit)
    if way == "leaves":
        visit.close()
    else:
        handlers.stop("t")
        assert told(visit)[-1]["state"] == "cancelled"
    assert ended.wait(60)
    assert not pipeline.calls


def test_a_ticket_cancels_its_own_work_alone(tmp_path):
    entered, goes_on = threading.Event(), threading.Event()

    class Waiting(FakePipeline):
        def __call__(self, *arguments, **named):
            entered.set()
            goes_on.wait(60)
            check_cancelled()
            return super().__call__(*arguments, **named)

    handlers = handlers_at(tmp_path, Waiting())
    photo = uploaded(tmp_path)
    news = []
    work = threading.Thread(target=lambda: news.extend(told(handlers.develop(asked(photo)))))
    work.start()
    assert entered.wait(60)
    handlers.stop("another")
    handlers.stop("t")
    work.join(60)  # who cancelled does not wait for the network
    goes_on.set()
    assert news[-1]["state"] == "cancelled"


def test_the_page_names_no_file_of_the_server(tmp_path, root):
    (tmp_path / "cache").mkdir()
    uploaded(tmp_path, name="outside.png")
    handlers = handlers_at(tmp_path / "cache")
    for path in (root / "README.md", "/etc/passwd", tmp_path / "cache" / ".." / "outside.png", tmp_path, "", None, 7):
        for events in (
            handlers.develop(asked(None, path=str(path))),
            handlers.save(asked(None, path=str(path), kind="exr")),
        ):
            assert told(events)[-1]["state"] == "failed"


@pytest.mark.parametrize(
    "bad", [{"evs": [2, 1]}, {"evs": ["x"]}, {"evs": list(range(-16, 4))}, {"model": "x"}, {"response": "y"}]
)
def test_what_makes_no_sense_is_refused_in_a_sentence(tmp_path, bad):
    answer = told(handlers_at(tmp_path).develop(asked(uploaded(tmp_path), **bad)))[-1]
    assert answer["state"] == "failed"
    assert answer["says"]
    assert "broke on our side" not in answer["says"]


def test_the_sweep_deletes_what_is_old_broken_off_uploads_included(tmp_path):
    (tmp_path / "hash").mkdir()
    (tmp_path / "hash" / "photo.jpg").touch()
    (tmp_path / "tmp8fk2_upload").touch()
    sweep(tmp_path, keep_s=600, now=time.time() + 590)
    assert len(list(tmp_path.rglob("*"))) == 3
    sweep(tmp_path, keep_s=600, now=time.time() + 610)
    assert not list(tmp_path.iterdir())


def test_a_failure_is_one_sentence_to_the_visitor_and_a_traceback_in_the_log(tmp_path, caplog):
    handlers = handlers_at(tmp_path, FakePipeline(RuntimeError("secret at /srv/key")))
    photo = uploaded(tmp_path)
    with caplog.at_level(logging.ERROR):
        answer = told(handlers.develop(asked(photo)))[-1]
    assert answer["state"] == "failed"
    assert "secret" not in json.dumps(answer)
    assert "secret at /srv/key" in caplog.text
    with pytest.raises(gr.Error) as caught:
        list(handlers.generate(str(photo), "fake", 2, "auto"))
    assert "secret" not in str(caught.value)
    assert not caught.value.print_exception


@pytest.mark.parametrize("silent", [gr.Error(""), PhotoError(""), BusyError(" "), CancelledError(""), ValueError("")])
def test_no_failure_is_without_a_sentence(silent):
    news = failure(silent)
    assert news["title"]
    assert re.fullmatch(r"[A-Z].*[a-z.)] .*\.", news["says"])


def test_a_visitor_is_not_told_to_install_anything(monkeypatch):
    data = heic(np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PhotoError, match=r"pip install pillow-heif; or save it as JPEG\.$") as refused:
        load_photo(data)
    _, said = sentence_of(refused.value)
    assert said == "This is a HEIC photo, which cannot be read on this server; save it as JPEG."
    assert "save HEIC as JPEG first" in markup({}, {}, {}, {})
    monkeypatch.undo()
    assert "JPEG, PNG, HEIC" in markup({}, {}, {}, {})


def test_light_that_the_photo_records_is_named(tmp_path):
    pipe = Pipeline.from_pretrained("radiance", device="cpu")
    (tmp_path / "lamps.jpg").write_bytes(jpeg_with_iso(scene()))
    heard = told(handlers_at(tmp_path, pipe).develop(asked(tmp_path / "lamps.jpg")))
    facts = next(news["photo"] for news in heard if "width" in news.get("photo", ""))
    assert facts["light"] == "light recorded by the camera: 3.3 stops above white"
    assert heard[-1]["summary"] == "Light recorded by the camera: 3.3 stops above white. Nothing was invented."
    plain = told(handlers_at(tmp_path).develop(asked(uploaded(tmp_path))))
    assert next(news["photo"] for news in plain if "width" in news.get("photo", ""))["light"] == ""
    assert "recorded" not in plain[-1]["summary"]


def test_what_is_read_stands_below_the_page(monkeypatch):
    says = footer(10)
    assert "Read are JPEG, PNG, HEIC, AVIF, WebP, TIFF, GIF, BMP, camera raw." in says
    assert "(gain maps of phones, PQ, HLG, camera raw)" in says
    assert re.search(r'<a href="https://[^"]*/docs/formats\.md"', says)
    for package in ("pillow_heif", "rawpy"):
        monkeypatch.setitem(sys.modules, package, None)
    assert "Read are JPEG, PNG, AVIF, WebP, TIFF, GIF, BMP." in footer(10)


def test_no_photo_is_answered_with_what_to_do(tmp_path, not_a_photo):
    handlers = handlers_at(tmp_path)
    assert "Choose a photo first" in told(handlers.develop(asked(None)))[-1]["says"]
    assert "choose it again" in told(handlers.develop(asked(tmp_path / "gone.png")))[-1]["says"]
    with pytest.raises(gr.Error, match="Choose a photo first"):
        list(handlers.generate(None, "fake", 2, "auto"))
    assert told(handlers.develop(asked(not_a_photo)))[-1]["title"] == "This photo can't be used"


# What programs get


def test_generate_answers_five_files_with_the_photo_in_the_middle(client, tmp_path):
    path = tmp_path / "beach.jpg"
    exif = Image.Exif()
    exif[274] = 6  # the camera was held upright: stored lying on its left side
    corners(96, 64).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)

    files, picture = client.predict(handle_file(path), api_name="/generate")
    assert Image.open(picture).size == (64, 96)

    assert len(files) == 5
    assert all(isinstance(file, str) for file in files)
    assert [Path(file).name for file in files] == [f"beach_ev{ev}.png" for ev in ("-4", "-2", "+0", "+2", "+4")]
    frames = [np.asarray(Image.open(file)) for file in files]
    assert {frame.shape for frame in frames} == {(96, 64, 3)}
    assert np.abs(frames[2][10, 10].astype(int) - RED).max() < 30
    assert np.array_equal(frames[2], load_photo(path).pixels)
    brightness = [frame.mean() for frame in frames]
    assert brightness == sorted(brightness)


def test_generate_takes_named_plain_arguments(client, photo):
    named = {"photo": handle_file(photo), "model": "radiance", "response": "srgb", "api_name": "/generate"}
    files, _ = client.predict(ev_step=1, **named)
    assert [re.search(r"_ev([+-]\d)\.png$", file)[1] for file in files] == ["-2", "-1", "+0", "+1", "+2"]
    files, _ = client.predict(ev_step=2, evs="-3, 0, 1.5", **named)
    assert [Path(file).name for file in files] == [f"beach_ev{ev}.png" for ev in ("-3", "+0", "+1.5")]


def test_export_answers_an_ultra_hdr_whose_picture_is_the_photo(client, photo):
    file = client.predict(handle_file(photo), kind="ultrahdr", api_name="/export")
    assert Path(file).name == "beach_ultrahdr.jpg"
    shown = load_photo(file).pixels.astype(int)
    assert np.abs(shown - load_photo(photo).pixels).mean() < 1


@pytest.mark.parametrize("kind", ["exr", "hdr"])
def test_export_answers_the_light(client, photo, kind):
    file = client.predict(handle_file(photo), kind=kind, api_name="/export")
    assert Path(file).name == f"beach.{kind}"
    assert load_radiance(file).shape == (48, 64, 3)


def test_export_answers_the_bracket_in_one_file(client, photo):
    file = client.predict(handle_file(photo), kind="zip", api_name="/export")
    with zipfile.ZipFile(file) as archive:
        assert sorted(archive.namelist()) == sorted(f"beach_ev{ev}.png" for ev in ("-4", "-2", "+0", "+2", "+4"))


def test_export_takes_named_plain_arguments(client, photo):
    named = {"photo": handle_file(photo), "model": "radiance", "response": "srgb", "api_name": "/export"}
    for given, evs in (({"ev_step": 1}, ("-2", "-1", "+0", "+1", "+2")), ({"evs": "-3, 0, 1.5"}, ("-3", "+0", "+1.5"))):
        with zipfile.ZipFile(client.predict(**({"ev_step": 2} | given), kind="zip", **named)) as archive:
            assert archive.namelist() == [f"beach_ev{ev}.png" for ev in evs]


def test_programs_see_two_functions_and_no_more(client):
    assert set(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == {"/generate", "/export"}


def test_language_models_see_them_as_tools_with_their_arguments_explained(server):
    tools = {tool["name"]: tool for tool in httpx.get(f"{server}gradio_api/mcp/schema").json()}
    assert set(tools) == {"generate", "export"}
    assert "exposures of the same scene" in tools["generate"]["description"]
    arguments = tools["generate"]["inputSchema"]["properties"]
    assert set(arguments) == {"photo", "model", "ev_step", "response", "evs"}
    assert "stops between" in arguments["ev_step"]["description"]


def test_a_shared_link_shows_our_title_our_words_and_our_picture(server):
    page = httpx.get(server).text
    head = page.partition("<script")[0]
    told = dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)">', head))
    assert told.items() >= {"og:title": TITLE, "og:description": DESCRIPTION, "description": DESCRIPTION}.items()
    assert (told["og:url"], told["twitter:card"]) == (server, "summary_large_image")
    assert re.findall("<title>(.*?)</title>", page) == [TITLE]
    assert [head.count(f'og:{name}"') for name in ("title", "description", "image", "url")] == [1, 1, 1, 1]
    assert not re.search("gradio", head, re.IGNORECASE)
    picture = httpx.get(told["og:image"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).size == (1200, 630)
    assert len(picture.content) < 300_000
    assert "window.gradio_config" in page


def test_behind_a_proxy_a_shared_link_names_the_picture_as_the_world_reaches_it(server):
    page = httpx.get(server, headers={"x-forwarded-host": "hdr.example", "x-forwarded-proto": "https"}).text
    assert '<meta property="og:image" content="https://hdr.example/card.jpg">' in page


def test_asking_for_the_head_of_the_page_is_answered_as_the_page_is(server):
    head, page = httpx.head(server), httpx.get(server, headers={"accept-encoding": "identity"})
    assert (head.status_code, head.content) == (200, b"")
    assert int(page.headers["content-length"]) == len(page.content)


def test_the_icon_is_ours(server):
    answer = httpx.get(f"{server}favicon.ico")
    icon = Image.open(io.BytesIO(answer.content)).convert("RGB")
    colours = [icon.getpixel((icon.width * (2 * k + 1) // 10, 5)) for k in range(5)]
    assert (icon.format or "ICO", answer.headers["content-type"]) == ("ICO", "image/x-icon")
    assert colours == sorted(colours, key=sum)
    assert colours[0] == (11, 13, 18)


@pytest.mark.parametrize("tool", ["generate", "export"])
def test_every_argument_of_a_program_is_described_to_its_end(server, tool):
    (schema,) = [one for one in httpx.get(f"{server}gradio_api/mcp/schema").json() if one["name"] == tool]
    described = {name: about.get("description", "") for name, about in schema["inputSchema"]["properties"].items()}
    info = httpx.get(f"{server}gradio_api/info").json()["named_endpoints"][f"/{tool}"]
    assert {one["parameter_name"]: one["python_type"]["description"] for one in info["parameters"]} == described
    assert not {name: says for name, says in described.items() if not says.endswith(".")}
    assert tool == "generate" or all(f'"{kind}"' in described["kind"] for kind in KINDS)


@pytest.mark.parametrize("tool", ["generate", "export"])
def test_every_argument_of_a_tools_schema_can_be_sent(server, photo, tool):
    with httpx.Client(base_url=server, timeout=120) as http:
        path = http.post("gradio_api/upload", files={"files": ("beach.png", photo.read_bytes())}).json()[0]
        (schema,) = [one for one in http.get("gradio_api/mcp/schema").json() if one["name"] == tool]
        values = {"string": "", "number": 1.5, "integer": 1}
        arguments = {}
        for name, about in schema["inputSchema"]["properties"].items():
            arguments[name] = about["enum"][-1] if "enum" in about else values[about["type"]]
        arguments["photo"] = f"{server}gradio_api/file={path}"
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        message["params"] = {"name": tool, "arguments": arguments}
        head = {"accept": "application/json, text/event-stream"}
        answer = http.post("gradio_api/mcp/", json=message, headers=head)
    assert answer.status_code == 200
    assert '"isError":true' not in answer.text.replace(" ", "")
    assert "beach" in answer.text
    if tool == "generate":
        content = json.loads(answer.text.split("data: ", 1)[1])["result"]["content"]
        (picture,) = [one for one in content if one["type"] == "image"]
        assert picture["mimeType"] == "image/jpeg"
        assert Image.open(io.BytesIO(base64.b64decode(picture["data"]))).size == (64, 48)


def test_a_text_file_named_jpg_is_refused_with_the_loaders_sentence(client, not_a_photo):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(not_a_photo), api_name="/generate")
    with pytest.raises(ValueError, match=r"\w") as sentence:
        load_photo(not_a_photo)
    assert str(sentence.value) in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("bad", [{"model": "nonsense"}, {"ev_step": 40}, {"response": "nonsense"}])
def test_a_choice_that_is_not_offered_is_refused(client, photo, bad):
    with pytest.raises(AppError, match="not in the list of choices|greater than maximum"):
        client.predict(photo=handle_file(photo), api_name="/generate", **bad)


def test_files_of_the_server_cannot_be_named_as_a_photo(server, root):
    forged = {"path": str(root / "README.md"), "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{server}gradio_api/call/generate", json={"data": [forged, "radiance", 2, "auto", ""]})
    events = httpx.get(f"{server}gradio_api/call/generate/{call.json()['event_id']}", timeout=30).text
    assert "event: error" in events
    assert "event: complete" not in events
    assert json.loads(events.split("data: ")[-1].split("\n")[0])["error"] == GONE


def test_uploads_over_the_limit_are_refused(server):
    answer = httpx.post(f"{server}gradio_api/upload", files={"files": ("big.jpg", b"0" * (2**20 + 2**16))})
    assert answer.status_code == 413
