"""Put the figures of the evaluation reports into the README, between its two markers.

hdrgan evaluate BRACKETS --model radiance --model bracket --model ein -o benchmarks/real_brackets.json
python -m benchmarks.render_views DATA BENCH --cameras cameras.npz
hdrgan evaluate BENCH --model radiance --model bracket --model ein -o benchmarks/yardstick.json
hdrgan evaluate BENCH --model radiance --response srgb -o benchmarks/yardstick_srgb.json
python -m benchmarks.readme_numbers
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdrgan.evaluation.report import ev_key, read_report, rows

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- numbers -->\n", "<!-- /numbers -->"
FIGURES = {"pu21": ("PU21", 2), "pu21_hi": ("highlights", 2), "hi_stops": ("stops", 3)}
# In the order in which the README shows them: what is nearest to photographs first.
CONDITIONS = {
    "real": "Real: views photographed by cameras whose curves were measured",
    "clean": "Clean: sRGB renders, highlights clipped",
}
# That a photo is sRGB can be said of renders; said of camera photos it is wrong.
GIVEN = {"clean": "Clean, and said to be sRGB with `--response srgb`"}
BRACKETS = "benchmarks/real_brackets.json"
KINDS = {"all": (-4, -2, 2, 4), "blown": (-4, -2), "rim": (-4, -2), "range": (-4, -2)}
REPORTS = {"benchmarks/yardstick.json": CONDITIONS, "benchmarks/yardstick_srgb.json": GIVEN}


def tables(root: Path) -> str:
    """The tables of all reports: real brackets first."""
    views = [markdown(read_report(root / file), titles) for file, titles in REPORTS.items()]
    return "\n\n".join([brackets(read_report(root / BRACKETS)), *views])


def brackets(report: Mapping[str, Any]) -> str:
    """What the systems make of shots whose cameras took darker and brighter ones too; the best figures in bold."""
    table = rows(report, "real brackets")
    columns = [(kind, f"{ev:+d}") for kind, evs in KINDS.items() for ev in evs]
    values = [[row["figures"][kind].get(ev) for kind, ev in columns] for row in table]
    best = [
        min((v[k] for v in values), key=abs) if kind == "range" else max(v[k] for v in values)
        for k, (kind, _) in enumerate(columns)
    ]
    lines = [
        f"**Real brackets** ({table[0]['figures']['views']} shots)",
        "",
        "| | " + " | ".join(f"{kind} {ev}" for kind, ev in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for row, row_values in zip(table, values, strict=True):
        cells = [
            f"{value:+.1f}" if kind == "range" else f"{value:.1f}"
            for value, (kind, _) in zip(row_values, columns, strict=True)
        ]
        shown = [f"**{cell}**" if v == top else cell for cell, v, top in zip(cells, row_values, best, strict=True)]
        lines.append(f"| {row['name']} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def markdown(report: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """A table for each title whose condition was measured, in their order: a row a system, the best figures in bold."""
    evs = [ev for ev in report["evs"] if ev != 0]
    blocks = []
    for condition in (name for name in titles if name in report["conditions"]):
        table = rows(report, condition)
        columns = [(name, title, digits) for name, (title, digits) in FIGURES.items()]
        columns += [(ev_key(ev), f"EV {ev_key(ev)}", 1) for ev in evs]
        values = [
            [row["figures"].get(name, row["figures"].get("bracket_psnr", {}).get(name)) for name, _, _ in columns]
            for row in table
        ]
        best = [
            (min if name == "hi_stops" else max)((v[k] for v in values if v[k] is not None), default=None)
            for k, (name, _, _) in enumerate(columns)
        ]
        lines = [
            f"**{titles[condition]}** ({table[0]['figures']['views']} views)",
            "",
            "| | " + " | ".join(title for _, title, _ in columns) + " |",
            "|---|" + "---:|" * len(columns),
        ]
        for row, row_values in zip(table, values, strict=True):
            cells = [
                "–" if value is None else f"**{value:.{digits}f}**" if value == top else f"{value:.{digits}f}"
                for value, top, (_, _, digits) in zip(row_values, best, columns, strict=True)
            ]
            lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def main() -> None:
    """Rewrite the README's numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END, 1)[1]
    readme.write_text(f"{before}{BEGIN}\n{tables(ROOT)}\n\n{END}{after}")


if __name__ == "__main__":
    main()
