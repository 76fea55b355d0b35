"""``pvensemble schedule``: the learning rates of a configuration, before anything is trained."""

from __future__ import annotations

import argparse
import sys

from pvensemble.cli._output import add_csv, write_text

HELP = "show the learning rate over the steps that a configuration will use"
WIDTH = 40
MAX_SHOWN = 20
MAX_STEPS = 1000
BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-~=+*#"
"""For terminals whose encoding lacks the others."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", metavar="CONFIG", help="a TOML file or a preset")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, e.g. train.schedule=inv or steps=10000; repeated",
    )
    parser.add_argument(
        "--every", metavar="N", type=int, help=f"steps of the table (default: {MAX_STEPS:,} rows)"
    )
    add_csv(parser)


def run(args: argparse.Namespace) -> int:
    """Print a line for each schedule, or write the curves."""
    from pvensemble.errors import ConfigError
    from pvensemble.store.table import csv_text
    from pvensemble.train.config import load_config

    if args.every is not None and args.every < 1:
        raise ConfigError(f"--every: got {args.every}, allowed: 1 and more")
    found = distinct(load_config(args.config, args.set))
    if args.csv is not None:
        write_text(csv_text(long_form(found, args.every)), args.csv)
    else:
        print(overview(found, BARS if can_show(BARS) else PLAIN_BARS), end="")
    return 0


def distinct(config) -> list[tuple]:
    """Return (settings, numbers of runs) of each schedule that differs from the others."""
    from pvensemble.train.schedules import PARAMETERS
    from pvensemble.train.search import sample_runs

    found: dict[tuple, tuple] = {}
    for spec in sample_runs(config):
        s = spec.settings
        values = [getattr(s, name) for name in PARAMETERS[s.schedule]]
        key = (s.learning_rate, s.schedule, s.steps, *values)
        found.setdefault(key, (s, []))[1].append(spec.run_index)
    return list(found.values())


def rates(settings, every: int | None, n: int = MAX_STEPS) -> tuple:
    """Return steps and learning rates: every so many updates, or about ``n``, with the last."""
    import numpy as np

    from pvensemble.train.schedules import lr_at

    last = settings.steps - 1
    steps = np.arange(0, last, every) if every else np.linspace(0, last, n).astype(np.int64)
    steps = np.unique(np.append(steps, last))
    return steps, np.array([lr_at(settings, int(step)) for step in steps])


def long_form(found: list[tuple], every: int | None) -> dict:
    """Return columns schedule, policy, runs, step, learning_rate."""
    import numpy as np

    from pvensemble.numerics.runs import format_runs

    columns: dict = {name: [] for name in ("schedule", "policy", "runs", "step", "learning_rate")}
    for number, (settings, runs) in enumerate(found):
        steps, values = rates(settings, every)
        columns["schedule"].append(np.full(len(steps), number))
        columns["policy"].append(np.full(len(steps), settings.schedule))
        columns["runs"].append(np.full(len(steps), format_runs(runs)))
        columns["step"].append(steps)
        columns["learning_rate"].append(values)
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def can_show(text: str) -> bool:
    """Tell whether standard output has the characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def overview(found: list[tuple], bars: str = BARS) -> str:
    """Return a line and a small chart for each schedule; of many the first ones."""
    from pvensemble.numerics.runs import format_runs
    from pvensemble.train.schedules import PARAMETERS

    lines = []
    for settings, runs in found[:MAX_SHOWN]:
        names = PARAMETERS[settings.schedule]
        options = "".join(f", {name} {getattr(settings, name):g}" for name in names)
        steps, values = rates(settings, None, WIDTH)
        what = "run" if len(runs) == 1 else "runs"
        lines += [
            f"{settings.schedule}{options}: {what} {format_runs(runs)}",
            f"  {sparkline(values, bars)}  {values[0]:.6g} at step 0, "
            f"{values[-1]:.6g} at {steps[-1]:,}",
        ]
    if len(found) > MAX_SHOWN:
        lines.append(f"and {len(found) - MAX_SHOWN} more; --csv FILE has all")
    return "\n".join(lines) + "\n"


def sparkline(values, bars: str = BARS) -> str:
    """Return a row of bars from 0 to the largest value."""
    top = max(float(max(values)), 1e-300)
    return "".join(bars[min(int(v / top * len(bars)), len(bars) - 1)] for v in values)
