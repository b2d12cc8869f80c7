"""What the trainer is made of: checkpoints that are whole or absent, the schedule, the checks before step 1."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from small_sets import make_brackets, make_pairs, make_scenes

from hdrgan.models.ein import EIN
from hdrgan.models.radiance_generator import RadianceGenerator
from hdrgan.training import checkpoints
from hdrgan.training.arguments import TRACKERS, parse_args
from hdrgan.training.checkpoints import CheckpointError
from hdrgan.training.hyperparameters import RECIPES, learning_rate_factor
from hdrgan.training.networks import checkpoint_activations, freeze, rate_groups
from hdrgan.training.photos import spread
from hdrgan.training.preflight import UsageError, check_output, check_space, find_checkpoint
from hdrgan.training.records import cut_after
from train_accelerate import main


def make_checkpoint(states, step):
    folder = checkpoints.checkpoint_folder(states, step)
    temporary = checkpoints.start_folder(folder)
    (temporary / "model.safetensors").write_bytes(b"weights" * step)
    checkpoints.seal(temporary, {"step": step, "samples": 8 * step})
    checkpoints.commit_folder(folder)
    return folder


def test_a_checkpoint_has_no_name_before_it_is_whole(tmp_path):
    folder = checkpoints.checkpoint_folder(tmp_path, 5)
    checkpoints.start_folder(folder)
    assert checkpoints.list_checkpoints(tmp_path) == []
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    assert checkpoints.newest_checkpoint(tmp_path) is None


def test_the_newest_whole_checkpoint_is_found(tmp_path):
    for step in (5, 10, 15):
        make_checkpoint(tmp_path, step)
    assert checkpoints.newest_checkpoint(tmp_path).name == "step_000015"
    (tmp_path / "step_000015" / "model.safetensors").write_bytes(b"cut off")
    assert checkpoints.newest_checkpoint(tmp_path).name == "step_000010"
    (tmp_path / "step_000010" / "model.safetensors").unlink()
    assert checkpoints.newest_checkpoint(tmp_path).name == "step_000005"
    (tmp_path / "step_000005" / "trainer.json").write_text('{"step": 5')
    assert checkpoints.newest_checkpoint(tmp_path) is None


def test_a_flipped_byte_is_named_passed_over_and_refused(tmp_path, caplog):
    for step in (5, 10):
        folder = make_checkpoint(tmp_path / "state", step)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[3] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert find_checkpoint(tmp_path, "latest").name == "step_000005"
    assert "step_000010 is damaged: model.safetensors is not what was written, its SHA-256 differs" in caplog.text
    with pytest.raises(UsageError, match="step_000010 is damaged: model.safetensors is not what was written"):
        find_checkpoint(tmp_path, str(folder))


def test_older_checkpoints_go_when_newer_ones_are_there(tmp_path):
    for step in (5, 10, 15, 20):
        make_checkpoint(tmp_path, step)
    checkpoints.remove_older(tmp_path, 15)  # step 20 is of a run that was gone back on
    assert [step for step, _ in checkpoints.list_checkpoints(tmp_path)] == [10, 15]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for content in ("old", "new"):
        temporary = checkpoints.start_folder(tmp_path / "generator")
        (temporary / content).write_text(content)
        checkpoints.commit_folder(tmp_path / "generator")
    assert [path.name for path in (tmp_path / "generator").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["generator"]


def test_a_write_that_fails_is_named_and_other_errors_are_not_hidden(tmp_path):
    with pytest.raises(CheckpointError, match="place could not be written: .*No space"), checkpoints.writing("place"):
        raise OSError(28, "No space left on device")
    with pytest.raises(CheckpointError, match="could not be written"), checkpoints.writing("place"):
        torch.save({"x": torch.ones(3)}, str(tmp_path / "missing" / "file.bin"))
    with pytest.raises(RuntimeError, match="sizes differ"), checkpoints.writing("place"):
        raise RuntimeError("sizes differ")


def test_the_cosine_is_counted_in_samples():
    bracket = RECIPES["bracket"]
    assert learning_rate_factor(bracket, 0, total=100, epoch=10) == 1
    assert learning_rate_factor(bracket, 50, total=100, epoch=10) == pytest.approx(0.5)
    assert learning_rate_factor(bracket, 100, total=100, epoch=10) == pytest.approx(0)


def test_radiance_warms_up():
    rates = [learning_rate_factor(RECIPES["radiance"], k, total=1000, epoch=10) for k in range(0, 1000, 5)]
    assert rates[0] < 0.1
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates.index(max(rates)) in (4, 5)


def test_ein_restarts_warmly_every_25_epochs():
    ein = RECIPES["ein"]
    assert learning_rate_factor(ein, 249, total=2000, epoch=10) < 0.01
    assert learning_rate_factor(ein, 250, total=2000, epoch=10) == 1
    assert learning_rate_factor(ein, 375, total=2000, epoch=10) == pytest.approx(0.5)


def test_the_encoder_learns_slower_than_the_rest_and_parts_can_be_frozen():
    network = RadianceGenerator(widths=(8, 8, 8, 8))
    groups = rate_groups(network)
    assert [group["rate"] for group in groups] == [1.0, 0.2]
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    encoder = {id(p) for p in network.network.encoder.parameters()}
    assert {id(p) for p in groups[1]["params"]} == encoder
    freeze(network, "network.encoder")
    assert [group["rate"] for group in rate_groups(network)] == [1.0]
    assert not encoder & {id(p) for group in rate_groups(network) for p in group["params"]}
    with pytest.raises(UsageError, match=r"no part 'nothing'; it has network\.encoder"):
        freeze(network, "nothing")


def test_validation_photos_are_spread_evenly():
    assert spread(3, 8) == [0, 1, 2]
    assert spread(100, 4) == [0, 25, 50, 75]
    assert spread(0, 4) == []


def test_too_little_space_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free={tmp_path: 10**6}[path]))
    with pytest.raises(UsageError, match="1 MB left, and this run's checkpoints take 2 MB"):
        check_space(tmp_path, 2 * 10**6)
    check_space(tmp_path, 10**6)


def test_an_output_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        check_output(tmp_path / "file" / "run", None)


def test_an_output_that_cannot_be_written_ends_the_run_before_the_data_are_read(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    arguments = ["--model", "bracket", "--dataset", str(tmp_path / "nowhere"), "--output", str(tmp_path / "file")]
    assert main([*arguments, "--cpu"]) == 2
    assert f"--output {tmp_path / 'file'} cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ("--batch-size 0", "--batch-size"),
        ("--steps 0", "--steps"),
        ("--steps 5 --epochs 2", "not allowed with"),
        ("--learning-rate nan", "--learning-rate"),
        ("--ema 1", "--ema"),
        ("--validation-share 1", "--validation-share"),
        ("--crop-size 64 --view-size 32", "--view-size"),
        ("--model ein --adversarial-weight 1", "discriminator"),
        ("--model nothing", "--model"),
        ("--freeze response", "--init"),
        ("--keep 0", "--keep"),
        ("--gradient-checkpointing", "for ein"),
    ],
)
def test_arguments_that_make_no_sense_end_with_code_2(flags, word, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--model", "bracket", "--dataset", "d", "--output", "o", *flags.split()])
    assert caught.value.code == 2
    assert word in capsys.readouterr().err


def test_every_flag_of_the_issue_is_there_with_its_default_shown(root):
    done = subprocess.run(
        [sys.executable, str(root / "train_accelerate.py"), "--help"], capture_output=True, text=True, check=True
    )
    text = " ".join(done.stdout.split())
    for flag in (
        "model dataset output layout steps epochs batch-size learning-rate crop-size l1-weight adversarial-weight "
        "gradient-accumulation-steps mixed-precision ema seed resume skip-bad log-with push-to-hub width init freeze"
    ).split():
        assert f"--{flag} " in text
    assert "0.0002 bracket, 0.0004 radiance, 0.0001 ein" in text
    assert "(default: 8)" in text
    assert "(default: None)" not in text


def test_a_crop_that_the_network_cannot_take_is_refused(tmp_path, capsys):
    data = make_brackets(tmp_path / "data", scenes=2)
    arguments = ["--model", "bracket", "--dataset", str(data), "--output", str(tmp_path / "run"), "--crop-size", "30"]
    assert main([*arguments, "--cpu"]) == 2
    assert "--crop-size must be a multiple of 4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ("--init nobody", "--init nobody: There is no folder nobody"),
        ("--init /nonexist", "--init /nonexist: There is no folder /nonexist"),
        ("--init ein", "--init ein: ein holds an EIN, not a BracketGenerator"),
        ("--init STATE", "has no config.json"),
        ("--model ein --width 4", "--width 4: width must be a positive multiple of 8"),
        ("--model ein --width 8 --crop-size 64", "--crop-size must be a multiple of 8 and at least 72"),
        ("--crop-size 30", "--crop-size must be a multiple of 4"),
        ("--responses /nonexist.npz", "--responses /nonexist.npz: there is no such file"),
        ("--responses DAMAGED", "cannot be read"),
        ("--init bracket --freeze nothing", "has no part 'nothing'"),
        ("--push-to-hub nobody", "'nobody' is not a name on the Hub"),
        ("--log-with wandb", "pip install wandb"),
    ],
)
def test_what_the_user_must_change_is_said_in_a_sentence_before_the_data_are_read(tmp_path, capsys, flags, word):
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(b"PK nothing")
    state = make_checkpoint(tmp_path, 4)
    flags = flags.replace("DAMAGED", str(damaged)).replace("STATE", str(state))
    arguments = ["--dataset", str(tmp_path / "nowhere"), "--output", str(tmp_path / "run"), "--cpu", *flags.split()]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert word in said
    assert said.count("\n") == 1
    assert "nowhere" not in said


def test_flags_of_the_published_trainers_are_understood(tmp_path):
    line = "--model ein --root_path ./data --max_epoch 3 --batch_size=4 --lr 1e-4 --push_to_hub some_body/some_name"
    args = parse_args("trains\n\nexamples", line.split())
    assert (args.dataset, args.epochs, args.batch_size, args.learning_rate) == ("./data", 3, 4, 1e-4)
    assert args.push_to_hub == "some_body/some_name", "values stay as they are"
    assert parse_args("trains\n\nexamples", ["--dataset", "x"]).model == "bracket"


def test_the_line_of_the_published_trainer_of_ein_trains_ein(capsys):
    line = "--train True --root_path ./data --max_epoch 200 --batch_size 8 --lr 1e-4".split()
    args = parse_args("trains\n\nexamples", line)
    assert (args.model, args.dataset, args.epochs, args.learning_rate) == ("ein", "./data", 200, 1e-4)
    assert parse_args("trains\n\nexamples", [*line, "--model", "bracket"]).model == "bracket"
    with pytest.raises(SystemExit) as caught:
        main(["--train", "False", *line[2:]])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "--train False asks for a test, and this trains: test with hdrgan reconstruct or hdrgan evaluate" in said


def test_every_tracker_of_accelerate_is_offered():
    from accelerate.utils import LoggerType

    assert set(TRACKERS) == {str(tracker) for tracker in LoggerType} - {"all"}


class NoFolders:
    """An `os` that behaves as that of Windows: folders cannot be opened, and only what may be written is flushed."""

    def __init__(self):
        self.modes = {}

    def open(self, path, flags, *rest, **options):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        self.modes[handle := os.open(path, flags, *rest, **options)] = flags
        return handle

    def fsync(self, handle):
        if handle in self.modes and not self.modes[handle] & (os.O_RDWR | os.O_WRONLY):
            raise OSError(9, "Bad file descriptor")

    def __getattr__(self, name):
        if name == "O_DIRECTORY":
            raise AttributeError(name)
        return getattr(os, name)


def test_checkpoints_can_be_written_where_folders_cannot_be_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "os", NoFolders())
    assert checkpoints.read_progress(make_checkpoint(tmp_path, 5))["step"] == 5


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"step": -3}, "where the run stood"),
        ({"samples": True}, "where the run stood"),
        ({"seconds": float("nan")}, "where the run stood"),
        ({"settings": [1]}, "where the run stood"),
        ({"files": {"model.safetensors": 35}}, "trainer.json"),
        ({"files": {"other.bin": {"size": 3, "sha256": "0"}}}, "missing or cut off"),
    ],
)
def test_a_checkpoint_that_says_nonsense_is_refused_by_name(tmp_path, change, word):
    folder = make_checkpoint(tmp_path, 5)
    progress = json.loads((folder / "trainer.json").read_text())
    (folder / "trainer.json").write_text(json.dumps(progress | change))
    with pytest.raises(UsageError, match=word):
        find_checkpoint(tmp_path, str(folder))


def test_recomputed_activations_give_the_same_gradients(one_seeded_thread):
    plain, spared = EIN(width=8), EIN(width=8)
    spared.load_state_dict(plain.state_dict())
    checkpoint_activations(spared)
    srgb, held = torch.rand(1, 3, 72, 72), []
    for network in (plain, spared):
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, kept=kept: kept.append(x.numel()) or x, lambda x: x):
            loss = network(srgb).square().mean()
        held.append(sum(kept))
        loss.backward()
    assert held[1] < held[0] / 3
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(plain.parameters(), spared.parameters(), strict=True))


@pytest.mark.parametrize("name", ["latest", "state/step_000009"])
def test_resuming_from_nothing(tmp_path, name):
    if name == "latest":  # the same command line can be used for every start
        assert find_checkpoint(tmp_path, name) is None
    else:
        with pytest.raises(UsageError, match="not a complete checkpoint"):
            find_checkpoint(tmp_path, name)


def spoil_pairs(root):
    (root / "train_SDR" / "0.png").write_bytes(b"nothing")
    (root / "train_HDR" / "1.hdr").unlink()
    return ["train_SDR/0.png: ", "train.xls row 3: missing file train_HDR/1.hdr"]


def spoil_table(root):
    table = root / "train.xls"
    shutil.copy(root / "valid_SDR" / "0.png", table)
    return ["train.xls: cannot be read: "]


def spoil_scenes(root):
    file = root / "scene_1.exr"
    file.write_bytes(file.read_bytes()[:-900])
    (root / "text.hdr").write_text("no picture")
    return ["scene_1.exr: ", "text.hdr: "]


@pytest.mark.parametrize(
    ("make", "spoil", "model"),
    [(make_pairs, spoil_pairs, "ein"), (make_pairs, spoil_table, "ein"), (make_scenes, spoil_scenes, "radiance")],
)
def test_faults_of_the_other_layouts_end_with_code_2(tmp_path, capsys, make, spoil, model):
    side = 80 if model == "ein" else 64
    data = make(tmp_path / "data", side=side)
    lines = spoil(data)
    arguments = ["--model", model, "--dataset", str(data), "--output", str(tmp_path / "run"), "--cpu"]
    flags = ["--crop-size", {"ein": "72", "radiance": "64"}.get(model, "32"), "--views", "2"]
    assert main([*arguments, *flags]) == 2
    said = capsys.readouterr().err.splitlines()
    for line in lines:
        assert sum(one.startswith(line) for one in said) == 1, said
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_records_are_cut_behind_the_checkpoint(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps({"step": k, "loss": 0.5}) + "\n" for k in range(1, 8)) + '{"step": 8, "lo')
    assert cut_after(file, 5) == {"step": 5, "loss": 0.5}
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 2, 3, 4, 5]
