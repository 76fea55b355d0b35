"""``--insitu PIPELINE[:key=value,…]``: which script, when, and with which settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvensemble.errors import ConfigError, did_you_mean
from pvensemble.insitu.options import Option
from pvensemble.insitu.script import read_script
from pvensemble.insitu.trigger import Trigger

SHIPPED = Path(__file__).parent / "pipelines"
_FLAG = Option("", rule=("one of", "yes", "no"))
GENERAL = {
    "every": Option("", rule=("whole number", 1)),
    "seconds": Option("", rule=("number above", 0)),
    "when": Option(""),
    "first": _FLAG,
    "last": _FLAG,
    "tensors": _FLAG,
    "output": Option(""),
}
_KEY = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)")


@dataclass
class Pipeline:
    """A script and what the user has said of it.

    Attributes
    ----------
    name
        What messages call it, and the folder of what it writes.
    options
        Values of the script's own options.
    tensors
        Whether it sees the tensors of every step at which it may be executed; else those of
        recorded steps.
    output
        Folder for what it writes, None for the usual place.
    draws
        Whether it may have views; then it runs in the process that draws.
    """

    name: str
    script: Path
    options: dict[str, str]
    trigger: Trigger
    tensors: bool = False
    output: Path | None = None
    draws: bool = True


def shipped() -> list[str]:
    """Return the names of the pipelines that come with the package."""
    return sorted(p.stem for p in SHIPPED.glob("[a-z]*.py"))


def parse(texts: Sequence[str]) -> list[Pipeline]:
    """Return the pipelines that are asked for, each with a name of its own.

    Raises
    ------
    ConfigError
        A script is missing or not Python, or a key or value is not one.
    """
    pipelines: list[Pipeline] = []
    for text in texts:
        pipeline = _parse(text)
        taken = {p.name for p in pipelines}
        numbers = (f"{pipeline.name}-{i}" for i in range(2, len(texts) + 2))
        pipeline.name = next(n for n in (pipeline.name, *numbers) if n not in taken)
        pipelines.append(pipeline)
    return pipelines


def _parse(text: str) -> Pipeline:
    name, values = _split(text)
    path = SHIPPED / f"{name}.py" if name in shipped() else Path(name)
    if path.suffix != ".py" or not path.is_file():
        what = f"there is no file {name!r}" if path.suffix == ".py" else f"got {name!r}"
        raise ConfigError(
            f"--insitu: {what}, allowed: a Python script, or one of {', '.join(shipped())}"
        )
    script = read_script(path)
    known = {**script.options, **GENERAL}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"--insitu {name}: there is no key {key!r}{did_you_mean(key, known)}")
        known[key].check(value, f"--insitu {name}: {key}")
    options = {key: values.get(key, its.default) for key, its in script.options.items()}
    output = Path(values["output"]) if "output" in values else None
    trigger = _trigger(name, values)
    tensors = values.get("tensors") == "yes"
    if tensors and trigger.every is None:
        raise ConfigError(f"--insitu {name}: tensors=yes needs every=N: it says at which steps")
    return Pipeline(path.stem, path.absolute(), options, trigger, tensors, output, script.draws)


def _split(text: str) -> tuple[str, dict[str, str]]:
    """Split ``NAME:key=value,key=value``; a comma that no key follows belongs to the value."""
    found = re.match(r"(.*?):(?=\s*[A-Za-z_]\w*\s*=(?!=))(.*)", text, re.DOTALL)
    if found is None:
        return text, {}
    values: dict[str, str] = {}
    last = ""
    for part in found[2].split(","):
        key = _KEY.match(part)
        if key:
            last = key[1]
            values[last] = part[key.end() :].strip()
        else:
            values[last] += "," + part
    return found[1], values


def _trigger(name: str, values: Mapping[str, str]) -> Trigger:
    when = values.get("when") or None
    every = int(values["every"]) if "every" in values else None
    seconds = float(values["seconds"]) if "seconds" in values else None
    usual = "yes" if when is None else "no"
    edges = {key: values.get(key, usual) == "yes" for key in ("first", "last")}
    try:
        return Trigger(every, seconds, when, **edges)
    except ConfigError as error:
        raise ConfigError(f"--insitu {name}: {error}") from None


def described() -> str:
    """Return what ``--insitu list`` prints."""
    from pvensemble.insitu import trigger

    lines = ["pipelines:"]
    for name in shipped():
        script = read_script(SHIPPED / f"{name}.py")
        lines.append(f"  {name:<12}{script.summary}")
        lines += [
            f"    {key + '=' + its.default:<24}{its.text}" for key, its in script.options.items()
        ]
    lines += ["  SCRIPT.py   a script of ParaView's 'Save Catalyst State', or your own", ""]
    lines += ["keys of all pipelines:"]
    lines += [f"  {line}" if line else "" for line in (trigger.__doc__ or "").splitlines()[2:]]
    lines += ["  ``tensors=yes``", "      collect tensors at every=N steps that are not recorded."]
    lines += [
        "  ``output=DIR``",
        "      where to write (default: NAME.insitu beside the ensemble).",
    ]
    return "\n".join(line.replace("``", "") for line in lines)
