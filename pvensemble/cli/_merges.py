"""Tables of merged filters, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pvensemble.cli._output import add_csv, aligned, write_text


def add_output(parser) -> None:
    """Declare ``--csv``."""
    add_csv(parser)


def show(events: Sequence, run_ids: Sequence[str], target: str | None) -> None:
    """Print events, or write them as CSV."""
    from pvensemble.store.table import csv_text

    if target is not None:
        write_text(csv_text(columns(events, run_ids)), target)
    if target is None or target != "-":
        print(as_text(events), end="")


def columns(events: Sequence, run_ids: Sequence[str]) -> dict[str, Sequence]:
    """Return all of some `MergeEvent`, one a row.

    Parameters
    ----------
    run_ids
        Of all runs, by run index.
    """
    pairs = {
        f"{name}_{when}": [getattr(e, name)[k] for e in events]
        for name in ("n_filters", "accuracy", "loss")
        for k, when in enumerate(("before", "after"))
    }
    return {
        "run_index": [e.run for e in events],
        "run_id": [str(run_ids[e.run]) for e in events],
        "step": [e.step for e in events],
        "layer": [e.layer for e in events],
        **pairs,
        "groups": [_groups(e) for e in events],
        "r": [" ".join(f"{r:.6g}" for r in e.r) for e in events],
    }


def as_text(events: Sequence) -> str:
    """Return the table for people."""
    import numpy as np

    table: Mapping[str, Sequence] = {
        "run": np.array([e.run for e in events], np.int64),
        "step": np.array([e.step for e in events], np.int64),
        "layer": [e.layer for e in events],
        "filters": [f"{e.n_filters[0]} -> {e.n_filters[1]}" for e in events],
        "accuracy": [_change(e.accuracy, 100, ".2f", " %") for e in events],
        "loss": [_change(e.loss, 1, ".4g") for e in events],
        "smallest r": [f"{min(e.r):.3f}" if e.r else "" for e in events],
        "merged": [_shortened(_groups(e)) for e in events],
    }
    return aligned(table)


def _groups(event) -> str:
    """Return groups of filters as ``0+3+7 2+5``: the first of each stands for the others."""
    return " ".join("+".join(map(str, group)) for group in event.groups)


def _change(pair: tuple, factor: float, how: str, unit: str = "") -> str:
    before, after = (format(factor * value, how) for value in pair)
    return f"{before} -> {after}{unit}" if before != after else f"{before}{unit}"


def _shortened(text: str, most: int = 40) -> str:
    if len(text) <= most:
        return text
    kept = text[: text.rfind(" ", 0, most)] if " " in text[:most] else text[: most - 2]
    return f"{kept} …"
