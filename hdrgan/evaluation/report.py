"""The evaluation report: a JSON-able table of what was measured, how it is read, written and printed.

::

    {"format": 1, "hdrgan": "0.1.0", "measured_by": "hdrgan evaluate", "date": "2025-01-01T00:00:00+00:00",
     "data": {"name": "bench", "kind": "yardstick", "split": "test"},
     "environment": {"python": "3.11.7", "torch": "2.13.0", …},
     "evs": [-4.0, …], "figures": {"pu21": "what it means", …}, "conditions": ["clean", …],
     "systems": [{"name": "identity", "class_name": null, "parameters": null, "sha256": null,
                  "conditions": {"clean": {"views": 64, "pu21": 30.8, …, "bracket_psnr": {"-4": 27.1, …}}}}, …],
     "peers": {"source": "peers.tsv", "rows": [{"system": "…", "condition": "clean", "figures": {…}}, …]}}

``sha256`` is that of the weights file that was measured: a card takes figures of those very weights only.
"""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hdrgan.evaluation.lighting import LIGHT_FIGURES
from hdrgan.evaluation.real_brackets import OWN_CALIBRATION
from hdrgan.version import __version__

FORMAT = 1
"""Version of the JSON."""

RADIANCE_FIGURES = {
    "pu21": "PU21-PSNR in dB, peak 256, all pixels",
    "pu21_hi": "the same of highlights alone: pixels whose largest channel is at least 0.98 in the photo",
    "mu": "mu-law PSNR in dB, mu = 5000",
    "hi_stops": "RMSE of log2 luminance in highlights, stops",
    "keep_stops": "RMSE of log2 luminance of well-exposed pixels, stops",
}
BRACKET_FIGURES = {
    "bracket_psnr": "PSNR in dB of each EV, peak 1, encoded, squared error pooled over the views",
    "bracket_ssim": "SSIM of each EV, encoded, mean over the views",
}
REAL_FIGURES = ("all", "blown", "rim", "range")  # of real brackets, each by EV: PSNR in dB, and range in stops
IDENTITY_NAME = "identity"
CURVE_NAME = "curve"
EVALUATOR = "hdrgan evaluate"

_PEERS_AGREE = 0.05  # dB


def new_report(
    data: Mapping[str, Any],
    evs: Sequence[float],
    systems: Sequence[Mapping[str, Any]],
    conditions: Sequence[str],
    *,
    measured_by: str = EVALUATOR,
) -> dict[str, Any]:
    """Put measured figures into a report, with the date and the versions that made them.

    Args:
        data: ``name``, ``kind`` and ``split`` of the data set, and how it was used.
        evs: stops of the exposures.
        systems: as in the module's description, identity first.
        conditions: groups of inputs, in the table's order.
        measured_by: the program, for the card: a trainer's validation is no test.
    """
    if not systems or systems[0]["name"] != IDENTITY_NAME:
        raise ValueError("the first system of a report is identity: no figure means anything without it")
    return {
        "format": FORMAT,
        "hdrgan": __version__,
        "measured_by": measured_by,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": dict(data),
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "machine": platform.machine(),
        },
        "evs": list(evs),
        "figures": RADIANCE_FIGURES | BRACKET_FIGURES,
        "conditions": list(conditions),
        "systems": [dict(system) for system in systems],
    }


def ev_key(ev: float) -> str:
    """How a report writes an EV: ``-4``, ``+0``, ``+2``."""
    return f"{ev:+g}"


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write a report as JSON."""
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_report(path: Path) -> dict[str, Any]:
    """Read what `write_report` wrote.

    Raises:
        ValueError: it is not such a report.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as an evaluation: {error}") from error
    needed = {"format", "hdrgan", "date", "data", "evs", "conditions", "systems"}
    if not isinstance(report, dict) or needed - report.keys() or report["format"] != FORMAT:
        raise ValueError(f"{path} is not an evaluation in format {FORMAT}: run 'hdrgan evaluate -o report.json' again")
    return report


def rows(report: Mapping[str, Any], condition: str) -> list[dict[str, Any]]:
    """The table of one condition: ``{"name", "figures", "sha256"}`` of identity, the systems, then the peers."""
    table = [
        {"name": system["name"], "sha256": system["sha256"], "figures": system["conditions"][condition]}
        for system in report["systems"]
        if condition in system["conditions"]
    ]
    peers = [peer for peer in report.get("peers", {}).get("rows", ()) if peer["condition"] == condition]
    return table + [{"name": peer["system"], "sha256": None, "figures": peer["figures"]} for peer in peers]


