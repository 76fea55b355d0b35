"""Which loss surface is computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvensemble.errors import ConfigError
from pvensemble.store.surfaces import check_surface_name

RANDOM, TRAJECTORY, RUNS = "random", "trajectory", "runs"
SPLITS = ("validation", "train")
DEFAULT_IMAGES = 1000


@dataclass(frozen=True)
class SurfaceOptions:
    """What surface is computed.

    Attributes
    ----------
    runs
        One run, or three whose networks span the plane.
    directions
        ``random`` or ``trajectory``; of three runs always ``runs``.
    size
        Points along each side.
    span
        Of random directions: the surface goes from ``-span`` to ``span``. Else: how large it is,
        see `numerics.planes.framed`.
    images
        The first images of the split; None for 1,000, or all where there are fewer.
    biases
        Whether random directions move biases and the parameters of batch norm.
    name
        Of the surface; None for one that says runs and directions.
    """

    runs: tuple[int, ...]
    directions: str = RANDOM
    size: int = 41
    span: float = 1.0
    images: int | None = None
    split: str = "validation"
    seed: int = 0
    biases: bool = False
    name: str | None = None

    def check(self) -> None:
        """Raise `ConfigError` for what cannot be."""
        if len(self.runs) not in (1, 3) or len(set(self.runs)) != len(self.runs):
            raise ConfigError(f"runs: got {list(self.runs)}, allowed: one run, or three others")
        allowed = (RANDOM, TRAJECTORY) if len(self.runs) == 1 else (RUNS,)
        for option, got, choices in (
            ("directions", self.directions, allowed),
            ("split", self.split, SPLITS),
        ):
            if got not in choices:
                raise ConfigError(f"{option}: got {got!r}, allowed: {', '.join(choices)}")
        if not 2 <= self.size <= 1001:
            raise ConfigError(f"size: got {self.size}, allowed: 2 to 1001")
        if not (np.isfinite(self.span) and self.span > 0):
            raise ConfigError(f"span: got {self.span}, allowed: a positive number")
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed: got {self.seed}, allowed: 0 to 2^64 - 1")
        if self.biases and self.directions != RANDOM:
            raise ConfigError(
                "biases: other directions than random ones move all parameters anyway"
            )
        check_surface_name(self.surface_name)

    @property
    def surface_name(self) -> str:
        """The name that was given, or one like ``run12-random``."""
        if self.name is not None:
            return self.name
        if len(self.runs) == 3:
            return "runs" + "-".join(map(str, self.runs))
        return f"run{self.runs[0]}-{self.directions}"
