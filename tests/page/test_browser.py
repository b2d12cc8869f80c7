"""The page as a visitor meets it: the real program, the real networks, a real browser; nothing waits for a time."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from gain_map_files import jpeg_with_iso, scene
from page_server import Program, free_port
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from hdrgan import Pipeline
from hdrgan.files.radiance import load_radiance

pytestmark = pytest.mark.browser

CAPTIONS = ["EV −4 16× less light", "EV −2 4× less light", "EV 0 the photo", "EV +2 4× more light"]
CAPTIONS += ["EV +4 16× more light"]
SLOW = 120_000  # milliseconds that a busy machine may take for one photo
expect.set_options(timeout=SLOW)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def program(root):
    """``python app.py`` in a process and a temporary folder of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as temporary:
        program = Program(root, Path(temporary), GRADIO_SERVER_PORT=str(port), HDRGAN_DECODE_SECONDS="120")
        try:
            assert len(os.listdir(temporary)) == 1, "temporary files must have a folder of their own"
            assert "HDRGAN_MAX_MEGABYTES=64" in "".join(program.said), "the limits in force must be printed"
            assert program.url == f"http://127.0.0.1:{port}/"
            yield program
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


@pytest.fixture
def visit(browser: Browser, program: Program):
    """Opens the page for a fresh visitor, who must be sent nowhere else and meet no error of the page's own making."""
    contexts, strangers, errors = [], [], []

    def open_page(viewport=DESK, scheme="light", script="", **options) -> Page:
        # Nothing moves, so that nothing has to be waited for.
        context = browser.new_context(
            viewport=viewport, color_scheme=scheme, reduced_motion="reduce", accept_downloads=True, **options
        )
        contexts.append(context)
        context.add_init_script(script)
        page = context.new_page()
        page.set_default_timeout(SLOW)
        own = (program.url, "data:", "blob:")
        page.on("request", lambda r: r.url.startswith(own) or strangers.append(r.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(program.url)
        page.locator("html[data-hdrgan=ready]").wait_for()  # what is drawn before its script runs takes no photo
        state(page, "empty")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not strangers
    assert not errors


def state(page: Page, name: str) -> None:
    try:
        expect(page.locator(".hg")).to_have_attribute("data-state", name)
    except AssertionError as error:
        error.add_note("the page says: " + (page.locator(".trouble").text_content() or "nothing"))
        raise


def drop(page: Page, *paths: Path) -> None:
    """Drop files onto the footer, as somebody does who misses the box."""
    page.evaluate(
        """files => {
            const moved = new DataTransfer();
            for (const [name, bytes] of files) moved.items.add(new File([new Uint8Array(bytes)], name));
            document.querySelector("#foot").dispatchEvent(
                new DragEvent("drop", { dataTransfer: moved, bubbles: true, cancelable: true }));
        }""",
        [[path.name, list(path.read_bytes())] for path in paths],
    )


def give(page: Page, path: Path) -> None:
    page.locator(".hg .file").set_input_files(path)
    state(page, "ready")


def download(page: Page, kind: str, folder: Path) -> Path:
    with page.expect_download() as caught:
        page.locator(f'[data-kind="{kind}"]').click()
    path = folder / caught.value.suggested_filename
    caught.value.save_as(path)
    return path


def delete_all(page: Page) -> None:
    """Delete the photo and its pictures from the server's disk, as the sweep does after the time they are kept."""
    shown = page.locator(".strip img").first.get_attribute("src")
    for file in Path(re.search(r"file=(/.+)/", shown)[1]).parent.rglob("*"):
        if file.is_file():
            file.unlink()


def wait_for_the_end(page: Page, program: Program, since: int) -> float:
    """Until the program has said, after so many lines, that cancelled work stopped; how many seconds it went on."""
    for _ in range(SLOW // 50):
        if stopped := re.search(r"work stopped (\d+\.\d+) s after nobody waited", "".join(program.said[since:])):
            return float(stopped[1])
        page.wait_for_timeout(50)
    pytest.fail("the work did not stop: " + "".join(program.said[since:]))


def barriers(page: Page) -> list[str]:
    """What axe-core calls moderate, serious or critical, with the first place of each."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{found['id']} ({len(found['nodes'])}): {found['nodes'][0]['html'][:200]}"
        for found in violations
        if found["impact"] in ("moderate", "serious", "critical")
    ]


FAINT = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = (colour) => parts(colour).slice(0, 3).map((c) => c / 255)
        .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
    const behind = (e) => {
        const colour = getComputedStyle(e).backgroundColor;
        return (parts(colour)[3] ?? 1) > 0.5 ? colour : behind(e.parentElement);
    };
    const texts = [...document.querySelectorAll(".tools span, .tools button:enabled, .tools .note")];
    return texts.filter((e) => e.offsetWidth)
        .map((e) => [e.textContent, light(getComputedStyle(e).color), light(behind(e))])
        .map(([text, a, b]) => [text, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)])
        .filter(([, contrast]) => contrast < 4.5);
}"""  # axe-core leaves out what lies below something transparent, as the names of the views do


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_dropped_photo_becomes_its_result_without_a_click(visit, photo, tmp_path, viewport, scheme):
    page = visit(viewport, scheme)
    found = {"empty": barriers(page)}
    assert page.locator(".saves button:enabled").count() == 0
    drop(page, photo)
    state(page, "ready")
    found["result"] = barriers(page)
    expect(page.locator(".strip button")).to_have_count(5)
    assert [" ".join(text.split()) for text in page.locator(".strip span").all_text_contents()] == CAPTIONS
    expect(page.locator(".after")).to_have_attribute("alt", "Finished")
    stage = page.locator(".stage").bounding_box()
    assert stage["y"] + stage["height"] < viewport["height"], "the result is on the first screen"
    strip = page.locator(".strip").bounding_box()
    assert strip["y"] < viewport["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert page.locator(".hg").bounding_box()["width"] <= 1240
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 380) == (scheme == "light")
    page.locator(".numbers-box summary").click()
    expect(page.locator(".numbers-here")).to_contain_text("From darkest to brightest")
    fake = tmp_path / "holiday.jpg"
    fake.write_text("Dear diary")
    drop(page, fake)
    state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("This photo can't be used")
    found["refused"] = barriers(page)
    assert not page.locator(".strip").is_visible(), "nothing of the photo before is left"
    assert page.locator(".saves button:enabled").count() == 0
    assert found == dict.fromkeys(found, [])


def tab_to(page: Page, selector: str, key: str = "Tab") -> None:
    """Press a key until what has the focus matches."""
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{key} leads to no {selector}")


def corner(page: Page) -> list[float]:
    """Where the left upper corner of the picture is on the screen, zoomed and panned as it is."""
    return page.locator(".layers").evaluate("e => { const b = e.getBoundingClientRect(); return [b.left, b.top]; }")


def never_answer(page: Page) -> None:
    """From now on no photo that is asked for reaches the server: the page goes on working at it."""
    page.evaluate("() => { document.getElementById('do-develop').click = () => {}; }")


def test_everything_is_done_by_keyboard_alone(visit, tmp_path):
    page = visit()
    press, says = page.keyboard.press, page.locator(".scale")
    tab_to(page, ".examples button")
    press("Enter")
    state(page, "ready")
    divider, view = page.get_by_role("slider", name="Compare with the photo"), page.locator(".view")

    tab_to(page, ".divider")
    cuts = []
    for key, share in (("Home", "0"), ("ArrowRight", "5"), ("End", "100"), ("PageDown", "80")):
        press(key)
        expect(divider).to_have_attribute("aria-valuenow", share)
        cuts.append(divider.evaluate("e => parseFloat(e.style.left)"))
    assert cuts[0] < cuts[1] < cuts[3] < cuts[2]

    tab_to(page, ".view", "Shift+Tab")
    assert view.evaluate("e => getComputedStyle(e, '::after').borderTopWidth") == "3px", "the focus is seen"
    expect(page.get_by_role("group", name="Picture: the keys + and − zoom")).to_be_visible()
    press("+")
    press("+")
    expect(says).to_have_text(re.compile(r"\d+ %"))
    expect(page.get_by_role("group", name=re.compile(r"Picture at \d+ %: arrow keys pan"))).to_be_visible()
    start = corner(page)
    for key, axis, sign in (("ArrowRight", 0, -1), ("ArrowDown", 1, -1), ("ArrowLeft", 0, 1), ("ArrowUp", 1, 1)):
        old = corner(page)
        press(key)
        new = corner(page)
        assert (new[axis] - old[axis]) * sign > 20, f"{key} shows what lies there"
        assert new[1 - axis] == pytest.approx(old[1 - axis], abs=0.5)
    assert corner(page) == pytest.approx(start, abs=0.5)
    for _ in range(40):
        press("ArrowRight")
    box, layers = view.bounding_box(), page.locator(".layers").bounding_box()
    assert layers["x"] + layers["width"] == pytest.approx(box["x"] + box["width"], abs=1), "not beyond the edge"
    expect(divider).to_have_attribute("aria-valuenow", "80")
    larger = int(says.text_content().removesuffix(" %"))
    press("-")
    assert int(says.text_content().removesuffix(" %")) < larger
    tab_to(page, ".divider")
    old = corner(page)
    press("ArrowLeft")
    expect(divider).to_have_attribute("aria-valuenow", "75")
    assert corner(page) == old, "the divider keeps its arrows"
    press("0")
    expect(says).to_have_text("Fit")

    tab_to(page, ".views input")
    for name in ("HDR", "Invented"):
        press("ArrowRight")
        expect(page.locator(".after")).to_have_attribute("alt", name)
    assert page.locator(".marks").is_visible()
    tab_to(page, ".zoom .full")
    press("Enter")
    leave = page.get_by_role("button", name="Leave full screen")
    expect(leave).to_be_visible()
    box = leave.bounding_box()
    assert 0 <= box["y"] <= 900 - box["height"], "the way out is on the screen"
    press("Enter")
    expect(page.get_by_role("button", name="Full screen", exact=True)).to_be_visible()
    tab_to(page, ".strip button")
    press("Enter")
    expect(page.locator(".strip button").first).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".after")).to_have_attribute("alt", re.compile("EV −4"))
    assert not page.locator(".marks").is_visible()

    tab_to(page, "select.evs")
    press("ArrowDown")
    expect(page.locator(".strip button").first).to_contain_text("EV −2")
    state(page, "ready")
    tab_to(page, '[data-kind="finished"]')
    with page.expect_download() as caught:
        press("Enter")
    caught.value.save_as(tmp_path / "saved.jpg")
    assert Image.open(tmp_path / "saved.jpg").format == "JPEG"

    never_answer(page)
    tab_to(page, "select.evs", "Shift+Tab")
    press("ArrowDown")
    state(page, "working")
    tab_to(page, ".cancel", "Shift+Tab")
    press("Enter")
    state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("Cancelled")
    tab_to(page, ".zoom .fresh")
    press("Enter")
    state(page, "empty")
    assert page.evaluate("document.activeElement.matches('.choose')")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_slider_zoom_views_and_what_is_old_in_every_size_and_scheme(visit, photo, viewport, scheme):
    page = visit(viewport, scheme)
    give(page, photo)
    view, divider = page.locator(".view").bounding_box(), page.get_by_role("slider")
    middle = view["x"] + view["width"] / 2, view["y"] + view["height"] / 2
    left, _, width = *corner(page), page.locator(".layers").bounding_box()["width"]
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(left + 0.3 * width, middle[1])
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "30")
    line = divider.bounding_box()
    assert line["x"] + line["width"] / 2 == pytest.approx(left + 0.3 * width, abs=1)
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".scale")).not_to_have_text("Fit")
    assert page.locator(".layers").bounding_box()["width"] > 1.1 * width
    page.locator(".scale").click()
    assert page.locator(".layers").bounding_box()["width"] == pytest.approx(width, abs=1)

    found = {}
    for value, name in (("hdr", "HDR"), ("marks", "Invented")):
        page.locator(".views label", has_text=name).click()
        expect(page.locator(".after")).to_have_attribute("alt", name)
        expect(page.locator(".tag.right")).to_have_text(name)
        assert page.locator(f'input[value="{value}"]').is_checked()
        found[name] = barriers(page) + page.evaluate(FAINT)
    assert page.locator(".marks").is_visible()
    page.get_by_role("button", name="Full screen", exact=True).click()
    expect(page.locator(".hg.filling")).to_be_visible()
    found["full screen"] = barriers(page) + page.evaluate(FAINT)
    page.get_by_role("button", name="Leave full screen").click()
    expect(page.locator(".hg.filling")).to_have_count(0)
    never_answer(page)
    page.locator("select.evs").select_option("-2,-1,0,1,2")
    state(page, "working")
    found["working"] = barriers(page)
    for part in (".after", ".strip img >> nth=0"):
        assert page.locator(part).evaluate("e => getComputedStyle(e).opacity") == "0.45", f"{part} is old"
    assert page.locator(".saves button:enabled").count() == 0
    page.get_by_role("button", name="Cancel").click()
    state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("What is shown is from before.")
    found["cancelled"] = barriers(page)
    assert page.locator(".saves button:enabled").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert found == dict.fromkeys(found, [])


