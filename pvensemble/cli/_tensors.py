"""What the commands on recorded tensors share: which layer and step, read from all groups."""

from __future__ import annotations

import argparse

LINKAGES = ("average", "complete", "single")
THRESHOLD = 0.7


def add_place(parser: argparse.ArgumentParser) -> None:
    """Declare the ensemble, ``--layer`` and ``--step``."""
    parser.add_argument("ensemble", metavar="X.pvens")
    parser.add_argument("--layer", metavar="L", help="layer (default: the last one recorded)")
    parser.add_argument(
        "--step", metavar="S", type=int, help="recorded step (default: the last one)"
    )


def add_clustering(parser: argparse.ArgumentParser) -> None:
    """Declare how filters are put in order."""
    parser.add_argument(
        "--threshold",
        metavar="R",
        type=float,
        default=THRESHOLD,
        help=f"|r| from which on filters are highly correlated (default: {THRESHOLD})",
    )
    parser.add_argument(
        "--linkage", choices=LINKAGES, default=LINKAGES[0], help="of clusters (default: average)"
    )


def chosen_place(ensemble, kind: str, layer: str | None, step: int | None) -> tuple[str, int]:
    """Return the layer and the step that were asked for, or the last ones that have the kind.

    Raises
    ------
    NotRecordedError
        No group holds it; the message says what there is.
    """
    from pvensemble.errors import NotRecordedError, did_you_mean
    from pvensemble.schema import GRAM

    there = [name for name in ensemble.layers if _steps(ensemble, name, kind)]
    if not there:
        raise NotRecordedError(
            f"{ensemble.path}: no {kind} of any layer is recorded; train with {kind!r} in "
            f"record.kinds{', or use another measure' if kind == GRAM else ''}"
        )
    if layer is None:
        layer = there[-1]
    elif layer not in there:
        if layer in ensemble.layers:
            raise NotRecordedError(
                f"{ensemble.path}: of layer '{layer}' no {kind} is recorded, only of "
                f"{', '.join(there)}"
            )
        raise NotRecordedError(
            f"{ensemble.path}: there is no layer '{layer}'{did_you_mean(layer, there)}"
        )
    steps = _steps(ensemble, layer, kind)
    if step is None:
        step = steps[-1]
    elif step not in steps:
        raise NotRecordedError(
            f"{ensemble.path}: the {kind} of '{layer}' is not recorded at step {step}; the "
            f"nearest recorded step is {min(steps, key=lambda s: abs(s - step))}"
        )
    return layer, step


def _steps(ensemble, layer: str, kind: str) -> list[int]:
    """Return the steps at which any group recorded a layer's tensors of a kind."""
    found = {
        step
        for group in ensemble.groups
        if (layer, kind) in group.index.tensors
        for step in group.recorded_steps(layer, kind)
    }
    return sorted(found)


def read_stacks(ensemble, layer: str, kind: str, step: int) -> list[tuple]:
    """Return run indices (n,) and tensors (n, \\*shape) of each group that has them."""
    stacks = []
    for group in ensemble.groups:
        if (layer, kind) in group.index.tensors and step in group.recorded_steps(layer, kind):
            here = group.run_indices >= 0  # the others failed and were tried again
            stack = group.filters(layer, kind, step)
            stacks.append((group.run_indices[here], stack if here.all() else stack[here]))
    return [(indices, stack) for indices, stack in stacks if len(indices)]


def lines_text(title: str, values: dict) -> str:
    """Return a title and named values below it, aligned."""
    lines = [title, *(f"  {name:<16}  {value}" for name, value in values.items() if value)]
    return "\n".join(lines) + "\n"
