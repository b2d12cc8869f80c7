"""The README tells the truth: its numbers are the measured ones, its front matter is what the Space needs."""

import importlib.util
import re

import numpy as np
from PIL import Image

from hdrgan.evaluation.report import read_report
from hdrgan.hub.card import results_figure
from hdrgan.models.finding import bundled_folder
from hdrgan.models.weights_file import sha256_of
from hdrgan.result import caption


def readme_numbers(root):
    spec = importlib.util.spec_from_file_location("readme_numbers", root / "benchmarks/readme_numbers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_numbers_are_those_of_the_report(root):
    tool = readme_numbers(root)
    readme = (root / "README.md").read_text()
    shown = readme.split(tool.BEGIN)[1].split(tool.END)[0].strip()
    assert shown == tool.tables(root)


def test_the_results_figure_was_drawn_by_the_weights_that_ship_and_goes_on_their_card():
    ((figure, said),) = results_figure("radiance")
    assert figure.name == "results.jpg"
    assert figure.stat().st_size < 1 << 20
    assert "these weights" in said
    assert results_figure("bracket") == []


def test_the_strip_was_drawn_by_the_weights_that_ship_and_fits_a_first_screen(root):
    file = root / "docs/strip.jpg"
    with Image.open(file) as picture:
        assert picture.width == 1600
        assert picture.height <= 520
        assert sha256_of(bundled_folder("radiance") / "model.safetensors").encode() in picture.info["comment"]
    assert file.stat().st_size < 250_000


def test_the_strip_can_be_drawn_again(root, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from benchmarks import readme_strip

    photo, drawn = tmp_path / "photo.png", tmp_path / "drawn/strip.jpg"
    pixels = np.full((40, 60, 3), 90, np.uint8)
    pixels[10:20, 20:40] = 255
    Image.fromarray(pixels).save(photo)
    command = ["readme_strip", "--photo", photo, "--width", "160", "--output", drawn]
    monkeypatch.setattr("sys.argv", [str(part) for part in command])
    readme_strip.main()
    with Image.open(drawn) as picture:
        assert picture.width == 160
        assert picture.height <= 52
        shown = np.asarray(picture.convert("L"), float)
    line = shown[2:27, 76:84].mean(0)
    assert line.max() > line[0] + 40, "no line between before and after"
    last = shown[31:44]
    five = [last[:, k * 32 + 8 : k * 32 + 24].mean() for k in range(5)]
    assert five == sorted(five), "the exposures go from dark to bright"
    assert five[0] + 100 < five[-1]


def test_the_strip_is_captioned_in_characters_that_its_font_has(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    from benchmarks.readme_strip import plain

    assert plain(caption(-4)) == "EV -4 \N{MIDDLE DOT} 16 times less light"


def test_the_report_is_of_the_weights_that_ship(root):
    for file, shipped in (
        ("benchmarks/real_brackets.json", {"radiance", "bracket", "ein"}),
        ("benchmarks/yardstick.json", {"radiance", "bracket", "ein"}),
        ("benchmarks/yardstick_srgb.json", {"radiance"}),
    ):
        systems = read_report(root / file)["systems"]
        measured = {system["name"]: system["sha256"] for system in systems if system["sha256"]}
        assert set(measured) == shipped
        for name, digest in measured.items():
            assert sha256_of(bundled_folder(name) / "model.safetensors") == digest, f"{name} changed: evaluate it again"


def test_the_space_runs_the_gradio_that_is_pinned(root):
    version = re.search(r"^sdk_version: (\S+)$", (root / "README.md").read_text(), re.M)[1]
    low = re.search(r"^gradio(?:\[\w+\])?>=([\d.]+),<(\d+)$", (root / "requirements.txt").read_text(), re.M)
    assert version.startswith(low[1])
    assert int(version.split(".")[0]) < int(low[2])


def test_every_link_to_a_file_leads_somewhere(root):
    for page in (*root.glob("*.md"), *(root / "docs").rglob("*.md")):
        if page.name == "model_card.md":  # a template; what it renders is tested with the Hub
            continue
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
