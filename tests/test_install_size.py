"""The command that measures an installation counts what lies on the disk."""

import os

import pytest


@pytest.fixture
def tool(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root))
    import benchmarks.install_size

    return benchmarks.install_size


def test_libraries_count_with_their_package_and_links_once(tool, tmp_path):
    for name, size in (("codecs/a.so", 40_000), ("codecs.libs/b.so", 80_000), ("codecs-1.dist-info/RECORD", 10)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(os.urandom(size))
    os.link(tmp_path / "codecs/a.so", tmp_path / "codecs/again.so")
    assert tool.packages(tmp_path)["codecs"] == tool.disk(tmp_path)
    assert 120_010 <= tool.disk(tmp_path) < 160_000


def test_the_table_says_what_was_added(tool):
    text = tool.text_of({"torch": 700_000_000, "pip": 9_000_000, "tqdm": 1_000_000}, {"pip": 8_500_000}, 701_500_000)
    assert text.split("\n") == ["   700.0 MB  torch", "     1.5 MB  others", "   701.5 MB  in all, 0.65 GiB"]
