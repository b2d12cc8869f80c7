"""Publishing and loading over HTTP, with the real client in processes of its own and a local Hub."""

from __future__ import annotations

import base64
import csv
import importlib.util
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from empty_environment import EmptyEnvironment
from gradio_client import Client, handle_file
from huggingface_hub import ModelCard
from local_hub import Blob, LocalHub, front_matter, readme_errors
from packaging.version import Version
from page_server import clean_environment, fetch, page
from PIL import Image
from safetensors.torch import load_file

from hdrgan import EIN, BracketGenerator, PatchDiscriminator, Pipeline, RadianceGenerator
from hdrgan.evaluation import report
from hdrgan.hub import distribution, publish
from hdrgan.hub.card import OWN_WORDS, SAMPLES, keep_own_words, render_card, sample_sheet, sample_sheets
from hdrgan.hub.distribution import WHEEL_NAME, package_files
from hdrgan.models import finding, pretrained, weights_file
from hdrgan.models.pretrained import PretrainedError

NETWORKS = {
    "radiance": (RadianceGenerator, {"widths": (8, 8, 8, 8)}),
    "bracket": (BracketGenerator, {"width": 8}),
    "ein": (EIN, {"width": 8}),
}


def client(code: str, hub: LocalHub, home: Path, root: Path, *arguments: object, **options: bool) -> dict:
    """Run code in a process of its own; it prints JSON as its last line."""
    header = "import json, sys\nfrom pathlib import Path\nimport torch\ntorch.set_num_threads(1)\n"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", header + code, *map(str, arguments)],
        env=hub.environment(home, **options) | {"PYTHONPATH": str(root)},
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def outputs(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    srgb = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        answer = network(srgb)
    return {"out": (answer if isinstance(answer, torch.Tensor) else answer.radiance).contiguous()}


FIGURES = {"views": 3, "pu21": 31.2345, "pu21_hi": 22.5, "mu": 38.0, "hi_stops": 0.51, "keep_stops": 0.02}
EXPOSURES = {
    "bracket_psnr": {"-4": 28.25, "+0": 100.0, "+4": 40.5},
    "bracket_ssim": {"-4": 0.91, "+0": 1.0, "+4": 0.97},
}


MADE = {"command": "render", "scenes": ["hdr/desk.exr"], "views": 6, "size": 256, "seed": 3, "cameras": []}


def evaluation_of(folder: Path) -> dict:
    """A report in which the folder's weights were measured."""
    worse = {**FIGURES, "pu21": 30.0, **EXPOSURES}
    return report.new_report(
        {"name": "Test views", "kind": "yardstick", "split": "test", **MADE},
        [-4, 0, 4],
        [
            {
                "name": "identity",
                "class_name": None,
                "parameters": None,
                "sha256": None,
                "conditions": {"clean": worse},
            },
            {
                "name": "ours",
                "class_name": "RadianceGenerator",
                "parameters": pretrained.count_parameters(folder),
                "sha256": weights_file.sha256_of(folder / "model.safetensors"),
                "conditions": {"clean": FIGURES | EXPOSURES},
            },
        ],
        ["clean"],
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder for each network, random but trained as far as the files tell."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("models")
    torch.manual_seed(1)
    for name, (cls, arguments) in NETWORKS.items():
        training = {"steps": 5, "seconds": 7200, "hardware": "2 CPU cores"}
        training["data"] = [{"name": "Poly Haven", "count": 3, "licence": "CC0-1.0"}]
        cls(**arguments).save_pretrained(home / name, dtype=torch.float16, training=training)
    report.write_report(evaluation_of(home / "radiance"), home / "radiance" / "evaluation.json")
    return {name: home / name for name in NETWORKS}


PUSH = """
from hdrgan.hub import distribution, publish
folders, sample = Path(sys.argv[1]), Path(sys.argv[2])
done = {}
for name in ("radiance", "bracket", "ein"):
    samples = [(sample, "Five exposures")] if name == "radiance" else ()
    options = {"private": name == "ein", "space": name == "bracket", "samples": samples}
    published = publish.push(folders / name, f"tester/{name}", **options)
    done[name] = [published.model_url, published.commit, published.space_url]
from hdrgan import PatchDiscriminator
PatchDiscriminator(width=8).push_to_hub("tester/critic")
print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def published(folders, root, tmp_path_factory):
    """A Hub to which the three networks were pushed, and what the pushing process said."""
    home = tmp_path_factory.mktemp("pusher")
    exposures = [np.full((40, 60, 3), level, np.uint8) for level in (20, 90, 200)]
    sample_sheet(exposures, (-4, 0, 4)).save(home / "Five exposures.jpg")
    with LocalHub() as local:
        done = client(
            PUSH, local, home / "home", root, folders["radiance"].parent, home / "Five exposures.jpg", token=True
        )
        yield local, done


def test_a_push_is_one_commit_with_everything(published, folders):
    local, done = published
    repo = local.repos["model", "tester/radiance"]
    assert done["radiance"] == [f"{local.url}/tester/radiance", repo.head.oid, None]
    assert [commit.title for commit in repo.commits.values()] == ["initial commit", "Publish RadianceGenerator"]
    assert set(repo.head.files) == {
        ".gitattributes",
        "README.md",
        "SHA256SUMS",
        "config.json",
        "evaluation.json",
        "handler.py",
        WHEEL_NAME,
        "model.safetensors",
        "requirements.txt",
        "samples/five-exposures.jpg",
    }
    (line,) = repo.head.files["requirements.txt"].content.decode().splitlines()
    assert line == f"hdrgan @ {local.url}/tester/radiance/resolve/main/{WHEEL_NAME}"
    for name in ("config.json", "model.safetensors", "evaluation.json"):
        assert repo.head.files[name].content == (folders["radiance"] / name).read_bytes()
    assert repo.head.files["model.safetensors"].lfs
    assert not repo.private
    by_method = local.repos["model", "tester/critic"].head.files
    assert {"README.md", "SHA256SUMS", "config.json", "model.safetensors"} < by_method.keys()
    card = by_method["README.md"].content.decode()
    assert "it makes no pictures" in card
    assert 'from_pretrained("tester/critic")' in card
    assert f"SHA-256 `{by_method['model.safetensors'].sha256}`" in card
    assert "image-to-image" not in card
    assert "handler.py" not in by_method
    assert local.repos["model", "tester/ein"].private


def test_the_pushed_card_tells_what_was_measured(published, folders):
    local, _ = published
    text = local.repos["model", "tester/radiance"].head.files["README.md"].content.decode()
    assert readme_errors(text, "model") == []
    card = ModelCard(text)
    measured = evaluation_of(folders["radiance"])["systems"][1]["conditions"]["clean"]
    on_card = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert on_card == {
        "PU21-PSNR (dB)": measured["pu21"],
        "PU21-PSNR, highlights only (dB)": measured["pu21_hi"],
        "mu-law PSNR (dB)": measured["mu"],
        "RMSE of log2 luminance, highlights (stops)": measured["hi_stops"],
        "RMSE of log2 luminance, well exposed (stops)": measured["keep_stops"],
        **{f"PSNR EV {ev} (dB)": value for ev, value in measured["bracket_psnr"].items()},
        **{f"SSIM EV {ev}": value for ev, value in measured["bracket_ssim"].items()},
    }
    data = card.data.to_dict()
    assert data["library_name"] == "hdrgan"
    assert data["license"] == "mit"
    assert data["pipeline_tag"] == "image-to-image"
    assert "datasets" not in data, "a source that is no data set of the Hub is told in words alone"
    assert {result.dataset_name for result in card.data.eval_results} == {"hdrgan yardstick, rendered from HDR scenes"}
    assert "`render DATA VIEWS`, then `hdrgan evaluate VIEWS --model tester/radiance`" in text
    assert 'split "test", seed 3' in text
    assert "`recipes/scenes.tsv`:\n`hdr/desk.exr`." in text
    assert "Kwong, Sam" in text
    assert "| identity | 30.00 | 22.50 |" in text
    assert "| **ours** | 31.23 | 22.50 |" in text
    assert 'Pipeline.from_pretrained("tester/radiance")' in text
    assert "| Poly Haven | 3 | CC0-1.0 |" in text
    assert "took 2.0 hours on 2 CPU cores. The energy was not metered" in text
    assert "(samples/five-exposures.jpg)" in text
    assert "10.1145/3763240" in text
    assert "not been evaluated" not in text
    assert "not been evaluated" in local.repos["model", "tester/bracket"].head.files["README.md"].content.decode()


AGAIN_ELSEWHERE = """
from hdrgan import BracketGenerator
from hdrgan.hub.access import HubError, check_push
from hdrgan.hub.publish import push
first = BracketGenerator(width=8).push_to_hub("tester/again", commit_message="First", tag="v1")
pull = BracketGenerator(width=8).push_to_hub("tester/again", create_pr=True)
branch = BracketGenerator(width=8).push_to_hub("tester/again", branch="try")
def refusal(repo, **options):
    try:
        check_push(repo, **options)
    except HubError as error:
        return str(error)
    return "may"
answers = [refusal(repo) for repo in ("tester/again", "tester/new", "somebody/x", "nobody")]
answers.append(refusal("tester/new", token="hf_wrong"))
print(json.dumps({"first": first, "pull": pull, "branch": branch, "answers": answers}))
"""


def test_a_push_goes_where_it_is_told_and_keeps_what_the_owner_wrote(root, tmp_path):
    with LocalHub() as local:
        mine = b"---\nlicense: apache-2.0\nthumbnail: https://me/x.png\n---\n\nWritten by hand.\n"
        repo = local.add("tester/again", {"README.md": mine})
        done = client(AGAIN_ELSEWHERE, local, tmp_path / "home", root, token=True)
        assert [commit.title for commit in repo.commits.values()][1] == "First"
        card = repo.head.files["README.md"].content.decode()
        assert repo.refs["v1"] == repo.head.oid
        assert done["first"] == f"{local.url}/tester/again/commit/{repo.head.oid}"
        assert done["pull"] == f"{local.url}/tester/again/discussions/1"
        assert set(repo.refs) == {"main", "v1", "refs/pr/1", "try"}
        assert repo.find("try").parent == repo.head.oid
        for where in ("refs/pr/1", "try"):
            again = repo.find(where).files["README.md"].content.decode()
            assert again.count("Written by hand.") == 1, "kept, and not once more at each push"
    assert card.index(OWN_WORDS) < card.index("Written by hand.")
    assert ModelCard(card).data.thumbnail == "https://me/x.png"
    assert ModelCard(card).data.license == "mit", "of the weights"
    assert done["answers"] == [
        "may",
        "may",
        "Logged in as tester, who may not publish somebody/x.",
        "'nobody' is not a name on the Hub, which is written user/name.",
        "tester/new cannot be published: you are not logged in, or the token is wrong ('hf auth login').",
    ]


FROM_A_SUBFOLDER = """
from hdrgan import Pipeline
options = {"subfolder": "nets/five", "device": "cpu"}
first = Pipeline.from_pretrained("tester/several", dtype=torch.float64, **options)
kinds = {str(p.dtype) for p in first.model.parameters()}
Pipeline.from_pretrained("tester/several", local_files_only=True, **options)
Pipeline.from_pretrained("tester/several", force_download=True, **options)
from_folder = Pipeline.from_pretrained(sys.argv[1], subfolder="bracket", device="cpu")
try:
    Pipeline.from_pretrained("tester/several", subfolder="nets/six", device="cpu")
except OSError as error:
    missing = str(error)
classes = [type(pipe.model).__name__ for pipe in (first, from_folder)]
print(json.dumps({"kinds": sorted(kinds), "missing": missing, "classes": classes}))
"""


def test_a_pipeline_is_loaded_as_other_libraries_load_theirs(folders, root, tmp_path):
    inside = {f"nets/five/{path.name}": path.read_bytes() for path in folders["bracket"].iterdir()}
    with LocalHub() as local:
        local.add("tester/several", inside)
        seen = client(FROM_A_SUBFOLDER, local, tmp_path / "home", root, folders["bracket"].parent)
        fetched = [path for method, path in local.requests if method == "GET" and path.endswith("model.safetensors")]
    assert seen["kinds"] == ["torch.float64"]
    assert seen["classes"] == ["BracketGenerator"] * 2
    assert len(fetched) == 2, "once at first, not at all from the cache alone, and once more when it is forced"
    assert "nets/six" in seen["missing"] or "has no config.json" in seen["missing"]


def test_the_command_says_where_a_push_goes(folders, root, tmp_path):
    Image.new("RGB", (60, 40), "grey").save(tmp_path / "frames.jpg")
    with LocalHub() as local:
        env = local.environment(tmp_path / "home", token=True) | {"PYTHONPATH": str(root), "NO_COLOR": "1"}

        def push(*flags: str) -> str:
            line = [sys.executable, "-m", "hdrgan", "push", str(folders["bracket"]), "tester/flags", *flags]
            line += ["--sample", "frames.jpg"]
            done = subprocess.run(
                line, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        assert (
            push("--onnx", "--branch", "try", "--tag", "v1", "--commit-message", "First") == f"{local.url}/tester/flags"
        )
        assert push("--create-pr") == f"{local.url}/tester/flags/discussions/1"
        repo = local.repos["model", "tester/flags"]
    assert set(repo.refs) == {"main", "try", "v1", "refs/pr/1"}
    assert repo.refs["v1"] == repo.refs["try"]
    commit = repo.find("try")
    assert commit.title == "First"
    assert "samples/frames.jpg" in commit.files
    (tmp_path / "model.onnx").write_bytes(commit.files["onnx/model.onnx"].content)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [entry.name for entry in session.get_outputs()] == ["bracket"]


def test_what_stands_above_the_mark_is_rendered_again():
    card = f"---\nlicense: mit\n---\n\nNew figures.\n\n{OWN_WORDS}\n"
    old = f"---\nlicense: mit\ndatasets:\n- me/old\n---\n\nOld figures.\n\n{OWN_WORDS}\n\nMine.\n"
    assert keep_own_words(card, old) == card.rstrip() + "\n\nMine.\n"


def test_a_fine_tune_names_its_base_and_what_that_had_learned_from():
    network = BracketGenerator(width=8)
    network.training_summary = {
        "steps": 3,
        "data": [{"name": "me/brackets", "hub_id": "me/brackets", "count": 4, "licence": "not stated"}],
        "base": {
            "sha256": "ab" * 32,
            "hub_id": "me/base",
            "training": {"steps": 900, "data": [{"name": "Poly Haven", "count": 75, "licence": "CC0-1.0"}]},
        },
    }
    text = render_card(network, repo_id="me/fine-tune")
    data = ModelCard(text).data
    assert (data.base_model, data.datasets) == ("me/base", ["me/brackets"])
    assert "began with the weights of [me/base](https://huggingface.co/me/base)" in text
    assert "trained for 900 steps" in text
    assert "| Poly Haven | 75 | CC0-1.0 |" in text


def test_a_fine_tune_of_a_fine_tune_names_every_generation():
    network = BracketGenerator(width=8)
    first = {"steps": 900, "data": [{"name": "me/old", "hub_id": "me/old", "count": 75, "licence": "CC-BY-4.0"}]}
    second = {"steps": 40, "data": [{"name": "Poly Haven", "count": 9, "licence": "CC0-1.0"}]}
    second["base"] = {"sha256": "ab" * 32, "hub_id": "me/first", "training": first}
    own = [{"name": "me/new", "hub_id": "me/new", "count": 3, "licence": "CC0-1.0"}]
    base = {"sha256": "cd" * 32, "hub_id": "me/second", "training": second}
    network.training_summary = {"steps": 5, "data": own, "base": base}
    text = render_card(network, repo_id="me/third")
    data = ModelCard(text).data
    assert (data.base_model, data.datasets) == ("me/second", ["me/new", "me/old"])
    said = " ".join(text.split())
    assert "This is a fine-tune: it began with the weights of [me/second](https://huggingface.co/me/second)" in said
    assert "Those weights were a fine-tune themselves, which began with the weights of [me/first]" in said
    for line in ("trained for 40 steps", "trained for 900 steps", "| Poly Haven | 9 | CC0-1.0 |"):
        assert said.count(line) == 1
    assert "| me/old | 75 | CC-BY-4.0 |\n\n" in text
    assert "| Poly Haven | 9 | CC0-1.0 |\n\n\nThose weights" in text


def test_only_files_of_the_package_are_published(root, tmp_path, monkeypatch):
    package = tmp_path / "hdrgan"
    for name in (".env", "weights/mine/model.safetensors", "light/.merge.py.swp", "notes.txt", "page/look.css.bak"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("private")
    for name in ("light/merge.py", "py.typed", "page/page.css", "weights/ein/config.json"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("public")
    monkeypatch.setattr(distribution, "_PACKAGE", package)
    assert {path.read_text() for path in package_files().values()} == {"public"}
    assert len(package_files()) == 4


PUSH_ALL = """
from hdrgan.hub.publish import push
push("bracket", "tester/all", space=True)
push("bracket", "tester/hidden", space=True, private=True)
print("{}")
"""
OWN_FILES = """.env examples/.env examples/holiday.jpg examples/IMG_0001.HEIC launch/.env launch/mine.yaml hdrgan/.env
hdrgan/.own.py
hdrgan/weights/.env hdrgan/weights/bracket/.env hdrgan/weights/bracket/mine.safetensors hdrgan/weights/bracket/notes.txt
hdrgan/weights/mine/model.safetensors hdrgan/weights/mine/config.json hdrgan/page/.own.js benchmarks/.env docs/.env"""


def test_a_whole_push_takes_nothing_of_ones_own_along(root, tmp_path):
    checkout = tmp_path / "checkout"
    listed = ["hdrgan", "examples", "launch", *(name for name in os.listdir(root) if (root / name).is_file())]
    listed += ["benchmarks/real_brackets.json", "benchmarks/yardstick.json", "docs/results.jpg", "docs/training.md"]
    for name in subprocess.check_output(["git", "ls-files", *listed], cwd=root, text=True).splitlines():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, checkout / name)
    expected = {path.relative_to(checkout).as_posix() for path in checkout.rglob("*") if path.is_file()}
    for name in OWN_FILES.split():
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("planted secret")
    with LocalHub() as local:
        client(PUSH_ALL, local, tmp_path / "home", checkout, token=True)
        repos = {key: repo.head.files for key, repo in local.repos.items()}
    assert len(repos) == 4
    for (kind, _), files in repos.items():
        contents = {name: blob.content for name, blob in files.items()}
        for name in [name for name in contents if name.endswith(".whl")]:
            with zipfile.ZipFile(io.BytesIO(contents[name])) as wheel:
                contents |= {f"in the wheel: {inside}": wheel.read(inside) for inside in wheel.namelist()}
        assert not [name for name, content in contents.items() if b"planted secret" in content]
        if kind == "space":
            assert set(files) - expected == {".gitattributes", "thumbnail.jpg"}
            assert {name for name in expected if name.startswith(("examples/", "hdrgan/"))} <= set(files)


def test_a_file_of_settings_is_left_out_by_git_and_by_docker(root):
    assert ".env" in (root / ".gitignore").read_text().splitlines()  # which `hf upload` reads as well
    assert (root / ".dockerignore").read_text().splitlines()[-1] == "**/.*"


def test_the_handler_of_an_endpoint_answers_with_exposures(published, folders, tmp_path):
    local, _ = published
    (tmp_path / "handler.py").write_bytes(local.repos["model", "tester/radiance"].head.files["handler.py"].content)
    spec = importlib.util.spec_from_file_location("handler", tmp_path / "handler.py")
    handler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handler)
    endpoint = handler.EndpointHandler(str(folders["radiance"]))
    buffer = io.BytesIO()
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    picture.save(buffer, "PNG")
    for photo in (picture, buffer.getvalue(), base64.b64encode(buffer.getvalue()).decode()):
        answer = json.loads(json.dumps(endpoint({"inputs": photo, "parameters": {"evs": [-2, 0], "hdr": "hdr"}})))
        assert answer["evs"] == [-2, 0]
        frames = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in answer["exposures"]]
        assert np.array_equal(frames[1], np.asarray(picture))
        assert base64.b64decode(answer["hdr"]).startswith(b"#?RADIANCE")
    assert len(endpoint({"inputs": picture})["exposures"]) == 5


LOAD = """
import hdrgan
from safetensors.torch import save_file
out, token = Path(sys.argv[1]), sys.argv[2]
def outputs(network):
    srgb = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        answer = network(srgb)
    return {"out": (answer if isinstance(answer, torch.Tensor) else answer.radiance).contiguous()}
def refusal(cls, *arguments, **options):
    try:
        cls.from_pretrained(*arguments, **options)
    except OSError as error:
        return [type(error).__name__, str(error)]
    return ["nothing", ""]
classes = {"radiance": hdrgan.RadianceGenerator, "bracket": hdrgan.BracketGenerator, "ein": hdrgan.EIN}
for name, cls in classes.items():
    network = cls.from_pretrained(f"tester/{name}", token=token if name == "ein" else None)
    save_file(outputs(network), out / f"{name}.safetensors")
"""
REFUSALS = """
Bracket = hdrgan.BracketGenerator
pinned = Bracket.from_pretrained("tester/two", revision="v1").decoder[2].bias[0].item()
latest = Bracket.from_pretrained("tester/two").decoder[2].bias[0].item()
from huggingface_hub import snapshot_download
snapshot = snapshot_download("tester/bracket")
same = Bracket.from_pretrained(snapshot)
print(json.dumps({
    "pinned": pinned, "latest": latest, "snapshot": sorted(p.name for p in Path(snapshot).iterdir()),
    "wrong repo": refusal(Bracket, "tester/nothing"),
    "private": refusal(hdrgan.EIN, "tester/ein", revision="main", cache_dir=out / "empty"),
    "wrong revision": refusal(Bracket, "tester/bracket", revision="v9"),
    "missing config": refusal(Bracket, "tester/no-config"),
    "missing weights": refusal(Bracket, "tester/pickle"),
    "wrong class": refusal(hdrgan.EIN, "tester/bracket"),
    "corrupt file": refusal(Bracket, "tester/corrupt"),
    "wrong name": refusal(Bracket, "tester/a/b"),
    "wrong token": refusal(hdrgan.EIN, "tester/ein", token="hf_wrong", cache_dir=out / "empty"),
}))
"""
AGAIN = """
stopped = refusal(hdrgan.BracketGenerator, "tester/other", local_files_only=True)
print(json.dumps({"not cached": stopped}))
"""


def bias_of(folder: Path, value: float) -> bytes:
    network = BracketGenerator.from_pretrained(folder)
    with torch.no_grad():
        network.decoder[2].bias[0] = value
    network.save_pretrained(folder)
    return (folder / "model.safetensors").read_bytes()


def test_loading_over_http(published, folders, root, tmp_path):
    local, _ = published
    bracket = {path.name: path.read_bytes() for path in folders["bracket"].iterdir()}
    local.add("tester/no-config", {"README.md": b"empty"})
    ran = tmp_path / "ran"
    bomb = pickle.dumps(type("Bomb", (), {"__reduce__": lambda self: (os.mkdir, (str(ran),))})(), protocol=2)
    local.add("tester/pickle", {"config.json": bracket["config.json"], "pytorch_model.bin": bomb})
    local.add("tester/corrupt", bracket)
    local.faults.add("damage model tester/corrupt")
    BracketGenerator(width=8).save_pretrained(tmp_path / "two")
    two = local.add("tester/two", {"config.json": (tmp_path / "two" / "config.json").read_bytes()})
    for tag, value in (("v1", 1.0), ("v2", 2.0)):
        weights = Blob(bias_of(tmp_path / "two", value), lfs=True)
        two.refs[tag] = two.commit(tag, {**two.head.files, "model.safetensors": weights}).oid

    home, out = tmp_path / "home", tmp_path / "first"
    out.mkdir()
    seen = client(LOAD + REFUSALS, local, home, root, out, local.token)
    for name, (cls, _) in NETWORKS.items():
        expected = outputs(cls.from_pretrained(folders[name]))["out"]
        assert torch.equal(load_file(out / f"{name}.safetensors")["out"], expected), name

    assert (seen["pinned"], seen["latest"]) == (1.0, 2.0)
    kept = {".gitattributes", "README.md", "SHA256SUMS", "config.json", "model.safetensors"}
    assert kept <= set(seen["snapshot"]) <= kept | {"handler.py", "requirements.txt", WHEEL_NAME}
    assert (home / "hub" / "models--tester--bracket").is_dir(), "downloads are kept where HF_HOME says"

    expected = {
        "wrong repo": "The Hub has no model tester/nothing, or it is private",
        "private": "The Hub has no model tester/ein, or it is private",
        "wrong revision": "tester/bracket has no revision 'v9'",
        "missing config": "tester/no-config has no config.json",
        "missing weights": "has no model.safetensors",
        "wrong class": "tester/bracket holds a BracketGenerator, not an EIN: load it with Bracket",
        "corrupt file": "The cached model.safetensors is damaged",
        "wrong name": "a model on the Hub is written user/name",
        "wrong token": "tester/ein",
    }
    for case, words in expected.items():
        kind, message = seen[case]
        assert kind == "PretrainedError", (case, message)
        assert words in message
        assert "\n" not in message
        assert message.endswith(".")
    assert not ran.exists()

    # A second time from the cache alone: first with a Hub that answers nobody, then in offline mode.
    second, third = tmp_path / "second", tmp_path / "third"
    second.mkdir()
    third.mkdir()
    with LocalHub() as gone:
        gone.stop()
        seen = client(LOAD + AGAIN, gone, home, root, second, local.token)
        assert seen["not cached"][1] == (
            "config.json of tester/other is not in the cache, and downloads are switched off."
        )
        client(LOAD + AGAIN, gone, home, root, third, local.token, offline=True)
    for name in NETWORKS:
        first = (out / f"{name}.safetensors").read_bytes()
        assert (second / f"{name}.safetensors").read_bytes() == first
        assert (third / f"{name}.safetensors").read_bytes() == first


def test_the_space_brings_the_page_and_fetches_these_weights(published, root):
    local, done = published
    assert done["bracket"][2] == f"{local.url}/spaces/tester/bracket"
    repo = local.repos["space", "tester/bracket"]
    assert [commit.title for commit in repo.commits.values()] == ["initial commit", "Publish BracketGenerator"]
    files = {path: blob.content for path, blob in repo.head.files.items()}
    readme = files["README.md"].decode()
    assert readme_errors(readme, "space") == []
    assert repo.variables == {"HDRGAN_MODELS": "tester/bracket,radiance,ein"}, "the pushed network is preselected"
    matter = front_matter(readme)
    assert matter["models"] == ["tester/bracket"]
    assert matter["preload_from_hub"] == ["tester/bracket config.json,model.safetensors"]
    assert matter["thumbnail"] == f"{local.url}/spaces/tester/bracket/resolve/main/thumbnail.jpg"
    assert files["thumbnail.jpg"].startswith(b"\xff\xd8")
    assert Version(matter["sdk_version"]) == publish.gradio_pin()
    assert (matter["sdk"], matter["app_file"]) == ("gradio", "app.py")
    requirements = files["requirements.txt"].splitlines()
    assert requirements[1] == b"--extra-index-url https://download.pytorch.org/whl/cpu"
    assert requirements[2:] == (root / "requirements.txt").read_bytes().splitlines()
    for name in ("app.py", "hdrgan/pipeline.py", "hdrgan/data/camera.py", "hdrgan/py.typed"):
        assert files[name] == (root / name).read_bytes()
    assert {f"examples/{path.name}" for path in (root / "examples").iterdir()} <= files.keys()
    assert not [path for path in files if "__pycache__" in path or path.startswith(("tests/", "hdrgan/project"))]


def test_what_zerogpu_runs_is_what_the_space_asks_for(root):
    """Its documentation lists versions of Python and torch (September 2026); a Space that asks for others fails."""
    assert front_matter((root / "README.md").read_text())["python_version"] in ("3.10.13", "3.12.12")
    pinned = next(line for line in (root / "requirements.txt").read_text().splitlines() if line.startswith("torch=="))
    assert pinned.removeprefix("torch==") in ("2.8.0", "2.11.0", "2.12.1", "2.13.0")


ON_A_CARD = """
from hdrgan.hub.publish import push
folder = Path(sys.argv[1]) / "bracket"
def refusal(*arguments, **options):
    try:
        push(*arguments, **options)
    except ValueError as error:
        return str(error)
push(folder, "tester/card", space=True, hardware="zero-a10g")
print(json.dumps({
    "unknown": refusal(folder, "tester/x", space=True, hardware="abacus"),
    "no space": refusal(folder, "tester/x", hardware="zero-a10g"),
    "hidden": refusal(folder, "tester/hidden", space=True),
}))
"""


def test_a_space_with_a_card_gets_torch_for_cards(folders, root, tmp_path):
    with LocalHub() as local:
        local.add("tester/hidden", {"README.md": b"mine"}, private=True)
        seen = client(ON_A_CARD, local, tmp_path / "home", root, folders["radiance"].parent, token=True)
        space = local.repos["space", "tester/card"]
        assert set(local.repos) == {("model", "tester/hidden"), ("model", "tester/card"), ("space", "tester/card")}
    assert space.hardware == "zero-a10g"
    assert space.head.files["requirements.txt"].content == (root / "requirements.txt").read_bytes()
    assert front_matter(space.head.files["README.md"].content.decode())["suggested_hardware"] == "zero-a10g"
    assert "hardware must be one of cpu-basic" in seen["unknown"]
    assert "goes with space" in seen["no space"]
    assert "its Space would not be" in seen["hidden"]


def test_the_command_pushes_what_downloads_and_runs(folders, root, tmp_path):
    """`hdrgan push --space`, then what anybody does: `hf download` into an empty folder, and start the page there."""
    PatchDiscriminator(width=8).save_pretrained(tmp_path / "critic")
    with LocalHub() as local:
        env = local.environment(tmp_path / "home", token=True) | {"PYTHONPATH": str(root), "NO_COLOR": "1"}

        def command(*arguments: object) -> subprocess.CompletedProcess[str]:
            line = [sys.executable, *map(str, arguments)]
            return subprocess.run(
                line, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False
            )

        pushed = command("-m", "hdrgan", "push", folders["bracket"], "tester/page", "--space", "--private")
        assert pushed.stdout.split() == [f"{local.url}/tester/page", f"{local.url}/spaces/tester/page"], pushed.stderr
        examples = {f"{name}.jpg" for name in SAMPLES}
        model = local.repos["model", "tester/page"].head.files
        assert {f"samples/{name}" for name in examples} == {name for name in model if name.startswith("samples/")}
        assert b"made by these weights](samples/sunset.jpg)" in model["README.md"].content
        assert local.repos["space", "tester/page"].private

        pushed = command("-m", "hdrgan", "push", tmp_path / "critic", "tester/critic")
        assert pushed.stdout.split() == [f"{local.url}/tester/critic"], pushed.stderr
        assert not [name for name in local.repos["model", "tester/critic"].head.files if "samples/" in name]

        download = ("-m", "huggingface_hub.cli.hf", "download", "tester/page", "--local-dir")
        assert command(*download, "model").returncode == 0
        assert command(*download, "space", "--repo-type", "space").returncode == 0
        space = local.repos["space", "tester/page"]
        assert space.variables == {"HDRGAN_MODELS": "bracket,radiance,ein"}
        for name in ("config.json", "model.safetensors", "SHA256SUMS"):
            brought = (tmp_path / "space" / "hdrgan" / "weights" / "bracket" / name).read_bytes()
            assert brought == (folders["bracket"] / name).read_bytes(), "a hidden model takes a login"
        assert "preload_from_hub" not in front_matter((tmp_path / "space" / "README.md").read_text())
    network = BracketGenerator.from_pretrained(tmp_path / "model")
    expected = outputs(BracketGenerator.from_pretrained(folders["bracket"]))["out"]
    assert torch.equal(outputs(network)["out"], expected)
    with page([sys.executable, "app.py"], tmp_path / "space", clean_environment() | space.variables) as address:
        assert "gradio" in fetch(address).lower()
        assert "/generate" in fetch(f"{address}gradio_api/info")


def test_a_public_space_runs_the_model_that_was_preloaded_while_it_was_built(folders, published, root, tmp_path):
    """As the Hub does it: the Space's files in a folder, what it preloads in the cache, and then no more downloads."""
    local, _ = published
    env = local.environment(tmp_path / "home")
    download = [sys.executable, "-m", "huggingface_hub.cli.hf", "download"]

    def fetched(*words: str) -> None:
        subprocess.run([*download, *words], env=env, cwd=tmp_path, capture_output=True, timeout=1800, check=True)

    fetched("tester/bracket", "--repo-type", "space", "--local-dir", "space")
    for line in front_matter((tmp_path / "space" / "README.md").read_text())["preload_from_hub"]:
        name, files = line.split(" ")
        fetched(name, *files.split(","))
    variables = local.repos["space", "tester/bracket"].variables | {"HF_HOME": str(tmp_path / "home")}
    photo = root / "examples" / "dandelions.jpg"
    with page([sys.executable, "app.py"], tmp_path / "space", clean_environment() | variables) as address:
        visitor = Client(address, verbose=False, download_files=tmp_path / "answers")
        files, _ = visitor.predict(handle_file(photo), "tester/bracket", 2, "auto", "", api_name="/generate")
    expected = Pipeline.from_pretrained(folders["bracket"], device="cpu")(photo).exposures
    for file, frame in zip(files, expected, strict=True):
        np.testing.assert_allclose(np.asarray(Image.open(file)).astype(int), frame, atol=1)


def test_an_endpoint_runs_from_a_download(published, folders, root, tmp_path):
    """As Inference Endpoints do it: the repository in a folder, its wheel installed, its handler called."""
    local, _ = published
    command = [
        sys.executable,
        "-m",
        "huggingface_hub.cli.hf",
        "download",
        "tester/radiance",
        "--local-dir",
        "repository",
    ]
    env = local.environment(tmp_path / "home")
    subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, timeout=1800, check=True)
    repository = tmp_path / "repository"
    installed = EmptyEnvironment(tmp_path / "venv", repository / WHEEL_NAME)
    code = (
        "import base64, json, sys; sys.path.insert(0, sys.argv[1]); from handler import EndpointHandler\n"
        "photo = base64.b64encode(open(sys.argv[2], 'rb').read()).decode()\n"
        "answer = EndpointHandler(sys.argv[1])({'inputs': photo, 'parameters': {'evs': [-2, 0], 'hdr': 'exr'}})\n"
        "print(json.dumps(answer))"
    )
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    line = [str(installed.python), "-c", code, str(repository), str(tmp_path / "x.png")]
    home = installed.environment(tmp_path / "empty")
    done = subprocess.run(line, env=home, cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["evs"] == [-2, 0]
    expected = Pipeline.from_pretrained(folders["radiance"], device="cpu")(tmp_path / "x.png", (-2, 0)).exposures
    for text, frame in zip(answer["exposures"], expected, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))), frame)
    assert base64.b64decode(answer["hdr"]).startswith(b"\x76\x2f\x31\x01")


