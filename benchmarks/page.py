"""How fast the page is in a real browser: ``python -m benchmarks.page``, a minute on two quiet cores.

What it printed last is in ``benchmarks/page.txt``, where ``--write`` puts it.

It serves the page, lets Chromium drop photos on it, and prints for each when its first picture, its five exposures and
all of the result were there, counted from the end of the upload, and how many bytes came; beside it the floor: what
decoding the photo, running the network and encoding the previews takes in this process without any page.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"1 MP": (816, 1224), "12 MP": (2848, 4272), "24 MP": (4000, 6000)}
WATCH = """() => {
    const root = document.querySelector(".hg"), seen = (window.seen = {}), now = () => performance.now();
    const sent = window.fetch;
    window.fetch = async (...all) => {
        const answer = await sent(...all);
        if (String(all[0]).includes("gradio_api/upload")) seen.uploaded = now();
        return answer;
    };
    root.addEventListener("load", (event) => {
        const image = event.target, of = (name) => image.classList.contains(name);
        if (of("after")) seen.first ??= now();
        const strip = [...root.querySelectorAll(".strip img")];
        if (strip.includes(image) && strip.every((one) => one.complete)) seen.five = now();
    }, true);
    new MutationObserver(() => { if (root.dataset.state === "ready") seen.all ??= now(); })
        .observe(root, { attributes: true });
}"""


def photo(height: int, width: int) -> bytes:
    """A JPEG like a camera's: smooth shapes, grain, and a part that is blown out."""
    y, x = np.mgrid[:height, :width].astype(np.float32) / width
    light = 0.3 + 0.25 * np.sin(21 * x) * np.cos(17 * y) + 3 * np.exp(-((x - 0.3) ** 2 + (y - 0.2) ** 2) * 60)
    grain = np.random.default_rng(0).normal(0, 0.01, (height, width)).astype(np.float32)
    pixels = np.stack([light, light * 0.92, light * 0.8], -1) + grain[..., None]
    file = io.BytesIO()
    Image.fromarray((np.clip(pixels, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def floor(data: bytes, side: int) -> float:
    """Seconds that the work itself takes, without a page."""
    from hdrgan import Pipeline
    from hdrgan.page.preview import Previews, save_preview

    pipeline = Pipeline.from_pretrained("radiance", device="cpu")
    pipeline(data)  # the first run is slower
    started = time.perf_counter()
    previews = Previews(pipeline(data), side)
    with tempfile.TemporaryDirectory() as folder:
        for k, picture in enumerate([previews.photo, previews.finished(), *previews.exposures()]):
            save_preview(Path(folder) / f"{k}.jpg", picture)
    return time.perf_counter() - started


def visit(page: object, url: str, data: bytes) -> tuple[dict[str, float], int]:
    """Drop a photo on a fresh page: when what was there, in ms of the page's clock, and the bytes that came for it."""
    received = 0

    def count(response: object) -> None:
        nonlocal received
        if "gradio_api/file=" in response.url:  # type: ignore[attr-defined]
            received += int(response.headers.get("content-length", 0))  # type: ignore[attr-defined]

    page.on("response", count)  # type: ignore[attr-defined]
    page.goto(url)  # type: ignore[attr-defined]
    page.wait_for_selector("html[data-hdrgan=ready]")  # type: ignore[attr-defined]
    page.evaluate(WATCH)  # type: ignore[attr-defined]
    file = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": data}
    page.set_input_files(".hg .file", file)  # type: ignore[attr-defined]
    page.wait_for_function("window.seen.all && window.seen.five && window.seen.first", timeout=600_000)  # type: ignore[attr-defined]
    page.remove_listener("response", count)  # type: ignore[attr-defined]
    return page.evaluate("window.seen"), received  # type: ignore[attr-defined]


def main() -> None:
    """Measure and print a table."""
    from playwright.sync_api import sync_playwright

    from hdrgan.page.settings import Settings

    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--sizes", default=",".join(SIZES), help="which of " + ", ".join(SIZES))
    arguments.add_argument("--write", action="store_true", help="keep the table in benchmarks/page.txt")
    given = arguments.parse_args()
    chosen = [name.strip() for name in given.sizes.split(",")]
    load = os.getloadavg()[0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as temporary:
        environ = os.environ | {"TMPDIR": temporary, "GRADIO_SERVER_PORT": str(port), "HDRGAN_DEVICE": "cpu"}
        server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True)
        try:
            url = next(found[0] for line in server.stderr or () if (found := re.search(r"http://127\S+", line)))
            rows = []
            with sync_playwright() as playwright:
                executable = shutil.which("chromium") or shutil.which("chromium-browser")
                browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                page.set_default_timeout(600_000)
                visit(page, url, photo(*SIZES["1 MP"]))  # the first work of a server is slower
                for name in chosen:
                    data = photo(*SIZES[name])
                    seen, received = visit(page, url, data)
                    rows.append(
                        (name, *((seen[k] - seen["uploaded"]) / 1000 for k in ("first", "five", "all")), received)
                    )
                version = browser.version
                browser.close()
        finally:
            server.terminate()
            server.wait(60)
    floors = [floor(photo(*SIZES[name]), Settings().preview_pixels) for name in chosen]
    lines = [f"{'photo':>6}  first picture  five exposures  everything  received    floor"]
    for (name, first, five, everything, received), least in zip(rows, floors, strict=True):
        lines.append(
            f"{name:>6}  {first:11.2f} s  {five:12.2f} s  {everything:8.2f} s  {received / 1e6:5.2f} MB  {least:5.2f} s"
        )
    lines.append(f"Seconds after the upload, the server and Chromium {version} on {os.cpu_count()} cores together.")
    lines.append(f"Load of the machine before and after, of other work: {load:.1f}, {os.getloadavg()[0]:.1f}.")
    print("\n".join(lines))  # noqa: T201
    if given.write:
        (ROOT / "benchmarks/page.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
