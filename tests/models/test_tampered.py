"""Every door of weights answers what somebody tampered with in one sentence, at once, and without much memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from tampered_models import tampered

from hdrgan import EIN, BracketGenerator, PatchDiscriminator, RadianceGenerator
from hdrgan.models.convert import CheckpointError, published_network

NETWORKS = {
    "radiance": (RadianceGenerator, {"widths": (8, 8, 8, 8)}),
    "bracket": (BracketGenerator, {"width": 8}),
    "ein": (EIN, {"width": 8}),
}

# In a process of its own, whose memory is that of the refusals alone.
LOAD = """
import json, resource, sys, time
import hdrgan
from hdrgan.models.pretrained import PretrainedError
from hdrgan.training.networks import UsageError, build_generator
kind, name, sound, *folders = sys.argv[1:]
cls = getattr(hdrgan, name)
doors = (cls.from_pretrained, hdrgan.Pipeline.from_pretrained, lambda folder: build_generator(kind, None, init=folder))
for door in doors:
    door(sound)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for folder in folders:
    for door in doors:
        start = time.process_time()
        try:
            door(folder)
            answer = "loaded"
        except (PretrainedError, UsageError) as error:
            answer = str(error)
        except BaseException as error:
            answer = f"{type(error).__name__}\\n{error}"[:300]
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(json.dumps([answer, time.process_time() - start, grown]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_tampered_folder_is_refused_in_one_sentence_at_once(name, tmp_path):
    cls, arguments = NETWORKS[name]
    torch.manual_seed(0)
    cls(**arguments).save_pretrained(tmp_path / name)
    faults = dict(reversed(pair) for pair in tampered(tmp_path / name, tmp_path / "tampered"))
    assert len(faults) >= 70
    command = [sys.executable, "-c", LOAD, name, cls.__name__, str(tmp_path / name), *map(str, faults)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 3 * len(faults)
    wrong = []
    for k, (answer, seconds, grown) in enumerate(lines):
        one_sentence = answer.endswith(".") and "\n" not in answer and len(answer) < 700
        if not one_sentence or answer == "loaded" or seconds > 1 or grown > 300:
            wrong.append((list(faults.values())[k // 3], answer, seconds, grown))
    assert not wrong


def test_weights_that_are_not_finite_are_refused_by_the_name_of_their_tensor(tmp_path):
    network = PatchDiscriminator(width=8)
    network.save_pretrained(tmp_path / "sound")
    answers = [
        (what, folder) for what, folder in tampered(tmp_path / "sound", tmp_path / "all") if what.startswith("nan in")
    ]
    assert len(answers) == 3
    for what, folder in answers:
        with pytest.raises(OSError, match=f"has values in {what.removeprefix('nan in ')} that are not finite"):
            PatchDiscriminator.from_pretrained(folder)


def forged(state, name, shape):
    """A state dict in which one tensor is said to be enormous, by strides of zero."""
    return {**state, name: torch.zeros(1).expand(shape)}


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("bracket", "encoder.0.weight", (10**9, 3, 4, 4)),
        ("bracket", "encoder.0.weight", (10**12, 3, 4, 4)),
        ("bracket", "decoder.2.weight", (64, 3 * 10**9, 4, 4)),
        ("ein", "dconv_down1_w.1.weight", (8 * 10**9, 3, 7, 7)),
        ("discriminator", "model.0.weight", (10**10, 18, 4, 4)),
    ],
)
def test_a_small_checkpoint_that_claims_to_be_enormous_is_refused_at_once(tmp_path, kind, name, shape):
    torch.save(forged({name: torch.zeros(1)}, name, shape), tmp_path / "forged.pth")
    with pytest.raises(CheckpointError, match="claims to be larger than what the file holds of it"):
        published_network(tmp_path / "forged.pth", kind)


def test_a_checkpoint_is_compared_before_its_network_is_built(tmp_path, monkeypatch):
    state = {"encoder.0.weight": torch.zeros(2048, 3, 1, 1), "decoder.2.weight": torch.zeros(1, 15, 1, 1)}
    torch.save(state, tmp_path / "wide.pth")
    built = []
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda weight, **_: built.append(weight))
    with pytest.raises(CheckpointError, match="no checkpoint of the published bracket network"):
        published_network(tmp_path / "wide.pth")
    assert all(weight.is_meta for weight in built)
