"""The layers of a group of runs: what is recorded of them, and in which filters are merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from torch import Tensor, nn

from pvensemble import schema
from pvensemble.store import Reducible
from pvensemble.train.config import RecordConfig, RunSettings, TrainConfig
from pvensemble.train.recording import RecordedLayer, described_layer, recorded_layers, weighted
from pvensemble.train.reducible import reducible_layers
from pvensemble.train.schedules import reduce_steps


def layers_of_group(
    model: nn.Module, config: TrainConfig, settings: Sequence[RunSettings], images: Tensor | None
) -> tuple[tuple[RecordedLayer, ...], tuple[Reducible, ...]]:
    """Return the layers that are recorded of a group, and those in which filters are merged.

    Parameters
    ----------
    settings
        Of the group's runs; when none of them merges filters there are no such layers.

    Raises
    ------
    ConfigError
        As `recorded_layers` does; or filters of a layer cannot be merged.
    """
    layers = recorded_layers(model, config.record, images)
    if all(s.reduce.threshold is None for s in settings):
        return layers, ()
    reducible = reducible_layers(model, config.reduce.layers)
    known = {layer.name: layer for layer in layers}
    for x in reducible:
        module = model.get_submodule(x.layer)
        layer = known.get(x.layer) or described_layer(x.layer, module, RecordConfig(kinds=()))
        known[x.layer] = replace(layer, kinds=(*layer.kinds, schema.FILTER_GROUP))
    return tuple(known[name] for name in weighted(model) if name in known), reducible


def merge_steps(settings: Iterable[RunSettings], n_train: int) -> set[int]:
    """Return the steps at which any of some runs merges filters."""
    return {step for s in settings for step in reduce_steps(s, n_train)}
