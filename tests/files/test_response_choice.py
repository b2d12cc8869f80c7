"""Which response a photo is read with, and that it travels in what is written."""

import io
import json
import os

import numpy as np
import OpenEXR
import pytest
from exif_tool import exiftool
from PIL import Image
from synthetic_camera import bracket, scene

from hdrgan import Pipeline
from hdrgan.files.photo import Photo, load_photo
from hdrgan.files.response_choice import choose_response, srgb
from hdrgan.light.radiometry import srgb_curve
from hdrgan.light.rendering import StoredLight
from hdrgan.light.response import deviating_camera, mean_camera
from hdrgan.result import Result

MINE = deviating_camera(np.array([1.0, 1.0]))


def camera_photo(**exif):
    return load_photo(bracket([1 / 64], **exif)[0][0])


def calibration(path, make="Acme", model="One", style="", **rendering):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"kind": "hdrgan camera calibration", "format": 1, "make": make, "model": model, "style": style}
    content |= {"rendering": rendering} if rendering else {}
    path.write_text(json.dumps(content | {"response": MINE.tolist()}))
    return path


def render():
    """A clean render: smooth light in sRGB, eight bits, no noise."""
    light = (scene(256, 256, seed=2) * 0.2).clip(0, 1)
    codes = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    return (codes * 255).round().astype(np.uint8)


@pytest.fixture(autouse=True)
def _no_cameras_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_a_photograph_is_read_with_the_mean_camera_and_a_render_with_srgb():
    photo = camera_photo()
    chosen = choose_response(photo)
    assert chosen.kind == "camera"
    assert np.allclose(chosen.curve, mean_camera(), atol=1e-6)
    assert choose_response(Photo(render(), format="PNG")).kind == "srgb"
    assert np.allclose(srgb(), srgb_curve().numpy(), atol=1e-6)


def test_a_photograph_saved_again_as_png_without_exif_stays_one():
    assert choose_response(Photo(camera_photo().pixels, format="PNG")).kind == "camera"


def test_a_picture_that_says_it_was_drawn_has_the_srgb_curve():
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[305] = "Blender 4.2"
    Image.fromarray(render()).save(stream, "JPEG", exif=exif)
    chosen = choose_response(load_photo(stream.getvalue()))
    assert chosen.kind == "srgb"
    assert "drew it" in chosen.why


def test_the_calibration_of_the_photos_camera_is_found(tmp_path):
    calibration(tmp_path / "config" / "hdrgan" / "cameras" / "one.json")
    chosen = choose_response(camera_photo())
    assert chosen.kind == "calibration"
    assert chosen.why == "the calibration of Acme One in one.json"
    assert np.allclose(chosen.curve, MINE, atol=1e-6)
    assert choose_response(camera_photo(), "camera").kind == "camera"


def test_what_is_asked_for_is_taken(tmp_path):
    photo = camera_photo()
    file = calibration(tmp_path / "mine.json", model="Other")
    assert np.allclose(choose_response(photo, file).curve, MINE, atol=1e-6)
    assert np.allclose(choose_response(photo, str(file)).curve, MINE, atol=1e-6)
    assert choose_response(photo, "srgb").kind == "srgb"
    assert np.allclose(choose_response(photo, "linear").curve, np.linspace(0, 1, 256))
    with pytest.raises(ValueError, match="must be one of auto, camera, srgb, linear"):
        choose_response(photo, "nonsense")
    with pytest.raises(FileNotFoundError):
        choose_response(photo, tmp_path / "none.json")


def photo_in_style(software=None, **fields):
    """A photo of the camera whose EXIF states how it was rendered."""
    photo = camera_photo()
    if software:
        photo.exif[305] = software
    tags = {"CustomRendered": 41985, "SceneCaptureType": 41990, "Contrast": 41992, "Saturation": 41993}
    photo.exif.get_ifd(0x8769).update({tags[name]: value for name, value in fields.items()})
    return photo