def test_the_hdr_view_has_a_gain_map_and_says_whether_this_screen_shows_it(visit, photo):
    script = """
        const match = window.matchMedia.bind(window);
        window.bright = false;
        window.matchMedia = asked => asked.includes("dynamic-range") ? { matches: window.bright } : match(asked);
    """
    page = visit(script=script)
    give(page, photo)
    for bright, says in ((False, "can’t show brighter than white"), (True, "This screen shows HDR: the lights are")):
        page.evaluate("bright => { window.bright = bright; }", bright)
        page.locator('input[value="finished"]').check()
        page.locator('input[value="hdr"]').check()
        expect(page.locator(".note")).to_contain_text(says)
    file = page.request.get(page.locator(".after").evaluate("e => e.src")).body()
    assert b"hdrgm" in file or b"urn:iso:std:iso:ts:21496" in file


def test_a_wide_screen_is_used_but_not_to_its_edges(visit):
    page = visit({"width": 1920, "height": 1080})
    for part in (".hg", ".stage", "#foot"):
        assert 1200 <= page.locator(part).bounding_box()["width"] <= 1240
    box = page.locator(".hg").bounding_box()
    assert box["x"] + box["width"] / 2 == pytest.approx(960, abs=10), "in the middle"


def test_a_photo_is_pasted(visit, photo):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    pixels = io.BytesIO()
    Image.open(photo).save(pixels, "PNG")
    page.evaluate(
        """bytes => navigator.clipboard.write([
            new ClipboardItem({ "image/png": new Blob([new Uint8Array(bytes)], { type: "image/png" }) })])""",
        list(pixels.getvalue()),
    )
    page.keyboard.press("Control+V")
    state(page, "ready")
    expect(page.locator(".facts")).to_contain_text("480 × 320 pixels")


