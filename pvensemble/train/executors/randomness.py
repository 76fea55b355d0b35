"""Random numbers of a training step, without a state to carry: seeded by counters."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def draws_random_numbers(model: nn.Module, name: str) -> bool:
    """Tell whether a training step of a model may draw random numbers."""
    return ":" in name or any("Dropout" in type(m).__name__ for m in model.modules())


class seeded:  # noqa: N801 - used like a function
    """Seed torch's generators by counters within a ``with``, and put them back afterwards."""

    def __init__(self, seed: int, step: int, device: torch.device) -> None:
        state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)
        self._seed = int(state[0] >> np.uint64(1))
        devices = [device] if device.type == "cuda" else []
        self._fork = torch.random.fork_rng(devices=devices)

    def __enter__(self) -> None:
        self._fork.__enter__()
        torch.manual_seed(self._seed)

    def __exit__(self, *error) -> None:
        self._fork.__exit__(*error)
