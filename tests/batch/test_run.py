"""One photo's failure is its own; what a batch says; how much it holds at a time."""

import errno
import io
import json
import os
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import gain_map_files
import pytest

from hdrgan.batch.budget import Budget, megapixels_of
from hdrgan.batch.progress import Progress
from hdrgan.batch.ranks import Tally
from hdrgan.light.parallel import cores, stream


def test_one_photo_does_not_end_the_batch(hdrgan, make_photo, tmp_path):
    make_photo(tmp_path / "in/a.jpg", 1)
    make_photo(tmp_path / "in/pixel.gif", 2, size=(1, 1))
    (tmp_path / "in/empty.png").touch()
    (tmp_path / "in/folder.jpg").symlink_to(tmp_path)
    make_photo(tmp_path / "in/z.png", 3)
    done = hdrgan("generate", tmp_path / "in", "-o", tmp_path / "out", "--format", "jpg", "--json", "--evs=0,1")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    told = {line["path"].split("/")[-1]: line for line in map(json.loads, done.stdout.splitlines())}
    assert {name: line["status"] for name, line in told.items()} == {
        "a.jpg": "done",
        "pixel.gif": "done",  # a GIF of one pixel is a photo, if a small one
        "empty.png": "failed",
        "folder.jpg": "failed",
        "z.png": "done",
    }
    failed = [json.loads(line) for line in (tmp_path / "out/failed.jsonl").read_text().splitlines()]
    assert [line["path"].split("/")[-1] for line in failed][:2] == ["empty.png", "folder.jpg"]
    assert all(line["reason"] for line in failed)
    assert f"{len(failed)} of 5 photos failed; {tmp_path / 'out/failed.jsonl'} says why." in done.stderr


def test_what_is_no_file_is_refused_at_once_in_one_sentence(hdrgan, make_photo, tmp_path):
    make_photo(tmp_path / "in/a.jpg", 1)
    for name in ("b.jpg", "a_ev+2.jpg", "c.heic"):
        os.mkfifo(tmp_path / "in" / name)  # opened, it would wait for its writer
    (tmp_path / "in/zero.png").symlink_to("/dev/zero")
    done = hdrgan("generate", tmp_path / "in", "-o", tmp_path / "out", "--format", "jpg", "--evs=0,1")
    assert done.returncode == 1, done.stderr
    assert "4 of 5 photos failed" in done.stderr
    assert done.stderr.count("This path is not a file; give the path of a photo.\n") == 4
    assert "cannot be read" not in done.stderr


def test_an_error_that_nobody_foresaw_is_one_photos_too(make_photo, tmp_path):
    from hdrgan.batch.plan import Planned
    from hdrgan.batch.run import Batch
    from hdrgan.batch.settings import OutputSettings

    photos = [Planned(str(make_photo(tmp_path / f"{k}.png", k)), "", str(k)) for k in range(3)]

    def make(photo):
        raise {"0": RuntimeError("gave up"), "1": MemoryError(), "2": OSError(13, "Permission denied")}[photo.name]

    batch = Batch(photos, tmp_path, OutputSettings((0.0,), "png", (), False, False, {}), make)
    outcomes = [outcome for outcome in batch.run() if outcome]
    assert [outcome.status for outcome in outcomes] == ["failed"] * 3
    reasons = {outcome.photo[-5]: outcome.reason for outcome in outcomes}
    assert reasons["0"] == "hdrgan failed with RuntimeError: gave up"
    assert "memory" in reasons["1"]
    assert reasons["2"] == "Permission denied"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG])
def test_where_nothing_can_be_written_any_more_the_batch_ends(number, make_photo, tmp_path):
    from hdrgan.batch.plan import Planned
    from hdrgan.batch.run import Batch, FullError
    from hdrgan.batch.settings import OutputSettings

    photos = [Planned(str(make_photo(tmp_path / f"{k}.png", k)), "", str(k)) for k in range(3)]

    def make(photo):
        raise OSError(number, os.strerror(number), str(tmp_path / "0_ev+0.png"))

    batch = Batch(photos, tmp_path, OutputSettings((0.0,), "png", (), False, False, {}), make)
    with pytest.raises(FullError, match=os.strerror(number)) as error:
        list(batch.run())
    assert error.value.errno == number


