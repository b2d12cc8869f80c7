"""Parts of a photo at its own pixels, and several photos at once."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fake_pipeline import FakePipeline
from page_requests import address, asked, corners, handlers_at, told, uploaded
from PIL import Image

from hdrgan.files.photo import Photo, load_photo
from hdrgan.light.rendering import StoredLight
from hdrgan.page.closeup import save_part
from hdrgan.page.housekeeping import keep_awake
from hdrgan.page.look import MOST_PHOTOS, markup
from hdrgan.page.pace import Pace
from hdrgan.result import Result


@pytest.fixture
def not_a_photo(tmp_path) -> Path:
    path = tmp_path / "holiday.jpg"
    path.write_text("Dear diary")
    return path


@pytest.mark.parametrize("view", ["finished", "hdr", "marks", "ev-4", "ev2"])
def test_a_part_is_shown_at_the_photos_own_pixels(tmp_path, view):
    pipeline = FakePipeline()
    handlers = handlers_at(tmp_path, pipeline, preview_pixels=100)
    image = corners(300, 400)
    photo = uploaded(tmp_path, image)
    list(handlers.develop(asked(photo)))
    part = told(handlers.look(asked(photo, view=view, box=[150, 100, 350, 250])))[-1]
    assert part["state"] == "look"
    assert len(pipeline.calls) == 1, "it is the result that is shown"
    shown, result = (np.asarray(Image.open(address(part[name]))).astype(int) for name in ("photo", "result"))
    assert shown.shape == result.shape == (150, 200, 3)
    own = np.asarray(image)[100:250, 150:350].astype(int)
    assert np.abs(shown - own).mean() < 3
    assert view != "marks" or np.array_equal(shown, result)


def test_the_part_is_that_of_the_view(tmp_path):
    photo = Photo(np.asarray(corners(96, 128)))
    light, invented = (photo.pixels / np.float32(255)) ** 2, np.zeros((96, 128), np.float32)
    light[:20, :30], invented[:20, :30] = 3, 0.5
    curve = np.linspace(0, 1, 256, dtype=np.float32) ** 2
    result = Result.of(photo, (-2, 0), StoredLight(photo.pixels, curve, light, invented))
    part = slice(8, 40), slice(4, 44)
    for view, whole in (("finished", result.finished()), ("ev-2", result.exposures[0]), ("ev0", photo.pixels)):
        path = save_part(result, view, part, tmp_path)[1]
        assert np.abs(np.asarray(Image.open(path), int) - whole[part]).mean() < 3
    path = save_part(result, "hdr", part, tmp_path)[1]
    assert load_photo(path).light.max() > 2, "an Ultra HDR file"


@pytest.mark.parametrize(
    "bad",
    [
        {"box": [0, 0, 65, 48]},
        {"box": [-1, 0, 5, 5]},
        {"box": [5, 5, 5, 9]},
        {"box": [0, 0, 9]},
        {"box": "x"},
        {"view": "ev7"},
        {"view": "nonsense"},
    ],
)
def test_what_is_no_part_is_refused(tmp_path, bad):
    handlers = handlers_at(tmp_path)
    photo = uploaded(tmp_path)
    answer = told(handlers.look(asked(photo, **({"view": "finished", "box": [0, 0, 8, 8]} | bad))))[-1]
    assert answer["state"] == "failed"
    assert answer["says"][0].isupper()
    assert answer["says"].endswith(".")
    assert "our side" not in answer["says"]


@pytest.mark.parametrize("bad", [{"kind": "x"}, {"kind": "zip", "format": "bmp"}, {"kind": "frame", "ev": 7}])
def test_what_is_no_file_of_a_result_is_refused_in_a_sentence(tmp_path, bad, caplog):
    answer = told(handlers_at(tmp_path).save(asked(uploaded(tmp_path), **bad)))[-1]
    assert answer["state"] == "failed"
    assert re.fullmatch(r"(kind must|There is no) .*\.", answer["says"])
    assert not caplog.records


def several(*photos: Path, **more) -> str:
    return asked(None, photos=[{"path": str(path), "name": path.name} for path in photos], **more)


def test_several_photos_come_back_as_one_archive(tmp_path, not_a_photo):
    pipeline = FakePipeline()
    handlers = handlers_at(tmp_path, pipeline)
    (tmp_path / "other").mkdir()
    photos = [uploaded(tmp_path), not_a_photo, uploaded(tmp_path / "other", name="Beach.png")]
    events = told(handlers.pack(several(*photos)))
    assert [one["number"] for one in events if one["state"] == "packing"][:1] == [0]
    assert {one["number"] for one in events if one["state"] == "packing"} == {0, 1, 2}
    packed = events[-1]
    assert (packed["state"], packed["count"]) == ("packed", 2)
    assert [one["name"] for one in packed["failed"]] == ["holiday.jpg"]
    with zipfile.ZipFile(address(packed["url"])) as archive:
        frames = [f"_ev{ev}.jpg" for ev in ("-4", "-2", "+0", "+2", "+4")] + ["_finished.jpg"]
        names = [stem + frame for stem in ("beach", "Beach_2") for frame in frames]
        assert sorted(archive.namelist()) == sorted([*names, "failed.txt"])
        assert "holiday.jpg: This file is no picture" in archive.read("failed.txt").decode()
        assert Image.open(archive.open("beach_ev-4.jpg")).size == (64, 48)
    assert not handlers.kept.photo(str(photos[0])), "a batch pushes nobody's result out"


def test_of_several_photos_the_rest_is_not_done_once_cancelled(tmp_path):
    class Cancelling(FakePipeline):
        def __call__(self, *arguments, **named):
            result = super().__call__(*arguments, **named)
            handlers.stop("t")
            return result

    pipeline = Cancelling()
    handlers = handlers_at(tmp_path, pipeline)
    photos = [uploaded(tmp_path, name=f"{number}.png") for number in range(3)]
    assert told(handlers.pack(several(*photos)))[-1]["state"] == "cancelled"
    assert len(pipeline.calls) == 1
    assert not list(tmp_path.glob("answer-*")), "nothing of it is left"


def test_no_more_photos_are_taken_at_once_than_the_page_says(tmp_path):
    handlers = handlers_at(tmp_path)
    for count in (0, MOST_PHOTOS + 1):
        assert told(handlers.pack(several(*[uploaded(tmp_path)] * count)))[-1]["state"] == "failed"
    assert f'data-most="{MOST_PHOTOS}"' in markup({}, {}, {}, {})


def test_a_file_that_is_still_waited_for_is_not_swept(tmp_path):
    paths = [tmp_path / "waits.jpg", tmp_path / "old.jpg"]
    for path in paths:
        path.touch()
        os.utime(path, (0, 0))
    keep_awake([paths[0], tmp_path / "gone.jpg"])
    assert paths[0].stat().st_mtime > 1e9
    assert paths[1].stat().st_mtime == 0


def test_the_page_tells_no_radiance_user_to_wait_for_minutes(tmp_path):
    photo = Photo(np.zeros((3000, 4000, 3), np.uint8))
    small = Photo(np.zeros((500, 600, 3), np.uint8))
    pace = Pace()
    pace.learn("RadianceGenerator", small, 1.2)  # the first run of a server is slow
    assert pace.expected_s("RadianceGenerator", photo) < 3
    slow = pace.expected_s("EIN", small)
    pace.learn("EIN", small, 2 * slow)
    assert pace.expected_s("EIN", photo) == pytest.approx(1.5 * (0.1 + 4 * 12))