def test_the_front_matter_of_the_project_is_that_of_a_space(root):
    text = publish.space_readme("user/name")
    assert readme_errors(text, "space") == []
    own = front_matter((root / "README.md").read_text())
    assert Version(own["sdk_version"]) == publish.gradio_pin()
    added = {"models": ["user/name"], "preload_from_hub": ["user/name config.json,model.safetensors"]}
    assert own | added == front_matter(text)


def test_a_space_of_another_gradio_is_refused(tmp_path, monkeypatch):
    text = finding.project_file("README.md").read_text()
    pin = str(publish.gradio_pin())
    (tmp_path / "README.md").write_text(text.replace("sdk_version: 6", "sdk_version: 5"))
    (tmp_path / "requirements.txt").write_text(f"# pins\n-r more.txt\ntorch==2\ngradio>={pin},<7 # the page\n")
    monkeypatch.setattr(publish, "project_file", lambda name: tmp_path / name)
    with pytest.raises(ValueError, match=f"README.md names sdk_version 5.*pins gradio {pin}"):
        publish.space_readme("user/name")
    (tmp_path / "README.md").write_text("# No front matter\n")
    with pytest.raises(ValueError, match="no front matter"):
        publish.space_readme("user/name")
    (tmp_path / "requirements.txt").write_text("gradio\n")
    with pytest.raises(ValueError, match="does not pin gradio"):
        publish.gradio_pin()


