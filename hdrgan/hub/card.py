"""The card of a model: its text, from measured figures alone, and its pictures."""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from huggingface_hub import EvalResult, ModelCard
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from hdrgan.evaluation.report import EVALUATOR, IDENTITY_NAME, REAL_FIGURES, ev_key, read_report, rows
from hdrgan.files.colour import to_8_bits
from hdrgan.hub.distribution import WHEEL_NAME
from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.finding import WEIGHTS_NAME, PretrainedError, locate, project_file
from hdrgan.models.patch_discriminator import PatchDiscriminator
from hdrgan.models.pretrained import PretrainedModel, read_config
from hdrgan.models.radiance_generator import RadianceGenerator
from hdrgan.models.weights_file import sha256_of
from hdrgan.result import Result

EVALUATION_NAME = "evaluation.json"
BENCHMARKS = ("benchmarks/real_brackets.json", "benchmarks/yardstick.json")

_NETWORKS: dict[str, type[PretrainedModel]] = {
    network.__name__: network for network in (RadianceGenerator, BracketGenerator, EIN, PatchDiscriminator)
}
_SHEET_HEIGHT = 240  # pixels of each exposure on a sample sheet


def render_card(
    model: PretrainedModel | str | Path,
    evaluation: Path | Mapping[str, Any] | None = None,
    *,
    repo_id: str | None = None,
) -> str:
    """Render a model's card; every number on it comes from the weights file or from the evaluation.

    Args:
        model: a network, a model folder or a bundled name.
        evaluation: what `hdrgan.evaluation.scenes.evaluate` reported, or the file that holds it. None takes
            the folder's own ``evaluation.json``, or the project's benchmark where that measured these very weights.
        repo_id: name on the Hub, for the lines that show how to load it.

    Returns:
        The text of README.md.

    Raises:
        PretrainedError: the model cannot be loaded.
        ValueError: the file is not an evaluation report, or it reports on other weights.
    """
    with as_folder(model) as folder:
        network = load_network(folder)
        return card_of(network, folder, find_report(folder, evaluation), repo_id=repo_id, space=False, samples=())


