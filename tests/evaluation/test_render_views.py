"""The views of the yardstick: others can render them again, and a report says how."""

import json
import subprocess
import sys

import numpy as np
import pytest
from small_sets import make_scenes

from benchmarks import render_views
from hdrgan.data.layout import DatasetError
from hdrgan.evaluation.scenes import evaluate


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def cameras(tmp_path):
    """A file of two tone curves, one of which is for training."""
    light = np.linspace(0, 1, 64)
    curves = np.stack([light**0.5, light**0.4])
    split = np.array(["train", "test"])
    np.savez(tmp_path / "c.npz", name=np.array(["one", "two"]), split=split, irradiance=light, response=curves)
    return render_views.Cameras(tmp_path / "c.npz")


@pytest.fixture
def rendered(tmp_path, cameras, monkeypatch):
    make_scenes(tmp_path / "scenes", count=2)
    monkeypatch.setattr(render_views, "listed_scenes", lambda: ["scene_0.exr", "scene_1.exr"])
    monkeypatch.setattr(render_views, "SETTINGS", {"views": 2, "size": 48, "seed": 3})
    render_views.render(tmp_path / "scenes", tmp_path / "views", cameras)
    return tmp_path / "views"


def test_the_same_views_are_rendered_again(rendered, cameras, tmp_path):
    render_views.render(tmp_path / "scenes", tmp_path / "again", cameras)
    assert files_of(rendered) == files_of(tmp_path / "again")
    render_views.render(tmp_path / "scenes", tmp_path / "without", None)
    without = files_of(tmp_path / "without")
    assert not [name for name in without if "real" in name]
    clean = {name: content for name, content in files_of(rendered).items() if "real" not in name}
    for name in ("index.csv", "made.json"):
        del without[name], clean[name]
    assert without == clean, "a camera draws random numbers of its own"


def test_the_report_says_how_its_views_were_made(rendered):
    found = evaluate(rendered, [])
    assert found["data"] == {
        **{"name": "views", "kind": "yardstick", "split": "test", "command": "python -m benchmarks.render_views"},
        **{"scenes": ["scene_0.exr", "scene_1.exr"], "views": 2, "size": 48, "seed": 3, "cameras": ["two"]},
    }
    assert found["conditions"] == ["clean", "real"]
    assert {system["conditions"]["real"]["views"] for system in found["systems"]} == {3}
    (rendered / "made.json").write_text("{")
    with pytest.raises(DatasetError, match=r"made\.json"):
        evaluate(rendered, [])
    (rendered / "made.json").unlink()
    assert "seed" not in evaluate(rendered, [])["data"]


@pytest.mark.shared
def test_the_views_are_those_of_the_yardsticks_program(shared, tmp_path, monkeypatch):
    files = ["hdr/goldengate.exr", "hdr/spree_bank_1k.exr"]
    (tmp_path / "list").write_text("".join(f"{shared}/data/{file}\n" for file in files))
    responses = shared / "data/responses/cameras.npz"
    line = [sys.executable, shared / "bench/make_bench.py", tmp_path / "theirs", "--list", tmp_path / "list"]
    line += ["--views", 6, "--seed", 11, "--cameras", responses]
    subprocess.run([*map(str, line)], check=True, stdout=subprocess.PIPE)
    monkeypatch.setattr(render_views, "listed_scenes", lambda: files)
    render_views.render(shared / "data", tmp_path / "ours", render_views.Cameras(responses))
    theirs, ours = files_of(tmp_path / "theirs"), files_of(tmp_path / "ours")
    del theirs["index.csv"], ours["index.csv"]
    assert json.loads(ours.pop("made.json"))["seed"] == 11
    assert ours == {name: content for name, content in theirs.items() if "_camera" not in name}