FAIL = """
from hdrgan.hub import distribution, publish
folders, url = Path(sys.argv[1]), sys.argv[2]
def attempt(*arguments, **options):
    try:
        publish.push(*arguments, **options)
    except (OSError, ValueError) as error:
        return [type(error).__name__, str(error)]
    return ["nothing", ""]
bracket = folders / "bracket"
print(json.dumps({
    "lfs fails": attempt(bracket, "tester/new-lfs"),
    "commit fails": attempt(bracket, "tester/new-commit"),
    "commit to an old one fails": attempt(bracket, "tester/old"),
    "space fails": attempt(bracket, "tester/page", space=True),
    "space of an old one fails": attempt(bracket, "tester/older", space=True),
    "no page": attempt(folders / "critic", "tester/x", space=True),
    "wrong token": attempt(bracket, "tester/x", token="hf_wrong"),
    "not mine": attempt(bracket, "somebody/x"),
    "public already": attempt(bracket, "tester/old", private=True),
    "bad name": attempt(bracket, "tester/a/b"),
    "other weights": attempt(bracket, "tester/x", evaluation=folders / "radiance" / "evaluation.json"),
    "no evaluation": attempt(bracket, "tester/x", evaluation=folders / "bracket" / "config.json"),
    "no picture": attempt(bracket, "tester/x", samples=[folders / "bracket" / "config.json"]),
    "no model": attempt(folders, "tester/x"),
}))
"""


