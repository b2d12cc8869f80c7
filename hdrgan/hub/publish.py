"""Publish a model on the Hugging Face Hub, and the page that runs it.

A push is prepared completely before anything is sent: the weights are loaded strictly, the card is rendered from
measured figures, the page's front matter is checked. Files travel first and become visible with one commit, so that a
failure half-way leaves a repository as it was.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, SpaceCard, SpaceHardware
from huggingface_hub.errors import HfHubHTTPError
from packaging.requirements import Requirement
from packaging.version import Version

from hdrgan.hub import card
from hdrgan.hub.access import HubError, hub_api, reason
from hdrgan.hub.distribution import WHEEL_NAME, build_wheel, package_files, project_files
from hdrgan.models.finding import CARD_NAME, CHECKSUMS_NAME, CONFIG_NAME, WEIGHTS_NAME, bundled_names, project_file
from hdrgan.models.pretrained import PretrainedModel
from hdrgan.models.weights_file import checksums
from hdrgan.pipeline import Pipeline

SAMPLES_FOLDER = "samples"

_BUNDLED_AS = {"RadianceGenerator": "radiance", "BracketGenerator": "bracket", "EIN": "ein"}
_SPACE_FILES = ("app.py", "requirements.txt", "pyproject.toml", "setup.py", "LICENSE", "model_card.md")
_LARGEST_SAMPLE = 1 << 20  # bytes


@dataclass(frozen=True)
class Published:
    """Where a push went: addresses of the model, its commit or pull request and, where asked for, the Space."""

    model_url: str
    commit: str
    space_url: str | None = None
    commit_url: str = ""
    pr_url: str | None = None


def push(
    model: PretrainedModel | str | Path,
    repo_id: str,
    *,
    private: bool = False,
    space: bool = False,
    hardware: str | None = None,
    token: str | bool | None = None,
    evaluation: Path | Mapping[str, Any] | None = None,
    samples: Sequence[Path | tuple[Path, str]] | None = None,
    onnx: Path | None = None,
    message: str | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    tag: str | None = None,
) -> Published:
    """Publish a model: weights, configuration, checksums, card, evaluation and pictures as one commit.

    A wheel of the library, ``handler.py`` and ``requirements.txt`` go with it, so that the model can be installed and
    deployed from its own address. What its owner wrote into the card on the Hub is kept.

    Args:
        model: a network, a model folder or a bundled name.
        repo_id: ``user/name``; made where it is not there.
        private: make the repositories private; an existing public one is refused.
        space: publish the page as well, as a Space of the same name. It loads the weights from the model's repository,
            so that the next push of the model reaches it; a private one brings them with it, because it has no login.
        hardware: of the Space, such as "cpu-basic" or "zero-a10g" (ZeroGPU); asked for when it is made. None takes
            what new Spaces have.
        token: access token of the Hub; None uses the stored login.
        evaluation: as for `render_card`.
        samples: pictures, JPEG or PNG up to 1 MB each, with or without captions. None draws sheets of the example
            photos, where the network makes pictures.
        onnx: the network as a file of `hdrgan.models.export`, published as ``onnx/model.onnx``.
        message: of the commit.
        branch: where the commit goes; made if it is not there. None is the main one.
        create_pr: open a pull request instead of committing; the repository must be there.
        tag: name of the commit, such as ``v1``.

    Raises:
        HubError: the Hub refused or was out of reach; repositories made by this call are gone again, others as before.
        PretrainedError: the model cannot be loaded.
        ValueError: the evaluation, a picture or the page's front matter is wrong.
    """
    if hardware is not None and not space:
        raise ValueError("hardware is that of a Space: it goes with space")
    if hardware is not None and hardware not in (known := [kind.value for kind in SpaceHardware]):
        raise ValueError(f"hardware must be one of {', '.join(known)}, got {hardware!r}")
    if space and (create_pr or branch is not None):
        raise ValueError("a Space is published from its main branch: leave out branch and create_pr, or the Space")
    api = hub_api(token)
    with card.as_folder(model) as folder, tempfile.TemporaryDirectory() as drawn:
        network = card.load_network(folder)
        if samples is None and type(network).__name__ in _BUNDLED_AS:
            sheets = card.sample_sheets(Pipeline.from_pretrained(folder), Path(drawn))
            samples = [*card.results_figure(folder), *sheets]
        report = card.find_report(folder, evaluation)
        pictures = _samples(samples or ())
        listed = [(path, caption) for path, caption, _ in pictures]
        text = card.card_of(network, folder, report, repo_id=repo_id, space=space, samples=listed)
        files: dict[str, Path | bytes] = {name: folder / name for name in (CONFIG_NAME, WEIGHTS_NAME)}
        files[CHECKSUMS_NAME] = checksums(folder)
        files[CARD_NAME] = text.encode()
        if report is not None:
            files[card.EVALUATION_NAME] = (json.dumps(report, indent=1, allow_nan=False) + "\n").encode()
        files |= {path: content for path, _, content in pictures}
        files |= _deployment(network, repo_id, api.endpoint)
        if onnx is not None:
            files["onnx/model.onnx"] = onnx
        parts = [_Part("model", files, (f"{SAMPLES_FOLDER}/", "hdrgan-"))]  # wheels of other versions
        if space:
            if not private and _is_private(api, repo_id):
                raise ValueError(f"{repo_id} is private, and its Space would not be: push both with private")
            own = folder if private else None
            space_files = _space_files(network, repo_id, own, pictures, hardware or "cpu-basic", api.endpoint)
            variables = _space_variables(network, None if private else repo_id)
            parts.append(_Part("space", space_files, ("hdrgan/", "examples/"), variables, hardware))
        push = _Push(message or f"Publish {type(network).__name__}", private, branch, create_pr, tag)
        return _publish(api, repo_id, parts, push)


def gradio_pin() -> Version:
    """The lowest version of gradio that ``requirements.txt`` admits: the one that the Space is built with."""
    for line in project_file("requirements.txt").read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text and not text.startswith("-") and (requirement := Requirement(text)).name == "gradio":
            versions = [Version(s.version) for s in requirement.specifier if s.operator in (">=", "==", "~=")]
            if versions:
                return max(versions)
    raise ValueError("requirements.txt does not pin gradio")


def space_readme(
    repo_id: str, *, preload: bool = True, hardware: str = "cpu-basic", thumbnail: str | None = None
) -> str:
    """README.md of the Space: the project's own front matter, with the model named.

    Args:
        repo_id: of the model.
        preload: let the Space fetch the model while it is built, so that it starts at once.
        hardware: that is suggested to whoever duplicates it.
        thumbnail: address of the picture that stands for it where it is shared.

    Raises:
        ValueError: the front matter is missing, or its ``sdk_version`` is not the one that requirements.txt pins.
    """
    front = SpaceCard(project_file("README.md").read_text(encoding="utf-8")).data
    if front.get("sdk") != "gradio":
        raise ValueError("README.md has no front matter of a gradio Space")
    if Version(str(front.get("sdk_version"))) != gradio_pin():
        raise ValueError(
            f"README.md names sdk_version {front.get('sdk_version')}, but requirements.txt pins gradio {gradio_pin()}"
        )
    front["models"] = [repo_id]
    front["suggested_hardware"] = hardware
    if preload:
        front["preload_from_hub"] = [f"{repo_id} {CONFIG_NAME},{WEIGHTS_NAME}"]
    if thumbnail is not None:
        front["thumbnail"] = thumbnail
    return (
        f"---\n{front.to_yaml()}\n---\n\n# {front.get('title', 'hdrgan')}\n\n"
        "One photo in; five exposures and an HDR image out. Clipped light is invented, and the light is relative: the\n"
        f"result is no evidence. What was measured of the model: [{repo_id}](https://huggingface.co/{repo_id}).\n\n"
        "`pip install -r requirements.txt && python app.py` runs the page on your own machine; `pip install .`\n"
        "installs the library and the command `hdrgan`.\n"
    )


def _samples(samples: Sequence[Path | tuple[Path, str]]) -> list[tuple[str, str, bytes]]:
    pictures = []
    for sample in samples:
        path, caption = sample if isinstance(sample, tuple) else (sample, sample.stem.replace("_", " "))
        content = Path(path).read_bytes()
        if Path(path).suffix.lower() not in (".jpg", ".jpeg", ".png") or len(content) > _LARGEST_SAMPLE:
            raise ValueError(f"{path} is no JPEG or PNG of at most 1 MB, which a card needs")
        pictures.append((f"{SAMPLES_FOLDER}/{card.slug(Path(path).name)}", caption.replace("]", ")"), content))
    return pictures


def _space_files(
    network: PretrainedModel,
    repo_id: str,
    own_weights: Path | None,
    pictures: Sequence[tuple[str, str, bytes]],
    hardware: str,
    endpoint: str,
) -> dict[str, Path | bytes]:
    """The page with its library; weights that it cannot fetch take the place of the bundled ones of their kind."""
    kind = _BUNDLED_AS.get(type(network).__name__)
    if kind is None:
        raise ValueError(f"a Space needs a network that makes pictures, and {type(network).__name__} does not")
    files: dict[str, Path | bytes] = {name: project_file(name) for name in (*_SPACE_FILES, *card.BENCHMARKS)}
    files |= {name: path for name, path in project_files().items() if name.startswith("examples/")}
    files |= package_files()
    files["requirements.txt"] = _space_requirements(hardware)
    # Sharing sites take a picture from an address; the first one on the card says most.
    picture = next(iter(pictures), None)
    shown = (
        picture[0] if picture is not None else min(name for name in files if re.fullmatch(r"examples/\w+\.jpg", name))
    )
    thumbnail = f"thumbnail{Path(shown).suffix}"
    files[thumbnail] = picture[2] if picture is not None else files[shown]
    address = f"{endpoint}/spaces/{repo_id}/resolve/main/{thumbnail}"
    front = space_readme(repo_id, preload=own_weights is None, hardware=hardware, thumbnail=address)
    files[CARD_NAME] = front.encode()
    if own_weights is not None:
        home = f"hdrgan/weights/{kind}"
        files = {name: source for name, source in files.items() if not name.startswith(f"{home}/")}
        files |= {f"{home}/{name}": own_weights / name for name in (CONFIG_NAME, WEIGHTS_NAME)}
        files[f"{home}/{CHECKSUMS_NAME}"] = checksums(own_weights)
    return files


def _space_requirements(hardware: str) -> bytes:
    """What the Space installs: for processors alone PyTorch's usual builds would bring 4 GB too much."""
    text = project_file("requirements.txt").read_text(encoding="utf-8")
    if hardware.startswith("cpu-"):
        note = "# For a Space with a graphics card take the next line out.\n"
        text = f"{note}--extra-index-url https://download.pytorch.org/whl/cpu\n{text}"
    return text.encode()


