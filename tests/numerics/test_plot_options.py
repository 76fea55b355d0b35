"""The text options of plots."""

from __future__ import annotations

import pytest

from pvensemble.errors import OptionError
from pvensemble.numerics.plot_options import parse_names, parse_pairs, parse_ranges


def test_names_are_separated_by_semicolon_comma_or_line():
    assert parse_names("a; b,c\nd ;; ") == ["a", "b", "c", "d"]
    assert parse_names("") == []
    assert parse_names("size (w, h); b", ["size (w, h)", "b"]) == ["size (w, h)", "b"]


def test_pairs_and_ranges():
    assert parse_pairs("a = log; b=linear", "Scales") == {"a": "log", "b": "linear"}
    assert parse_pairs("x=y=log", "Scales") == {"x=y": "log"}
    expected = {"P1": (0.85, 0.93), "P2": (-1.0, 1e3)}
    assert parse_ranges("P1=0.85,0.93; P2 = [-1 1e3]") == expected


@pytest.mark.parametrize("text", ["a", "=log", "a=", "a=log;a=log"])
def test_broken_pairs_are_refused(text):
    with pytest.raises(OptionError, match="Scales"):
        parse_pairs(text, "Scales")


@pytest.mark.parametrize("text", ["a=1", "a=1,2,3", "a=x,y"])
def test_broken_ranges_are_refused(text):
    with pytest.raises(OptionError, match="two numbers"):
        parse_ranges(text)
