"""The published programs' own command lines, the page and the trainer as commands, and what extras bring."""

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from page_server import clean_environment, fetch, page
from PIL import Image

from hdrgan import EIN, BracketGenerator, PatchDiscriminator
from hdrgan.cli import EXTRAS, understood
from hdrgan.files.radiance import save_exr

ROOT = Path(__file__).resolve().parent.parent


def test_flags_are_understood_as_the_published_programs_write_them():
    assert understood(["generate", "--image", "a_b.jpg", "--keep_gps"]) == ["generate", "a_b.jpg", "--keep-gps"]
    assert understood(["generate", "--image=a_b.jpg", "--evs=-1,0"]) == ["generate", "a_b.jpg", "--evs=-1,0"]
    assert understood(["generate", "-o", "my_out", "--", "--odd_name.jpg"]) == [
        *("generate", "-o", "my_out", "--", "--odd_name.jpg")
    ]


@pytest.mark.parametrize("network", [BracketGenerator(width=8, output="tanh"), EIN(width=8)])
def test_a_published_checkpoint_is_used_as_it_is(network, tmp_path, hdrgan):
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, tmp_path / "generator.pth")
    pixels = np.random.default_rng(1).integers(0, 256, (72, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "input.jpg")
    done = hdrgan("generate", "--image", "input.jpg", "--model", "generator.pth", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"generator.pth is a published checkpoint of {type(network).__name__}, read as data only" in line
    assert len(list((tmp_path / "out").glob("input_ev*.png"))) == 5

    kind = "ein" if isinstance(network, EIN) else "bracket"
    assert hdrgan("convert", kind, "generator.pth", "folder", cwd=tmp_path).returncode == 0
    assert hdrgan("generate", "input.jpg", "-m", "folder", "-o", "again", cwd=tmp_path).returncode == 0
    for one in (tmp_path / "out").glob("*.png"):
        assert np.array_equal(Image.open(one), Image.open(tmp_path / "again" / one.name))


def test_a_checkpoint_that_draws_no_pictures_is_refused_in_a_sentence(tmp_path, hdrgan):
    torch.save(PatchDiscriminator(width=8).state_dict(), tmp_path / "critic.pth")
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pth")
    (tmp_path / "x.jpg").write_bytes(b"")
    done = hdrgan("generate", "x.jpg", "-m", "critic.pth", cwd=tmp_path)
    assert (done.returncode, "holds a PatchDiscriminator" in done.stderr) == (2, True)
    done = hdrgan("generate", "x.jpg", "-m", "other.pth", cwd=tmp_path)
    assert (done.returncode, "is a checkpoint of none of the published networks" in done.stderr) == (2, True)


def test_a_bracket_of_other_stops_can_be_converted(tmp_path, hdrgan):
    torch.save(BracketGenerator(evs=(-2, 0, 2), width=8).state_dict(), tmp_path / "three.pth")
    done = hdrgan("convert", "bracket", "three.pth", "folder", cwd=tmp_path)
    assert (done.returncode, "draws 3 exposures, but 5 evs were given" in done.stderr) == (2, True)
    assert hdrgan("convert", "bracket", "three.pth", "folder", "--evs=-2,0,2", cwd=tmp_path).returncode == 0
    assert BracketGenerator.from_pretrained(tmp_path / "folder").evs == (-2, 0, 2)


def test_a_report_that_could_not_be_written_is_said_before_the_work(tmp_path, hdrgan):
    done = hdrgan("evaluate", tmp_path, "-o", tmp_path / "missing" / "report.json")
    assert done.returncode == 2
    assert "there is no folder" in done.stderr


def test_the_page_and_the_trainer_are_commands(tmp_path, hdrgan):
    command = [sys.executable, "-m", "hdrgan", "serve", "--models", "bracket"]
    home = {"HF_HOME": str(tmp_path / "hf"), "PYTHONPATH": str(ROOT)}
    with page(command, tmp_path, clean_environment() | home) as address:
        assert "gradio" in fetch(address).lower()
    done = hdrgan("train", "--help")
    assert done.returncode == 0
    assert "--gradient-checkpointing" in done.stdout
    done = hdrgan("train", "--dataset", tmp_path, "--width", "0", cwd=tmp_path)
    assert (done.returncode, "--width must be a positive number" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("missing", "words", "extra"),
    [
        ("gradio", ["serve"], "app"),
        ("accelerate", ["train", "--dataset", "x"], "train"),
        ("torchmetrics", ["evaluate", "."], "eval"),
        ("python_calamine", ["evaluate", "."], "eval"),
    ],
)
def test_a_missing_extra_is_named_with_the_line_that_installs_it(missing, words, extra):
    code = f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = {words!r}\nfrom hdrgan.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr == f"hdrgan: this needs {missing}: python -m pip install 'hdrgan[{extra}]'\n"


@pytest.mark.parametrize("layout", ["pairs", "bracket"])
def test_prepare_needs_no_extra(tmp_path, layout):
    (tmp_path / "scenes").mkdir()
    save_exr(tmp_path / "scenes/room.exr", np.random.default_rng(0).uniform(0.01, 9, (80, 90, 3)).astype(np.float32))
    arguments = [
        "prepare",
        str(tmp_path / "scenes"),
        str(tmp_path / "set"),
        f"--layout={layout}",
        "--views=1",
        "--size=32",
    ]
    code = f"import sys; sys.modules.update(dict.fromkeys({sorted(EXTRAS)!r})); sys.argv[1:] = {arguments!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "from hdrgan.cli import main; main()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 views of 1 scenes" in done.stdout


def requirements(texts):
    return {one.name: one for one in map(Requirement, texts)}


def test_what_the_page_is_run_with_is_what_the_library_asks_for(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = requirements([*project["dependencies"], *extras["app"], *extras["train"], *extras["eval"], *extras["heic"]])
    lines = [line.partition("#")[0].strip() for line in (root / "requirements.txt").read_text().splitlines()]
    locked = requirements(filter(None, lines))
    assert locked.keys() == asked.keys()
    for name, lock in locked.items():
        versions = [specifier.version for specifier in lock.specifier if specifier.operator in ("==", ">=")]
        assert versions, name
        assert lock.extras == asked[name].extras
        assert asked[name].specifier.contains(max(versions)), f"the library takes no such {name}"
    assert set(EXTRAS.values()) <= extras.keys()


def test_every_package_that_is_imported_is_declared(root):
    import ast
    from importlib.metadata import packages_distributions

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]
    declared = {name.lower().replace("_", "-") for name in requirements(texts)}
    known = packages_distributions()
    given = {"hdrgan", "spaces"}  # Spaces have the latter, and nobody else has use for it
    undeclared = {}
    for path in [*(root / "hdrgan").rglob("*.py"), root / "train_accelerate.py", root / "app.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for top in {str(name).partition(".")[0] for name in names} - sys.stdlib_module_names - given:
                if not {one.lower().replace("_", "-") for one in known.get(top, [top])} & declared:
                    undeclared[top] = str(path.relative_to(root))
    assert not undeclared
