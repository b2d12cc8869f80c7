"""The benchmark of batches measures what it says."""

import json
import subprocess
import sys

import pytest


@pytest.fixture
def tool(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    import benchmarks.batch

    return benchmarks.batch


def test_photos_are_of_1_to_24_megapixels_and_mixed(tool):
    megapixels = [width * height / 1e6 for width, height in tool.sizes(200)]
    assert len(megapixels) == 200
    assert min(megapixels) == pytest.approx(1, abs=0.01)
    assert max(megapixels) == pytest.approx(24, abs=0.01)
    assert all(width > height for width, height in tool.sizes(200))
    halves = sum(megapixels[:100]), sum(megapixels[100:])
    assert halves[0] == pytest.approx(halves[1], rel=0.05)


def test_photos_of_one_size_are_made_once(tool, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(tool, "make_photo", lambda path, *size: (made.append(size), path.write_text(str(size))))
    paths = tool.make_photos(tmp_path, 60)
    assert len(set(paths)) == 60
    assert len(made) == len(set(made)) == tool.SIZES
    assert all(path.stem.endswith("x".join(path.read_text().strip("()").split(", "))) for path in paths)
    tool.make_photos(tmp_path, 60)
    assert len(made) == tool.SIZES


def test_the_pages_say_what_the_report_says(tool, root):
    report = json.loads(tool.REPORT.read_text())
    assert report["photos"] >= 200
    assert max(report["memory_gb"]) <= report["peak_gb"] < 1.5, "the most memory that a batch may take, in GB"
    text = tool.text_of(report)
    for page in ("README.md", "docs/scale.md"):
        assert text in (root / page).read_text()


def test_the_floor_reads_every_photo_and_writes_five_of_each(tool, root, tmp_path):
    listed = tmp_path / "list.txt"
    photos = sorted((root / "examples").glob("*.jpg"))[:3]
    listed.write_text("\n".join(map(str, photos)))
    tool.floor(listed, tmp_path, 2)
    assert len(list(tmp_path.glob("*.jpg"))) == 5 * len(photos) == 15


def test_memory_is_read_while_a_batch_runs(tool):
    seen = tool.memory_over_time([sys.executable, "-c", "import sys, time; sys.stdin.read(); time.sleep(1)"], "x")
    assert max(seen) > 0.001
    with pytest.raises(subprocess.CalledProcessError):
        tool.memory_over_time([sys.executable, "-c", "raise SystemExit(3)"], "x")


def test_the_text_says_what_was_measured(tool, tmp_path):
    report = {
        "photos": 200,
        "megapixels": 2500.0,
        "jobs": 2,
        "load": 9.0,
        "seconds": {"floor": 60.0, "batch": 80.0},
        "over_floor": 0.75,
        "processor_over_floor": 0.7,
        "gigabytes_written": 3.0,
        "peak_gb": 1.21,
        "peak_gb_of_quarters": [1.1, 1.21, 1.2, 1.19],
        "machine": {"processor": "Test", "cores": 2, "python": "3.11"},
    }
    text = tool.text_of(json.loads(json.dumps(report)))
    assert "2.5 photos and 31 megapixels a second on 2 cores of an Test, 0.75 times the floor" in text
    assert "at most 1.21 GB" in text
    assert "222 core hours" in text
    assert "their JPEGs 15 TB" in text
    assert "Other work ran beside" in text
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tool.BEGIN}stale{tool.END}\nafter\n")
    tool.put_into(page, report)
    assert page.read_text() == f"before\n{tool.BEGIN}\n{text}\n\n{tool.END}\nafter\n"
