"""Weights or gradients of a layer, of one run or of several: what the plots of weights share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pvensemble import schema
from pvensemble.errors import MissingArrayError, NotRecordedError, OptionError
from pvensemble.filters._local_tensors import per_run
from pvensemble.filters._options import Labels, at_step, check_choice, one_of
from pvensemble.filters._step_history import StepHistory
from pvensemble.filters._tensor_filter import TensorFilter
from pvensemble.filters._tensors import Block
from pvensemble.filters.plot_matrix_panels import run_title
from pvensemble.filters.plot_tiles import TileGrid, tile_grid
from pvensemble.numerics.runs import parse_runs
from pvensemble.numerics.weight_statistics import common_limits, extents
from pvensemble.vtkdata.runs import RunsData

KINDS = (schema.WEIGHT, schema.GRADIENT)
MAX_PANELS = 16


@dataclass(frozen=True)
class WeightPanel:
    """The weights of one run, or the difference of two.

    Attributes
    ----------
    cell : int
        Of the run in the input.
    run_index : int
    title : list of str
        Parts of a list.
    block : Block or None
        None when there are no tensors of the run.
    values : numpy.ndarray
        (n_filters, n_inputs, h, w) in the layer's order.
    grid : TileGrid
    shown : numpy.ndarray
        (n,) int64 filter at each position.
    """

    cell: int
    run_index: int
    title: list[str]
    block: Block | None
    values: np.ndarray
    grid: TileGrid
    shown: np.ndarray

    @property
    def n_broken(self) -> int:
        """Number of weights that are not finite."""
        return int(self.values.size - np.isfinite(self.values).sum())


def weights_of(block: Block, row: int) -> np.ndarray:
    """Return one run's weights (n_filters, n_inputs, h, w); a copy or a view.

    Kernels of one axis have h = 1, of three and more the first ones count as h; units of fully
    connected layers have kernels of 1 x 1.

    Raises
    ------
    MissingArrayError
        When the block does not say the shape of its tensors.
    """
    if not block.shape:
        raise MissingArrayError(
            f"block {block.group}/{block.layer}.{block.kind} does not say its shape (field array "
            f"'shape'); use the second output of Ensemble Reader"
        )
    n_filters = block.shape[0]
    n_inputs, w = (*block.shape[1:2], 1)[0], (*block.shape[2:][-1:], 1)[0]
    if len(block.shape) == 1:  # a vector is a row
        return block.slice(row).reshape(n_filters, 1, 1, 1)
    return block.slice(row).reshape(n_filters, -1, n_inputs, w).swapaxes(1, 2)


class WeightFilter(Labels, TensorFilter):
    """Base of filters that show the weights of some runs."""

    kind = schema.WEIGHT

    def __init__(self, *, n_outputs: int, output_type: str | tuple = "vtkPolyData") -> None:
        super().__init__(n_outputs=n_outputs, output_type=output_type)
        self._runs = ""
        self._history = StepHistory()

    def SetKind(self, kind: int | str) -> None:
        """``weight`` or ``gradient``, or its position in ``KINDS``."""
        kind = one_of(KINDS, kind)
        if kind != self.kind:
            self.kind = kind
            self.Modified()

    def SetRuns(self, text: str) -> None:
        """Runs that are shown, ``0-4,9``; empty for the first one that has tensors."""
        self._set("runs", text or "")

    def _check(self) -> None:
        """Refuse options that cannot be used."""
        self.check_label_size()
        check_choice("Kind", self.kind, KINDS)

    def chosen(self, runs: RunsData, blocks: list[Block]) -> list[tuple[int, Block | None, int]]:
        """Return cell, block and slice of each chosen run; no block where it has no tensors.

        Raises
        ------
        NotRecordedError
            When no run of the input has tensors.
        """
        where = {int(c): (b, int(r)) for b in blocks for c, r in zip(b.cells, b.rows)}
        if not where:
            raise NotRecordedError(f"there are no {self.kind}s of these runs in the tensors")
        cells = parse_runs(self._runs, runs.n_runs).tolist() or sorted(where)[:1]
        return [(cell, *where.get(cell, (None, 0))) for cell in cells]

    def panels(self, runs: RunsData, blocks: list[Block]) -> tuple[list[WeightPanel], int]:
        """Return the panels to draw, and how many chosen runs are left out."""
        chosen = self.chosen(runs, blocks)
        is_short = len(chosen) > 1
        panels = []
        for cell, block, row in chosen[:MAX_PANELS]:
            title = run_title(runs, cell, is_short=is_short)
            panels.append(panel_of(runs, cell, title, block, row))
        return panels, len(chosen) - len(panels)

    def all_extents(self, request, inInfo, outInfo, now, runs: RunsData) -> np.ndarray:
        """Return the extents of all runs at all recorded steps, (n_steps, n_runs, 2).

        What was got from the inputs before is of no use after it.
        """
        run_index, layer, kind = runs.run_index.copy(), self._layer, self.kind

        def find(tensors):
            return tensors.blocks(layer, kind, run_index)

        def reduce(blocks):
            result = np.full((len(run_index), 2), np.nan)
            for block in blocks:
                (result[block.cells],) = block.per_run(extents_of_runs)
            return result

        present = reduce(find(self.tensors_input(request, inInfo, outInfo)))
        key = "extents", layer, kind, run_index.tobytes()
        steps = self._history.update(self, key, now, find, reduce)
        return np.stack([present, *steps.values()])


def panel_of(
    runs: RunsData, cell: int, title: list[str], block: Block | None, row: int
) -> WeightPanel:
    """Return the panel of one run, empty when it has no tensors."""
    run_index = int(runs.run_index[cell])
    values = np.empty((0, 1, 1, 1), np.float32) if block is None else weights_of(block, row)
    return WeightPanel(
        cell, run_index, title, block, values, tile_grid(*values.shape), np.arange(len(values))
    )


def difference(runs: RunsData, chosen: list, text: str) -> WeightPanel:
    """Return the weights of the first chosen run minus those of the second; ``text`` chose them.

    Raises
    ------
    OptionError
        When there are not two runs, or their layers have not the same shape.
    """
    if len(chosen) < 2:
        raise OptionError(f"Difference needs two runs under Runs, like '3,7'; got {text!r}")
    (cell, block, row), (other_cell, other, other_row) = chosen[:2]
    name, other_name = (f"run {int(runs.run_index[c])}" for c in (cell, other_cell))
    for a_name, a_block in ((name, block), (other_name, other)):
        if a_block is None:
            raise OptionError(f"Difference: there are no tensors of {a_name}")
    if block.shape != other.shape:
        raise OptionError(
            f"Difference: the layer has shape {block.shape} in {name} and {other.shape} in "
            f"{other_name}; choose runs with the same number of filters"
        )
    values = weights_of(block, row) - weights_of(other, other_row)
    title = [f"{name} minus {other_name}"]
    grid, shown = tile_grid(*values.shape), np.arange(len(values))
    return WeightPanel(cell, int(runs.run_index[cell]), title, block, values, grid, shown)


def largest_of_filters(values: np.ndarray) -> np.ndarray:
    """Return the largest finite magnitude of each filter, 1 where it is 0.

    Parameters
    ----------
    values : (n_filters, n_inputs, h, w)

    Returns
    -------
    (n_filters,) float32
    """
    finite = np.where(np.isfinite(values), np.abs(values), 0)
    largest = np.max(finite, axis=(1, 2, 3), initial=0.0)
    return np.where(largest > 0, largest, 1).astype(np.float32)


def shape_note(panel: WeightPanel) -> str:
    """Return what a panel shows: ``16 filters of 3 x 3``, ``32 filters of 16 x 3 x 3``."""
    n_filters, n_inputs, h, w = panel.values.shape
    if panel.grid.h * panel.grid.w == 1:
        units = f"{n_filters:,} unit{'s' * (n_filters != 1)}"
        return f"{units} of {n_inputs:,} input{'s' * (n_inputs != 1)}"
    inputs = f"{n_inputs:,} x " if n_inputs > 1 else ""
    return f"{n_filters:,} filter{'s' * (n_filters != 1)} of {inputs}{h} x {w}"


def layer_and_step(panels: list[WeightPanel]) -> str:
    """Return the layer and step that panels have in common."""
    blocks = [panel.block for panel in panels if panel.block is not None]
    return at_step(blocks[0].layer, *sorted({b.step for b in blocks})) if blocks else ""


@per_run
def extents_of_runs(stack: np.ndarray) -> tuple[np.ndarray]:
    """Return the ``extents`` (n, 2) of runs."""
    return (extents(stack),)


def limits_of(all_extents: np.ndarray, cells: list[int]) -> tuple[float, float]:
    """Return the common limits of heights and colours of some runs over all steps."""
    return common_limits(all_extents[:, cells].reshape(-1, 2))
