"""Saving and loading of networks: what comes back is what was saved, and every kind of damage is named."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from torch import nn

from hdrgan import BracketGenerator, PatchDiscriminator, __version__
from hdrgan.models import finding, pretrained, weights_file
from hdrgan.models.pretrained import PretrainedError, PretrainedModel


class TinyNet(nn.Module, PretrainedModel, library_name="hdrgan", license="mit", tags=["tiny"]):
    """A network with a parameter, a buffer of integers and a tensor that is not contiguous."""

    def __init__(self, evs: tuple[float, ...] = (-4, 0, 4), width: int = 3) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        self.evs = tuple(evs)
        self.conv = nn.Conv2d(3, width, 3)
        self.register_buffer("steps", torch.tensor(7))

    def forward(self, srgb: torch.Tensor) -> torch.Tensor:
        return self.conv(srgb)


class OtherNet(nn.Module, PretrainedModel, library_name="hdrgan", tags=["other"]):
    def __init__(self, evs: tuple[float, ...] = (-4, 0, 4), width: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.register_buffer("steps", torch.tensor(7))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    TinyNet(width=4).save_pretrained(folder, training={"steps": 12})
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A saved TinyNet(width=4) to do harm to."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def rewrite_tensors(folder: Path, change) -> None:
    """Change the weights and publish the hash of the changed file, so that other checks than the hash must find it."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    weights_file.write_checksums(folder)


def rewrite_config(folder: Path, **changes) -> None:
    config = json.loads((folder / "config.json").read_text())
    for key, value in changes.items():
        config.pop(key, None) if value is KeyError else config.update({key: value})
    (folder / "config.json").write_text(json.dumps(config))
    weights_file.write_checksums(folder)


def refusal(folder: str | Path, cls=TinyNet, **options) -> str:
    """The message of the refusal: one sentence."""
    with pytest.raises(PretrainedError) as caught:
        cls.from_pretrained(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_what_is_saved_comes_back(folder):
    network = TinyNet.from_pretrained(folder)
    assert set(os.listdir(folder)) == {"README.md", "SHA256SUMS", "config.json", "model.safetensors"}
    torch.manual_seed(0)
    twin = TinyNet(width=4)
    srgb = torch.rand(1, 3, 8, 8)
    assert torch.equal(network(srgb), twin(srgb))
    assert network.evs == (-4, 0, 4)
    assert not network.training
    assert network.training_summary == {"steps": 12}


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_loaded_network_can_be_copied(folder, tmp_path, copy_of):
    network = TinyNet.from_pretrained(folder)
    twin = copy_of(network)
    with torch.no_grad():
        network.conv.bias += 1
    assert twin.training_summary == {"steps": 12}
    twin.save_pretrained(tmp_path / "twin")
    for name in ("config.json", "model.safetensors", "SHA256SUMS"):
        assert (tmp_path / "twin" / name).read_bytes() == (folder / name).read_bytes(), "equal networks, equal files"


@pytest.mark.parametrize("cls", [BracketGenerator, PatchDiscriminator])
def test_our_networks_come_back(cls, tmp_path):
    network = cls(width=8)
    network.save_pretrained(tmp_path)
    loaded = cls.from_pretrained(str(tmp_path), strict=True)
    assert loaded.state_dict().keys() == network.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), network.parameters(), strict=True))


