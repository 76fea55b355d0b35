"""What was shown at a step is given again when time comes back, and only while it is still true."""

from __future__ import annotations

import numpy as np
import pytest
from plot_samples import fingerprint
from topology_samples import make_topology, plot_of, reader_of
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

from pvensemble.filters._base import EnsembleAlgorithm
from pvensemble.filters._kept import KeptOutputs
from pvensemble.filters.filter_correlation import FilterCorrelation
from pvensemble.filters.filter_correlation_graph import FilterCorrelationGraph
from pvensemble.filters.measures import PerformanceMeasures
from pvensemble.filters.run_groups import RunGroups
from pvensemble.filters.run_similarity import RunSimilarity
from pvensemble.filters.similarity_plot import EnsembleSimilarityPlot
from pvensemble.vtkdata.arrays import add_field, to_vtk
from pvensemble.vtkdata.time import data_time

STEPS = (0, 10, 20)
PLOTS = (FilterCorrelation, FilterCorrelationGraph, RunSimilarity, EnsembleSimilarityPlot)


class Counted(EnsembleAlgorithm):
    """Passes runs on, with the number of times that it did."""

    def __init__(self):
        super().__init__()
        self.executed = 0
        self.aborts = False

    def RequestData(self, _request, inInfo, outInfo):
        self.executed += 1
        output = self.output(outInfo)
        output.ShallowCopy(self.runs_input(inInfo).polydata)
        add_field(output.GetFieldData(), "executed", np.array([self.executed]))
        self.SetAbortExecute(int(self.aborts))
        return 1


class Careless(Counted):
    keeps_steps = False


def bring(algorithm, step):
    """Update as ParaView does when time moves: nothing is modified."""
    executive = algorithm.GetExecutive()
    for port in range(algorithm.GetNumberOfOutputPorts()):
        executive.UpdateInformation()
        key = vtkStreamingDemandDrivenPipeline.UPDATE_TIME_STEP()
        executive.GetOutputInformation(port).Set(key, float(step))
        assert executive.Update(port)
    return [
        algorithm.GetOutputDataObject(port) for port in range(algorithm.GetNumberOfOutputPorts())
    ]


def after(algorithm, source):
    algorithm.SetInputConnection(source.GetOutputPort())
    return algorithm


def polydata(n_values=1, value=0.0):
    data = vtkPolyData()
    data.GetFieldData().AddArray(to_vtk(np.full(n_values, value), "values"))
    return data


@pytest.fixture
def made(tmp_path):
    return make_topology(tmp_path / "grid.pvens", steps=STEPS)


@pytest.mark.parametrize("plot", PLOTS)
def test_steps_shown_again_are_what_they_were_and_what_they_would_be(made, plot):
    def pipeline():
        reader = reader_of(made)
        runs = after(RunGroups(), after(PerformanceMeasures(), reader))
        shown = plot_of(plot(), reader)
        shown.SetInputConnection(0, runs.GetOutputPort())
        return shown

    shown, before = pipeline(), {}
    for step in (*STEPS, 10, 20, 0, 10):
        found = [(data_time(output), fingerprint(output)) for output in bring(shown, step)]
        assert found == before.setdefault(step, found)
        fresh = bring(pipeline(), step)
        assert found == [(data_time(output), fingerprint(output)) for output in fresh]
    assert len({str(found) for found in before.values()}) == len(STEPS)


def test_nothing_is_computed_when_time_comes_back(made):
    first = after(Counted(), reader_of(made))
    second = after(Counted(), first)
    for step in (0, 10, 20, 10, 0, 10, 20):
        bring(second, step)
    assert (first.executed, second.executed) == (3, 3)


def test_a_change_upstream_or_of_the_filter_forgets_what_was_shown(made):
    groups = after(RunGroups(), reader_of(made))
    last = after(Counted(), groups)
    for step in (0, 10):
        bring(last, step)
    groups.SetGroups("all = #ff0000 : learning_rate > 0")
    for step in (0, 10, 0):
        (output,) = bring(last, step)
        assert output.GetFieldData().GetAbstractArray("group_names").GetValue(0) == "all"
    assert last.executed == 4
    last.Modified()
    bring(last, 10)
    assert last.executed == 5


def test_a_training_that_goes_on_forgets_what_was_shown(tmp_path):
    made = make_topology(tmp_path / "grid.pvens", steps=STEPS[:2], finish=False)
    reader = reader_of(made)
    graph = plot_of(FilterCorrelationGraph(), reader)
    before = {step: bring(graph, step)[0].GetNumberOfPoints() for step in STEPS[:2]}
    made.commit(0, STEPS[2])
    reader.Refresh()
    for step in STEPS[:2]:
        assert bring(graph, step)[0].GetNumberOfPoints() > before[step]
    made.close()


def test_an_update_that_was_stopped_is_made_again(made):
    counted = after(Counted(), reader_of(made))
    counted.aborts = True
    bring(counted, 0)
    counted.aborts = False
    bring(counted, 10)
    bring(counted, 0)
    assert counted.executed == 3


def test_who_depends_on_more_than_time_and_input_computes_again(made):
    careless = after(Careless(), reader_of(made))
    for step in (0, 10, 0):
        bring(careless, step)
    assert careless.executed == 3


def test_arrays_are_shared_and_those_shown_longest_ago_are_dropped():
    kept, size = KeptOutputs(), 100_000
    for step in range(4):
        assert kept.find("state", step) is None
        kept.keep("state", step, [polydata(size, step)], max_bytes=int(2.5 * 8 * size))
        if step > 0:
            assert kept.find("state", 0) is not None or step == 3
    held = [step for step in range(4) if kept.find("state", step) is not None]
    assert held == [0, 3]


def test_the_last_step_is_kept_however_large():
    kept = KeptOutputs()
    given = polydata(1000)
    for step in range(2):
        kept.keep("state", step, [given], max_bytes=0)
    assert kept.find("state", 0) is None
    (output,) = kept.find("state", 1)
    assert output is not given
    assert output.GetFieldData().GetArray(0) is given.GetFieldData().GetArray(0)


def test_another_state_has_no_steps():
    kept = KeptOutputs()
    kept.keep("one", 5, [polydata()], max_bytes=1 << 20)
    assert kept.find("other", 5) is None
    assert kept.find("one", 5) is None
    assert kept.find(None, 5) is None
