"""The plugin in a real ParaView: proxies, documentation, defaults, values, errors, time, state."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from paraview_process import run_in_paraview

from pvensemble.numerics.performance import performance_table

pytestmark = pytest.mark.paraview

PROXIES = Path(__file__).parents[2] / "pvplugins" / "proxies"

INSPECT = """
import importlib
from paraview import servermanager, simple
from paraview.modules.vtkRemotingServerManager import vtkSMOrderedPropertyIterator

def text_of(documentation):
    return documentation.GetDescription() if documentation else ""

result["proxies"] = {}
for group, name, module in arguments["proxies"]:
    prototype = servermanager.ProxyManager().SMProxyManager.GetPrototypeProxy(group, name)
    assert prototype is not None, (group, name)
    fresh = getattr(importlib.import_module("pvensemble.filters." + module), name)
    hints = prototype.GetHints()
    menu = hints.FindNestedElementByName("ShowInMenu") if hints else None
    properties = []
    iterator = vtkSMOrderedPropertyIterator()
    iterator.SetProxy(prototype)
    iterator.Begin()
    while not iterator.IsAtEnd():
        prop = iterator.GetProperty()
        entry = {"name": iterator.GetKey(), "label": prop.GetXMLLabel(), "changed": None,
                 "doc": text_of(prop.GetDocumentation()),
                 "information": bool(prop.GetInformationOnly()), "command": prop.GetCommand(),
                 "class": prop.GetClassName()}
        if "VectorProperty" in entry["class"] and not entry["information"] \
                and (prop.GetCommand() or "").startswith("Set") and prop.GetNumberOfElements():
            algorithm = fresh()
            values = [prop.GetElement(i) for i in range(prop.GetNumberOfElements())]
            before = algorithm.GetMTime()
            getattr(algorithm, prop.GetCommand())(*values)
            entry["changed"] = algorithm.GetMTime() != before
            entry["default"] = values
        properties.append(entry)
        iterator.Next()
    result["proxies"][name] = {
        "label": prototype.GetXMLLabel(),
        "doc": text_of(prototype.GetDocumentation()),
        "menu": menu.GetAttribute("category") if menu else None,
        "properties": properties,
    }
    result["proxies"][name]["function"] = hasattr(simple, name)
"""


def declared():
    """(group, proxy, filter module) of all proxies, from the source of the plugin."""
    found = []
    for path in sorted(PROXIES.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                group = "sources" if path.name == "readers.py" else "filters"
                module = ast.unparse(node.bases[0]).split(".")[0]
                found.append((group, node.name, module))
    return found


@pytest.fixture(scope="module")
def proxies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspect")
    return run_in_paraview(INSPECT, folder, proxies=declared())["proxies"]


def test_all_proxies_are_there(proxies):
    assert {"EnsembleReader", "PerformanceMeasures", "RunGroups"} <= set(proxies)
    assert set(proxies) == {name for _, name, _ in declared()}
    assert all(proxy["function"] for proxy in proxies.values())


def test_labels_are_names_with_spaces(proxies):
    """Scripts use the label, state files the name: they must not differ."""
    for name, proxy in proxies.items():
        assert proxy["label"].replace(" ", "") == name
        for prop in proxy["properties"]:
            if not prop["information"]:
                assert (prop["label"] or "").replace(" ", "") == prop["name"]


def test_filters_have_their_own_menu(proxies):
    menus = {name: proxy["menu"] for name, proxy in proxies.items()}
    assert menus.pop("EnsembleReader") is None  # opened through File > Open
    assert set(menus.values()) == {"Ensemble"}


def test_everything_is_documented(proxies):
    for name, proxy in proxies.items():
        assert len(proxy["doc"]) > 40, name
        for prop in proxy["properties"]:
            if not prop["information"]:
                assert len(prop["doc"]) > 10, (name, prop["name"])


def test_defaults_equal_the_filters(proxies):
    """Setting the proxy's default on a new filter changes nothing."""
    checked = 0
    for name, proxy in proxies.items():
        for prop in proxy["properties"]:
            if prop["changed"] is not None:
                checked += 1
                assert not prop["changed"], (name, prop["name"], prop["default"])
    assert checked >= 20


