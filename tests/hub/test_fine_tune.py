"""A network that was published, trained further and published again: what its card says of both trainings."""

from __future__ import annotations

import subprocess
import sys

from huggingface_hub import ModelCard
from local_hub import LocalHub, readme_errors
from safetensors.torch import load
from small_sets import make_brackets

from hdrgan import BracketGenerator

FLAGS = "--batch-size 2 --crop-size 32 --workers 0 --validation-photos 1 --steps 1 --cpu".split()


def test_a_published_network_is_trained_further_and_its_card_names_its_base(root, tmp_path):
    base = {
        "steps": 20_036,
        "seconds": 7200,
        "hardware": "2 CPU cores",
        "data": [
            {"name": "me/brackets", "hub_id": "me/brackets", "count": 75, "licence": "CC0-1.0"},
            {"name": "OpenEXR samples", "count": 3, "licence": "BSD-3-Clause"},
        ],
    }
    BracketGenerator(width=8).save_pretrained(tmp_path / "base", training=base)
    make_brackets(tmp_path / "my-secret-holiday", scenes=3)
    with LocalHub() as local:
        env = local.environment(tmp_path / "home", token=True) | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}

        def run(*words, code=0, login=True):
            line = [sys.executable, "-m", "hdrgan", *map(str, words)]
            own = env if login else {name: value for name, value in env.items() if name != "HF_TOKEN"}
            done = subprocess.run(
                line, env=own, cwd=tmp_path, capture_output=True, text=True, timeout=1800, check=False
            )
            assert done.returncode == code, done.stderr[-3000:]
            assert "Traceback" not in done.stderr
            return done.stdout + done.stderr

        run("push", tmp_path / "base", "tester/base", "--sample", root / "examples" / "sunset.jpg")
        train = ["train", "--init", "tester/base", "--dataset", "my-secret-holiday", *FLAGS, "--push-to-hub"]
        # Whoever may not publish learns so before anything is read or made.
        said = run(*train, "tester/tuned", "--output", "none", code=2, login=False)
        assert "tester/tuned cannot be published: you are not logged in ('hf auth login')" in said
        assert "who may not publish somebody/x" in run(*train, "somebody/x", "--output", "none", code=2)
        assert not list((tmp_path / "none").iterdir())
        assert set(local.repos) == {("model", "tester/base")}

        run(*train, "tester/tuned", "--output", "run")
        files = local.repos["model", "tester/tuned"].head.files
        run("push", "run/generator", "tester/same")
        by_command = {name: blob.content for name, blob in local.repos.pop(("model", "tester/same")).head.files.items()}
        code = "from hdrgan import BracketGenerator as B; B.from_pretrained('run/generator').push_to_hub('tester/same')"
        subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, timeout=1800, check=True)
        by_method = {name: blob.content for name, blob in local.repos["model", "tester/same"].head.files.items()}
        weights = local.repos["model", "tester/base"].head.files["model.safetensors"]
    assert by_method == by_command
    assert {"evaluation.json", "samples/sunset.jpg"} < by_method.keys()
    text = by_method["README.md"].decode()
    assert "base_model: tester/base" in text
    assert "validation, not a test" in text
    assert "made by these weights](samples/" in text
    text = files["README.md"].content.decode()
    (tmp_path / "card.md").write_text(text)
    assert readme_errors(text, "model") == []
    data = ModelCard(text).data
    assert data.base_model == "tester/base"
    assert data.datasets == ["me/brackets"], "what its base learned from is on the Hub; its own data are not"
    began = "began with the weights of [tester/base](https://huggingface.co/tester/base) (`model.safetensors` "
    began += f"with SHA-256 `{weights.sha256}`), which were trained for 20036 steps in 2.0 hours on 2 CPU cores."
    assert began in text.replace("\n", " ")
    for line in ("| me/brackets | 75 | CC0-1.0 |", "| OpenEXR samples | 3 | BSD-3-Clause |", "| steps | 1 |"):
        assert line in text
    assert "exposure brackets that are not published | 2 |" in text
    assert "A **validation, not a test**" in text
    assert not [name for name, blob in files.items() if b"my-secret-holiday" in blob.content]
    tuned, own = load(files["model.safetensors"].content), load(weights.content)
    assert tuned.keys() == own.keys()
    assert any((tuned[name] != own[name]).any() for name in own)
