"""What was computed from an array of the input, as long as that array lives.

Several filters on the same tensors share it, and another threshold computes nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from vtkmodules.vtkCommonCore import vtkDataArray

_kept: dict[str, tuple[int, dict]] = {}
"""For each array's address: its MTime, and the results by key."""


def cached(array: vtkDataArray, key: Hashable, compute: Callable[[], object]) -> object:
    """Return ``compute()``, or what it returned before for this array and key.

    Parameters
    ----------
    array : vtkDataArray
        Results are kept until it is modified or deleted.
    key : hashable
        Names the computation and all its options: ``("run_vectors", 0.7, "average")``.
    compute : callable
        Its result must not share the array's memory, which would keep the array alive.
    """
    address = array.__this__
    mtime, results = _kept.get(address, (None, {}))
    if mtime is None:
        array.AddObserver("DeleteEvent", lambda *_event: _kept.pop(address, None))
    if mtime != array.GetMTime():
        results = {}
        _kept[address] = (array.GetMTime(), results)
    if key not in results:
        results[key] = compute()
    return results[key]
