"""EIN through the trainer, from the published layout."""

from small_sets import make_pairs
from test_train import SMALL

from hdrgan import EIN


def test_ein_trains_on_pairs_with_loader_processes(tmp_path, run):
    pairs = make_pairs(tmp_path / "pairs", train=3, side=80)
    published = ["--train", "True", "--root_path", pairs, "--max_epoch", 2, "--lr", "1e-4", "--width", 8]
    arguments = ["--output", tmp_path / "run", "--crop-size", 72, "--workers", 1, "--gradient-checkpointing"]
    run(*published, *SMALL, *arguments)
    assert EIN.from_pretrained(tmp_path / "run" / "ein", strict=True).width == 8
    assert not (tmp_path / "run" / "generator").exists()
