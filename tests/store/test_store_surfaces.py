"""Loss surfaces on disk: what is read is what was written; what is damaged is never shown."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from store_samples import write_sample

from pvensemble.errors import CorruptFileError, NotRecordedError, StoreError
from pvensemble.store import Ensemble, LossSurface
from pvensemble.store.check import check_ensemble
from pvensemble.store.surfaces import write_surface


def sample(name="bowl", *, n_path=4, **meta) -> LossSurface:
    """A surface of two runs over 3 x 5 points, one of them infinite and one not computed."""
    loss = np.arange(15.0).reshape(3, 5)
    loss[2, 3:] = np.inf, np.nan
    path = {
        f"path_{n}": np.linspace(0, k, n_path)
        for k, n in enumerate(("x", "y", "distance", "loss", "accuracy"))
    }
    return LossSurface(
        name,
        {"runs": ["r0", "r1"], "complete": True, **meta},
        x=np.linspace(-1, 1, 5),
        y=np.linspace(-2, 2, 3),
        loss=loss,
        accuracy=loss / 15,
        run_x=np.array([0.0, 1.0]),
        run_y=np.array([0.0, 0.5]),
        run_loss=np.array([0.1, 0.2]),
        run_accuracy=np.array([0.9, 0.8]),
        path_run=np.zeros(n_path, np.int64),
        path_step=np.arange(n_path, dtype=np.int64),
        **path,
    )


def assert_same(a: LossSurface, b: LossSurface) -> None:
    assert (a.name, dict(a.meta)) == (b.name, dict(b.meta))
    for name, array in a.arrays().items():
        np.testing.assert_array_equal(array, b.arrays()[name], err_msg=name)
        assert array.dtype == b.arrays()[name].dtype


@pytest.fixture
def path(tmp_path):
    return write_sample(tmp_path / "small.pvens")


@pytest.mark.parametrize("n_path", [4, 0])
def test_what_is_read_is_what_was_written(path, n_path):
    write_surface(path, sample(n_path=n_path), 1.0)
    ensemble = Ensemble.open(path)
    assert ensemble.surfaces() == ensemble.summary()["surfaces"] == ["bowl"]
    assert_same(ensemble.surface("bowl"), sample(n_path=n_path))
    # By a route that is not the store's own reader.
    with h5py.File(path.with_name("small.pvens.d") / "surfaces" / "bowl.000.hdf") as file:
        np.testing.assert_array_equal(file["loss"][()], sample().loss)


def test_the_newest_comes_last_and_is_the_default(path):
    for name, written in (("b", 2.0), ("c", 1.0), ("a", 3.0)):
        write_surface(path, sample(name), written)
    ensemble = Ensemble.open(path)
    assert ensemble.surfaces() == ["c", "b", "a"]
    assert ensemble.surface().name == "a"


def test_a_later_state_replaces_an_earlier_one_which_stays_on_disk(path):
    write_surface(path, sample(complete=False), 1.0)
    later = replace(sample(), loss=np.zeros((3, 5)))
    write_surface(path, later, 2.0)
    assert_same(Ensemble.open(path).surface("bowl"), later)
    before = check_ensemble(path)
    assert not before.findings
    for name in ("bowl.000.hdf", "bowl.001.hdf"):
        file = path.with_name("small.pvens.d") / "surfaces" / name
        content = file.read_bytes()
        file.write_bytes(content[:-3] + b"abc")
        assert [f.path for f in check_ensemble(path).problems] == [str(file)]
        file.write_bytes(content)


def test_what_is_not_there_is_said(path):
    with pytest.raises(NotRecordedError, match="no loss surface; compute one with `pvensemble su"):
        Ensemble.open(path).surface()
    write_surface(path, sample(), 1.0)
    with pytest.raises(NotRecordedError, match="no loss surface 'bowel'; did you mean 'bowl'"):
        Ensemble.open(path).surface("bowel")


@pytest.mark.parametrize("name", ["", ".x", "a/b", "a.b", "x" * 201])
def test_impossible_names(path, name):
    with pytest.raises(StoreError, match="the name of a loss surface is"):
        write_surface(path, sample(name), 1.0)


def test_damage_is_never_shown(path):
    write_surface(path, sample(), 1.0)
    folder = path.with_name("small.pvens.d") / "surfaces"
    index, data = folder / "bowl.pvj", folder / "bowl.000.hdf"
    content = data.read_bytes()
    flipped = bytearray(content)
    flipped[-20] ^= 1
    data.write_bytes(flipped)
    with pytest.raises(CorruptFileError, match="content is damaged"):
        Ensemble.open(path).surface()
    data.unlink()
    with pytest.raises(CorruptFileError, match="is missing"):
        Ensemble.open(path).surface()
    data.write_bytes(content)
    line = bytearray(index.read_bytes())
    line[40] ^= 1
    index.write_bytes(line)
    with pytest.raises(CorruptFileError, match="delete it and compute the surface again"):
        Ensemble.open(path).surface()
    report = check_ensemble(path)
    assert [f.path for f in report.problems] == [str(index)]


def test_a_killed_writer_leaves_nothing_in_the_way(path):
    write_surface(path, sample(), 1.0)
    folder = path.with_name("small.pvens.d") / "surfaces"
    (folder / "next.pvj").touch()
    (folder / ".next.000.hdf.12.tmp").write_bytes(b"x")
    (folder / "next.000.hdf").write_bytes(b"x")
    assert Ensemble.open(path).surfaces() == ["bowl"]
    report = check_ensemble(path)
    assert not report.problems
    assert len(report.findings) == 2


def test_shapes_that_do_not_belong_together(path):
    write_surface(path, replace(sample(), run_x=np.zeros(3)), 1.0)
    with pytest.raises(CorruptFileError, match="not understood.*run_x"):
        Ensemble.open(path).surface()
