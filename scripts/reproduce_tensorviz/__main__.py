"""``scripts/reproduce-tensorviz``: train, compute, render, report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reproduction.training import ReproductionError, describe, is_complete, train

from pvensemble.errors import PVEnsembleError
from reproduce_tensorviz import cost, figures, growth, redundancy, report, walks
from reproduce_tensorviz.study import read_dynamics, read_reduction

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
ENSEMBLES = ("dynamics", "steps", "reduction")


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    options = argparse.ArgumentParser(
        prog="scripts/reproduce-tensorviz",
        description="Repeat the observations of the TensorViz poster (2017) on MNIST: train its "
        "network (or go on), compute every observation, render its figures, and write the report.",
    )
    options.add_argument("--data", type=Path, metavar="DIR", help="directory of the MNIST files")
    options.add_argument(
        "-o", "--output", type=Path, default=Path("tensorviz"), metavar="DIR",
        help="folder of the ensembles and pictures (default: tensorviz)",
    )  # fmt: skip
    options.add_argument(
        "--docs", type=Path, default=DOCS, metavar="DIR",
        help="folder of the report: DIR/reproduction/tensorviz.md, DIR/pictures (default: docs)",
    )  # fmt: skip
    options.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="settings of 'pvensemble train' for all ensembles, e.g. data.train=2000",
    )  # fmt: skip
    options.add_argument(
        "--as-is", action="store_true", help="train nothing; use the ensembles as they are"
    )
    options.add_argument("--no-figures", action="store_true", help="render nothing")
    return options


def main(argv: list[str] | None = None) -> int:
    """Run; return the exit status."""
    args = parser().parse_args(argv)
    try:
        run(args)
    except (PVEnsembleError, ReproductionError) as error:
        print(f"reproduce-tensorviz: {error}", file=sys.stderr)
        return 2
    return 0


def run(args: argparse.Namespace) -> None:
    """Do all that was asked for."""
    paths = {name: args.output / f"{name}.pvens" for name in ENSEMBLES}
    if not args.as_is:
        args.output.mkdir(parents=True, exist_ok=True)
        for name, path in paths.items():
            if args.data is None and not is_complete(path):
                raise ReproductionError("--data DIR: where are the files of MNIST?")
            train(str(HERE / f"{name}.toml"), path, args.data or Path(), args.set)
    say("computing the observations")
    dynamics, reduction = read_dynamics(paths["dynamics"]), read_reduction(paths["reduction"])
    found = [
        redundancy.accuracy_reached(reduction),
        growth.square_root_growth(dynamics),
        growth.random_gradients(dynamics),
        growth.darker_colours(dynamics),
        walks.random_walk(dynamics),
        walks.stuck_weights(dynamics),
        redundancy.redundant_filters(dynamics),
        redundancy.reduction_keeps_accuracy(reduction),
        cost.time_of_a_step(reduction),
    ]
    made = {name: describe(path) for name, path in paths.items()}
    folder = args.docs / "reproduction"
    say(f"wrote {report.save(found, walks.update_rule(paths['steps']), made, folder)}")
    if not args.no_figures:
        for picture in figures.render(paths, args.output, args.docs / "pictures"):
            say(f"wrote {picture}")
    say(f"wrote {report.write(folder)}")


def say(text: str) -> None:
    """Tell what was done."""
    print(f"[tensorviz] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