def test_full_screen_can_be_left_where_no_element_can_fill_the_screen(visit, photo):
    page = visit(PHONE, script="delete Element.prototype.requestFullscreen;", has_touch=True, is_mobile=True)
    give(page, photo)
    for leave in (
        lambda: page.get_by_role("button", name="Leave full screen").tap(),
        lambda: page.keyboard.press("Escape"),
    ):
        page.get_by_role("button", name="Full screen", exact=True).tap()
        box, stage = page.locator(".zoom .full").bounding_box(), page.locator(".stage").bounding_box()
        assert stage["width"] == 390
        assert 0 <= box["x"] <= 390 - box["width"]
        assert 0 <= box["y"] <= 844 - box["height"], "the way out is on the screen"
        leave()
        expect(page.locator(".hg.filling")).to_have_count(0)
        expect(page.locator(".strip")).to_be_visible()


def test_zoom_goes_to_the_pixels_and_pans_within_the_picture(visit, photo):
    page = visit()
    give(page, photo)
    larger = page.get_by_role("button", name="Zoom in")
    for _ in range(20):
        if larger.is_disabled():
            break
        larger.click()
    scale = page.locator(".scale")
    assert int(scale.text_content().removesuffix(" %")) >= 100
    before = corner(page)
    box = page.locator(".view").bounding_box()
    x, y = box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.3
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 5, y + 40)
    page.mouse.up()
    after = corner(page)
    assert after[1] - before[1] == pytest.approx(40, abs=1)
    scale.click()
    expect(scale).to_have_text("Fit")


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A photo of 3000 x 2000 pixels whose finest lines no preview holds."""
    y, x = np.mgrid[0:2000, 0:3000]
    lines = np.where((x % 2 == 0) & (y > 400), 60, 190).astype(np.uint8)
    lines[200:400, 1400:1600] = 255
    path = tmp_path_factory.mktemp("large") / "lines.png"
    Image.fromarray(np.repeat(lines[..., None], 3, 2)).save(path)
    return path


def test_zoom_shows_the_photos_own_pixels_in_every_view(visit, large):
    page = visit()
    give(page, large)
    assert page.locator(".before").evaluate("e => e.naturalWidth") == 1600
    scale, larger = page.locator(".scale"), page.get_by_role("button", name="Zoom in")
    while scale.text_content() != "100 %":
        larger.click()
    sharp = page.locator(".sharp.result")
    lines = """e => {
        const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
        [canvas.width, canvas.height] = [8, 1];
        context.drawImage(e, -Math.round(e.naturalWidth / 2), -Math.round(0.9 * e.naturalHeight));
        return [...context.getImageData(0, 0, 8, 1).data].filter((value, k) => k % 4 === 0);
    }"""
    addresses = []
    for choose in (None, ".strip button >> nth=2", '.views input[value="hdr"]', '.views input[value="marks"]'):
        if choose:
            page.locator(choose).dispatch_event("click")
        page.wait_for_function(
            "seen => { const e = document.querySelector('.sharp.result');"
            "return !e.hidden && e.complete && e.naturalWidth && !seen.includes(e.src); }",
            arg=addresses,
        )
        addresses.append(sharp.evaluate("e => e.src"))
        values = sharp.evaluate(lines)
        assert max(values) - min(values) > 60, "every second column is dark"
    # One pixel of the part is one of the screen, and it lies where the preview has it.
    assert sharp.evaluate("e => e.getBoundingClientRect().width / e.naturalWidth") == pytest.approx(1, abs=0.01)
    page.get_by_role("button", name="Zoom out").click()
    scale.click()
    expect(scale).to_have_text("Fit")
    expect(sharp).to_be_hidden()


def test_several_photos_come_back_as_one_archive(visit, photo, tmp_path):
    page = visit(scheme="dark")
    other, fake = tmp_path / "porch.png", tmp_path / "diary.jpg"
    Image.open(photo).save(other)
    fake.write_text("Dear diary")
    with page.expect_download() as caught:
        drop(page, photo, fake, other)
    assert caught.value.suggested_filename == "hdrgan_photos.zip"
    caught.value.save_as(tmp_path / "photos.zip")
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        names = archive.namelist()
    assert sum(name.startswith("porch_ev") for name in names) == 5
    assert {"porch_finished.jpg", "porch_2_finished.jpg", "failed.txt"} < set(names)
    state(page, "empty")
    expect(page.locator(".packed")).to_contain_text("2 photos are in hdrgan_photos.zip")
    expect(page.locator(".packed")).to_contain_text("Not in it: diary.jpg")
    assert barriers(page) == []
    with page.expect_download():
        page.get_by_role("link", name="Save it again").click()
    give(page, photo)
    assert not page.locator(".packed").is_visible()


@pytest.mark.parametrize("silent", [{}, {"title": "", "says": ""}, {"title": None, "says": None}])
def test_no_failure_is_shown_without_a_sentence(visit, photo, silent):
    page = visit()
    page.evaluate(
        "() => { window.hdrganCalls.develop.push = (asked) => { window.ticket = JSON.parse(asked).ticket; }; }"
    )
    page.locator(".hg .file").set_input_files(photo)
    page.wait_for_function("window.ticket")
    page.evaluate(
        """news => {
            const carrier = document.createElement("i");
            carrier.dataset.news = JSON.stringify({ ticket: window.ticket, state: "failed", ...news });
            document.getElementById("news").replaceChildren(carrier);
        }""",
        silent,
    )
    state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("That did not work. No reason was given. Please try again.")


def test_a_server_that_says_nothing_is_not_waited_for_forever(visit, photo):
    page = visit()
    page.clock.install()
    page.evaluate("() => { window.hdrganCalls.develop.push = () => { window.lost = true; }; }")
    page.locator(".hg .file").set_input_files(photo)
    page.wait_for_function("window.lost")
    state(page, "working")
    page.clock.fast_forward("01:01")
    state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("No answer. The server has said nothing for a minute.")


def test_pictures_that_the_server_deleted_are_made_again(visit, photo):
    page = visit()
    give(page, photo)
    delete_all(page)
    page.locator('input[value="hdr"]').check()
    state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("These pictures are gone.")
    page.get_by_role("button", name="Try again").click()
    state(page, "ready")
    assert page.locator(".strip img").count() == 5


def test_a_photo_that_the_server_deleted_is_sent_again(visit, photo):
    page = visit()
    give(page, photo)
    delete_all(page)
    page.locator("select.evs").select_option("-2,-1,0,1,2")
    state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("Your photo was deleted meanwhile.")
    page.get_by_role("button", name="Try again").click()
    state(page, "ready")
    expect(page.locator(".strip button").first).to_contain_text("EV −2")


def test_several_photos_are_cancelled(visit, program, tmp_path):
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    noise = np.random.default_rng(1).integers(0, 256, (1000, 1500, 3), np.uint8)
    for path in paths:
        Image.fromarray(noise).save(path)
    page = visit()
    page.locator("select.model").evaluate("e => { e.value = 'ein'; }")
    log = len(program.said)
    page.locator(".hg .file").set_input_files(paths)
    expect(page.locator(".says")).to_contain_text("Photo 1 of 3")
    page.get_by_role("button", name="Cancel").click()
    state(page, "failed")
    wait_for_the_end(page, program, log)
    assert "ein: 1500" not in "".join(program.said[log:])


def test_what_the_page_prints_for_programs_runs_as_printed(visit, photo, tmp_path):
    page = visit()
    page.get_by_role("button", name="Use via API").click()
    page.get_by_role("dialog").or_(page.locator(".api-docs")).first.wait_for()
    page.get_by_text("Python", exact=True).first.click()
    printed = page.locator("code").filter(has_text="client.predict").filter(visible=True)
    expect(printed.first).to_contain_text("handle_file('photo.jpg')")
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    snippets = set(printed.all_inner_texts())
    assert len(snippets) == 2
    for snippet in snippets:
        command = [sys.executable, "-c", snippet.strip()]
        answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SLOW / 1000)
        assert answer.returncode == 0, answer.stderr
        assert "photo_ev" in answer.stdout or "photo.exr" in answer.stdout


def test_nothing_stray_is_left_of_gradios_own_footer(visit):
    for viewport in (DESK, PHONE):
        page = visit(viewport)
        assert page.locator("footer").inner_text().strip(" \n\t") in ("", "Use via API or MCP")


def test_a_touch_moves_the_divider_and_targets_are_large(visit, photo):
    page = visit(PHONE, has_touch=True, is_mobile=True)
    assert page.locator(".take").is_visible()
    assert not page.locator(".invite").is_visible(), "nobody drops a photo there"
    give(page, photo)
    box = page.locator(".view").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] * 0.6, box["y"] + 100)
    assert int(page.get_by_role("slider").get_attribute("aria-valuenow")) > 55
    targets = page.locator(".hg button:visible, .hg select:visible")
    assert min(targets.evaluate_all("all => all.flatMap(e => [e.offsetWidth, e.offsetHeight])")) >= 44


def test_fingers_drag_the_divider_and_pinch_to_the_pixels(visit, photo):
    page = visit(PHONE, has_touch=True, is_mobile=True)
    give(page, photo)
    box, touch = page.locator(".view").bounding_box(), page.context.new_cdp_session(page)

    def fingers(kind: str, *across: float, down: float = 0.5) -> None:
        points = [
            {"id": k, "x": box["x"] + box["width"] * at, "y": box["y"] + box["height"] * down}
            for k, at in enumerate(across)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    divider, scale = page.get_by_role("slider"), page.locator(".scale")
    fingers("touchStart", 0.3)
    for at in (0.4, 0.55, 0.7):
        fingers("touchMove", at)
    fingers("touchEnd")
    expect(divider).to_have_attribute("aria-valuenow", re.compile(r"^(69|70|71)$"))
    expect(scale).to_have_text("Fit")
    fingers("touchStart", 0.45, 0.55)
    for half in (0.1, 0.2, 0.3):
        fingers("touchMove", 0.5 - half, 0.5 + half)
    fingers("touchEnd")
    expect(scale).not_to_have_text("Fit")
    expect(divider).to_have_attribute("aria-valuenow", re.compile(r"^(69|70|71)$"))
    before = corner(page)
    fingers("touchStart", 0.5)
    for at in (0.52, 0.55):
        fingers("touchMove", 0.5, down=at)
    fingers("touchEnd")
    expect(scale).not_to_have_text("Fit")
    assert corner(page)[1] - before[1] == pytest.approx(0.05 * box["height"], abs=2)


def test_a_changed_setting_runs_again_and_what_is_old_cannot_be_saved(visit, photo):
    page = visit()
    give(page, photo)
    page.evaluate(
        """() => {
            window.seen = [];
            const root = document.querySelector(".hg");
            new MutationObserver(() => window.seen.push([root.dataset.state, root.classList.contains("stale"),
                document.querySelectorAll(".saves button:enabled").length])).observe(root, { attributes: true });
        }"""
    )
    page.locator("select.evs").select_option("-2,-1,0,1,2")
    expect(page.locator(".strip button").first).to_contain_text("EV −2")
    state(page, "ready")
    seen = page.evaluate("window.seen")
    assert ["working", True, 0] in seen
    assert page.locator(".saves button:enabled").count() >= 5
    assert not page.locator(".hg.stale").count()
    page.get_by_role("button", name="New photo").click()
    state(page, "empty")
    assert page.locator(".saves button:enabled").count() == 0
    assert not page.locator(".strip img").count()


def test_a_calibration_stays_in_the_browser_and_is_used(visit, photo, tmp_path):
    facts = {"format": 1, "kind": "hdrgan camera calibration", "make": "Acme", "model": "One", "style": "vivid"}
    own = tmp_path / "acme.json"
    own.write_text(json.dumps(facts | {"response": [(code / 255) ** 3 for code in range(256)]}))
    page = visit()
    give(page, photo)
    page.locator("select.response").select_option("own")
    page.get_by_role("button", name="Choose a calibration").wait_for()
    page.locator(".hg .calibration").set_input_files(photo)
    expect(page.locator(".own")).to_contain_text("no camera calibration")
    page.locator(".hg .calibration").set_input_files(own)
    expect(page.locator(".numbers-here")).to_contain_text("calibration of Acme One")
    state(page, "ready")
    page.reload()
    page.locator("html[data-hdrgan=ready]").wait_for()
    give(page, photo)
    assert "calibration of Acme" not in page.locator(".numbers-here").inner_text()
    page.locator("select.response").select_option(label="a photo from my Acme One vivid")
    expect(page.locator(".numbers-here")).to_contain_text("calibration of Acme One")


def alike(one: Path, other: Path) -> bool:
    """Whether two files hold the same picture; the server's threads may round a last bit the other way."""
    if one.suffix in (".exr", ".hdr"):
        return np.allclose(load_radiance(one), load_radiance(other), rtol=0.02, atol=1e-3)
    first, second = (np.asarray(Image.open(path), np.int16) for path in (one, other))
    return first.shape == second.shape and np.abs(first - second).mean() < 0.05


