"""Reading an ensemble: the merge of its manifest and the indexes of its groups."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from pvensemble import __version__
from pvensemble.errors import NotRecordedError, did_you_mean
from pvensemble.schema import (
    ACCURACY_METRICS,
    FAILED,
    KINDS,
    LOSS_METRICS,
    NETWORK,
    STATES,
)
from pvensemble.store.files import unreadable
from pvensemble.store.group import Group
from pvensemble.store.manifest import (
    Manifest,
    data_directory,
    find_ensemble,
    merge_named,
)
from pvensemble.store.records import Curve, HyperParameter, MergeEvent, SessionInfo
from pvensemble.store.surfaces import LossSurface, read_surface, surface_names
from pvensemble.store.table import run_table


class Ensemble:
    """All runs that are compared, read from disk. Open with `Ensemble.open`.

    Nothing is locked and nothing is written: any number of readers may look while writers work.
    What `refresh` made visible stays visible.

    Attributes
    ----------
    path : Path
        The manifest, ``X.pvens``.
    groups : list of Group
        Without those whose runs were all put into other groups before anything was stored of them.
    distributed : bool
        Whether this process holds the tensors of some runs only. Never what is read from files.
    stands_in : bool
        Whether it is shown instead of another ensemble, of which sessions and groups were chosen.
        Never what is read from files.
    """

    distributed = stands_in = False
    group_class = Group
    """What groups are made of."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.directory = data_directory(path)
        self.groups: list[Group] = []
        self._manifest = manifest
        self._known: dict[str, Group] = {}
        self._places: dict[str, tuple[Group, int]] = {}
        self._n_runs = 0

    @classmethod
    def open(cls, path: str | os.PathLike) -> Ensemble:
        """Open an ensemble for reading.

        Parameters
        ----------
        path
            ``X.pvens``, or ``X.pvens.d`` beside it.

        Raises
        ------
        StoreError
            It does not exist, or the system refuses.
        SchemaError
            It is no ensemble, or one of a newer schema version.
        CorruptFileError
            Its data directory is missing, or an index is not understood.
        """
        ensemble = cls(*find_ensemble(path))
        ensemble.refresh()
        return ensemble

    def refresh(self) -> bool:
        """Read what writers committed since.

        Returns
        -------
        bool
            True when there is something new.

        Raises
        ------
        CorruptFileError
            An index is not understood.
        """
        try:
            names = sorted(e.name for e in os.scandir(self.directory) if is_group(e.name))
        except OSError as error:
            raise unreadable(self.directory, error, what="the data directory") from error
        changed = False
        for name in names:
            if name not in self._known:
                self._known[name] = self.group_class(self.directory / name)
            changed |= self._known[name].refresh()
        ready = [g for _, g in sorted(self._known.items()) if g.ready]
        if changed:
            self._number([g for g in ready if len(g.run_indices) != len(g.index.runs)])
            self.groups = [group for group in ready if not _given_up(group)]
        return changed

    def _number(self, groups: list[Group]) -> None:
        """Give new runs their places: those that name one in that order, the others after them.

        A new attempt of a run that failed takes its place; the failed one has none (-1) then.
        """
        keys = [
            (run.run_index is None, run.run_index or 0, g, i)
            for g, group in enumerate(groups)
            for i, run in enumerate(group.index.runs)
        ]
        for group in groups:
            group.run_indices = np.empty(len(group.index.runs), np.int64)
        for _, _, g, i in sorted(keys):
            run_id = groups[g].index.runs[i].run_id
            group, position = self._places.get(run_id, (None, 0))
            if group is not None and group.index.states[position].state == FAILED:
                groups[g].run_indices[i] = group.run_indices[position]
                group.run_indices[position] = -1
            else:
                groups[g].run_indices[i] = self._n_runs
                self._n_runs += 1
            self._places[run_id] = groups[g], i

    # -- what is there ------------------------------------------------------------------------
    @property
    def name(self) -> str:
        """Name that people gave it."""
        return self._manifest.name

    @property
    def schema_version(self) -> int:
        """Version of the layout on disk."""
        return self._manifest.schema_version

    @property
    def provenance(self) -> dict:
        """How it came to be: versions, configuration."""
        return dict(self._manifest.provenance)

    @property
    def sessions(self) -> list[SessionInfo]:
        """All sessions."""
        return merge_named(self._manifest.sessions, *(g.index.sessions for g in self.groups))

    @property
    def hyper_parameters(self) -> list[HyperParameter]:
        """All hyper-parameters, in the order of their columns."""
        more = (g.index.hyper_parameters for g in self.groups)
        return merge_named(self._manifest.hyper_parameters, *more)

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return self._n_runs

    @property
    def layers(self) -> list[str]:
        """Names of the layers of all groups, in the order of the networks."""
        return list(dict.fromkeys(info.name for g in self.groups for info in g.index.layers))

    @property
    def recorded_steps(self) -> list[int]:
        """Steps at which tensors of any group are stored, ascending."""
        return sorted({s for g in self.groups for s in g.index.recorded_steps})

    @property
    def metric_names(self) -> list[str]:
        """Names of the metrics of all groups, in the order they first appeared."""
        return list(dict.fromkeys(name for g in self.groups for name in g.index.metric_steps))

    @property
    def accuracy_metric(self) -> str | None:
        """The metric that measures and graphs take as accuracy; None when there is none."""
        return next((m for m in ACCURACY_METRICS if m in self.metric_names), None)

    @property
    def loss_metric(self) -> str | None:
        """The metric that graphs take as loss; None when there is none."""
        return next((m for m in LOSS_METRICS if m in self.metric_names), None)

    def damage(self) -> list[str]:
        """Return why there is less than was written: damaged or missing indexes; usually nothing.

        Files of tensors and metrics are examined when they are read, and by `pvensemble check`.
        """
        found = [group.damage() for _, group in sorted(self._known.items())]
        return [text for text in found if text is not None]

    # -- values -------------------------------------------------------------------------------
    def run_table(self) -> dict[str, np.ndarray]:
        """Return the run table, row i is run i.

        Returns
        -------
        dict of ndarray
            ``run_index`` int64, ``run_id`` and ``session`` texts, the hyper-parameters, ``seed``
            int64, ``state`` and ``reason`` texts, ``last_step`` int64; each (n_runs,). A
            hyper-parameter is float64 (NaN where a run does not have it), int64, uint8 for bools,
            or text (``""``).
        """
        return run_table(self.groups, self.hyper_parameters, self._n_runs)

    def curve(self, metric: str) -> Curve:
        """Return a metric of all runs over the steps.

        Raises
        ------
        NotRecordedError
            No run has it.
        CorruptFileError
            A file is missing or damaged.
        """
        if metric not in self.metric_names:
            raise NotRecordedError(
                f"{self.path}: there is no metric '{metric}'"
                + (did_you_mean(metric, self.metric_names) or "; no metric is recorded yet")
            )
        parts = [
            (g, *g.metric_rows()[metric]) for g in self.groups if metric in g.index.metric_steps
        ]
        steps = np.unique(np.concatenate([p[1] for p in parts]))
        values = np.full((len(steps), self._n_runs), np.nan)
        for group, at, part in parts:
            here = group.run_indices >= 0
            rows = np.searchsorted(steps, at)[:, None]
            values[rows, group.run_indices[None, here]] = part[:, here]
        return Curve(steps, values.T)

    def surfaces(self) -> list[str]:
        """Return the names of the loss surfaces, the one written last at the end."""
        return surface_names(self.path)

    def surface(self, name: str = "") -> LossSurface:
        """Return a loss surface, the newest one when no name is given.

        Raises
        ------
        NotRecordedError
            There is none, or none of that name.
        CorruptFileError
            A file is missing or damaged.
        """
        return read_surface(self.path, name)

    def merges(self) -> list[MergeEvent]:
        """Return all filters that were merged during training, by step and run.

        ``run`` is the run's index; runs that failed and were tried again are left out.
        """
        found = [
            replace(event, run=int(group.run_indices[event.run]))
            for group in self.groups
            for event in group.index.merges
            if group.run_indices[event.run] >= 0
        ]
        return sorted(found, key=lambda event: (event.step, event.run))

    def summary(self) -> dict:
        """Return what `pvensemble info --json` prints."""
        states = Counter(
            s.state for g in self.groups for s, i in zip(g.index.states, g.run_indices) if i >= 0
        )
        kinds = {key[1] for g in self.groups for key in g.index.tensors if key != NETWORK}
        return {
            "name": self.name,
            "path": os.fspath(self.path),
            "n_runs": self.n_runs,
            "states": {name: states[name] for name in STATES if states[name]},
            "sessions": [
                {"name": s.name, "color": s.color, "space": dict(s.space)} for s in self.sessions
            ],
            "hyper_parameters": [
                {"name": p.name, "type": p.type, "scale": p.scale} for p in self.hyper_parameters
            ],
            "layers": self.layers,
            "kinds": [k for k in KINDS if k in kinds] + sorted(kinds - {*KINDS}),
            "metrics": self.metric_names,
            "surfaces": self.surfaces(),
            "recorded_steps": self.recorded_steps,
            "merges": _merge_summary(self.merges()),
            "groups": [_group_summary(g) for g in self.groups],
            "bytes": self.path.stat().st_size + sum(g.n_bytes for g in self.groups),
            "versions": {
                "schema": self.schema_version,
                "pvensemble": __version__,
                **self.provenance.get("versions", {}),
            },
        }


def is_group(name: str) -> bool:
    """Whether a directory name in ``X.pvens.d`` is that of a group."""
    return name[:1] == "g" and name[1:].isascii() and name[1:].isdigit()


def _given_up(group: Group) -> bool:
    """Whether nothing is stored of a group and none of its runs counts."""
    stored = group.index.recorded_steps or group.index.metric_steps
    return not stored and bool((group.run_indices < 0).all())


def _merge_summary(events: list[MergeEvent]) -> dict:
    return {
        "n_events": len(events),
        "n_runs": len({event.run for event in events}),
        "n_filters": sum(event.n_filters[0] - event.n_filters[1] for event in events),
    }


def _group_summary(group: Group) -> dict:
    return {
        "name": group.name,
        "n_runs": len(group.index.runs),
        "layers": [
            {"name": i.name, "type": i.type, "shape": list(i.shape), "kinds": list(i.kinds)}
            for i in group.index.layers
        ],
        "recorded_steps": list(group.index.recorded_steps),
        "network_steps": group.network_steps,
        "skipped_steps": [{"step": s, "reason": r} for s, r in group.index.skipped],
        "bytes": group.n_bytes,
    }
