"""Which runs are at a place of a plot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvensemble.views import pick


def cells(*shapes) -> pick.Cells:
    """Cells from lists of corners; an empty list is an empty cell."""
    points = np.array([p for shape in shapes for p in shape], float).reshape(-1, 2)
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in shapes])])
    return pick.Cells(points, np.arange(len(points)), offsets)


def square(x, y, side=1.0):
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


LINES = cells([(0, 0), (2, 2)], [], [(0, 2), (2, 0)], [(0, 5), (2, 5)])


def test_lines_through_a_box_are_found_though_no_corner_is_inside():
    assert pick.lines_in_box(LINES, (0.9, 0.9, 1.1, 1.1)).tolist() == [0, 2]
    assert pick.lines_in_box(LINES, (0.4, 0.0, 0.6, 1.0)).tolist() == [0]
    assert pick.lines_in_box(LINES, (0.5, 4.9, 0.6, 5.1)).tolist() == [3]
    assert pick.lines_in_box(LINES, (3, 3, 4, 4)).tolist() == []


def test_a_level_line_is_hit_only_at_its_height():
    assert pick.lines_in_box(LINES, (0.5, 5.01, 0.6, 6)).tolist() == []


@given(
    st.lists(st.tuples(*[st.floats(-5, 5)] * 4), min_size=1, max_size=6),
    st.tuples(*[st.floats(-5, 5)] * 4),
)
def test_lines_in_a_box_agree_with_many_points_along_them(segments, corners):
    box = pick.box(*corners)
    found = set(pick.lines_in_box(cells(*[[s[:2], s[2:]] for s in segments]), box).tolist())
    t = np.linspace(0, 1, 2001)[:, None]
    margin = 0.02
    for k, (x0, y0, x1, y1) in enumerate(segments):
        x, y = ((1 - t) * [x0, y0] + t * [x1, y1]).T
        well_inside = (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])
        near = (x > box[0] - margin) & (x < box[2] + margin)
        near &= (y > box[1] - margin) & (y < box[3] + margin)
        if well_inside.any():
            assert k in found
        if not near.any():
            assert k not in found


def test_the_nearest_line_in_reach_is_picked_and_none_beyond():
    assert pick.nearest_line(LINES, 1.5, 1.45, 0.2).tolist() == [0]
    assert pick.nearest_line(LINES, 1.5, 0.45, 0.2).tolist() == [2]
    assert pick.nearest_line(LINES, 1.0, 3.5, 0.2).tolist() == []


def test_lines_that_lie_upon_each_other_are_picked_together():
    twice = cells([(0, 0), (1, 1)], [(0, 1), (1, 0)], [(0, 0), (1, 1)])
    assert pick.nearest_line(twice, 0.25, 0.26, 0.1).tolist() == [0, 2]


def test_the_nearest_line_counts_its_ends():
    assert pick.nearest_line(cells([(0, 0), (1, 0)]), 1.1, 0, 0.15).tolist() == [0]
    assert pick.nearest_line(cells([(0, 0), (1, 0)]), 1.2, 0, 0.15).tolist() == []


def test_no_lines_at_all():
    nothing = cells([], [])
    assert pick.nearest_line(nothing, 0, 0, 1).tolist() == []
    assert pick.lines_in_box(nothing, (0, 0, 1, 1)).tolist() == []
    assert pick.areas_in_box(nothing, (0, 0, 1, 1)).tolist() == []
    assert pick.nearest_point(nothing, 0, 0, 1).tolist() == []


GRID = cells(square(0, 0), [], square(1, 0), square(0, 1), square(1, 1))


@pytest.mark.parametrize(
    ("at", "expected"),
    [((0.5, 0.5), [0]), ((1.5, 0.2), [2]), ((1.0, 0.5), [2]), ((0.5, 1.0), [3]), ((3, 3), [])],
)
def test_a_click_takes_one_cell_also_on_a_border(at, expected):
    assert pick.areas_in_box(GRID, pick.box(*at, *at)).tolist() == expected


def test_a_drag_takes_the_cells_it_touches_inside():
    assert pick.areas_in_box(GRID, pick.box(1.5, 0.5, 0.5, 0.6)).tolist() == [0, 2]
    assert pick.areas_in_box(GRID, pick.box(0.2, 0.2, 1.0, 1.0)).tolist() == [0]
    assert pick.areas_in_box(GRID, pick.box(-1, -1, 3, 3)).tolist() == [0, 2, 3, 4]


def test_a_straight_drag_takes_the_cells_along_it():
    assert pick.areas_in_box(GRID, pick.box(0.5, 0.5, 0.5, 1.5)).tolist() == [0, 3]
    assert pick.areas_in_box(GRID, pick.box(1.0, 0.5, 1.0, 1.5)).tolist() == [2, 4]


def test_points():
    dots = cells([(0, 0), (1, 0)], [(0, 1), (1, 1)], [])
    assert pick.nearest_point(dots, 0.9, 0.8, 0.3).tolist() == [1]
    assert pick.nearest_point(dots, 0.5, 0.5, 0.3).tolist() == []
    assert pick.points_in_box(dots, (0.5, -0.5, 1.5, 0.5)).tolist() == [0]


GLYPHS = cells(square(0, 0), [(0.6, 0.2), (1.4, 0.2), (1.0, 0.9)], [], square(3, 3), square(3, 3))


def test_a_click_takes_the_glyph_whose_middle_is_nearest():
    assert pick.glyphs_in_box(GLYPHS, 0.7, 0.5, 0.7, 0.5).tolist() == [0]
    assert pick.glyphs_in_box(GLYPHS, 0.9, 0.4, 0.9, 0.4).tolist() == [1]
    assert pick.glyphs_in_box(GLYPHS, 3.2, 3.2, 3.2, 3.2).tolist() == [3, 4]
    assert pick.glyphs_in_box(GLYPHS, 2.5, 2.5, 2.5, 2.5).tolist() == []


def test_a_drag_takes_all_glyphs_it_touches():
    assert pick.glyphs_in_box(GLYPHS, 0.9, 0.4, 0.8, 0.5).tolist() == [0, 1]


def test_the_axis_in_reach():
    x = np.array([0.0, 5.0, 10.0])
    assert pick.near_axis(x, 5.3, 0.5) == 1
    assert pick.near_axis(x, 6.0, 0.5) is None
    assert pick.near_axis(np.empty(0), 0, 1) is None
