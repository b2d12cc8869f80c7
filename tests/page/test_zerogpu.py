"""A Space with ZeroGPU: the network runs in a forked process that holds the card, and what it says travels pickled."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from page_server import clean_environment, page
from PIL import Image

from hdrgan import Pipeline, load_photo
from hdrgan.page import zerogpu

# A stand-in for the package of that name, which does the same with processes and pickles but needs Hugging Face's
# machines. The pipe is read in the process that forked, as there.
SPACES = """
import json, multiprocessing, os, pickle, threading
from gradio.context import LocalContext

def GPU(task, *, duration):
    fork = multiprocessing.get_context("fork")

    def borrowed(*arguments):
        sent = pickle.dumps(arguments)
        here, there = fork.Pipe(duplex=False)

        def work():
            there.send_bytes(pickle.dumps((os.getpid(), task(*pickle.loads(sent)))))

        process = fork.Process(target=work)
        process.start()
        there.close()
        pid, result = pickle.loads(here.recv_bytes())
        process.join()
        visitor = LocalContext.request.get(None) is not None
        call = {"seconds": duration(*arguments), "visitor": visitor, "forked": pid != os.getpid()}
        with open(os.environ["CALLS"], "a") as file:
            file.write(json.dumps(call) + "\\n")
        return result

    return borrowed
"""


def test_where_no_card_can_be_borrowed_nothing_changes(monkeypatch):
    monkeypatch.setattr(zerogpu, "spaces", None)
    assert zerogpu.on_gpu(print) is print


def test_more_seconds_are_asked_for_large_photos_up_to_a_minute():
    photos = [load_photo(np.zeros((side, side, 3), np.uint8)) for side in (100, 4000)]
    assert [round(zerogpu.gpu_seconds("ein", photo, (0,), "auto")) for photo in photos] == [15, 23]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_page_works_with_a_borrowed_card(root, tmp_path, threads):
    (tmp_path / "spaces.py").write_text(SPACES)
    photo = tmp_path / "sunset.jpg"
    with Image.open(root / "examples" / "sunset.jpg") as whole:
        whole.resize((200, 120)).save(photo, exif=whole.getexif())
    env = clean_environment() | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)]),
        "CALLS": str(tmp_path / "calls"),
        "OMP_NUM_THREADS": str(threads),
        "HDRGAN_MODELS": "radiance,bracket",
    }
    with page([sys.executable, "-m", "hdrgan.page"], tmp_path, env) as address:
        client = Client(address, verbose=False, download_files=tmp_path / "answers")
        made = {
            name: client.predict(handle_file(photo), name, 2, "auto", "", api_name="/generate")[0]
            for name in ("radiance", "bracket")
        }
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert [call["forked"] for call in calls] == [True, True]
    assert all(call["visitor"] for call in calls), "whose quota it is"
    for name, files in made.items():
        expected = Pipeline.from_pretrained(name, device="cpu")(photo).exposures
        for file, frame in zip(files, expected, strict=True):
            np.testing.assert_allclose(np.asarray(Image.open(Path(file))).astype(int), frame, atol=1)
