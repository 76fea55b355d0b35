"""The environment of ParaView's programs."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pvensemble
from pvensemble.errors import ParaViewNotFoundError
from pvensemble.launcher import environment, plugin_config
from pvensemble.launcher import environment as environment_function
from pvensemble.launcher.environment import package_folder, python_folder

PACKAGE = Path(pvensemble.__file__).resolve().parent


def python(code: str, env: dict[str, str], *options: str) -> str:
    argv = [sys.executable, *options, "-c", code]
    return subprocess.run(
        argv, env=env, capture_output=True, text=True, check=True, cwd="/"
    ).stdout.strip()


def test_the_python_path_holds_the_package_and_the_shim_alone(cache):
    env = environment({"PATH": os.environ["PATH"]})
    folder = Path(env["PYTHONPATH"])
    assert sorted(p.name for p in folder.iterdir()) == ["pvensemble", "sitecustomize.py"]
    assert (folder / "pvensemble").resolve() == PACKAGE
    assert cache in folder.parents


def test_the_package_is_imported_through_the_folder():
    env = environment({"PATH": os.environ["PATH"]})
    code = "import pvensemble.schema as s; print(s.__file__)"
    assert python(code, env).startswith(env["PYTHONPATH"])


def test_what_stands_beside_an_installed_package_is_not_seen(tmp_path, monkeypatch):
    """An environment with PyPI's vtk beside the package must not reach ParaView."""
    site = tmp_path / "site-packages"
    (site / "vtkmodules").mkdir(parents=True)
    (site / "vtkmodules" / "__init__.py").write_text("planted = True\n")
    (site / "pvensemble").symlink_to(PACKAGE)
    code = "import vtkmodules; print(getattr(vtkmodules, 'planted', False))"
    direct = {"PATH": os.environ["PATH"], "PYTHONPATH": str(site)}
    assert python(code, direct) == "True"  # the crash that the folder avoids
    code = (
        "import importlib.util as u; s = u.find_spec('vtkmodules');"
        "print(s is not None and 'site-packages' in str(s.origin))"
    )
    assert python(code, environment(direct), "-S") == "False"


def test_path_entries_with_a_foreign_vtk_are_dropped_and_others_kept(tmp_path):
    good, bad, old = (tmp_path / n for n in ("good", "bad", "old"))
    good.mkdir()
    (bad / "vtkmodules").mkdir(parents=True)
    old.mkdir()
    (old / "vtk.py").touch()
    env = environment({"PYTHONPATH": os.pathsep.join(map(str, (bad, good, old)))})
    assert env["PYTHONPATH"].split(os.pathsep) == [str(python_folder()), str(good)]


def test_a_vtk_in_the_users_site_folder_is_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr("site.getusersitepackages", lambda: str(tmp_path))
    assert "PYTHONNOUSERSITE" not in environment({})
    (tmp_path / "vtkmodules").mkdir()
    assert environment({})["PYTHONNOUSERSITE"] == "1"


def test_what_would_mislead_paraviews_python_is_removed():
    env = environment({"PYTHONHOME": "/x", "VIRTUAL_ENV": "/y", "KEPT": "z"})
    assert "PYTHONHOME" not in env
    assert "VIRTUAL_ENV" not in env
    assert env["KEPT"] == "z"


def test_the_ensemble_is_absolute_and_the_base_is_not_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = {"PVENSEMBLE_SCENE": "old"}
    env = environment(base, ensemble="a.pvens", scene="performance")
    assert env["PVENSEMBLE_FILE"] == str(tmp_path / "a.pvens")
    assert env["PVENSEMBLE_SCENE"] == "performance"
    assert base == {"PVENSEMBLE_SCENE": "old"}


def test_the_shim_restores_getargspec_and_runs_the_hidden_sitecustomize(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import os; os.environ['CHAINED'] = 'yes'\n")
    env = environment({"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)})
    code = "import inspect, os; print(hasattr(inspect, 'getargspec'), os.environ.get('CHAINED'))"
    assert python(code, env) == "True yes"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python still has getargspec")
def test_without_the_shim_getargspec_is_missing():
    code = "import inspect; print(hasattr(inspect, 'getargspec'))"
    assert python(code, {"PATH": os.environ["PATH"]}) == "False"


def test_the_shim_takes_arguments_from_a_signature():
    env = environment({"PATH": os.environ["PATH"]})
    code = "import inspect; print(inspect.getargspec(lambda self, a, b: 0).args)"
    assert python(code, env) == "['self', 'a', 'b']"


def test_macros_are_links_with_readable_names():
    folder = Path(environment({})["PV_MACRO_PATH"])
    assert "Group from Selection.py" in {p.name for p in folder.iterdir()}
    deleted = folder / "Group from Selection.py"
    target = deleted.resolve()
    deleted.unlink()  # as Macros > Delete does
    assert target.is_file()
    environment({})
    assert deleted.resolve() == target


def test_many_processes_make_the_folder_at_once():
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: python_folder(), range(32)))
    (folder,) = folders
    assert sorted(p.name for p in folder.iterdir()) == ["pvensemble", "sitecustomize.py"]


def test_a_moved_checkout_gets_a_folder_of_its_own(tmp_path, monkeypatch):
    first = python_folder()
    other = tmp_path / "moved" / "pvensemble"
    other.mkdir(parents=True)
    monkeypatch.setattr(pvensemble, "__file__", str(other / "__init__.py"))
    assert package_folder() == other
    assert python_folder() != first


def test_the_plugins_description_stands_beside_the_package():
    assert plugin_config() == PACKAGE.parent / "pvplugins" / "paraview.plugins.xml"
    assert environment_function({})["PV_PLUGIN_CONFIG_FILE"] == str(plugin_config())


def test_a_package_without_its_plugin_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(pvensemble, "__file__", str(tmp_path / "pvensemble" / "__init__.py"))
    with pytest.raises(ParaViewNotFoundError, match=r"no .*paraview\.plugins\.xml"):
        plugin_config()
