"""The tensors of other steps than the present one, asked for within a filter's ``RequestData``.

VTK's own way, ``CONTINUE_EXECUTING``, never ends when what comes before fails once (an unreadable
file would freeze ParaView). Here the input is updated directly, step after step, and in the end,
whatever happens, for the present time again, so that no other filter sees another step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pvensemble.filters._base import upstream
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._tensors import Tensors
from pvensemble.vtkdata.time import published_time_steps


class RecordedSteps:
    """Where the tensors of a filter come from, over all steps.

    Parameters
    ----------
    algorithm : TensorFilter
        The filter; its tensors are there (``tensors_input`` succeeded).
    """

    def __init__(self, algorithm: TensorFilter) -> None:
        self._algorithm = algorithm
        self._source, self._port = algorithm.source()
        self._executive = self._source.GetExecutive()
        self._info = self._executive.GetOutputInformation(self._port)

    @property
    def steps(self) -> list[float]:
        """Recorded steps, ascending."""
        return published_time_steps(self._info)

    @property
    def version(self) -> int:
        """Grows when anything before the filter changes; time does not count."""
        return self._executive.GetPipelineMTime()

    @property
    def ensemble(self) -> tuple[str, ...]:
        """Files that the tensors come from."""
        names = (getattr(a, "GetFileName", str)() for a in upstream(self._source))
        return tuple(str(name) for name in names if name)

    @contextmanager
    def visit(self, now: float | None) -> Iterator[Callable[[float], Tensors]]:
        """Read other steps: gives a function that returns the tensors at a step.

        What it returns is valid until the next call.

        Parameters
        ----------
        now : float, optional
            Time of the update that goes on; None for the last step.

        Raises
        ------
        PipelineError
            From the function, when the tensors of a step cannot be read.
        """
        moved = []

        def read(step: float) -> Tensors:
            moved.append(step)
            return self._visit(step)

        try:
            yield read
        finally:
            if moved:
                self._visit(self.steps[-1] if now is None else now, then_forget=now is None)

    def _visit(self, step: float, *, then_forget: bool = False) -> Tensors:
        """Go to a step in every process."""
        options = {"step": float(step), "then_forget": then_forget}
        return self._algorithm.volumes_of(self._algorithm.everywhere("visit", options))
