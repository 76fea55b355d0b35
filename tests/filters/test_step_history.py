"""What is kept of recorded steps: read once, again only where a group recorded a step late."""

from __future__ import annotations

import numpy as np
from topology_samples import make_topology, plot_of, reader_of

from pvensemble.filters._base import run
from pvensemble.filters._step_history import MAX_KEYS, StepHistory
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.vtkdata.time import requested_time


class Kept(TensorFilter):
    """Keeps the steps of the blocks at every step."""

    key = "a"

    def __init__(self) -> None:
        super().__init__()
        self.history = StepHistory()

    def RequestData(self, request, inInfo, outInfo) -> int:
        run_index = self.runs_input(inInfo).run_index.copy()
        self.tensors_input(request, inInfo, outInfo)
        self.kept = self.history.update(
            self,
            self.key,
            requested_time(request, outInfo),
            lambda tensors: tensors.blocks("conv2", self.kind, run_index),
            lambda blocks: [(block.step, float(np.sum(block.stack))) for block in blocks],
        )
        return 1


def test_a_step_is_read_again_only_where_a_group_was_late(tmp_path):
    made = make_topology(tmp_path / "live.pvens", widths=(5, 4), steps=(0, 10), finish=False)
    reader = reader_of(made, "conv2")
    plot = plot_of(Kept(), reader)
    run(plot, time=0)
    assert {step: [s for s, _ in found] for step, found in plot.kept.items()} == {
        0: [0, 0], 10: [10, 10],
    }  # fmt: skip
    reader.reads()
    run(plot, time=0)
    assert reader.reads() == []
    made.commit(0, 20)  # the other group is late
    reader.Refresh()
    run(plot, time=0)
    assert [s for s, _ in plot.kept[20]] == [20, 10]
    assert set(reader.reads()) == {0, 20}
    made.commit(1, 20)
    reader.Refresh()
    run(plot, time=0)
    assert [s for s, _ in plot.kept[20]] == [20, 20]
    assert set(reader.reads()) == {0, 20}
    expected = made.correlations(20, made.members(1)).sum()
    np.testing.assert_allclose(plot.kept[20][1][1], expected, rtol=1e-5)
    made.close()


def test_a_few_keys_and_one_ensemble_are_kept(tmp_path):
    reader = reader_of(make_topology(tmp_path / "one.pvens"), "conv2")
    plot = plot_of(Kept(), reader)
    for key in [*range(MAX_KEYS + 1), MAX_KEYS, 1]:
        plot.key = key
        run(plot, time=0)
        assert list(plot.kept) == [0, 10, 20]
    reader.reads()
    plot.key = 0  # the first one was dropped
    run(plot, time=0)
    assert set(reader.reads()) == {0, 10, 20}
    other = make_topology(tmp_path / "other.pvens", steps=(0, 30))
    reader.SetFileName(str(other.path))
    run(plot, time=0)
    assert list(plot.kept) == [0, 30]
    assert plot.kept[30][0][0] == 30
