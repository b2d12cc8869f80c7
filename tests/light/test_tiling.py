"""Tiles: any size comes back whole, and where tiles met cannot be seen."""

import pytest
import torch
import torch.nn.functional as F
from run_tiled import run_tiled

from hdrgan.light.tiling import tiled_strips
from hdrgan.models.bracket_generator import BracketGenerator


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


def photo(height, width, seed=0):
    """Smooth shapes with some grain."""
    noise = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 1 + height // 16, 1 + width // 16, generator=noise)
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    return (0.95 * smooth + 0.05 * torch.rand(1, 3, height, width, generator=noise)).clamp(0, 1)


def positions(tile):
    """A network that answers where in its tile a pixel lies, so that fades become visible."""
    rows = torch.arange(tile.shape[-2]).view(-1, 1).expand(tile.shape[-2:])
    return rows[None, None].float()


@pytest.mark.parametrize("size", [(1, 1), (1, 130), (3, 2), (64, 64), (65, 64), (129, 97), (200, 131), (258, 70)])
def test_every_pixel_comes_back_once(size):
    srgb = photo(*size)
    tiled = run_tiled(lambda tile: tile, srgb, tile=64, overlap=16, multiple=8, minimum=24)
    assert tiled.shape == srgb.shape
    torch.testing.assert_close(tiled, srgb, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (129, 97), (200, 131)])
def test_tiles_have_the_sizes_that_the_network_asked_for(size):
    seen = []

    def network(tile):
        seen.append(tuple(tile.shape[-2:]))
        return tile

    run_tiled(network, photo(*size), tile=64, overlap=16, multiple=8, minimum=24)
    assert len(set(seen)) == 1  # one size, so that nothing is planned or compiled twice
    assert all(side % 8 == 0 and 24 <= side <= 64 for side in seen[0])


@pytest.mark.parametrize("size", [(150, 90), (97, 201), (130, 130)])
def test_a_network_that_sees_little_answers_as_for_the_whole_photo(size):
    torch.manual_seed(0)
    network = BracketGenerator(width=8).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(3)  # strong enough that a wrong border would show
    srgb = photo(*size)
    options = {"multiple": network.size_multiple, "minimum": network.minimum_size}
    whole = run_tiled(network, srgb, tile=1024, overlap=0, **options)
    tiled = run_tiled(network, srgb, tile=160, overlap=40, **options)
    smaller = run_tiled(network, srgb, tile=80, overlap=20, **options)  # a quarter of 20 is less than it sees
    assert whole.std() > 0.05
    assert (whole - tiled).abs().max() < 1e-5
    assert (whole - smaller).abs().max() > 1e-5  # so the test above can fail
    assert (whole * 255).round().sub((tiled * 255).round()).abs().max() <= 1


def test_neighbours_fade_into_each_other_and_their_edges_do_not_count():
    tiled = run_tiled(positions, torch.zeros(1, 3, 112, 8), tile=64, overlap=16)[0, 0, :, 0]
    torch.testing.assert_close(tiled[:52], torch.arange(52.0))  # the first tile alone
    torch.testing.assert_close(tiled[60:], torch.arange(60.0, 112.0) - 48)  # the second alone
    assert (tiled[52:60].diff() < 0).all()  # eight rows of fading between them
    steps = tiled.diff().abs()
    assert steps.max() < 48 / 8 * 1.6  # never the 48 of a hard cut


def test_extension_reflects_and_then_repeats():
    seen = []

    def network(tile):
        seen.append(tile[0, 0].clone())
        return tile

    row = torch.tensor([0.1, 0.2, 0.3]).expand(1, 3, 1, 3)
    assert torch.equal(run_tiled(network, row, multiple=8), row)
    assert seen[0].shape == (8, 8)
    torch.testing.assert_close(seen[0][7], torch.tensor([0.1, 0.2, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1]))


@pytest.mark.parametrize(("dtype", "peak"), [(torch.uint8, 255), (torch.uint16, 65535)])
def test_integer_codes_are_scaled_tile_by_tile(dtype, peak):
    codes = (photo(70, 90) * peak).round()
    tiled = run_tiled(lambda tile: tile, codes.to(dtype), tile=64, overlap=16, multiple=8)
    torch.testing.assert_close(tiled, codes / peak)


def test_strips_cover_the_photo_from_top_to_bottom():
    srgb = photo(200, 90)
    strips = list(tiled_strips(lambda tile: tile, srgb, tile=64, overlap=16, multiple=8))
    assert len(strips) > 2
    assert [row for rows, _ in strips for row in range(rows.start, rows.stop)] == list(range(200))
    assert all(strip.shape == (1, 3, rows.stop - rows.start, 90) for rows, strip in strips)
    torch.testing.assert_close(torch.cat([strip for _, strip in strips], -2), srgb)


def test_a_network_may_look_at_the_whole_photo_first():
    class Network:
        asked = 0

        def __call__(self, tile):
            return tile.new_zeros(tile.shape) + tile.mean()

        def for_tiles(self, srgb):
            self.asked += 1
            mean = srgb.mean()
            return lambda tile: tile.new_zeros(tile.shape) + mean

    network, srgb = Network(), photo(100, 200)
    assert run_tiled(network, srgb, tile=64, overlap=16).sub(srgb.mean()).abs().max() < 1e-6
    assert network.asked == 1
    run_tiled(network, srgb, tile=256, overlap=16)
    assert network.asked == 1  # one tile needs no second look


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((3, 8, 8), {}, "must be \\(1, 3, H, W\\)"),
        ((2, 3, 8, 8), {}, "must be \\(1, 3, H, W\\)"),
        ((1, 3, 0, 8), {}, "at least one pixel"),
        ((1, 3, 8, 8), {"tile": 66, "multiple": 8, "overlap": 8}, "multiples of 8, got 66 and 8"),
        ((1, 3, 8, 8), {"tile": 64, "overlap": 32}, "4 x overlap"),
        ((1, 3, 8, 8), {"tile": 64, "overlap": 0, "minimum": 72}, "2 x minimum"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(shape, options, message):
    with pytest.raises(ValueError, match=message):
        run_tiled(lambda tile: tile, torch.zeros(shape), **options)


def test_a_network_that_changes_the_size_is_refused():
    with pytest.raises(ValueError, match="must keep 16x16"):
        run_tiled(lambda tile: tile[..., 1:, :], torch.zeros(1, 3, 16, 16))
