"""What the compiled engine finds out about convolutions while it evaluates."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pvensemble import schema
from pvensemble.train.correlation import CorrelationSums
from pvensemble.train.gram import gram_shape, grams_of
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
        self.name, self._n_positions = layer.name, int(np.prod(positions))
        self._n_images = n_images
        n_shown = min(layer.n_activations, n_images) if schema.ACTIVATION in kinds else 0
        n_batches, batch, _ = gram_shape(n_images) if schema.GRAM in kinds else (0, 0, 0)
        self.numbers = (place.number, n_images, n_shown, batch, n_batches)
        squares = (n_filters, n_filters)
        self._shift, self._sums = np.zeros(n_filters), np.zeros(n_filters)
        self._products = np.zeros(squares) if schema.CORRELATION in kinds else None
        self._grams = np.zeros((n_batches, batch, batch)) if n_batches else None
        self._shown = np.zeros((n_filters, n_shown, *positions), np.float32) if n_shown else None
        self.arrays = (self._shift, self._sums, self._products, self._grams, self._shown)

    def result(self) -> dict[str, Tensor]:
        found = {}
        if self._products is not None:
            count = self._n_images * self._n_positions
            products = np.triu(self._products) + np.triu(self._products, 1).T
            stacks = (torch.from_numpy(x)[None] for x in (self._shift, self._sums, products))
            found[schema.CORRELATION] = CorrelationSums.of(count, *stacks).result()
        if self._grams is not None:
            n_values = self._grams.shape[0] * self._grams.shape[1] * self._n_positions
            energy = np.trace(self._grams, axis1=1, axis2=2).sum()
            energy += n_values * np.square(self._shift).sum()
            grams = torch.from_numpy(self._grams)[None]
            found[schema.GRAM] = grams_of(grams, torch.tensor([energy]))
        if self._shown is not None:
            found[schema.ACTIVATION] = torch.from_numpy(self._shown)[None]
        return found
