"""The quick way from photo to result gives what the plain way gives: every pixel in float, all at once."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from run_tiled import run_tiled

from hdrgan import EIN, BracketGenerator, Photo, Pipeline, RadianceGenerator
from hdrgan.files.photo import load_photo, to_tensor
from hdrgan.files.response_choice import choose_response
from hdrgan.light.anchoring import match_exposure
from hdrgan.light.confine import extended
from hdrgan.light.merge import merge
from hdrgan.light.parallel import cores, each
from hdrgan.light.quiet import near_white, rolled_off, without_noise
from hdrgan.light.radiometry import decode
from hdrgan.light.rendering import Camera, RaisedLight, look_up, stops_of
from hdrgan.models.radiance_generator import clip_mask

EVS = (-4.0, -1.5, 0.0, 0.5, 3.0)
WORKING_SIZE = 64


def scene(height, width, dtype=np.uint8, clipped=0.95, seed=0):
    """A photo with slopes, grain, lamps that clip in one channel or all, and hard edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    light = np.stack([0.2 + 0.7 * x, 0.1 + 0.6 * y, 0.5 + 0.4 * np.sin(9 * x + 7 * y)], -1)
    for _ in range(4):
        lamp = np.exp(-((x - rng.random()) ** 2 + (y - rng.random()) ** 2) / 0.01)
        light += lamp[..., None] * rng.uniform(0.1, 1.5, 3)
    light[height // 3 : height // 2, width // 5 : width // 3] = (1, clipped, 0.9)
    peak = np.iinfo(dtype).max
    return np.round((light + rng.normal(0, 0.01, light.shape)).clip(0, 1) * peak).astype(dtype)


def network(kind):
    torch.manual_seed(1)
    made = {
        "radiance": lambda: RadianceGenerator(widths=(8, 8, 8, 8)),
        "bracket": lambda: BracketGenerator(width=4),
        "ein": lambda: EIN(width=8),
    }[kind]()
    with torch.no_grad():  # strong enough that a mistake would show
        for weight in made.parameters():
            weight.mul_(1.5)
    return made


def area_average(srgb, size):
    return F.interpolate(srgb, size=size, mode="area")


def plain_radiance(model, photo, response):
    """Radiance, invented and curve of a RadianceGenerator, with every step on the whole photo in float32."""
    srgb = to_tensor(photo).contiguous()
    height, width = photo.height, photo.width
    scale = min(model.largest_enlargement, WORKING_SIZE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    m = model.size_multiple
    bilinear = partial(F.interpolate, size=size, mode="bilinear", align_corners=False)
    seen = area_average(srgb, size) if scale <= 1 else bilinear(srgb)
    light = model.light(F.pad(seen, (0, -size[1] % m, 0, -size[0] % m), mode="replicate"))
    mask = model.clipped(seen)
    weight = torch.maximum(mask, 0.01 * mask.amax(1, keepdim=True))
    factor = extended(light.factor()[..., : size[0], : size[1]], weight)
    if choose_response(photo, response).kind != "camera":
        factor = factor.clamp(min=1)
    factor = F.interpolate(factor, size=(height, width), mode="bilinear", align_corners=False)
    curve = torch.from_numpy(choose_response(photo, response).curve)
    mask = model.clipped(srgb)
    invented = 1 - (factor.clamp(min=1) ** -mask)[0].amin(0)
    if choose_response(photo, response).kind == "camera" and photo.pixels.max() == np.iinfo(photo.pixels.dtype).max:
        quiet = near_white(photo.pixels, slice(0, height), np.arange(photo.pixels.size))
        quiet = torch.from_numpy(quiet / 65535).view(height, width, 3).permute(2, 0, 1)[None].float()
        srgb = torch.where(mask > 0, quiet, srgb)
    radiance = decode(srgb, curve) * factor ** torch.where(mask > 0, model.clipped(srgb), 0)
    return radiance, invented, curve


def plain_ein(model, photo, curve):
    srgb = to_tensor(photo).contiguous()
    relative = run_tiled(model, srgb, multiple=model.size_multiple, minimum=model.minimum_size)
    linear = decode(srgb, curve)
    trusted = (srgb.amax(1, keepdim=True) < 0.90) & (srgb.amin(1, keepdim=True) > 0.05)
    anchored = relative * match_exposure(relative, linear, trusted)
    mask = clip_mask(srgb, 0.94, 0.995)
    radiance = torch.lerp(linear, torch.maximum(anchored, linear), mask)
    made_up = 1 - (linear / radiance.clamp(min=1e-6)).clamp(0, 1)
    return radiance, (made_up * mask)[0].amax(0), curve


def plain_bracket(model, photo, curve):
    srgb = to_tensor(photo).contiguous()
    frames = run_tiled(model, srgb, multiple=model.size_multiple, minimum=model.minimum_size)[0]
    return frames, merge(frames, model.evs, curve)[None], clip_mask(srgb, 0.94, 0.995).amax(1)[0], curve


def plain_render(photo, radiance, evs, curve, keep_photo=True):
    """Exposures by a search per pixel in float64."""
    peak = np.iinfo(photo.pixels.dtype).max
    light = radiance[0].permute(1, 2, 0).double().numpy()
    codes = np.linspace(0, peak, len(curve))
    drawn = [np.interp(np.minimum(light * 2.0**ev, 1), curve.double().numpy(), codes).round() for ev in evs]
    return [photo.pixels if keep_photo and ev == 0 else frame for ev, frame in zip(evs, drawn, strict=True)]


@torch.inference_mode()
def plain(model, photo, response="auto"):
    """What a pipeline is to answer: exposures at EVS, radiance (H, W, 3), invented, response."""
    curve = torch.from_numpy(choose_response(photo, response).curve)
    if isinstance(model, BracketGenerator):
        frames, radiance, invented, curve = plain_bracket(model, photo, curve)
        peak = np.iinfo(photo.pixels.dtype).max
        exposures = plain_render(photo, radiance, EVS, curve, keep_photo=False)
        for k, ev in enumerate(model.evs):
            if ev in EVS:
                exposures[EVS.index(ev)] = (frames[k] * peak).round().permute(1, 2, 0).numpy()
    else:
        radiance, invented, curve = (
            plain_ein(model, photo, curve) if isinstance(model, EIN) else plain_radiance(model, photo, response)
        )
        exposures = plain_render(photo, radiance, EVS, curve)
        if isinstance(model, RadianceGenerator) and choose_response(photo, response).kind == "camera":
            measured = (model.clipped(to_tensor(photo)) == 0)[0].permute(1, 2, 0).numpy()
            quiet = decode(torch.from_numpy(without_noise(photo.pixels) / 65535).permute(2, 0, 1)[None].float(), curve)
            for k, ev in enumerate(EVS):
                if ev > 0:
                    sensor = rolled_off((quiet[0].permute(1, 2, 0) * 2.0**ev).numpy())
                    (frame,) = plain_render(
                        photo, torch.from_numpy(sensor).permute(2, 0, 1)[None], (0.0,), curve, False
                    )
                    exposures[k] = np.where(measured, frame, exposures[k])
    return exposures, radiance[0].permute(1, 2, 0).numpy(), invented.numpy(), curve.numpy()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (48, 64), (65, 63), (331, 209), (90, 701)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["radiance", "bracket", "ein"])
def test_a_result_equals_the_plain_computation(kind, dtype, size):
    model = network(kind).eval()
    pipe = Pipeline(model, device="cpu", working_size=WORKING_SIZE)
    photo = Photo(scene(*size, dtype))
    for response in ("auto", "srgb"):
        exposures, radiance, invented, curve = plain(model, photo, response)
        result = pipe(photo, EVS, response)
        np.testing.assert_allclose(result.response, curve, atol=1e-6)
        # Where the curve is steep a last bit of the response is a few of the light's.
        np.testing.assert_allclose(result.radiance, radiance, rtol=2e-4, atol=2e-6)
        np.testing.assert_allclose(result.invented, invented, atol=1e-4)
        for ours, theirs in zip(result.exposures, exposures, strict=True):
            assert ours.dtype == dtype
            assert np.abs(ours.astype(float) - theirs).max() <= (1 if dtype == np.uint8 else 80)


def steps(picture):
    """Mean size of the step from each row to the next, and from each column to the next."""
    codes = picture.astype(np.float64)
    return [np.abs(np.diff(codes, axis=axis)).mean((1 - axis, 2)) for axis in (0, 1)]


def assert_no_seams(picture, plain_picture):
    """Between no two rows or columns is there more of a step than the plain computation has there."""
    for ours, theirs in zip(steps(picture), steps(plain_picture), strict=True):
        assert np.abs(ours - theirs).max() <= 0.1  # of a level; rounding alone is a few hundredths


@pytest.mark.parametrize("kind", ["radiance", "bracket", "ein"])
def test_no_seam_shows_where_strips_and_tiles_meet(kind, monkeypatch):
    model = network(kind).eval()
    pixels = np.repeat(np.repeat(scene(48, 40), 6, 0), 6, 1)  # smooth, so that a seam would stand out
    photo = Photo(pixels)
    pipe = Pipeline(model, device="cpu", working_size=WORKING_SIZE)
    exposures, *_ = plain(model, photo)
    monkeypatch.setattr("hdrgan.light.rendering.STRIP_SAMPLES", 3 * 240 * 7)
    if kind != "radiance":
        small = {"bracket": {"tile": 128, "overlap": 32}, "ein": {"tile": 192, "overlap": 48}}[kind]
        tiles = pipe._tiles
        monkeypatch.setattr(pipe, "_tiles", lambda photo, **_: tiles(photo, **small))
    result = pipe(photo, EVS)
    for ours, theirs in zip(result.exposures, exposures, strict=True):
        if kind == "ein":
            # Tiles of so far-sighted a network cannot be those of the whole; but their borders must not be seen.
            for own in steps(ours):
                inner = np.sort(own)
                assert inner[-1] <= inner[-2] * 1.5 + 1
        else:
            assert np.abs(ours.astype(int) - theirs).max() <= 1
            assert_no_seams(ours, theirs)


def test_what_the_seam_test_looks_for_is_seen_by_it():
    picture = np.full((40, 30, 3), 100.0)
    seam = picture.copy()
    seam[20:] += 2
    with pytest.raises(AssertionError):
        assert_no_seams(seam, picture)


@pytest.fixture
def drawn(monkeypatch):
    """A result of a photo, and the EVs of the exposures that have been drawn since."""
    pipe = Pipeline(network("radiance"), device="cpu", working_size=WORKING_SIZE)
    calls = []
    draw = RaisedLight.exposure
    monkeypatch.setattr(RaisedLight, "exposure", lambda light, ev: calls.append(ev) or draw(light, ev))
    return pipe(Photo(scene(90, 120)), EVS), calls


def test_exposures_are_drawn_once_and_only_when_looked_at(drawn):
    result, calls = drawn
    assert len(result.exposures) == 5
    assert result.captions[2] == "EV 0 · the photo"
    assert not calls
    first = result.exposures[0]
    assert result.exposures[0] is first
    assert result.exposures[-5] is first
    assert [frame is result.exposures[k] for k, frame in enumerate(result.exposures[1:3], 1)] == [True, True]
    assert calls == [-4.0, -1.5]
    assert result.exposures[2] is result.photo.pixels
    with pytest.raises(IndexError):
        _ = result.exposures[5]
    assert len(list(result.frames())) == 5
    assert len(calls) == 4


def test_saving_a_bracket_keeps_no_exposure_and_makes_no_radiance(drawn, tmp_path, monkeypatch):
    result, calls = drawn
    monkeypatch.setattr(RaisedLight, "radiance", lambda _: pytest.fail("nobody asked for radiance"))
    files = result.save(tmp_path, hdr=())
    assert [file.stem.split("_ev")[1] for file in files] == ["-4", "-1.5", "+0", "+0.5", "+3"], "dark to bright"
    assert sorted(calls) == [-4.0, -1.5, 0.5, 3.0]
    calls.clear()
    result.save(tmp_path, hdr=())
    assert len(calls) == 4  # drawn again, because none was kept
    _ = result.exposures[0]
    calls.clear()
    result.save(tmp_path, hdr=())
    assert sorted(calls) == [-1.5, 0.5, 3.0]


def test_a_photo_with_much_clipped_gives_the_same_without_keeping_its_light(monkeypatch):
    pipe = Pipeline(network("radiance"), device="cpu", working_size=WORKING_SIZE)
    pixels = scene(90, 120)
    kept = pipe(pixels, EVS)
    expected = [*kept.exposures, kept.radiance, kept.invented]
    monkeypatch.setattr("hdrgan.light.rendering._KEPT_SAMPLES", 10)
    result = pipe(pixels, EVS)
    for ours, theirs in zip([*result.exposures, result.radiance, result.invented], expected, strict=True):
        assert np.array_equal(ours, theirs)
    assert (pixels >= 240).sum() > 10


def test_a_large_painted_bracket_makes_its_light_when_asked(monkeypatch):
    pipe = Pipeline(network("bracket"), device="cpu")
    photo = Photo(scene(70, 90))
    at_once = pipe(photo)
    monkeypatch.setattr("hdrgan.pipeline._LIGHT_AT_ONCE", 100)
    result = pipe(photo)
    assert "radiance" not in vars(result)
    for ours, theirs in zip(result.exposures, at_once.exposures, strict=True):
        assert np.array_equal(ours, theirs)
    np.testing.assert_allclose(result.radiance, at_once.radiance, rtol=1e-6)


def test_the_photo_s_own_jpeg_is_its_frame_without_being_compressed_again(tmp_path):
    import io

    from PIL import Image

    file = io.BytesIO()
    exif = Image.Exif()
    exif[271], exif[0x8825] = "Maker", {1: "N", 2: (1.0, 2.0, 3.0)}
    Image.fromarray(scene(90, 120)).save(file, "JPEG", quality=60, exif=exif)
    pipe = Pipeline(network("radiance"), device="cpu", working_size=WORKING_SIZE)
    pipe(file.getvalue()).save(tmp_path, format="jpg", hdr=())
    saved = (tmp_path / "photo_ev+0.jpg").read_bytes()
    tables = file.getvalue().index(b"\xff\xdb")
    assert saved.endswith(file.getvalue()[tables:])
    again = load_photo(saved)
    assert np.array_equal(again.pixels, load_photo(file.getvalue()).pixels)
    assert again.exif[271] == "Maker"
    assert not again.exif.get_ifd(0x8825)
    assert len(list(tmp_path.iterdir())) == 5


DEVICES = ["cpu"] + [kind for kind in ("cuda", "mps") if getattr(torch, kind).is_available()]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["radiance", "bracket", "ein"])
def test_every_device_gives_the_same_within_half_precision(kind, device, monkeypatch):
    """What runs on a graphics card runs here as well: tiles in half precision, everything else as ever."""
    model = network(kind).eval()
    photo = Photo(scene(150, 200))
    expected = Pipeline(model, device="cpu", working_size=WORKING_SIZE)(photo, EVS)
    frames = [frame.astype(float) for frame in expected.exposures]
    radiance = expected.radiance
    if device == "cpu":
        monkeypatch.setattr("hdrgan.pipeline._half_type", lambda _: torch.bfloat16)
    pipe = Pipeline(model, device=device, working_size=WORKING_SIZE)
    result = pipe(photo, EVS)
    assert next(pipe.model.parameters()).device.type == device
    for ours, theirs in zip(result.exposures, frames, strict=True):
        assert np.abs(ours - theirs).mean() < 1
    if kind != "radiance":
        (_, half), *_ = pipe._tiles(photo)
        monkeypatch.undo()
        (_, whole), *_ = Pipeline(model, device="cpu")._tiles(photo)
        difference = (half - whole).abs()
        assert 0 < difference.mean() < 0.03  # above 0, or half precision was not used
    assert np.abs(np.log2((result.radiance + 1e-3) / (radiance + 1e-3))).mean() < 0.05


