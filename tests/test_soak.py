"""The soak of half an hour, for some seconds: it must drive page and command line, and notice what is wrong."""

from __future__ import annotations

import random
import re
import subprocess
import sys

import pytest

from benchmarks.soak import Inputs, Tally, is_sentence


@pytest.mark.slow
def test_a_short_soak_finds_nothing_wrong(root):
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.4", "--visitors", "3", "--skip-sweep"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^done +(\d+)$", done.stdout, re.MULTILINE)[1]) > 0, done.stdout
    assert re.search(r"^answers that are no sentence, and other faults +0$", done.stdout, re.MULTILINE)
    assert re.search(r"^hostile files +made by the test$", done.stdout, re.MULTILINE)
    assert re.search(
        r"^memory may grow after two minutes by +10 %; that it falls is no fault$", done.stdout, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("says", "fine"),
    [
        ("This is no photo; choose a JPEG.", True),
        ("There is no network called 'x' here.", True),
        ("Something broke on our side. Please try again, or try a smaller photo.", False),
        ("Traceback (most recent call last):\n  File x.", False),
        ("[Errno 28] No space left on device.", False),
        ("null", False),
        ("", False),
    ],
)
def test_what_counts_as_a_sentence(says, fine):
    assert is_sentence(says) == fine


def test_what_is_no_sentence_is_a_fault():
    tally = Tally()
    tally.said("The page is busy: try again soon.", "refused")
    tally.said("This is no photo.", "refused")
    tally.said([{"type": "json_invalid"}], "refused")
    assert tally.counts == {"busy": 1, "refused": 1, "faults": 1}
    assert "json_invalid" in tally.faults[0]


def test_its_hostile_files_are_made_here_and_always_the_same():
    inputs = Inputs(None)
    made, again = ([inputs.next_hostile(rng) for _ in range(40)] for rng in (random.Random(1), random.Random(1)))
    assert made == again
    assert len({name for name, _ in made}) >= 6
