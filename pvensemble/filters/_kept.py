"""Outputs of a filter at steps that were shown before, given again when time comes back to them.

People move the time slider to and fro, and play a training again and again.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from vtkmodules.vtkCommonDataModel import vtkDataObject

MAX_BYTES = 64 << 20
"""Of one filter's outputs at all steps but the last; arrays that steps share count at each."""


class KeptOutputs:
    """Outputs by step, as long as nothing but the time has changed.

    The outputs share their arrays with what is kept.
    """

    def __init__(self) -> None:
        self._state: Hashable = None
        self._steps: dict[float | None, list[vtkDataObject]] = {}

    def find(self, state: Hashable, step: float | None) -> list[vtkDataObject] | None:
        """Return the outputs of a step, one a port; None where they have to be made.

        Parameters
        ----------
        state : hashable
            What the outputs depend on besides the step.
        step : float, optional
            None where no time is asked for.
        """
        if state != self._state:
            self.forget()
            return None
        found = self._steps.pop(step, None)
        if found is not None:
            self._steps[step] = found  # those shown last are dropped last
        return found

    def keep(
        self, state: Hashable, step: float | None, outputs: Sequence[vtkDataObject], max_bytes: int
    ) -> None:
        """Keep the outputs of a step, and of those before what has room."""
        if state != self._state:
            self.forget()
        self._state = state
        self._steps[step] = [_shared(output) for output in outputs]
        sizes = {key: sum(map(_bytes, kept)) for key, kept in self._steps.items()}
        for key in list(sizes)[:-1]:
            if sum(sizes.values()) <= max_bytes:
                break
            del self._steps[key], sizes[key]

    def forget(self) -> None:
        """Keep nothing."""
        self._state = None
        self._steps.clear()


def _shared(output: vtkDataObject) -> vtkDataObject:
    """Return a data set with the same arrays."""
    result = output.NewInstance()
    result.ShallowCopy(output)
    return result


def _bytes(data: vtkDataObject) -> int:
    """Return what a data set takes; VTK counts in KiB."""
    return 1024 * data.GetActualMemorySize()
