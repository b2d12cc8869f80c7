"""The speed benchmark measures what it says, and the README shows what it measured."""

import importlib.util
import json
import xml.etree.ElementTree as ElementTree

import pytest


@pytest.fixture(scope="module")
def tool(root):
    spec = importlib.util.spec_from_file_location("inference", root / "benchmarks/inference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_and_the_plot_show_the_report(tool, root):
    report = json.loads((root / "benchmarks/inference.json").read_text())
    shown = (root / "README.md").read_text().split(tool.BEGIN)[1].split(tool.END)[0].strip()
    assert shown == tool.markdown(report)
    plot = (root / "docs/inference.svg").read_text()
    assert plot == tool.plot(report["rows"])
    drawing = ElementTree.fromstring(plot)
    points = drawing.findall("{http://www.w3.org/2000/svg}circle")
    floors = {row["megapixels"] for row in report["rows"] if row["network"] == report["rows"][0]["network"]}
    assert len(points) == 2 * len(report["rows"]) + len(floors)
    assert all(0 < float(point.get("cx")) < 860 and 0 < float(point.get("cy")) < 360 for point in points)


def test_the_readme_s_table_is_rewritten_in_place(tool, root, tmp_path):
    report = json.loads((root / "benchmarks/inference.json").read_text())
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{tool.BEGIN}stale{tool.END}\nafter\n")
    tool.put_into_readme(readme, report)
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale" not in text
    assert tool.markdown(report) in text


def test_a_run_measures_the_floor_the_whole_way_and_its_stages(tool, root):
    (row,) = tool.measure_times("radiance", root / "examples/launch_pad.jpg", 1)
    assert set(row) == {"floor", "whole", *tool.STAGES}
    assert all(value["seconds"] > 0 and value["cpu"] >= 0 for value in row.values())
    assert row["whole"]["seconds"] > row["decode"]["seconds"]


def test_memory_is_that_of_the_process(tool, root):
    used = tool.child("memory", "radiance", root / "examples/launch_pad.jpg", "result")
    assert 0.1 < used < 2
