"""What a result measures, in words, a table and drawings: small SVG pictures in the colours of the page."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from hdrgan.light.parallel import each
from hdrgan.light.radiometry import srgb_curve
from hdrgan.light.rendering import strips
from hdrgan.light.srgb import LUMINANCE_WEIGHTS, largest_channel
from hdrgan.result import Result

STOPS = (-12, 8)
"""Range of the histogram, in stops relative to the photo's white."""

PER_STOP = 4
"""Bars of the histogram per stop."""

SAMPLES = 1_000_000
"""Pixels of a histogram at most; of a larger photo every second, third … row and column. What is the most of
anything, or a share that may be tiny, is taken from all pixels: a small sun is not missed."""

EDGE = 0.001
"""Share of the pixels left out at either end when a range is measured: one hot pixel is no dynamic range."""

WIDTH, HEIGHT = 600, 260
LEFT, TOP, BOTTOM = 8, 26, 54

NOTABLE = 0.1
"""Share of a pixel's light above which the page counts it as invented."""


@dataclass(frozen=True)
class Numbers:
    """Measurements of a result.

    Attributes:
        photo_stops: log2 of the brightest over the darkest luminance that the photo recorded, `EDGE` of the pixels left
            out at either end and black ones not counted.
        light_stops: the same of the radiance.
        peak: brightest luminance, 1.0 = the photo's white.
        clipped: share of the pixels with a channel at the photo's end of scale.
        invented: share of the pixels whose light is clearly invented.
        photo: share of the pixels per bar of the histogram, from `STOPS`[0] to `STOPS`[1]; the ends take what is
            beyond them, black included.
        light: the same of the radiance.
    """

    photo_stops: float
    light_stops: float
    peak: float
    clipped: float
    invented: float
    photo: np.ndarray
    light: np.ndarray


def measure(pixels: np.ndarray, radiance: np.ndarray, invented: np.ndarray, response: np.ndarray) -> Numbers:
    """Measure a result.

    Args:
        pixels: (H, W, 3) uint8 or uint16, the photo.
        radiance: (H, W, 3) linear, 1.0 = the photo's white.
        invented: (H, W) in [0, 1].
        response: (256,) linear light of each 8-bit code.
    """
    every = max(1, int(np.ceil((invented.size / SAMPLES) ** 0.5)))
    sampled = (slice(None, None, every), slice(None, None, every))
    peak = np.iinfo(pixels.dtype).max
    codes = pixels[sampled]
    recorded = _luminance(np.interp(codes.astype(np.float32) * (255 / peak), np.arange(len(response)), response))
    light = _luminance(radiance[sampled])
    return Numbers(
        _span(recorded),
        _span(light),
        max(each(lambda rows: float(_luminance(radiance[rows]).max()), strips(*invented.shape))),
        sum(each(lambda rows: np.count_nonzero(largest_channel(pixels[rows]) == peak), strips(*invented.shape)))
        / invented.size,
        float((invented > NOTABLE).mean()),
        _shares(recorded),
        _shares(light),
    )


def draw_histogram(numbers: Numbers) -> str:
    """The photo's light and the result's, over stops: SVG."""
    lowest, highest = STOPS
    highest_share = max(numbers.photo[1:].max(), numbers.light[1:].max(), 1e-6)
    across, up = (WIDTH - 2 * LEFT) / len(numbers.photo), HEIGHT - TOP - BOTTOM

    def outline(shares: np.ndarray) -> str:
        # The square root keeps a lamp visible beside a wall; black is no light and has no height that means anything.
        heights = np.sqrt(np.minimum(shares / highest_share, 1))
        ground = HEIGHT - BOTTOM
        bars = "".join(f"V{ground - up * h:.1f}H{LEFT + across * (k + 1):.1f}" for k, h in enumerate(heights))
        return f"M{LEFT} {ground}{bars}V{ground}Z"

    def place(stop: float) -> float:
        return LEFT + (WIDTH - 2 * LEFT) * (stop - lowest) / (highest - lowest)

    white = place(0)
    return _svg(
        "Histogram of light",
        f"Share of the pixels over stops relative to the photo's white, in {len(numbers.photo)} bars. The photo spans "
        f"{numbers.photo_stops:.1f} stops and ends at white; the result spans {numbers.light_stops:.1f} stops.",
        f'<line class="white" x1="{white:.1f}" x2="{white:.1f}" y1="4" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{white + 5:.1f}" y="{TOP - 6}">the photo’s white</text>'
        f'<path class="photo" d="{outline(numbers.photo)}"/><path class="light" d="{outline(numbers.light)}"/>'
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - LEFT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>',
        [(place(stop), "middle", _signed(stop)) for stop in range(lowest + 2, highest, 2)],
        "stops of light",
    )


