"""What ``--insitu`` is told: which script, when, with which values."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pvensemble.cli import main
from pvensemble.errors import ConfigError, ExpressionError
from pvensemble.insitu.cinema import CinemaIndex
from pvensemble.insitu.clock import Clock
from pvensemble.insitu.pipeline import SHIPPED, parse, shipped
from pvensemble.insitu.trigger import Trigger

ALL = ", ".join(shipped())


def script(tmp_path: Path, text: str = "", name: str = "mine.py") -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def test_values_are_split_at_keys_so_that_they_may_hold_commas_and_comparisons(tmp_path):
    name = script(tmp_path, 'OPTIONS = {"scene": ("none", "what")}')
    text = f"{name}:every=10,scene=performance,topology,when=max(a) >= 0.9 and b in [1, 2],first=no"
    (pipeline,) = parse([text])
    assert pipeline.script == Path(name)
    assert pipeline.options == {"scene": "performance,topology"}
    assert pipeline.trigger == Trigger(
        every=10, when="max(a) >= 0.9 and b in [1, 2]", first=False, last=False
    )


def test_defaults(tmp_path):
    (pipeline,) = parse([script(tmp_path, 'OPTIONS = {"color": ("red", "of runs")}')])
    assert pipeline.options == {"color": "red"}
    assert pipeline.trigger == Trigger()
    assert (pipeline.trigger.first, pipeline.trigger.last, pipeline.trigger.at_recorded) == (
        True,
    ) * 3
    assert (pipeline.tensors, pipeline.output, pipeline.draws) == (False, None, True)


def test_each_pipeline_has_a_name_of_its_own(tmp_path):
    name = script(tmp_path)
    assert [p.name for p in parse([name, "extracts", name])] == ["mine", "extracts", "mine-2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extract", r"got 'extract', allowed: a Python script, or one of .*extracts"),
        ("gone.py", r"there is no file 'gone.py'"),
        ("extracts:evry=3", r"no key 'evry'; did you mean 'every'"),
        ("extracts:every=0", r"every: got '0', allowed: a whole number of at least 1"),
        ("extracts:every=1.5", r"every: got '1.5'"),
        ("extracts:seconds=nan", r"seconds: got 'nan', allowed: a number above 0"),
        ("extracts:last=true", r"last: got 'true', allowed: yes, no"),
        ("extracts:when=max(a", r"insitu extracts: when: expression 'max\(a'"),
        ("extracts:tensors=yes", r"tensors=yes needs every=N"),
        ("extracts:write=xml", r"insitu extracts: write: got 'xml', allowed: any of vtp, csv$"),
        ("extracts:write=csv,xml", r"write: got 'csv,xml'"),
        ("extracts:plots=Foo", r"plots: got 'Foo', allowed: any of ParallelCoordinates, Loss"),
        ("images:size=abc", r"size: got 'abc', allowed: WxH like 1920x1200, from 300x200 to 16384"),
        ("images:size=640x0", r"size: got '640x0'"),
        ("images:size=" + "9" * 5000 + "x400", r"size: got '999"),
        ("images:views=true", r"views: got 'true', allowed: yes, no"),
        ("images:scene=nosuch", r"scene: got 'nosuch', allowed: any of performance, .*weights, or"),
        ("images:scene=topology,gone.py", r"scene: got 'topology,gone.py'"),
        (f"images:scene={__file__}", r"a scene file \(\.py\) that is there \(.* makes no scene"),
        ("live:port=x", r"insitu live: port: got 'x', allowed: a whole number from 1 to 65535$"),
        ("live:port=65536", r"port: got '65536'"),
        ("live:port=", r"port: got ''"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ConfigError, match=message):
        parse([text])


def test_a_backend_without_a_pipeline_is_told(capsys, tmp_path):
    command = ["train", "digits", "-o", str(tmp_path / "x.pvens"), "--dry-run"]
    assert main([*command, "--insitu-backend", "catalyst2"]) == 2
    assert "--insitu-backend: goes with --insitu, which says what is run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def x(:", r"mine\.py is not Python: line 1"),
        ("OPTIONS = {1: 2}", r"OPTIONS must be a plain dictionary"),
        ("OPTIONS = dict(a=1)", r"OPTIONS must be a plain dictionary"),
        ("OPTIONS = {'a': ('1', 'text', 'whole')}", r"OPTIONS: a: there is no rule 'whole'; there"),
        ("OPTIONS = {'a': ('1', 'text', ('number', 'x'))}", r"rule 'number' does not take \('x',"),
        ("OPTIONS = {'a': ('1', 'text', ('number', 1, 2, 3))}", r"rule 'number' does not take"),
        ("OPTIONS = {'a': ('1', 'text', 5)}", r"OPTIONS must be a plain dictionary"),
    ],
)
def test_a_script_that_cannot_be_used_is_named_before_training(tmp_path, source, message):
    with pytest.raises(ConfigError, match=message):
        parse([script(tmp_path, source)])


@pytest.mark.parametrize(
    ("rule", "good", "bad", "allowed"),
    [
        ("whole number", "-3", "1.5", "a whole number"),
        (("whole number", 2), "2", "1", "a whole number of at least 2"),
        (("number", None, 1), "-1e3", "1.01", "a number of at most 1"),
        (("number", 0, 1), "0.5", "nan", "a number from 0 to 1"),
        (("number above", 0), "1e-9", "0", "a number above 0"),
        (("one of", "red", "blue"), "blue", "red,blue", "red, blue"),
        (("any of", "red", "blue"), "red, blue", "green", "any of red, blue"),
        ("picture size", "300x200", "300x", "WxH like 1920x1200, from 300x200 to 16384x16384"),
        ("scenes", "performance, topology", "", "any of .*, or a scene file"),
    ],
)
def test_a_script_of_ones_own_says_which_values_it_takes(tmp_path, rule, good, bad, allowed):
    name = script(tmp_path, f"OPTIONS = {{'key': ('any default', 'what it is', {rule!r})}}")
    for value in (good, "any default"):
        (pipeline,) = parse([f"{name}:key={value}"])
        assert pipeline.options == {"key": value}
    with pytest.raises(ConfigError, match=f"mine.py: key: got {bad!r}, allowed: {allowed}"):
        parse([f"{name}:key={bad}"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gone.py", ": there is no file 'gone.py', allowed: a Python script, or one of " + ALL),
        ("extracts:write=xml", " extracts: write: got 'xml', allowed: any of vtp, csv"),
    ],
)
def test_a_mistake_ends_the_command_with_status_2(tmp_path, capsys, text, message):
    path = tmp_path / "e.pvens"
    assert main(["train", "digits", "-o", str(path), "--insitu", text]) == 2
    assert capsys.readouterr().err == f"pvensemble: --insitu{message}\n"
    assert not path.exists()


def test_list_tells_of_every_shipped_pipeline_and_key(capsys):
    assert main(["train", "--insitu", "list"]) == 0
    text = capsys.readouterr().out
    assert shipped() == sorted(p.stem for p in SHIPPED.glob("[a-z]*.py"))
    for word in (*shipped(), "every=N", "seconds=T", "when=", "first=", "tensors=", "output="):
        assert word in text


# -- triggers --------------------------------------------------------------------------------------
def fired(
    trigger: Trigger, accuracy=lambda step: 0.0, seconds=lambda step: float(step)
) -> list[int]:
    """Return the steps 0 … 20 at which a trigger fires; every tenth is recorded."""
    found = []
    for step in range(21):
        first, last = step == 0, step == 20
        if trigger.may(step, recorded=step % 10 == 0, first=first, last=last):
            edge = (first and trigger.first) or (last and trigger.last)

            def columns(step=step):
                return {"accuracy": np.array([0.0, accuracy(step)])}

            if trigger.due(seconds(step), columns, edge=edge):
                found.append(step)
    return found


def test_without_a_word_it_fires_where_tensors_are_recorded():
    assert fired(Trigger()) == [0, 10, 20]


def test_every():
    assert fired(Trigger(every=8)) == [0, 8, 16, 20]
    assert fired(Trigger(every=8, first=False, last=False)) == [0, 8, 16]
    assert fired(Trigger(every=30, first=False, last=False)) == [0]
    assert list(Trigger(every=8).steps(20)) == [0, 8, 16]


def test_seconds_count_from_the_last_time():
    assert fired(Trigger(seconds=7)) == [0, 7, 14, 20]
    assert fired(Trigger(seconds=7, last=False), seconds=lambda s: 3.0 * s) == [
        0,
        3,
        6,
        9,
        12,
        15,
        18,
    ]


def test_when_fires_as_it_becomes_true_and_again_after_it_was_not():
    rises = Trigger(when="max(accuracy) > 0.5", first=False, last=False)
    assert fired(rises, lambda s: s / 20) == [11]
    twice = Trigger(when="accuracy > 0.5", first=False, last=False)
    assert fired(twice, lambda s: s % 8 / 8) == [5, 13]


def test_when_with_every_fires_while_it_holds():
    both = Trigger(when="accuracy > 0.5", every=4, first=False, last=False)
    assert fired(both, lambda s: s / 20) == [12, 16, 20]


def test_metrics_that_come_later_are_not_yet_there_and_others_are_a_mistake():
    assert fired(Trigger(when="test_accuracy > 0", first=False, last=False)) == []
    with pytest.raises(ExpressionError, match="no column 'acuracy'; did you mean 'accuracy'"):
        fired(Trigger(when="acuracy > 0"))


# -- steps of several groups -----------------------------------------------------------------------
def test_a_step_is_over_when_no_group_is_behind_it():
    clock: Clock[str] = Clock([("a", 0), ("b", 0), ("c", None)])
    clock.put("a", 0, "a0", 5)
    assert list(clock.take()) == []
    clock.put("a", 5, "a5", 10)
    clock.put("b", 0, "b0", 10)
    assert list(clock.take()) == [(0, [("a", "a0"), ("b", "b0")]), (5, [("a", "a5")])]
    clock.put("b", 10, "b10", None)
    assert list(clock.take()) == []
    clock.put("a", 10, "a10", 20)
    assert list(clock.take()) == [(10, [("b", "b10"), ("a", "a10")])]
    clock.put("a", 20, "a20", None)
    assert list(clock.take()) == [(20, [("a", "a20")])]


# -- Cinema ----------------------------------------------------------------------------------------
def test_an_index_goes_on_after_a_resume_and_forgets_what_is_done_again(tmp_path):
    def add(index, step, **files):
        index.add(step, {f"FILE_{k}": tmp_path / v for k, v in files.items()})

    first = CinemaIndex(tmp_path)
    add(first, 0, runs="a.vtp")
    add(first, 10, runs="b.vtp")
    add(first, 20, runs="c.vtp")
    second = CinemaIndex(tmp_path)
    add(second, 10, runs="d.vtp", plot="p,1.vtp")
    with (tmp_path / "data.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows == [
        {"timestep": "0", "FILE_runs": "a.vtp", "FILE_plot": ""},
        {"timestep": "10", "FILE_runs": "d.vtp", "FILE_plot": "p,1.vtp"},
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.csv"]
