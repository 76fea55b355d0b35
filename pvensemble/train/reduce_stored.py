"""Filters of networks that have been trained are merged: what is lost without training them on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pvensemble import schema
from pvensemble.errors import ConfigError, NotRecordedError
from pvensemble.store import Ensemble, Group, MergeEvent
from pvensemble.train.config import RunSpec
from pvensemble.train.data import DataSets, load_data
from pvensemble.train.executors.merging import FilterMerging
from pvensemble.train.models import build_model
from pvensemble.train.reducible import reducible_layers
from pvensemble.train.reduction import Reduction
from pvensemble.train.stored_runs import stored_runs

SPLITS = ("test", "validation")


@dataclass(frozen=True)
class ReducedRun:
    """A network before and after its filters were merged.

    Attributes
    ----------
    layers
        One for each layer, ``run`` being the run's index; without groups where none are alike.
    before, after
        Parameters and buffers by name, as ``state_dict`` returns them.
    """

    run: int
    run_id: str
    step: int
    layers: tuple[MergeEvent, ...]
    before: dict[str, Tensor]
    after: dict[str, Tensor]


def reduce_stored(
    path: object,
    threshold: float,
    *,
    runs: Collection[int] = (),
    layers: Sequence[str] = (),
    step: int | None = None,
    split: str = SPLITS[0],
    n_images: int | None = None,
    probe: int = 256,
    config: str | None = None,
    data_dir: str | None = None,
) -> Iterator[ReducedRun]:
    """Merge filters of the networks that an ensemble stores; the ensemble is not changed.

    Parameters
    ----------
    threshold
        Correlation that every two filters of a group have at least.
    runs
        Run indices; all that have neither failed nor diverged when empty.
    layers
        Names of convolutions or patterns; all when empty.
    step
        Of the stored networks; the last one when omitted.
    split
        One of ``SPLITS``: images that loss and accuracy are taken over.
    n_images
        So many of the first ones; all when omitted.
    probe
        Images of the validation split on which filters are compared, at most.
    config
        The configuration as a file, needed for a model of the user's own.

    Raises
    ------
    ConfigError, DataError, NotRecordedError
        An option or the model cannot be, data or networks are not there.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold: got {threshold:g}, allowed: more than 0, at most 1")
    if n_images is not None and n_images < 1:
        raise ConfigError(f"images: got {n_images}, allowed: at least 1")
    ensemble = Ensemble.open(path)
    specs = stored_runs(ensemble, config)
    sets: dict = {}
    for index in sorted(runs) or usable_runs(ensemble):
        group, position = _place(ensemble, index)
        spec = specs.get(group.runs[position].run_id)
        if spec is None:
            raise ConfigError(
                f"{ensemble.path}: run {index} is none of the configuration that the ensemble "
                "says it was trained with"
            )
        if spec.settings.data not in sets:
            sets[spec.settings.data] = load_data(spec.settings.data, data_dir)
        data = sets[spec.settings.data]
        at = step if step is not None else max(group.network_steps, default=0)
        model, reduction, chosen = stored_network(group, position, at, spec, data, layers)
        images = getattr(data, split)
        merging = FilterMerging(
            model,
            reduction,
            threshold,
            probe=data.validation.images[:probe],
            images=images.images[:n_images],
            labels=images.labels[:n_images],
            layers=chosen,
        )
        counts = {layer: len(reduction.alive(layer)) for layer in chosen}
        yield _reduced(model, merging, counts, index, spec.run_id, at)


def stored_network(
    group: Group,
    position: int,
    step: int,
    spec: RunSpec,
    data: DataSets,
    patterns: Sequence[str] = (),
) -> tuple[nn.Module, Reduction, list[str]]:
    """Return the network of a run without what was merged away in training, and what that was.

    The third is the layers that ``patterns`` choose.

    Parameters
    ----------
    patterns
        Layers in which filters are to be merged; all convolutions when empty.
    """
    s = spec.settings
    model = build_model(
        s.model, input_shape=data.input_shape, n_classes=data.n_classes, seed=s.seed
    )
    stored = group.network(position, step)
    model.load_state_dict({name: torch.from_numpy(values) for name, values in stored.items()})
    wanted = [x.layer for x in reducible_layers(model, patterns)]
    before = [x.layer for x in group.reducible]
    reduction = Reduction(reducible_layers(model, (*wanted, *before)))
    reduction.standing.update(group.standing(position, step))
    reduction.shrink(model)
    return model, reduction, wanted


def usable_runs(ensemble: Ensemble) -> list[int]:
    """Return the runs that have neither failed nor diverged."""
    states = ensemble.run_table()[schema.STATE].tolist()
    found = [i for i, state in enumerate(states) if state not in schema.BROKEN]
    if not found:
        raise NotRecordedError(f"{ensemble.path}: all runs have failed or diverged")
    return found


def _place(ensemble: Ensemble, index: int) -> tuple[Group, int]:
    """Return the group and the position of a run."""
    for group in ensemble.groups:
        for position in (group.run_indices == index).nonzero()[0]:
            return group, int(position)
    raise NotRecordedError(
        f"{ensemble.path}: there is no run {index}, the runs are 0 to {ensemble.n_runs - 1}"
    )


def _reduced(
    model: nn.Module,
    merging: FilterMerging,
    counts: dict[str, int],
    index: int,
    run_id: str,
    step: int,
) -> ReducedRun:
    """Merge the filters of one network, of which there are so many in its layers."""
    before = _copied(model)
    loss, accuracy = merging.score()
    events = {event.layer: event for event in merging.merge(index, step)[0]}
    rows = []
    for layer, n in counts.items():
        same = (n, n), (accuracy, accuracy), (loss, loss)
        event = events.get(layer) or MergeEvent(index, step, layer, (), (), *same)
        loss, accuracy = event.loss[1], event.accuracy[1]
        rows.append(event)
    return ReducedRun(index, run_id, step, tuple(rows), before, _copied(model))


def _copied(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of all parameters and buffers, each in the plain order in memory."""
    state = model.state_dict()
    return {
        name: t.detach().clone(memory_format=torch.contiguous_format) for name, t in state.items()
    }
