"""Put the figures of an evaluation report into the README, between its two markers.

hdrgan evaluate BENCH --model radiance --model bracket --peers PEERS.tsv -o benchmarks/yardstick.json
python -m benchmarks.readme_numbers
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdrgan.report import ev_key, read_report, rows

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- numbers -->\n", "<!-- /numbers -->"
FIGURES = {"pu21": ("PU21", 2), "pu21_hi": ("highlights", 2), "hi_stops": ("stops", 3)}
CONDITIONS = {
    "clean": "Clean: sRGB renders, highlights clipped",
    "camera": "Camera: unknown response curve, noise, JPEG",
}


def markdown(report: Mapping[str, Any]) -> str:
    """One table a condition: systems down, figures across, identity first, the best of each column in bold."""
    evs = [ev for ev in report["evs"] if ev != 0]
    blocks = []
    for condition in report["conditions"]:
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
            f"**{CONDITIONS.get(condition, condition)}** ({table[0]['figures']['views']} views)",
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
    parser.add_argument("--report", type=Path, default=ROOT / "benchmarks/yardstick.json", help="from hdrgan evaluate")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    arguments = parser.parse_args()
    before, rest = arguments.readme.read_text().split(BEGIN)
    after = rest.split(END, 1)[1]
    text = f"{before}{BEGIN}\n{markdown(read_report(arguments.report))}\n\n{END}{after}"
    arguments.readme.write_text(text)


if __name__ == "__main__":
    main()
