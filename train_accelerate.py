"""Train a network of hdrgan on your own pictures.

The shortest line, with the network of HDR-GAN and a new folder below runs/:
    python train_accelerate.py --dataset dataset
One process, CPU or GPU:
    accelerate launch train_accelerate.py --model bracket --dataset dataset --output runs/bracket
    accelerate launch train_accelerate.py --model radiance --dataset hdr_scenes --output runs/radiance
    accelerate launch train_accelerate.py --model ein --width 8 --dataset ein_data --output runs/ein
All GPUs of this machine:
    accelerate launch --config_file launch/gpus.yaml train_accelerate.py --model bracket ...
Two machines, on each of them with its own --machine_rank:
    accelerate launch --config_file launch/machines.yaml --machine_rank 0 --main_process_ip HOST train_accelerate.py ...
Two CPU processes:
    accelerate launch --config_file launch/cpus.yaml train_accelerate.py --cpu --model bracket ...
Go on where a run was stopped:
    accelerate launch train_accelerate.py --model bracket --dataset dataset --output runs/bracket --resume latest

--batch-size is that of one process: a step learns from batch size x processes x accumulation steps pictures, and this
product decides the result. (With a discriminator, accumulated passes are close to a large batch but not the same: all
but the last are judged before the discriminator has learned from this step.) Exit code 2: the data set or an argument
is at fault, and step 1 was not reached; 1: the run failed; 128 + N: it was stopped by signal N and left a checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import logging
import math
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object, set_seed
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from hdrgan import __version__
from hdrgan.data.batch import Batch
from hdrgan.data.describe import NOT_STATED
from hdrgan.data.layout import DatasetError
from hdrgan.data.scene_cache import SceneCache
from hdrgan.data.stream import SampleStream
from hdrgan.data.survey import PhotoDataset, ReadSettings, Survey, survey
from hdrgan.evaluation.report import IDENTITY_NAME, write_report
from hdrgan.evaluation.scores import identity, score, summarise, table
from hdrgan.files.codec_logs import silence_codecs
from hdrgan.hub.access import HubError, check_push
from hdrgan.hub.card import EVALUATION_NAME, render_card
from hdrgan.hub.datasets import fetch_dataset, stated_licence
from hdrgan.hub.publish import push
from hdrgan.models.ein import EIN
from hdrgan.models.finding import CARD_NAME, WEIGHTS_NAME
from hdrgan.models.patch_discriminator import PatchDiscriminator
from hdrgan.models.weights_file import sha256_of
from hdrgan.training import checkpoints, networks, objectives, preflight, records
from hdrgan.training.arguments import dated_folder, parse_args
from hdrgan.training.checkpoints import CheckpointError
from hdrgan.training.hyperparameters import RECIPES, learning_rate_factor
from hdrgan.training.networks import Generator
from hdrgan.training.photos import spread, whole_photo
from hdrgan.training.preflight import UsageError
from hdrgan.training.sample_sheet import sample_sheet, save_sheet, sheet_for_card
from hdrgan.training.trackers import show_sheet
from hdrgan.training.workers import leave_signals_to_the_run

Answer = TypeVar("Answer")

AVERAGE_NAME = "ema.safetensors"  # of the averaged generator in a checkpoint
MOST_BAD_STEPS = 10
SHEET_PHOTOS = 4


class DivergedError(RuntimeError):
    """The loss was not a number for too many steps in a row."""


class Stopped(BaseException):
    """A signal came before step 1, where there is nothing to keep yet."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def stop_at_once(number: int, _frame: Any) -> None:
    """Handle a signal before training has begun."""
    raise Stopped(number)


def from_main(accelerator: Accelerator, work: Callable[[], Answer]) -> Answer:
    """Do something in the main process alone and hand its result, or its error, to all."""
    box: list[tuple[Answer | None, Exception | None]] = [(None, None)]
    if accelerator.is_main_process:
        try:
            box[0] = (work(), None)
        except (UsageError, DatasetError, CheckpointError) as error:
            box[0] = (None, error)
    broadcast_object_list(box)
    result, failure = box[0]
    if failure is not None:
        raise failure
    return cast(Answer, result)


