"""One update of one algorithm in several processes: the first one leads, the others do their part.

The first process runs ``RequestData`` as if it were alone. Where it needs what others hold, it
calls for a *part*, a method ``part_<name>`` of the algorithm that every process runs on its own
data, and gets all answers. The others do nothing but wait for such calls until the leader ends the
update. So nobody has to take care that processes call each other in the same order, and an error
anywhere ends the update everywhere (docs/decisions/017-several-ranks.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from vtkmodules.vtkCommonCore import vtkInformation
from vtkmodules.vtkCommonExecutionModel import vtkDemandDrivenPipeline
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline as _Pipeline

from pvensemble.errors import PipelineError
from pvensemble.vtkdata.parallel import FIRST, Message, Processes, processes

PIECE_KEYS = (_Pipeline.UPDATE_PIECE_NUMBER(), _Pipeline.UPDATE_NUMBER_OF_PIECES())
_END = ""


class Team:
    """The processes that update an algorithm.

    Parameters
    ----------
    of : str
        Name of the algorithm.
    """

    def __init__(self, of: str, among: Processes) -> None:
        self._of = of
        self._processes = among
        self.rank, self.size = among.rank, among.size

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.rank == FIRST

    # -- the first process -----------------------------------------------------------------------
    def call(
        self, part: str, options: dict, arrays: Sequence[np.ndarray], own: Callable[[], Message]
    ) -> list[Message]:
        """Let all others do a part and do one's own; return the answers by rank.

        Raises
        ------
        PipelineError
            When another process failed. What ``own`` raises, it raises.
        """
        self._processes.broadcast(
            Message({"of": self._of, "part": part, "options": options}, arrays)
        )
        answers: list[Message] = []
        try:
            answers.append(own())
        finally:  # the others answer in any case
            answers += [self._processes.receive(rank) for rank in range(1, self.size)]
        for rank, answer in enumerate(answers[1:], 1):
            if "error" in answer.head:
                raise PipelineError(f"on rank {rank} of {self.size}: {answer.head['error']}")
        return answers

    def end(self, error: str = "") -> None:
        """Let the others go, with what the update failed of."""
        self._processes.broadcast(Message({"of": self._of, "part": _END, "error": error}))

    # -- the others ------------------------------------------------------------------------------
    def follow(self, do: Callable[[str, dict, Sequence], tuple[Message | None, str]]) -> None:
        """Do what the first process calls for, until it ends the update.

        Parameters
        ----------
        do : callable
            Gets name, options and arrays of a part; returns the answer, or None and an error text.

        Raises
        ------
        PipelineError
            When the update failed, of whatever process.
        """
        while True:
            head, arrays = self._processes.broadcast()
            apart = ""
            if head["of"] != self._of:
                apart = f"this process updates {self._of}, the first one {head['of']}"
            if head["part"] == _END:
                if head["error"] or apart:
                    raise PipelineError(head["error"] or apart)
                return
            answer, error = (None, apart) if apart else do(head["part"], head["options"], arrays)
            self._processes.send(answer or Message({"error": error}))


def team_of(of: str, request: vtkInformation, outInfo: vtkInformation) -> Team | None:
    """Return who works on an update: None when each process asks for all of the data, or is alone.

    An update is one of all processes when each asks for the piece of its number.
    """
    among = processes()
    if among is None or pieces(request, outInfo) != (among.rank, among.size):
        return None
    return Team(of, among)


def pieces(request: vtkInformation, outInfo: vtkInformation) -> tuple[int, int]:
    """Return the number of the piece that is asked for, and of how many."""
    port = max(vtkDemandDrivenPipeline.FROM_OUTPUT_PORT().Get(request), 0)
    info = outInfo.GetInformationObject(port)
    number, count = (key.Get(info) if key.Has(info) else None for key in PIECE_KEYS)
    return number or 0, count or 1
