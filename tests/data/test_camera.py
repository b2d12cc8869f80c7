"""The virtual camera: it tells the truth about itself, and each of its steps does what a camera does."""

import numpy as np
import pytest

from hdrgan.data.camera import STEPS, VirtualCamera, interpolated, mosaic
from hdrgan.data.lens import scatter, with_lamp
from hdrgan.data.responses import CODES, Responses, sigmoid_response
from hdrgan.light.response import camera_shapes, deviating_camera, mean_camera
from hdrgan.light.srgb import srgb_response


def view(side=64, seed=0):
    return np.exp(np.random.default_rng(seed).normal(0, 1.5, (side, side, 1))).astype(np.float32) * np.ones(
        3, np.float32
    )


def test_the_mean_camera_is_what_was_measured_and_no_textbook_curve():
    curve = mean_camera()
    assert curve[[0, 255]].tolist() == [0, 1]
    assert (np.diff(curve) >= 0).all()
    np.testing.assert_allclose(curve[[64, 128, 191]], (0.035, 0.095, 0.225), rtol=0.03)
    assert (curve[64:250] < 0.8 * srgb_response()[64:250]).all(), "cameras roll highlights off"
    assert camera_shapes().shape == (2, 256)
    for deviations in ((0, 0), (2, -2), (-2.5, 2.5)):
        bent = deviating_camera(np.array(deviations, float))
        assert bent[0] == 0
        assert bent[-1] == 1
        assert (np.diff(bent) >= 0).all()


def test_the_camera_tells_the_truth_about_itself():
    rng = np.random.default_rng(0)
    for clean in (True, False):
        shot = VirtualCamera(clip=(0.05, 0.10), steps=set(STEPS) - {"sharpening", "mosaic"}).shoot(
            view(), rng, clean=clean
        )
        assert 0.04 < (shot.radiance.max(-1) >= 1).mean() < 0.11
        assert shot.inverse_response[0] == 0
        assert shot.inverse_response[-1] == 1
        linear = shot.inverse_response[shot.srgb]
        unclipped = (shot.srgb.max(-1) < 240) & (shot.srgb.min(-1) > 40)
        error = np.abs(np.log2(linear[unclipped]) - np.log2(shot.radiance[unclipped]))
        assert np.median(error) < (0.02 if clean else 0.3)


def test_without_steps_a_camera_is_its_curve():
    shot = VirtualCamera(steps=()).shoot(view(), np.random.default_rng(1), clean=False)
    expected = np.round(np.interp(shot.radiance.clip(0, 1), shot.inverse_response, CODES) * 255)
    assert np.abs(expected - shot.srgb).max() <= 1


@pytest.mark.parametrize("step", sorted(set(STEPS) - {"glare"}))
def test_each_step_changes_the_photo(step):
    colours = view() * np.random.default_rng(5).uniform(0.3, 1, (64, 64, 3)).astype(np.float32)
    plain = VirtualCamera(steps=()).shoot(colours, np.random.default_rng(2), clean=False)
    changed = [
        VirtualCamera(steps={step}).shoot(colours, np.random.default_rng(2 + seed), clean=False) for seed in range(6)
    ]
    # Some steps are taken by some cameras only.
    curves = [np.round(np.interp(s.radiance.clip(0, 1), s.inverse_response, CODES) * 255) for s in changed]
    assert max(np.abs(c - s.srgb).max() for c, s in zip(curves, changed, strict=True)) > 3
    assert plain.srgb.shape == changed[0].srgb.shape


def test_a_mosaic_of_a_slope_is_interpolated_exactly():
    y, x = np.mgrid[:32, :32] / 32
    slope = np.stack([x, y, (x + y) / 2], -1).astype(np.float32)
    np.testing.assert_allclose(interpolated(mosaic(slope))[2:-2, 2:-2], slope[2:-2, 2:-2], atol=1e-6)