def check_arguments(args: argparse.Namespace) -> None:
    """Look at everything that can be judged before the data are read.

    Raises:
        UsageError: something must be changed.
    """
    networks.check_networks(args.model, width=args.width, init=args.init, crop_size=args.crop_size, frozen=args.freeze)
    if args.responses is not None:
        preflight.check_responses(args.responses)
    if args.push_to_hub is not None:
        try:
            check_push(args.push_to_hub)
        except HubError as error:
            raise UsageError(f"--push-to-hub: {error}") from error


def check_shared(args: argparse.Namespace, accelerator: Accelerator) -> None:
    """Make sure that every process sees the same output folder, or checkpoints would lack what the others write.

    Raises:
        UsageError: one does not.
    """
    if accelerator.num_processes == 1:
        return
    content = from_main(accelerator, lambda: preflight.leave_mark(args.output))
    blind = gather_object([] if preflight.sees_mark(args.output, content) else [socket.gethostname()])
    if accelerator.is_main_process:
        (args.output / preflight.MARK).unlink(missing_ok=True)
    if blind:
        raise UsageError(
            f"--output {args.output} is another folder on {', '.join(sorted(set(blind)))}: all machines of a run must "
            "share it, because each writes its part of a checkpoint there"
        )


def find_data(args: argparse.Namespace, accelerator: Accelerator) -> tuple[Path, str | None]:
    """The folder of the data set, and its id where it is one of the Hub; every machine fetches its own copy."""
    folder = Path(args.dataset).expanduser()
    if folder.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", args.dataset) or args.dataset.startswith("."):
        return folder, None
    with accelerator.local_main_process_first():
        try:
            return fetch_dataset(args.dataset), args.dataset
        except HubError as error:
            raise UsageError(f"--dataset: {error}") from error


