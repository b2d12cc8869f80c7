"""Data sets that were prepared here: a card, a table for the `datasets` library, the Hub, and training from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import yaml
from datasets import load_dataset
from local_hub import LocalHub
from small_sets import make_brackets, make_scenes

from hdrgan import BracketGenerator
from hdrgan.data.prepare import prepare
from hdrgan.hub.access import HubError
from hdrgan.hub.datasets import push_dataset, stated_licence

SMALL = "--batch-size 2 --crop-size 32 --workers 0 --validation-photos 1 --width 8 --steps 1 --cpu".split()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    home = tmp_path_factory.mktemp("prepared")
    scenes = make_scenes(home / "scenes", count=2)
    table = "file\tsplit\tsite\tlicence\nscene_0.exr\ttrain\ta\tCC0-1.0\nscene_1.exr\ttrain\tb\tBSD-3-Clause\n"
    (scenes / "scenes.tsv").write_text(table)
    prepare(scenes, home / "data", views=2, size=48)
    return home / "data"


def test_a_prepared_data_set_has_a_card_with_licences(prepared):
    card = (prepared / "README.md").read_text()
    matter = yaml.safe_load(card.split("---\n")[1])
    assert matter["license"] == "other"
    assert matter["task_categories"] == ["image-to-image"]
    assert "| BSD-3-Clause | 1 |\n| CC0-1.0 | 1 |" in card
    assert "--layout bracket --size 48 --seed 0" in card


def test_pairs_have_a_card_too(tmp_path):
    prepare(make_scenes(tmp_path / "scenes", count=2), tmp_path / "data", layout="pairs", views=1, size=48)
    assert "| not stated | 2 |" in (tmp_path / "data" / "README.md").read_text()
    assert not (tmp_path / "data" / "metadata.jsonl").exists()


def test_the_datasets_library_reads_a_row_for_each_view(prepared, tmp_path):
    rows = load_dataset(str(prepared), split="train", cache_dir=str(tmp_path / "cache"))
    written = [json.loads(line) for line in (prepared / "metadata.jsonl").read_text().splitlines()]
    assert len(rows) == len(written) == 4
    assert rows.column_names[:2] == ["scene", "view"]
    assert set(rows.column_names) == {"scene", "view", "ev-4", "ev-2", "ev+0", "ev+2", "ev+4"}
    assert rows[0]["ev+0"].size == (48, 48)
    assert np.asarray(rows[0]["ev-4"]).mean() < np.asarray(rows[0]["ev+4"]).mean()


def test_a_data_set_is_pushed_and_trained_on_by_its_name(prepared, root, tmp_path):
    (prepared / ".env").write_text("secret")
    (prepared / "notes.txt").write_text("secret")
    with LocalHub() as local:
        env = local.environment(tmp_path / "home", token=True) | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}

        def run(*words, code=0):
            line = [sys.executable, "-m", "hdrgan", *map(str, words)]
            done = subprocess.run(
                line, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False
            )
            assert done.returncode == code, done.stderr[-3000:]
            return done

        assert run("push", prepared, "tester/brackets", "--dataset").stdout.strip().endswith("tester/brackets")
        files = local.repos["dataset", "tester/brackets"].head.files
        assert {"README.md", "metadata.jsonl", "evs.json", "scene_0/images/0_2.png"} < files.keys()
        assert not {".env", "notes.txt"} & files.keys()
        # What anybody sees of it is the pushed repository, by its own name or as a download.
        line = [sys.executable, "-m", "huggingface_hub.cli.hf", "download", "tester/brackets", "--repo-type", "dataset"]
        line += ["--local-dir", "download"]
        subprocess.run(line, env=env, cwd=tmp_path, capture_output=True, timeout=600, check=True)
        rows = load_dataset(str(tmp_path / "download"), split="train", cache_dir=str(tmp_path / "cache"))
        written = [json.loads(line) for line in (prepared / "metadata.jsonl").read_text().splitlines()]
        assert set(zip(rows["scene"], rows["view"], strict=True)) == {(row["scene"], row["view"]) for row in written}
        assert len(rows) == len(written) == 4
        assert all(rows[0][f"ev{ev}"].size == (48, 48) for ev in ("-4", "-2", "+0", "+2", "+4"))
        run("train", "--dataset", "tester/brackets", "--output", "run", *SMALL)
        said = run("train", "--dataset", "tester/nothing", "--output", "other", *SMALL, code=2).stderr
        assert "error: --dataset: There is no folder tester/nothing" in said
        assert "Traceback" not in said
    network = BracketGenerator.from_pretrained(tmp_path / "run" / "generator")
    assert network.training_summary["data"][0]["hub_id"] == "tester/brackets"
    card = (tmp_path / "run" / "generator" / "README.md").read_text()
    assert "datasets:\n- tester/brackets\n" in card
    assert "| tester/brackets | 2 | other, see the card of the data |" in card
    assert "tester/brackets" in (tmp_path / "run" / "args.json").read_text()
    assert os.listdir(tmp_path / "run").count(".cache") == 0


@pytest.mark.parametrize(
    ("matter", "said"),
    [
        ("license: cc-by-4.0", "cc-by-4.0"),
        ("license:\n- cc-by-4.0\n- cc0-1.0", "cc-by-4.0, cc0-1.0"),
        ("license: other\nlicense_name: my-terms", "my-terms"),
        ("license: other", "other, see the card of the data"),
        ("license: unknown", "not stated"),
        ("tags:\n- photos", "not stated"),
        ("license: [", "not stated"),
    ],
)
def test_the_licence_of_a_data_set_is_what_its_card_states(matter, said, tmp_path):
    assert stated_licence(tmp_path) == "not stated"
    (tmp_path / "README.md").write_text(f"---\n{matter}\n---\n\n# Photos\n")
    assert stated_licence(tmp_path) == said


def test_a_folder_that_is_no_data_set_is_not_published(tmp_path):
    with pytest.raises(ValueError, match="holds no data set"):
        push_dataset(tmp_path, "me/x")
    data = make_brackets(tmp_path / "data", scenes=1)
    with pytest.raises(ValueError, match="has no README.md"):
        push_dataset(data, "me/x")
    (data / "README.md").write_text("mine")
    with pytest.raises(HubError, match="The data set a/b/c was not published: its name must be written user/name"):
        push_dataset(data, "a/b/c")
