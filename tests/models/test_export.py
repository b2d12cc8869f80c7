"""ONNX files compute what the networks do."""

import importlib.util

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hdrgan import BracketGenerator, PatchDiscriminator
from hdrgan.cli import main
from hdrgan.models.export import ExportError, export_onnx

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bracket(tmp_path_factory):
    """A small BracketGenerator with its ONNX file."""
    torch.manual_seed(0)
    network = BracketGenerator(evs=(-2, 0, 2), width=8)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(3)  # so that wrong weights would show
    path = tmp_path_factory.mktemp("onnx") / "bracket.onnx"
    assert export_onnx(network, path) < 1e-5
    return network, path


def test_the_file_computes_what_the_network_does_at_any_size(bracket):
    network, path = bracket
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for height, width in ((8, 8), (16, 52), (64, 12)):
        srgb = torch.rand(1, 3, height, width)
        with torch.no_grad():
            expected = network(srgb).numpy()
        (drawn,) = session.run(["bracket"], {"srgb": srgb.numpy()})
        assert expected.std() > 0.02
        np.testing.assert_allclose(drawn, expected, atol=1e-5)


def test_the_file_says_what_it_is_and_holds_its_weights(bracket):
    _, path = bracket
    model = onnx.load(path, load_external_data=False)
    onnx.checker.check_model(model)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["hdrgan.network"] == "BracketGenerator"
    assert facts["hdrgan.evs"] == "-2 0 2"
    assert sorted(file.name for file in path.parent.iterdir()) == ["bracket.onnx"]


def test_a_file_that_computes_something_else_is_not_kept(bracket, tmp_path, monkeypatch):
    network, _ = bracket
    monkeypatch.setattr("hdrgan.models.export._difference", lambda *_: 0.5)
    (tmp_path / "old.onnx").write_bytes(b"old")
    with pytest.raises(ExportError, match="differs from the network"):
        export_onnx(network, tmp_path / "old.onnx")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("old.onnx", b"old")]


def test_what_cannot_be_exported_is_refused_in_a_sentence(bracket, tmp_path, monkeypatch):
    with pytest.raises(ExportError, match="PatchDiscriminator cannot be exported"):
        export_onnx(PatchDiscriminator(width=4), tmp_path / "x.onnx")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else found(name))
    with pytest.raises(ExportError, match=r"onnxscript missing: .*hdrgan\[onnx\]"):
        export_onnx(bracket[0], tmp_path / "x.onnx")


def test_the_command_writes_the_file_and_says_how_equal_it_is(bracket, tmp_path, monkeypatch, capsys):
    bracket[0].save_pretrained(tmp_path / "model")
    monkeypatch.setattr("sys.argv", ["hdrgan", "export", "onnx", str(tmp_path / "model"), str(tmp_path / "net.onnx")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert "differs from torch by" in capsys.readouterr().out
    assert (tmp_path / "net.onnx").stat().st_size > 10_000
