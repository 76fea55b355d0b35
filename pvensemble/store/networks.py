"""Networks whose filters were merged: in the shape of step 0, or without what is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pvensemble.numerics.merging import existing
from pvensemble.store.records import check_name

_OF_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Reducible:
    """A convolution whose filters may be merged.

    Attributes
    ----------
    layer
        Its name, as in ``named_modules()``.
    n_filters
        Filters that it has at step 0.
    norms
        Batch norms on the way of its channels.
    consumer
        The convolution or linear layer that takes them.
    positions
        Inputs of the consumer for one channel: 1 for a convolution, height x width for a linear
        layer behind a flattening.
    """

    layer: str
    n_filters: int
    norms: tuple[str, ...]
    consumer: str
    positions: int

    def axes(self) -> dict[str, tuple[int, int]]:
        """Return where its filters stand: parameter or buffer to axis, and entries a filter."""
        own = [f"{self.layer}.weight", f"{self.layer}.bias"]
        own += [f"{norm}.{tensor}" for norm in self.norms for tensor in _OF_NORM]
        return {**dict.fromkeys(own, (0, 1)), f"{self.consumer}.weight": (1, self.positions)}


def reducible_to_json(layer: Reducible) -> dict:
    """Return the JSON form."""
    return {**asdict(layer), "norms": list(layer.norms)}


def reducible_from_json(entry: Mapping) -> Reducible:
    """Return the layer; raises KeyError, TypeError or ValueError when it is none."""
    return Reducible(
        check_name(entry["layer"], "a layer"),
        int(entry["n_filters"]),
        tuple(map(str, entry["norms"])),
        str(entry["consumer"]),
        int(entry["positions"]),
    )


def without_merged(
    tensors: Mapping[str, np.ndarray],
    layers: Sequence[Reducible],
    standing: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Return a network without the filters that were merged away.

    Parameters
    ----------
    tensors
        Parameters and buffers by name, in the shapes of step 0.
    standing
        Layer to (n_filters,): for each filter the one that stands for it.
    """
    found = dict(tensors)
    for layer in layers:
        alive = np.flatnonzero(existing(standing[layer.layer]))
        for name, (axis, positions) in layer.axes().items():
            if name in found:
                places = (alive[:, None] * positions + np.arange(positions)).ravel()
                found[name] = found[name].take(places, axis)
    return found
