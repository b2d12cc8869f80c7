"""Cancelled work stops at its next tile or stage: with the real networks, whole and in tiles, without a clock."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdrgan import EIN, BracketGenerator, Pipeline, RadianceGenerator
from hdrgan.files.radiance import save_exr
from hdrgan.light.cancellation import Cancellation, CancelledError, check_cancelled
from hdrgan.light.parallel import each
from hdrgan.page.preview import Previews

NETWORKS = {
    "radiance": lambda: RadianceGenerator(widths=(8, 8, 8, 8)),
    "bracket": lambda: BracketGenerator(width=4),
    "ein": lambda: EIN(width=8),
}
WHOLE, TILED = (96, 128), (1100, 1160)  # below and above what runs as one tile, for every network
BELOW, BESIDE = (TILED[0], WHOLE[1]), (WHOLE[0], TILED[1])  # tiles of two strips, and two of one


class Nth(Cancellation):
    """Cancels itself at its n-th check and counts how often it is asked."""

    def __init__(self, n: int | None = None) -> None:
        super().__init__(self.count)
        self.n, self.asked = n, 0

    def count(self) -> None:
        self.asked += 1
        if self.asked == self.n:
            self.cancel(f"at check {self.n}")


def photo(size: tuple[int, int]) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, 200, (*size, 3), np.uint8)
    pixels[: size[0] // 4] = 255
    return pixels


@pytest.fixture(params=sorted(NETWORKS))
def pipeline(request, one_seeded_thread) -> Pipeline:
    return Pipeline(NETWORKS[request.param](), device="cpu", working_size=64)


@pytest.mark.parametrize("size", [WHOLE, *(pytest.param(size, marks=pytest.mark.slow) for size in (BELOW, BESIDE))])
def test_work_ends_at_the_check_at_which_it_is_cancelled(pipeline, size):
    free = Nth()
    pipeline(photo(size), cancellation=free)
    assert free.asked >= 3
    for n in {1, 2, free.asked // 2, free.asked}:
        token = Nth(n)
        with pytest.raises(CancelledError, match=f"at check {n}"):
            pipeline(photo(size), cancellation=token)
        assert token.asked == n, "nothing was worked on after that"


@pytest.mark.parametrize("size", [WHOLE, pytest.param(TILED, marks=pytest.mark.slow)])
def test_ein_is_asked_at_every_convolution(size, one_seeded_thread):
    network = EIN(width=8)
    ran = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size != (1, 1):
            ran.append(layer)
    token = Nth()
    Pipeline(network, device="cpu")(photo(size), cancellation=token)
    runs = 1 if size == WHOLE else 5  # four tiles and the overview
    assert token.asked > runs * len(ran)


def test_radiance_is_asked_at_every_convolution_of_its_encoder_and_at_every_size_of_its_decoder(one_seeded_thread):
    network = NETWORKS["radiance"]()
    encoder = [layer for layer in network.network.encoder.modules() if isinstance(layer, torch.nn.Conv2d)]
    token = Nth()
    with token.in_force(), torch.inference_mode():
        network.light(torch.rand(1, 3, 64, 64))
    assert token.asked >= len(encoder) + 3


def test_an_exr_is_asked_before_it_is_compressed(tmp_path):
    light = np.ones((4, 4, 3), np.float32)
    for n in (1, 2):
        with Nth(n).in_force(), pytest.raises(CancelledError, match=f"at check {n}"):
            save_exr(tmp_path / "a.exr", light)
    assert not list(tmp_path.iterdir())


def test_previews_of_a_generated_bracket_are_asked_one_by_one(one_seeded_thread):
    result = Pipeline(NETWORKS["bracket"](), device="cpu")(photo(WHOLE))
    for n in range(1, 6):
        with Nth(n).in_force(), pytest.raises(CancelledError, match=f"at check {n}"):
            Previews(result, 64).exposures()


def test_drawing_a_result_can_be_cancelled_too(one_seeded_thread):
    result = Pipeline(NETWORKS["radiance"](), device="cpu", working_size=64)(photo(TILED))
    token = Cancellation()
    token.cancel()
    with token.in_force(), pytest.raises(CancelledError):
        _ = result.radiance


@pytest.mark.parametrize("workers", [1, 3])
def test_parts_on_other_threads_ask_the_same_token(workers):
    token = Cancellation()
    done = []

    def work(part: int) -> None:
        done.append(part)
        token.cancel()
        check_cancelled()

    with token.in_force(), pytest.raises(CancelledError):
        each(work, range(100), workers=workers)
    assert len(done) <= workers


def test_the_first_reason_is_kept_and_work_without_a_token_goes_on():
    token = Cancellation()
    token.cancel("first")
    token.cancel("second")
    check_cancelled()
    with token.in_force():
        with Cancellation().in_force():
            check_cancelled()
        with pytest.raises(CancelledError, match="first"):
            check_cancelled()
    check_cancelled()
