"""What is trained beside the paper's grid."""

from __future__ import annotations

from collections.abc import Sequence

from reproduce_hamid import paper

CORNERS = tuple(zip(paper.CYAN, paper.RED))
"""The lowest and the highest learning rate, and momentum."""
BEYOND = tuple(round(paper.RED[0] * 1.25**k, 6) for k in range(8))
"""Learning rates from the red corner on, each a quarter above the one before."""


def grid_settings(rates: Sequence[float], momenta: Sequence[float], seeds: int) -> list[str]:
    """Return the settings of a small grid with other initial weights, without tensors but conv2."""
    spaces = {"learning_rate": rates, "momentum": momenta, "seed": range(1, seeds + 1)}
    chosen = [f"session.space.{k}=[{','.join(map(str, v))}]" for k, v in spaces.items()]
    return [*chosen, f"record.layers={paper.SIMILARITY_LAYER}", "record.kinds=correlation"]
