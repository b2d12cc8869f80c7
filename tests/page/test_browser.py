"""The page as a visitor meets it: the real program, the real networks, a real browser."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import tempfile
import zipfile
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from page_server import Program
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from hdrgan import load_photo
from hdrgan.files.radiance import load_radiance
from hdrgan.light.radiometry import linear_to_srgb
from hdrgan.light.tonemap import tone_map

pytestmark = pytest.mark.browser

CAPTIONS = ["EV −4 · 16× less light", "EV −2 · 4× less light", "EV 0 · the photo", "EV +2 · 4× more light"]
CAPTIONS += ["EV +4 · 16× more light"]
FILES = [f"porch_ev{ev}.png" for ev in ("-4", "-2", "+0", "+2", "+4")]
SLOW = 120_000  # milliseconds that a busy machine may take for one photo
expect.set_options(timeout=SLOW)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def address(root):
    """``python app.py`` in a process and a temporary folder of its own: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as temporary:
        program = Program(root, Path(temporary), GRADIO_SERVER_PORT=str(port))
        try:
            assert len(os.listdir(temporary)) == 1, "temporary files must have a folder of their own"
            assert "HDRGAN_MAX_MEGABYTES=64" in "".join(program.said), "the limits in force must be printed"
            assert program.url == f"http://127.0.0.1:{port}/"
            yield program.url
        finally:
            program.end()
        assert "Traceback" not in "".join(program.said)
        assert not os.listdir(temporary), "a stopped server must leave no photo behind"