def test_a_push_that_fails_leaves_things_as_they_were(folders, root, tmp_path):
    with LocalHub() as local:
        old = local.add("tester/old", {"README.md": b"mine"})
        older = local.add("tester/older", {"README.md": b"mine", "samples/gone.png": b"old", "notes.txt": b"kept"})
        local.faults |= {"lfs model tester/new-lfs", "commit model tester/new-commit", "commit model tester/old"}
        local.faults |= {"commit space tester/page", "commit space tester/older"}
        PatchDiscriminator(width=8).save_pretrained(folders["radiance"].parent / "critic")
        seen = client(FAIL, local, tmp_path / "home", root, folders["radiance"].parent, local.url, token=True)
        assert set(local.repos) == {("model", "tester/old"), ("model", "tester/older")}
        assert list(old.head.files) == ["README.md"]
        assert local.repos["model", "tester/old"] is old
        assert {"model.safetensors", "notes.txt"} < older.head.files.keys()
        assert "samples/gone.png" not in older.head.files
    expected = {
        "lfs fails": ("HubError", "The model tester/new-lfs was not published: the Hub answered 507."),
        "commit fails": ("HubError", "The model tester/new-commit was not published: the Hub answered 507."),
        "commit to an old one fails": ("HubError", "The model tester/old was not published: the Hub answered 507."),
        "space fails": ("HubError", "The space tester/page was not published: the Hub answered 507."),
        "space of an old one fails": ("HubError", "the Hub answered 507; the new model is there."),
        "no page": ("ValueError", "a Space needs a network that makes pictures, and PatchDiscriminator does not"),
        "wrong token": ("HubError", "the token is wrong"),
        "not mine": ("HubError", "the token may not write there"),
        "public already": ("HubError", "it is there already, and public"),
        "bad name": ("HubError", "its name must be written user/name"),
        "other weights": ("ValueError", "is not of these weights"),
        "no evaluation": ("ValueError", "is not an evaluation"),
        "no picture": ("ValueError", "is no JPEG or PNG"),
        "no model": ("PretrainedError", "has no config.json"),
    }
    for case, (kind, words) in expected.items():
        assert seen[case][0] == kind, (case, seen[case])
        assert words in seen[case][1], case
        assert "\n" not in seen[case][1], case


