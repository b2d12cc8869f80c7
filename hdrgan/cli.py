"""The command line: ``hdrgan generate photo.jpg -o out`` and its siblings.

Only typer is imported at the top, so that ``--help`` answers at once; torch is loaded when there is work for it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif"}

app = typer.Typer(
    name="hdrgan",
    help="One photo in; five exposures and an HDR image out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


class PictureFormat(StrEnum):
    """What the exposures are written as."""

    png = "png"
    jpg = "jpg"
    tiff = "tiff"


class ResponseChoice(StrEnum):
    """What is assumed of the camera's curve."""

    auto = "auto"
    srgb = "srgb"


class Layout(StrEnum):
    """How a training set lies on disk."""

    bracket = "bracket"
    pairs = "pairs"


class Kind(StrEnum):
    """A published network."""

    bracket = "bracket"
    discriminator = "discriminator"
    ein = "ein"


Photos = Annotated[
    list[Path], typer.Argument(help="Photos, or folders of photos.", show_default=False, metavar="PHOTO…")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; made if it is not there.")]
Model = Annotated[
    str, typer.Option("--model", "-m", help="Bundled name (radiance, bracket, ein), a folder, or user/repo on the Hub.")
]
Evs = Annotated[str, typer.Option("--evs", help="Exposures in stops relative to the photo, separated by commas.")]
Hdr = Annotated[str, typer.Option("--hdr", help="HDR files to write: any of exr, hdr, ultrahdr, separated by commas.")]
Response = Annotated[
    ResponseChoice,
    typer.Option(help="auto estimates the camera's curve; srgb takes the photo for plain sRGB, as renders are."),
]
KeepGps = Annotated[bool, typer.Option("--keep-gps", help="Let the files say where the photo was taken.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is when left out.")]


def print_version(asked: bool) -> None:
    """Print the version and end, before a command is missed."""
    if asked:
        from hdrgan.version import __version__

        typer.echo(f"hdrgan {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is being done.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """One photo in; five exposures and an HDR image out."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s: %(message)s")


@app.command(no_args_is_help=True)
def generate(
    photos: Photos,
    output: Output = Path("out"),
    model: Model = "radiance",
    evs: Evs = "-4,-2,0,2,4",
    hdr: Hdr = "",
    format: Annotated[PictureFormat, typer.Option(help="Format of the exposures.")] = PictureFormat.png,
    response: Response = ResponseChoice.auto,
    zip: Annotated[bool, typer.Option("--zip", help="Put the exposures of each photo into one .zip.")] = False,
    keep_gps: KeepGps = False,
    device: Device = None,
) -> None:
    """Make an exposure bracket of each photo, and its HDR image with --hdr.

    Writes <stem>_ev-4.png … <stem>_ev+4.png, dark to bright; <stem>_ev+0.png is the photo itself.

    Example: hdrgan generate holiday/*.jpg -o brackets --hdr exr,ultrahdr
    """
    with plain_errors():
        stops = stops_of(evs)
        kinds = split(hdr)
        run(
            photos,
            model,
            device,
            lambda pipe, photo: pipe(photo, stops, response.value).save(
                output, format=format.value, hdr=kinds, zip=zip, keep_gps=keep_gps
            ),
        )


@app.command(no_args_is_help=True)
def reconstruct(
    photos: Photos,
    output: Output = Path("out"),
    model: Model = "radiance",
    hdr: Hdr = "exr",
    response: Response = ResponseChoice.auto,
    zip: Annotated[bool, typer.Option("--zip", help="Put the files of each photo into one .zip.")] = False,
    keep_gps: KeepGps = False,
    device: Device = None,
) -> None:
    """Make only the HDR image of each photo, in linear light where 1.0 is the photo's white.

    Writes <stem>.exr, <stem>.hdr, and with ultrahdr <stem>_ultrahdr.jpg: the photo itself, which screens that can
    show brighter than white.

    Example: hdrgan reconstruct window.jpg -o light --hdr exr,hdr,ultrahdr
    """
    with plain_errors():
        kinds = split(hdr)
        if not kinds:
            raise ValueError("--hdr must name at least one of exr, hdr, ultrahdr")
        run(
            photos,
            model,
            device,
            lambda pipe, photo: pipe(photo, (0.0,), response.value).save_hdr(output, kinds, zip=zip, keep_gps=keep_gps),
        )


@app.command(no_args_is_help=True)
def prepare(
    scenes: Annotated[Path, typer.Argument(help="Folder of .hdr and .exr scenes, panoramas or pictures.")],
    output: Annotated[Path, typer.Argument(help="Folder for the data set; new or empty.")],
    layout: Annotated[Layout, typer.Option(help="bracket: five exposures a view. pairs: photo and HDR image.")],
    views: Annotated[int, typer.Option(min=1, help="Views of each scene.")] = 6,
    size: Annotated[int, typer.Option(min=16, help="Side of a view in pixels.")] = 512,
    seed: Annotated[int, typer.Option(help="Of views, exposure, response curves and noise.")] = 0,
    responses: Annotated[Path | None, typer.Option(help=".npz of the EMoR model of real camera curves.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad scenes out rather than refuse.")] = False,
) -> None:
    """Photograph HDR scenes with a virtual camera and write a training set in a published layout.

    Example: hdrgan prepare scenes data --layout bracket
    """
    from hdrgan.data import prepare as preparing

    with plain_errors(), progress_bar("Scenes") as progress:
        done = preparing.prepare(
            scenes,
            output,
            layout=layout.value,
            views=views,
            size=size,
            seed=seed,
            responses=responses,
            skip_bad=skip_bad,
            progress=progress,
        )
    for fault in done.faults:
        typer.secho(f"left out: {fault}", err=True, fg="yellow")
    typer.echo(f"{done.views} views of {done.scenes} scenes in {output}")


@app.command(no_args_is_help=True)
def evaluate(
    data: Annotated[
        Path, typer.Argument(help="A rendered yardstick, a bracket folder, a pair folder, or a folder of HDR scenes.")
    ],
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="Name, folder or user/repo; may be given several times.")
    ] = ["radiance", "bracket"],  # noqa: B006  # typer reads the default, nobody changes it
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file for the report.")] = None,
    peers: Annotated[Path | None, typer.Option(help="Table (.tsv) of other systems' figures on the same data.")] = None,
    responses: Annotated[
        Path | None, typer.Option(help=".npz of the EMoR model, where the data were made with it.")
    ] = None,
    response: Response = ResponseChoice.auto,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only so many inputs.")] = None,
    device: Device = None,
) -> None:
    """Score networks on pictures whose light is known, beside doing nothing at all.

    Example: hdrgan evaluate bench --model radiance --peers bench/peers.tsv -o report.json
    """
    from hdrgan.evaluation import report, scenes
    from hdrgan.models.pretrained import locate
    from hdrgan.pipeline import Pipeline

    with plain_errors(), progress_bar("Inputs") as progress:
        systems = []
        for name in model:
            pipe = Pipeline.from_pretrained(name, device=device)
            systems.append(scenes.System.of_model(name, partial(pipe, response=response.value), locate(name)))
        table = scenes.evaluate(data, systems, responses=responses, limit=limit, peers=peers, progress=progress)
        if output is not None:
            report.write_report(table, output)
    typer.echo(report.format_report(table))


