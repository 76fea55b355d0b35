"""The layers import downwards only, plug-ins stay thin, and nothing but the command line prints."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pvensemble"

# What each layer must do without. `views` and `pvplugins` need ParaView and are tested there.
FORBIDDEN = {
    "numerics": ("torch", "vtk", "vtkmodules", "paraview", "h5py"),
    "store": ("torch", "vtk", "vtkmodules", "paraview"),
    "train": ("vtk", "vtkmodules", "paraview"),
    "vtkdata": ("torch", "paraview", "h5py"),
    "filters": ("torch", "paraview"),
    "launcher": ("torch", "vtk", "vtkmodules", "paraview"),
    "insitu": ("torch", "paraview", "catalyst", "catalyst_conduit"),
    "cli": ("torch", "vtk", "vtkmodules", "paraview", "numpy", "h5py"),
}
# Which parts of the package a layer may import.
MAY_IMPORT = {
    "numerics": {"numerics"},
    "store": {"numerics", "store"},
    "train": {"numerics", "store", "train"},
    "vtkdata": {"numerics", "vtkdata"},
    "filters": {"numerics", "store", "vtkdata", "filters"},
    "views": {"numerics", "vtkdata", "views"},
    "launcher": {"launcher"},
    "insitu": {"numerics", "store", "vtkdata", "filters", "views", "launcher", "insitu"},
}
# Scripts that run inside ParaView's own Python.
INSIDE_PARAVIEW = {
    PACKAGE / "launcher" / "probe.py",
    *(PACKAGE / "insitu" / "pipelines").glob("[a-z]*.py"),
}
PY39 = ("numerics", "store", "vtkdata", "filters", "views", "launcher", "insitu", "cli")


def modules(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.py") if "__pycache__" not in p.parts)


def imported_names(path: Path) -> set[str]:
    """Absolute dotted names that a module imports anywhere, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).with_suffix("").parts
                package = package[: len(package) - node.level]
                base = ".".join([*package, *([base] if base else [])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("layer", sorted(FORBIDDEN))
def test_layer_imports_without(layer):
    """Each module of the layer imports where the forbidden packages are absent."""
    names = [
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for p in modules(PACKAGE / layer)
        if p not in INSIDE_PARAVIEW
    ]
    assert names
    code = (
        "import sys, importlib\n"
        f"for name in {FORBIDDEN[layer]!r}: sys.modules[name] = None\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_forbidden_import_is_noticed():
    """Negative control of the test above."""
    code = "import sys; sys.modules['numpy'] = None; import pvensemble.numerics.measures"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize("layer", sorted(MAY_IMPORT))
def test_imports_point_down(layer):
    known = {p.name for p in PACKAGE.iterdir() if p.is_dir()}
    wrong = []
    for path in modules(PACKAGE / layer):
        for name in imported_names(path):
            parts = name.split(".")
            if (
                parts[0] == "pvensemble"
                and len(parts) > 1
                and parts[1] in known - MAY_IMPORT[layer]
            ):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_only_the_command_line_prints():
    wrong = []
    for folder in (PACKAGE, ROOT / "pvplugins"):
        for path in modules(folder):
            if path.is_relative_to(PACKAGE / "cli"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if name in ("print", "exit", "quit", "eval", "exec"):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}()")
    assert not wrong


def test_exceptions_are_caught_wholesale_in_one_place_only():
    places = []
    for path in modules(PACKAGE):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else ""
                if caught in ("", "Exception", "BaseException"):
                    reraises = any(isinstance(n, ast.Raise) for n in ast.walk(node))
                    if not reraises:
                        places.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert [p.split(":")[0] for p in places] == ["pvensemble/filters/_base.py"], places


def test_no_pickles():
    """Files that others may hand us must not be able to run code (reliability S4)."""
    wrong = []
    for path in modules(PACKAGE):
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.unparse(node) if isinstance(node, ast.Call) else ""
            name = text.split("(")[0]
            if name in ("pickle.load", "pickle.loads", "torch.load", "joblib.load") or (
                name in ("np.load", "numpy.load") and "allow_pickle=False" not in text
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert not wrong


def test_plugin_proxies_are_thin():
    """Decorators and one-line forwarding methods; no arithmetic, no decisions (style 9)."""
    wrong = []
    for path in sorted((ROOT / "pvplugins" / "proxies").glob("*.py")):
        if path.name in ("__init__.py", "properties.py"):
            continue
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for item in node.body:
                if isinstance(item, ast.FunctionDef):
                    body = [n for n in item.body if not _is_docstring(n)]
                    if len(body) > 1:
                        wrong.append(f"{path.name}:{item.lineno} {node.name}.{item.name}")
    assert not wrong


def _is_docstring(node) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@pytest.mark.parametrize("layer", PY39)
def test_parses_as_python_39(layer):
    """kitware.org's ParaView 5.11 brings Python 3.9."""
    for path in modules(PACKAGE / layer):
        ast.parse(path.read_text(), filename=str(path), feature_version=(3, 9))


def test_no_module_is_a_warehouse():
    long = {
        str(p.relative_to(ROOT)): n
        for p in [*modules(PACKAGE), *modules(ROOT / "pvplugins")]
        if (n := len(p.read_text().splitlines())) > 500
    }
    assert not long
