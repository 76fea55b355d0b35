"""Training is steered while pipelines look on, on one rank and on two: they see what changes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from insitu_cases import train
from test_insitu_ranks import train_on
from test_insitu_train import rows, script
from training_cases import differences, everything

from pvensemble.insitu.agenda import Agenda
from pvensemble.store import Ensemble
from pvensemble.store.log import acknowledged_by

ASKS = """
import json
import time
from paraview import catalyst, simple as pv
from pvensemble.insitu.settings import settings
from pvensemble.store import Ensemble
from pvensemble.store.log import send_request
from pvensemble.store.steering import add_request, record_request, stop_request
from vtkmodules.vtkParallelCore import vtkMultiProcessController

OPTIONS = {"at": ("5", "step at which it asks"), "what": ("stop,record,add", "what it asks for")}
DRAWS = False
REQUESTS = {
    "stop": stop_request([0], "planted"),
    "record": record_request(every=2, layers=["all"], kinds=["weight"]),
    "add": add_request({"learning_rate": [0.02, 0.03], "model.conv1": [5]}),
}
options = catalyst.Options()
runs = pv.TrivialProducer(registrationName="runs")
tensors = pv.TrivialProducer(registrationName="tensors")
controller = vtkMultiProcessController.GetGlobalController()
rank = controller.GetLocalProcessId() if controller else 0

def output(source, time):
    source.UpdatePipeline(time)
    return source.GetClientSideObject().GetOutputDataObject(0)

def catalyst_execute(info):
    table, blocks = output(runs, info.time), output(tensors, info.time)
    held = [blocks.GetMetaData(i).Get(blocks.NAME()) for i in range(blocks.GetNumberOfBlocks())
            if blocks.GetBlock(i)]
    states = table.GetCellData().GetAbstractArray("state")
    found = {
        "step": info.timestep,
        "last": settings().last_step,
        "states": [states.GetValue(i) for i in range(table.GetNumberOfCells())] if states else [],
        "held": sorted(name for name in held if "image" not in name),  # of the files alone
    }
    with open(f"{settings().output.name}{rank}.jsonl", "a") as file:
        file.write(json.dumps(found) + "\\n")
    if rank == 0 and info.timestep == int(settings()["at"]):
        for name in settings().names("what"):
            send_request(Ensemble.open(settings().ensemble), REQUESTS[name])
        time.sleep(1.1)  # the trainer looks once a second