def test_a_card_without_an_evaluation_says_so(folders):
    text = render_card(folders["ein"], repo_id="user/ein")
    assert "have not been evaluated" in text
    assert ModelCard(text).data.eval_results is None
    assert "relative scene light out" in text


def test_a_card_of_a_network_in_memory():
    text = render_card(PatchDiscriminator(width=8))
    assert "it makes no pictures" in text
    assert "The weights file says nothing about its training." in text


def test_a_network_that_was_changed_since_it_was_loaded_has_not_been_evaluated():
    network = RadianceGenerator.from_pretrained("radiance")
    assert "Real brackets (40 shots)" in render_card(network)
    assert render_card(network, repo_id="me/same") == render_card("radiance", repo_id="me/same")
    with torch.no_grad():
        next(network.parameters()).add_(0.01)
    assert "have not been evaluated" in render_card(network)
    network = RadianceGenerator.from_pretrained("radiance")
    network.training_summary = {"steps": 1}
    assert "have not been evaluated" in render_card(network)
    network.loaded_from = Path("gone")
    assert "have not been evaluated" in render_card(network)


def test_a_card_counts_peers_and_marks_its_own_row(folders):
    evaluation = evaluation_of(folders["radiance"])
    peer = {"system": "A peer", "condition": "clean", "figures": {"pu21": 23.6}}
    evaluation["peers"] = {"source": "peers.tsv", "rows": [peer]}
    text = render_card(folders["radiance"], evaluation)
    assert "| A peer | 23.60 | – | – | – | – |" in text
    assert "from peers.tsv" in text
    assert "{{" not in text
    assert "{%" not in text


