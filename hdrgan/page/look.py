"""How the page looks: its theme, its style sheet, its texts, and the small scripts of its buttons."""

from __future__ import annotations

from pathlib import Path

from hdrgan.page.environment import gr

HEADER = """
<div class="brand"><span class="mark" aria-hidden="true"><i></i><i></i><i></i><i></i><i></i></span>hdrgan</div>
<h1>One photo in. Five exposures and an HDR image out.</h1>
<p>The network works out the light behind a photo: what its shadows hold, what its blown highlights may have been.</p>
"""
EMPTY = """
<span class="mark" aria-hidden="true"><i></i><i></i><i></i><i></i><i></i></span>
<p>Choose a photo, and its five exposures appear here, dark to bright.</p>
"""
LIGHT = """<h2>Light</h2>
<p>Expose it anew: darker to look into the lights, brighter to look into the shadows.</p>"""
NUMBERS = "<h2>Numbers</h2>"
FILES = "<h2>Files</h2><p>In full size, made when you ask for them.</p>"
FOOTER = """
<p><strong>Blown highlights are invented.</strong> They are a plausible guess, not a record of what was there: not for
measurement, not for evidence. Photos and results are deleted after about {minutes} minutes and go nowhere else.</p>
"""

COPY = "(value) => value"
DOWNLOAD = Path(__file__).with_name("download.js").read_text(encoding="utf-8")
REVEAL = Path(__file__).with_name("reveal.js").read_text(encoding="utf-8")
CSS = Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def theme() -> gr.themes.Base:
    """A calm grey that leaves the colours to the photos; fonts of the visitor's own system, so that none is fetched."""
    return gr.themes.Base(
        primary_hue="amber",
        secondary_hue="zinc",
        neutral_hue="zinc",
        radius_size="lg",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color_dark="*neutral_800",
        border_color_primary_dark="*neutral_800",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*neutral_900",
        button_primary_background_fill_hover="*neutral_700",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color_dark="*neutral_950",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_500",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color_selected="*primary_600",
        checkbox_label_background_fill="*neutral_100",
        checkbox_label_background_fill_dark="*neutral_800",
        error_background_fill="#fef2f2",
        error_background_fill_dark="#2a1215",
        error_border_color="#b91c1c",
        error_border_color_dark="#f87171",
        error_text_color="#991b1b",
        error_text_color_dark="#fecaca",
    )