def test_properties_stand_in_the_order_of_their_definition(proxies):
    def order(name, wanted):
        return [p["name"] for p in proxies[name]["properties"] if p["name"] in wanted]

    wanted = ["Metric", "Preset", "P1Step", "IntervalStart", "IntervalEnd", "UseClampP1", "ClampP1"]
    assert order("PerformanceMeasures", wanted) == wanted
    wanted = ["Sessions", "Groups", "Layers", "Kinds", "LiveUpdate", "Refresh"]
    assert order("EnsembleReader", wanted) == wanted


# -- values, errors, time, state ------------------------------------------------------------------
WORK = """
from paraview import servermanager, simple
from vtkmodules.util.numpy_support import vtk_to_numpy

def column(source, name):
    data = servermanager.Fetch(source)
    return [float(x) for x in vtk_to_numpy(data.GetCellData().GetArray(name))]

reader = simple.OpenDataFile(arguments["path"])
result["opened by"] = reader.GetXMLName()
scene = simple.GetAnimationScene()
scene.UpdateAnimationUsingDataTimeSteps()
result["times"] = list(reader.TimestepValues)
result["time keeper"] = list(simple.GetTimeKeeper().TimestepValues)
result["choices"] = {n: list(getattr(reader, n)) for n in ("Sessions", "Groups", "Layers", "Kinds")}
reader.UpdatePipeline(55.0)
result["accuracy at 55"] = column(reader, "validation_accuracy")
result["data time"] = reader.GetDataInformation().DataInformation.GetTime()

measures = simple.PerformanceMeasures(Input=reader)
measures.UpdatePipelineInformation()
result["metric choices"] = list(measures.GetProperty("MetricInfo"))
groups = simple.RunGroups(Input=measures)
groups.Groups = "good = #1f77b4 : top 3 P1\\nbad : bottom 2 combined and state == 'COMPLETE'"
groups.UpdatePipeline()
result["P1"] = column(groups, "P1")
measures.P1Step = 35
measures.IntervalStart, measures.IntervalEnd = 20, 60
measures.UseClampP3, measures.ClampP3 = 1, [1.5, 3.0]
measures.UseP1 = 0
groups.UpdatePipeline()
result["after"] = {n: column(groups, n) for n in ("P1", "P2", "P3", "combined", "group")}

def complaint(change, repair):
    with messages() as caught:
        change(); groups.UpdatePipeline()
    repair(); groups.UpdatePipeline()
    assert column(groups, "P1") == result["after"]["P1"]
    return caught.text

def set_(proxy, name, value):
    return lambda: setattr(proxy, name, value)

text = groups.Groups
result["complaints"] = [
    complaint(set_(measures, "IntervalEnd", 5), set_(measures, "IntervalEnd", 60)),
    complaint(set_(groups, "Groups", "x : p1 > 3"), set_(groups, "Groups", text)),
    complaint(
        set_(reader, "FileName", "/nowhere.pvens"), set_(reader, "FileName", arguments["path"])
    ),
]

with messages() as caught:
    sphere = simple.Sphere()
    wrong = simple.RunGroups(Input=sphere)
    wrong.UpdatePipeline()
result["wrong input"] = caught.text

reader.Layers = ["conv1"]
reader.Kinds = ["weight"]
tensors = servermanager.Fetch(reader, idx=1)
result["blocks"] = [
    tensors.GetMetaData(i).Get(tensors.NAME()) for i in range(tensors.GetNumberOfBlocks())
]
result["by name"] = simple.OutputPort(reader, "Tensors").Port
reader.Sessions = ["fine"]
reader.UpdatePipeline()
result["runs of session"] = column(reader, "run_index")
reader.Sessions = ["coarse", "fine"]

simple.SaveState(arguments["state"])
simple.ResetSession()
simple.LoadState(arguments["state"])
measures = simple.FindSource("PerformanceMeasures1")
groups = simple.FindSource("RunGroups1")
groups.UpdatePipeline()
result["restored"] = {
    "text": groups.Groups, "clamp": list(measures.ClampP3), "P1Step": measures.P1Step,
    "UseP1": measures.UseP1, "layers": list(measures.Input.Layers),
    "kinds": list(measures.Input.Kinds), "P1": column(groups, "P1"),
}
"""


