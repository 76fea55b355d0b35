"""Volumes of tensors, wherever they are: slices of them, and functions of each run.

Alone, a process asks itself, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from vtkmodules.vtkCommonCore import vtkDataArray

from pvensemble.filters._local_tensors import LocalTensors, kind_of
from pvensemble.vtkdata.arrays import stack_from_image
from pvensemble.vtkdata.parallel import Message

Ask = Callable[[str, dict, Sequence[np.ndarray]], "list[Message]"]
"""Lets each process call a method of its ``LocalTensors``; returns the answers by rank."""


@dataclass(frozen=True, eq=False)
class Volume:
    """The tensors of one group of runs, of one layer and kind, at one step, wherever they are.

    Attributes
    ----------
    name : str
        ``g000/conv1.weight``.
    step : int
        Recorded step; -1 when it is not known.
    shape : tuple of int
        Of one run's tensor before it was tiled; () when it is not known.
    size : tuple of int
        (y, x) of a slice.
    lacks : str
        What it needs and does not have.
    run_index : numpy.ndarray
        (n_slices,) int64 run of each slice.
    starts : numpy.ndarray
        (n_processes + 1,) int64 first slice of each process, and the number of all.
    ask : callable
    array : vtkDataArray or None
        The cell array when all slices are in this process: the key for ``cached``.
    stack : numpy.ndarray or None
        (n_slices, y, x) then: a view of ``array``, never write to it.
    """

    name: str
    step: int
    shape: tuple
    size: tuple
    lacks: str
    run_index: np.ndarray
    starts: np.ndarray
    ask: Ask
    array: vtkDataArray | None = None
    stack: np.ndarray | None = None

    @property
    def n_slices(self) -> int:
        return int(self.starts[-1])

    def slices(self, rows: np.ndarray) -> np.ndarray:
        """Return slices (n, y, x), a view where they are here and one or all."""
        rows = np.asarray(rows)
        if self.stack is None:
            return self._of_all("slices", {}, rows)[0]
        if len(rows) == 1:
            return self.stack[rows[0] : rows[0] + 1]
        return self.stack if np.array_equal(rows, np.arange(len(self.stack))) else self.stack[rows]

    def per_run(
        self, function: Callable, *options: object, rows: np.ndarray, keep: bool = False
    ) -> Sequence[np.ndarray]:
        """Return what a function registered by ``per_run`` gives of some slices.

        Parameters
        ----------
        function : callable
        *options
            Its options.
        rows : (n,) int
        keep : bool
            Compute it of all slices, and only once: another filter, or another choice, may ask.

        Returns
        -------
        sequence of numpy.ndarray
            (n, …) each.
        """
        asked = {"function": function.__name__, "options": options, "keep": keep}
        found = self._of_all("per_run", asked, np.asarray(rows))
        return found or function(np.empty((0, *self.size), np.float32), *options)

    def _of_all(self, what: str, options: dict, rows: np.ndarray) -> Sequence[np.ndarray]:
        """Ask every process for its part of some slices, and put the answers in their order."""
        is_all = np.array_equal(rows, np.arange(self.n_slices)) and what == "per_run"
        parts = [] if is_all else [rows]
        asked = {"volume": self.name, "starts": self.starts.tolist(), **options}
        return in_order(self.ask(what, asked, parts), rows, self.starts)


class Gathered:
    """What is gathered of some runs over the steps in the processes that hold them.

    Parameters
    ----------
    ask : callable
    key : int
        Of this alone, in one algorithm.
    state : type
        Registered by ``of_runs``.
    options : sequence
        It is made with these.
    """

    def __init__(self, ask: Ask, key: int, state: type, options: Sequence) -> None:
        self._ask = ask
        self._made = {"key": key, "state": state.__name__, "options": options}
        self._rows = self._starts = np.zeros(1, np.int64)

    def add(self, volume: Volume, rows: np.ndarray, *options: object) -> None:
        """Add slices of a volume with options; where they are must stay the same."""
        self._rows, self._starts = rows, volume.starts
        asked = {"volume": volume.name, "starts": self._starts.tolist(), "adding": options}
        self._ask("gather", {**asked, **self._made}, [rows])

    def results(self, numbers: np.ndarray, *options: object) -> Sequence[np.ndarray]:
        """Return what the state gives for options and numbers (n,), one for each run."""
        asked = {"key": self._made["key"], "starts": self._starts.tolist(), "asking": options}
        answers = self._ask("results", asked, [self._rows, numbers])
        return in_order(answers, self._rows, self._starts)

    def forget(self) -> None:
        """Drop it."""
        self._ask("forget", {"keys": [self._made["key"]]}, [])


def in_order(answers: list[Message], rows: np.ndarray, starts: np.ndarray) -> Sequence[np.ndarray]:
    """Join what processes answered for the slices that they hold, as the rows stand.

    Parameters
    ----------
    answers : list of Message
        By rank; of processes that hold some the arrays (n, …), one value for each of their rows.
    rows : (n,) int
    starts : (n_processes + 1,) int
        First slice of each process.
    """
    there = [answer.arrays for answer in answers if answer.head.get("n")]
    if len(there) < 2:
        return there[0] if there else ()
    joined = [np.concatenate(parts) for parts in zip(*there)]
    owner = np.searchsorted(starts, rows, side="right")
    if (np.diff(owner) >= 0).all():
        return joined
    place = np.argsort(np.argsort(owner, kind="stable"))
    return [array[place] for array in joined]


def volumes(answers: list[Message], local: LocalTensors, ask: Ask) -> dict[str, Volume]:
    """Return the volumes that processes described, by name."""
    found: dict[str, list] = {}
    for rank, answer in enumerate(answers):
        for about, runs in zip(answer.head["volumes"], answer.arrays):
            found.setdefault(about["name"], [None] * len(answers))[rank] = (about, runs)
    return {name: _volume(parts, local, ask) for name, parts in found.items()}


def _volume(parts: list, local: LocalTensors, ask: Ask) -> Volume:
    there = [part for part in parts if part is not None]
    about = there[0][0]
    name = about["name"]
    lengths = [0 if part is None else part[0]["n"] for part in parts]
    array = stack = None
    if len(parts) == 1 and not about["lacks"]:
        kind = kind_of(name)[2]
        array = local.images[name].GetCellData().GetArray(kind)
        stack = stack_from_image(local.images[name], kind)
    return Volume(
        name,
        about["step"][0] if about["step"] else -1,
        tuple(about["shape"]),
        tuple(about["size"]),
        about["lacks"],
        np.concatenate([part[1] for part in there]),
        np.concatenate([[0], np.cumsum(lengths)]),
        ask,
        array,
        stack,
    )
