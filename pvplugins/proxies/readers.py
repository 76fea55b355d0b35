"""Proxies of the readers."""

from pvensemble.filters import reader

from .properties import (
    array_selection,
    button,
    checkbox,
    file_name,
    information,
    reader_proxy,
    time_steps,
)

PROXIES = ("EnsembleReader",)


@reader_proxy(
    """Read an ensemble of training runs (.pvens) at a step. Time is the optimizer step. The first
    output, Runs, has one cell a run with hyper-parameters, seed, state and the metrics' values at
    the last evaluated step up to the time as cell data, and the curves of all metrics as field
    data. The second output, Tensors, has one volume (x, y: matrix, z: run) for each checked layer
    and kind.""",
    file_name("pvens", "Ensemble of training runs", "The .pvens file of the ensemble."),
    time_steps(),
    array_selection(
        "Sessions",
        """Sessions whose runs are read. Leaving some out renumbers the cells; the array run_index
        keeps each run's number.""",
    ),
    array_selection("Groups", "Groups of runs of equal shape that are read, as for Sessions."),
    array_selection(
        "Layers",
        "Layers whose tensors are read for the second output. None by default: they may be large.",
    ),
    array_selection("Kinds", "Kinds of tensors that are read of the checked layers."),
    information("PackageVersion", "GetPackageVersion", "Version of pvensemble that reads."),
    information("Problem", "GetProblem", "Why the file cannot be read; nothing if it can."),
    information(
        "TensorNames", "GetTensorNames", "What is recorded of which layer, like conv1.weight."
    ),
    checkbox(
        "LiveUpdate",
        True,
        "Look every second for steps that a running training has recorded, and show them.",
    ),
    button("Refresh", "Read what was recorded since the file was opened."),
    extension="pvens",
    description="Ensemble of training runs",
    ports=("Runs", "Tensors"),
    hints='<ReloadFiles property="Refresh"/>',
)
class EnsembleReader(reader.EnsembleReader):
    """Reader of .pvens files."""