def sample_sheet(exposures: Sequence[np.ndarray], evs: Sequence[float]) -> Image.Image:
    """Exposures side by side with their EVs above, small enough for a card.

    Args:
        exposures: (H, W, 3) uint8 or uint16, encoded.
        evs: their stops.
    """
    tiles = []
    for codes in exposures:
        pixels = to_8_bits(codes)
        width = max(1, round(pixels.shape[1] * _SHEET_HEIGHT / pixels.shape[0]))
        tiles.append(Image.fromarray(pixels).resize((width, _SHEET_HEIGHT), Image.Resampling.LANCZOS))
    gap, head = 6, 24
    sheet = Image.new("RGB", (sum(t.width + gap for t in tiles) - gap, _SHEET_HEIGHT + head), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    left = 0
    for tile, ev in zip(tiles, evs, strict=True):
        draw.text((left + 2, 2), f"EV {ev:+g}" if ev else "EV 0", fill="black", font=font)
        sheet.paste(tile, (left, head))
        left += tile.width + gap
    return sheet


SAMPLES = ("dandelions", "launch_pad", "sunset")
"""Examples of which a model card shows what its network makes."""


def sample_sheets(pipeline: Callable[[Path], Result], folder: Path) -> list[tuple[Path, str]]:
    """Run a pipeline over the example photos and write a sheet of each into a folder: paths with captions, for `push`.

    ``pipeline``, such as a `hdrgan.pipeline.Pipeline`, goes from a path to an object with ``exposures`` and ``evs``.
    """
    sheets = []
    for photo in (project_file("examples") / f"{name}.jpg" for name in SAMPLES):
        result = pipeline(photo)
        path = folder / photo.name
        sample_sheet(result.exposures, result.evs).save(path, quality=85)
        stops = ", ".join(f"{ev:+g}" if ev else "0" for ev in result.evs)
        sheets.append((path, f"{photo.stem.replace('_', ' ')}: exposures at EV {stops}, made by these weights"))
    return sheets


def results_figure(model: str | Path) -> list[tuple[Path, str]]:
    """The project's figure of test photos, for `push`, where the weights of ``model`` drew it; else nothing."""
    try:
        figure = project_file("docs/results.jpg")
        with Image.open(figure) as picture:
            comment = picture.info.get("comment", b"")
    except OSError:
        return []
    if sha256_of(locate(model) / WEIGHTS_NAME).encode() not in comment:
        return []
    caption = "six real photos, exposures made by these weights, and the same camera's own shots below each"
    return [(figure, caption)]


def card_of(
    network: PretrainedModel,
    folder: Path,
    report: Mapping[str, Any] | None,
    *,
    repo_id: str | None,
    space: bool,
    samples: Sequence[tuple[str, str]],
) -> str:
    digest = sha256_of(folder / WEIGHTS_NAME)
    training = network.training_summary
    data = copy.deepcopy(type(network)._hub_mixin_info.model_card_data)
    data.model_name = (repo_id or folder.resolve().name).split("/")[-1]
    bases = _bases(training)
    base = bases[0] if bases else {}
    # Both keys link to what is on the Hub; a name that is none would claim somebody else's data or model.
    data.base_model = base.get("hub_id")
    sources = [
        source for one in (training, *(b.get("training") or {} for b in bases)) for source in one.get("data", ())
    ]
    data.datasets = list(dict.fromkeys(source["hub_id"] for source in sources if "hub_id" in source)) or None
    reports = [report, *report.get("also", ())] if report is not None else []
    if reports:
        data.eval_results = []
        for one in reports:
            own = next((system for system in one["systems"] if system["sha256"] == digest), None)
            if own is None:
                raise ValueError(
                    f"the evaluation of {one['date'][:10]} is not of these weights: "
                    "run 'hdrgan evaluate -o report.json' with the model that is to be published"
                )
            data.eval_results += _eval_results(one, own)
        data.metrics = sorted({result.metric_type for result in data.eval_results})
    card = network.generate_model_card(
        card_data=data,
        repo_id=repo_id,
        space=space,
        weights_sha256=digest,
        license=data.license,
        samples=[{"path": path, "caption": caption} for path, caption in samples],
        evaluations=[_evaluation_view(one, digest) for one in reports],
        wheel=WHEEL_NAME if repo_id is not None else None,
        own_words=OWN_WORDS,
        bases=bases,
    )
    return str(card)


def _bases(training: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the weights began with, what those began with, and so on, back to weights that began with nothing."""
    bases: list[Mapping[str, Any]] = []
    while base := training.get("base"):
        bases.append(base)
        training = base.get("training") or {}
    return bases


def keep_own_words(card: str, old: str) -> str:
    """Carry over what the owner wrote into the card on the Hub: below the mark, and keys of their own at its head.

    Args:
        card: as rendered.
        old: the README.md that is there.

    Returns:
        The card to publish. An old one that has no mark is nobody's but the owner's, and stands below it as a whole.
    """
    theirs, ours = ModelCard(old, ignore_metadata_errors=True), ModelCard(card)
    known = vars(ours.data)
    for key, value in vars(theirs.data).items():
        if known.get(key) is None and key not in _MANAGED_KEYS and value is not None:
            setattr(ours.data, key, value)
    _, mark, words = old.partition(OWN_WORDS)
    words = words if mark else theirs.text
    return f"{ours}".rstrip() + (f"\n\n{words.strip()}\n" if words.strip() else "\n")


def _evaluation_view(report: Mapping[str, Any], digest: str) -> dict[str, Any]:
    tables = {
        condition: [row | {"this": row["sha256"] == digest} for row in rows(report, condition)]
        for condition in report["conditions"]
    }
    return {
        **report,
        "rows": tables,
        "conditions": sorted(tables, key=lambda condition: condition != "real"),
        "ev_keys": [ev_key(ev) for ev in report["evs"]],
        "real_columns": [
            (kind, ev) for kind in REAL_FIGURES for ev in next(iter(tables.values()))[0]["figures"].get(kind, {})
        ],
        "has_radiance": any("pu21" in row["figures"] for table in tables.values() for row in table),
        "has_brackets": any("bracket_psnr" in row["figures"] for table in tables.values() for row in table),
        "peers_source": report.get("peers", {}).get("source"),
        "measured_by": report.get("measured_by", EVALUATOR),
        "is_test": report.get("measured_by", EVALUATOR) == EVALUATOR,
        "systems_beside": [
            system["name"]
            for system in report["systems"]
            if system["sha256"] != digest and system["name"] != IDENTITY_NAME
        ],
    }


OWN_WORDS = "<!-- What stands below this line is yours: `hdrgan push` keeps it. -->"
_MANAGED_KEYS = {"base_model", "datasets", "eval_results", "metrics", "model_name", "tags"}

_METRICS = {
    "pu21": ("pu21_psnr", "PU21-PSNR (dB)"),
    "pu21_hi": ("pu21_psnr", "PU21-PSNR, highlights only (dB)"),
    "mu": ("mu_psnr", "mu-law PSNR (dB)"),
    "hi_stops": ("rmse", "RMSE of log2 luminance, highlights (stops)"),
    "keep_stops": ("rmse", "RMSE of log2 luminance, well exposed (stops)"),
}
_DATA_KINDS = {
    "yardstick": "hdrgan yardstick, rendered from HDR scenes",
    "scenes": "HDR scenes photographed by a virtual camera",
    "brackets": "exposure brackets",
    "bracket": "exposure brackets",
    "pairs": "photos with HDR images",
    "hdr": "HDR scenes photographed by a virtual camera",
    "real brackets": "real exposure brackets, each shot beside those that its camera took darker and brighter",
}
_EV_METRICS = {
    "bracket_psnr": ("psnr", "PSNR EV {} (dB)"),
    "bracket_ssim": ("ssim", "SSIM EV {}"),
    "all": ("psnr", "PSNR EV {} (dB)"),
    "blown": ("psnr", "PSNR EV {}, blown places (dB)"),
    "rim": ("psnr", "PSNR EV {}, rims of blown places (dB)"),
    "range": ("bias", "range of light in blown places, EV {} (stops)"),
}


def _eval_results(report: Mapping[str, Any], own: Mapping[str, Any]) -> list[EvalResult]:
    found: list[tuple[str, str, str, float]] = []
    for condition, figures in own["conditions"].items():
        found += [(condition, *_METRICS[key], figures[key]) for key in _METRICS if key in figures]
        for key, (kind, title) in _EV_METRICS.items():
            found += [(condition, kind, title.format(ev), value) for ev, value in figures.get(key, {}).items()]
    data = report["data"]
    return [
        EvalResult(
            task_type="image-to-image",
            dataset_type=data.get("hub_id") or f"hdrgan-{slug(data['kind'])}",
            dataset_name=_DATA_KINDS.get(data["kind"], data["kind"]),
            dataset_config=condition,
            dataset_split=data.get("split"),
            metric_type=kind,
            metric_name=title,
            metric_value=value,
        )
        for condition, kind, title, value in found
    ]


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "unnamed"


@contextmanager
def as_folder(model: PretrainedModel | str | Path) -> Iterator[Path]:
    if not isinstance(model, PretrainedModel):
        yield locate(model)
        return
    with tempfile.TemporaryDirectory() as temporary:
        model.save_pretrained(temporary)
        yield _origin(model) or Path(temporary)


def _origin(model: PretrainedModel) -> Path | None:
    """The folder that a network was loaded from, if it is still as it was there: what was measured there is of it."""
    try:
        then = None if model.loaded_from is None else type(model).from_pretrained(model.loaded_from)
    except PretrainedError:  # it is gone, or another one by now
        return None
    if then is None or dict(then.training_summary) != dict(model.training_summary):
        return None
    now, before = (cast(nn.Module, network).state_dict() for network in (model, then))
    same = all(value.dtype == before[name].dtype and value.cpu().equal(before[name]) for name, value in now.items())
    return model.loaded_from if same else None


def load_network(folder: Path) -> PretrainedModel:
    """Load what is to be published: what cannot be loaded is not published."""
    name = read_config(folder).get("_class_name")
    if name not in _NETWORKS:
        raise PretrainedError(f"{folder} holds {name or 'a network without a class name'}, which is none of hdrgan's.")
    return _NETWORKS[name].from_pretrained(folder)


def find_report(folder: Path, evaluation: Path | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if isinstance(evaluation, Mapping):
        return evaluation
    if evaluation is not None:
        return read_report(evaluation)
    own = folder / EVALUATION_NAME
    return read_report(own) if own.is_file() else _benchmark_of(folder)


def _benchmark_of(folder: Path) -> Mapping[str, Any] | None:
    """The project's own benchmarks, where these very weights were measured in them, as one report."""
    digest = sha256_of(folder / WEIGHTS_NAME)
    reports = []
    for benchmark in BENCHMARKS:
        try:
            report = read_report(project_file(benchmark))
        except FileNotFoundError:
            continue
        if any(system["sha256"] == digest for system in report["systems"]):
            reports.append(report)
    return {**reports[0], "also": reports[1:]} if reports else None
