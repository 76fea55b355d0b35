"""``pvensemble import`` makes an ensemble of a table."""

from __future__ import annotations

import numpy as np
import pytest

from pvensemble.cli import main
from pvensemble.store import Ensemble

TABLE = "op,width,acc,loss\nnone,4,50,1.5\nskip,8,75,\nconv,8,90.5,0.25\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


def test_rows_become_runs(table, tmp_path, capsys):
    out = tmp_path / "t.pvens"
    arguments = ["--parameters", "op,width", "--metrics", "accuracy=acc", "--scale", "0.01"]
    assert main(["import", str(table), "-o", str(out), *arguments]) == 0
    assert "3 runs" in capsys.readouterr().out
    ensemble = Ensemble.open(out)
    assert list(ensemble.run_table()["op"]) == ["none", "skip", "conv"]
    assert list(ensemble.run_table()["width"]) == [4, 8, 8]
    np.testing.assert_allclose(ensemble.curve("accuracy").values[:, 0], [0.5, 0.75, 0.905])


def test_unknown_column_is_named(table, tmp_path, capsys):
    out = tmp_path / "t.pvens"
    arguments = ["--parameters", "opp", "--metrics", "acc"]
    assert main(["import", str(table), "-o", str(out), *arguments]) == 2
    message = capsys.readouterr().err
    assert "'opp'" in message
    assert "did you mean 'op'?" in message
    assert not out.exists()
