"""``pvensemble info``: what an ensemble holds."""

from __future__ import annotations

import argparse

from pvensemble.cli._output import open_ensemble

HELP = "show what an ensemble holds: runs by state, layers, steps, sizes, versions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ensemble", metavar="X.pvens")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    """Print the summary."""
    import json

    summary = open_ensemble(args.ensemble).summary()
    print(json.dumps(summary, indent=1) if args.json else as_text(summary))
    return 0


def as_text(summary: dict) -> str:
    """Return the summary for people."""
    states = ", ".join(f"{n} {state}" for state, n in summary["states"].items())
    parameters = [f"{p['name']} ({_scale(p)})" for p in summary["hyper_parameters"]]
    lines = [
        f"{summary['name']}  [{summary['path']}]",
        f"  runs              {summary['n_runs']}" + (f": {states}" if states else " yet"),
        f"  sessions          {_join(s['name'] for s in summary['sessions'])}",
        f"  hyper-parameters  {_join(parameters)}",
        f"  metrics           {_join(summary['metrics'])}",
        f"  layers            {_join(summary['layers'])}",
        f"  kinds             {_join(summary['kinds'])}",
        f"  loss surfaces     {_join(summary['surfaces'])}",
        f"  recorded steps    {steps_text(summary['recorded_steps'])}",
        f"  size              {size_text(summary['bytes'])}",
        *_merges(summary["merges"]),
        "  versions          " + ", ".join(f"{k} {v}" for k, v in summary["versions"].items()),
    ]
    for group in summary["groups"]:
        lines.append(
            f"  group {group['name']}        {group['n_runs']} runs, "
            f"{len(group['recorded_steps'])} recorded steps, {size_text(group['bytes'])}"
        )
        lines += [
            f"    {layer['name']:<15} {layer['type']} {'x'.join(map(str, layer['shape']))}: "
            f"{_join(layer['kinds'])}"
            for layer in group["layers"]
        ]
        if group["network_steps"]:
            lines.append(f"    whole networks  {steps_text(group['network_steps'])}")
        if group["skipped_steps"]:
            first = group["skipped_steps"][0]
            lines.append(
                f"    skipped         {len(group['skipped_steps'])} steps, the first is "
                f"{first['step']}: {first['reason']}"
            )
    return "\n".join(lines)


def _merges(merges: dict) -> list[str]:
    if not merges["n_events"]:
        return []
    return [
        f"  merged            {merges['n_filters']} filters in {merges['n_runs']} runs "
        "(see `pvensemble merges`)"
    ]


def steps_text(steps: list) -> str:
    """Return steps as ``n: first, second, … last``."""
    if not steps:
        return "none"
    shown = steps if len(steps) <= 8 else [*steps[:3], "…", *steps[-2:]]
    return f"{len(steps)}: {', '.join(map(str, shown))}"


def size_text(n_bytes: int) -> str:
    """Return a number of bytes with a decimal unit."""
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    power = min((len(str(n_bytes)) - 1) // 3, 4)
    return f"{n_bytes / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def _scale(parameter: dict) -> str:
    words = dict.fromkeys((parameter["type"], parameter["scale"]))
    return ", ".join(words)


def _join(words: object) -> str:
    return ", ".join(words) or "none"
