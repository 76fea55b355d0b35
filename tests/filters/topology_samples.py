"""Small ensembles with real correlations and Gram matrices, and a reader that is watched."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pvensemble import schema
from pvensemble.filters.reader import EnsembleReader
from pvensemble.store import EnsembleWriter, HyperParameter, LayerInfo, RunInfo, SessionInfo
from pvensemble.vtkdata.time import requested_time

KINDS = (schema.CORRELATION, schema.GRAM)
SESSIONS = (SessionInfo("coarse", "#1f77b4", {}), SessionInfo("fine", "#d62728", {}))
N_BATCHES, BATCH = 2, 4


def correlation(layer: str, step: int, run: int, width: int, dead=()) -> np.ndarray:
    """Correlations (width, width) that grow with the step, of a run in the ensemble."""
    if run in dead:
        return np.eye(width, dtype=np.float32)
    random = np.random.default_rng([len(layer) + ord(layer[-1]), run, width])
    own, shared = random.normal(size=(width, 40)), random.normal(size=40)
    part = random.uniform(0.3, 4.0, size=(width, 1)) * step / 20
    return np.corrcoef(own + part * shared).astype(np.float32)


def gram(layer: str, step: int, run: int) -> np.ndarray:
    """Symmetric matrices (N_BATCHES, BATCH, BATCH), diagonal 0, of unit norm all together."""
    random = np.random.default_rng([ord(layer[-1]), run, step])
    values = random.normal(size=(N_BATCHES, BATCH, BATCH))
    values = values + values.transpose(0, 2, 1)
    values[:, np.arange(BATCH), np.arange(BATCH)] = 0
    return (values / np.linalg.norm(values)).astype(np.float32)


@dataclass
class Topology:
    """An ensemble of layers conv1 and conv2; runs are dealt to groups of different width in turn.

    ``writer`` and ``groups`` stay open when the training is to go on.
    """

    path: object
    steps: list[int]
    n_runs: int
    widths: tuple
    dead: tuple = ()
    writer: object = None
    groups: list = field(default_factory=list)

    def width(self, run: int) -> int:
        return self.widths[run % len(self.widths)]

    def correlations(self, step: int, runs, layer: str = "conv2") -> np.ndarray:
        """Correlations (n, width, width) of runs of one group."""
        return np.stack([correlation(layer, step, r, self.width(r), self.dead) for r in runs])

    def grams(self, step: int, runs, layer: str = "conv2") -> np.ndarray:
        return np.stack([gram(layer, step, r) for r in runs])

    def members(self, group: int) -> np.ndarray:
        return np.arange(group, self.n_runs, len(self.widths))

    def commit(self, group: int, step: int) -> None:
        """Record a step of a group."""
        members = self.members(group)
        tensors = {}
        for layer in ("conv1", "conv2"):
            tensors[layer, schema.CORRELATION] = self.correlations(step, members, layer)
            tensors[layer, schema.GRAM] = self.grams(step, members, layer)
        values = np.full((1, len(members)), 0.5 + step / 1000)
        self.groups[group].commit(step, tensors, {schema.VALIDATION_ACCURACY: ([step], values)})

    def close(self) -> None:
        for group in self.groups:
            group.close()
        self.writer.finish()


def make_topology(
    path, *, n_runs=6, widths=(5,), steps=(0, 10, 20), dead=(), sessions=1, finish=True
) -> Topology:
    """Write an ensemble; see ``Topology``."""
    made = Topology(path, list(steps), n_runs, tuple(widths), tuple(dead))
    made.writer = EnsembleWriter.create(
        path,
        name=path.stem,
        sessions=SESSIONS[:sessions],
        hyper_parameters=[
            HyperParameter("learning_rate", "float", "log"),
            HyperParameter("momentum", "float", "linear"),
        ],
        provenance={},
    )
    for group, width in enumerate(widths):
        layers = [LayerInfo(name, "Conv2d", (width, 1, 3, 3), KINDS) for name in ("conv1", "conv2")]
        members = made.members(group)
        runs = [
            RunInfo(
                run_id=f"run{i}",
                params={"learning_rate": 0.01 * 2.0 ** (i % 3), "momentum": 0.3 * (i // 3)},
                seed=int(i),
                session=SESSIONS[int(sessions > 1 and i >= n_runs / 2)].name,
                run_index=int(i),
            )
            for i in members
        ]
        made.groups.append(made.writer.create_group(runs, layers))
        made.groups[-1].set_states(range(len(members)), schema.RUNNING, step=0)
    for step in steps:
        for group in range(len(widths)):
            made.commit(group, step)
    if finish:
        made.close()
    return made


class WatchedReader(EnsembleReader):
    """Notes each time at which it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[float | None] = []

    def RequestData(self, request, inInfo, outInfo):
        self.read.append(requested_time(request, outInfo))
        return super().RequestData(request, inInfo, outInfo)

    def reads(self) -> list[float | None]:
        """Times that were read since the last call."""
        read, self.read = self.read, []
        return read


def reader_of(made, *layers: str) -> WatchedReader:
    """Return a reader with layers checked (all when none is named)."""
    reader = WatchedReader()
    reader.SetFileName(str(made.path))
    reader.UpdateInformation()
    for layer in layers or ("conv1", "conv2"):
        reader.GetLayers().EnableArray(layer)
    return reader


def plot_of(algorithm, reader, **options):
    """Connect a filter to both outputs of a reader and set options (setters without ``Set``)."""
    algorithm.SetInputConnection(0, reader.GetOutputPort(0))
    algorithm.SetInputConnection(1, reader.GetOutputPort(1))
    for name, value in options.items():
        getattr(algorithm, "Set" + name)(value)
    return algorithm