@app.command(no_args_is_help=True)
def convert(
    kind: Annotated[Kind, typer.Argument(help="Which published network the checkpoint is of.")],
    checkpoint: Annotated[Path, typer.Argument(help="The published .pth state dict.")],
    folder: Annotated[Path, typer.Argument(help="Folder for model.safetensors and config.json.")],
) -> None:
    """Convert a published checkpoint to a model folder; nothing inside it is ever executed.

    Example: hdrgan convert ein ein.pth models/ein && hdrgan generate photo.jpg --model models/ein
    """
    from hdrgan.models.convert import convert_checkpoint

    with plain_errors():
        convert_checkpoint(kind.value, checkpoint, folder)
    typer.echo(folder)


exporting = typer.Typer(help="Write a network for programs without torch.", no_args_is_help=True)
app.add_typer(exporting, name="export")


@exporting.callback()
def export() -> None:
    """Write a network for programs without torch."""


@exporting.command(no_args_is_help=True)
def onnx(
    model: Annotated[str, typer.Argument(help="Bundled name, model folder, or user/repo on the Hub.")],
    file: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
) -> None:
    """Write the network alone as ONNX, and check with onnxruntime that it computes the same.

    Example: hdrgan export onnx radiance radiance.onnx
    """
    with plain_errors():
        from hdrgan.models.export import export_onnx
        from hdrgan.pipeline import Pipeline

        difference = export_onnx(Pipeline.from_pretrained(model, device="cpu").model, file)
    typer.echo(f"{file}: differs from torch by {difference:.0e} of its range at most")