def test_a_card_calls_a_validation_a_validation(folders):
    evaluation = evaluation_of(folders["radiance"])
    text = render_card(folders["radiance"], evaluation)
    assert "Measured with `hdrgan evaluate`" in text
    assert "Test views" not in text
    assert "A **validation, not a test**" not in text
    text = render_card(folders["radiance"], evaluation | {"measured_by": "train_accelerate.py"})
    assert "A **validation, not a test**: measured by `train_accelerate.py`" in text
    assert "Measured with" not in text


@pytest.mark.parametrize(
    ("training", "cost"),
    [
        ({"seconds": 90, "hardware": "1 x cpu"}, "took 90 seconds on 1 x cpu. The energy was not metered"),
        ({"seconds": 600}, "took 10 minutes. The energy was not metered"),
        (
            {"seconds": 90_000, "hardware": "1 x cuda", "energy_kwh": 7.5},
            "took 25.0 hours on 1 x cuda. Metered energy: 7.50",
        ),
        ({"hardware": "two cores"}, "were trained on two cores; for how long was not recorded. The energy was not"),
        ({"steps": 5}, "says neither on which machine, nor for how long, nor with how much energy"),
        ({}, "says neither on which machine, nor for how long, nor with how much energy"),
    ],
)
def test_the_cost_of_training_is_what_the_weights_say(training, cost):
    network = PatchDiscriminator(width=8)
    network.training_summary = training
    text = render_card(network)
    assert cost in text
    assert "| hardware" not in text


