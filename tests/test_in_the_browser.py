"""The page of docs/onnx.md: a photo's light in a browser that talks to nobody but a plain server of files."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import tarfile
import threading

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from hdrgan import Pipeline

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RUNTIME = "onnxruntime-web@1.30.0"
SLOW = 900_000  # milliseconds that a busy machine may take for one photo
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def site(root, tmp_path_factory, radiance_onnx):
    """A folder as the documentation says, served on this machine: its address."""
    assert RUNTIME in (root / "docs" / "onnx.md").read_text()
    home = tmp_path_factory.mktemp("web")
    # One file of npm's registry, compared by npm with the hash that the registry names; nothing of it is run by node.
    subprocess.run(["npm", "pack", "--silent", RUNTIME], cwd=home, check=True, timeout=600)
    (package,) = home.glob("*.tgz")
    with tarfile.open(package) as archive:
        archive.extractall(home, filter="data")
    web = home / "site"
    web.mkdir()
    shutil.move(home / "package" / "dist", web / "onnxruntime")
    shutil.copy(root / "docs" / "in_the_browser.html", web / "index.html")
    shutil.copy(radiance_onnx, web / "radiance.onnx")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=web))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_a_photo_becomes_light_in_the_browser(site, root, tmp_path):
    with Image.open(root / "examples" / "sunset.jpg") as whole:
        whole.resize((210, 150)).save(tmp_path / "sunset.png")
    expected = Pipeline.from_pretrained("radiance", device="cpu")(tmp_path / "sunset.png", response="camera")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    assert executable, "this test needs a browser: apt-get install chromium"
    strangers, errors = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(SLOW)
        page.on("request", lambda r: r.url.startswith((site, "data:", "blob:")) or strangers.append(r.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(site)
        page.set_input_files("#file", tmp_path / "sunset.png")
        expect(page.locator("body")).to_have_attribute("data-state", re.compile("done|failed"), timeout=SLOW)
        says = page.locator("#says").inner_text()
        assert page.locator("body").get_attribute("data-state") == "done", says
        light = np.array(page.evaluate("Array.from(lightOfPhoto().radiance)"), np.float32).reshape(150, 210, 3)
        drawn = {}
        for ev in (0, -2):
            page.locator("#ev").fill(str(ev))
            pixels = "Array.from(picture.getContext('2d').getImageData(0, 0, 210, 150).data)"
            rgba = page.evaluate(f"(() => {{ const picture = document.querySelector('canvas'); return {pixels}; }})()")
            drawn[ev] = np.array(rgba, np.uint8).reshape(150, 210, 4)
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        browser.close()
    assert not strangers
    assert not errors
    np.testing.assert_allclose(light, expected.radiance, rtol=3e-3, atol=1e-4)
    assert f"{np.log2(expected.radiance.max()):.1f} stops above white" in says
    for ev, rgba in drawn.items():
        frame = expected.exposures[expected.evs.index(ev)].astype(int)
        assert (rgba[..., 3] == 255).all()
        # At EV 0 the pipeline shows the photo itself, where it nearly clipped as well.
        same = frame < 240 if ev == 0 else np.ones(frame.shape, bool)
        assert np.abs(rgba[..., :3] - frame)[same].max() <= 2, ev