def test_a_calibration_is_found_by_picture_style_as_far_as_exif_states_it(tmp_path):
    cameras = tmp_path / "config" / "hdrgan" / "cameras"
    calibration(cameras / "vivid.json", style="vivid", Contrast="2", Software="camera firmware")
    calibration(cameras / "neutral.json", style="neutral", Contrast="0", Software="camera firmware")
    os.utime(cameras / "vivid.json", (1, 1))  # the older one
    assert "vivid.json" in choose_response(photo_in_style(Contrast=2)).why
    assert "neutral.json" in choose_response(photo_in_style("Camera Firmware Ver.1.02", Contrast=0)).why
    assert (
        "neutral.json, the newest of 2" in choose_response(photo_in_style(Saturation=1)).why
    )  # nothing tells them apart
    for other in (photo_in_style(Contrast=1), photo_in_style("Adobe Lightroom 13", Contrast=2)):
        chosen = choose_response(other)
        assert chosen.kind == "camera"
        assert "is of another picture style, by EXIF" in chosen.why
    assert choose_response(photo_in_style(Contrast=1), cameras / "vivid.json").kind == "calibration"  # as asked


def test_the_rendering_that_a_calibration_states_may_be_anything(tmp_path):
    file = tmp_path / "config" / "hdrgan" / "cameras" / "one.json"
    calibration(file)
    for odd in (3, [1], {"Contrast": [1]}, None):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"rendering": odd}))
        choose_response(photo_in_style(Contrast=1))


def test_the_response_travels_in_the_files(tmp_path):
    photo = camera_photo()
    chosen = choose_response(photo, calibration(tmp_path / "mine.json"))
    light = np.interp(photo.pixels / 255, np.linspace(0, 1, 256), chosen.curve).astype(np.float32)
    result = Result.of(photo, (-2.0, 0.0), StoredLight(photo.pixels, chosen.curve, light, light[..., 0] * 0))
    result.response_note = chosen.why
    png, _, exr = result.save(tmp_path / "out")
    comment = Image.open(png).getexif().get_ifd(0x8769)[37510]
    facts = json.loads(comment.removeprefix(b"ASCII\0\0\0"))
    assert facts["response"] == "the calibration of Acme One in mine.json"
    assert np.allclose(facts["curve"], MINE, rtol=1e-3, atol=1e-5)
    header = OpenEXR.File(str(exr)).header()
    assert header["hdrganResponse"] == facts["response"]
    assert json.loads(header["hdrganResponseCurve"]) == facts["curve"]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["png", "jpg", "tiff"])
def test_exiftool_shows_the_response_in_the_xmp_of_the_bracket(format, tmp_path):
    photo = camera_photo()
    named = choose_response(photo, calibration(tmp_path / 'my "best" <one> & more.json'))
    light = np.interp(photo.pixels / 255, np.linspace(0, 1, 256), named.curve).astype(np.float32)
    result = Result.of(photo, (-2.0, 0.0), StoredLight(photo.pixels, named.curve, light, light[..., 0] * 0))
    result.response_note = named.why
    files = result.save(tmp_path / "out", format=format, hdr=())
    for told in exiftool(files, "-XMP:all"):
        assert told["XMP-hdrgan:Response"] == named.why
        curve = [float(number) for number in told["XMP-hdrgan:ResponseCurve"].split()]
        assert np.allclose(curve, MINE, rtol=1e-3, atol=1e-5)
    # A result made of a result says what it was made with itself.
    result.photo, result.response_note = load_photo(files[0]), "other"
    told = exiftool(result.save(tmp_path / "again", format=format, hdr=()), "-XMP:all", "-a")
    assert [one["XMP-hdrgan:Response"] for one in told] == ["other"] * 2
    # What was not read with a response says nothing of one.
    plain = Result.of(photo, (0.0,), StoredLight(photo.pixels, named.curve, light, light[..., 0] * 0))
    assert "XMP-hdrgan:Response" not in exiftool(plain.save(tmp_path / "plain", format=format, hdr=()))[0]


def test_the_pipeline_reads_a_photo_with_what_was_chosen(tmp_path):
    pipe = Pipeline.from_pretrained("radiance", device="cpu")
    small = Photo(np.ascontiguousarray(camera_photo().pixels[:64, :64]))
    result = pipe(small, (0.0,), response=calibration(tmp_path / "mine.json"))
    assert np.allclose(result.response, MINE, atol=1e-6)
    assert result.response_note == "the calibration of Acme One in mine.json"
