"""Writing the two published layouts from HDR scenes, and reading them back as training does."""

import numpy as np
import pytest
import torch
from small_sets import light, make_scenes

from hdrgan.data.layout import DatasetError, recognise_layout
from hdrgan.data.prepare import prepare
from hdrgan.data.scene_cache import SceneCache
from hdrgan.data.survey import ReadSettings, survey
from hdrgan.files.photo import load_photo
from hdrgan.files.radiance import load_radiance, save_exr, save_hdr
from hdrgan.light.radiometry import srgb_to_linear

SETTINGS = ReadSettings(crop_size=32, validation_share=0.3)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("scenes") / "data", count=3)


def test_brackets_pass_the_check_and_have_the_layout(scenes, tmp_path):
    seen = []
    done = prepare(scenes, tmp_path / "out", views=2, size=48, progress=lambda *state: seen.append(state))
    assert (done.scenes, done.views, done.faults) == (3, 6, ())
    assert seen == [(1, 3), (2, 3), (3, 3)]
    images = sorted(path.name for path in (tmp_path / "out" / "scene_1" / "images").iterdir())
    assert images == [f"{k}_{position}.png" for k in range(2) for position in range(5)]
    found = survey(tmp_path / "out", SETTINGS, SceneCache(None))
    assert found.layout == "bracket"
    assert len(found.training) + len(found.validation) == 6


def test_pairs_pass_the_check_and_have_the_layout(scenes, tmp_path):
    prepare(scenes, tmp_path / "out", layout="pairs", views=2, size=48, validation_share=0.3)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"{split}_{kind}" for split in ("train", "valid") for kind in ("SDR", "HDR")),
        "train.csv",
        "valid.csv",
        "README.md",
    }
    assert recognise_layout(tmp_path / "out") == "pairs"
    found = survey(tmp_path / "out", SETTINGS, SceneCache(None))
    assert (len(found.training), len(found.validation)) == (4, 2)


def test_a_clean_pair_is_a_render_of_its_radiance(scenes, tmp_path):
    prepare(scenes, tmp_path / "out", layout="pairs", views=2, size=48, clean=True, seed=2)
    errors = []
    for file in sorted((tmp_path / "out" / "train_SDR").iterdir()):
        radiance = load_radiance(tmp_path / "out" / "train_HDR" / f"{file.stem}.hdr")
        linear = srgb_to_linear(torch.from_numpy(np.asarray(load_photo(file)) / 255.0)).numpy()
        errors.append(np.abs(linear - radiance.clip(0, 1)).mean())
        assert 0.005 < (radiance.max(-1) >= 1).mean() < 0.31
    assert max(errors) < 0.005


def test_the_same_seed_writes_the_same_files(scenes, tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        prepare(scenes, tmp_path / name, views=1, size=32, seed=seed)
    contents = {
        name: [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.png"))] for name in ("a", "b", "c")
    }
    assert contents["a"] == contents["b"]
    assert contents["a"] != contents["c"]


def test_a_folder_in_use_is_not_written_to(scenes, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ValueError, match="in use"):
        prepare(scenes, tmp_path)


@pytest.mark.parametrize("wrong", [{"layout": "hdr"}, {"views": 0}, {"size": 4}])
def test_nonsense_is_refused(scenes, tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        prepare(scenes, tmp_path / "out", **wrong)


def test_bad_scenes_are_listed_before_anything_is_written(tmp_path):
    root = make_scenes(tmp_path / "data", count=2)
    (root / "text.exr").write_text("no picture")
    save_exr(root / "dark.exr", np.zeros((32, 32, 3), np.float32))
    with pytest.raises(DatasetError) as caught:
        prepare(root, tmp_path / "out")
    assert sorted(fault.where for fault in caught.value.faults) == ["dark.exr", "text.exr"]
    assert not (tmp_path / "out").exists()
    assert prepare(root, tmp_path / "out", views=1, size=32, skip_bad=True).scenes == 2


def test_scenes_of_one_name_do_not_overwrite_each_other(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    save_exr(root / "a.exr", light(1))
    save_hdr(root / "a.hdr", light(2))
    assert prepare(root, tmp_path / "out", views=1, size=32).scenes == 2
    assert len(list((tmp_path / "out").glob("*/images"))) == 2
