"""What a pipeline's script says of itself, read without executing it: ParaView is not there yet."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from pvensemble.errors import ConfigError, PVEnsembleError
from pvensemble.insitu.options import Option, option
from pvensemble.launcher.source import parse_python


@dataclass
class Script:
    """A script.

    Attributes
    ----------
    summary
        First line of its docstring.
    options
        Of ``OPTIONS``, by name.
    draws
        Whether it may have views: unless it says ``DRAWS = False``.
    """

    summary: str = ""
    options: dict[str, Option] = field(default_factory=dict)
    draws: bool = True


def read_script(path: Path) -> Script:
    """Return what a script says of itself.

    Raises
    ------
    ConfigError
        It cannot be read, is not Python, or its ``OPTIONS`` are not what they should be.
    """
    try:
        tree = parse_python(path)
    except PVEnsembleError as error:
        raise ConfigError(f"--insitu: {error}") from None
    script = Script((ast.get_docstring(tree) or "").partition("\n")[0])
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        names = [t.id for t in targets if isinstance(t, ast.Name)]
        if names == ["OPTIONS"]:
            script.options = _options(node.value, path)
        elif names == ["DRAWS"]:
            script.draws = not (isinstance(node.value, ast.Constant) and node.value.value is False)
    return script


def _options(node: ast.expr, path: Path) -> dict[str, Option]:
    where = f"--insitu: {path}: OPTIONS"
    options = {}
    try:
        for name, said in ast.literal_eval(node).items():
            options[str(name)] = option(*said)
    except ConfigError as error:
        raise ConfigError(f"{where}: {name}: {error}") from None
    except (ValueError, TypeError, AttributeError):
        raise ConfigError(
            f"{where} must be a plain dictionary of name: (default, text) or (default, text, rule)"
        ) from None
    return options
