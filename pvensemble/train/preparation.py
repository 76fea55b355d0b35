"""Before training: data sets, the ensemble on disk, new or resumed, and a job for each group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pvensemble import schema
from pvensemble.errors import DataError, GroupBusyError
from pvensemble.store import Ensemble, EnsembleWriter, GroupWriter, RunInfo
from pvensemble.train.added import added_specs, sessions_added
from pvensemble.train.config import RunSpec, TrainConfig
from pvensemble.train.data import load_data
from pvensemble.train.executors import choose
from pvensemble.train.executors.events import Job
from pvensemble.train.group_layers import layers_of_group, merge_steps
from pvensemble.train.models import any_model
from pvensemble.train.native.choice import TORCH, EngineChoice, choose_engine, engine_of_group
from pvensemble.train.provenance import (
    check_same,
    hyper_parameters,
    provenance,
    session_info,
    session_infos,
)
from pvensemble.train.recording import network_shapes, schedule_of, unrecorded
from pvensemble.train.search import group_runs

GROUP_SIZE = 1024
"""Runs in one group at most: its stacks are handled as wholes."""
WORTH_CUTTING = 2
"""Groups that nobody has begun are cut anew when that gives so many times more of them."""
GIVEN_UP = "to be trained in another group"


@dataclass(frozen=True)
class Members:
    """The runs of a group.

    Attributes
    ----------
    name
        Of the group in the store, None when it is new.
    replaced
        Positions of runs that have failed and are tried again in another group.
    """

    specs: list[RunSpec]
    name: str | None = None
    replaced: Collection[int] = ()


def load_all_data(
    config: TrainConfig, specs: Sequence[RunSpec], data_dir: str | Path | None
) -> dict:
    """Load every data set that a run uses, and check that the configuration fits it."""
    data = {}
    for settings in (s.settings for s in specs):
        if settings.data not in data:
            data[settings.data] = load_data(settings.data, data_dir)
            data[settings.data].probe(config.record.probe)
        n_train = len(data[settings.data].train)
        if settings.batch_size > n_train:
            raise DataError(
                f"train.batch_size: got {settings.batch_size}, allowed: at most the {n_train} "
                f"training images of {data[settings.data].name}"
            )
    return data


def training_engine(config: TrainConfig, path: Path, resume: bool, executor) -> EngineChoice:
    """Return the engine of a new ensemble, or that of the one that is resumed."""
    stored = None
    if resume and path.exists():
        stored = Ensemble.open(path).provenance.get("engine", TORCH)
    cpu = getattr(executor, "one_run_on_cpu", False)
    return choose_engine(config.train.engine, cpu=cpu, stored=stored)


def check_training(
    config: TrainConfig,
    specs: Sequence[RunSpec],
    path: Path,
    *,
    data_dir: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    resume: bool = False,
) -> None:
    """Raise for what training would refuse before its first step; nothing is written.

    Raises
    ------
    DataError
        A data set is not there, or does not fit.
    ConfigError
        The device or the engine that is asked for is not to be had.
    """
    data = load_all_data(config, specs, data_dir)
    engine = training_engine(config, path, resume, choose(device, workers, data))
    for number, members in enumerate(group_runs(specs, GROUP_SIZE) if engine.demanded else ()):
        make_job(config, members, number, data, engine)


def open_ensemble(
    config: TrainConfig,
    specs: Sequence[RunSpec],
    path: Path,
    resume: bool,
    *,
    device: str,
    engine: str,
    seconds: Mapping[str, float],
    cut: Callable[[Sequence[RunSpec]], list[list[RunSpec]]],
    retry: bool = True,
) -> tuple[EnsembleWriter, list[Members]]:
    """Create or re-open the ensemble; return it and its groups.

    Runs that failed are in a new group again: their new attempt begins at step 0 and takes their
    place in the ensemble, because what is recorded of a group's steps is never changed.

    Parameters
    ----------
    seconds
        See :func:`~pvensemble.train.provenance.provenance`.
    cut
        Puts new runs into groups.
    retry
        Whether runs that failed are tried again.
    """
    if not (resume and path.exists()):
        writer = EnsembleWriter.create(
            path,
            name=config.name,
            sessions=session_infos(config),
            hyper_parameters=hyper_parameters(config),
            provenance=provenance(config, device, engine, seconds),
        )
        return writer, [Members(members) for members in cut(specs)]
    writer = EnsembleWriter.open(path)
    check_same(writer.manifest.provenance, config, path)
    ensemble = Ensemble.open(path)
    known = known_runs(config, specs, ensemble, writer)
    if retry and _give_up(ensemble, known, writer, cut):
        ensemble.refresh()
    groups = stored_groups(ensemble, known, retry=retry)
    there = {
        spec.run_id
        for group in groups
        for position, spec in enumerate(group.specs)
        if position not in group.replaced
    }
    left = [spec for run_id, spec in known.items() if run_id not in there]
    return writer, groups + [Members(members) for members in (cut(left) if left else ())]


def _give_up(
    ensemble: Ensemble,
    known: Mapping[str, RunSpec],
    writer: EnsembleWriter,
    cut: Callable[[Sequence[RunSpec]], list[list[RunSpec]]],
) -> bool:
    """Give up groups that nobody has begun where more processes need more of them.

    Their runs count as failed, so they are put into new groups as such runs are.

    Returns
    -------
    bool
        Whether any was given up.
    """
    unbegun = [
        group
        for group in ensemble.groups
        if not group.index.begun and all(run.run_id in known for run in group.runs)
    ]
    specs = [known[run.run_id] for group in unbegun for run in group.runs]
    if not specs or len(cut(specs)) < WORTH_CUTTING * len(unbegun):
        return False
    for group in unbegun:
        with suppress(GroupBusyError), writer.open_group(group.name) as given_up:
            positions = range(len(given_up.runs))
            given_up.set_states(positions, schema.FAILED, step=0, reason=GIVEN_UP)
    return True


def known_runs(
    config: TrainConfig, specs: Sequence[RunSpec], ensemble: Ensemble, writer: EnsembleWriter
) -> dict[str, RunSpec]:
    """Return the runs of a configuration and those that were added since, by id."""
    known = {s.run_id: s for s in specs}
    for request, session in sessions_added(config, ensemble):
        writer.announce([session_info(session)], ())
        known.update({s.run_id: s for s in added_specs(config, request, known)})
    return known


def stored_groups(
    ensemble: Ensemble, known: Mapping[str, RunSpec], *, retry: bool = False
) -> list[Members]:
    """Return the groups that an ensemble has.

    Those with unknown runs are left alone, and those that have none to be trained.

    Parameters
    ----------
    known
        The runs by id.
    retry
        Whether the runs that failed, and were not tried again yet, are to be.
    """
    groups: list[Members] = []
    for group in ensemble.groups:
        if any(run.run_id not in known for run in group.runs):
            continue
        replaced = {
            p
            for p, state in enumerate(group.index.states)
            if group.run_indices[p] < 0 or (retry and state.state == schema.FAILED)
        }
        if len(replaced) == len(group.runs):
            continue
        groups.append(Members([known[run.run_id] for run in group.runs], group.name, replaced))
    return groups


def create_group(writer: EnsembleWriter, job: Job, members: Sequence[RunSpec]) -> GroupWriter:
    """Add a group to the ensemble."""
    runs = [RunInfo(s.run_id, s.params, s.settings.seed, s.session, s.run_index) for s in members]
    layers = [layer.info for layer in job.layers]
    parameters = job.parameters if job.schedule.networks else None
    return writer.create_group(runs, layers, parameters=parameters, reducible=job.reducible)


def shown_images(config: TrainConfig, job: Job, data: dict) -> np.ndarray | None:
    """Return the probe images whose activations are recorded, as the store has them.

    Returns
    -------
    ndarray or None
        (1, n_channels, n_images, height, width) float32; None when there are no activations.
    """
    if not any(schema.ACTIVATION in layer.kinds for layer in job.layers):
        return None
    images = data[job.data].probe(config.record.probe)[: config.record.activation_images]
    return np.ascontiguousarray(images.transpose(0, 1)[None], np.float32)


def make_job(
    config: TrainConfig,
    members: Sequence[RunSpec],
    number: int,
    data: dict,
    engine: EngineChoice | None = None,
) -> Job:
    """Return the job of a group that nobody has begun; without ``engine``, torch trains it."""
    of_runs = tuple(s.settings for s in members)
    settings = of_runs[0]
    shape = data[settings.data].input_shape
    model = any_model(of_runs, shape, data[settings.data].n_classes)
    engine = engine_of_group(engine or EngineChoice(), model, settings, data[settings.data])
    notes = unrecorded(model, settings.model.name, config.record), engine.note
    layers, reducible = layers_of_group(model, config, of_runs, torch.zeros(2, *shape))
    merging = merge_steps(of_runs, len(data[settings.data].train))
    return Job(
        group=number,
        data=settings.data,
        settings=of_runs,
        schedule=schedule_of(config, settings.steps, merging),
        layers=layers,
        reducible=reducible,
        positions=tuple(range(len(members))),
        dtype=config.record.dtype,
        probe=config.record.probe,
        evaluate_size=config.evaluate.size,
        notes=tuple(filter(None, notes)),
        engine=engine.name,
        parameters=network_shapes(model),
    )
