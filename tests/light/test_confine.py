"""Fields that are extended from where they are known, and panoramas that are recognised."""

import numpy as np
import torch
import torch.nn.functional as F

from hdrgan.light.confine import extended
from hdrgan.light.panorama import is_wrapped


def test_a_field_keeps_what_is_known_and_continues_it():
    field = torch.zeros(1, 3, 33, 50)
    weight = torch.zeros(1, 1, 33, 50)
    field[..., :20] = 5.0
    weight[..., :20] = 1.0
    full = extended(field, weight)
    torch.testing.assert_close(full, torch.full_like(full, 5.0), rtol=2e-3, atol=0)


def test_enlarged_it_does_not_dip_at_the_edge_of_what_is_known():
    field, weight = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    field[..., 8:24, 8:24], weight[..., 8:24, 8:24] = 4.0, 1.0
    large = F.interpolate(extended(field, weight), size=(320, 320), mode="bilinear", align_corners=False)
    assert large[..., 78:242, 78:242].min() > 3.95


def test_nearer_places_count_more_and_any_size_will_do():
    field, weight = torch.zeros(1, 1, 1, 64), torch.zeros(1, 1, 1, 64)
    field[..., 0], field[..., 63] = 1.0, 9.0
    weight[..., 0], weight[..., 63] = 1.0, 1.0
    extended(field, weight)  # a single row
    field, weight = (x.expand(1, 1, 16, 64).clone() for x in (field, weight))
    full = extended(field, weight)
    assert full[..., 4].mean() < 3 < 7 < full[..., 59].mean()
    nothing = extended(torch.zeros(1, 3, 5, 7), torch.zeros(1, 1, 5, 7))
    assert nothing.isfinite().all()


def test_a_panorama_is_told_by_its_seam():
    rng = np.random.default_rng(0)
    turn = np.linspace(0, 2 * np.pi, 256, endpoint=False)
    heights = np.linspace(0, 1, 128)[:, None]
    closed = 120 + 60 * np.sin(turn + 3 * heights) + 20 * np.cos(5 * turn) + rng.normal(0, 1, (128, 256))
    closed = np.repeat(closed[..., None], 3, -1).clip(0, 255).astype(np.uint8)
    assert is_wrapped(closed)
    assert not is_wrapped(closed[:, :200]), "not twice as wide as high"
    slope = np.repeat((np.linspace(20, 220, 256) + 0 * heights)[..., None], 3, -1).astype(np.uint8)
    assert not is_wrapped(slope), "the edges do not meet"
    assert not is_wrapped(np.full((128, 256, 3), 200, np.uint8)), "a flat picture says nothing"
