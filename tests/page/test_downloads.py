"""What the page saves, compared with what the command line writes of the same photo: byte for byte."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from page_requests import address, asked, told
from PIL import Image

from hdrgan import Pipeline
from hdrgan.files.guarded import load_photo_guarded
from hdrgan.page import handlers as handlers_module
from hdrgan.page.handlers import Handlers
from hdrgan.page.settings import Settings

SAVES = [("finished", "png"), ("ultrahdr", "png"), ("exr", "png"), ("hdr", "png")]
SAVES += [(kind, format) for kind in ("frame", "zip") for format in ("png", "jpg", "tiff")]


@pytest.fixture(scope="module", params=["jpg", "png"])
def visited(request, root, tmp_path_factory):
    """A photo with EXIF in both: the page's handlers that know it, and the folders that the command line wrote."""
    home = tmp_path_factory.mktemp("downloads")
    photo, exif = home / "page" / f"lamps.{request.param}", Image.Exif()
    photo.parent.mkdir()
    exif[271], exif[274] = "Acme", 6
    exif.get_ifd(0x8769).update({33434: 0.01, 34855: 200})
    with Image.open(root / "examples" / "lamps.jpg") as example:
        example.reduce(8).save(photo, exif=exif)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    for format in ("png", "jpg", "tiff"):
        command = [sys.executable, "-m", "hdrgan", "generate", str(photo), "-o", str(home / format), "--device", "cpu"]
        command += ["--format", format, "--finished", "--hdr", "exr,hdr,ultrahdr"]
        subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    handlers = Handlers({"radiance": Pipeline.from_pretrained("radiance", device="cpu")}, Settings(), photo.parent)
    yield handlers, photo, home
    assert handlers.jobs.close(60)
    shutil.rmtree(home)


@pytest.mark.parametrize(("kind", "format"), SAVES)
def test_what_the_page_saves_is_what_the_command_line_writes(visited, kind, format, one_seeded_thread):
    handlers, photo, home = visited
    news = told(handlers.save(asked(photo, model="radiance", kind=kind, format=format, ev=-4)))[-1]
    assert news["state"] == "file", news
    saved = Path(address(news["url"]))
    if kind != "zip":
        assert saved.read_bytes() == (home / format / saved.name).read_bytes()
        return
    with zipfile.ZipFile(saved) as archive:
        assert len(archive.namelist()) == 5
        for name in archive.namelist():
            assert archive.read(name) == (home / format / name).read_bytes(), name


def test_what_is_shown_is_saved_without_another_decode_or_run(visited, monkeypatch):
    handlers, photo, _ = visited
    counted: Counter[str] = Counter()

    def counting(name: str, work: Callable[..., object]) -> Callable[..., object]:
        def work_counted(*given: object, **named: object) -> object:
            counted[name] += 1
            return work(*given, **named)

        return work_counted

    monkeypatch.setattr(handlers_module, "load_photo_guarded", counting("decodes", load_photo_guarded))
    monkeypatch.setattr(handlers, "_compute", counting("runs", handlers._compute))
    evs = (-3, 0, 3)  # which nobody asked for yet, so that nothing is kept of them
    monkeypatch.setattr(handlers.kept, "photo", lambda _: None)
    assert told(handlers.develop(asked(photo, model="radiance", evs=evs)))[-1]["state"] == "done"
    for kind in ("finished", "zip", "exr", "ultrahdr"):
        news = told(handlers.save(asked(photo, model="radiance", evs=evs, kind=kind, format="jpg")))[-1]
        assert news["state"] == "file", news
    assert counted == {"decodes": 1, "runs": 1}