def test_files_say_what_they_are(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config == {"_class_name": "TinyNet", "_hdrgan_version": __version__, "evs": [-4, 0, 4], "width": 4}
    metadata = weights_file.read_header(folder / "model.safetensors")[1]
    assert metadata["format"] == "pt"
    assert metadata["library_version"] == __version__
    assert metadata["class_name"] == "TinyNet"
    assert json.loads(metadata["training"]) == {"steps": 12}
    assert pretrained.count_parameters(folder) == 3 * 4 * 9 + 4 + 1
    digest, name = (folder / "SHA256SUMS").read_text().splitlines()[1].split("  ")
    assert name == "model.safetensors"
    assert digest == weights_file.sha256_of(folder / name)


def test_the_training_summary_survives_loading_and_saving(folder, tmp_path):
    TinyNet.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert TinyNet.from_pretrained(tmp_path / "again").training_summary == {"steps": 12}


def test_half_precision_files_load_as_asked(folder, tmp_path):
    network = TinyNet.from_pretrained(folder)
    network.save_pretrained(tmp_path / "half", dtype=torch.float16)
    assert load_file(tmp_path / "half" / "model.safetensors")["conv.weight"].dtype == torch.float16
    assert network.conv.weight.dtype == torch.float32, "saving must not change the network"
    full = TinyNet.from_pretrained(tmp_path / "half")
    assert full.conv.weight.dtype == torch.float32
    assert torch.equal(full.conv.weight, network.conv.weight.half().float())
    half = TinyNet.from_pretrained(tmp_path / "half", dtype=torch.bfloat16, device="cpu")
    assert half.conv.weight.dtype == torch.bfloat16
    assert half.steps.dtype == torch.int64


def test_channels_last_and_shared_tensors_can_be_saved(tmp_path):
    network = TinyNet(width=4).to(memory_format=torch.channels_last)
    network.conv.bias = nn.Parameter(network.conv.weight[:, 0, 0, 0])
    network.save_pretrained(tmp_path)
    assert torch.equal(TinyNet.from_pretrained(tmp_path).conv.weight, network.conv.weight)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    network = TinyNet()
    with torch.no_grad():
        network.conv.bias[0] = 1e6
    with pytest.raises(ValueError, match=r"conv\.bias.*float16"):
        network.save_pretrained(tmp_path, dtype=torch.float16)
    assert not (tmp_path / "model.safetensors").exists()


def test_a_full_disk_leaves_the_old_file(folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()

    def full(_source, _target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hdrgan.files.atomic.os.replace", full)
    with pytest.raises(PretrainedError, match=r"model\.safetensors cannot be written: No space left"):
        TinyNet().save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_an_argument_that_config_cannot_hold_is_refused_on_saving(tmp_path):
    class OddNet(nn.Module, PretrainedModel, library_name="hdrgan"):
        def __init__(self, act: object = None) -> None:
            super().__init__()

    with pytest.raises(ValueError, match="'act' of OddNet cannot be written as JSON"):
        OddNet(act=object()).save_pretrained(tmp_path)


def test_tags_of_one_class_stay_its_own():
    shared = ["hdr"]

    class First(nn.Module, PretrainedModel, tags=shared):
        pass

    assert shared == ["hdr"]
    assert "tiny" not in First._hub_mixin_info.model_card_data.tags
    assert "hdr" in First._hub_mixin_info.model_card_data.tags


def test_saving_writes_a_card_but_keeps_an_existing_one(folder):
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "hdrgan"
    assert card.data.license == "mit"
    assert "TinyNet" in card.text
    (folder / "README.md").write_text("mine")
    TinyNet().save_pretrained(folder)
    assert (folder / "README.md").read_text() == "mine"


def test_options_that_cannot_be_kept_are_refused(folder):
    with pytest.raises(ValueError, match="always strict"):
        TinyNet.from_pretrained(folder, strict=False)
    with pytest.raises(ValueError, match="floating type"):
        TinyNet.from_pretrained(folder, dtype=torch.int8)
    with pytest.raises(ValueError, match="'cuda:63' is not there"):
        TinyNet.from_pretrained(folder, device="cuda:63")
    with pytest.raises(ValueError, match="device must be like"):
        TinyNet.from_pretrained(folder, device="toaster")
    with pytest.raises(TypeError):
        TinyNet.from_pretrained(folder, torch_dtype=torch.float16)


# Where the model is not


def test_a_name_that_is_nothing(tmp_path):
    assert "no folder nonsense" in refusal("nonsense")
    assert "no folder" in refusal(tmp_path / "user" / "name")


def test_a_folder_without_its_files(tmp_path, folder):
    assert "has no config.json" in refusal(tmp_path)
    (folder / "model.safetensors").unlink()
    assert "has no model.safetensors." in refusal(folder)
    (folder / "pytorch_model.bin").write_bytes(b"")
    assert "only pytorch_model.bin, a pickle" in refusal(folder)


def test_files_are_not_folders(tmp_path, folder):
    assert "give the folder that holds" in refusal(folder / "model.safetensors")


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


@pytest.mark.parametrize("name", ["generator.pth", "pytorch_model.bin", "model.pt", "model.safetensors"])
def test_a_pickle_is_refused_and_does_nothing(folder, tmp_path, name):
    mark = tmp_path / "ran"
    (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    if name == "model.safetensors":
        weights_file.write_checksums(folder)
        assert "is damaged" in refusal(folder)
    else:
        assert "pickle" in refusal(folder / name)
        (folder / "model.safetensors").unlink()
        assert "pickle" in refusal(folder)
    assert not mark.exists()


def test_bundled_names_have_no_revision(monkeypatch, tmp_path):
    TinyNet().save_pretrained(tmp_path / "weights" / "tiny")
    monkeypatch.setattr(finding, "_PACKAGE", tmp_path)
    assert finding.bundled_names() == ("tiny",)
    assert finding.bundled_folder("tiny") == tmp_path / "weights" / "tiny"
    assert finding.bundled_folder("../weights/tiny") is None
    assert pretrained.locate("tiny") == tmp_path / "weights" / "tiny"
    assert "has no revision 'v1'" in refusal("tiny", revision="v1")
    assert "bundled: tiny" in refusal("tony")


def test_every_bundled_model_is_published_with_its_hash():
    for name in finding.bundled_names():
        folder = finding.bundled_folder(name)
        published = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
        assert published == {n: weights_file.sha256_of(folder / n) for n in ("config.json", "model.safetensors")}


# Configuration


def test_the_wrong_class(folder, tmp_path):
    assert "holds a TinyNet, not an OtherNet: load it with TinyNet." in refusal(folder, cls=OtherNet)
    rewrite_config(folder, _class_name=KeyError)
    assert "holds a TinyNet, not an OtherNet: load it with TinyNet." in refusal(folder, cls=OtherNet), (
        "the weights say it as well"
    )


def test_a_config_from_a_later_version(folder):
    rewrite_config(folder, _hdrgan_version="99.1")
    assert "written by hdrgan 99.1" in refusal(folder)
    rewrite_config(folder, _hdrgan_version="new")
    assert "no valid version" in refusal(folder)


def test_config_keys_are_checked(folder):
    rewrite_config(folder, depth=3)
    assert "has 'depth', which TinyNet does not know" in refusal(folder)
    rewrite_config(folder, depth=KeyError, width=KeyError)
    assert "lacks 'width'" in refusal(folder)


def test_config_values_are_checked(folder):
    rewrite_config(folder, width=-1)
    assert "does not fit a TinyNet: width must be at least 1" in refusal(folder)
    rewrite_config(folder, width="wide")
    assert "width of a TinyNet must be a whole number of at most 4096" in refusal(folder)


def test_a_config_that_asks_for_a_terabyte_costs_nothing(folder):
    rewrite_config(folder, width=10**11)
    assert "width of a TinyNet must be a whole number of at most 4096" in refusal(folder)
    rewrite_config(folder, width=4000)
    assert "the network needs (4000, 3, 3, 3)" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "cannot be read"), ("[1]", "not an object"), ('{"width": 3, "width": 4}', "twice"), ("x" * 2**21, "bytes")],
)
def test_a_config_that_is_no_config(folder, text, word):
    (folder / "config.json").write_text(text)
    weights_file.write_checksums(folder)
    assert word in refusal(folder)


# Weights


def test_a_flipped_bit(folder):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert "its SHA-256 is not the one" in refusal(folder)


def test_a_changed_config(folder):
    (folder / "config.json").write_text((folder / "config.json").read_text().replace("-4", "-3"))
    assert "config.json is damaged or was changed" in refusal(folder)


def test_a_missing_tensor(folder):
    rewrite_tensors(folder, lambda tensors: tensors.pop("conv.bias"))
    assert "lacks 'conv.bias'" in refusal(folder)


def test_an_extra_tensor(folder):
    rewrite_tensors(folder, lambda tensors: tensors.update(extra=torch.zeros(2)))
    assert "has 'extra', which the network does not know" in refusal(folder)


def test_a_renamed_tensor(folder):
    rewrite_tensors(folder, lambda tensors: tensors.update(bias=tensors.pop("conv.bias")))
    assert "lacks 'conv.bias'" in refusal(folder)


def test_a_wrong_shape(folder):
    rewrite_tensors(folder, lambda tensors: tensors.update({"conv.bias": torch.zeros(2, 2)}))
    assert "conv.bias of shape (2, 2), and the network needs (4,)" in refusal(folder)


def test_wrong_types(folder):
    rewrite_tensors(folder, lambda tensors: tensors.update({"conv.bias": torch.zeros(4, dtype=torch.float64)}))
    assert "stores conv.bias as F64" in refusal(folder)
    fine = {"conv.bias": torch.zeros(4), "steps": torch.tensor(7.0)}
    rewrite_tensors(folder, lambda tensors: tensors.update(fine))
    assert "stores steps as F32" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(folder, value):
    rewrite_tensors(folder, lambda tensors: tensors["conv.weight"].view(-1).__setitem__(5, value))
    assert "values in conv.weight that are not finite" in refusal(folder)


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_file_that_is_cut_short(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    weights_file.write_checksums(folder)
    assert "is damaged" in refusal(folder)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b'{"a": 3}',
        b'{"a": {}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 999]}}',
        b'{"__metadata__": 3}',
        b"[" * 100_000,
    ],
)
def test_a_header_that_lies(folder, header):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    weights_file.write_checksums(folder)
    assert "is damaged" in refusal(folder)