def test_a_reduced_shot_is_the_mean_of_its_light():
    shot = VirtualCamera().shoot(view(128), np.random.default_rng(3), reduction=2)
    assert shot.srgb.shape == shot.radiance.shape == (64, 64, 3)


def test_curves_come_from_the_split_train_of_a_file_from_emor_or_from_the_package(tmp_path):
    light = np.linspace(0, 1, 64)
    np.savez(
        tmp_path / "measured.npz",
        irradiance=light,
        response=np.stack([light**0.5, light**0.25]),
        split=["train", "test"],
    )
    rng = np.random.default_rng(0)
    middles = [Responses(tmp_path / "measured.npz").draw(rng)[128] for _ in range(50)]
    assert abs(np.median(np.log2(middles)) - np.log2(0.25)) < 0.3, "only the first curve, varied a little"
    np.savez(tmp_path / "emor.npz", irradiance=light, f0=light**0.5, h=np.zeros((5, 64)))
    assert Responses(tmp_path / "emor.npz").draw(rng)[128] == pytest.approx(0.25, abs=0.01)
    drawn = np.array([Responses().draw(rng) for _ in range(200)])
    assert abs(np.log2(np.median(drawn[:, 128]) / mean_camera()[128])) < 0.15
    assert (np.diff(drawn, axis=1) >= 0).all()
    np.savez(tmp_path / "other.npz", photos=light)
    with pytest.raises(ValueError, match="no camera responses"):
        Responses(tmp_path / "other.npz")


def test_senseless_settings_and_black_views_are_refused():
    for bad in ({"clip": (0.5, 0.2)}, {"clip": (0.0, 0.2)}, {"steps": {"blur"}}):
        with pytest.raises(ValueError, match=r"clip|step"):
            VirtualCamera(**bad)
    with pytest.raises(ValueError, match="black"):
        VirtualCamera().shoot(np.zeros((8, 8, 3), np.float32), np.random.default_rng(0))


def test_the_same_seed_gives_the_same_shot():
    first, second = (VirtualCamera().shoot(view(32, 1), np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.srgb, second.srgb)


def test_sigmoid_responses_reach_white():
    assert sigmoid_response(0.9, 0.6)(np.float64(1.0)) == pytest.approx(1.0)


def test_a_lens_scatters_light_and_loses_none():
    view = np.full((64, 96, 3), 0.1, np.float32)
    view[32, 48] = (3000, 2000, 1000)
    redness = []
    for seed in range(8):
        seen = scatter(view, np.random.default_rng(seed))
        assert seen.shape == view.shape
        assert seen.dtype == np.float32
        lost = 1 - seen.sum((0, 1)) / view.sum((0, 1))
        assert (lost > -1e-4).all()
        assert (lost < 0.05).all(), "what leaves the picture is a part of the scattered part"
        halo = seen[32, 49:, 0] - 0.1 * (1 - 10**-1.3)
        assert (np.diff(halo) < 0).all(), "brighter towards the lamp"
        added = seen[30, 44] - seen[0, 0]
        red, _, blue = added / view[32, 48]
        assert 0.5 < red / blue < 3, "nearly in its colour"
        redness.append(red / blue)
    assert np.mean(redness) > 1.1, "the halo is wider for red than for blue"
    assert np.array_equal(scatter(view, np.random.default_rng(1)), scatter(view, np.random.default_rng(1)))


def test_a_lamp_is_small_bright_and_where_it_is_bright_already():
    view = np.full((64, 96, 3), 0.1, np.float32)
    view[:32] = 1
    for seed in range(6):
        lit = with_lamp(view, np.random.default_rng(seed))
        assert lit.dtype == np.float32
        added = (lit - view).max(-1)
        top, left = divmod(int(added.argmax()), 96)
        assert top < 32
        assert added.max() > 50
        assert (added > 0.01 * added.max()).mean() < 0.02
        red, green, blue = lit[top, left]
        assert red >= green >= blue, "from white to red"
