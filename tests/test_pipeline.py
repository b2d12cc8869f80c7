"""From a photo to a result: any size, any bits, nothing changed that was measured."""

import contextlib
import pickle
import threading
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from hdrgan import EIN, BracketGenerator, Photo, Pipeline, RadianceGenerator
from hdrgan.files.photo import load_photo
from hdrgan.files.response_choice import choose_response
from hdrgan.light import quiet
from hdrgan.light.cancellation import Cancellation, CancelledError
from hdrgan.light.evs import check_evs
from hdrgan.light.merge import merge
from hdrgan.light.radiometry import srgb_curve, srgb_to_linear
from hdrgan.light.rendering import render
from hdrgan.models.pretrained import PretrainedError


@pytest.fixture(scope="module")
def radiance() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline(RadianceGenerator(widths=(8, 8, 8, 8)), device="cpu", working_size=64)


@pytest.fixture(scope="module")
def bracket() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline(BracketGenerator(width=4), device="cpu")


@pytest.fixture(scope="module")
def ein() -> Pipeline:
    torch.manual_seed(0)
    return Pipeline(EIN(width=8), device="cpu")


def picture(height=40, width=56, dtype=np.uint8):
    """A ramp with a clipped window in it."""
    peak = np.iinfo(dtype).max
    ramp = np.linspace(0.02, 0.9, width) * np.ones((height, 1))
    pixels = np.stack([ramp, ramp**1.2, ramp**0.8], -1)
    pixels[height // 4 : height // 2, width // 4 : width // 2] = 1.0
    return np.round(pixels * peak).astype(dtype)


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (3, 200), (64, 64), (65, 63), (130, 97), (300, 41)])
@pytest.mark.parametrize("kind", ["radiance", "bracket", "ein"])
def test_any_size_gives_a_result_of_that_size(kind, size, request):
    result = request.getfixturevalue(kind)(picture(*size))
    assert result.radiance.shape == (*size, 3)
    assert result.invented.shape == size
    assert np.isfinite(result.radiance).all()
    assert (result.radiance >= 0).all()
    assert ((result.invented >= 0) & (result.invented <= 1)).all()
    assert [frame.shape for frame in result.exposures] == [(*size, 3)] * 5
    assert result.evs == (-4.0, -2.0, 0.0, 2.0, 4.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["radiance", "ein"])
def test_ev_0_is_the_photo_itself(kind, dtype, request):
    pixels = picture(dtype=dtype)
    result = request.getfixturevalue(kind)(pixels)
    assert result.exposures[2].dtype == dtype
    assert np.array_equal(result.exposures[2], pixels)


def test_measured_pixels_keep_their_light_and_only_clipped_ones_are_invented(radiance):
    pixels = picture(160, 120)  # larger than the working size: no residual
    result = radiance(pixels, response="srgb")
    measured = pixels.max(-1) <= 0.94 * 255
    linear = srgb_to_linear(torch.from_numpy(pixels).double() / 255).numpy()
    np.testing.assert_allclose(result.radiance[measured], linear[measured], atol=1e-6)
    assert (result.invented[measured] == 0).all()
    assert (result.radiance[~measured] >= linear[~measured] - 1e-6).all()
    assert (result.invented[pixels.min(-1) == 255] > 0).all()