@pytest.fixture(scope="module")
def browser():
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if not executable:
        pytest.fail("These tests need a browser: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, address: str):
    """A fresh visitor, who must not be sent anywhere else and must meet no error of the page's own making."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(SLOW)
    strangers, errors = [], []
    page.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or strangers.append(r.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    expect(page.get_by_role("button", name="Make five exposures")).to_be_visible()
    yield page
    context.close()
    assert not strangers
    assert not errors


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    """A photo held upright, as a camera stores it: pixels lying on their side, EXIF orientation 6. Lamp top left."""
    y, x = np.mgrid[0:480, 0:320].astype(np.float32)
    light = 0.25 + 0.2 * np.sin(x / 9) * np.sin(y / 11) + 4 * np.exp(-((x - 60) ** 2 + (y - 80) ** 2) / 900)
    upright = np.stack([light, light * 0.9, light * 0.7], -1).clip(0, 1)
    pixels = (upright ** (1 / 2.2) * 255).astype(np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path_factory.mktemp("camera") / "porch.jpg"
    Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    return path


def choose(page: Page, path: Path) -> None:
    """Upload a photo and wait until the page has judged it."""
    page.get_by_test_id("file-upload").set_input_files(path)
    expect(page.locator("#note")).to_contain_text(path.name)


def frames(page: Page) -> list[Image.Image]:
    """The pictures of the gallery, once there are five."""
    pictures = page.locator("#exposures .grid-container img")
    expect(pictures).to_have_count(5)
    return [Image.open(io.BytesIO(page.request.get(p.get_attribute("src")).body())) for p in pictures.all()]


def make(page: Page) -> list[Image.Image]:
    """Press the button and wait for the answer to this press."""
    before = page.locator("#exposures .grid-container img").evaluate_all("all => all.map(i => i.src).join()")
    page.get_by_role("button", name="Make five exposures").click()
    page.wait_for_function(
        """before => {
            const all = [...document.querySelectorAll("#exposures .grid-container img")];
            return all.length === 5 && all.map(i => i.src).join() !== before;
        }""",
        arg=before,
    )
    return frames(page)


def download(page: Page, name: str, folder: Path) -> Path:
    with page.expect_download() as caught:
        page.get_by_role("button", name=name).click()
    path = folder / caught.value.suggested_filename
    caught.value.save_as(path)
    return path


def test_a_photo_becomes_five_upright_captioned_exposures_and_files(page, photo, tmp_path):
    choose(page, photo)
    made = make(page)
    original = load_photo(photo).pixels

    assert original.shape == (480, 320, 3)
    assert {frame.size for frame in made} == {(320, 480)}
    shown = page.locator("#exposures .grid-container img").evaluate_all(
        "all => all.map(i => [i.complete, i.naturalWidth, i.naturalHeight, i.clientWidth < i.clientHeight])"
    )
    assert shown == [[True, 320, 480, True]] * 5
    assert page.locator("#exposures .caption-label").all_inner_texts() == CAPTIONS
    brightness = [np.asarray(frame).mean() for frame in made]
    assert brightness == sorted(brightness)
    for frame in made[:3]:
        grey = np.asarray(frame.convert("L")).astype(int)
        lamp, far_corner = grey[60:100, 40:80].mean(), grey[-80:, -80:].mean()
        assert lamp > far_corner + 10, "the lamp must be top left in every frame that shows it"
    assert np.array_equal(made[2], original), "the frame at EV 0 is the photo itself"

    with zipfile.ZipFile(download(page, "Download All", tmp_path)) as gallery:
        assert sorted(gallery.namelist()) == sorted(FILES)
        with gallery.open("porch_ev+0.png") as file:
            assert np.array_equal(Image.open(file), original)

    bracket = download(page, "Save .zip", tmp_path)
    assert bracket.name == "porch_bracket.zip"
    with zipfile.ZipFile(bracket) as archive:
        assert sorted(archive.namelist()) == sorted(FILES)
        with archive.open("porch_ev-2.png") as file:
            assert Image.open(file).size == (320, 480)
    bright = download(page, "Save .jpg", tmp_path)
    assert bright.name == "porch_ultrahdr.jpg"
    assert imagecodecs.ultrahdr_decode(bright.read_bytes())[..., :3].max() > 1
    assert decoded_by_the_browser(page, bright) == [320, 480]
    for kind in ("exr", "hdr"):
        path = download(page, f"Save .{kind}", tmp_path)
        assert path.name == f"porch.{kind}"
        light = load_radiance(path)
        assert light.shape == (480, 320, 3)
        assert light.max() > 1, "what was clipped must have got more light than white"
    expect(page.locator("#ready a")).to_have_attribute("href", re.compile(r"/porch\.hdr$"))


def decoded_by_the_browser(page: Page, path: Path) -> list[int]:
    """Width and height of a picture file as Chromium decodes it."""
    return page.evaluate(
        """async (bytes) => {
            const picture = await createImageBitmap(new Blob([new Uint8Array(bytes)], { type: "image/jpeg" }));
            return [picture.width, picture.height];
        }""",
        list(path.read_bytes()),
    )


def canvas(page: Page, state: str) -> np.ndarray:
    """Pixels of the light view once it shows ``state``: EV, whether it is tone mapped, whether it is marked."""
    expect(page.locator("#light-canvas")).to_have_attribute("data-drawn", state)
    pixels = page.evaluate(
        """() => {
            const canvas = document.getElementById("light-canvas");
            const { width, height } = canvas;
            return [width, height, [...canvas.getContext("2d").getImageData(0, 0, width, height).data]];
        }"""
    )
    return np.array(pixels[2], np.uint8).reshape(pixels[1], pixels[0], 4)[..., :3]


def test_the_light_is_exposed_in_the_browser_with_the_keyboard_alone(page, photo, tmp_path):
    choose(page, photo)
    make(page)
    radiance = load_radiance(download(page, "Save .exr", tmp_path))
    first = canvas(page, "0 true false")
    assert np.abs(first.astype(int) - tone_map(radiance)).max() <= 2

    asked = []
    page.on("request", lambda request: asked.append(request.url))
    slider = page.get_by_role("slider", name="Exposure")
    slider.focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    darker = canvas(page, "-2 true false")
    assert np.abs(darker.astype(int) - tone_map(radiance, -2)).max() <= 2
    assert slider.get_attribute("aria-valuetext") == "EV −2"
    page.keyboard.press("Home")
    assert canvas(page, "-6 true false").mean() < darker.mean() < first.mean()
    page.keyboard.press("End")
    assert canvas(page, "6 true false").mean() > first.mean()
    page.get_by_role("button", name="Reset").press("Enter")
    assert np.array_equal(canvas(page, "0 true false"), first)

    page.get_by_role("switch", name="Fit all of the light").press("Space")
    clipped = canvas(page, "0 false false")
    plain = linear_to_srgb(torch.from_numpy(radiance)).numpy() * 255
    assert np.abs(clipped - plain).max() <= 2
    assert np.abs(clipped.astype(int) - load_photo(photo).pixels).mean() < 2, "clipped at EV 0 it is nearly the photo"

    page.get_by_role("switch", name="Mark invented light").press("Space")
    marked = (canvas(page, "0 false true") != clipped).any(-1)
    assert marked[60:100, 40:80].all(), "the middle of the lamp was clipped"
    assert not marked[-80:, -80:].any(), "the far corner was not"
    assert not asked, "moving the exposure must not ask the server for anything"


def test_the_numbers_are_of_this_photo(page, photo, tmp_path):
    choose(page, photo)
    make(page)
    numbers = page.locator("#numbers")
    before, after = (
        float(re.search(rf"{name}\s+([\d.]+) stops", numbers.inner_text())[1])
        for name in ("Range of the photo", "Range of the light")
    )
    assert before < after
    expect(page.get_by_role("img", name=re.compile("Histogram of light.*stops"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Tone curve of the camera"))).to_be_visible()

    dim = tmp_path / "dim.png"
    Image.fromarray((load_photo(photo).pixels * 0.7).astype(np.uint8)).save(dim)
    choose(page, dim)
    make(page)
    expect(numbers).to_contain_text("Notably invented\n0.00 %", use_inner_text=True)
    canvas(page, "0 true false")
    page.get_by_role("switch", name="Mark invented light").press("Space")
    plain = np.abs(
        canvas(page, "0 true true").astype(int) - tone_map(load_radiance(download(page, "Save .exr", tmp_path)))
    )
    assert plain.max() <= 2, "nothing is marked where nothing was invented"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_barrier(browser, address, photo, tmp_path, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(SLOW)
    page.goto(address)
    expect(page.get_by_role("button", name="Make five exposures")).to_be_visible()
    found = {"empty": barriers(page)}
    page.get_by_role("button", name="Advanced").click()
    choose(page, photo)
    make(page)
    canvas(page, "0 true false")
    download(page, "Save .jpg", tmp_path)
    found["results"] = barriers(page)
    page.locator("#exposures .thumbnail-lg").first.click()
    expect(page.locator("#exposures .preview")).to_be_visible()
    found["one exposure large"] = barriers(page)
    fake = tmp_path / "holiday.jpg"
    fake.write_text("Dear diary")
    page.reload()
    page.get_by_test_id("file-upload").set_input_files(fake)
    expect(page.get_by_role("alert").filter(has_text="can’t be used")).to_be_visible()
    found["refused"] = barriers(page)
    context.close()
    assert found == dict.fromkeys(found, [])


def barriers(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the first place of each."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{found['id']} ({len(found['nodes'])}): {found['nodes'][0]['html'][:200]}"
        for found in violations
        if found["impact"] in ("serious", "critical")
    ]


def test_the_model_and_the_step_can_be_switched(page, photo):
    choose(page, photo)
    first = make(page)
    page.get_by_role("radio", name=re.compile("^Bracket")).check()
    second = make(page)
    assert not np.array_equal(first[0], second[0])
    assert {frame.size for frame in second} == {(320, 480)}

    page.get_by_role("radio", name=re.compile("^Radiance")).check()
    page.get_by_role("radio", name="−2 … +2").check()
    make(page)
    captions = page.locator("#exposures .caption-label").all_inner_texts()
    assert [caption.split(" · ")[0] for caption in captions] == ["EV −2", "EV −1", "EV 0", "EV +1", "EV +2"]


def test_a_text_file_named_jpg_is_refused_in_words(page, photo, tmp_path):
    fake = tmp_path / "holiday.jpg"
    fake.write_text("Dear diary, today I went to the beach.\n" * 20)
    page.get_by_test_id("file-upload").set_input_files(fake)
    alert = page.get_by_role("alert").filter(has_text="can’t be used")
    expect(alert).to_be_visible()
    with pytest.raises(ValueError, match=r"\w") as sentence:
        load_photo(fake)
    expect(alert).to_contain_text(str(sentence.value))
    expect(page.locator("body")).not_to_contain_text("Traceback")

    page.get_by_role("button", name="Make five exposures").click()
    expect(page.get_by_text("Choose a photo first.")).to_be_visible()

    choose(page, photo)  # and the page still works
    expect(page.get_by_role("alert").filter(has_text="can’t be used")).to_have_count(0)
    assert len(make(page)) == 5


def test_a_picture_that_browsers_cannot_show_is_shown_and_used_in_full(page, tmp_path):
    path = tmp_path / "scan.tif"
    ramp = np.linspace(0, 255, 90 * 120 * 3).astype(np.uint8).reshape(90, 120, 3)
    Image.fromarray(ramp).save(path)
    choose(page, path)
    expect(page.locator("#note")).to_contain_text("120 × 90 pixels")
    page.wait_for_function("document.querySelector('#photo .image-frame img')?.naturalWidth === 120")
    made = make(page)
    assert np.array_equal(made[2], ramp)


def test_an_example_is_one_click(page):
    page.get_by_role("button", name="Floodlights").click()
    assert {frame.size for frame in frames(page)} == {(640, 427)}
    expect(page.locator("#results").get_by_role("status")).to_contain_text("640 × 427 pixels")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(browser, address, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(SLOW)
    page.goto(address)
    page.get_by_role("button", name="Floodlights").click()
    assert len(frames(page)) == 5
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    widths = page.locator("#exposures .grid-container img").evaluate_all("all => all.map(i => i.clientWidth)")
    assert min(widths) > 120, "an exposure must be large enough to be judged"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 380) == (scheme == "light")
    context.close()


def test_everything_has_a_name_and_the_keyboard_reaches_it(page):
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a[href], input:not([type=file])")]
            .filter(e => e.checkVisibility({ visibilityProperty: true }))
            .filter(e => !(e.ariaLabel || e.innerText?.trim() || e.title || e.labels?.length))
            .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert not nameless
    button = page.get_by_role("button", name="Backlight")
    reached = False
    for _ in range(40):
        page.keyboard.press("Tab")
        if button.evaluate("e => e === document.activeElement"):
            reached = True
            break
    assert reached
    page.keyboard.press("Enter")
    assert len(frames(page)) == 5
    page.locator("#exposures .thumbnail-lg").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#exposures .preview")).to_be_visible()
    # Gradio moves the keyboard's focus into the preview a moment after it shows it.
    page.wait_for_function("document.querySelector('#exposures .preview').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.locator("#exposures .preview")).to_have_count(0)
