"""No filter changes its input: all are found by looking, none may be left out."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from ensembles import make_ensemble
from surface_samples import make_surface
from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkMultiBlockDataSet

import pvensemble.filters
from pvensemble.filters._base import EnsembleAlgorithm, run
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters.measures import PerformanceMeasures
from pvensemble.filters.reader import EnsembleReader
from pvensemble.store.surfaces import write_surface
from pvensemble.vtkdata.arrays import string_list, to_numpy


def filter_classes():
    """All algorithms of the package that have an input; modules with ``_`` hold their bases."""
    found = {}
    names = [info.name for info in pkgutil.iter_modules(pvensemble.filters.__path__)]
    for name in names:
        if name.startswith("_"):
            continue
        module = importlib.import_module(f"pvensemble.filters.{name}")
        for class_name, value in vars(module).items():
            if (
                inspect.isclass(value)
                and issubclass(value, EnsembleAlgorithm)
                and value.__module__ == module.__name__
                and "RequestData" in vars(value)  # not a base of filters
                and value().GetNumberOfInputPorts() > 0
            ):
                found[class_name] = value
    return found


FILTERS = filter_classes()
FIND_FILES = ("LossSurface", "TrainingControl")
"""These find the ensemble's files through the reader."""
ran = []


def fingerprint(data):
    """Everything that a consumer of a data set can see."""
    if isinstance(data, vtkMultiBlockDataSet):
        return [fingerprint(data.GetBlock(i)) for i in range(data.GetNumberOfBlocks())]
    parts = [data.GetNumberOfPoints(), data.GetNumberOfCells(), data.GetBounds()]
    is_image = isinstance(data, vtkImageData)
    if not is_image and data.GetPoints():
        parts.append(to_numpy(data.GetPoints().GetData()).tobytes())
    for cells in () if is_image else (data.GetVerts(), data.GetLines(), data.GetPolys()):
        parts.append(to_numpy(cells.GetConnectivityArray()).tobytes())
        parts.append(to_numpy(cells.GetOffsetsArray()).tobytes())
    for attributes in (data.GetPointData(), data.GetCellData(), data.GetFieldData()):
        for i in range(attributes.GetNumberOfArrays()):
            array = attributes.GetAbstractArray(i)
            content = (
                tuple(string_list(array))
                if isinstance(array, vtkStringArray)
                else to_numpy(array).tobytes()
            )
            parts.append((array.GetName(), array.GetClassName(), content))
    scalars = data.GetCellData().GetScalars()
    parts.append(scalars.GetName() if scalars else None)
    return parts


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    path = tmp_path_factory.mktemp("untouched") / "grid.pvens"
    kinds = ("weight", "gradient", "correlation", "activation", "gram")
    options = {"categorical": True, "diverged": (2,), "kinds": kinds, "norms": True}
    make_ensemble(path, n_lr=3, n_momentum=3, **options)
    write_surface(path, make_surface(path), 1.0)
    reader = EnsembleReader()
    reader.SetFileName(str(path))
    reader.UpdateInformation()
    for layer in ("conv1", "conv2"):
        reader.GetLayers().EnableArray(layer)
    return reader


@pytest.fixture(scope="module")
def measures(reader):
    measures = PerformanceMeasures()
    measures.SetInputConnection(reader.GetOutputPort(0))
    return measures


@pytest.fixture(scope="module")
def runs(measures):
    return run(measures)


@pytest.fixture(scope="module")
def tensors(reader):
    return run(reader, port=1)


@pytest.mark.parametrize("name", FILTERS)
def test_input_is_untouched(name, measures, runs, tensors):
    before = fingerprint(runs), fingerprint(tensors)
    algorithm = FILTERS[name]()
    algorithm.SetInputDataObject(runs)
    if isinstance(algorithm, TensorFilter):
        algorithm.SetInputDataObject(1, tensors)
    if name in FIND_FILES:
        algorithm.SetInputConnection(measures.GetOutputPort())
    if hasattr(algorithm, "SetGroups"):
        algorithm.SetGroups("good : top 3 P1")
    run(algorithm)
    ran.append(name)
    assert (fingerprint(runs), fingerprint(tensors)) == before, f"{name} modified its input"


def test_all_filters_ran():
    assert {"PerformanceMeasures", "RunGroups"} <= set(ran)
    assert set(ran) == set(FILTERS)


def test_a_change_would_be_noticed(runs):
    """Negative control: each kind of change shows in the fingerprint."""
    before = fingerprint(runs)
    column = to_numpy(runs.GetCellData().GetArray("P1"))
    value = column[0]
    column[0] = -1
    assert fingerprint(runs) != before
    column[0] = value
    assert fingerprint(runs) == before
    runs.GetCellData().SetActiveScalars("P1")
    assert fingerprint(runs) != before
    runs.GetCellData().SetActiveScalars(None)
    assert fingerprint(runs) == before
    texts = runs.GetFieldData().GetAbstractArray("measures")
    texts.InsertNextValue("more")
    assert fingerprint(runs) != before
    texts.SetNumberOfValues(texts.GetNumberOfValues() - 1)
    assert fingerprint(runs) == before
    assert np.isfinite(value)