def test_downloads_are_the_files_that_the_library_writes(visit, photo, tmp_path):
    page = visit()
    give(page, photo)
    page.locator(".strip button").first.click()
    served, own = tmp_path / "served", tmp_path / "own"
    served.mkdir()
    result = Pipeline.from_pretrained("radiance", device="cpu")(photo)
    written = [
        *result.save_hdr(own, ("finished",)),
        result.save_frame(own, 0),
        *result.save_hdr(own, ("exr", "hdr", "ultrahdr")),
    ]
    for kind, path in zip(("finished", "frame", "exr", "hdr", "ultrahdr"), written, strict=True):
        file = download(page, kind, served)
        assert file.name == path.name
        assert alike(file, path), kind
    page.get_by_label("Format of the exposures").select_option("jpg")
    with zipfile.ZipFile(download(page, "zip", served)) as archive:
        for path in result.save(own, format="jpg", hdr=()):
            (served / path.name).write_bytes(archive.read(path.name))
            assert alike(served / path.name, path)


def test_a_running_ein_is_cancelled_and_its_work_stops(visit, program, tmp_path):
    path = tmp_path / "large.jpg"
    ramp = np.linspace(0, 255, 4000, dtype=np.uint8)
    Image.fromarray(np.broadcast_to(ramp[:, None], (3000, 4000, 3))).save(path)
    page, other = visit(), visit()
    give(page, path)
    page.get_by_label("Method").select_option("ein")
    expect(page.locator(".says")).to_contain_text("s left")

    # Somebody else's photo waits for it, and is taken back.
    other.locator("select.model").evaluate("e => { e.value = 'ein'; }")
    other.locator(".hg .file").set_input_files(path)
    expect(other.locator(".says")).to_have_text("Waiting: one photo is before yours")
    other.get_by_role("button", name="Cancel").click()
    state(other, "failed")

    log = len(program.said)
    page.get_by_role("button", name="Cancel").click()
    state(page, "failed")
    expect(page.get_by_role("alert")).to_contain_text("Cancelled")
    page.get_by_label("Method").select_option("radiance")  # its turn comes at once
    state(page, "ready")
    seconds = wait_for_the_end(page, program, log)
    # As the server counts them; other processes that wait for the same cores make it slower by as many.
    assert seconds <= 2 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert "ein: 4000" not in "".join(program.said[log:]), "it was not worked on to its end"


def test_a_heic_is_taken_whatever_its_suffix(visit, photo, tmp_path):
    import pillow_heif

    path = tmp_path / "IMG_0001.HEIC"
    pillow_heif.from_pillow(Image.open(photo)).save(path)
    page = visit()
    give(page, path)
    expect(page.locator(".facts")).to_contain_text("IMG_0001.HEIC")
    assert page.locator(".before").evaluate("e => e.complete && e.naturalWidth > 0")


def test_light_that_a_photo_records_is_named(visit, tmp_path):
    path = tmp_path / "lamps.jpg"
    path.write_bytes(jpeg_with_iso(scene()))
    page = visit()
    give(page, path)
    says = "ight recorded by the camera: 3.3 stops above white"
    expect(page.locator(".facts")).to_contain_text(f"l{says}")
    expect(page.locator(".note")).to_have_text(f"L{says}. Nothing was invented.")
    expect(page.locator("#foot").get_by_role("link", name="What is read")).to_be_visible()
