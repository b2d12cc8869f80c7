"""Light for a browser: radiance packed small enough to send once, and the script that exposes it there at any EV.

The page asks the server for nothing while its visitor moves the exposure: all that a slider changes is a table of some
thousand numbers, through which the packed codes are looked up. `pack_light` and `unpack` in the script are each
other's inverse; `tone_map` in Python and `shown` in the script draw the same picture.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np

from hdrgan.light.tonemap import KNEE, PALING, shoulder, white_point

MAX_SIDE = 1024
"""Longest side of the picture in the browser, in pixels."""

STEPS = 160
"""Codes per stop: 0.4 %, finer than what an 8-bit screen shows."""

DARKEST = -14
"""Stops below white under which light is black."""

BRIGHTEST = 16
"""Stops above white at which it ends."""


def pack_light(radiance: np.ndarray, invented: np.ndarray) -> bytes:
    """Pack light for the script.

    Each channel is coded as round(`STEPS` * (log2(light) - `DARKEST`)), 0 for black; a row keeps differences from left
    to right. Width and height come first as two 16-bit numbers, then the softness and the slope of the tone curve's
    shoulder as 32-bit floats; then, deflated together, the planes of red, green and blue, each as all high bytes and
    all low bytes, and the invented share as bytes.

    Args:
        radiance: (H, W, 3) linear, >= 0, 1.0 = the photo's white.
        invented: (H, W) in [0, 1].

    Raises:
        ValueError: a side is above `MAX_SIDE`, or the two have different sizes.
    """
    height, width = radiance.shape[:2]
    if max(height, width) > MAX_SIDE or invented.shape != (height, width):
        raise ValueError(f"light of at most {MAX_SIDE} pixels a side, got {radiance.shape} and {invented.shape}")
    stops = np.log2(np.clip(radiance.astype(np.float32), 2.0**DARKEST, 2.0**BRIGHTEST))
    codes = np.round((stops - DARKEST) * STEPS).astype(np.uint16)
    planes = np.ascontiguousarray(codes.transpose(2, 0, 1))  # (3, H, W)
    planes[..., 1:] -= planes[..., :-1].copy()  # modulo 2^16
    share = np.round(np.clip(invented, 0, 1) * 255).astype(np.uint8)
    halves = np.stack([planes >> 8, planes & 255], 1).astype(np.uint8)  # (3, 2, H, W)
    head = struct.pack("<HHff", width, height, *shoulder(white_point(radiance)))
    return head + zlib.compress(halves.tobytes() + share.tobytes(), 6)


def script(notable: float) -> str:
    """The script of the viewer, to be run with ``element`` as the viewer's place in the page.

    Args:
        notable: invented share from which the overlay marks a pixel.
    """
    numbers = {
        "steps": STEPS,
        "darkest": DARKEST,
        "brightest": BRIGHTEST,
        "knee": KNEE,
        "paling": PALING,
        "notable": notable * 255,
    }
    return _SCRIPT.replace("NUMBERS", json.dumps(numbers))


MARKUP = """
<div class="light-stage"><canvas id="light-canvas" role="img" aria-label="The light of the photo"></canvas></div>
<div class="light-controls">
  <div class="light-exposure">
    <label for="light-ev">Exposure</label>
    <input id="light-ev" type="range" min="-6" max="6" step="0.25" value="0" list="light-marks">
    <datalist id="light-marks"><option value="-6"></option><option value="-4"></option><option value="-2"></option>
      <option value="0"></option><option value="2"></option><option value="4"></option><option value="6"></option>
    </datalist>
    <span id="light-says" aria-hidden="true">EV 0</span>
    <button id="light-reset" type="button">Reset</button>
  </div>
  <label class="light-switch"><input id="light-map" type="checkbox" role="switch" checked>
    Fit all of the light on the screen (tone map)</label>
  <label class="light-switch"><input id="light-invented" type="checkbox" role="switch">
    Mark invented light <i class="light-key" aria-hidden="true"></i></label>
</div>
<p class="light-trouble" role="alert" hidden></p>
"""

SHOW = Path(__file__).with_name("show.js").read_text(encoding="utf-8")
"""What is done with the packed light once it is there: a function of Gradio's file."""

_SCRIPT = Path(__file__).with_name("viewer.js").read_text(encoding="utf-8")
