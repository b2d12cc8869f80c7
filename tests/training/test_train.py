"""The trainer as its users meet it: the real script, run from outside on networks of a few channels."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from local_hub import LocalHub
from PIL import Image
from safetensors.torch import load, load_file, save_file
from small_sets import lines_of, make_brackets, make_scenes

from hdrgan import EIN, BracketGenerator, PatchDiscriminator, Pipeline, RadianceGenerator
from hdrgan.models.weights_file import sha256_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "train_accelerate.py"
SMALL = "--batch-size 2 --crop-size 32 --workers 0 --validation-photos 1 --validate-every 100".split()
BRACKET = ["--model", "bracket", "--width", "8", *SMALL]
OTHERS = {
    "radiance": "--model radiance --width 4 --crop-size 64 --views 1",
    "ein": "--model ein --width 8 --crop-size 72",
}


def run_script(*arguments, env, code=0, **options):
    """Run the script as its users start it, in a new Python, where that matters; returns what it said."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    options = {"capture_output": True, "text": True, "timeout": 1200, "env": env, **options}
    done = subprocess.run(command, check=False, **options)
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(script, *arguments, env):
    """Start two CPU processes with accelerate's own launcher."""
    flags = "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no".split()
    command = [sys.executable, "-m", "accelerate.commands.launch", *flags, "--main_process_port", str(free_port())]
    command += [str(script), "--cpu", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def both_ranks(trainer, arguments, *outputs):
    """One process on each of two machines, as torchrun does it, with these outputs: what each said, and its code."""
    job = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "ACCELERATE_USE_CPU": "true"}
    job |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [
        trainer.start(*arguments, "--cpu", "--output", output, **job, RANK=str(rank))
        for rank, output in enumerate(outputs)
    ]
    ended = [rank.wait(600) for rank in ranks]
    return [(done.stdout + done.stderr, done.returncode) for done in ended]


def losses(output):
    return [line["loss"] for line in lines_of(output / "metrics.jsonl")]


@pytest.fixture(scope="module")
def brackets(tmp_path_factory):
    return make_brackets(tmp_path_factory.mktemp("brackets") / "data", scenes=4, each=2)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, brackets, run):
    """A whole run of four steps with a checkpoint at two, in the middle of an epoch."""
    output = tmp_path_factory.mktemp("finished") / "run"
    said = run(*BRACKET, "--dataset", brackets, "--output", output, "--steps", 4, "--checkpoint-every", 2)
    return output, said


def test_a_run_leaves_everything_behind(finished):
    output, said = finished
    present = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    state = {
        *("model.safetensors", "model_1.safetensors", "optimizer.bin", "optimizer_1.bin", "ema.safetensors"),
        *("random_states_0.pkl", "trainer.json"),
    }
    network = {"model.safetensors", "config.json", "README.md", "SHA256SUMS"}
    assert present == {
        "args.json",
        "metrics.jsonl",
        "validation.jsonl",
        "samples/step_000000.png",
        "samples/step_000004.png",
        *(f"state/step_{step:06d}/{name}" for step in (2, 4) for name in state),
        *(f"state/step_{step:06d}/generator/{name}" for step in (2, 4) for name in network),
        "state/step_000004/generator/evaluation.json",
        *(f"generator/{name}" for name in {*network, "evaluation.json"}),
        *(f"discriminator/{name}" for name in network),
    }
    assert json.loads((output / "args.json").read_text())["processes"] == 1
    assert [line["step"] for line in lines_of(output / "metrics.jsonl")] == [1, 2, 3, 4]
    assert "identity" in said
    for title in ("PSNR, dB", "SSIM"):
        assert re.search(title + r"  +EV -4 +EV -2 +EV \+0 +EV \+2 +EV \+4\nidentity .*\nbracket ", said)


def test_the_networks_load_strictly_and_the_generator_is_the_averaged_one(finished):
    output, _ = finished
    generator = BracketGenerator.from_pretrained(output / "generator", strict=True)
    assert generator.width == 8
    assert generator.evs == (-4, -2, 0, 2, 4)
    PatchDiscriminator.from_pretrained(output / "discriminator", strict=True)
    average = load_file(output / "state" / "step_000004" / "ema.safetensors")
    trained = load_file(output / "state" / "step_000004" / "model.safetensors")
    assert all(torch.equal(average[name], value) for name, value in generator.state_dict().items())
    assert any(not torch.equal(average[name], trained[name]) for name in average)


