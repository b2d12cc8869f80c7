"""What the wheel and each of its extras bring is enough for what they are for, and no more than it needs to be."""

from __future__ import annotations

import subprocess

import numpy as np
import onnxruntime
import pytest
from empty_environment import NO_NETWORK, EmptyEnvironment, closure, metadata_of, size_of
from page_server import fetch, page
from PIL import Image
from small_sets import make_brackets, make_pairs

from hdrgan import BracketGenerator
from hdrgan.hub.distribution import WHEEL_NAME, build_wheel

OWN_SHARE = 220e6  # bytes beside torch and what torch brings: with its build for processors that makes 1.1 GiB
APP_SHARE = 250e6  # bytes that the page adds


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    path = tmp_path_factory.mktemp("wheel") / WHEEL_NAME
    path.write_bytes(build_wheel())
    return path


@pytest.fixture
def environment(wheel, tmp_path):
    return lambda *extras: EmptyEnvironment(tmp_path / "venv", wheel, *extras, startup=NO_NETWORK)


@pytest.fixture
def photo(tmp_path):
    codes = np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    codes[10:30, 20:50] = 255
    Image.fromarray(codes).save(tmp_path / "window.jpg")
    return tmp_path / "window.jpg"


def test_the_library_is_small_beside_torch(wheel):
    lines = metadata_of(wheel)
    core = closure(lines)
    torch = closure(line for line in lines if line.startswith("torch"))
    assert not {"gradio", "accelerate", "torchmetrics", "pandas", "onnxruntime", "opencv-python-headless"} & core.keys()
    own = {name: there for name, there in core.items() if name not in torch}
    assert size_of(own.values()) < OWN_SHARE, sorted((size_of([there]), name) for name, there in own.items())[-5:]
    page = {name: there for name, there in closure(lines, ["app"]).items() if name not in core}
    assert size_of(page.values()) < APP_SHARE


def test_the_wheel_alone_makes_exposures_and_names_what_is_missing(environment, photo, tmp_path):
    alone = environment()
    for module in ("gradio", "accelerate"):
        line = [str(alone.python), "-c", f"import {module}"]
        done = subprocess.run(line, capture_output=True, env=alone.environment(tmp_path), cwd=tmp_path, check=False)
        assert b"ModuleNotFoundError" in done.stderr
    alone.run("generate", photo, "-o", "out", "--hdr", "exr,hdr,ultrahdr", cwd=tmp_path)
    assert len(list((tmp_path / "out").glob("window_ev*.png"))) == 5
    alone.run("reconstruct", photo, "-o", "light", "--model", "ein", cwd=tmp_path)
    assert (tmp_path / "light" / "window.exr").stat().st_size > 1000
    for words, extra in ((["serve"], "app"), (["train", "--dataset", "."], "train")):
        assert f"python -m pip install 'hdrgan[{extra}]'" in alone.run(*words, cwd=tmp_path, code=2)


def test_the_page_is_served_with_the_extra_app(environment, tmp_path):
    served = environment("app")
    home = served.environment(tmp_path / "home")
    with page([str(served.command), "serve", "--models", "radiance"], tmp_path, home) as address:
        assert "gradio" in fetch(address).lower()
        assert "/generate" in fetch(f"{address}gradio_api/info")


def test_a_network_is_trained_with_the_extra_train(environment, tmp_path):
    make_brackets(tmp_path / "brackets", scenes=3)
    flags = "--width 8 --batch-size 2 --crop-size 32 --steps 1 --validation-photos 1 --workers 1 --cpu".split()
    trained = environment("train")
    trained.run("train", "--dataset", "brackets", "--output", "run", *flags, cwd=tmp_path)
    assert BracketGenerator.from_pretrained(tmp_path / "run" / "generator").width == 8


def test_networks_are_scored_with_the_extra_eval(environment, tmp_path):
    make_pairs(tmp_path / "pairs", side=48)
    said = environment("eval").run("evaluate", "pairs", "--model", "radiance", "-o", "report.json", cwd=tmp_path)
    assert "identity" in said
    assert (tmp_path / "report.json").exists()


def test_a_network_is_exported_with_the_extra_onnx(radiance_onnx):
    assert onnxruntime.InferenceSession(radiance_onnx).get_inputs()[0].name == "photo"