@pytest.fixture(scope="module")
def found(truth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    return run_in_paraview(WORK, folder, path=str(truth.path), state=str(folder / "state.pvsm"))


def table(truth, **options):
    diverged = np.isin(np.arange(25), (3, 20))
    return performance_table(truth.steps, truth.accuracy, broken=diverged, **options)


def test_reader_opens_by_extension_and_publishes_its_time(found):
    assert found["opened by"] == "EnsembleReader"
    assert found["times"] == found["time keeper"] == [0.0, 50.0, 100.0]
    assert found["data time"] == 55.0


def test_reader_offers_what_there_is(found):
    assert found["choices"] == {
        "Sessions": ["coarse", "fine"],
        "Groups": ["g000", "g001"],
        "Layers": [],
        "Kinds": ["weight", "gradient", "correlation"],
    }


def test_reader_shows_values_at_the_time(found, truth):
    assert found["accuracy at 55"] == truth.accuracy[:, list(truth.steps).index(50)].tolist()


def test_changed_properties_change_the_values(found, truth):
    assert found["P1"] == table(truth)["P1"].tolist()
    after = table(truth, p1_step=35, interval=(20, 60), clamps={"P3": (1.5, 3.0)}, use=("P2", "P3"))
    for name in ("P1", "P2", "P3", "combined"):
        assert found["after"][name] == after[name].tolist(), name
    best = np.argsort(-after["P1"], kind="stable")[:3]
    assert set(np.flatnonzero(np.array(found["after"]["group"]) == 0)) == set(best)
    assert found["metric choices"] == ["", "validation_accuracy", "validation_loss"]


def test_mistakes_are_explained_in_output_messages(found):
    interval, expression, file = found["complaints"]
    assert "ERROR: Performance Measures: interval [20, 5]: the start is after the end" in interval
    assert "no column 'p1'; did you mean 'P1'?" in expression
    assert "ERROR: Ensemble Reader: /nowhere.pvens" in file
    assert "Run Groups: the input is not the runs of an ensemble" in found["wrong input"]
    for text in (*found["complaints"], found["wrong input"]):
        assert "Traceback" not in text


def test_second_output_holds_what_is_checked(found):
    # Fetch of ParaView 6 puts a number before the names.
    blocks = [re.sub(r"^Block \d+_", "", name) for name in found["blocks"]]
    assert blocks == ["g000/conv1.weight", "g001/conv1.weight"]
    assert found["by name"] == 1


def test_sessions_choose_runs(found):
    assert found["runs of session"] == list(range(13, 25))


def test_state_file_restores_all_properties(found):
    restored = found["restored"]
    assert restored["text"].startswith("good = #1f77b4 : top 3 P1\nbad : bottom 2")
    assert restored["clamp"] == [1.5, 3.0]
    assert (restored["P1Step"], restored["UseP1"]) == (35, 0)
    assert (restored["layers"], restored["kinds"]) == (["conv1"], ["weight"])
    assert restored["P1"] == found["after"]["P1"]


# -- the harness itself ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("assert 1 == 2, 'planted'", "planted"),
        ("from paraview import simple\nsimple.RunGroups(Input=simple.Sphere()).UpdatePipeline()",
         "not the runs of an ensemble"),
        ("import os\nos.abort()", "ended with"),
        ("raise SystemExit(0)", "ended with 0"),
    ],
)  # fmt: skip
def test_planted_failure_is_reported(body, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        run_in_paraview(body, tmp_path)


def test_planted_hang_is_reported(tmp_path):
    with pytest.raises(AssertionError, match="did not end in 3 s"):
        run_in_paraview("import time\ntime.sleep(60)", tmp_path, timeout=3)