@pytest.mark.parametrize("name", ["radiance", "bracket", "ein"])
def test_bundled_weights_bring_the_figures_of_the_benchmark(name, root, monkeypatch):
    real, benchmark = (
        report.read_report(root / "benchmarks" / file) for file in ("real_brackets.json", "yardstick.json")
    )
    measured, shots = (
        next(system for system in part["systems"] if system["name"] == name)["conditions"] for part in (benchmark, real)
    )
    card = ModelCard(render_card(name, repo_id=f"user/{name}"))
    assert readme_errors(str(card), "model") == []
    on_card = {(result.dataset_config, result.metric_name): result.metric_value for result in card.data.eval_results}
    for kind, title in {"all": "PSNR EV {} (dB)", "blown": "PSNR EV {}, blown places (dB)"}.items():
        for ev, value in shots["real brackets"][kind].items():
            assert on_card["real brackets", title.format(ev)] == value
            assert f" {value:.2f} |" in card.text
    heads = re.findall(r"^### (.* (?:shots|views)\))$", card.text, re.MULTILINE)
    assert heads == [
        "Real brackets (40 shots)",
        "Real camera, rendered (64 views)",
        "Clean camera, rendered (64 views)",
    ]
    for condition, figures in measured.items():
        assert on_card[condition, "PU21-PSNR (dB)"] == figures["pu21"]
        for ev, value in figures["bracket_psnr"].items():
            assert on_card[condition, f"PSNR EV {ev} (dB)"] == value
    # What others need to repeat it.
    text = " ".join(card.text.split())
    line = "`python -m benchmarks.render_views DATA VIEWS --cameras cameras.npz`, then `hdrgan evaluate VIEWS --model "
    assert f"{line}user/{name}`" in text
    assert 'split "test", seed 11' in text
    assert "6 views of each panorama at 256 pixels" in text
    with (root / "recipes/scenes.tsv").open(newline="") as lines:
        scenes = [row["file"] for row in csv.DictReader(lines, delimiter="\t") if row["split"] == "test"]
    assert benchmark["data"]["scenes"] == scenes
    assert ", ".join(f"`{scene}`" for scene in scenes) in text
    assert len(set(real["data"]["shots"])) == 40
    assert ", ".join(f"`{shot}`" for shot in real["data"]["shots"]) in text
    assert "felipegb94/hdr_imaging" in text
    # Of other weights it says nothing, and an installation may lack it.
    monkeypatch.setattr("hdrgan.hub.card.read_report", lambda path: benchmark | {"systems": benchmark["systems"][:1]})
    assert "have not been evaluated" in render_card(name)
    monkeypatch.setattr("hdrgan.hub.card.BENCHMARKS", ["nothing.json"])
    assert "have not been evaluated" in render_card(name)


