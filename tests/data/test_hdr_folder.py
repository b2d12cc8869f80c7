"""Folders of HDR scenes: views, the virtual camera's photos of them, scenes.tsv, and what can be wrong."""

from dataclasses import replace

import numpy as np
import OpenEXR
import pytest
import torch
from small_sets import light, make_scenes

from hdrgan.data import hdr_folder
from hdrgan.data.augment import vary_light, with_shadows
from hdrgan.data.batch import Batch
from hdrgan.data.layout import DatasetError, recognise_layout
from hdrgan.data.scene_cache import SceneCache
from hdrgan.data.survey import ReadSettings, survey
from hdrgan.files.radiance import save_exr, save_hdr
from hdrgan.light.radiometry import encode

SETTINGS = ReadSettings(crop_size=32, views=3, view_size=48, validation_share=0.3)


def look(root, cache=None, **options):
    return survey(root, SETTINGS, cache or SceneCache(None), **options)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp("scenes") / "data")


def test_every_scene_gives_its_views(scenes):
    assert recognise_layout(scenes) == "hdr"
    found = look(scenes)
    data = found.open(validation=False, settings=SETTINGS, seed=0, cache=SceneCache(None))
    assert len(found.training) == 2
    assert len(found.validation) == 1
    assert len(data) == 6


def test_an_item_is_a_photo_of_its_radiance(scenes):
    data = look(scenes).open(validation=False, settings=SETTINGS, seed=0, cache=SceneCache(None))
    item = data[0, 1]
    assert item["srgb"].shape == item["radiance"].shape == (32, 32, 3)
    assert item["inverse_response"].shape == (256,)
    batch = Batch(torch.utils.data.default_collate([item]), (-4, -2, 0, 2, 4), torch.device("cpu"))
    shown = encode(batch.radiance, batch.inverse_response)
    assert (shown - batch.srgb).abs().mean() < 0.03  # noise, rounding and JPEG are all that lies between
    assert batch.radiance.max() > 1.5


def test_each_epoch_is_another_photo_and_each_seed_another_camera(scenes):
    found = look(scenes)
    one = found.open(validation=False, settings=SETTINGS, seed=0, cache=SceneCache(None))
    two = found.open(validation=False, settings=SETTINGS, seed=1, cache=SceneCache(None))
    assert torch.equal(one[0, 0]["srgb"], one[0, 0]["srgb"])
    assert not torch.equal(one[0, 0]["srgb"], one[1, 0]["srgb"])
    assert not torch.equal(one[0, 0]["srgb"], two[0, 0]["srgb"])
    assert torch.equal(one.whole(0)["srgb"], two.whole(0)["srgb"])  # validation is the same for all


def test_whole_views_can_be_trained_on(scenes):
    settings = ReadSettings(crop_size=48, views=2, view_size=48)
    data = look(scenes).open(validation=False, settings=settings, seed=0, cache=SceneCache(None))
    assert data[0, 0]["srgb"].shape == (48, 48, 3)


def test_kept_views_are_the_rendered_ones(scenes, tmp_path):
    found = look(scenes, SceneCache(tmp_path / "cache", budget=10**8))
    kept = found.open(validation=False, settings=SETTINGS, seed=0, cache=SceneCache(tmp_path / "cache"))
    fresh = found.open(validation=False, settings=SETTINGS, seed=0, cache=SceneCache(None))
    for name, tensor in kept[4, 3].items():
        assert torch.equal(tensor, fresh[4, 3][name])


def test_views_keep_the_ratios_of_light(scenes):
    views = replace(hdr_folder.scan(scenes)[0][1], views=2, size=48).read()["views"].astype(np.float32)
    assert views.shape == (2, 48, 48, 3)
    assert np.isfinite(views).all()
    assert views.max() / np.median(views) > 10


def test_scenes_tsv_keeps_test_scenes_out_and_sites_together(tmp_path):
    root = make_scenes(tmp_path / "data" / "hdr", count=5)
    rows = ["file\tsplit\tsite"]
    rows += [f"hdr/scene_{k}.exr\t{'test' if k == 2 else 'train'}\t{'pier' if k in (0, 1) else k}" for k in range(5)]
    (tmp_path / "data" / "scenes.tsv").write_text("\n".join(rows) + "\n")
    for folder in (root, root.parent):
        found = look(folder)
        names = {scene.path.name for scene in found.training + found.validation}
        assert names == {"scene_0.exr", "scene_1.exr", "scene_3.exr", "scene_4.exr"}
        assert found.kept_out == 1
        pier = [
            {s.path.name for s in side} & {"scene_0.exr", "scene_1.exr"} for side in (found.training, found.validation)
        ]
        assert sorted(map(len, pier)) == [0, 2]


def test_scenes_that_the_table_names_for_validation_are_the_ones_held_out(tmp_path):
    root = make_scenes(tmp_path / "data", count=4)
    sites = ["a", "b", "b", "c"]
    splits = ["train", "train", "validation", "train"]
    rows = [f"scene_{k}.exr\t{splits[k]}\t{sites[k]}" for k in range(4)]
    (root / "scenes.tsv").write_text("\n".join(["file\tsplit\tsite", *rows]) + "\n")
    found = look(root)
    assert sorted(scene.path.name for scene in found.validation) == ["scene_1.exr", "scene_2.exr"], "all of their site"
    assert sorted(scene.path.name for scene in found.training) == ["scene_0.exr", "scene_3.exr"]
    assert found.kept_out == 0