def draw_response(response: np.ndarray) -> str:
    """The response curve, linear light over code, beside sRGB: SVG.

    Args:
        response: (256,) linear light of each 8-bit code, 0 to 1.
    """
    across, up = WIDTH - 2 * LEFT, HEIGHT - TOP - BOTTOM

    def line(curve: np.ndarray) -> str:
        codes = np.linspace(0, 1, len(curve))[::5]
        return " ".join(
            f"{LEFT + across * c:.1f},{HEIGHT - BOTTOM - up * level:.1f}"
            for c, level in zip(codes, curve[::5], strict=True)
        )

    plain = srgb_curve().numpy()
    middle = len(response) // 2
    words = f"At half of the scale the light is {response[middle]:.3f} of white; with sRGB it is {plain[128]:.3f}."
    marks = ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1, "end"))
    return _svg(
        "Tone curve of the camera",
        f"Linear light over pixel value. {words}",
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - LEFT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>'
        f'<polyline class="plain" points="{line(plain)}"/><polyline class="curve" points="{line(response)}"/>'
        f'<text x="{LEFT}" y="{TOP - 6}">light</text>',
        [(LEFT + across * share, anchor, str(round(255 * share))) for share, anchor in marks],
        "pixel value",
    )


def _luminance(light: np.ndarray) -> np.ndarray:
    return np.asarray(light @ np.asarray(LUMINANCE_WEIGHTS, light.dtype))


def _span(luminance: np.ndarray) -> float:
    lit = luminance[luminance > 0]
    if not lit.size:
        return 0.0
    low, high = np.quantile(lit, (EDGE, 1 - EDGE))
    return float(np.log2(high / low))


def _shares(luminance: np.ndarray) -> np.ndarray:
    lowest, highest = STOPS
    stops = np.log2(np.maximum(luminance, 2.0 ** (lowest - 1)))
    # White itself, up to rounding, belongs to the bar that ends at white.
    bars = np.ceil((stops - lowest) * PER_STOP - 1e-3).astype(int) - 1
    count = (highest - lowest) * PER_STOP
    return np.bincount(np.clip(bars, 0, count - 1).ravel(), minlength=count) / luminance.size


def _amount(number: float) -> str:
    """A number as people write it: about three digits, thousands apart, and never as a power of ten."""
    return f"{number:.3g}" if number < 100 else f"{float(f'{number:.3g}'):,.0f}"


def _signed(stop: int) -> str:
    return "0" if stop == 0 else f"{stop:+d}".replace("-", "−")


def _svg(title: str, words: str, body: str, ticks: Iterable[tuple[float, str, str]], below: str) -> str:
    """A drawing; ``ticks`` are place, anchor and text of what is written below its axis."""
    written = "".join(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 22}" text-anchor="{a}">{t}</text>' for x, a, t in ticks)
    return (
        f'<svg class="figure" role="img" aria-label="{title}. {words}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'xmlns="http://www.w3.org/2000/svg">{body}{written}'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{below}</text></svg>'
    )


def summary_of(result: Result) -> str:
    """Say in one line what came out: the light that the file itself recorded, and what was invented."""
    note, share = result.photo.light_note, float((result.invented > NOTABLE).mean())
    recorded = f"{note[0].upper()}{note[1:]}. " if note else ""
    if share == 0:
        return f"{recorded}Nothing was invented." if note else "Nothing was blown out: no light was invented."
    percent = "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
    return f"{recorded}Light was invented in {percent} of the picture."


def numbers_of(result: Result) -> str:
    """What was measured of a result, as two drawings and a table: HTML."""
    numbers = measure(result.photo.pixels, result.radiance, result.invented, result.response)
    rows = (
        ("From darkest to brightest, photo", f"{numbers.photo_stops:.1f} stops"),
        ("From darkest to brightest, result", f"{numbers.light_stops:.1f} stops"),
        ("Brightest light", f"{_amount(numbers.peak)} × the photo’s white"),
        ("Blown out in the photo", f"{100 * numbers.clipped:.2f} % of the pixels"),
        ("Clearly invented", f"{100 * numbers.invented:.2f} % of the pixels"),
    )
    table = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    curve = html.escape(result.response_note) or "taken for sRGB"
    return (
        f'<dl class="numbers">{table}</dl>'
        f"<div><h3>How much light there is</h3>{draw_histogram(numbers)}"
        '<p class="key"><i class="photo"></i> the photo <i class="light"></i> the result. The higher, the more of the '
        "picture is that bright: twice as high is four times as much.</p></div>"
        f"<div><h3>How the camera turned light into pixels</h3>{draw_response(result.response)}"
        f'<p class="key"><i class="curve"></i> {curve} <i class="plain"></i> sRGB</p></div>'
    )
