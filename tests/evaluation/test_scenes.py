"""The evaluation: what it scores, what it refuses, and that it agrees with the yardstick's own program."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hdrgan
from hdrgan import BracketGenerator
from hdrgan.data.layout import DatasetError
from hdrgan.evaluation import lighting, report
from hdrgan.evaluation.scenes import System, evaluate
from hdrgan.files import radiance
from hdrgan.files.photo import Photo
from hdrgan.files.radiance import save_exr, save_hdr
from hdrgan.light.evs import DEFAULT_EVS


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Pictures this small are faster without a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def srgb(light: np.ndarray) -> np.ndarray:
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def sigmoid(light: np.ndarray, n: float = 0.9, sigma: float = 0.6) -> np.ndarray:
    light = light.clip(0, 1) ** n
    return (1 + sigma) * light / (light + sigma)


def scene(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth light over many stops with a lamp, 1.0 = where the photo will clip."""
    noise = np.random.default_rng(seed)
    coarse = noise.normal(-1.0, 1.5, (6, 8, 3)) + noise.normal(0, 1, (6, 8, 1))
    light = np.exp(coarse.repeat(height // 6, 0).repeat(width // 8, 1) + noise.normal(0, 0.05, (height, width, 3)))
    light[5:12, 8:16] *= 12
    return light / np.percentile(light.max(-1), 92)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the yardstick renders it: three views in two conditions."""
    folder = tmp_path_factory.mktemp("bench")
    for name in ("in", "ref"):
        (folder / name).mkdir()
    rows = []
    for k in range(3):
        light = scene(k).astype(np.float16)
        np.save(folder / "ref" / f"view_{k}.npy", light)
        light = light.astype(np.float64)
        Image.fromarray(np.round(srgb(light) * 255).astype(np.uint8)).save(folder / "in" / f"view_{k}_clean.png")
        shot = Image.fromarray(np.round(sigmoid(light) * 255).astype(np.uint8))
        shot.save(folder / "in" / f"view_{k}_camera.jpg", quality=90)
        rows.append((f"view_{k}", "clean", f"in/view_{k}_clean.png", f"ref/view_{k}.npy", "srgb", 0.08))
        crf = "sigmoid:0.9000,0.6000"
        rows.append((f"view_{k}", "camera", f"in/view_{k}_camera.jpg", f"ref/view_{k}.npy", crf, 0.08))
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow("id condition input reference crf clipped".split())
        writer.writerows(rows)
    return folder


@dataclass
class Guess:
    exposures: Sequence[np.ndarray]
    radiance: np.ndarray


def brighten(photo: Photo, evs: Sequence[float]) -> Guess:
    """A system without any network: takes the photo for a pure power law and nearly doubles what is clipped."""
    encoded = photo.pixels / 255
    light = encoded**2.2 * np.where(encoded >= 1, 1.8, 1)
    return Guess([np.round((light * 2.0**ev).clip(0, 1) ** (1 / 2.2) * 255).astype(np.uint8) for ev in evs], light)


GUESS = System("guess", brighten, sha256="0" * 64)


def test_the_report_has_identity_first_and_every_figure(bench):
    seen: list[tuple[int, int, str]] = []
    found = evaluate(bench, [GUESS], progress=lambda *step: seen.append(step))
    assert [system["name"] for system in found["systems"]] == ["identity", "curve", "guess"]
    assert found["conditions"] == ["clean", "camera"]
    assert found["evs"] == list(DEFAULT_EVS)
    assert found["data"]["kind"] == "yardstick"
    assert {"python", "torch", "numpy"} <= found["environment"].keys()
    for system in found["systems"]:
        for figures in system["conditions"].values():
            assert figures["views"] == 3
            assert set(figures) == {"views", *report.RADIANCE_FIGURES, *report.BRACKET_FIGURES}
            assert list(figures["bracket_psnr"]) == ["-4", "-2", "+0", "+2", "+4"]
    identity, _, guess = (system["conditions"] for system in found["systems"])
    assert identity["clean"]["bracket_psnr"]["+0"] == 100.0
    assert identity["clean"]["pu21"] > identity["camera"]["pu21"]
    assert identity["clean"]["keep_stops"] < guess["clean"]["keep_stops"]
    assert guess["clean"]["hi_stops"] < identity["clean"]["hi_stops"]
    assert seen[0] == (0, 6, "view_0 clean")
    assert seen[-1] == (6, 6, "")
    assert [done for done, _, _ in seen] == list(range(7))


def test_the_report_survives_the_disk_and_prints(bench, tmp_path):
    found = evaluate(bench, [GUESS], limit=2)
    report.write_report(found, tmp_path / "evaluation.json")
    assert report.read_report(tmp_path / "evaluation.json") == json.loads(json.dumps(found))
    text = report.format_report(found)
    blocks = text.split("\n\n")
    assert len(blocks) == 3
    lines = blocks[0].splitlines()
    assert lines[0] == "clean (1 views)"
    assert lines[2].startswith("identity")
    assert lines[3].startswith("curve")
    assert lines[4].startswith("guess")
    assert len({len(line) for line in lines[1:]}) == 1, "columns are aligned"
    figures = found["systems"][0]["conditions"]["clean"]
    assert f"{figures['pu21']:.2f}" in lines[2]
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="is not an evaluation"):
        report.read_report(tmp_path / "other.json")


def test_a_pipeline_is_a_system(bench, tmp_path):
    BracketGenerator(width=4).save_pretrained(tmp_path / "tiny")
    pipe = hdrgan.Pipeline.from_pretrained(tmp_path / "tiny", device="cpu")
    system = System.of_model("tiny", pipe, tmp_path / "tiny")
    found = evaluate(bench, [system], limit=1)["systems"][-1]
    assert found["class_name"] == "BracketGenerator"
    assert found["parameters"] == sum(p.numel() for p in BracketGenerator(width=4).parameters())
    assert len(found["sha256"]) == 64
    assert found["conditions"]["clean"]["bracket_psnr"]["+4"] > 0


def test_a_system_that_answers_in_another_size_is_named(bench):
    def shrink(photo: Photo, evs: Sequence[float]) -> Guess:
        guess = brighten(photo, evs)
        return Guess([shot[:-1] for shot in guess.exposures], guess.radiance)

    with pytest.raises(ValueError, match="shrink on view_0 clean: EV -4 has shape"):
        evaluate(bench, [System("shrink", shrink)])
    with pytest.raises(ValueError, match="names of their own"):
        evaluate(bench, [GUESS, GUESS])


def test_what_cannot_be_scored_is_refused(bench, tmp_path):
    with pytest.raises(DatasetError, match="holds no data set"):
        evaluate(tmp_path, [])
    (tmp_path / "index.csv").write_text("id,condition\n")
    with pytest.raises(DatasetError, match="lacks the columns crf, input, reference"):
        evaluate(tmp_path, [])
    (tmp_path / "index.csv").write_text("id,condition,input,reference,crf\n")
    with pytest.raises(DatasetError, match="names no input"):
        evaluate(tmp_path, [])
    (tmp_path / "index.csv").write_text("id,condition,input,reference,crf\na,clean,a.png,a.npy,srgb\n")
    with pytest.raises(DatasetError, match="a: "):
        evaluate(tmp_path, [])
    for crf, words in (("emor:1,2", "give their .npz file"), ("film", "its response 'film' is none of")):
        row = f"v,clean,{bench}/in/view_0_clean.png,{bench}/ref/view_0.npy"
        (tmp_path / "index.csv").write_text(f'id,condition,input,reference,crf\n{row},"{crf}"\n')
        with pytest.raises(DatasetError, match=words):
            evaluate(tmp_path, [])


def test_peers_stand_beside_but_only_on_the_same_inputs(bench, tmp_path):
    own = evaluate(bench, [])["systems"][0]["conditions"]
    table = tmp_path / "peers.tsv"

    def write(shift: float) -> None:
        rows = ["system\tcondition\tpu21\tpu21_hi\tEV-4\tEV+4"]
        rows += [f"identity\t{name}\t{own[name]['pu21'] + shift:.3f}\t20\t1\t2" for name in ("clean", "camera")]
        rows += ["A peer\tclean\t23.631\t17.5\t\t"]
        table.write_text("\n".join(rows))

    write(0)
    found = evaluate(bench, [], peers=table)
    peer = {"system": "A peer", "condition": "clean", "figures": {"pu21": 23.631, "pu21_hi": 17.5}}
    assert found["peers"] == {"source": "peers.tsv", "rows": [peer]}
    assert report.rows(found, "clean")[2]["name"] == "A peer"
    assert "A peer" in report.format_report(found)
    write(0.3)
    with pytest.raises(ValueError, match="is of other inputs"):
        evaluate(bench, [], peers=table)


@pytest.mark.slow
def test_folders_of_hdr_scenes_are_photographed(tmp_path):
    save_exr(tmp_path / "room.exr", scene(7, 96, 128).astype(np.float32))
    save_exr(tmp_path / "round.exr", scene(8, 60, 120).astype(np.float32)[:, :120])
    found = evaluate(tmp_path, [GUESS], views=2, size=48)
    assert found["conditions"] == ["clean", "camera", *lighting.CONDITIONS]
    assert found["data"]["kind"] == "scenes"
    assert found["data"]["scenes"] == 2
    identity = found["systems"][0]["conditions"]
    assert identity["clean"]["views"] == identity["camera"]["views"] == 3  # two views of the panorama, one whole scene
    assert identity["clean"]["bracket_psnr"]["+0"] == 100.0
    assert identity["clean"]["pu21"] > identity["camera"]["pu21"]
    again = evaluate(tmp_path, [GUESS], views=2, size=48)
    assert again["systems"] == found["systems"], "the same seed photographs the same"
    other = evaluate(tmp_path, [GUESS], views=2, size=48, seed=1)
    assert other["systems"] != found["systems"]
    assert evaluate(tmp_path, [], views=2, size=48, limit=4)["systems"][0]["conditions"]["camera"]["views"] == 1


def test_each_scene_is_decoded_once(tmp_path, monkeypatch):
    """A picture, and a panorama that is scored as a whole as well; a limit counts clean views first, then the rest."""
    save_exr(tmp_path / "room.exr", scene(7, 48, 64).astype(np.float32))
    save_hdr(tmp_path / "round.hdr", scene(8, 60, 120).astype(np.float32)[:, :120])
    decoded: list[str] = []
    decode = radiance.decode_radiance
    monkeypatch.setattr(radiance, "decode_radiance", lambda *given: decoded.append(given[2]) or decode(*given))
    for limit, views in ((None, [3, 3, 2, 2]), (1, [1]), (4, [3, 1]), (8, [3, 3, 2])):
        decoded.clear()
        seen: list[int] = []
        found = evaluate(
            tmp_path, [], views=2, size=32, limit=limit, progress=lambda done, count, _, seen=seen: seen.append(count)
        )
        identity = found["systems"][0]["conditions"]
        assert list(identity) == ["clean", "camera", *lighting.CONDITIONS][: len(views)]
        assert decoded == ["room.exr", "round.hdr"][: 1 if limit == 1 else 2]
        assert seen[-1] == len(seen) - 1 == (limit or 10)
        counts = [figures["views"] for figures in identity.values()]
        assert counts[:2] == views[:2]
        assert len(counts) == len(views)


def test_scenes_of_the_wrong_split_are_left_out(tmp_path):
    (tmp_path / "hdr").mkdir()
    for name in ("seen", "unseen"):
        save_exr(tmp_path / "hdr" / f"{name}.exr", scene(7, 48, 64).astype(np.float32))
    (tmp_path / "scenes.tsv").write_text("file\tsplit\nhdr/seen.exr\ttrain\nhdr/unseen.exr\ttest\n")
    found = evaluate(tmp_path / "hdr", [])
    assert found["data"]["scenes"] == 1
    assert found["data"]["kept_out"] == 1
    assert found["data"]["split"] == "test"
    with pytest.raises(DatasetError, match="no .hdr or .exr scene of the split 'holdout'"):
        evaluate(tmp_path / "hdr", [], split="holdout")


def test_bracket_folders_are_scored_by_their_own_exposures(tmp_path):
    images = tmp_path / "Attic" / "images"
    images.mkdir(parents=True)
    for k, ev in enumerate((-2, -1, 0, 1, 2)):
        shot = np.round(srgb(scene(4) * 2.0**ev) * 255).astype(np.uint8)
        Image.fromarray(shot).save(images / f"1_{k}.png")
    (tmp_path / "evs.json").write_text("[-2, -1, 0, 1, 2]")
    found = evaluate(tmp_path, [GUESS])
    assert found["evs"] == [-2, -1, 0, 1, 2]
    assert found["conditions"] == ["brackets"]
    figures = found["systems"][0]["conditions"]["brackets"]
    assert figures["bracket_psnr"]["+0"] == 100.0
    assert "pu21" not in figures
    assert "PU21" not in report.format_report(found).splitlines()[1]


@pytest.mark.parametrize("splits", [("train", "valid"), ("valid",)])
def test_pair_folders_are_scored_by_their_light(tmp_path, splits):
    """A public test set has nothing to train on, and needs nothing of the kind."""
    for split in splits:
        for kind in ("SDR", "HDR"):
            (tmp_path / f"{split}_{kind}").mkdir()
        light = scene(3).astype(np.float32)
        save_exr(tmp_path / f"{split}_HDR" / "a.exr", light * 50)
        Image.fromarray(np.round(srgb(light) * 255).astype(np.uint8)).save(tmp_path / f"{split}_SDR" / "a.png")
        (tmp_path / f"{split}.csv").write_text("HDR,SDR\na.exr,a.png\n")
    found = evaluate(tmp_path, [GUESS])
    assert found["conditions"] == ["pairs"]
    figures = found["systems"][0]["conditions"]["pairs"]
    assert figures["keep_stops"] < 0.03
    assert figures["hi_stops"] > 0.3
    assert "bracket_psnr" not in figures


@pytest.mark.shared
def test_agrees_with_the_yardsticks_program(bench, shared, tmp_path):
    """Identity and a system's predictions, scored by both; the sigmoid and the EMoR responses as well."""
    for path in bench.rglob("*.*"):
        copy = tmp_path / "bench" / path.relative_to(bench)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    index = (tmp_path / "bench" / "index.csv").read_text()
    (tmp_path / "bench" / "index.csv").write_text(
        index + 'view_0,emor,in/view_0_camera.jpg,ref/view_0.npy,"emor:0.5000,-1.1000,0.2000",0.08\n'
    )
    answers = tmp_path / "answers"
    answers.mkdir()

    def record(photo: Photo, evs: Sequence[float]) -> Guess:
        guess = brighten(photo, evs)
        for name in (photo.name, photo.name.replace("camera", "emor")):
            np.save(answers / f"{name}.npy", guess.radiance.astype(np.float32))
            for ev, shot in zip(evs, guess.exposures, strict=True):
                Image.fromarray(shot).save(answers / f"{name}_ev{int(ev):+d}.png")
        return guess

    responses = shared / "data" / "responses" / "emor.npz"
    found = evaluate(tmp_path / "bench", [System("guess", record)], responses=responses)
    identity, _, guess = found["systems"]  # the yardstick's program knows no curve for rendered views
    for system, predictions in ((identity, "identity"), (guess, answers)):
        out = tmp_path / "score.json"
        command = [sys.executable, str(shared / "bench" / "score.py"), str(tmp_path / "bench"), str(predictions)]
        subprocess.run([*command, "--json", str(out)], check=True, capture_output=True, timeout=120)
        theirs = json.loads(out.read_text())
        assert theirs.keys() == system["conditions"].keys()
        for condition, figures in system["conditions"].items():
            for name in report.RADIANCE_FIGURES:
                assert figures[name] == pytest.approx(theirs[condition][name], abs=0.002), (condition, name)
            expected = theirs[condition]["bracket_psnr"]
            assert figures["bracket_psnr"] == pytest.approx(expected, abs=0.01), condition
