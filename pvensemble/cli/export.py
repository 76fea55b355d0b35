"""``pvensemble export``: a stored network as a PyTorch checkpoint."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from pvensemble.cli._output import open_ensemble

HELP = "write a stored network as a PyTorch checkpoint, a state_dict for torch.load"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens")
    parser.add_argument("--run", metavar="N", type=int, required=True, help="run index")
    parser.add_argument("--step", metavar="S", type=int, help="default: the last one stored")
    parser.add_argument("-o", "--output", metavar="net.pt", required=True)
    parser.add_argument(
        "--full",
        action="store_true",
        help="in the shape of step 0, with 0 for filters that were merged away (default: without)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the network and say what it is."""
    from pvensemble.errors import ConfigError, NotRecordedError

    if importlib.util.find_spec("torch") is None:
        raise ConfigError("a checkpoint needs PyTorch: pip install 'pvensemble[train]'")
    import torch

    ensemble = open_ensemble(args.ensemble)
    place = [(g, p) for g in ensemble.groups for p in (g.run_indices == args.run).nonzero()[0]]
    if not place or args.run < 0:
        raise NotRecordedError(
            f"{args.ensemble}: there is no run {args.run}, the runs are 0 to {ensemble.n_runs - 1}"
        )
    group, position = place[0]
    step = args.step if args.step is not None else max(group.network_steps, default=0)
    network = group.network(int(position), step, compact=not args.full)
    write_state({name: torch.from_numpy(v) for name, v in network.items()}, Path(args.output))
    n_values = sum(values.size for values in network.values())
    print(f"{args.output}: run {args.run} at step {step}, {n_values:,} values")
    return 0


def write_state(state: Mapping, path: Path) -> None:
    """Write a ``state_dict``, complete or not at all.

    Raises
    ------
    StoreError
        The system refuses, or the name belongs to an ensemble.
    """
    import io

    import torch

    from pvensemble.cli._output import write_bytes

    # What torch counts in whole numbers is stored as float32 with the rest.
    named = {n: t.long() if n.endswith("num_batches_tracked") else t for n, t in state.items()}
    buffer = io.BytesIO()
    torch.save({name: t.contiguous() for name, t in named.items()}, buffer)
    write_bytes(buffer.getbuffer(), str(path), "the checkpoint")
