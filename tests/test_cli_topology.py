"""``pvensemble correlate``, ``similarity`` and ``embed``, as a user meets them."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from pvensemble import cli
from pvensemble.cli import _tensors, embed, similarity
from pvensemble.numerics.embedding import METHODS
from pvensemble.numerics.ordering import LINKAGES, cluster_order
from pvensemble.numerics.similarity import MEASURES, run_vectors
from pvensemble.store import EnsembleWriter, LayerInfo, RunInfo

STEPS = (0, 10, 20)
COMMANDS = ("correlate", "similarity", "embed")


def correlations(seed: int, n_runs: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n_runs, 60, 3)) @ rng.normal(size=(n_runs, 3, n))
    values = mixed + rng.normal(size=(n_runs, 60, n))
    return np.stack([np.atleast_2d(np.corrcoef(v.T)) for v in values]).astype(np.float32)


def grams(seed: int, n_runs: int) -> np.ndarray:
    """(n_runs, 2, 6, 6): symmetric, zero diagonal; enough for a cosine."""
    values = np.random.default_rng(seed).normal(size=(n_runs, 2, 6, 6)).astype(np.float32)
    values += values.swapaxes(2, 3)
    values[..., range(6), range(6)] = 0
    return values


def make(
    path: Path,
    groups: tuple = ((6, 5),),
    *,
    diverged: tuple = (),
    gram: bool = True,
    layers: tuple = ("conv1", "conv2"),
    correlation: bool = True,
) -> Path:
    """Write an ensemble with groups of (n_runs, n_filters); return its path."""
    kinds = ("correlation",) * correlation + ("gram",) * gram
    with EnsembleWriter.create(path) as writer:
        first = 0
        for seed, (n_runs, n) in enumerate(groups):
            runs = [RunInfo(f"r{first + i}", {}, run_index=first + i) for i in range(n_runs)]
            group = writer.create_group(
                runs,
                [LayerInfo(name, "Conv2d", (n, 1, 3, 3), kinds or ("weight",)) for name in layers],
            )
            for step in STEPS:
                tensors = {}
                for number, name in enumerate(layers):
                    key = 100 * seed + 10 * number + step
                    stack, products = correlations(key, n_runs, n), grams(key, n_runs)
                    for run in set(range(first, first + n_runs)) & set(diverged):
                        stack[run - first], products[run - first] = np.eye(n), 0
                    if correlation:
                        tensors[name, "correlation"] = stack
                    if gram:
                        tensors[name, "gram"] = products
                    if not kinds:
                        tensors[name, "weight"] = np.ones((n_runs, n, 1, 3, 3), np.float32)
                group.commit(step, tensors)
            group.close()
            first += n_runs
    return path


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory) -> str:
    return str(make(tmp_path_factory.mktemp("cli") / "a.pvens"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> str:
    """Two groups with layers of different width, one run diverged."""
    path = tmp_path_factory.mktemp("cli") / "mixed.pvens"
    return str(make(path, ((4, 5), (3, 7)), diverged=(1,)))


def run(capsys, *args) -> str:
    """Run a command that succeeds and return its output; nothing is on standard error."""
    assert cli.main([str(a) for a in args]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def table(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def numbers(text: str) -> np.ndarray:
    """The cells of a matrix in CSV; empty ones are NaN."""
    rows = [row[1:] for row in list(csv.reader(io.StringIO(text)))[1:]]
    return np.array([[float(cell or "nan") for cell in row] for row in rows])


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


# -- correlate -------------------------------------------------------------------------------------


def test_correlate_writes_the_matrix(capsys, ensemble, tmp_path):
    expected = correlations(0 + 10, 6, 5)[3]
    args = ("correlate", ensemble, "--layer", "conv1", "--step", 10, "--run", 3)
    text = run(capsys, *args, "--csv", "-")
    assert text.splitlines()[0] == "filter,0,1,2,3,4"
    np.testing.assert_array_equal(numbers(text).astype(np.float32), expected)
    assert run(capsys, *args, "--npy", tmp_path / "m.npy") == ""
    read = np.load(tmp_path / "m.npy", allow_pickle=False)
    np.testing.assert_array_equal(read, expected)


def test_correlate_in_order_names_the_filters(capsys, ensemble):
    matrix = correlations(20 + 10, 6, 5)[2]
    order = cluster_order(matrix).permutation
    text = run(capsys, "correlate", ensemble, "--run", 2, "--order", "--csv", "-")
    assert [int(row["filter"]) for row in table(text)] == order.tolist()
    assert text.splitlines()[0] == "filter," + ",".join(map(str, order))
    np.testing.assert_array_equal(numbers(text).astype(np.float32), matrix[np.ix_(order, order)])


def test_correlate_summarizes_the_last_layer_and_step_by_default(capsys, ensemble):
    matrix = np.abs(correlations(30, 6, 5)[0])
    pairs = int((matrix[np.triu_indices(5, 1)] > 0.5).sum())
    text = run(capsys, "correlate", ensemble, "--threshold", 0.5)
    assert text.startswith("conv2 at step 20, run 0 (r0): 5 filters, 0 dead\n")
    assert f"pairs above 0.5   {pairs} of 10" in text
    assert "strongest pair" in text


def test_correlate_says_that_filters_are_dead(capsys, mixed):
    text = run(capsys, "correlate", mixed, "--run", 1)
    assert "5 filters, 5 dead" in text
    assert "strongest pair" not in text
    assert "no two filters are in one cluster" in text


def test_correlate_lists_filters_that_one_could_stand_for(capsys, ensemble):
    groups = cluster_order(correlations(30, 6, 5)[0], threshold=0.3).redundant
    assert groups
    text = run(capsys, "correlate", ensemble, "--threshold", 0.3)
    shown = ", ".join("+".join(str(i) for i in sorted(group)) for group in groups)
    surplus = sum(map(len, groups)) - len(groups)
    assert f"redundant         {surplus} filters, were one kept of each of {shown}\n" in text


def test_layers_of_a_run_are_compared(capsys, ensemble):
    text = run(capsys, "correlate", ensemble, "--between-layers", "--run", 1, "--csv", "-")
    assert text.splitlines()[0] == "layer,conv1,conv2"
    vectors = [grams(key, 6)[1].ravel() for key in (20, 30)]
    cosine = vectors[0] @ vectors[1] / np.prod([np.linalg.norm(v) for v in vectors])
    np.testing.assert_allclose(numbers(text), [[1, cosine], [cosine, 1]], atol=1e-6)
    assert "conv2" in run(capsys, "correlate", ensemble, "--between-layers")


# -- similarity ------------------------------------------------------------------------------------


def test_similarity_writes_all_pairs(capsys, ensemble, tmp_path):
    vectors = run_vectors(correlations(20 + 10, 6, 5)).astype(np.float64)
    text = run(capsys, "similarity", ensemble, "--csv", "-")
    assert text.splitlines()[0] == "run_index,0,1,2,3,4,5"
    np.testing.assert_allclose(numbers(text), vectors @ vectors.T, atol=1e-6)
    assert run(capsys, "similarity", ensemble, "--npy", tmp_path / "s.npy") == ""
    read = np.load(tmp_path / "s.npy", allow_pickle=False)
    np.testing.assert_array_equal(read, numbers(text).astype(np.float32))


def test_measures_differ_as_they_should(capsys, ensemble):
    found = {
        measure: numbers(run(capsys, "similarity", ensemble, "--measure", measure, "--csv", "-"))
        for measure in MEASURES
    }
    assert (found["matched"] >= found["paper"] - 1e-6).all()
    vectors = grams(20 + 10, 6).reshape(6, -1)
    np.testing.assert_allclose(found["cka"], cosines(vectors), atol=1e-6)


def test_similarity_summarizes(capsys, ensemble):
    values = numbers(run(capsys, "similarity", ensemble, "--csv", "-"))[np.triu_indices(6, 1)]
    text = run(capsys, "similarity", ensemble)
    assert text.startswith("conv2 at step 20: 6 runs, similarity 'paper'\n")
    assert f"{values.min():.3f} to {values.max():.3f}, mean {values.mean():.3f}" in text
    assert "most similar" in text
    assert "most different" in text


@pytest.mark.parametrize("measure", ["paper", "matched"])
def test_runs_of_different_width_are_not_comparable(capsys, mixed, measure):
    result = numbers(run(capsys, "similarity", mixed, "--measure", measure, "--csv", "-"))
    same = np.arange(7)[:, None] // 4 == np.arange(7) // 4
    np.testing.assert_array_equal(np.isfinite(result), same)
    text = run(capsys, "similarity", mixed, "--measure", measure)
    assert "12 pairs, with different numbers of filters" in text


def test_alignment_compares_runs_of_any_width(capsys, mixed):
    result = numbers(run(capsys, "similarity", mixed, "--measure", "cka", "--csv", "-"))
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(result[1], np.eye(7)[1])
    vectors = np.concatenate([grams(30, 4), grams(130, 3)]).reshape(7, -1)
    np.testing.assert_allclose(result[0, 4:], cosines(vectors)[0, 4:], atol=1e-6)


# -- embed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [m for m in METHODS if m != "umap"])
def test_embed_places_all_runs(capsys, ensemble, method):
    args = ("embed", ensemble, "--method", method, "--seed", 3)
    text = run(capsys, *args, "--csv", "-")
    rows = table(text)
    assert [row["run_id"] for row in rows] == [f"r{i}" for i in range(6)]
    points = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    assert np.isfinite(points).all()
    assert len(np.unique(points, axis=0)) == 6
    assert run(capsys, *args, "--csv", "-") == text
    assert method in run(capsys, *args)


@pytest.mark.parametrize("measure", MEASURES)
def test_embed_by_any_measure(capsys, ensemble, measure):
    text = run(capsys, "embed", ensemble, "--measure", measure)
    assert f"by similarity '{measure}'" in text
    assert "stress" in text


def test_embed_leaves_out_what_cannot_be_compared(capsys, mixed):
    rows = table(run(capsys, "embed", mixed, "--csv", "-"))
    assert [row["x"] != "" for row in rows] == [True] * 4 + [False] * 3
    assert "3 of 7 runs could not be compared" in run(capsys, "embed", mixed)
    rows = table(run(capsys, "embed", mixed, "--measure", "matched", "--csv", "-"))
    assert [row["x"] != "" for row in rows] == [True] * 4 + [False] * 3
    rows = table(run(capsys, "embed", mixed, "--measure", "cka", "--csv", "-"))
    assert all(row["x"] for row in rows)


# -- few runs, diverged runs -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "diverged"),
    [
        (((1, 5),), ()),
        (((2, 5),), ()),
        (((4, 5),), (0, 1, 3)),
        (((3, 5),), (0, 1, 2)),
        (((2, 1),), ()),
        (((1, 5), (1, 6)), ()),
    ],
    ids=["one", "two", "all but one diverged", "all diverged", "one filter", "one of each width"],
)
@pytest.mark.parametrize("measure", MEASURES)
def test_any_ensemble_works(capsys, tmp_path, groups, diverged, measure):
    path = make(tmp_path / "a.pvens", groups, diverged=diverged)
    run(capsys, "correlate", path)
    run(capsys, "correlate", path, "--order", "--csv", "-")
    n_runs = sum(n for n, _ in groups)
    run(capsys, "similarity", path, "--measure", measure)
    result = numbers(run(capsys, "similarity", path, "--measure", measure, "--csv", "-"))
    assert (np.diag(result) == 1).all()
    assert len(result) == n_runs
    for method in ("mds", "classical", "tsne", "pca"):
        args = ("embed", path, "--measure", measure, "--method", method)
        run(capsys, *args)
        assert table(run(capsys, *args, "--csv", "-"))[0]["x"] != ""


# -- users' mistakes -------------------------------------------------------------------------------


def refused(capsys, *args) -> str:
    """Run a command that fails by a user's mistake; return the one line it says."""
    assert cli.main([str(a) for a in args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pvensemble: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layer", "conv3"), "there is no layer 'conv3'; did you mean"),
        (("--step", "12"), "not recorded at step 12; the nearest recorded step is 10"),
        (("--threshold", "1.5"), "between 0 and 1, got 1.5"),
        (("--csv", "x.pvens"), "belongs to an ensemble"),
        (("--csv", "/no/such/folder/x.csv"), "cannot be written"),
    ],
)
def test_mistakes_of_all_commands(capsys, ensemble, command, options, message):
    assert message in refused(capsys, command, ensemble, *options)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("correlate", "--run", "6"), "there is no run 6, the runs are 0 to 5"),
        (("correlate", "--run", "-1"), "there is no run -1"),
        (("correlate", "--npy", "-"), "needs the name of a file"),
        (("correlate", "--npy", "/no/such/folder/x.npy"), "cannot be written"),
        (("correlate", "--between-layers", "--layer", "conv1"), "leave out --layer"),
        (("embed", "--seed", "-1"), "--seed must lie between 0 and"),
    ],
)
def test_mistakes_of_one_command(capsys, ensemble, args, message):
    assert message in refused(capsys, args[0], ensemble, *args[1:])


