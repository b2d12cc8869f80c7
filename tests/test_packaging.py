"""The wheel, installed where there is nothing else of the project: what is in it, and that it works offline."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from empty_environment import NO_NETWORK
from packaging.requirements import Requirement
from page_server import clean_environment, fetch, page
from PIL import Image

from hdrgan import __version__
from hdrgan.hub.distribution import WHEEL_NAME, build_wheel
from hdrgan.models import finding


def run(command: list[object], cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment() | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf")},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(root, tmp_path_factory) -> Path:
    """A folder with the source distribution and the wheel that ``python -m build`` makes of it."""
    home = tmp_path_factory.mktemp("build")
    # What a clone has, so that the build leaves nothing in the checkout and takes nothing from it that git ignores.
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (root / name).is_file():
            (home / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, home / "source" / name)
    (home / "source" / "stray.py").write_text("")  # what lies in a checkout and belongs to nobody
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", home / "dist"], home / "source")
    return home / "dist"


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """An environment that has the wheel, and the third-party packages of this one; it cannot reach other machines."""
    venv = tmp_path_factory.mktemp("environment") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", venv], venv.parent)
    (wheel,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python"]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], venv.parent)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)}))
    (packages / "third_party.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (packages / "sitecustomize.py").write_text(NO_NETWORK)
    return venv / "bin"


def test_both_distributions_hold_what_is_needed_and_no_more(built, root):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    weights = {
        f"hdrgan/weights/{name}/{file}"
        for name in finding.bundled_names()
        for file in ("config.json", "model.safetensors", "SHA256SUMS")
    }
    project = {"app.py", "model_card.md", "README.md", "LICENSE", "pyproject.toml", "requirements.txt", "setup.py"}
    project |= {f"examples/{path.name}" for path in (root / "examples").iterdir()}
    project |= {"benchmarks/yardstick.json", "docs/results.jpg", "docs/training.md", "train_accelerate.py"}
    project |= {f"launch/{path.name}" for path in (root / "launch").iterdir()}
    modules = {path.relative_to(root).as_posix() for path in (root / "hdrgan").rglob("*.py")}
    tracked = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    assert {"hdrgan/py.typed"} | weights | {f"hdrgan/project/{name}" for name in project} <= names
    modules |= {path.relative_to(root).as_posix() for path in (root / "hdrgan/page").iterdir() if path.is_file()}
    assert modules & set(tracked.splitlines()) <= names
    assert not [name for name in names if "stray" in name]
    assert not [name for name in names if "test" in name or "__pycache__" in name or name.endswith(".png")]
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert weights | project <= inside
    assert not [name for name in inside if name.startswith(("tests/", "."))]


def test_the_wheel_that_travels_with_a_model_is_the_one_that_is_built(built):
    (theirs,) = built.glob("*.whl")
    with zipfile.ZipFile(theirs) as built_wheel, zipfile.ZipFile(io.BytesIO(build_wheel())) as ours:
        about = f"hdrgan-{__version__}.dist-info"
        assert theirs.name == WHEEL_NAME
        assert set(built_wheel.namelist()) - set(ours.namelist()) == {f"{about}/top_level.txt"}
        assert not set(ours.namelist()) - set(built_wheel.namelist())
        for name in built_wheel.namelist():
            if not name.startswith(about):
                assert ours.read(name) == built_wheel.read(name), name
        said, wanted = (
            {line for line in archive.read(f"{about}/METADATA").decode().split("\n\n")[0].splitlines()}
            for archive in (ours, built_wheel)
        )
        kinds = ("Requires-Dist", "Provides-Extra", "Requires-Python", "Name", "Version", "License-Expression")
        for kind in kinds:
            assert requirements_of(said, kind) == requirements_of(wanted, kind), kind
        assert ours.read(f"{about}/entry_points.txt").split() == built_wheel.read(f"{about}/entry_points.txt").split()


def requirements_of(lines, kind):
    """The values of one kind of line, however they are spaced and ordered."""
    values = [line.partition(": ")[2] for line in lines if line.startswith(f"{kind}:")]
    return {str(Requirement(value)) for value in values} if kind == "Requires-Dist" else set(values)


def test_the_wheel_alone_makes_exposures_offline(installed, tmp_path):
    where = run([installed / "python", "-c", "import hdrgan; print(hdrgan.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert run([installed / "hdrgan", "--version"], tmp_path) == f"hdrgan {__version__}\n"
    codes = np.random.default_rng(3).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    codes[10:30, 20:50] = 255
    Image.fromarray(codes).save(tmp_path / "window.png")
    run([installed / "hdrgan", "generate", "window.png", "-o", "out", "--hdr", "exr"], tmp_path)
    exposures = [tmp_path / "out" / f"window_ev{ev}.png" for ev in ("-4", "-2", "+0", "+2", "+4")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file()) == sorted(
        ["window.exr", *(path.name for path in exposures)]
    )
    means = [np.asarray(Image.open(path)).mean() for path in exposures]
    assert means == sorted(means)
    np.testing.assert_array_equal(np.asarray(Image.open(exposures[2])), codes)
    with OpenEXR.File(str(tmp_path / "out" / "window.exr")) as file:
        assert file.channels()["RGB"].pixels.max() > 1


def test_the_wheel_alone_renders_the_measured_card(installed, root, tmp_path):
    code = "from hdrgan.hub.card import render_card; print(render_card('radiance', repo_id='me/mine'))"
    card = run([installed / "python", "-c", code], tmp_path)
    systems = json.loads((root / "benchmarks" / "yardstick.json").read_text())["systems"]
    (ours,) = [system for system in systems if system["name"] == "radiance"]
    assert f"value: {ours['conditions']['real']['pu21']}" in card
    assert "Measured with `hdrgan evaluate`" in card


def test_the_wheel_alone_serves_the_page(installed, tmp_path):
    command = [str(installed / "python"), "-m", "hdrgan.page"]
    with page(command, tmp_path, clean_environment() | {"HF_HOME": str(tmp_path / "hf")}) as address:
        assert "gradio" in fetch(address).lower()
        endpoints = json.loads(fetch(f"{address}gradio_api/info"))["named_endpoints"]
        assert "/generate" in endpoints


def test_the_network_is_out_of_reach_in_these_tests(installed, tmp_path):
    code = "import socket; socket.create_connection(('192.0.2.1', 9), timeout=0.1)"
    done = subprocess.run([installed / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "this test is offline" in done.stderr
