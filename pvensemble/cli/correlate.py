"""``pvensemble correlate``: correlation of the filters of one run."""

from __future__ import annotations

import argparse

from pvensemble.cli._output import add_matrix_output, open_ensemble, write_matrix, write_text
from pvensemble.cli._tensors import (
    add_clustering,
    add_place,
    chosen_place,
    lines_text,
    read_stacks,
)

HELP = "show how the filters of a layer are correlated in one run, or its layers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_place(parser)
    parser.add_argument(
        "--run", metavar="I", type=int, help="run index (default: the first one recorded)"
    )
    parser.add_argument(
        "--order", action="store_true", help="write filters by cluster, the largest cluster first"
    )
    parser.add_argument(
        "--between-layers",
        action="store_true",
        help="compare the layers of the run (linear CKA) instead of the filters of one",
    )
    add_clustering(parser)
    add_matrix_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print or write the correlations."""
    ensemble = open_ensemble(args.ensemble)
    if args.between_layers:
        names, matrix, text = between_layers(ensemble, args)
    else:
        names, matrix, text = of_filters(ensemble, args)
    if args.npy is not None:
        write_matrix(matrix, args.npy)
    elif args.csv is not None:
        from pvensemble.store.table import csv_text

        first = "layer" if args.between_layers else "filter"
        write_text(csv_text({first: names, **dict(zip(map(str, names), matrix.T))}), args.csv)
    else:
        print(text, end="")
    return 0


def of_filters(ensemble, args: argparse.Namespace) -> tuple:
    """Return the filters (n,), their correlations (n, n) and what is to say about them."""
    import numpy as np

    from pvensemble.numerics.correlation import dead_filters, existing_filters
    from pvensemble.numerics.filter_counts import FilterCounts
    from pvensemble.numerics.ordering import cluster_order
    from pvensemble.schema import CORRELATION

    layer, step = chosen_place(ensemble, CORRELATION, args.layer, args.step)
    index, matrix = _of_run(ensemble, layer, CORRELATION, step, args.run)
    numbers, n_before = np.flatnonzero(existing_filters(matrix)), len(matrix)
    matrix = matrix[np.ix_(numbers, numbers)]
    order = cluster_order(matrix, args.threshold, args.linkage)
    counts = FilterCounts()
    counts.add(step, matrix[None])
    pairs, filters = (int(counts.count(args.threshold, w)[0, 0]) for w in ("pairs", "filters"))
    n, dead = len(matrix), int(dead_filters(matrix).sum())
    merged = f" ({n_before - n} merged away)" if n < n_before else ""
    text = lines_text(
        f"{layer} at step {step}, {_name(ensemble, index)}: {n} filters{merged}, {dead} dead",
        {
            f"pairs above {args.threshold:g}": f"{pairs} of {n * (n - 1) // 2}, "
            f"{filters} of the filters are in one",
            "clusters": f"{order.n_clusters}, the largest has "
            f"{int(np.bincount(order.cluster).max())} filters ({args.linkage} linkage)",
            "strongest pair": _strongest(matrix, numbers),
            "redundant": _redundant([numbers[group] for group in order.redundant]),
        },
    )
    if not args.order:
        return numbers, matrix, text
    permutation = order.permutation
    return numbers[permutation], matrix[np.ix_(permutation, permutation)], text


def between_layers(ensemble, args: argparse.Namespace) -> tuple:
    """Return the names of the layers, their similarities (n, n) and what is to say about them."""
    from pvensemble.errors import OptionError
    from pvensemble.numerics.correlation import layer_correlation
    from pvensemble.schema import GRAM

    if args.layer is not None or args.order:
        raise OptionError("--between-layers compares all layers as they are: leave out --layer and "
                          "--order")  # fmt: skip
    _, step = chosen_place(ensemble, GRAM, None, args.step)
    layers = {
        name: _of_run(ensemble, name, GRAM, step, args.run)
        for name in ensemble.layers
        if read_stacks(ensemble, name, GRAM, step)
    }
    index = next(iter(layers.values()))[0]
    alike = {name: gram for name, (run_index, gram) in layers.items() if run_index == index}
    matrix = layer_correlation([gram[None] for gram in alike.values()])[0]
    values = {f"{name:.16}": " ".join(f"{v:6.3f}" for v in row) for name, row in zip(alike, matrix)}
    text = lines_text(f"layers at step {step}, {_name(ensemble, index)}: linear CKA", values)
    return list(alike), matrix, text


def _of_run(ensemble, layer: str, kind: str, step: int, run_index: int | None) -> tuple:
    """Return a run's index and its tensor."""
    from pvensemble.errors import NotRecordedError

    if run_index is not None and not 0 <= run_index < ensemble.n_runs:
        raise NotRecordedError(
            f"{ensemble.path}: there is no run {run_index}, the runs are 0 to {ensemble.n_runs - 1}"
        )
    for indices, stack in read_stacks(ensemble, layer, kind, step):
        wanted = indices.min() if run_index is None else run_index
        for place in (indices == wanted).nonzero()[0]:
            return int(wanted), stack[place]
    groups = [g for g in ensemble.groups if (layer, kind) in g.index.tensors]
    own = [g for g in groups if run_index in g.run_indices.tolist()]
    advice = "its network does not have them"
    if own:
        steps = own[0].recorded_steps(layer, kind)
        near = min(steps, key=lambda s: abs(s - step))
        advice = f"the nearest step recorded of its group is {near}"
    raise NotRecordedError(
        f"{ensemble.path}: run {run_index} has no {kind} of '{layer}' at step {step}; {advice}"
    )


def _name(ensemble, index: int) -> str:
    run_id = ensemble.run_table()["run_id"][index]
    return f"run {index} ({run_id})"


def _redundant(groups: list) -> str:
    """Say which filters could be merged, cluster by cluster."""
    if not groups:
        return "no two filters are in one cluster"
    surplus = sum(len(group) - 1 for group in groups)
    shown = ", ".join("+".join(map(str, group)) for group in groups)
    return f"{surplus} filters, were one kept of each of {shown}"


def _strongest(matrix, numbers) -> str:
    """Say which two filters, given with their numbers, are correlated most."""
    import numpy as np

    if len(matrix) < 2:
        return ""
    magnitude = np.triu(np.abs(matrix), 1)
    a, b = np.unravel_index(np.argmax(magnitude), magnitude.shape)
    strongest = f"filters {numbers[a]} and {numbers[b]}: {matrix[a, b]:.3f}"
    return strongest if magnitude[a, b] else ""