def test_a_layer_of_another_group_is_named(capsys, tmp_path):
    path = tmp_path / "a.pvens"
    make(path, ((2, 5),), layers=("conv1",))
    with EnsembleWriter.create(tmp_path / "b.pvens") as writer:
        for name, step in (("conv1", 0), ("conv2", 10)):
            group = writer.create_group(
                [RunInfo(f"run of {name}", {})],
                [LayerInfo(name, "Conv2d", (5, 1, 3, 3), ("correlation",))],
            )
            group.commit(step, {(name, "correlation"): correlations(0, 1, 5)})
            group.close()
    message = refused(capsys, "correlate", tmp_path / "b.pvens", "--layer", "conv2", "--run", 0)
    assert "run 0 has no correlation of 'conv2' at step 10; its network does not have" in message


def test_kinds_that_are_not_recorded_are_named(capsys, tmp_path):
    path = make(tmp_path / "a.pvens", gram=False)
    message = refused(capsys, "similarity", path, "--measure", "cka")
    assert "no gram of any layer is recorded; train with 'gram' in record.kinds" in message
    assert "use another measure" in message
    assert "no gram" in refused(capsys, "correlate", path, "--between-layers")
    path = make(tmp_path / "b.pvens", gram=False, correlation=False)
    for command in COMMANDS:
        assert "no correlation of any layer is recorded" in refused(capsys, command, path)


def test_an_absent_method_is_named(capsys, ensemble, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    assert "needs umap-learn" in refused(capsys, "embed", ensemble, "--method", "umap")


def test_a_table_of_very_many_runs_is_refused(capsys, ensemble, monkeypatch):
    monkeypatch.setattr(similarity, "MAX_CSV", 5)
    assert "write it with --npy" in refused(capsys, "similarity", ensemble, "--csv", "-")
    assert "range" in run(capsys, "similarity", ensemble)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_file_is_named(capsys, tmp_path, command):
    path = make(tmp_path / "a.pvens")
    for file in (tmp_path / "a.pvens.d").rglob("s000020*"):
        file.write_bytes(file.read_bytes()[:-10])
    assert "s000020" in refused(capsys, command, path)


def test_choices_are_those_of_the_numerics():
    """The command line names them itself, because it must start without NumPy."""
    assert similarity.MEASURES == MEASURES
    assert embed.METHODS == METHODS
    assert _tensors.LINKAGES == LINKAGES
