"""Where Ensemble Reader gets an ensemble from: files, unless the process has another source.

In situ, where training goes on in the same process, the tensors are in memory. Whoever holds them
calls ``use_source``; all readers of the process then ask it first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pvensemble.store import Ensemble

Source = Callable[[Path], "Ensemble | None"]
"""Returns an object that can be asked like `Ensemble` for the file of a name, None if it has none.

Its attribute ``distributed`` says whether each process holds the tensors of some runs only. Then
``Group.tensor`` returns the slices of the runs ``Group.run_indices`` that this process holds, and
``run_table``, ``curve`` and ``recorded_steps`` tell of all runs, on the first process at least.
"""

_sources: list[Source] = []


def use_source(source: Source) -> Callable[[], None]:
    """Let readers ask a source before they look at files; return a function that takes it back."""
    _sources.append(source)
    return lambda: _sources.remove(source)


def open_ensemble(path: Path) -> Ensemble:
    """Return what a source has for the file, else the ensemble that the file holds."""
    for source in reversed(_sources):
        found = source(path)
        if found is not None:
            return found
    return Ensemble.open(path)
