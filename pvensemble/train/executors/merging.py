"""The filters of one network are merged: which, and what that does to loss and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from pvensemble import schema
from pvensemble.numerics.merging import similar_filters, smallest_correlation
from pvensemble.store import MergeEvent
from pvensemble.train.config import RecordConfig
from pvensemble.train.executors.evaluation import evaluate
from pvensemble.train.probing import Measured, Probing
from pvensemble.train.recording import recorded_layers
from pvensemble.train.reduction import Reduction, merge_network


class FilterMerging:
    """Merges the filters of one network.

    Parameters
    ----------
    reduction
        Of the network; it notes what is merged.
    probe
        Images on which filters are compared.
    images, labels
        Those that loss and accuracy are taken over.
    layers
        In which filters are merged; all of the reduction when omitted.
    precision
        Gives the context in which the network computes.
    """

    def __init__(
        self,
        model: nn.Module,
        reduction: Reduction,
        threshold: float,
        *,
        probe: Tensor,
        images: Tensor,
        labels: Tensor,
        layers: Collection[str] | None = None,
        precision: Callable[[], AbstractContextManager] = nullcontext,
    ) -> None:
        self._model, self._reduction, self._threshold = model, reduction, threshold
        self._probe, self._images, self._labels = probe, images, labels
        self._precision = precision
        self._layers = [n for n in reduction.layers if layers is None or n in layers]
        kinds, names = (schema.CORRELATION,), tuple(self._layers)
        record = RecordConfig(kinds=kinds, layers=names, probe=len(probe))
        self._probing = Probing(recorded_layers(model, record, probe[:2]))
        self._taps = self._probing.taps(model)

    @torch.no_grad()
    def merge(
        self, position: int, step: int, slots: Mapping[str, Tensor] = MappingProxyType({})
    ) -> tuple[list[MergeEvent], dict[str, Tensor]]:
        """Merge what is alike enough, layer after layer.

        All correlations are those before anything is merged, as they are recorded at a step.

        Parameters
        ----------
        position, step
            Of the run, for the events.
        slots
            Optimizer's buffers, ``"momentum:conv1.weight"`` …

        Returns
        -------
        events
            One for each layer that lost filters.
        slots
            The optimizer's buffers that changed.
        """
        events, changed = [], {}
        alike = self._alike()
        before = self.score() if alike else None
        for layer, (places, r) in alike.items():
            alive = self._reduction.alive(layer)
            groups = [alive[group].tolist() for group in places]
            now = {**slots, **changed}
            changed.update(
                merge_network(self._model, self._reduction, layer, groups, self._probe, now)
            )
            after = self.score()
            left = len(self._reduction.alive(layer))
            loss, accuracy = zip(before, after)
            events.append(
                MergeEvent(position, step, layer, groups, r, (len(alive), left), accuracy, loss)
            )
            before = after
        return events, changed

    @torch.no_grad()
    def score(self) -> tuple[float, float]:
        """Return loss (nats) and accuracy."""
        n = len(self._labels)
        loss, accuracy, _ = self._evaluate(self._images, self._labels, size=n)
        return float(loss), float(accuracy)

    def _alike(self) -> dict[str, tuple[list[np.ndarray], list[float]]]:
        """Return for each layer with such: groups of places of filters, and their smallest r."""
        labels = self._labels.new_zeros(len(self._probe))
        _, _, measured = self._evaluate(self._probe, labels, size=0, probing=self._probing)
        found = {}
        for layer in self._layers:
            correlation = measured[layer, schema.CORRELATION][0].cpu().numpy()
            groups = similar_filters(correlation, self._threshold)
            if groups:
                found[layer] = groups, [smallest_correlation(correlation, g) for g in groups]
        return found

    def _evaluate(self, *images, **options) -> tuple[Tensor, Tensor, Measured]:
        self._model.eval()
        found = evaluate(self._forward, *images, **options)
        self._model.train()
        return found

    def _forward(self, images: Tensor, tapped: bool) -> tuple[Tensor, dict[str, Tensor]]:
        with self._precision(), self._taps.open() as taps:
            logits = self._model(images)[None]
            return logits, {n: out[None] for n, out in taps.outputs.items() if tapped}
