"""What pipelines see: the data sets of Ensemble Reader at a step, as Catalyst channels.

``runs`` is its first output, ``tensors`` its second with every layer and kind. Correlation and Gram
matrices, and whatever else needs no tiling, are the trainer's own memory.
"""

from __future__ import annotations

from vtkmodules.vtkCommonDataModel import vtkDataObject

from pvensemble.errors import PipelineError
from pvensemble.filters.reader import EnsembleReader
from pvensemble.insitu.catalyst.legacy import say_sizes
from pvensemble.insitu.feed import Feed
from pvensemble.vtkdata.parallel import processes

RUNS, TENSORS = "runs", "tensors"
CHANNELS = (RUNS, TENSORS)


class Channels:
    """The newest state of an ensemble as data sets.

    Parameters
    ----------
    feed
        What :func:`pvensemble.filters._sources.use_source` was given.
    """

    def __init__(self, feed: Feed) -> None:
        self._reader = EnsembleReader()
        self._reader.SetFileName(str(feed.path))

    def at(self, step: int) -> dict[str, vtkDataObject]:
        """Return the data set of each channel at a step.

        The first rank has all runs, each the tensors of the groups that it trains.

        Raises
        ------
        PipelineError
            They cannot be made.
        """
        self._reader.Refresh()
        self._reader.UpdateInformation()
        self._reader.GetLayers().EnableAllArrays()
        ranks = processes()
        piece = (0, 1) if ranks is None else (ranks.rank, ranks.size)
        self._reader.Modified()
        self._reader.UpdateTimeStep(float(step), *piece)
        if self._reader.error is not None:
            raise PipelineError(str(self._reader.error)) from self._reader.error
        shown = {}
        for port, name in enumerate(CHANNELS):
            output = self._reader.GetOutputDataObject(port)
            shown[name] = output.NewInstance()
            shown[name].ShallowCopy(output)
        say_sizes(shown[TENSORS])
        return shown