def format_report(report: Mapping[str, Any]) -> str:
    """A report as aligned text: one block a condition, one row a system, identity first."""
    evs = [ev_key(ev) for ev in report["evs"]]
    blocks = []
    for condition in report["conditions"]:
        table = rows(report, condition)
        if any("all" in row["figures"] for row in table):
            blocks.append(_real_block(table, report["data"].get("own_calibrations")))
            continue
        if any("irradiance" in row["figures"] for row in table):
            blocks.append(_light_block(condition, table))
            continue
        titles = {"pu21": "PU21", "pu21_hi": "highlights", "mu": "mu-law", "hi_stops": "hi stops", "keep_stops": "keep"}
        shown = [name for name in titles if any(name in row["figures"] for row in table)]
        lines = [["", *(titles[name] for name in shown), *(f"EV {ev}" for ev in evs)]]
        for row in table:
            cells = [_cell(row["figures"].get(name), 3 if "stops" in name else 2) for name in shown]
            cells += [_cell(row["figures"].get("bracket_psnr", {}).get(ev), 2) for ev in evs]
            lines.append([row["name"], *cells])
        head = f"{condition} ({table[0]['figures']['views']} views)"
        blocks.append("\n".join([head, *aligned(lines)]))
    legend = "PU21, highlights, mu-law, EV: PSNR in dB, more is better. Stops: RMSE, less is better."
    return "\n\n".join([*blocks, legend])


def _real_block(table: Sequence[Mapping[str, Any]], calibrations: Mapping[str, int] | None) -> str:
    """Figures of real brackets: PSNR and range by EV, one row a system."""
    columns = [(name, ev) for name in REAL_FIGURES for ev in table[0]["figures"].get(name, {})]
    lines = [["", *(f"{name} {ev}" for name, ev in columns)]]
    for row in table:
        lines.append([row["name"], *(_cell(row["figures"].get(name, {}).get(ev), 2) for name, ev in columns)])
    head = f"real brackets ({table[0]['figures']['views']} shots): PSNR in dB; range in stops, 0 is best"
    foot = []
    if calibrations:
        foot = [f"{OWN_CALIBRATION}: by the other shots of each stack, never by the one that is scored; of "]
        foot[0] += f"{sum(calibrations.values())} {calibrations['refused']} could not be made, and are scored without"
    return "\n".join([head, *aligned(lines), *foot])


def _light_block(condition: str, table: Sequence[Mapping[str, Any]]) -> str:
    """Figures of panoramas as light, one row a system."""
    lines = [["", *LIGHT_FIGURES]]
    for row in table:
        lines.append([row["name"], *(_cell(row["figures"].get(name), 2) for name in LIGHT_FIGURES)])
    head = f"{condition} ({table[0]['figures']['views']} panoramas): stops, 0 is best; seam as a ratio, 1 is best"
    return "\n".join([head, *aligned(lines)])


def aligned(lines: Sequence[Sequence[str]], first: int = 0) -> list[str]:
    """Rows of cells as text in columns: the first on the left and ``first`` characters wide at least."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    widths[0] = max(widths[0], first)
    return [
        "  ".join([name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells, widths[1:], strict=True))]).rstrip()
        for name, *cells in lines
    ]


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def read_peers(path: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """Read other systems' figures on the same inputs: the value of a report's key ``peers``.

    Args:
        path: tab-separated, columns system, condition, the radiance figures, and EV-4 … for exposures.
        report: the report that they are to stand in.

    Raises:
        ValueError: no such table, or its identity did not score as the report's did, so the inputs were others.
    """
    with path.open(newline="", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines, delimiter="\t"))
    if not table or not {"system", "condition", "pu21"} <= set(table[0]):
        raise ValueError(f"{path} is no table of peers: it needs the columns system, condition and pu21")
    peers = []
    for row in table:
        figures: dict[str, Any] = {name: float(row[name]) for name in RADIANCE_FIGURES if row.get(name)}
        exposures = {ev_key(float(key[2:])): float(row[key]) for key in row if key.startswith("EV") and row[key]}
        if exposures:
            figures["bracket_psnr"] = exposures
        if row["system"] != IDENTITY_NAME:
            peers.append({"system": row["system"], "condition": row["condition"], "figures": figures})
            continue
        ours = report["systems"][0]["conditions"].get(row["condition"])
        if ours is None or abs(ours["pu21"] - figures["pu21"]) > _PEERS_AGREE:
            raise ValueError(
                f"{path} is of other inputs: its identity scores {figures['pu21']:.2f} dB on {row['condition']}, "
                f"here {_cell(ours and ours['pu21'], 2)}"
            )
    return {"source": path.name, "rows": peers}
