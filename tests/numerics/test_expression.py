"""Expressions, run sets and groups as text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvensemble.errors import ExpressionError
from pvensemble.numerics.expression import evaluate
from pvensemble.numerics.groups import OUTSIDE, RunGroup, assign_groups, format_groups, parse_groups
from pvensemble.numerics.runs import format_runs, parse_runs

COLUMNS = {
    "run_index": np.arange(5),
    "P1": np.array([0.9, 0.5, 0.7, 0.0, 0.5]),
    "lr": np.array([0.1, 0.01, 0.001, 1.0, np.nan]),
    "n": np.array([1, 2, 3, 4, 5]),
    "nesterov": np.array([0, 1, 0, 1, 1], np.uint8),
    "optimizer": np.array(["sgd", "adam", "sgd", "rmsprop", ""]),
    "weight norm:conv1.weight": np.array([1.0, 2, 3, 4, 5]),
}


@pytest.mark.parametrize(
    ("expression", "runs"),
    [
        ("P1 > 0.5", [0, 2]),
        ("P1 >= 0.5 and lr < 0.05", [1, 2]),
        ("P1 > 0.8 or n == 4", [0, 3]),
        ("not P1 > 0.5", [1, 3, 4]),
        ("0.4 < P1 <= 0.7", [1, 2, 4]),
        ("1 < n < 4 < 5", [1, 2]),
        ("n in [1, 3, 17]", [0, 2]),
        ("n not in (1, 3)", [1, 3, 4]),
        ('optimizer == "sgd"', [0, 2]),
        ("optimizer != 'sgd'", [1, 3, 4]),
        ('optimizer in ["adam", "rmsprop"]', [1, 3]),
        ("nesterov", [1, 3, 4]),
        ("nesterov == True and n < 5", [1, 3]),
        ("nesterov == false", [0, 2]),
        ("not nesterov", [0, 2]),
        ("True", [0, 1, 2, 3, 4]),
        ("false", []),
        ("log10(lr) == -2", [1]),
        ("abs(n - 3) <= 1", [1, 2, 3]),
        ("2 * n - 1 > n ** 2 / 2", [0, 1, 2]),
        ("-n < -4", [4]),
        ("lr == 0.1 * 0.1", [1]),  # to nine digits
        ("lr != 0.1", [1, 2, 3]),  # a missing value fulfils nothing
        ("lr < 1e9", [0, 1, 2, 3]),
        ("top 2 P1", [0, 2]),
        ("top 3 P1", [0, 1, 2]),  # of the tied 1 and 4 the first
        ("bottom 1 P1", [3]),
        ("bottom 2 lr", [1, 2]),
        ("top 99 lr", [0, 1, 2, 3]),
        ("top 0 P1", []),
        ("top 3 P1 and lr < 0.05", [1, 2]),
        ("not top 3 P1", [3, 4]),
        ("runs 0-2,4", [0, 1, 2, 4]),
        ("runs 3 , 1 - 2 and n > 2", [2, 3]),
        ("`weight norm:conv1.weight` > 3.5", [3, 4]),
        ("top 1 `weight norm:conv1.weight`", [4]),
        ('optimizer == "top 2 P1"', []),  # inside a text nothing is special
        ("(P1 > 0.5\n  and n == 1)", [0]),
        ("1 / (n - n) > 0", [0, 1, 2, 3, 4]),
        ("9 ** 9 ** 9 > 1", [0, 1, 2, 3, 4]),
    ],
)
def test_chosen_runs(expression, runs):
    chosen = evaluate(expression, COLUMNS)
    assert chosen.dtype == bool
    assert chosen.shape == (5,)
    assert np.flatnonzero(chosen).tolist() == runs


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "it is empty"),
        ("P1 >", "cannot be read"),
        ("P1 = 0.5", r"cannot be read: .*\(equality is written ==\)"),
        ("p1 > 0.5", "no column 'p1'; did you mean 'P1'"),
        ("zzz > 0.5", "no column 'zzz'; there are: run_index, P1"),
        ("top 3 p1", "no column 'p1'; did you mean 'P1'"),
        ("top 3 optimizer", "'optimizer' holds texts"),
        ("optimizer > 1", "text is compared with a number"),
        ("P1 == 'sgd'", "text is compared with a number"),
        ("optimizer > 'a'", "texts have no order"),
        ("optimizer", "neither true nor false"),
        ("not optimizer", "neither true nor false"),
        ("optimizer + 1 > 2", "cannot be calculated"),
        ("log(lr) > 1", "no function 'log'; did you mean"),
        ("log10(lr, 2) > 1", "takes one value"),
        ("P1 > 0.5 & n > 2", "write 'and' instead of '&'"),
        ("P1 > 0.5 | n > 2", r"write 'or' instead of '\|'"),
        ("~nesterov", "write 'not'"),
        ("n ^ 2 > 3", r"write '\*\*'"),
        ("n % 2 == 0", r"only \+ - \* / \*\*"),
        ("n is 3", "instead of 'is'"),
        ("n in P1", "after 'in' comes a list"),
        ("n in 'abc'", "after 'in' comes a list"),
        ("runs 0-9", "no run 9; there are runs 0 to 4"),
        ("None", "neither a number nor a text"),
        ("n > 1j", "neither a number nor a text"),
        ("__import__('os').system('true')", "no function"),
        ("().__class__", "only comparisons"),
        ("[x for x in P1]", "only comparisons"),
        ("lambda: 1", "only comparisons"),
        ("P1[0] > 1", "only comparisons"),
        ("f'{P1}'", "cannot be read|only comparisons"),
        ("(n := 3)", "only comparisons"),
        ("n if n else P1", "only comparisons"),
        ("not " * 200 + "nesterov", "nested too deeply"),
        ("(" * 1000 + "n" + ")" * 1000, "cannot be read"),
        ("n > 1 and " * 1000 + "n > 1", "longer than 5000"),
        ("n > 1\0", "cannot be read"),
    ],
)
def test_refused_with_reason(expression, message):
    with pytest.raises(ExpressionError, match=message):
        evaluate(expression, COLUMNS)


def test_runs_mean_run_index_when_some_are_left_out():
    columns = {"run_index": np.array([3, 5, 7]), "P1": np.array([0.1, 0.2, 0.3])}
    assert evaluate("runs 5-7", columns).tolist() == [False, True, True]


@given(st.text(max_size=40))
def test_any_text_gives_a_choice_or_the_documented_error(text):
    try:
        chosen = evaluate(text, COLUMNS)
    except ExpressionError:
        return
    assert chosen.shape == (5,)


# -- sets of runs ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", []),
        ("0-4,9", [0, 1, 2, 3, 4, 9]),
        (" 9, 3 3-4 ", [3, 4, 9]),
        ("7 - 8", [7, 8]),
        ("5-5", [5]),
    ],
)
def test_parse_runs(text, runs):
    assert parse_runs(text, 10).tolist() == runs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "'x' is neither a run like 7 nor a range"),
        ("1-", "neither"),
        ("-3", "neither"),
        ("4-2", "ends before it starts"),
        ("10", "no run 10; there are runs 0 to 9"),
        ("0-99999999999", "no run 99999999999"),
    ],
)
def test_parse_runs_refuses(text, message):
    with pytest.raises(ExpressionError, match=message):
        parse_runs(text, 10)


def test_parse_runs_of_nothing():
    with pytest.raises(ExpressionError, match="there are no runs"):
        parse_runs("0", 0)


@pytest.mark.parametrize(
    ("runs", "text"),
    [([], ""), ([3], "3"), ([4, 3, 3, 9], "3-4,9"), (range(5), "0-4"), ([0, 2, 4], "0,2,4")],
)
def test_format_runs(runs, text):
    assert format_runs(runs) == text


@given(st.sets(st.integers(0, 300)))
def test_run_sets_survive_the_round_trip(runs):
    assert parse_runs(format_runs(runs), 301).tolist() == sorted(runs)


# -- groups ---------------------------------------------------------------------------------------
def test_parse_groups():
    text = """
    # my groups
    good = #1F77b4 : top 2 P1
    slow one : lr < 0.01 and optimizer == "sgd"
    """
    assert parse_groups(text) == [
        RunGroup("good", "#1f77b4", "top 2 P1"),
        RunGroup("slow one", "#1f77b4", 'lr < 0.01 and optimizer == "sgd"'),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("good", "line 1: got 'good', expected 'name = #rrggbb : expression'"),
        ("good :", "line 1"),
        (": P1 > 1", "line 1"),
        ("good = red : P1 > 1", "the colour 'red', expected one like"),
        ("a : n > 1\na : n > 2", "line 2: there is a group 'a' already"),
    ],
)
def test_parse_groups_refuses(line, message):
    with pytest.raises(ExpressionError, match=message):
        parse_groups(line)


def test_run_belongs_to_the_first_group_that_holds_it():
    groups = parse_groups("a = #ff0000 : P1 >= 0.5\nb = #00ff00 : n > 2\nc = #0000ff : n > 90")
    group, color = assign_groups(groups, COLUMNS, 5)
    assert group.tolist() == [0, 0, 0, 1, 0]
    assert color[[0, 3]].tolist() == [[255, 0, 0], [0, 255, 0]]
    group, color = assign_groups(groups[1:], COLUMNS, 5)
    assert group.tolist() == [-1, -1, 0, 0, 0]
    assert tuple(color[0]) == OUTSIDE


def test_wrong_expression_names_its_group():
    with pytest.raises(ExpressionError, match="group 'bad': expression 'q > 1': there is no col"):
        assign_groups(parse_groups("ok : n > 1\nbad : q > 1"), COLUMNS, 5)


def test_groups_survive_the_round_trip():
    groups = parse_groups("a : n > 1\nb = #123456 : runs 0-3")
    assert parse_groups(format_groups(groups)) == groups