def test_three_thousand_photos(hdrgan, make_photo, tmp_path):
    one = make_photo(tmp_path / "in/0000.png", size=(16, 16)).read_bytes()
    for k in range(1, 3000):
        (tmp_path / f"in/{k:04}.png").write_bytes(one)
    shared = ("--model", "bracket", "--evs=0", "--format", "jpg", "-o", tmp_path / "out")
    done = hdrgan("generate", tmp_path / "in", *shared, "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({line["path"] for line in lines}) == 3000
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 3000
    assert "3,000 of 3,000 photos" in done.stderr
    again = hdrgan("generate", tmp_path / "in", *shared)
    assert "3,000 of 3,000 photos were complete already" in again.stderr


def test_a_line_every_half_minute_where_there_is_no_terminal():
    now = [0.0]
    stream = io.StringIO()
    progress = Progress(shown=True, stream=stream, clock=lambda: now[0])
    for second in range(0, 100, 5):
        now[0] = float(second)
        progress.update(Tally(total=200, done=second, failed=1, megapixels=12.0 * second))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "31 of 200 photos, 360 MP, 12.0 MP/s, 1 failed, 0:02:44 left"
    assert len(lines) == 3


def test_a_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    progress = Progress(shown=True, stream=terminal)
    progress.update(Tally(total=200, done=10, megapixels=120))
    time.sleep(0.2)
    progress.update(Tally(total=200, done=100, megapixels=1200))
    progress.write_line("x.jpg: damaged")
    progress.close()
    assert "100/200" in terminal.getvalue()
    assert "1,200 MP" in terminal.getvalue()
    assert "x.jpg: damaged" in terminal.getvalue()


def test_no_more_than_the_budget_is_held_and_a_large_photo_is_alone():
    budget, lock, held, most = Budget(50), threading.Lock(), [], []

    def work(megapixels):
        with budget.hold(megapixels):
            with lock:
                held.append(megapixels)
                most.append(list(held))
            time.sleep(0.01)
            with lock:
                held.remove(megapixels)
        return megapixels

    sizes = [24, 24, 24, 100, 1, 1, 1, 30, 30]
    assert sorted(answer for answer in stream(work, sizes, workers=4) if answer) == sorted(sizes)
    assert all(sum(together) <= 50 or together == [100] for together in most)


def test_the_size_of_what_cannot_be_read_is_guessed(make_photo, tmp_path):
    assert megapixels_of(str(make_photo(tmp_path / "a.jpg", size=(200, 100)))) == 0.02
    (tmp_path / "b.heic").write_bytes(b"x")
    assert megapixels_of(str(tmp_path / "b.heic")) == 24
    assert megapixels_of(str(tmp_path / "missing.png")) == 0


def test_a_stream_takes_parts_as_threads_become_free():
    taken = []

    def parts():
        for k in range(1000):
            taken.append(k)
            yield k

    answers = stream(lambda k: (k, cores()), parts(), workers=2)
    first = next(answer for answer in answers if answer is not None)
    assert first[1] == max(1, cores() // 2)
    assert len(taken) <= 4
    answers.close()


def test_the_failed_list_of_somebody_else_is_left(hdrgan, make_photo, tmp_path):
    photo = make_photo(tmp_path / "x.png")
    (tmp_path / "failed.jsonl").write_text('{"mine": 1}\n')
    done = hdrgan("reconstruct", photo, "-o", tmp_path)
    assert done.returncode == 2
    assert "failed.jsonl is in the way" in done.stderr


def made_elsewhere(network, path):
    """A result, as another process returns it."""
    from hdrgan import Pipeline

    return Pipeline.from_pretrained(network)(path)


@pytest.mark.parametrize("network", ["radiance", "bracket", "ein", "recorded light"])
def test_a_result_crosses_the_border_of_a_process(network, make_photo, tmp_path, files_in):
    from hdrgan import Pipeline

    photo = make_photo(tmp_path / "x.jpg", size=(500, 400))
    if network == "recorded light":
        photo.write_bytes(gain_map_files.jpeg_with_iso(gain_map_files.scene()))
        network = "radiance"
    result = Pipeline.from_pretrained(network)(photo)
    _ = result.exposures[0]
    there = pickle.loads(pickle.dumps(result))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        sent = pool.submit(made_elsewhere, network, photo).result(600)
    for one, name in ((result, "here"), (there, "there"), (sent, "sent")):
        one.save(tmp_path / name, format="jpg", hdr=("exr", "ultrahdr"))
    assert sent.photo.light_note == result.photo.light_note
    assert len(files_in(tmp_path / "here")) == 7
    assert files_in(tmp_path / "here") == files_in(tmp_path / "there") == files_in(tmp_path / "sent")
    for one in (there, sent):
        with pytest.raises(ValueError, match="read-only"):
            one.photo.pixels[0] = 0


def test_drawing_on_an_exposure_does_not_change_the_photo(make_photo, tmp_path):
    from hdrgan import Pipeline

    result = Pipeline.from_pretrained("radiance")(make_photo(tmp_path / "x.png"))
    with pytest.raises(ValueError, match="read-only"):
        result.exposures[2][0] = 200
    result.exposures[0][0] = 200
