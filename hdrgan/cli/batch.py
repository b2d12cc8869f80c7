"""What ``generate`` and ``reconstruct`` share: which photos, how many at a time, what is reported, how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, TypedDict

import click

from hdrgan.cli import options
from hdrgan.cli.options import together

if TYPE_CHECKING:
    from hdrgan.batch.failures import Failures
    from hdrgan.batch.progress import Progress
    from hdrgan.batch.ranks import Ranks, Tally
    from hdrgan.batch.run import Batch, Outcome
    from hdrgan.batch.shards import Shard
    from hdrgan.light.cancellation import Cancellation

_MEGAPIXELS = 30.0  # in memory at a time for each of the first jobs; a photo takes some 15 MB a megapixel
_MEGAPIXELS_AT_MOST = 480.0

which = together(
    click.argument(
        "photos",
        nargs=-1,
        type=Path,
        help="Photos, or folders of photos; - is a photo on standard input.",
        metavar="[PHOTO…]",
    ),
    click.option("--output", "-o", type=Path, default="out", help="Folder for the results; made if it is not there."),
    options.model,
)
how = together(
    options.finished,
    options.keep_gps,
    options.device,
    click.option("--recursive", "-r", is_flag=True, help="Look into folders within folders."),
    click.option("--from", "from_list", help="File with one photo a line; - reads standard input.", metavar="LIST"),
    click.option("--overwrite", is_flag=True, help="Do complete photos again; replace files that are in the way."),
    click.option("--jobs", "-j", type=click.IntRange(min=1), help="Photos at a time; one for each core when left out."),
    click.option(
        "--shard",
        help="Do the third of 64 parts with 3/64. torchrun, accelerate launch and srun say it themselves.",
        metavar="K/N",
    ),
    click.option("--json", is_flag=True, help="Print one line of JSON for each photo."),
    options.ignore_gain_map,
    options.max_megapixels,
)


class Request(TypedDict):
    """Which photos are to be done where and how, as the command line has it."""

    photos: tuple[Path, ...]
    output: Path
    model: str
    response: str
    projection: str
    zip: bool
    keep_gps: bool
    device: str | None
    recursive: bool
    from_list: str | None
    overwrite: bool
    jobs: int | None
    shard: str | None
    json: bool
    ignore_gain_map: bool
    max_megapixels: float


def run(request: Request, *, evs: Sequence[float], format: str | None, hdr: Sequence[str]) -> None:
    """Do every photo; exit code 1 if any failed, 2 if the batch could not go on, 128 and the signal if it was stopped.

    Raises:
        ValueError, OSError: nothing can be done at all.
    """
    from PIL.Image import DecompressionBombWarning

    from hdrgan.batch.failures import Failures
    from hdrgan.batch.find import find_photos, read_list
    from hdrgan.batch.plan import plan
    from hdrgan.batch.progress import Progress
    from hdrgan.batch.ranks import Ranks
    from hdrgan.batch.reading import read_photo
    from hdrgan.batch.run import Batch, default_jobs
    from hdrgan.batch.settings import OutputSettings, digest_of, processor
    from hdrgan.batch.shards import Shard
    from hdrgan.files.photo import PhotoLimits
    from hdrgan.light.cancellation import Cancellation
    from hdrgan.light.evs import check_evs
    from hdrgan.pipeline import Pipeline

    # The loader refuses photos that are too large; where Pillow looks at them here, it reads the header alone.
    warnings.filterwarnings("ignore", category=DecompressionBombWarning)
    cancellation = Cancellation()
    with stopping_on_signals(cancellation) as stopped, TemporaryDirectory() as spool:
        stops = check_evs(evs)
        settings = partial(OutputSettings, stops, format, tuple(hdr), request["zip"], request["keep_gps"])
        settings({})  # a mistake is reported before anything is looked for
        shard = Shard.parse(request["shard"]) if request["shard"] else Shard.of_environment(os.environ)
        check_input(request, shard)
        named = [spooled(spool) if str(name) == "-" else str(name) for name in request["photos"]]
        if not named and not request["from_list"]:
            raise ValueError("name photos or folders, or a list of them with --from")
        listed = read_list(request["from_list"]) if request["from_list"] else []
        search = find_photos(named, recursive=request["recursive"], listed=listed)
        if not search.photos:
            raise ValueError(search.why_nothing(named))
        photos = plan(search.photos)
        output = request["output"]
        output.mkdir(parents=True, exist_ok=True)
        model, response, projection = request["model"], request["response"], request["projection"]
        pipe = Pipeline.from_pretrained(model, device=request["device"] or device_of(shard.local))
        network = {"model": model, "weights": digest_of(model), "response": response}
        if projection != "auto":
            network["projection"] = projection
        if request["ignore_gain_map"]:
            network["gain_map"] = "ignored"
        jobs = request["jobs"] or default_jobs(len(photos))
        batch = Batch(
            photos,
            output,
            settings(network),
            processor(pipe, stops, response, projection, one_thread=len(photos) > 1),
            shard,
            jobs,
            min(_MEGAPIXELS * max(2, jobs), _MEGAPIXELS_AT_MOST),
            request["overwrite"],
            cancellation,
            partial(
                read_photo,
                limits=PhotoLimits(megapixels=request["max_megapixels"]),
                gain_map=not request["ignore_gain_map"],
                keep=jobs,
            ),
        )
        progress = Progress(shown=len(photos) > 1 and shard.tells)
        reporter = Reporter(batch, progress, request["json"], search.left_out())
        code = run_batch(batch, reporter, Failures(output, shard), Ranks(output, shard), stopped)
    if code > 128:
        # Threads may still be inside a network, which an ordinary end would wait for or abort.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    if code:
        raise click.exceptions.Exit(code)


@dataclass
class Stopped:
    """Which signal asked the command to end, and whether there are photos to be ended first."""

    signal: int = 0
    working: bool = False


@contextmanager
def stopping_on_signals(cancellation: Cancellation) -> Iterator[Stopped]:
    """Let SIGINT and SIGTERM cancel the batch; before it has begun, and at the second time, they end it at once."""
    from hdrgan.batch.records import drop_private_folders

    stopped = Stopped()

    def stop(number: int, frame: FrameType | None) -> None:
        if not stopped.working or stopped.signal:
            drop_private_folders()
            os._exit(128 + number)
        stopped.signal = number
        cancellation.cancel(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_input(request: Request, shard: Shard) -> None:
    """See that processes that were launched together do not share one input, of which each would get a part.

    Raises:
        ValueError: photos or their list would be read from standard input, or their list from another pipe.
    """
    listed = request["from_list"] or ""
    piped = listed == "-" or (os.path.exists(listed) and not os.path.isfile(listed))
    if shard.launched and (piped or any(str(name) == "-" for name in request["photos"])):
        raise ValueError(
            f"{shard.world} processes cannot share one pipe, of which each would read a part; "
            f"write the photo, or the list of photos, to a file and name that file"
        )


def spooled(folder: str) -> str:
    """The photo on standard input as a file that is there as long as the command runs.

    Raises:
        ValueError: standard input is a terminal.
    """
    if sys.stdin.isatty():
        raise ValueError("- reads a photo from standard input, which is a terminal; pipe a photo into it")
    path = Path(folder) / "stdin"
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    return str(path)


def device_of(local: int | None) -> str | None:
    """The graphics card of this process where several share a machine; None leaves the choice to the pipeline."""
    import torch

    if local is None or not torch.cuda.is_available():
        return None
    return f"cuda:{local % torch.cuda.device_count()}"


def run_batch(batch: Batch, reporter: Reporter, failures: Failures, ranks: Ranks, stopped: Stopped) -> int:
    """Do a batch, report on it, and give the exit code."""
    from hdrgan.batch.ranks import Tally
    from hdrgan.light.cancellation import CancelledError

    tally = Tally(total=batch.total)
    stopped.working = True
    with reporter:
        ranks.publish(tally, now=True)
        try:
            for outcome in batch.run():
                if outcome is not None:
                    tally.count(outcome.status, outcome.megapixels)
                    if outcome.status == "failed":
                        failures.add(outcome.index, outcome.photo, outcome.reason)
                    reporter.report(outcome)
                ranks.publish(tally)
                if reporter.progress.shown:
                    reporter.progress.update(ranks.total(tally))
            failures.close()
            total, silent = ranks.wait(tally, lambda: bool(stopped.signal))
        except CancelledError as error:
            reporter.warn(
                f"stopped by {error} after {tally.handled:,} of {tally.total:,} photos; "
                f"the same command goes on from there."
            )
            return 128 + stopped.signal
        except OSError as error:
            reporter.warn(
                f"{error.strerror or error} ({error.filename or batch.output}): {tally.done + tally.skipped:,} of "
                f"{tally.total:,} photos are complete. Make room, and the same command goes on from there."
            )
            return 2
        if stopped.signal:
            return 128 + stopped.signal
        if batch.shard.tells:
            reporter.summary(total, silent, failures.path)
    return 1 if tally.failed else 0


class Reporter:
    """What the command says: results on standard output, everything else on standard error.

    Args:
        batch: what is done.
        progress: how far it is.
        as_json: one line of JSON for each photo instead of the paths of its files.
        left_out: what was left out of the photos, a line each.
    """

    def __init__(self, batch: Batch, progress: Progress, as_json: bool, left_out: Sequence[str]):
        self.progress = progress
        self._many = len(batch.photos) > 1
        self._as_json, self._left_out = as_json, left_out

    def __enter__(self) -> Reporter:
        for line in self._left_out:
            self.progress.write_line(line)
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.close()

    def report(self, outcome: Outcome) -> None:
        """Say what became of a photo."""
        if outcome.status == "failed":
            self.warn(f"{outcome.photo}: {outcome.reason}")
        elif outcome.light:
            self.progress.write_line(f"{outcome.photo}: {outcome.light}")
        if self._as_json:
            line = {
                "path": outcome.photo,
                "status": outcome.status,
                "files": [str(file) for file in outcome.files],
                "reason": outcome.reason or None,
                "light": outcome.light or None,
                "megapixels": round(outcome.megapixels, 3),
                "seconds": outcome.seconds,
            }
            click.echo(json.dumps(line))
        elif not (self._many and sys.stderr.isatty()):
            for file in outcome.files:
                click.echo(os.fsencode(file))

    def warn(self, line: str) -> None:
        """Say what went wrong."""
        self.progress.write_line(click.style(line, fg="red") if sys.stderr.isatty() else line)

    def summary(self, total: Tally, silent: Sequence[int], failed: Path) -> None:
        """Say how it went, once for all processes."""
        if total.skipped:
            self.progress.write_line(
                f"{total.skipped:,} of {total.total:,} photos were complete already; --overwrite does them again."
            )
        if total.failed:
            where = failed if failed.name == "failed.jsonl" else failed.with_name("failed.*.jsonl")
            self.warn(f"{total.failed:,} of {total.total:,} photos failed; {where} says why.")
        if silent:
            self.warn(
                f"nothing was heard of {len(silent):,} of the processes for a minute; "
                f"the same command does what they left."
            )
        if self._many and self.progress.shown:
            self.progress.write_line(self.progress.line(total))