@app.command(no_args_is_help=True)
def push(
    model: Annotated[str, typer.Argument(help="Bundled name or model folder, such as a run's generator.")],
    repo: Annotated[str, typer.Argument(help="Where to: user/name.")],
    private: Annotated[bool, typer.Option("--private", help="Nobody else can see it.")] = False,
    space: Annotated[
        bool, typer.Option("--space", help="Publish the page as a Space of the same name as well.")
    ] = False,
    evaluation: Annotated[
        Path | None, typer.Option(help="Report of `hdrgan evaluate`; its figures go onto the card.")
    ] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option(help="Picture for the card; may be given several times. Left out: sheets of the example photos."),
    ] = None,
) -> None:
    """Publish a model on the Hugging Face Hub: weights, configuration, card and pictures in one commit.

    Example: hdrgan push runs/radiance/generator me/my-radiance --evaluation report.json
    """
    import tempfile

    from hdrgan.hub import card, publish
    from hdrgan.pipeline import Pipeline

    with plain_errors(), tempfile.TemporaryDirectory() as folder:
        samples: Sequence[Path | tuple[Path, str]] = sample or ()
        if not samples and publish.makes_pictures(model):  # a discriminator has nothing to show
            sheets = card.sample_sheets(Pipeline.from_pretrained(model), Path(folder))
            samples = [*card.results_figure(model), *sheets]
        done = publish.push(model, repo, private=private, space=space, evaluation=evaluation, samples=samples)
    typer.echo(done.model_url)
    if done.space_url:
        typer.echo(done.space_url)


def run(photos: list[Path], model: str, device: str | None, job: Callable[[Any, Path], list[Path]]) -> None:
    """Do ``job(pipeline, photo)`` for every photo; say what failed, go on, and end with exit code 1 if anything did."""
    files = list(find_photos(photos))
    if not files:
        raise ValueError(f"no photos in {', '.join(map(str, photos))}")
    from hdrgan.files.photo import PhotoError
    from hdrgan.pipeline import Pipeline

    pipe = Pipeline.from_pretrained(model, device=device)
    failed = 0
    shown = len(files) > 1 and sys.stderr.isatty()
    with typer.progressbar(files, label="Photos", file=sys.stderr, hidden=not shown) as bar:
        for file in bar:
            try:
                written = job(pipe, file)
            except PhotoError as error:
                failed += 1
                typer.secho(f"{file}: {error}", err=True, fg="red")
                continue
            if not shown:
                for path in written:
                    typer.echo(path)
    if failed:
        typer.secho(f"{failed} of {len(files)} photos could not be read.", err=True, fg="red")
        raise typer.Exit(1)


def find_photos(paths: list[Path]) -> Iterator[Path]:
    """The photos named, and those in the folders named, in order."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.suffix.lower() in PHOTO_SUFFIXES)
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"{path} does not exist")


def stops_of(evs: str) -> list[float]:
    """``"-2, 0, 2"`` to numbers; ValueError says which option is wrong."""
    try:
        return [float(ev) for ev in evs.split(",")]
    except ValueError:
        raise ValueError(f"--evs must be numbers separated by commas, such as -2,0,2, got {evs!r}") from None


def split(names: str) -> list[str]:
    """``"exr, hdr"`` to its parts."""
    return [name.strip() for name in names.split(",") if name.strip()]


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[..., None]]:
    """A bar on the terminal and the callback (done, total, …) that moves it; silent where output goes to a file."""
    with typer.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int, *_: object) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield show


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an expected failure into one line and exit code 2; a bug keeps its traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.secho(f"hdrgan: {error}", err=True, fg="red")
        raise typer.Exit(2) from None


def main() -> None:
    """Entry point of ``hdrgan`` and ``python -m hdrgan``."""
    # Threads that wait by spinning take the processor from those that work, wherever the machine has other things to
    # do as well: up to four times slower, for nothing measurable in return. It is read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()


if __name__ == "__main__":
    main()