def test_foreign_networks_are_not_published(tmp_path):
    PatchDiscriminator(width=8).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"_class_name": "Pipeline"}))
    weights_file.write_checksums(tmp_path)
    with pytest.raises(PretrainedError, match="holds Pipeline, which is none of hdrgan's"):
        render_card(tmp_path)


def test_the_sample_sheet_is_small_and_shows_every_exposure():
    deep = [np.full((30, 40, 3), level, np.uint16) for level in (0, 30_000, 65_535)]
    sheet = sample_sheet(deep, (-2, 0, 2))
    assert sheet.size == (3 * 320 + 2 * 6, 240 + 24)
    assert [sheet.getpixel((x, 150))[0] for x in (100, 430, 760)] == [0, 30_000 >> 8, 255]
    assert isinstance(sheet, Image.Image)


def test_example_photos_become_sample_sheets(tmp_path):
    class Result:
        exposures = (np.zeros((20, 30, 3), np.uint8), np.full((20, 30, 3), 255, np.uint8))
        evs = (-2.0, 0.0)

    seen = []
    sheets = sample_sheets(lambda photo: seen.append(photo) or Result(), tmp_path)
    assert seen == [finding.project_file("examples") / f"{name}.jpg" for name in SAMPLES]
    assert [path.name for path, _ in sheets] == [photo.name for photo in seen]
    assert all("exposures at EV -2, 0, made by these weights" in caption for _, caption in sheets)
    assert Image.open(sheets[0][0]).size == (2 * 360 + 6, 264)


# The wheel


def test_files_of_the_project_are_found_beside_the_package(root):
    assert finding.project_file("model_card.md") == root / "model_card.md"
    with pytest.raises(FileNotFoundError, match=r"nothing\.md is missing"):
        finding.project_file("nothing.md")


def test_a_card_shows_panoramas_as_light(folders):
    evaluation = evaluation_of(folders["radiance"])
    light = {"views": 3, "clipped": -0.5, "irradiance": 0.21, "key": 2.2}
    evaluation["conditions"].append("panoramas, camera")
    for system in evaluation["systems"]:
        system["conditions"] = system["conditions"] | {"panoramas, camera": light}
    text = render_card(folders["radiance"], evaluation)
    block = text.partition("### Panoramas, camera (3 views)")[2]
    assert "| identity | -0.50 | 0.21 | 2.20 | – |" in block
    assert "EV -4" not in block
