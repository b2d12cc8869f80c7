"""The HDR-GAN layout: what is read, and every way in which it can be wrong."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from small_sets import EVS, make_brackets

from hdrgan.data.batch import Batch
from hdrgan.data.layout import DatasetError, recognise_layout, validation_scenes
from hdrgan.data.scene_cache import SceneCache
from hdrgan.data.survey import ReadSettings, survey
from hdrgan.light.radiometry import srgb_to_linear

SETTINGS = ReadSettings(crop_size=32, validation_share=0.25)


def look(root, **options):
    return survey(root, SETTINGS, SceneCache(None), **options)


def faults_of(root):
    with pytest.raises(DatasetError) as caught:
        look(root)
    assert str(caught.value).count("\n") == len(caught.value.faults)
    return [str(fault) for fault in caught.value.faults]


@pytest.fixture
def brackets(tmp_path):
    return make_brackets(tmp_path / "data")


def test_a_good_folder_is_recognised_and_split_by_scene(brackets):
    assert recognise_layout(brackets) == "bracket"
    found = look(brackets)
    assert found.evs == EVS
    assert len(found.training) == 3
    assert len(found.validation) == 1
    assert not {b.scene for b in found.training} & {b.scene for b in found.validation}


def test_items_are_crops_of_the_five_exposures_turned_alike(brackets):
    data = look(brackets).open(validation=False, settings=SETTINGS, seed=1, cache=SceneCache(None))
    bracket = data[0, 0]["bracket"]
    assert bracket.shape == (5, 32, 32, 3)
    assert bracket.dtype == torch.uint8
    means = bracket.float().mean((1, 2, 3))
    assert means.tolist() == sorted(means.tolist())
    # Each exposure is the same place: where the darkest shows light, no brighter one is darker.
    assert (bracket[1:].int() - bracket[:-1].int()).min() >= -1


def test_a_batch_has_the_very_exposures_and_merges_them(brackets):
    data = look(brackets).open(validation=False, settings=SETTINGS, seed=1, cache=SceneCache(None))
    items = torch.utils.data.default_collate([data[0, k] for k in range(3)])
    batch = Batch(items, EVS, torch.device("cpu"))
    assert torch.equal(batch.bracket, items["bracket"].permute(0, 1, 4, 2, 3).float() / 255)
    assert torch.equal(batch.srgb, batch.bracket[:, 2])
    assert batch.srgb.is_contiguous(memory_format=torch.channels_last) or batch.srgb.stride(1) == 1
    assert not batch.radiance_is_known
    # Where the photo is neither black nor white, merged light is the photo's own.
    shown = (batch.srgb.amax(1) < 0.9) & (batch.srgb.amin(1) > 0.2)
    own = srgb_to_linear(batch.srgb)
    assert ((batch.radiance / own - 1).abs().amax(1)[shown] < 0.05).float().mean() > 0.95


def test_every_crop_is_a_turned_and_mirrored_part_of_the_picture(brackets):
    data = look(brackets).open(validation=False, settings=SETTINGS, seed=1, cache=SceneCache(None))
    whole = data.whole(0)["bracket"][2].numpy()
    ways = set()
    for epoch in range(48):
        cut = data[epoch, 0]["bracket"][2].numpy()
        found = [
            (top, left, turns, mirrored)
            for turns in range(4)
            for mirrored in (False, True)
            for back in [np.rot90(cut, -turns)[:, :: -1 if mirrored else 1]]
            for top in range(whole.shape[0] - 31)
            for left in range(whole.shape[1] - 31)
            if (whole[top, left] == back[0, 0]).all() and (whole[top : top + 32, left : left + 32] == back).all()
        ]
        assert found, f"the crop of epoch {epoch} is no part of the picture"
        ways.add(found[0][2:])
    assert len(ways) == 8


def test_an_item_depends_on_seed_epoch_and_index_alone(brackets):
    found = look(brackets)
    one, two = (found.open(validation=False, settings=SETTINGS, seed=7, cache=SceneCache(None)) for _ in range(2))
    two[5, 1]
    assert torch.equal(one[3, 0]["bracket"], two[3, 0]["bracket"])
    assert not torch.equal(one[3, 0]["bracket"], one[4, 0]["bracket"])


def test_own_stops_are_read_from_the_nearest_evs_file(brackets):
    (brackets / "evs.json").write_text(json.dumps([-3, -1.5, 0, 1.5, 3]))
    assert look(brackets).evs == (-3, -1.5, 0, 1.5, 3)


def test_sixteen_bits_and_jpeg_are_read(brackets):
    folder = brackets / "Scene_0" / "images"
    for k in range(5):
        Image.open(folder / f"0_{k}.png").save(folder / f"0_{k}.jpg", quality=95)
        (folder / f"0_{k}.png").unlink()
    assert len(look(brackets).training) == 3


def test_cached_pictures_are_the_decoded_ones(brackets, tmp_path):
    cache = SceneCache(tmp_path / "cache", budget=10**8)
    found = survey(brackets, SETTINGS, cache)
    kept = found.open(validation=False, settings=SETTINGS, seed=0, cache=SceneCache(tmp_path / "cache"))
    fresh = found.open(validation=False, settings=SETTINGS, seed=0, cache=SceneCache(None))
    assert torch.equal(kept[2, 1]["bracket"], fresh[2, 1]["bracket"])
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 4


def test_a_picture_that_was_replaced_is_not_taken_from_the_cache(brackets, tmp_path):
    survey(brackets, SETTINGS, SceneCache(tmp_path / "cache", budget=10**8))
    (brackets / "Scene_1" / "images" / "0_3.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"0_3\.png"):
        survey(brackets, SETTINGS, SceneCache(tmp_path / "cache", budget=10**8))


def test_the_cache_stays_within_its_budget(brackets, tmp_path):
    bytes_of_one = 5 * 48 * 64 * 3
    survey(brackets, SETTINGS, SceneCache(tmp_path / "cache", budget=2 * bytes_of_one))
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2


def test_the_cache_stays_within_its_budget_while_many_threads_write(tmp_path, monkeypatch):
    array = np.zeros(1000, np.uint8)
    cache = SceneCache(tmp_path, budget=2 * array.nbytes)
    save = np.save
    monkeypatch.setattr(np, "save", lambda *arguments: (time.sleep(0.05), save(*arguments)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: cache.store(str(key), array), range(8)))
    assert len(list(tmp_path.glob("*.npy"))) == 2


def spoil_corrupt(images):
    file = images / "0_1.png"
    file.write_bytes(file.read_bytes()[:200])


def spoil_missing(images):
    (images / "0_4.png").unlink()


def spoil_sizes(images):
    Image.new("RGB", (60, 48), "white").save(images / "0_4.png")


def spoil_order(images):
    (images / "0_0.png").rename(images / "x.png")
    (images / "0_4.png").rename(images / "0_0.png")
    (images / "x.png").rename(images / "0_4.png")


def spoil_name(images):
    shutil.copy(images / "0_0.png", images / "photo.png")


def spoil_twice(images):
    Image.open(images / "0_2.png").save(images / "0_2.jpg")


def spoil_small(images):
    for file in images.iterdir():
        Image.open(file).resize((64, 20)).save(file)


def spoil_stops(images):
    (images / "evs.json").write_text("[0, 1, 2, 3, 4]")


def spoil_stops_text(images):
    (images / "evs.json").write_text('{"evs": "five"')


def spoil_other_stops(images):
    (images / "evs.json").write_text("[-2, -1, 0, 1, 2]")


def spoil_folder(images):
    shutil.rmtree(images)


def spoil_empty(images):
    for file in images.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (spoil_corrupt, "Scene_1/images/0_1.png: "),
        (spoil_missing, "Scene_1/images/0: 4 of 5 exposures, missing 0_4"),
        (spoil_sizes, "Scene_1/images/0: mixed sizes: 64 x 48, 64 x 48, 64 x 48, 64 x 48, 60 x 48"),
        (spoil_order, "Scene_1/images/0: order contradicts brightness: means "),
        (spoil_name, "Scene_1/images/photo.png: is not named <k>_<0..4>"),
        (spoil_twice, "Scene_1/images/0: more than one file for 0_2"),
        (spoil_small, "Scene_1/images/0: 64 x 20 is smaller than the crop of 32 pixels"),
        (spoil_stops, "Scene_1: evs.json must ascend with 0 in the middle"),
        (spoil_stops_text, "Scene_1: evs.json cannot be read"),
        (spoil_other_stops, "Scene_1/images/0: its EVs [-2.0, -1.0, 0.0, 1.0, 2.0] differ from "),
        (spoil_folder, "Scene_1: has no folder images/"),
        (spoil_empty, "Scene_1/images: holds no picture named <k>_<0..4>"),
    ],
)
def test_every_fault_is_named_and_can_be_skipped(brackets, spoil, line):
    spoil(brackets / "Scene_1" / "images")
    lines = faults_of(brackets)
    assert len(lines) == 1
    assert lines[0].startswith(line)
    found = look(brackets, skip_bad=True)
    assert [str(fault) for fault in found.faults] == lines
    good = {bracket.scene for bracket in found.training + found.validation}
    assert good >= {"Scene_0", "Scene_2", "Scene_3"}
    assert ("Scene_1" in good) == (spoil is spoil_name)


def test_all_faults_are_listed_at_once(brackets):
    spoil_corrupt(brackets / "Scene_0" / "images")
    spoil_missing(brackets / "Scene_1" / "images")
    spoil_order(brackets / "Scene_2" / "images")
    assert len(faults_of(brackets)) == 3


def test_nothing_good_is_an_error_even_when_bad_ones_are_skipped(brackets):
    for scene in brackets.iterdir():
        spoil_missing(scene / "images")
    with pytest.raises(DatasetError, match="nothing good"):
        look(brackets, skip_bad=True)


def test_folders_that_hold_no_data_set_are_refused_with_what_was_expected(tmp_path):
    with pytest.raises(DatasetError, match="not a folder"):
        recognise_layout(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"images/<k>_<0\.\.4>"):
        recognise_layout(tmp_path)


def test_a_folder_with_two_layouts_asks_which(brackets):
    (brackets / "train_SDR").mkdir()
    with pytest.raises(DatasetError, match="--layout"):
        recognise_layout(brackets)


def test_adding_a_scene_moves_no_other_between_training_and_validation():
    names = [f"scene {k}" for k in range(40)]
    before, after = validation_scenes(names, 0.1), validation_scenes([*names, "one more"], 0.1)
    assert len(before) == 4
    assert len(before - after) <= 1
    assert validation_scenes(["alone"], 0.5) == set()
    assert validation_scenes(names, 0) == set()