def check_data(args: argparse.Namespace, settings: ReadSettings) -> Survey:
    """Read the whole data set once; see `hdrgan.data.survey.survey`."""
    room = shutil.disk_usage(args.output).free - 2 * 10**9
    cache = SceneCache(cache_folder(args), budget=int(min(args.cache_gb * 1e9, max(0, room))))
    with tqdm(desc="checking data", unit="scene", leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return survey(args.data_folder, settings, cache, layout=args.layout, skip_bad=args.skip_bad, progress=progress)


def cache_folder(args: argparse.Namespace) -> Path | None:
    """Where decoded scenes are cached."""
    return None if args.cache_gb == 0 else args.cache or args.output / ".cache"


class Run:
    """One training run: networks, optimisers, data, and where it stands."""

    def __init__(self, args: argparse.Namespace, accelerator: Accelerator, found: Survey, settings: ReadSettings):
        self.args, self.accelerator, self.found = args, accelerator, found
        self.recipe = RECIPES[args.model]
        self.states = args.output / "state"
        self.progress = records.Progress()
        self.figures: dict[str, dict[str, Any]] = {}  # of the last validation
        self.stopping = False  # agreed upon by all processes
        self.asked_to_stop = False  # this one alone
        self.signal: int = signal.SIGTERM
        self.total_steps = self.total_samples = self.bad_in_a_row = 0
        self.figures_step = -1  # when they were measured

        # Models
        generator = networks.build_generator(args.model, found.evs, width=args.width, init=args.init)
        self.licence = NOT_STATED if args.data_id is None else stated_licence(args.data_folder)
        self.base = None if args.init is None else networks.lineage(args.init, generator.training_summary)
        self.multiple = generator.size_multiple
        if args.freeze is not None:
            networks.freeze(generator, args.freeze)
        discriminator = PatchDiscriminator(exposures=len(found.evs)) if args.adversarial_weight else None
        self.trained: list[nn.Module] = [generator] if discriminator is None else [generator, discriminator]
        for network in self.trained:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
        parameters = sum(p.numel() for network in self.trained for p in network.parameters())
        averaged = sum(p.numel() for p in generator.parameters())
        # Weights, two moments, average, network to use, in float32; kept ones, the next one, and the networks twice.
        self.bytes_needed = 4 * (3 * parameters + 2 * averaged) * (args.keep + 1) + 8 * parameters + 64 * 2**20
        self.ema: nn.Module | None = None

        # Data
        cache = SceneCache(cache_folder(args))
        self.training: PhotoDataset = found.open(validation=False, settings=settings, seed=args.seed, cache=cache)
        self.validation: PhotoDataset = found.open(validation=True, settings=settings, seed=args.seed, cache=cache)
        self.global_batch = args.batch_size * accelerator.num_processes * args.gradient_accumulation_steps

        if args.ema:
            self.ema = copy.deepcopy(generator).eval().requires_grad_(False).to(accelerator.device)

        if args.gradient_checkpointing and isinstance(generator, EIN):
            networks.checkpoint_activations(generator)

        # Optimisers. The rate is set before each step from the samples seen, so there is no scheduler to restore.
        adam = torch.optim.AdamW if self.recipe.weight_decay else torch.optim.Adam
        groups = [networks.rate_groups(network) for network in self.trained]
        self.optimizers = [
            adam(group, args.learning_rate, self.recipe.betas, weight_decay=self.recipe.weight_decay)
            for group in groups
        ]
        self.objective = objectives.make_objective(
            args.model, accelerator.device, l1_weight=args.l1_weight, adversarial_weight=args.adversarial_weight
        )
        prepared = accelerator.prepare(*self.trained, *self.optimizers)
        self.trained, self.optimizers = list(prepared[: len(self.trained)]), list(prepared[len(self.trained) :])
        # A compiled module has a length where the bare one has none: ask for None, never for truth.
        self.generator, self.discriminator = self.trained[0], (None if discriminator is None else self.trained[1])

    # Steps ------------------------------------------------------------------------------------------------------------

    def learn(self, batch: Batch, figures: records.StepFigures) -> None:
        """One forward pass of both networks and, when enough have been accumulated, one step of each."""
        accelerator = self.accelerator
        with accelerator.accumulate(*self.trained):  # once for both networks: it counts calls
            fake, terms = self.objective(self.generator, batch)  # (B, N, 3, H, W)
            if self.discriminator is not None:
                assert fake is not None  # every objective makes a bracket where there is a discriminator
                real_logits = self.discriminator(batch.srgb, batch.bracket)
                d_loss = objectives.discriminator_loss(real_logits, self.discriminator(batch.srgb, fake.detach()))
                accelerator.backward(d_loss)
                self.update(1, figures)

                # The generator's turn sees the bare, frozen discriminator: no gradient is computed or sent for it.
                critic = accelerator.unwrap_model(self.discriminator)
                critic.requires_grad_(False)
                adversarial = objectives.generator_adversarial_loss(critic(batch.srgb, fake))
                terms["adversarial"] = self.args.adversarial_weight * adversarial
            g_loss = torch.stack(list(terms.values())).sum()
            accelerator.backward(g_loss)
            if self.discriminator is not None:
                terms["discriminator"] = d_loss
            figures.add({"loss": g_loss, **terms})
            self.update(0, figures)
            if self.discriminator is not None:
                critic.requires_grad_(True)

    def update(self, which: int, figures: records.StepFigures) -> None:
        """Clip and apply the gradients of a network, unless more are to be accumulated or they are not finite."""
        if not self.accelerator.sync_gradients:
            return
        network, optimizer = self.trained[which], self.optimizers[which]
        self.accelerator.unscale_gradients(optimizer)
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.args.clip)
        scaler = self.accelerator.scaler
        # Gradients are averaged over all processes, so every process comes to the same verdict.
        if scaler is not None:
            optimizer.step()  # skips what overflowed and lowers its scale, which is no fault of the run
        elif torch.isfinite(norm):
            optimizer.step()
        else:
            figures.bad = True
        optimizer.zero_grad()
        if which == 0:
            figures.terms["gradient_norm"] = norm.detach() * figures.passes  # undone by the mean over passes

    def step(self, batches: Iterator[Mapping[str, Tensor]]) -> dict[str, float]:
        """One optimiser step; returns its figures, averaged over all passes and processes."""
        args, accelerator = self.args, self.accelerator
        started, waited = time.perf_counter(), 0.0
        factor = learning_rate_factor(
            self.recipe, self.progress.samples, total=self.total_samples, epoch=len(self.training)
        )
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = args.learning_rate * factor * group["rate"]
        figures = records.StepFigures()
        for _ in range(args.gradient_accumulation_steps):
            before = time.perf_counter()
            items = next(batches)
            waited += time.perf_counter() - before
            # What a loss leaves to chance depends on the step alone, not on who takes it, nor on how often it began.
            torch.manual_seed(int(np.random.SeedSequence((args.seed, self.progress.step)).generate_state(1)[0]))
            self.learn(Batch(items, self.found.evs, accelerator.device), figures)
        sums = [*figures.terms.values(), torch.tensor(float(self.asked_to_stop), device=accelerator.device)]
        means = accelerator.reduce(torch.stack([value.reshape(()) for value in sums]), "mean").tolist()
        named = {name: value / figures.passes for name, value in zip(figures.terms, means, strict=False)}
        self.stopping = means[-1] > 0
        self.progress.step += 1
        self.progress.samples += self.global_batch
        losses = [value for name, value in named.items() if name != "gradient_norm"]
        bad = figures.bad or not all(map(math.isfinite, losses))
        self.bad_in_a_row = self.bad_in_a_row + 1 if bad else 0
        self.progress.skipped += bad
        if self.ema is not None and not bad:
            self.average()
        seconds = time.perf_counter() - started
        self.progress.seconds += seconds
        return {
            "step": self.progress.step,
            **named,
            "learning_rate": args.learning_rate * factor,
            "samples": self.progress.samples,
            "epoch": self.progress.samples / len(self.training),
            "skipped": self.progress.skipped,
            "seconds": seconds,
            "waited": waited,
        }

    def average(self) -> None:
        """Move the averaged generator towards the trained one; quickly in the first steps."""
        assert self.ema is not None
        decay = min(self.args.ema, (1 + self.progress.step) / (10 + self.progress.step))
        trained = self.accelerator.unwrap_model(self.generator, keep_torch_compile=False)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(trained.parameters()), 1 - decay)
            for mean, buffer in zip(self.ema.buffers(), trained.buffers(), strict=True):
                mean.copy_(buffer)

    # Loop -------------------------------------------------------------------------------------------------------------

    def loader(self) -> DataLoader[dict[str, Tensor]]:
        """Batches of this process from where the run stands to its end.

        The loader is not prepared by accelerate: the stream already deals the samples to the processes, and without
        an end of an epoch in the middle there is nothing to restart or to skip.
        """
        args, accelerator = self.args, self.accelerator
        stream = SampleStream(
            len(self.training),
            batch_size=args.batch_size,
            seed=args.seed,
            start=self.progress.samples,
            stop=self.total_samples,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        return DataLoader(
            self.training,
            batch_sampler=stream,
            num_workers=args.workers,
            prefetch_factor=4 if args.workers else None,
            pin_memory=accelerator.device.type == "cuda",
            worker_init_fn=leave_signals_to_the_run,
            # A generator of its own: starting workers must not draw from the one that a resumed run restores.
            generator=torch.Generator().manual_seed(args.seed),
        )

    def train(self) -> None:
        """Run to the end, or to a signal."""
        args, accelerator = self.args, self.accelerator
        if args.steps is not None:
            self.total_steps = max(args.steps, self.progress.step)
        else:
            left = math.ceil(args.epochs * len(self.training)) - self.progress.samples
            self.total_steps = self.progress.step + math.ceil(max(0, left) / self.global_batch)
        self.total_samples = self.progress.samples + (self.total_steps - self.progress.step) * self.global_batch
        for caught in (signal.SIGTERM, signal.SIGINT):
            signal.signal(caught, self.stop)
        self.generator.train()
        if self.progress.step == 0:
            self.validate()
        batches = iter(self.loader()) if self.total_steps > self.progress.step else iter(())
        bar = tqdm(
            total=self.total_steps,
            initial=self.progress.step,
            unit="step",
            disable=not accelerator.is_main_process,
            mininterval=0.5 if sys.stderr.isatty() else 15,
        )
        saved = began = self.progress.step
        with bar:
            while self.progress.step < self.total_steps and not self.stopping:
                figures = self.step(batches)
                step = self.progress.step
                self.record(figures)
                bar.update()
                bar.set_postfix(loss=f"{figures['loss']:.4g}", refresh=False)
                if self.bad_in_a_row >= MOST_BAD_STEPS:
                    last = checkpoints.newest_checkpoint(self.states) or "none"
                    raise DivergedError(
                        f"the loss was not a finite number {MOST_BAD_STEPS} steps in a row, up to step {step}: lower "
                        f"--learning-rate; the last checkpoint is {last}"
                    )
                if (step % args.validate_every == 0 or step == self.total_steps) and not self.stopping:
                    self.validate()
                if step % args.checkpoint_every == 0 or step == self.total_steps or self.stopping:
                    if self.save():
                        saved = step
                        self.keep_networks()
        if self.stopping and self.progress.step < self.total_steps:
            where = f"--resume latest goes on from step {saved}" if saved else "nothing was learned yet"
            accelerator.print(f"stopped at step {self.progress.step}; {where}")
            return
        if saved == began:  # nothing was left to do, or nothing finite came of it
            self.keep_networks()
        self.finish()

    def stop(self, number: int, _frame: Any) -> None:
        """Ask for the end after this step, with a checkpoint; a second signal ends at once."""
        self.asked_to_stop = True
        self.signal = number
        signal.signal(number, signal.SIG_DFL)

    # What it leaves behind --------------------------------------------------------------------------------------------

    def record(self, figures: Mapping[str, float]) -> None:
        """Write a line of metrics.jsonl and what the tracker wants."""
        if not self.accelerator.is_main_process:
            return
        # JSON has no NaN: a loss that is not a number becomes null.
        line = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        records.append_line(self.args.output / "metrics.jsonl", line)
        values = {f"train/{name}": value for name, value in figures.items() if name != "step"}
        self.accelerator.log(values, figures["step"])

    def network(self) -> Generator:
        """The generator that people will use: averaged, if that is on, without any wrapper."""
        made = self.ema or self.accelerator.unwrap_model(self.generator, keep_torch_compile=False)
        return cast(Generator, made)

    def photo(self, dataset: PhotoDataset, index: int) -> Batch:
        """A whole photo as a batch of one."""
        return whole_photo(dataset, index, self.found.evs, multiple=self.multiple, device=self.accelerator.device)

    @torch.no_grad()
    def validate(self) -> None:
        """Print figures of the validation photos beside those of doing nothing, and draw the sample sheet."""
        accelerator, args, step = self.accelerator, self.args, self.progress.step
        network = self.network().eval()
        shown = self.validation if len(self.validation) else self.training
        chosen = spread(len(self.validation), args.validation_photos)
        rows = []
        for index in chosen[accelerator.process_index :: accelerator.num_processes]:
            if self.asked_to_stop:
                break
            batch = self.photo(self.validation, index)
            nothing = identity(batch)
            systems = {
                IDENTITY_NAME: (nothing, objectives.trained_l1(args.model, nothing, batch)),
                args.model: objectives.predict(args.model, network, batch),
            }
            rows.append({system: score(made, batch) | {"l1": l1} for system, (made, l1) in systems.items()})
        rows = gather_object(rows)
        self.stopping = any(gather_object([self.asked_to_stop]))
        if self.stopping:  # some photos were left out: these are no figures
            if self.ema is None:
                self.generator.train()
            return
        if rows:
            self.figures = {system: summarise([row[system] for row in rows]) for system in (IDENTITY_NAME, args.model)}
            self.figures_step = step
        if accelerator.is_main_process:
            if rows:
                line = {"step": step, "l1": self.figures[args.model]["l1"], **self.figures}
                records.append_line(args.output / "validation.jsonl", line)
                flat = {name: value for name, value in self.figures[args.model].items() if isinstance(value, float)}
                accelerator.log({f"validation/{name}": value for name, value in flat.items()}, step)
                tqdm.write(f"step {step}, {len(rows)} validation photos\n{table(self.figures)}")
            photos = [self.photo(shown, index) for index in spread(len(shown), SHEET_PHOTOS)]
            titles = [shown.title(index) for index in spread(len(shown), SHEET_PHOTOS)]
            made = [objectives.predict(args.model, network, photo)[0] for photo in photos]
            sheet = sample_sheet(list(zip(titles, photos, made, strict=True)))
            save_sheet(args.output, step, sheet)
            show_sheet(accelerator.trackers, sheet, step)
        if self.ema is None:
            self.generator.train()
        accelerator.wait_for_everyone()

    def save(self) -> bool:
        """Write a checkpoint, unless the loss or a weight is not finite; says whether it did."""
        accelerator, progress = self.accelerator, self.progress
        finite = all(torch.isfinite(p).all() for network in self.trained for p in network.parameters())
        if self.bad_in_a_row or not finite:
            accelerator.print(f"step {progress.step}: the loss or a weight is not finite, no checkpoint is written")
            return False
        folder = checkpoints.checkpoint_folder(self.states, progress.step)
        if accelerator.is_main_process:
            checkpoints.start_folder(folder)
        accelerator.wait_for_everyone()
        temporary = checkpoints.temporary_folder(folder)
        try:
            with checkpoints.writing(folder):
                accelerator.save_state(str(temporary))
                if accelerator.is_main_process and self.ema is not None:
                    save_model(self.ema, str(temporary / AVERAGE_NAME), metadata={"format": "pt"})
                if accelerator.is_main_process:  # each checkpoint that is kept can be used as it is
                    self.write(temporary / checkpoints.NETWORK_NAME, self.network())
        except CheckpointError:
            shutil.rmtree(temporary, ignore_errors=True)  # gives a full disk its space back
            raise
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            checkpoints.seal(temporary, {**asdict(progress), "settings": self.settings()})
            checkpoints.commit_folder(folder)
            checkpoints.remove_older(self.states, progress.step, self.args.keep)
        accelerator.wait_for_everyone()
        return True

    def settings(self) -> dict[str, Any]:
        """What must not change if a resumed run is to go on exactly."""
        args = self.args
        named = ("model", "batch_size", "crop_size", "learning_rate", "l1_weight", "adversarial_weight", "clip", "ema")
        return {
            **{name: getattr(args, name) for name in (*named, "seed", "steps", "epochs", "width")},
            "global_batch": self.global_batch,
            "items": len(self.training),
            "evs": list(self.found.evs),
        }

    def resume(self, folder: Path) -> None:
        """Take up everything from a checkpoint, and cut the records off behind it.

        Raises:
            CheckpointError: it is broken, or of another network.
        """
        progress = checkpoints.read_progress(folder)
        then, now = progress.get("settings", {}), json.loads(json.dumps(self.settings()))
        if then.get("model", now["model"]) != now["model"]:
            raise UsageError(f"{folder} is a checkpoint of {then['model']}, not of {now['model']}")
        for name in sorted(now):
            if name in then and name != "batch_size" and then[name] != now[name]:
                self.accelerator.print(f"resumed with another {name}: {now[name]}, was {then[name]}")
        try:
            # Through main memory: safetensors knows no device "cpu:0", which is what a CPU process of several has.
            self.accelerator.load_state(str(folder), map_location="cpu")
            if self.ema is not None:
                average = folder / AVERAGE_NAME
                source = average if average.exists() else folder / "model.safetensors"
                load_model(self.ema, str(source))
        except Exception as error:  # what was forged with the right hash ends in whatever its reader trips over
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(f"{folder} does not fit these networks: {why}") from error
        self.check_finite(folder)
        self.progress = records.Progress(**{name: progress[name] for name in asdict(records.Progress())})
        if self.accelerator.is_main_process:
            for name in ("metrics.jsonl", "validation.jsonl"):
                last = records.cut_after(self.args.output / name, self.progress.step)
            if last.get("step") == self.progress.step:  # of validation.jsonl: a finished run is published as measured
                self.figures = {system: last[system] for system in (IDENTITY_NAME, self.args.model)}
                self.figures_step = self.progress.step
        self.accelerator.print(f"resumed from {folder} at step {self.progress.step}")

    def check_finite(self, folder: Path) -> None:
        """Make sure that everything that was loaded from a checkpoint is a number.

        Raises:
            CheckpointError: it is not; the message names the tensor.
        """
        networks = [self.accelerator.unwrap_model(network, keep_torch_compile=False) for network in self.trained]
        networks += [] if self.ema is None else [self.ema]
        named = [pair for network in networks for pair in network.state_dict().items()]
        for optimizer in self.optimizers:
            for number, moments in enumerate(optimizer.state.values()):
                named += [(f"{name} of parameter {number} of an optimizer", value) for name, value in moments.items()]
        for name, value in named:
            if isinstance(value, Tensor) and not torch.isfinite(value).all():
                raise CheckpointError(f"{folder} has values in {name} that are not finite")

    def keep_networks(self) -> None:
        """Save the networks for people to use, each with a card, in the place of those of the last checkpoint."""
        accelerator, args = self.accelerator, self.args
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            self.keep(self.home(), self.network())
            if self.discriminator is not None:
                critic = accelerator.unwrap_model(self.discriminator, keep_torch_compile=False)
                self.keep(args.output / "discriminator", critic)
        accelerator.wait_for_everyone()

    def home(self) -> Path:
        """Where the generator is kept for people to use."""
        output: Path = self.args.output
        return output / ("ein" if self.args.model == "ein" else "generator")

    def finish(self) -> None:
        """Publish the network if that was asked for, and say what the run took."""
        accelerator, args = self.accelerator, self.args
        accelerator.wait_for_everyone()
        if accelerator.is_main_process and args.push_to_hub is not None:
            published = push(self.home(), args.push_to_hub, samples=sheet_for_card(args.output, self.progress.step))
            accelerator.print(f"published as {published.model_url}")
        accelerator.wait_for_everyone()
        progress = self.progress
        accelerator.print(
            f"finished {progress.step} steps, {progress.seconds / 60:.1f} minutes, {progress.skipped} skipped; "
            f"peak memory of the main process {records.peak_memory_mb():,.0f} MB"
        )

    def keep(self, folder: Path, network: Generator | PatchDiscriminator) -> None:
        """Write a network so that ``from_pretrained`` reads it, with a card of what was measured of it."""
        temporary = checkpoints.start_folder(folder)
        with checkpoints.writing(folder):
            self.write(temporary / folder.name, network)
            for file in (temporary / folder.name).iterdir():  # the card is called after its folder
                file.rename(temporary / file.name)
            (temporary / folder.name).rmdir()
        checkpoints.commit_folder(folder)

    def write(self, folder: Path, network: Generator | PatchDiscriminator) -> None:
        """Write what `keep` promises into a folder that bears its final name already."""
        network.save_pretrained(folder, training=self.summary())
        if self.figures_step == self.progress.step and network is self.network():
            write_report(self.report(sha256_of(folder / WEIGHTS_NAME), network), folder / EVALUATION_NAME)
        checkpoints.write_text(folder / CARD_NAME, render_card(folder, repo_id=self.args.push_to_hub))

    def summary(self) -> dict[str, Any]:
        """How the weights were trained, for the weights file and the card."""
        args = self.args
        settings = ("learning_rate", "crop_size", "l1_weight", "adversarial_weight", "ema", "seed")
        return {
            "steps": self.progress.step,
            "pictures a step": self.global_batch,
            "layout": self.found.layout,
            **{name: getattr(args, name) for name in settings},
            "seconds": round(self.progress.seconds, 1),
            "hardware": f"{self.accelerator.num_processes} x {self.accelerator.device.type}",
            "data": [{**self.data_name(), "count": len(self.training), "licence": self.licence}],
            **({} if self.base is None else {"base": self.base}),
        }

    def data_name(self) -> dict[str, str]:
        """What the card calls the data: what they are on the Hub, or nothing more than what they are made of."""
        if self.args.data_id is not None:
            return {"name": self.args.data_id, "hub_id": self.args.data_id}
        kind = {"bracket": "exposure brackets", "pairs": "photos with HDR images", "hdr": "HDR scenes"}
        return {"name": f"{kind[self.found.layout]} that are not published"}

    def report(self, sha256: str, network: nn.Module) -> dict[str, Any]:
        """The last validation as an evaluation of these very weights."""
        data = {**self.data_name(), "kind": self.found.layout, "split": "validation"}
        return records.validation_report(self.figures, self.args.model, network, sha256, data=data, evs=self.found.evs)


def train(args: argparse.Namespace, accelerator: Accelerator) -> int:
    """Check everything, then train; returns the exit code, 128 + N after signal N."""
    if args.output is None:
        args.output = from_main(accelerator, lambda: dated_folder(args.model))  # by one clock
    accelerator.project_configuration.set_directories(str(args.output))
    from_main(accelerator, lambda: preflight.check_output(args.output, args.resume))
    check_shared(args, accelerator)
    from_main(accelerator, lambda: check_arguments(args))
    args.data_folder, args.data_id = find_data(args, accelerator)
    set_seed(args.seed)
    settings = ReadSettings(
        crop_size=args.crop_size,
        validation_share=args.validation_share,
        views=args.views,
        view_size=args.view_size,
        responses=args.responses,
    )
    found: Survey = from_main(accelerator, lambda: check_data(args, settings))
    run = Run(args, accelerator, found, settings)
    from_main(accelerator, lambda: preflight.check_space(args.output, run.bytes_needed))
    accelerator.print(
        f"{args.model}, layout {found.layout}: {len(run.training)} items to train on, {len(run.validation)} to "
        f"validate on; {accelerator.num_processes} x {args.batch_size} x {args.gradient_accumulation_steps} = "
        f"{run.global_batch} pictures a step on {accelerator.device.type}"
    )
    if found.kept_out:
        accelerator.print(f"scenes.tsv keeps {found.kept_out} files for other purposes than training")
    if found.faults:
        listed = "\n".join(map(str, found.faults))
        accelerator.print(f"left out {len(found.faults)} bad files or rows:\n{listed}")
    if not len(run.validation):
        accelerator.print("no scene is left to validate on: there will be no figures")

    newest = from_main(accelerator, lambda: preflight.find_checkpoint(args.output, args.resume))
    if newest is not None:
        run.resume(newest)
    elif args.resume is not None:
        accelerator.print("there is no checkpoint yet: starting at step 0")
    if accelerator.is_main_process:
        if newest is None:
            for name in ("metrics.jsonl", "validation.jsonl"):
                (args.output / name).unlink(missing_ok=True)
        versions = {"hdrgan": __version__, "torch": torch.__version__}
        facts = {**vars(args), **versions, "processes": accelerator.num_processes}
        checkpoints.write_text(args.output / "args.json", json.dumps(facts, indent=2, default=str) + "\n")
    if args.log_with is not None:
        accelerator.init_trackers("hdrgan", config={name: str(value) for name, value in vars(args).items()})
    run.train()
    if run.progress.step < run.total_steps:
        return int(128 + run.signal)
    if accelerator.is_main_process and args.cache is None:
        shutil.rmtree(args.output / ".cache", ignore_errors=True)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Train; returns the exit code: 0, 1 for a failed run, 2 for one that could not begin, 128 + N after signal N."""
    args = parse_args(str(__doc__), argv)
    silence_codecs()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    handled = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, stop_at_once) for number in handled]
    try:
        return run(args)
    except Stopped as stopped:
        print(f"stopped by {signal.Signals(stopped.number).name} before step 1", file=sys.stderr)  # noqa: T201
        return 128 + stopped.number
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)


def run(args: argparse.Namespace) -> int:
    """Train as the arguments say, and put every expected failure into one sentence; returns the exit code."""
    accelerator = Accelerator(
        cpu=args.cpu,
        mixed_precision=args.mixed_precision,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        log_with=args.log_with,
        project_dir=str(args.output or "runs"),
        dynamo_backend=args.compile,
        # The main process may check a large data set for longer than the usual ten minutes.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=3))],
    )
    try:
        check_machine(args, accelerator)
        code = train(args, accelerator)
    except (UsageError, DatasetError) as error:
        accelerator.print(f"error: {error}", file=sys.stderr)
        return 2
    except (CheckpointError, DivergedError, HubError) as error:
        accelerator.print(f"error: {error}", file=sys.stderr)
        return 1
    # Without these three about one two-process run in ten dies while it is taken down, its work done.
    accelerator.wait_for_everyone()
    accelerator.free_memory()
    accelerator.end_training()
    return code


def check_machine(args: argparse.Namespace, accelerator: Accelerator) -> None:
    """Make sure that this machine, and what accelerate is configured for, can do what was asked.

    Raises:
        UsageError: they cannot.
    """
    if accelerator.device.type == "cpu" and accelerator.mixed_precision == "fp16":
        raise UsageError("--mixed-precision fp16 needs a GPU; bf16 works on a CPU as well")
    if accelerator.distributed_type.value in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise UsageError(
            f"{accelerator.distributed_type.value} shards weights, and these networks have too few to gain by it "
            "(EIN at width 32 with gradients and optimiser: 0.2 GB): use launch/gpus.yaml"
        )
    if args.log_with is not None and importlib.util.find_spec(args.log_with) is None:
        raise UsageError(f"--log-with {args.log_with} needs its package: python -m pip install {args.log_with}")


if __name__ == "__main__":
    sys.exit(main())
