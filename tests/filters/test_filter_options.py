"""What filters on layers share: choices, and what headings say."""

from __future__ import annotations

import pytest

from pvensemble.errors import OptionError
from pvensemble.filters._options import at_step, check_choice, check_threshold, one_of


def test_steps_are_written_with_separators():
    assert at_step("conv2", 12000) == "conv2, step 12,000"
    assert at_step("fc1", 500, 1000) == "fc1, step 500 and 1,000"


def test_a_choice_is_its_text_or_position():
    assert [one_of(("a", "b"), value) for value in (0, 1, "b", 2, -1)] == ["a", "b", "b", 2, -1]


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(OptionError, match=r"Order: got 'clusterd'.*clustered"):
        check_choice("Order", "clusterd", ("clustered", "original"))
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionError, match="between 0 and 1"):
            check_threshold(threshold)
