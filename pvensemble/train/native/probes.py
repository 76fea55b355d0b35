"""What the compiled engine finds out about convolutions while it evaluates."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pvensemble import schema
from pvensemble.train.gram import gram_shape
from pvensemble.train.native.plan import CONVOLUTION, Plan
from pvensemble.train.probing import Measured, Probing
from pvensemble.train.recording import RecordedLayer


@dataclass(frozen=True)
class _Place:
    """A convolution of the plan: its number, and (n_filters, height, width) of its output."""

    number: int
    out: tuple[int, int, int]


class Probes:
    """The sums of one pass over the probe batch.

    Parameters
    ----------
    n_images
        Of the probe batch.
    """

    def __init__(self, plan: Plan, probing: Probing, n_images: int) -> None:
        places = _places(plan)
        self._layers = [
            _LayerProbe(places[layer.name], layer, kinds, n_images)
            for layer, kinds in probing.layers
        ]
        numbers = [n for layer in self._layers for n in layer.numbers]
        arrays = [array for layer in self._layers for array in layer.arrays]
        self.numbers = np.array(numbers, np.int64)
        self.pointers = (ctypes.c_void_p * len(arrays))(
            *[None if a is None else a.ctypes.data for a in arrays]
        )

    def __len__(self) -> int:
        return len(self._layers)

    def result(self) -> Measured:
        """Return all that was measured."""
        return {
            (layer.name, kind): value
            for layer in self._layers
            for kind, value in layer.result().items()
        }


def sees(plan: Plan, probing: Probing) -> bool:
    """Tell whether all layers that are probed are convolutions of the plan."""
    places = _places(plan)
    return all(layer.name in places for layer, _ in probing.layers)


def _places(plan: Plan) -> dict[str, _Place]:
    return {
        layer.module: _Place(i, layer.out)
        for i, layer in enumerate(plan.layers)
        if layer.kind == CONVOLUTION
    }


class _LayerProbe:
    """The part of one layer: the arrays that ``pvensemble_native_evaluate`` writes."""

    def __init__(
        self, place: _Place, layer: RecordedLayer, kinds: list[str], n_images: int
    ) -> None:
        n_filters, *positions = place.out
        self.name = layer.name
        n_shown = min(layer.n_activations, n_images) if schema.ACTIVATION in kinds else 0
        n_batches, batch, _ = gram_shape(n_images) if schema.GRAM in kinds else (0, 0, 0)
        self.numbers = (place.number, n_images, n_shown, batch, n_batches)
        squares = (n_filters, n_filters)
        self._sums = np.zeros((2, n_filters))  # the shift, and sums of what is left
        self._correlation = np.zeros(squares) if schema.CORRELATION in kinds else None
        self._grams = np.zeros((n_batches, batch, batch)) if n_batches else None
        self._shown = np.zeros((n_filters, n_shown, *positions), np.float32) if n_shown else None
        self.arrays = (*self._sums, self._correlation, self._grams, self._shown)

    def result(self) -> dict[str, Tensor]:
        written = {
            schema.CORRELATION: self._correlation,
            schema.GRAM: self._grams,
            schema.ACTIVATION: self._shown,
        }
        return {
            kind: torch.from_numpy(array.astype(np.float32)[None])
            for kind, array in written.items()
            if array is not None
        }
