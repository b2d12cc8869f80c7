"""Published checkpoints become folders; what is not one is refused in a sentence, and runs nothing."""

import os
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.convert import CheckpointError, convert_checkpoint, load_checkpoint
from hdrgan.models.ein import EIN
from hdrgan.models.patch_discriminator import PatchDiscriminator

NETWORKS = {
    "bracket": BracketGenerator(width=8, output="tanh"),
    "ein": EIN(width=8),
    "discriminator": PatchDiscriminator(width=8),
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SLOW_PREFIX = pytest.param("module.", marks=pytest.mark.slow)


def state_of(kind, prefix=""):
    return {prefix + name: value.clone() for name, value in NETWORKS[kind].state_dict().items()}


@pytest.mark.parametrize("prefix", ["", pytest.param("module.module.", marks=pytest.mark.slow), SLOW_PREFIX])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_state_dict_becomes_a_folder_that_loads(kind, prefix, tmp_path):
    torch.save(state_of(kind, prefix), tmp_path / "net.pth")
    convert_checkpoint(kind, tmp_path / "net.pth", tmp_path / "out")
    loaded = type(NETWORKS[kind]).from_pretrained(tmp_path / "out")
    assert loaded.width == 8
    assert all(torch.equal(value, state_of(kind)[name]) for name, value in loaded.state_dict().items())


@pytest.mark.shared
@pytest.mark.parametrize(
    ("kind", "file"),
    [("bracket", "bracket_generator"), ("ein", "ein_width8"), ("discriminator", "patch_discriminator")],
)
def test_published_weights_go_through_unchanged(kind, file, shared, tmp_path):
    golden = load_file(shared / "golden" / f"{file}.safetensors")
    weights = {name.removeprefix("weights."): value for name, value in golden.items() if name.startswith("weights.")}
    torch.save({"module." + name: value for name, value in weights.items()}, tmp_path / "net.pth")
    convert_checkpoint(kind, tmp_path / "net.pth", tmp_path / "out")
    loaded = type(NETWORKS[kind]).from_pretrained(tmp_path / "out").state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], value.float()) for name, value in weights.items())


def test_a_bracket_keeps_the_activation_it_was_trained_with(tmp_path):
    torch.save(state_of("bracket"), tmp_path / "net.pth")
    network = convert_checkpoint("bracket", tmp_path / "net.pth", tmp_path / "out", evs=(-6, -3, 0, 1, 2))
    assert (network.output, network.evs) == ("tanh", (-6, -3, 0, 1, 2))
    assert BracketGenerator.from_pretrained(tmp_path / "out").output == "tanh"


def test_a_state_dict_inside_a_larger_checkpoint_is_found(tmp_path):
    torch.save({"epoch": 3, "state_dict": state_of("discriminator")}, tmp_path / "net.pth")
    convert_checkpoint("discriminator", tmp_path / "net.pth", tmp_path / "out")
    assert PatchDiscriminator.from_pretrained(tmp_path / "out").exposures == 5


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickle_with_code_is_refused_and_does_nothing(legacy, tmp_path):
    state = state_of("ein") | {"extra": Bomb(tmp_path / "boom")}
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="more than tensors"):
        convert_checkpoint("ein", tmp_path / "net.pth", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.pth"]
    torch.load(tmp_path / "net.pth", weights_only=False)
    assert (tmp_path / "boom").is_dir()  # the same file does run its code where nobody looks


def test_a_switched_off_guard_does_not_help_a_pickle(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"extra": Bomb(tmp_path / "boom")}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "net.pth")
    assert not (tmp_path / "boom").exists()


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch.save(torch.nn.Conv2d(3, 8, 4), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"state_dict\(\)"):
        convert_checkpoint("bracket", tmp_path / "net.pth", tmp_path / "out")


def spoiled(change):
    def write(path):
        state = state_of("ein")
        change(state)
        torch.save(state, path)

    return write


def without(state):
    del state["conv_last1.4.bias"]


def with_more(state):
    state["conv_last2.weight"] = torch.zeros(1)


def with_nan(state):
    state["conv_last1.4.bias"][0] = float("nan")


def with_wrong_shape(state):
    state["conv_last1.4.bias"] = torch.zeros(4)


def with_integers(state):
    state["conv_last1.4.bias"] = torch.zeros(3, dtype=torch.int64)


def with_half_a_prefix(state):
    state["module.conv_last1.4.bias"] = state.pop("conv_last1.4.bias")


def with_odd_width(state):
    state["dconv_down1_w.1.weight"] = torch.zeros(7, 3, 7, 7)


def cut_short(path):
    torch.save(state_of("ein"), path)
    path.write_bytes(path.read_bytes()[:5000])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("<html>not found</html>")


def other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.txt", "no tensors")


def a_list(path):
    torch.save([torch.zeros(3)], path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (spoiled(without), r"lacks conv_last1\.4\.bias"),
        (spoiled(with_more), r"has unknown conv_last2\.weight"),
        (spoiled(with_nan), "must hold finite"),
        (spoiled(with_wrong_shape), r"wrong shape for conv_last1\.4\.bias"),
        (spoiled(with_integers), "must hold finite floating-point"),
        (spoiled(with_half_a_prefix), r"lacks conv_last1\.4\.bias"),
        (spoiled(with_odd_width), "multiple of 8, got 7"),
        (lambda path: torch.save(state_of("bracket"), path), "no checkpoint of the published ein|not a checkpoint"),
        (lambda path: torch.save({}, path), "no state dict"),
        (a_list, "no state dict"),
        (cut_short, "damaged|not a readable"),
        (empty, "damaged|not a readable"),
        (text, "damaged|not a readable"),
        (other_zip, "damaged|not a readable"),
        (lambda path: None, "no such file"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_sentence(write, message, tmp_path):
    path = tmp_path / "net.pth"
    write(path)
    with pytest.raises(CheckpointError, match=message) as refusal:
        convert_checkpoint("ein", path, tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")
    assert not (tmp_path / "out").exists()


def test_evs_must_be_as_many_as_the_exposures(tmp_path):
    torch.save(state_of("bracket"), tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="draws 5 exposures, but 3 evs"):
        convert_checkpoint("bracket", tmp_path / "net.pth", tmp_path / "out", evs=(-2, 0, 2))
    with pytest.raises(CheckpointError, match="ascending"):
        convert_checkpoint("bracket", tmp_path / "net.pth", tmp_path / "out", evs=(2, 1, 0, -1, -2))


def test_a_kind_that_nobody_published_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got 'radiance'"):
        convert_checkpoint("radiance", tmp_path / "net.pth", tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    torch.save(state_of("discriminator"), tmp_path / "net.pth")
    (tmp_path / "out").write_text("a file is in the way")
    with pytest.raises(CheckpointError, match="out cannot be written"):
        convert_checkpoint("discriminator", tmp_path / "net.pth", tmp_path / "out")