def _deployment(network: PretrainedModel, repo_id: str, endpoint: str) -> dict[str, Path | bytes]:
    """What installs the library from the model's own address, and what Inference Endpoints run."""
    files: dict[str, Path | bytes] = {WHEEL_NAME: build_wheel()}
    if type(network).__name__ in _BUNDLED_AS:
        files["handler.py"] = Path(__file__).with_name("handler.py")
        files["requirements.txt"] = f"hdrgan @ {endpoint}/{repo_id}/resolve/main/{WHEEL_NAME}\n".encode()
    return files


def _space_variables(network: PretrainedModel, repo_id: str | None) -> dict[str, str]:
    """Settings of the page: the network that is published comes first, and so is the one preselected."""
    own = _BUNDLED_AS[type(network).__name__]
    others = [name for name in _BUNDLED_AS.values() if name in bundled_names() and name != own]
    return {"HDRGAN_MODELS": ",".join([repo_id or own, *others])}


@dataclass
class _Part:
    """One repository's share of a push: its files, and the folders in which older files are taken away.

    A Space's variables are set when it is made; those of one that is there already are its owner's.
    """

    kind: str
    files: Mapping[str, Path | bytes]
    tidied: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    hardware: str | None = None
    head: str | None = None
    made: bool = False
    committed: bool = False


