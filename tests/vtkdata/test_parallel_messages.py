"""Messages among processes: what is sent arrives, in however many pieces; who takes which share."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.vtkdata import parallel
from pvensemble.vtkdata.parallel import Message, share


def sent(message: Message) -> tuple[Message, int]:
    """Return a message as it arrives, and in how many pieces it was sent."""
    pieces = list(parallel._parts(message))
    assert all(len(piece) for piece in pieces)
    waiting = iter(pieces)
    arrived = parallel._joined(lambda: next(waiting))
    assert next(waiting, None) is None
    return arrived, len(pieces)


ARRAYS = [
    np.arange(12, dtype=np.int64).reshape(3, 4),
    np.linspace(0, 1, 7, dtype=np.float32)[::2],
    np.empty((0, 5), np.float64),
    np.array([True, False]),
]


@pytest.mark.parametrize(("small", "chunk", "n_pieces"), [(2**20, 2**28, 1), (10, 16, 9)])
def test_what_is_sent_arrives(monkeypatch, small, chunk, n_pieces):
    monkeypatch.setattr(parallel, "_SMALL", small)
    monkeypatch.setattr(parallel, "_CHUNK", chunk)
    head = {"part": "read", "options": {"step": None, "name": "g000/conv1·weight", "x": 0.1}}
    arrived, n = sent(Message(head, ARRAYS))
    assert arrived.head == head
    assert n == n_pieces
    for array, expected in zip(arrived.arrays, ARRAYS):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
        array[...] = 0  # whoever gets it may write to it


def test_a_message_of_a_head_alone():
    assert sent(Message({"part": ""})) == (Message({"part": ""}, []), 1)


@pytest.mark.parametrize(("n", "size"), [(0, 2), (1, 3), (5, 2), (7, 3), (13, 4), (4, 4)])
def test_shares_are_neighbours_and_the_first_ones_are_larger(n, size):
    shares = [range(n)[share(n, rank, size)] for rank in range(size)]
    assert [i for one in shares for i in one] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert n == 0 or len(shares[0]) == max(map(len, shares))


def test_one_process_is_alone():
    assert parallel.processes() is None
