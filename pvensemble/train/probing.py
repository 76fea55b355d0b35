"""What the probe batch shows of layers: correlations, Gram matrices and activations, in one pass.

All three are taken from the same outputs of a layer, chunk after chunk of the probe batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from pvensemble import schema
from pvensemble.train.correlation import CorrelationSums, activation_rows, first_mean
from pvensemble.train.gram import Grams
from pvensemble.train.recording import RecordedLayer
from pvensemble.train.taps import Taps

Measured = dict[tuple[str, str], Tensor]
"""(layer, kind) to (n_runs, *shape)."""


class Probing:
    """What is measured of which layers.

    Parameters
    ----------
    elsewhere
        (layer, kind) that somebody else measures.

    Attributes
    ----------
    layers
        The layers, and which of their kinds are measured here.
    n_images
        Of the probe batch.
    """

    def __init__(
        self,
        layers: Collection[RecordedLayer],
        elsewhere: Collection[tuple[str, str]] = (),
    ) -> None:
        probed = ((x, [k for k in x.probed_kinds if (x.name, k) not in elsewhere]) for x in layers)
        self.layers = [(layer, kinds) for layer, kinds in probed if kinds]
        self.n_images = max((layer.n_probe for layer, _ in self.layers), default=0)

    def __bool__(self) -> bool:
        return bool(self.layers)

    def taps(self, model: nn.Module) -> Taps:
        """Return what catches the outputs that are needed."""
        layers = [layer for layer, _ in self.layers]
        overwritten = [x.name for x in layers if x.overwritten]
        return Taps(model, [x.name for x in layers], overwritten)

    def begin(self) -> ProbeSums:
        """Return the sums of a new pass over the probe batch."""
        return ProbeSums({layer.name: _LayerSums(layer, kinds) for layer, kinds in self.layers})


class ProbeSums:
    """One pass over the probe batch; feed chunks in order with :meth:`add`."""

    def __init__(self, layers: Mapping[str, _LayerSums]) -> None:
        self._layers = layers

    def add(self, outputs: Mapping[str, Tensor]) -> None:
        """Add layers' outputs for some images, (n_runs, n, n_filters, *positions) each."""
        for name, output in outputs.items():
            self._layers[name].add(output)

    def result(self) -> Measured:
        """Return all that was measured."""
        return {
            (name, kind): value
            for name, layer in self._layers.items()
            for kind, value in layer.result().items()
        }


class _LayerSums:
    """The part of one layer."""

    def __init__(self, layer: RecordedLayer, kinds: Collection[str]) -> None:
        self._correlations = CorrelationSums() if schema.CORRELATION in kinds else None
        self._grams = Grams(layer.n_probe) if schema.GRAM in kinds else None
        self._images_left = layer.n_activations if schema.ACTIVATION in kinds else 0
        self._activations: list[Tensor] = []
        self._shift: Tensor | None = None

    def add(self, output: Tensor) -> None:
        if self._images_left:
            first = output[:, : self._images_left]
            self._activations.append(activations(first))
            self._images_left -= first.shape[1]
        if self._correlations or self._grams:
            rows = activation_rows(output)
            if self._shift is None:
                self._shift = first_mean(rows)
            shifted = rows - self._shift
            if self._correlations:
                self._correlations.add_shifted(shifted, self._shift)
            if self._grams:
                self._grams.add(shifted.reshape(*output.shape[:2], -1), self._shift)

    def result(self) -> dict[str, Tensor]:
        found = {}
        if self._correlations:
            found[schema.CORRELATION] = self._correlations.result()
        if self._grams:
            found[schema.GRAM] = self._grams.result()
        if self._activations:
            found[schema.ACTIVATION] = torch.cat(self._activations, dim=2)
        return found


def activations(output: Tensor) -> Tensor:
    """Return outputs as they are stored; a number that is not finite is stored as 0.

    Parameters
    ----------
    output
        (n_runs, n_images, n_filters, *positions).

    Returns
    -------
    Tensor
        (n_runs, n_filters, n_images, *positions) float32, a copy.
    """
    swapped = output.transpose(1, 2).float()
    return torch.where(torch.isfinite(swapped), swapped, 0.0)
