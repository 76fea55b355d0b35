"""Filters of one run are merged at a stop: which, and what that does to loss and accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from pvensemble import schema
from pvensemble.numerics.merging import similar_filters, smallest_correlation
from pvensemble.store import MergeEvent
from pvensemble.train.config import RecordConfig, RunSettings
from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.evaluation import evaluate
from pvensemble.train.executors.events import Job
from pvensemble.train.probing import Measured, Probing
from pvensemble.train.recording import recorded_layers
from pvensemble.train.reduction import Reduction, merge_network
from pvensemble.train.schedules import reduce_steps


class FilterMerging:
    """Merges the filters of one run.

    Parameters
    ----------
    precision
        Gives the context in which the network computes.

    Attributes
    ----------
    steps
        Stops on leaving which filters are merged.
    """

    def __init__(
        self,
        model: nn.Module,
        reduction: Reduction,
        job: Job,
        settings: RunSettings,
        data: DeviceData,
        precision: Callable[[], AbstractContextManager],
    ) -> None:
        self.steps = frozenset(reduce_steps(settings, len(data.train)))
        self._model, self._reduction, self._precision = model, reduction, precision
        self._threshold = settings.reduce.threshold
        self._validation = data.validation
        self._size = len(data.validation) if job.evaluate_size is None else job.evaluate_size
        self._probe = data.validation.images[: job.probe]
        kinds, layers = (schema.CORRELATION,), tuple(reduction.layers)
        record = RecordConfig(kinds=kinds, layers=layers, probe=job.probe)
        self._probing = Probing(recorded_layers(model, record, self._probe[:2]))
        self._taps = self._probing.taps(model)

    @torch.no_grad()
    def merge(
        self, position: int, step: int, slots: Mapping[str, Tensor]
    ) -> tuple[list[MergeEvent], dict[str, Tensor]]:
        """Merge what is alike enough, layer after layer.

        All correlations are those before anything is merged, as they are recorded at this step.

        Returns
        -------
        events
            One for each layer that lost filters.
        slots
            The optimizer's buffers that changed.
        """
        *before, measured = self._evaluate(self._probing)
        events, changed = [], {}
        for layer in self._reduction.layers:
            alive = self._reduction.alive(layer)
            correlation = measured[layer, schema.CORRELATION][0].cpu().numpy()
            places = similar_filters(correlation, self._threshold)
            if not places:
                continue
            groups = [alive[group].tolist() for group in places]
            now = {**slots, **changed}
            changed.update(
                merge_network(self._model, self._reduction, layer, groups, self._probe, now)
            )
            *after, _ = self._evaluate()
            left = len(self._reduction.alive(layer))
            r = [smallest_correlation(correlation, group) for group in places]
            loss, accuracy = zip(before, after)
            events.append(
                MergeEvent(position, step, layer, groups, r, (len(alive), left), accuracy, loss)
            )
            before = after
        return events, changed

    def _evaluate(self, probing: Probing | None = None) -> tuple[float, float, Measured]:
        """Return loss, accuracy and, when asked for, the correlations."""
        split = self._validation
        self._model.eval()
        loss, accuracy, measured = evaluate(
            self._forward, split.images, split.labels, size=self._size, probing=probing
        )
        self._model.train()
        return float(loss), float(accuracy), measured

    def _forward(self, images: Tensor, tapped: bool) -> tuple[Tensor, dict[str, Tensor]]:
        with self._precision(), self._taps.open() as taps:
            logits = self._model(images)[None]
            return logits, {n: out[None] for n, out in taps.outputs.items() if tapped}