@dataclass(frozen=True)
class _Push:
    """How a push is to be made: see `push`."""

    message: str
    private: bool
    branch: str | None
    create_pr: bool
    tag: str | None


def _publish(api: HfApi, repo_id: str, parts: Sequence[_Part], how: _Push) -> Published:
    what = repo_id
    try:
        for part in parts:
            what = f"{part.kind} {repo_id}"
            _open_repository(api, repo_id, part, how)
        operations: list[list[CommitOperationAdd | CommitOperationDelete]] = []
        for part in parts:
            what = f"{part.kind} {repo_id}"
            present = set[str]()
            if not part.made:
                present |= set(api.list_repo_files(repo_id, repo_type=part.kind, revision=how.branch))
            files = dict(part.files)
            if part.kind == "model" and CARD_NAME in present:
                old = Path(api.hf_hub_download(repo_id, CARD_NAME, revision=how.branch)).read_text(encoding="utf-8")
                rendered = files[CARD_NAME]
                assert isinstance(rendered, bytes)
                files[CARD_NAME] = card.keep_own_words(rendered.decode(), old).encode()
            sources = {name: str(source) if isinstance(source, Path) else source for name, source in files.items()}
            additions = [CommitOperationAdd(name, source) for name, source in sources.items()]
            stale = sorted(name for name in present if name.startswith(part.tidied) and name not in part.files)
            api.preupload_lfs_files(
                repo_id,
                additions,
                repo_type=part.kind,
                revision=how.branch,
                create_pr=how.create_pr,
                free_memory=False,
            )
            operations.append([*additions, *(CommitOperationDelete(name, is_folder=False) for name in stale)])
        commits = []
        for part, changes in zip(parts, operations, strict=True):
            what = f"{part.kind} {repo_id}"
            made = api.create_commit(
                repo_id,
                changes,
                commit_message=how.message,
                repo_type=part.kind,
                revision=how.branch,
                create_pr=how.create_pr,
                parent_commit=part.head,
            )
            commits.append(made)
            part.committed = True
        if how.tag is not None:
            what = f"tag {how.tag} of {repo_id}"
            api.create_tag(repo_id, tag=how.tag, revision=commits[0].oid)
    except (KeyboardInterrupt, SystemExit):
        _take_back(api, repo_id, parts)
        raise
    except (OSError, ValueError, RuntimeError, HTTPError) as error:  # uploads fail with a RuntimeError
        left = _take_back(api, repo_id, parts)
        raise HubError(f"The {what} was not published: {reason(error)}{left}.") from error
    base = api.endpoint
    return Published(
        model_url=f"{base}/{repo_id}",
        commit=commits[0].oid,
        space_url=f"{base}/spaces/{repo_id}" if len(parts) > 1 else None,
        commit_url=commits[0].commit_url,
        pr_url=commits[0].pr_url,
    )