"""


def seen(folder, who="asks0"):
    return [json.loads(line) for line in (folder / f"{who}.jsonl").read_text().splitlines()]


def check_stored(folder, plain):
    """Each request was accepted; runs that none concerns are as without; return the ensemble."""
    ensemble = Ensemble.open(folder / "e.pvens")
    for number in (1, 2, 3):
        assert {*acknowledged_by(ensemble, number).values()} == {"accepted"}
    table = ensemble.run_table()
    assert table["state"].tolist() == ["PRUNED"] + ["COMPLETE"] * 5
    assert table["session"].tolist() == ["grid"] * 4 + ["added 3"] * 2
    mine = everything(ensemble.path)
    names = [
        name for name in plain if " weight " in name and name.split()[-1] in {*table["run_id"][1:4]}
    ]
    assert len(names) == 3 * 2 * 3  # runs, layers, steps
    assert differences({n: mine[n] for n in names}, {n: plain[n] for n in names}) == []
    np.testing.assert_array_equal(
        ensemble.curve("train_loss").values[1:4],
        plain["values train_loss"][np.argsort(np.argsort(table["run_id"][:4]))][1:4],
    )
    return ensemble


def changed(ensemble):
    """Return the step from which each group is recorded otherwise, by its name."""
    said = [(group.name, a) for group in ensemble.groups for a in group.index.acknowledged]
    return {name: answer.step for name, answer in said if answer.recording}


def named(ensemble):
    """Return the names of some volumes that are there since the change."""
    return {f"{name}/{layer}.weight" for name in changed(ensemble) for layer in ("conv1", "fc1")}


@pytest.mark.paraview
def test_pipelines_see_what_has_changed(tmp_path, plain):
    name = script(tmp_path, "asks.py", ASKS)
    done = train(tmp_path, "--workers", 0, f"--insitu={name}:every=5", "--insitu=extracts")
    assert done.returncode == 0, done.stderr
    assert "in situ" not in done.stderr
    ensemble = check_stored(tmp_path, plain)
    found = seen(tmp_path)
    assert [f["step"] for f in found] == [0, 5, 10, 15, 20]
    assert found[1]["states"] == ["RUNNING"] * 4
    assert found[2]["states"] == ["PRUNED"] + ["RUNNING"] * 5
    assert found[4]["states"] == ["PRUNED"] + ["COMPLETE"] * 5
    assert {*changed(ensemble)} == {"g000", "g001", "g002"}
    assert named(ensemble) <= {*found[3]["held"]}
    extracts = tmp_path / "e.insitu" / "extracts"
    steps = [int(row["timestep"]) for row in rows(extracts / "data.csv")]
    first = min(step for step in changed(ensemble).values() if step)
    assert 5 < first < 10
    assert steps == [0, *range(first + first % 2, 21, 2)]
    (table,) = (rows(extracts / r["FILE_table"]) for r in rows(extracts / "data.csv")[-1:])
    assert [r["run_id"] for r in table] == ensemble.run_table()["run_id"].tolist()
    assert table[5]["learning_rate"] == "0.03"


@pytest.mark.paraview
def test_runs_that_are_added_at_the_end_show_the_last_step_once_more(tmp_path):
    name = script(tmp_path, "asks.py", ASKS)
    done = train(
        tmp_path, "--workers", 0, f"--insitu={name}:every=10,at=20,what=add", "--insitu=extracts"
    )
    assert done.returncode == 0, done.stderr
    assert "in situ" not in done.stderr
    assert [(f["step"], len(f["states"])) for f in seen(tmp_path)] == [
        (0, 4),
        (10, 4),
        (20, 4),
        (20, 6),
    ]
    extracts = tmp_path / "e.insitu" / "extracts"
    assert [row["timestep"] for row in rows(extracts / "data.csv")] == ["0", "10", "20"]
    assert len(rows(extracts / "runs_000020.csv")) == 6


@pytest.mark.paraview
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="needs mpiexec")
def test_ranks_learn_together_what_has_changed(tmp_path, plain):
    name = script(tmp_path, "asks.py", ASKS)
    draws = script(tmp_path, "draws.py", ASKS.replace("DRAWS = False", ""))
    pipelines = f"{name}:every=5", "extracts", f"{draws}:every=5,at=-1"
    done = train_on(2, tmp_path, *(f"--insitu={text}" for text in pipelines))
    assert done.returncode == 0, done.stderr
    assert "in situ" not in done.stderr
    ensemble = check_stored(tmp_path, plain)
    ranks = [seen(tmp_path, who) for who in ("asks0", "asks1")]
    assert [f["step"] for f in ranks[0]] == [f["step"] for f in ranks[1]] == [0, 5, 10, 15, 20]
    assert ranks[0][2]["states"] == ["PRUNED"] + ["RUNNING"] * 5
    assert ranks[0][4]["states"] == ["PRUNED"] + ["COMPLETE"] * 5
    for at in zip(*ranks):
        if at[0]["step"] >= 15:
            names = named(ensemble)
            assert names <= {*at[0]["held"], *at[1]["held"]}
            assert not names & {*at[0]["held"]} & {*at[1]["held"]}
    for drawn, first, second in zip(seen(tmp_path, "draws0"), *ranks):
        assert (drawn["step"], drawn["states"]) == (first["step"], first["states"])
        assert drawn["held"] == sorted({*first["held"], *second["held"]})
    extracts = tmp_path / "e.insitu" / "extracts"
    steps = [int(row["timestep"]) for row in rows(extracts / "data.csv")]
    assert steps == [0, 10, 12, 14, 16, 18, 20]  # known to all from the step where they met
    assert len(rows(extracts / "runs_000020.csv")) == 6


# -- the steps that all go through -----------------------------------------------------------------
def walk(agenda, n=99):
    """Go through the next steps and return them."""
    steps = agenda.left[:n]
    assert all(agenda.reach(step) for step in steps)
    return steps


def test_an_agenda_goes_through_the_steps_of_all_groups():
    agenda = Agenda()
    assert (agenda.left, agenda.first, agenda.last) == ([], -1, -1)
    agenda.take_in([("a", (4, 8, 12), (8,)), ("b", (6, 12), (12,))])
    assert (agenda.first, agenda.last, agenda.recorded) == (4, 12, {8, 12})
    assert not agenda.reach(6)
    assert walk(agenda) == [4, 6, 8, 12]


def test_what_was_passed_does_not_come_again_and_what_was_taken_back_does_not_come():
    agenda = Agenda()
    agenda.take_in([("a", range(0, 21, 5), (0, 10, 20))])
    assert walk(agenda, 2) == [0, 5]
    agenda.take_in([("a", (8, 16, 20), (8, 16)), ("c", range(0, 31, 3), ())])
    assert walk(agenda, 3) == [6, 8, 9]
    assert (agenda.first, agenda.last, agenda.recorded) == (0, 30, {8, 16})
    assert walk(agenda) == [12, 15, 16, 18, 20, 21, 24, 27, 30]


def test_the_last_step_comes_once_more_for_runs_that_are_added_then():
    agenda = Agenda()
    agenda.take_in([("a", (0, 10), ())])
    walk(agenda)
    agenda.take_in([], reopen=True)
    assert agenda.left == []
    agenda.take_in([("b", (0, 5), ())], reopen=True)
    assert walk(agenda) == [10]
    assert agenda.last == 10
    agenda.take_in([("c", (0, 15), ())])
    assert walk(agenda) == [15]
