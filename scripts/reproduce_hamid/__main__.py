"""``scripts/reproduce-hamid``: train, compute, render, report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reproduction.training import ReproductionError, describe, is_complete, train

from pvensemble.errors import PVEnsembleError
from reproduce_hamid import figures, paper, report, results, training, variation
from reproduce_hamid.findings import findings
from reproduce_hamid.runs import measure

DOCS = Path(__file__).resolve().parents[2] / "docs"


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    options = argparse.ArgumentParser(
        prog="scripts/reproduce-hamid",
        description="Repeat the study of Hamid et al. 2019 on a data set: train its 121 runs (or "
        "go on with them), compute every finding, render its figures, and write the report of all "
        "data sets that were studied so far.",
    )
    options.add_argument("data_set", nargs="?", default="mnist", choices=paper.DATA_SETS)
    options.add_argument("--data", type=Path, metavar="DIR", help="directory of the data files")
    options.add_argument(
        "-o", "--output", type=Path, default=Path("hamid"), metavar="DIR",
        help="folder of the ensembles and pictures (default: hamid)",
    )  # fmt: skip
    options.add_argument(
        "--docs", type=Path, default=DOCS, metavar="DIR",
        help="folder of the report: DIR/reproduction/hamid.md, DIR/pictures (default: docs)",
    )  # fmt: skip
    options.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="settings of 'pvensemble train' other than the paper's, e.g. steps=600",
    )  # fmt: skip
    options.add_argument(
        "--seeds", type=int, default=8, metavar="N",
        help="initial weights with which the corners of the grid are trained again to see how much "
        "they matter; 0: none (default: %(default)s)",
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
        print(f"reproduce-hamid: {error}", file=sys.stderr)
        return 2
    return 0


def run(args: argparse.Namespace) -> None:
    """Do all that was asked for."""
    name, folder = args.data_set, args.output
    ensemble = folder / f"{name}.pvens"
    if not args.as_is:
        folder.mkdir(parents=True, exist_ok=True)
        data_set = paper.DATA_SETS[name]
        settings = [*data_set.settings, *args.set]
        train(data_set.preset, ensemble, need_data(args), settings)
        train_variations(args)
    say(f"{name}: computing the findings")
    study = measure(name, ensemble)
    kept = results.result(study, findings(study), describe(ensemble), variations(args))
    text = args.docs / "reproduction"
    say(f"wrote {results.save(kept, text)}")
    if not args.no_figures:
        for picture in figures.render(study, ensemble, folder, args.docs / "pictures"):
            say(f"wrote {picture}")
    say(f"wrote {report.write(results.load_all(text), text)}")


def need_data(args: argparse.Namespace) -> Path:
    """Return the directory of the data files.

    Raises
    ------
    ReproductionError
        It is not given, although something has to be trained.
    """
    if args.data is None and not is_complete(args.output / f"{args.data_set}.pvens"):
        raise ReproductionError(f"--data DIR: where are the files of {args.data_set}?")
    return args.data or Path()


def variation_files(args: argparse.Namespace) -> tuple[Path, Path]:
    """Return the ensembles of other seeds, and of larger steps."""
    return tuple(args.output / f"{args.data_set}-{kind}.pvens" for kind in ("seeds", "beyond"))


def train_variations(args: argparse.Namespace) -> None:
    """Train the corners of the grid with other seeds, and a few runs beyond its red corner."""
    if args.seeds < 1:
        return
    seeds, beyond = variation_files(args)
    if is_complete(seeds) and is_complete(beyond):
        return
    settings = [f"steps={paper.INTERVAL[1]}", *args.set]
    corners = training.grid_settings(*training.CORNERS, args.seeds)
    preset = paper.DATA_SETS[args.data_set].preset
    train(preset, seeds, need_data(args), [*settings, *corners])
    larger = training.grid_settings(training.BEYOND, [paper.RED[1]], 1)
    train(preset, beyond, need_data(args), [*settings, *larger])


def variations(args: argparse.Namespace) -> dict | None:
    """Return what the variations show; None where there are none."""
    seeds, beyond = variation_files(args)
    if args.seeds < 1 or not (is_complete(seeds) and is_complete(beyond)):
        return None
    return {"corners": variation.corner_values(seeds), "beyond": variation.larger_steps(beyond)}


def say(text: str) -> None:
    """Tell what was done."""
    print(f"[hamid] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
