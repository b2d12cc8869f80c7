"""The ONNX file of radiance stands alone: from a photo to its light without torch, as the pipeline does it."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from hdrgan import Pipeline
from hdrgan.files.response_choice import srgb
from hdrgan.models.export import ExportError, export_onnx

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def radiance(radiance_onnx):
    """The bundled network, and its file."""
    return Pipeline.from_pretrained("radiance", device="cpu"), radiance_onnx


def light_of(path, photo, **more):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["radiance", "curve"], {"photo": photo, **more})


@pytest.mark.parametrize("name", ["sunset", "dandelions", "launch_pad"])
def test_a_real_photo_has_the_light_that_the_pipeline_gives_it(radiance, root, name):
    pipe, path = radiance
    with Image.open(root / "examples" / f"{name}.jpg") as whole:
        whole.thumbnail((1200, 1200))
        photo = np.asarray(whole.convert("RGB"))
    expected = pipe(photo, response="camera", projection="flat")
    found, curve = light_of(path, photo)
    np.testing.assert_allclose(found, expected.radiance, rtol=2e-3, atol=1e-4)
    np.testing.assert_array_equal(curve, expected.response)
    assert found.max() > 1.5


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (37, 1), (384, 384), (383, 201), (700, 500)])
def test_any_size_does(radiance, size):
    pipe, path = radiance
    photo = np.random.default_rng(2).integers(0, 256, (*size, 3), dtype=np.uint8)
    clipped = photo[: size[0] // 2 + 1]
    clipped[:] = np.random.default_rng(3).integers(251, 256, clipped.shape)  # exactly white would look drawn
    expected = pipe(photo, response="camera", projection="flat").radiance
    np.testing.assert_allclose(light_of(path, photo)[0], expected, rtol=2e-3, atol=1e-4)


def test_another_response_and_a_photo_that_clips_nowhere(radiance):
    pipe, path = radiance
    photo = np.random.default_rng(4).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    found, curve = light_of(path, photo, response=srgb())
    np.testing.assert_array_equal(curve, srgb())
    np.testing.assert_allclose(found, srgb()[photo], rtol=1e-6)
    assert found.max() < 1
    np.testing.assert_allclose(found, pipe(photo, response="srgb").radiance, rtol=1e-6)


def test_a_response_of_ones_own_lowers_no_channel(radiance, root):
    pipe, path = radiance
    with Image.open(root / "examples" / "dandelions.jpg") as whole:
        whole.thumbnail((640, 640))
        photo = np.asarray(whole.convert("RGB"))
    clipped = photo == 255
    assert (pipe(photo, response="srgb", projection="flat").radiance[clipped] >= 1).all()
    # What is beside white takes some of it away where its noise is taken out, in the file with any response.
    low = [np.mean(light_of(path, photo, **more)[0][clipped] < 0.97) for more in ({"response": srgb()}, {})]
    assert low[0] < 0.2 * low[1]


def test_the_file_says_what_it_takes_and_gives(radiance):
    _, path = radiance
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.name for entry in model.graph.input] == ["photo", "response"]
    assert [entry.name for entry in model.graph.output] == ["radiance", "curve"]
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts == {"hdrgan.network": "RadianceGenerator", "hdrgan.evs": "-4 -2 0 2 4"}
    assert [file.name for file in path.parent.iterdir()] == ["radiance.onnx"]


def test_a_network_alone_is_compared_with_a_pipeline(radiance, tmp_path, monkeypatch):
    network, path = radiance[0].model, radiance[1]
    with pytest.raises(ValueError, match=r"Pipeline\.export_onnx"):
        export_onnx(network, tmp_path / "x.onnx")
    # Torch would take a minute to export the same once more.
    monkeypatch.setattr("hdrgan.models.export._exported", lambda *_: SimpleNamespace(model_proto=None))
    monkeypatch.setattr("hdrgan.models.photo_graph.photo_model", lambda *_: onnx.load(path))
    with pytest.raises(ExportError, match="differs from the network"):
        export_onnx(network, tmp_path / "x.onnx", lambda pixels: np.ones(pixels.shape, np.float32))
    assert not list(tmp_path.iterdir())


def test_the_example_of_the_documentation_runs_without_torch(radiance, root, tmp_path):
    pipe, path = radiance
    (example,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "onnx.md").read_text(), re.S)
    assert len(example.strip().splitlines()) <= 20
    blocked = "import sys\nsys.modules['torch'] = sys.modules['hdrgan'] = None\n"
    (tmp_path / "example.py").write_text(blocked + example)
    with Image.open(root / "examples" / "sunset.jpg") as whole:
        whole.resize((300, 200)).save(tmp_path / "photo.png")
    line = [sys.executable, "example.py", str(path), "photo.png"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    assert "stops above white" in done.stdout
    result = pipe(tmp_path / "photo.png", response="camera")
    np.testing.assert_allclose(np.load(tmp_path / "radiance.npy"), result.radiance, rtol=2e-3, atol=1e-4)
    for ev, frame in zip(result.evs, result.exposures, strict=True):
        if ev <= 0:  # brighter ones are denoised by the pipeline
            written = np.asarray(Image.open(tmp_path / f"ev{ev:+.0f}.png")).astype(int)
            # At EV 0 the pipeline shows the photo itself, where it nearly clipped as well.
            same = frame < 240 if ev == 0 else np.ones(frame.shape, bool)
            assert np.abs(written - frame)[same].max() <= 1