def test_the_card_has_the_measured_table_with_identity(finished):
    output, _ = finished
    card = (output / "generator" / "README.md").read_text()
    last = lines_of(output / "validation.jsonl")[-1]
    for system in ("identity", "bracket"):
        rows = (line for line in card.splitlines() if line.startswith("|"))
        row = next(line for line in rows if line.split("|")[1].strip(" *") == system)
        assert f"{last[system]['bracket_psnr']['-4']:.2f}" in row
    assert "A **validation, not a test**: measured by `train_accelerate.py`" in card


def test_validation_has_a_line_with_identity_beside_the_network(finished):
    first, last = lines_of(finished[0] / "validation.jsonl")
    assert (first["step"], last["step"]) == (0, 4)
    for line in (first, last):
        assert set(line["bracket"]["bracket_psnr"]) == {"-4", "-2", "+0", "+2", "+4"}
        assert set(line["bracket"]["bracket_ssim"]) == {"-4", "-2", "+0", "+2", "+4"}
        assert line["identity"]["bracket_psnr"]["+0"] == 100
        assert line["l1"] == line["bracket"]["bracket_l1"]
    assert first["l1"] != last["l1"]


def test_sample_sheets_show_the_same_photos(finished):
    sheets = [Image.open(finished[0] / "samples" / f"step_{step:06d}.png") for step in (0, 4)]
    assert sheets[0].size == sheets[1].size
    first_column = [sheet.crop((0, 0, sheet.width // 6, sheet.height)).tobytes() for sheet in sheets]
    assert first_column[0] == first_column[1]
    assert sheets[0].tobytes() != sheets[1].tobytes()


def test_resuming_in_mid_epoch_continues_exactly(finished, brackets, tmp_path, run):
    whole = finished[0]
    output = tmp_path / "run"
    shutil.copytree(whole, output)
    shutil.rmtree(output / "state" / "step_000004")
    shutil.rmtree(output / "generator")
    shutil.rmtree(output / "discriminator")
    with (output / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 5, "lo')  # killed while it wrote
    said = run(
        *BRACKET, "--dataset", brackets, "--output", output, "--steps", 4, "--checkpoint-every", 2, "--resume", "latest"
    )
    assert "resumed from" in said
    assert [line["step"] for line in lines_of(output / "metrics.jsonl")] == [1, 2, 3, 4]
    assert losses(output) == losses(whole)
    for name in ("model", "model_1", "ema"):
        one, two = (load_file(o / "state" / "step_000004" / f"{name}.safetensors") for o in (whole, output))
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_run_is_not_written_over(finished, brackets, run):
    said = run(*BRACKET, "--dataset", brackets, "--output", finished[0], "--steps", 4, code=2)
    assert "--resume latest" in said


def test_a_finished_run_can_be_published(finished, brackets, tmp_path, environment):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)
    arguments = [*BRACKET, "--dataset", brackets, "--output", output, "--steps", 4, "--resume", "latest"]
    with LocalHub() as hub:
        env = environment | hub.environment(tmp_path / "home", token=True)
        said = run_script(
            *arguments, "--push-to-hub", "tester/five", env={k: v for k, v in env.items() if k != "HF_HUB_OFFLINE"}
        )
        files = hub.repos["model", "tester/five"].head.files
    assert hub.url in said
    assert {"model.safetensors", "config.json", "README.md", "SHA256SUMS", "evaluation.json"} <= files.keys()
    published, own = (
        load(files["model.safetensors"].content),
        load_file(finished[0] / "generator" / "model.safetensors"),
    )
    assert published.keys() == own.keys()
    assert all(torch.equal(published[name], own[name]) for name in own)
    assert b"identity" in files["README.md"].content
    assert any(name.startswith("samples/") for name in files)


TWO_RANKS = """
import sys
sys.path.insert(0, {root!r})
import torch, train_accelerate

class Run(train_accelerate.Run):
    def finish(self):
        rank = self.accelerator.process_index
        assert self.accelerator.num_processes == 2
        weights = [self.accelerator.unwrap_model(network).state_dict() for network in self.trained]
        torch.save([*weights, self.ema.state_dict()], self.args.output / f"rank_{{rank}}.pt")
        super().finish()

train_accelerate.Run = Run
sys.exit(train_accelerate.main())
"""


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory, brackets, environment):
    folder = tmp_path_factory.mktemp("two")
    script = folder / "two_ranks.py"
    script.write_text(TWO_RANKS.format(root=str(ROOT)))
    arguments = [*BRACKET, "--dataset", brackets, "--output", folder / "run", "--steps", 20, "--checkpoint-every", 11]
    arguments[arguments.index("--batch-size") + 1] = 4
    launch(script, *arguments, env=environment)
    return arguments, folder / "run"


def test_two_processes_are_two_and_keep_equal_weights(two_processes):
    _, output = two_processes
    assert json.loads((output / "args.json").read_text())["processes"] == 2
    ranks = [torch.load(output / f"rank_{rank}.pt", weights_only=True) for rank in (0, 1)]
    for one, two in zip(*ranks, strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert (output / "state" / "step_000011" / "random_states_1.pkl").exists()


def test_the_global_batch_and_not_the_process_count_decides_the_result(two_processes, brackets, tmp_path, run):
    arguments = [*BRACKET, "--dataset", brackets, "--output", tmp_path / "run", "--steps", 20]
    arguments[arguments.index("--batch-size") + 1] = 8
    run(*arguments)
    two, one = losses(two_processes[1]), losses(tmp_path / "run")
    assert len(set(one)) == 20
    assert one == pytest.approx(two, rel=1e-4)


def test_accumulated_passes_are_one_large_batch(tmp_path, run):
    scenes = make_scenes(tmp_path / "scenes")
    found = []
    for batch_size, passes in ((8, 1), (2, 4)):
        output = tmp_path / str(passes)
        arguments = ["--model", "radiance", "--width", 4, "--dataset", scenes, "--output", output, *SMALL, "--views", 3]
        arguments += ["--view-size", 64, "--crop-size", 64]
        arguments[arguments.index("--batch-size") + 1] = batch_size
        run(*arguments, "--steps", 6, "--gradient-accumulation-steps", passes)
        found.append(losses(output))
    assert found[0] == pytest.approx(found[1], rel=1e-4)
    assert len(set(found[0])) == 6


def test_two_processes_resume_exactly(two_processes, tmp_path, trainer):
    arguments, whole = two_processes
    output = tmp_path / "run"
    shutil.copytree(whole, output)
    shutil.rmtree(output / "state" / "step_000020")
    (said, code), (_, other) = both_ranks(trainer, [*arguments, "--resume", "latest"], output, output)
    assert (code, other) == (0, 0), said
    assert "resumed from" in said
    assert losses(output) == losses(whole)


def test_radiance_trains_on_hdr_scenes_and_starts_from_given_weights(tmp_path, run):
    scenes = make_scenes(tmp_path / "scenes")
    common = [
        "--model",
        "radiance",
        "--dataset",
        scenes,
        *SMALL,
        "--views",
        2,
        "--view-size",
        64,
        "--crop-size",
        64,
        "--steps",
        2,
    ]
    said = run(*common, "--output", tmp_path / "one", "--width", 4, "--log-with", "tensorboard")
    assert "PU21-PSNR" in said
    generator = RadianceGenerator.from_pretrained(tmp_path / "one" / "generator", strict=True)
    assert list((tmp_path / "one").rglob("events.out.tfevents*"))
    assert not (tmp_path / "one" / ".cache").exists()
    assert not (tmp_path / "one" / "discriminator").exists()

    # With an adversarial weight it is trained as a conditional GAN, from the weights of the first run.
    init = ["--init", tmp_path / "one" / "generator", "--learning-rate", 1e-12, "--adversarial-weight", 1]
    run(*common, "--output", tmp_path / "two", *init, "--gradient-accumulation-steps", 2, "--mixed-precision", "bf16")
    again = RadianceGenerator.from_pretrained(tmp_path / "two" / "generator", strict=True)
    for name, value in generator.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], atol=1e-6)
    assert PatchDiscriminator.from_pretrained(tmp_path / "two" / "discriminator", strict=True).exposures == 5
    assert {"adversarial", "discriminator", "energy"} <= lines_of(tmp_path / "two" / "metrics.jsonl")[0].keys()

    run(
        *common, "--output", tmp_path / "three", "--init", tmp_path / "one" / "generator", "--freeze", "network.encoder"
    )
    third = RadianceGenerator.from_pretrained(tmp_path / "three" / "generator", strict=True).state_dict()
    for name, value in generator.state_dict().items():
        assert torch.equal(value, third[name]) or not name.startswith("network.encoder."), name


def test_a_broken_data_set_ends_with_code_2_and_a_line_for_each_fault(tmp_path, run):
    data = make_brackets(tmp_path / "data", scenes=5)
    (data / "Scene_0" / "images" / "0_1.png").write_bytes(b"\x89PNG")
    (data / "Scene_1" / "images" / "0_4.png").unlink()
    Image.new("RGB", (60, 48), "white").save(data / "Scene_2" / "images" / "0_4.png")
    dark, bright = (data / "Scene_3" / "images" / f"0_{k}.png" for k in (0, 4))
    dark.rename(data / "swap.png")
    bright.rename(dark)
    (data / "swap.png").rename(bright)
    arguments = [*BRACKET, "--dataset", data, "--output", tmp_path / "run", "--steps", 2]
    said = run(*arguments, code=2)
    for line in (
        "Scene_0/images/0_1.png: ",
        "Scene_1/images/0: 4 of 5 exposures, missing 0_4",
        "Scene_2/images/0: mixed sizes: ",
        "Scene_3/images/0: order contradicts brightness: ",
    ):
        assert sum(one.startswith(line) for one in said.splitlines()) == 1, line
    assert "has 4 faults" in said
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert "left out 4 bad files or rows" in run(*arguments, "--skip-bad")


def test_a_loss_that_is_no_number_ends_the_run_and_is_never_checkpointed(brackets, tmp_path, run):
    output = tmp_path / "run"
    arguments = [*BRACKET, "--dataset", brackets, "--output", output, "--steps", 60, "--checkpoint-every", 1]
    # The first step throws the weights out to 1e30, and nothing finite comes of them after that.
    said = run(*arguments, "--learning-rate", 1e30, "--adversarial-weight", 0, "--ema", 0, code=1)
    assert "10 steps in a row" in said
    lines = lines_of(output / "metrics.jsonl")
    assert all(line["loss"] is None for line in lines[-10:])
    assert lines[-1]["skipped"] >= 10
    assert [line["step"] for line in lines if line["loss"] is not None] == [1]
    assert [folder.name for folder in (output / "state").iterdir()] == ["step_000001"]
    weights = load_file(output / "state" / "step_000001" / "model.safetensors")
    assert all(value.isfinite().all() for value in weights.values())


def test_a_full_disk_leaves_the_last_checkpoint_and_names_the_path(brackets, tmp_path, run, environment):
    output = tmp_path / "run"
    arguments = [*BRACKET, "--dataset", brackets, "--output", output]
    run(*arguments, "--steps", 2, "--checkpoint-every", 2)
    before = {path: path.read_bytes() for path in (output / "state").rglob("*") if path.is_file()}

    def no_large_files():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails as it does on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    arguments += ["--steps", 4, "--resume", "latest", "--cache-gb", 0]
    said = run_script(*arguments, code=1, env=environment, preexec_fn=no_large_files)
    assert "step_000004 could not be written" in said
    assert "Traceback" not in said
    assert {path: path.read_bytes() for path in before} == before
    assert [path.name for path in (output / "state").iterdir() if not path.name.startswith(".")] == ["step_000002"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("model", ["bracket", "radiance", "ein"])
def test_a_signal_ends_the_run_with_a_checkpoint_and_a_network(brackets, tmp_path, number, model, trainer):
    output = tmp_path / "run"
    if model == "bracket":
        arguments = [*BRACKET, "--dataset", brackets]
    else:
        arguments = ["--dataset", make_scenes(tmp_path / "scenes", count=2, side=80), *SMALL, *OTHERS[model].split()]
    arguments += ["--output", output, "--steps", 100_000, "--workers", 1]
    process = trainer.start(*arguments)
    deadline = time.monotonic() + 300
    while not (output / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    # As a cluster ends a job: the signal goes to the whole group, to the processes that read data as well.
    os.killpg(process.pid, number)
    done = process.wait(300)
    said = done.stdout + done.stderr
    assert done.returncode == 128 + number, said
    assert "Traceback" not in said
    steps = lines_of(output / "metrics.jsonl")[-1]["step"]
    assert (output / "state" / f"step_{steps:06d}" / "trainer.json").exists()
    weights = load_file(output / "state" / f"step_{steps:06d}" / "ema.safetensors")
    network = {"bracket": BracketGenerator, "radiance": RadianceGenerator, "ein": EIN}[model]
    for name in ("ein" if model == "ein" else "generator", f"state/step_{steps:06d}/generator"):
        kept = network.from_pretrained(output / name).state_dict()
        assert all(torch.equal(weights[key], value) for key, value in kept.items())


def test_a_killed_run_leaves_the_network_of_a_checkpoint_and_as_many_checkpoints_as_asked(brackets, tmp_path, trainer):
    output = tmp_path / "run"
    flags = "--steps 100000 --checkpoint-every 1 --keep 3".split()
    process = trainer.start(*BRACKET, "--dataset", brackets, "--output", output, *flags)
    deadline = time.monotonic() + 600
    while not (output / "state" / "step_000005").exists():
        assert not process.has_ended(), process.wait()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(60).returncode == -signal.SIGKILL
    kept = sorted(folder.name for folder in (output / "state").iterdir() if not folder.name.startswith("."))
    assert len(kept) in (3, 4), "the newest is there before the oldest goes"
    networks = [load_file(output / "state" / name / "ema.safetensors") for name in kept]
    network = BracketGenerator.from_pretrained(output / "generator")
    steps = network.training_summary["steps"]
    assert f"step_{steps:06d}" in kept or f"step_{steps + 1:06d}" in kept
    if f"step_{steps:06d}" in kept:
        average = networks[kept.index(f"step_{steps:06d}")]
        assert all(torch.equal(average[name], value) for name, value in network.state_dict().items())
    for name, average in zip(kept, networks, strict=True):
        pipeline = Pipeline.from_pretrained(output / "state" / name / "generator")
        assert all(torch.equal(average[key], value) for key, value in pipeline.model.state_dict().items())
        assert pipeline.model.training_summary["steps"] == int(name.removeprefix("step_"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_step_1_ends_the_run_at_once(tmp_path, number, environment):
    data = make_brackets(tmp_path / "data", scenes=1)
    script = tmp_path / "slow.py"
    script.write_text(
        f"import sys, time; sys.path.insert(0, {str(ROOT)!r}); import train_accelerate\n"
        "train_accelerate.check_data = lambda *_: (print('reading', flush=True), time.sleep(300))\n"
        "sys.exit(train_accelerate.main())\n"
    )
    command = [sys.executable, str(script), *BRACKET, "--dataset", str(data), "--output", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "reading\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert said.splitlines()[-1] == f"stopped by {number.name} before step 1"
    assert "Traceback" not in said


def test_the_shortest_line_trains_the_published_network_into_a_dated_folder(brackets, tmp_path, environment):
    flags = "--batch_size 2 --crop_size=32 --workers 0 --validation_photos 1 --width 8 --steps 1".split()
    run_script("--dataset", brackets, *flags, cwd=tmp_path, env=environment)
    (output,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"bracket-\d{8}-\d{6}", output.name)
    assert BracketGenerator.from_pretrained(output / "generator").width == 8


def test_compiled_networks_train_with_their_discriminator(brackets, tmp_path, run, environment):
    common = [*BRACKET, "--dataset", brackets, "--steps", 2]
    run_script(*common, "--output", tmp_path / "compiled", "--compile", env=environment)
    run(*common, "--output", tmp_path / "plain")
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-3)
    assert BracketGenerator.from_pretrained(tmp_path / "compiled" / "generator").width == 8


@pytest.mark.parametrize("flags", OTHERS.values())
def test_the_other_networks_train_compiled(tmp_path, flags, run):
    scenes = make_scenes(tmp_path / "scenes", count=2, side=80)
    common = ["--dataset", scenes, *SMALL, *flags.split(), "--steps", 1]
    run(*common, "--output", tmp_path / "run", "--compile", "eager")
    assert len(losses(tmp_path / "run")) == 1


@pytest.mark.slow
@pytest.mark.weekly
@pytest.mark.parametrize("flags", OTHERS.values())
def test_the_other_networks_train_compiled_for_speed(tmp_path, flags, run, environment):
    scenes = make_scenes(tmp_path / "scenes", count=2, side=80)
    common = ["--dataset", scenes, *SMALL, *flags.split(), "--steps", 2]
    compiler = tmp_path / "g++"  # what it makes runs for two steps: not worth the time that its best takes
    compiler.write_text(f'#!/bin/sh\nexec {shutil.which("g++")} "$@" -O0\n')
    compiler.chmod(0o755)
    environment = environment | {"CXX": str(compiler)}
    run_script(*common, "--output", tmp_path / "compiled", "--compile", env=environment, timeout=7200)
    run(*common, "--output", tmp_path / "plain")
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-3)


def damage(file, at=-5):
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.bin", "random_states_0.pkl"])
def test_a_damaged_newest_checkpoint_is_named_and_passed_over(brackets, finished, tmp_path, name, run):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)
    damage(output / "state" / "step_000004" / name)
    arguments = [*BRACKET, "--dataset", brackets, "--output", output, "--steps", 4]
    said = run(*arguments, "--resume", output / "state" / "step_000004", code=2)
    assert f"step_000004 is damaged: {name} is not what was written" in said
    assert "Traceback" not in said
    said = run(*arguments, "--resume", "latest")
    assert f"step_000004 is damaged: {name} is not what was written" in said
    assert "step_000002 at step 2" in said
    assert losses(output) == losses(finished[0])


def forge(file, change):
    """Change a file of a checkpoint, and write the hash that belongs to it."""
    if file.suffix == ".bin":
        content = torch.load(file, weights_only=True)
        change(content)
        torch.save(content, file)
    else:
        content = load_file(file)
        change(content)
        save_file(content, file, metadata={"format": "pt"})
    folder = file.parent
    progress = json.loads((folder / "trainer.json").read_text())
    progress["files"][file.name] = {"size": file.stat().st_size, "sha256": sha256_of(file)}
    (folder / "trainer.json").write_text(json.dumps(progress))


@pytest.mark.parametrize("name", ["model.safetensors", "model_1.safetensors", "ema.safetensors"])
@pytest.mark.parametrize("fault", ["another shape", "no number"])
def test_a_checkpoint_that_was_forged_with_the_right_hash_is_refused(brackets, finished, tmp_path, name, fault, run):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)
    tensor = min(load_file(output / "state" / "step_000004" / name))

    def change(tensors):
        if fault == "another shape":
            tensors[tensor] = torch.zeros(3, 5, 7)
        else:
            tensors[tensor].view(-1)[-1] = float("nan")

    forge(output / "state" / "step_000004" / name, change)
    before = (output / "metrics.jsonl").read_text()
    said = run(*BRACKET, "--dataset", brackets, "--output", output, "--steps", 5, "--resume", "latest", code=1)
    line = said.splitlines()[-1]
    assert line.startswith(f"error: {output / 'state' / 'step_000004'} ")
    assert ("does not fit these networks" if fault == "another shape" else f"has values in {tensor} that") in line
    assert "Traceback" not in said
    assert (output / "metrics.jsonl").read_text() == before


def test_moments_that_are_no_numbers_are_refused(brackets, finished, tmp_path, run):
    output = tmp_path / "run"
    shutil.copytree(finished[0], output)

    def change(state):
        state["state"][1]["exp_avg"].view(-1)[0] = float("inf")

    forge(output / "state" / "step_000004" / "optimizer.bin", change)
    said = run(*BRACKET, "--dataset", brackets, "--output", output, "--steps", 5, "--resume", "latest", code=1)
    assert "has values in exp_avg of parameter 1 of an optimizer that are not finite" in said


def test_two_machines_without_a_shared_output_are_refused(brackets, tmp_path, trainer):
    arguments = [*BRACKET, "--dataset", brackets, "--steps", 2]
    (said, code), (_, other) = both_ranks(trainer, arguments, tmp_path / "one", tmp_path / "two")
    assert code != 0
    assert other != 0
    assert "all machines of a run must share it" in said
    assert not (tmp_path / "one" / "state").exists()
    for said, code in both_ranks(trainer, arguments, tmp_path / "shared", tmp_path / "shared"):
        assert code == 0, said
    state = tmp_path / "shared" / "state" / "step_000002"
    assert (state / "random_states_1.pkl").exists()
    assert not list((tmp_path / "shared").glob(".*"))


def test_what_a_fine_tuned_network_began_with_is_told(finished, brackets, tmp_path, run):
    output = tmp_path / "run"
    init = ["--init", finished[0] / "generator", "--log-with", "tensorboard"]
    arguments = [word for word in BRACKET if word not in ("--width", "8")]
    run(*arguments, "--dataset", brackets, "--output", output, "--steps", 1, *init)
    base = BracketGenerator.from_pretrained(finished[0] / "generator").training_summary
    told = BracketGenerator.from_pretrained(output / "generator").training_summary["base"]
    assert told["training"] == base
    assert told["sha256"] in (finished[0] / "generator" / "SHA256SUMS").read_text()
    card = (output / "generator" / "README.md").read_text()
    assert "began with" in card
    assert "4 steps" in card
    assert "data" not in re.findall(r"^datasets:.*", card, re.MULTILINE)
    assert str(brackets.parent.name) not in card
    events = next(output.rglob("events.out.tfevents*"))
    assert b"samples" in events.read_bytes(), "the sample sheet goes to the tracker as well"