def test_light_is_varied_in_size_place_and_colour_but_never_squashed():
    rows, columns = np.mgrid[:96, :96].astype(np.float32)
    view = np.stack([rows + 1, columns + 1, np.full((96, 96), 50, np.float32)], -1)
    spans, tints, upright = set(), set(), 0
    for k in range(60):
        part = vary_light(view, 48, np.random.default_rng(k))
        assert part.shape == (48, 48, 3)
        assert part.dtype == np.float32
        # Red grows downwards and green to the right by one a pixel: their slopes tell zoom and turns. Blue is flat.
        red = part[..., 0] / part[..., 2]
        down, across = np.diff(red, axis=0).mean(), np.diff(red, axis=1).mean()
        upright += abs(down) > 20 * abs(across) and down > 0
        green = part[..., 1] / part[..., 2]
        slopes = sorted([abs(np.diff(green, axis=0).mean()), abs(np.diff(green, axis=1).mean())])
        spans.add(round(float(slopes[1] * 50), 2))
        tints.add(round(float(part[..., 2].mean()), 3))
    assert upright >= 50
    assert len(tints) > 50
    assert max(spans) > 1.6 * min(spans)
    assert np.array_equal(
        vary_light(view, 48, np.random.default_rng(1)), vary_light(view, 48, np.random.default_rng(1))
    )


def test_shadows_are_deepened_or_opened_and_what_is_bright_or_coloured_stays_so():
    light = np.geomspace(1e-3, 10, 64 * 64).reshape(64, 64, 1).astype(np.float32) * np.array([1, 0.5, 0.2], np.float32)
    bright = light[..., 0] > np.percentile(light[..., 0], 95.1)
    below = np.log2(light[10, 10, 0] / np.percentile(light[..., 0], 95))
    for power in (0.5, 1.0, 2.0):
        varied = with_shadows(light, power)
        assert varied.dtype == np.float32
        assert np.allclose(varied[bright], light[bright])
        assert np.allclose(varied[..., 1] / varied[..., 0], 0.5, rtol=1e-4)
        assert (np.diff(varied[..., 0].ravel()) > 0).all(), "what was darker stays darker"
        assert np.log2(varied[10, 10, 0] / light[10, 10, 0]) == pytest.approx((power - 1) * below, abs=1e-3)
    assert (with_shadows(np.zeros((8, 8, 3), np.float32), 0.5) == 0).all()


def test_photos_of_one_view_are_dark_and_bright_in_their_shadows():
    view = np.geomspace(1e-3, 10, 64 * 64).reshape(64, 64, 1).astype(np.float32).repeat(3, -1)
    stops = []
    for k in range(60):
        part = vary_light(view, 64, np.random.default_rng(k))
        stops.append(np.log2(np.percentile(part, 95) / np.median(part)))
    assert min(stops) < 0.7 * np.median(stops)
    assert max(stops) > 1.4 * np.median(stops)


def test_a_dark_corner_is_photographed_as_a_whole_view(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    picture = np.zeros((96, 96, 3), np.float32)
    picture[:, 66:] = 1 + np.random.default_rng(0).random((96, 30, 3), np.float32)
    save_exr(root / "night.exr", picture)
    save_exr(root / "day.exr", picture + 0.5)
    settings = ReadSettings(crop_size=32, views=6, view_size=96, validation_share=0)
    data = survey(root, settings, SceneCache(None)).open(
        validation=False, settings=settings, seed=0, cache=SceneCache(None)
    )
    for index in range(len(data)):
        for epoch in range(8):
            item = data[epoch, index]
            assert item["srgb"].shape == (32, 32, 3)
            assert item["radiance"].max() >= 1


def test_a_scene_that_the_table_names_but_is_not_there_is_a_fault(tmp_path):
    root = make_scenes(tmp_path / "data", count=2)
    (root / "scenes.tsv").write_text("file\tsplit\tsite\nscene_0.exr\ttrain\ta\ngone.exr\ttrain\tb\n")
    with pytest.raises(DatasetError, match=r"gone\.exr: named in scenes\.tsv, but missing"):
        look(root)


def write_nan(file):
    bad = light(9)
    bad[3, 4] = np.nan
    OpenEXR.File({}, {"RGB": bad}).write(str(file))


def write_black(file):
    save_exr(file, np.zeros((48, 64, 3), np.float32))


def write_cut(file):
    save_exr(file, light(9))
    file.write_bytes(file.read_bytes()[:-2000])


def write_text(file):
    file.write_text("no picture")


@pytest.mark.parametrize("write", [write_nan, write_black, write_cut, write_text])
def test_every_fault_is_named_and_can_be_skipped(tmp_path, write):
    root = make_scenes(tmp_path / "data", count=2)
    (root / "deep").mkdir()
    write(root / "deep" / "bad.exr")
    with pytest.raises(DatasetError) as caught:
        look(root)
    lines = [str(fault) for fault in caught.value.faults]
    assert len(lines) == 1
    assert lines[0].startswith("deep/bad.exr: ")
    assert str(tmp_path) not in lines[0]
    assert len(look(root, skip_bad=True).training) == 1


def test_a_dark_view_is_left_out_and_not_the_scene(tmp_path):
    panorama = np.zeros((64, 128, 3), np.float32)
    panorama[:, 50:78] = light(1, 64, 28)
    save_hdr(tmp_path / "half_dark.hdr", panorama)
    scene = hdr_folder.scan(tmp_path)[0][0]
    views = replace(scene, views=8, size=32).read()["views"]
    assert 0 < len(views) < 8