@pytest.mark.parametrize("kind", ["radiance", "bracket"])
def test_a_compiled_network_gives_the_same(kind):
    photo = Photo(scene(72, 96))
    expected = Pipeline(network(kind), device="cpu")(photo)
    compiled = Pipeline(network(kind), device="cpu", compile="eager")(photo)  # a backend that needs no C++ compiler
    np.testing.assert_allclose(compiled.radiance, expected.radiance, rtol=1e-3, atol=1e-4)
    torch.compiler.reset()


def test_work_is_shared_in_order_and_a_failure_ends_it(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert 1 <= cores() <= 3
    assert each(lambda k: k * k, range(50), workers=3) == [k * k for k in range(50)]
    begun = []

    def fail(k):
        begun.append(k)
        if k == 2:
            raise OSError("disk full")
        return k

    with pytest.raises(OSError, match="disk full"):
        each(fail, range(1000), workers=2)
    assert len(begun) < 1000
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert cores() == 1


def test_work_within_work_gets_a_share_of_the_cores(monkeypatch):
    monkeypatch.setattr("hdrgan.light.parallel.os.sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr("hdrgan.light.parallel.os.cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert each(lambda _: cores(), range(3)) == [2, 2, 2]
    assert each(lambda _: cores(), range(20)) == [1] * 20
    assert each(lambda _: each(lambda _: cores(), range(2)), range(2)) == [[2, 2], [2, 2]]
    assert cores() == 8, "only the threads of each have a share"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
@pytest.mark.parametrize("entry", [np.uint8, np.uint16, np.float32])
def test_looking_up_is_indexing(dtype, count, entry, monkeypatch):
    monkeypatch.setattr("hdrgan.light.rendering.STRIP_SAMPLES", 64)
    rng = np.random.default_rng(0)
    table = (rng.random(np.iinfo(dtype).max + 1) * 200).astype(entry)
    codes = rng.integers(0, len(table), (count, 1, 3)).astype(dtype)
    found = look_up(table, codes)
    assert found.dtype == entry
    assert np.array_equal(found, table[codes])


@pytest.mark.parametrize(("peak", "off"), [(255, 0.6), (65535, 4)])
def test_a_camera_gives_the_code_of_its_curve(peak, off):
    curve = (np.linspace(0, 1, 256) ** 2.4).astype(np.float32)
    camera = Camera(curve, peak)
    light = np.geomspace(1e-5, 30, 5000).astype(np.float32)
    for ev in (-6.0, 0.0, 2.5):
        exact = np.interp(np.minimum(light.astype(np.float64) * 2**ev, 1), curve, np.linspace(0, peak, 256))
        assert np.abs(camera.expose(stops_of(light), ev) - exact).max() <= off
    assert camera.expose(stops_of(np.float32([0, 1, 1e9])), 20.0).tolist() == [0, peak, peak]


def test_memory_while_saving_is_that_of_a_few_exposures(tmp_path):
    photo = Photo(np.tile(scene(300, 400), (5, 5, 1)))  # 3 megapixels, 9 MB
    pipe = Pipeline(network("radiance"), device="cpu", working_size=WORKING_SIZE)
    pipe(photo).save(tmp_path, format="jpg", hdr=())
    tracemalloc.start()
    try:
        pipe(photo).save(tmp_path, format="jpg", hdr=())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Five exposures in float would be 20 times the photo.
    assert most < 4 * photo.pixels.nbytes + 20e6