def _is_private(api: HfApi, repo_id: str) -> bool:
    """Whether a model of this name is there and hidden; whatever else is wrong shows when it is published."""
    try:
        return bool(api.model_info(repo_id).private)
    except (OSError, ValueError, HTTPError):
        return False


def _open_repository(api: HfApi, repo_id: str, part: _Part, how: _Push) -> None:
    options: dict[str, Any] = {}
    if part.kind == "space":
        options["space_sdk"] = "gradio"
        options["space_hardware"] = part.hardware
        options["space_variables"] = [{"key": key, "value": value} for key, value in part.variables.items()]
    try:
        if not how.create_pr:  # that of somebody else cannot be made, and need not be
            api.create_repo(repo_id, repo_type=part.kind, private=how.private, **options)
            part.made = True
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        if how.private and not api.repo_info(repo_id, repo_type=part.kind).private:
            raise ValueError("it is there already, and public") from error
    if how.branch is not None:
        api.create_branch(repo_id, branch=how.branch, repo_type=part.kind, exist_ok=True)
    if not part.made:
        part.head = api.repo_info(repo_id, repo_type=part.kind, revision=how.branch).sha


def _take_back(api: HfApi, repo_id: str, parts: Sequence[_Part]) -> str:
    """Remove the repositories that this push made; say what could not be undone."""
    left = [f"the new {part.kind} is there" for part in parts if part.committed and not part.made]
    for part in parts:
        if part.made:
            try:
                api.delete_repo(repo_id, repo_type=part.kind)
            except (OSError, HTTPError):
                left.append(f"an unfinished {part.kind} of that name is left")
    return "".join(f"; {what}" for what in left)