@pytest.mark.parametrize("kind", ["radiance", "bracket", "ein"])
@pytest.mark.parametrize("size", [(40, 56), (160, 120)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_photo_without_clipped_pixels_has_nothing_invented(kind, size, dtype, request):
    pixels = picture(*size, dtype)
    pixels -= (pixels == np.iinfo(dtype).max).astype(dtype)  # paper as white as can be without clipping
    result = request.getfixturevalue(kind)(pixels)
    assert result.invented.max() == 0
    if kind != "bracket":  # which paints the whole picture
        assert result.radiance.max() <= 1


def test_frames_agree_with_one_another_and_grow_with_the_ev(radiance):
    result = radiance(picture(), (-3, -1, 0, 1, 3))
    means = [frame.mean() for frame in result.exposures]
    assert means == sorted(means)
    assert means[0] < means[-1] / 3


def test_srgb_asked_for_is_srgb_given(radiance):
    result = radiance(picture(), response="srgb")
    np.testing.assert_allclose(result.response, srgb_curve().numpy(), atol=1e-6)


@pytest.mark.parametrize("asked", ["camera", "srgb", "linear"])
def test_every_network_reads_the_photo_with_the_response_asked_for(asked, radiance, bracket, ein):
    """EIN keeps what was measured, at the light of its code; generated exposures are merged with the same curve."""
    pixels = picture(80, 88)
    curve = choose_response(load_photo(pixels), asked).curve
    for pipe in (radiance, bracket, ein):
        result = pipe(pixels, (-1, 0), asked)
        np.testing.assert_array_equal(result.response, curve)
        assert result.response_note
    measured = pixels.max(-1) < 200
    np.testing.assert_allclose(result.radiance[measured], curve[pixels[measured]], rtol=1e-5, atol=1e-7)
    codes = np.interp(curve[pixels[measured]] / 2, curve, np.arange(256))
    assert np.abs(result.exposures[0][measured] - codes).max() <= 1
    srgb = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        light = merge(bracket.model(srgb)[0], bracket.model.evs, torch.from_numpy(curve))
    np.testing.assert_allclose(bracket(pixels, (0,), asked).radiance, light.permute(1, 2, 0), rtol=1e-3, atol=1e-5)


def test_rendering_matches_the_formula_to_half_a_code():
    light = np.random.default_rng(0).random((50, 60, 3), np.float32) ** 4 * 4
    for bits, dtype in ((8, np.uint8), (16, np.uint16)):
        peak = 2**bits - 1
        (frame,) = render(np.zeros(light.shape, dtype), light, (1.0,), srgb_curve().numpy())
        x = np.clip(light.astype(np.float64) * 2, 0, 1)
        exact = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055) * peak
        assert np.abs(frame - exact).max() <= (0.55 if bits == 8 else 60)


def test_a_large_photo_worked_on_in_strips_equals_the_whole(radiance, monkeypatch):
    pixels = picture(700, 90)
    whole = radiance(pixels)
    monkeypatch.setattr("hdrgan.light.rendering.STRIP_SAMPLES", 3 * 90 * 37)
    strips = radiance(pixels)
    for a, b in zip(whole.exposures, strips.exposures, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1
    np.testing.assert_allclose(whole.radiance, strips.radiance, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["radiance", "bracket", "ein"])
def test_a_panorama_may_begin_anywhere(kind):
    """The window lies on the seam; turned by half, it lies in the middle."""
    y, x = np.mgrid[:128, :256]
    room = (70 + 30 * np.sin(2 * np.pi * x / 256) * np.sin(np.pi * y / 128))[..., None] * (1, 0.9, 0.8)
    room[32:64, :24] = room[32:64, -24:] = 255
    pixels = room.clip(0, 255).astype(np.uint8)
    network = Pipeline.from_pretrained(kind, device="cpu")

    def stops(pixels, projection):
        return np.log2(np.maximum(network(pixels, (-2, 0), projection=projection).radiance, 1e-3))

    def moved(projection):
        turned = np.roll(stops(np.roll(pixels, 128, 1), projection), -128, 1)
        return np.abs(turned - stops(pixels, projection)).max()

    assert moved("auto") == moved("equirectangular") < 0.1
    assert moved("flat") > 0.05 + moved("auto")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["radiance", "bracket", "ein"])
def test_grey_in_grey_out(kind, dtype, request):
    pixels = np.repeat(picture(dtype=dtype)[..., :1], 3, 2)
    result = request.getfixturevalue(kind)(pixels)
    for frame in result.exposures:
        assert np.ptp(frame, axis=-1).max() == 0
    assert (np.ptp(result.radiance, axis=-1) <= 1e-5 * result.radiance.max(-1)).all()


def test_the_published_bracket_is_given_as_the_network_drew_it(bracket):
    result = bracket(picture(40, 56))
    srgb = torch.from_numpy(picture(40, 56)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        drawn = bracket.model(srgb)[0, 4].permute(1, 2, 0).numpy()
    assert np.abs(result.exposures[4] / 255 - drawn).max() <= 0.51 / 255
    other = bracket(picture(40, 56), (-1, 0, 1))
    assert len(other.exposures) == 3
    assert np.array_equal(other.exposures[1], result.exposures[2])


@pytest.mark.parametrize("evs", [(), (0, 0), (2, 0), (float("nan"),), (0, 99)])
def test_senseless_evs_are_refused(evs):
    with pytest.raises(ValueError, match="evs must be ascending"):
        check_evs(evs)


def test_captions_name_the_ev_and_the_light(radiance):
    assert radiance(picture()).captions == (
        "EV −4 · 16× less light",
        "EV −2 · 4× less light",
        "EV 0 · the photo",
        "EV +2 · 4× more light",
        "EV +4 · 16× more light",
    )


def test_a_painted_frame_is_not_called_the_photo(bracket):
    assert bracket(picture()).captions[2] == "EV 0 · as bright as the photo"


def test_saving_writes_what_is_promised_and_the_photo_comes_back(radiance, tmp_path):
    from hdrgan.files.photo import load_photo

    result = radiance(Photo(picture(), name="window"))
    files = result.save(tmp_path, hdr=("exr", "hdr"))
    evs = ("-4", "-2", "+0", "+2", "+4")
    assert [f.name for f in files] == [*(f"window_ev{ev}.png" for ev in evs), "window.exr", "window.hdr"]
    assert np.array_equal(load_photo(tmp_path / "window_ev+0.png").pixels, picture())
    packed = result.save(tmp_path / "zipped", format="jpg", hdr=(), zip=True)
    assert [f.name for f in packed] == ["window_bracket.zip"]
    assert len(zipfile.ZipFile(packed[0]).namelist()) == 5
    assert sorted(f.name for f in (tmp_path / "zipped").iterdir()) == ["window_bracket.zip"]


def network_that(radiance, monkeypatch, work):
    """Let the network's work be ``work``, and list its runs."""
    runs, light = [], radiance.model.light

    def run(srgb):
        runs.append(srgb.shape)
        return work(light, srgb)

    monkeypatch.setattr(radiance.model, "light", run)
    return runs


def test_a_network_may_run_when_its_light_is_first_asked_for(radiance, monkeypatch):
    now = radiance(picture())
    runs = network_that(radiance, monkeypatch, lambda light, srgb: light(srgb))
    later = radiance(picture(), wait=False)
    assert np.array_equal(later.exposures[3], now.exposures[3])
    assert not runs, "EV +2 needs no light"
    assert all(np.array_equal(*pair) for pair in zip(later.exposures, now.exposures, strict=True))
    assert np.array_equal(later.radiance, now.radiance)
    assert np.array_equal(later.invented, now.invented)
    assert len(runs) == 1
    again = pickle.loads(pickle.dumps(radiance(picture(), wait=False)))
    assert np.array_equal(again.radiance, now.radiance)
    assert len(runs) == 2


def test_what_goes_wrong_in_a_network_that_runs_later_is_raised_there(radiance, monkeypatch, tmp_path):
    def fail(light, srgb):
        raise MemoryError("no room")

    network_that(radiance, monkeypatch, fail)
    later = radiance(picture(), wait=False)
    with pytest.raises(MemoryError, match="no room"):
        later.save(tmp_path, format="jpg", hdr=())
    assert not list(tmp_path.iterdir())


def test_a_network_that_runs_later_can_be_cancelled(radiance, tmp_path):
    token = Cancellation()
    with token.in_force():
        later = radiance(picture(), wait=False)
        token.cancel("stop")
        with pytest.raises(CancelledError):
            later.save(tmp_path, format="jpg", hdr=())
    assert not list(tmp_path.iterdir())


def test_bright_exposures_are_written_before_the_network_ends(radiance, monkeypatch, tmp_path):
    written = threading.Event()

    def wait(light, srgb):
        assert written.wait(60), "nothing was written beside the network"
        return light(srgb)

    def write(path, *rest, **options):
        if "ev+4" in path.name:
            written.set()

    network_that(radiance, monkeypatch, wait)
    monkeypatch.setattr("hdrgan.result.save_jpeg", write)
    monkeypatch.setattr("hdrgan.result.cores", lambda: 2)
    monkeypatch.setattr("hdrgan.light.parallel.cores", lambda: 2)
    with contextlib.suppress(FileNotFoundError):  # of the files that were not written
        radiance(picture(), wait=False).save(tmp_path, format="jpg", hdr=())
    assert written.is_set()


def test_unknown_formats_and_models_are_refused_before_any_work(radiance, tmp_path):
    with pytest.raises(ValueError, match="hdr must be one of exr, hdr"):
        radiance(picture()).save(tmp_path, hdr=("jxl",))
    with pytest.raises(ValueError, match="format must be one of"):
        radiance(picture()).save(tmp_path, format="bmp")
    with pytest.raises(PretrainedError):
        Pipeline.from_pretrained(tmp_path / "nothing")
    with pytest.raises(ValueError, match="model must be one of"):
        Pipeline(torch.nn.Identity())


def test_a_saved_network_of_each_kind_makes_the_same_pipeline(radiance, bracket, ein, tmp_path):
    for pipe in (radiance, bracket, ein):
        folder = tmp_path / type(pipe.model).__name__
        pipe.model.save_pretrained(folder)
        again = Pipeline.from_pretrained(folder, device="cpu")
        again.working_size = pipe.working_size
        assert np.array_equal(again(picture()).radiance, pipe(picture()).radiance)


@pytest.mark.parametrize("name", ["radiance", "bracket", "ein"])
def test_the_bundled_networks_load_and_know_their_evs(name):
    pipe = Pipeline.from_pretrained(name, device="cpu")
    result = pipe(picture(96, 96))
    assert np.isfinite(result.radiance).all()
    means = [frame.mean() for frame in result.exposures]
    assert means == sorted(means)


def test_a_channel_is_lowered_in_a_camera_s_photo_alone():
    glow = np.linspace(60, 250, 128)[None, :, None] * np.array([1.0, 0.85, 0.6]) * np.ones((64, 1, 1))
    glow[..., 0] = np.where(glow[..., 0] > 200, 255, glow[..., 0])  # red is full before its time
    photo = np.round(glow).astype(np.uint8)
    pipe = Pipeline.from_pretrained("radiance", device="cpu")
    least = {
        (response, projection): pipe(photo, (0,), response, projection=projection)
        .radiance[4:-4][photo[4:-4] == 255]
        .min()
        for response, projection in (("camera", "flat"), ("camera", "equirectangular"), ("srgb", "flat"))
    }
    assert least.pop(("camera", "flat")) < 0.95
    assert min(least.values()) >= 0.99


@pytest.mark.parametrize(("iso", "filtered"), [(None, False), (400, False), (800, True), ((3200, 100), True)])
def test_a_large_photo_is_freed_of_noise_where_its_sensor_was_pushed(radiance, tmp_path, monkeypatch, iso, filtered):
    exif = Image.Exif()
    if iso is not None:
        exif.get_ifd(0x8769)[34855] = iso
    grain = np.random.default_rng(0).normal(40, 5, (96, 96, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(grain).save(tmp_path / "night.jpg", exif=exif, quality=95)
    monkeypatch.setattr(quiet, "AT_ONCE", 96 * 96 - 1)
    brighter = radiance(tmp_path / "night.jpg", (0, 2), "camera").exposures[1]
    monkeypatch.setattr(quiet, "AT_ONCE", 96 * 96)
    small = radiance(tmp_path / "night.jpg", (0, 2), "camera").exposures[1]
    assert (brighter.std() == small.std()) == filtered
    assert filtered or brighter.std() > 1.5 * small.std()


@pytest.mark.parametrize("most", [1, quiet.AT_ONCE], ids=["large", "small"])
def test_near_white_is_smoothed_where_something_clipped_and_in_no_panorama(radiance, monkeypatch, most):
    monkeypatch.setattr(quiet, "AT_ONCE", most)
    sky = np.full((64, 128, 3), 40, np.uint8)
    sky[:32] = np.where(np.add.outer(np.arange(32), np.arange(128)) % 2, 251, 252)[..., None]
    linear = radiance(sky, (0,), "camera", projection="flat")
    assert np.unique(linear.radiance[4:28, 4:-4]).size == 2, "nothing clipped"
    sky[0, :] = 255
    flat = radiance(sky, (-2, 0), "camera", projection="flat")
    around = radiance(sky, (-2, 0), "camera", projection="equirectangular")
    assert flat.radiance[4:28, 4:-4].std() < 0.3 * around.radiance[4:28, 4:-4].std()
    assert np.array_equal(flat.exposures[1], sky)
    assert np.array_equal(flat.radiance[36:], around.radiance[36:])
