"""``hdrgan calibrate``: the response of a camera from a bracket of a still scene."""

from __future__ import annotations

from pathlib import Path

import click

from hdrgan.cli.options import stops_of
from hdrgan.cli.root import app, plain_errors


@app.command(no_args_is_help=True)
@click.argument(
    "stacks",
    nargs=-1,
    required=True,
    type=Path,
    help="Folders, each with the shots of one bracket, or the shots themselves.",
    metavar="STACK…",
)
@click.option("--output", "-o", type=Path, help="The file to write; left out: where photos find it.")
@click.option("--times", type=Path, help="Exposure times: a file name and seconds a line.")
@click.option("--evs", help="Stops in the order of the files, such as --evs=-4,-2,0,2.")
@click.option("--style", default="", show_default=False, help="Name of the picture style that the camera is set to.")
@click.option("--plot", type=Path, help="Draw the curve into this .png.")
def calibrate(
    stacks: tuple[Path, ...], output: Path | None, times: Path | None, evs: str | None, style: str, plot: Path | None
) -> None:
    """Measure the response of a camera from brackets of still scenes, so that its photos are read with its own curve.

    Shoot one scene with light and shade from a tripod, 2 to 30 shots in steps of one or two stops, white balance and
    picture style fixed. Several folders of one camera and style refine the result.

    Example: hdrgan calibrate shots/ -o my_camera.json --plot curve.png
    """
    with plain_errors():
        from hdrgan.files.calibrations import default_path, write_calibration
        from hdrgan.files.stack import pictures_in, read_stack, read_times
        from hdrgan.light.calibration import Bracket, CalibrationError
        from hdrgan.light.calibration import calibrate as fit_camera

        files = [path for path in stacks if not path.is_dir()]
        groups = [pictures_in(path) for path in stacks if path.is_dir()] + ([files] if files else [])
        seconds = read_times(times) if times is not None else None
        stops = stops_of(evs) if evs else None
        read = [read_stack(group, seconds=seconds, evs=stops) for group in groups]
        cameras = sorted({(shot.make, shot.model) for shots in read for shot in shots})
        if len(cameras) > 1:
            listed = ", ".join(" ".join(camera).strip() or "one that names no camera" for camera in cameras)
            raise CalibrationError(f"The shots are of several cameras ({listed}); calibrate one at a time.")
        done = fit_camera(
            [Bracket([s.pixels for s in shots], [s.ev for s in shots], [s.path.name for s in shots]) for shots in read]
        )
        make, model = cameras[0]
        first, *others = (shot.rendering.items() for shots in read for shot in shots)
        rendering = dict(item for item in first if all(item in other for other in others))
        target = output or default_path(make, model, style)
        about = [
            {
                "shots": [shot.path.name for shot in shots],
                "evs": [round(shot.ev, 4) for shot in shots],
                "time_errors": [round(float(error), 4) for error in errors],
            }
            for shots, errors in zip(read, done.time_errors, strict=True)
        ]
        write_calibration(target, done, make=make, model=model, style=style, rendering=rendering, stacks=about)
        if plot is not None:
            from hdrgan.files.curve_plot import draw_curves

            draw_curves(plot, done.response, done.seen, model or "this camera")
    seen = int(done.seen.sum())
    click.echo(
        f"{done.shots} shots of {len(read)} {'bracket' if len(read) == 1 else 'brackets'}: {seen} of 256 codes seen, "
        "the others filled in by what is known of cameras."
    )
    click.echo(
        f"On held-out {done.held_out}: off by {done.error:.2f} stops RMS; mean camera {done.mean_error:.2f}, "
        f"sRGB {done.srgb_error:.2f}."
    )
    if done.error > done.mean_error:
        click.secho("The mean camera does better there: shoot another bracket before you use this.", fg="yellow")
    click.echo(target)
