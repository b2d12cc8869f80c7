"""Settings that each network is trained with, and its learning rate over the run."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Hyperparameters:
    """Default settings of a network's training; flags override them."""

    learning_rate: float
    betas: tuple[float, float]
    crop_size: int
    epochs: float
    clip: float
    weight_decay: float = 0.0
    l1_weight: float = 0.0
    adversarial_weight: float = 0.0
    warm_up: float = 0.0  # share of the run
    restart_epochs: float | None = None  # period of the cosine; None is the whole run


RECIPES = {
    # HDR-GAN as published, with a cosine in place of a constant rate.
    "bracket": Hyperparameters(2e-4, (0.5, 0.999), 256, 100, 10.0, l1_weight=100.0, adversarial_weight=1.0),
    "radiance": Hyperparameters(4e-4, (0.9, 0.999), 256, 100, 0.5, weight_decay=1e-4, warm_up=0.02),
    # Liu et al. 2025: cosine with warm restarts, T0 = 25 epochs.
    "ein": Hyperparameters(1e-4, (0.95, 0.999), 224, 200, 10.0, l1_weight=10.0, restart_epochs=25),
}


def learning_rate_factor(recipe: Hyperparameters, samples: int, *, total: int, epoch: int) -> float:
    """The share of the highest rate, in [0, 1]: a cosine.

    Args:
        recipe: its period and warm-up.
        samples, total, epoch: seen so far, of the whole run, and of one pass over the data. The rate is counted in
            samples so that it does not depend on the number of processes.
    """
    if recipe.restart_epochs is not None:
        period = recipe.restart_epochs * epoch
        return 0.5 * (1 + math.cos(math.pi * (samples % period) / period))
    warm = recipe.warm_up * total
    if samples < warm:
        return (samples + 1) / (warm + 1)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (samples - warm) / max(1.0, total - warm))))
