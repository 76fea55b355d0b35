"""``scripts/reproduce-hamid``: statistics by value, findings that hold and that are violated, the
whole script on a tiny ensemble."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.isotonic import IsotonicRegression

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from reproduce_hamid import comparison, findings, paper, report, results, statistics
from reproduce_hamid.runs import Layer, Study, correlations, times
from reproduction import finding as shared

from pvensemble.train.config import load_config

ROOT = Path(__file__).resolve().parent.parent
RATES = np.repeat(0.01 * np.concatenate([0.9 ** np.arange(5, -1, -1), 1.1 ** np.arange(1, 6)]), 11)
MOMENTA = np.tile(0.9 ** np.arange(11, 0, -1), 11)
EFFECTIVE = np.log(RATES / (1 - MOMENTA))
PLACE = (EFFECTIVE - EFFECTIVE.min()) / np.ptp(EFFECTIVE)
STEPS = np.arange(0, 1001, 20)
PLANE = np.column_stack([np.repeat(np.arange(11), 11), np.tile(np.arange(11), 11)]).astype(float)


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch):
    """A fifth of the draws: coarser intervals, the same verdicts."""
    monkeypatch.setattr(shared, "N_RESAMPLES", 200)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def study(quality=PLACE, **changes) -> Study:
    """A study in which accuracy grows with ``quality`` (121,) in [0, 1] at all times."""
    growth = 1 - np.exp(-STEPS / 100)
    accuracy = 0.1 + (0.7 + 0.15 * quality[:, None]) * growth
    told = np.clip(STEPS / 600, 0, 1)[:, None]  # from chance to order
    noise = np.random.default_rng(0).normal(0, 20, (len(STEPS), 121))
    counts = np.round(100 - 50 * told * PLACE + (1 - told) * noise).astype(int)
    base = Study(
        data_set="mnist",
        learning_rate=RATES,
        momentum=MOMENTA,
        p1_step=100,
        interval=(100, 600),
        similarity_step=500,
        p1=accuracy[:, 5],
        p2=accuracy[:, 30],
        p3=quality,
        deviation=3 - quality,
        heat=quality,
        final=accuracy[:, -1],
        test=None,
        steps=STEPS,
        accuracy=accuracy,
        loss=1 - accuracy,
        clamps=paper.CLAMPS,
        layers={"conv2": Layer(STEPS, counts, 0.4 - 0.2 * PLACE, 1225)},
        points=PLANE,
        matched_points=PLANE,
        stress=0.1,
        colors=np.zeros((121, 3), int),
    )
    return replace(base, **changes)


# -- statistics -------------------------------------------------------------------------------


def test_spearman_is_scipys_also_with_ties(rng):
    a, b = rng.integers(0, 9, (2, 50))
    assert shared.spearman(a, b) == pytest.approx(spearmanr(a, b)[0])
    assert shared.spearman(a, np.ones(50)) == 0


def test_bootstrap_covers_the_truth_and_is_seeded(rng):
    x = rng.normal(3, 1, 200)
    found = shared.bootstrap("mean", np.mean, x)
    assert found.low < x.mean() < found.high
    assert found.high - found.low == pytest.approx(4 * 1 / np.sqrt(200), rel=0.2)
    assert found == shared.bootstrap("mean", np.mean, x)


def test_neighbours_on_an_axis_of_the_grid_are_the_other_runs_of_its_level():
    weights = statistics.neighbours(RATES, 10)
    assert (weights > 0).sum(axis=1).tolist() == [10] * 121
    assert weights[0, 1:11] == pytest.approx(0.1)
    assert weights[0, 11:].sum() == 0


def test_explained_variance_tells_the_axis_that_matters():
    errors = statistics.prediction_errors(MOMENTA, MOMENTA)
    assert statistics.explained(errors, MOMENTA) == pytest.approx(1)
    errors = statistics.prediction_errors(RATES, MOMENTA)
    assert statistics.explained(errors, MOMENTA) < 0


def test_smoothness_is_near_one_on_a_map_and_chance_on_noise(rng):
    parameters = np.column_stack([RATES, MOMENTA])
    smooth = statistics.smoothness("", PLANE, parameters, n=100)
    assert smooth.value > 0.9
    assert smooth.p < 0.02
    mixed = statistics.smoothness("", rng.normal(size=(121, 2)), parameters, n=100)
    assert mixed.value < 0.1
    assert mixed.p > 0.05


def test_rising_is_scikit_learns_isotonic_regression(rng):
    lines = rng.normal(size=(20, 11))
    for line, fit in zip(lines, statistics.rising(lines)):
        expected = IsotonicRegression().fit_transform(np.arange(11), line)
        assert fit == pytest.approx(expected)


def test_isotonic_keeps_a_rising_map_and_projects_others(rng):
    rising = np.add.outer(np.arange(5.0), np.arange(7.0))
    assert statistics.isotonic(rising) == pytest.approx(rising)
    fit = statistics.isotonic(rng.normal(size=(5, 7)))
    assert np.diff(fit, axis=0).min() > -1e-3
    assert np.diff(fit, axis=1).min() > -1e-3


@pytest.mark.parametrize("turn", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_unmonotonic_accepts_every_monotone_map(turn, rng):
    grid = np.add.outer(np.arange(11.0), np.arange(11.0)) + rng.normal(0, 0.5, (11, 11))
    found = statistics.unmonotonic("", grid[:: turn[0], :: turn[1]], n=50)
    assert found.value < 0.01
    assert found.p > 0.05


def test_unmonotonic_rejects_a_ridge():
    grid = -((np.add.outer(np.arange(11.0), np.arange(11.0)) - 10) ** 2)
    found = statistics.unmonotonic("", grid, n=50)
    assert found.value > 0.3
    assert found.p < 0.05


def test_interior_peak_is_zero_at_an_end():
    x = np.arange(121.0)
    assert statistics.interior_peak("", x, x).value == 0
    assert statistics.interior_peak("", x, -np.abs(x - 60)).low > 0.5


def test_torus_p_tells_similar_from_shifted_maps():
    rows, columns = np.mgrid[:11, :11]
    a = np.exp(-((rows - 3) ** 2 + (columns - 6) ** 2) / 8)
    assert statistics.torus_p(a, a**2) < 0.01
    assert statistics.torus_p(a, np.roll(a, 5, axis=0)) > 0.3


def test_compactness_tells_a_cluster(rng):
    points = rng.normal(size=(121, 2))
    points[:9] *= 0.1
    assert statistics.compactness("", points, np.arange(9)).p < 0.01
    assert statistics.compactness("", points, np.arange(20, 29)).p > 0.05


def test_outlyingness_ranks_the_lonely_run_first(rng):
    points = np.vstack([rng.normal(size=(50, 2)), [[40.0, 0.0]]])
    assert statistics.outlyingness(points)[-1] == 100


# -- findings -----------------------------------------------------------------------------------

RIDGE = 1 - 2 * np.abs(np.clip(PLACE, 0, 0.9) / 0.9 - 0.5)


def cases():
    """Finding, a study for which it holds, one for which it does not."""
    shuffled = np.random.default_rng(1).permutation(121)
    embedded = np.random.default_rng(2).normal(size=(121, 2))
    cyan, green = study().corner(False, False), study().corner(False, True)
    embedded[cyan] = [-3, -3] + 0.2 * embedded[cyan]
    embedded[green] *= 8
    counts = np.tile(np.round(50 * PLACE).astype(int), (len(STEPS), 1))
    reverse = Layer(STEPS, counts, 0.2 + 0.2 * PLACE, 1225)
    late = study(data_set="cifar10")
    return [
        (findings.measures_agree, study(), study(p3=1 - PLACE)),
        (findings.single_axes, study(RIDGE), study((MOMENTA - 0.3) / 0.6)),
        (findings.diagonal_stripe, study(RIDGE), study((MOMENTA - 0.3) / 0.6)),
        (findings.no_monotonic_trend, study(RIDGE), study()),
        (findings.judged_early, study(), study(p1=study().p1[shuffled])),
        (findings.embedding_pattern, study(points=embedded), study(points=PLANE)),
        (findings.picked_runs, study(), study(layers={"conv2": reverse})),
        (findings.counts_over_time, study(), study(layers={"conv2": reverse})),
        (findings.stability_sign, study(p3=1 - PLACE), late),
    ]


@pytest.mark.parametrize(
    ("finding", "good", "bad"), cases(), ids=lambda c: getattr(c, "__name__", "")
)
def test_finding_holds_where_it_is_true_and_fails_where_it_is_not(finding, good, bad):
    held, failed = finding(good), finding(bad)
    assert held.verdict == shared.HOLDS, held
    assert failed.verdict == shared.FAILS, failed
    assert held.key in paper.CLAIMS
    for s in held.statistics:
        assert np.isfinite(s.value)


def test_a_bright_end_is_no_stripe():
    found = findings.diagonal_stripe(study())
    assert found.verdict == shared.PARTLY
    assert "end of its range" in found.said


def test_the_step_from_which_cyan_is_above_red_is_found():
    turned = np.where(STEPS < 200, 1, -1)[:, None] * np.round(50 * PLACE).astype(int)
    layers = {"conv2": Layer(STEPS, turned, PLACE, 1225)}
    assert findings.counts_over_time(study(layers=layers)).statistics[0].value == 200
    assert findings.first_lasting(np.array([True, False, True, True])) == 2
    assert findings.first_lasting(np.array([True, False])) is None


def test_attempts_that_were_tried_again_are_left_out():
    def group(run_indices, first, steps):
        def filters(name, kind, step):
            level = (np.arange(len(run_indices)) + first) / 10
            return np.where(np.eye(2, dtype=bool), 1.0, level[:, None, None]).astype(np.float32)

        return SimpleNamespace(
            run_indices=np.array(run_indices), filters=filters, recorded_steps=lambda *_: steps
        )

    groups = [group([0, -1, 2], 1, [0, 5, 9]), group([1], 8, [0, 5]), group([-1], 9, [0])]
    layer, stack = correlations(SimpleNamespace(groups=groups), "conv1", 7)
    assert layer.steps.tolist() == [0, 5]
    np.testing.assert_allclose(stack[:, 0, 1], [0.1, 0.8, 0.3])
    np.testing.assert_allclose(layer.level, [0.1, 0.8, 0.3], rtol=1e-6)
    assert layer.counts.tolist() == [[0, 1, 0], [0, 1, 0]]


def test_times_are_the_papers_or_shares_of_a_shorter_training():
    assert times(1000) == (100, (100, 600), 500)
    assert times(550) == (100, (100, 550), 500)
    assert times(60) == (10, (10, 60), 50)


# -- comparison and report ------------------------------------------------------------------------


def kept(name: str, **changes) -> dict:
    """A result as it is stored."""
    made = {
        "n_runs": 121,
        "states": {"COMPLETE": 121},
        "last_step": 1000,
        "evaluate_every": 20,
        "record_every": 20,
        "versions": {"pvensemble": "0"},
        "minutes": 3,
        "n_cores": 2,
    }
    one = study(data_set=name, **changes)
    return json.loads(json.dumps(results.result(one, findings.findings(one), made, None)))


@pytest.fixture(scope="module")
def mnist() -> dict:
    return kept("mnist")


def test_equal_maps_are_similar_and_opposite_ones_are_not(mnist):
    assert comparison.similar_maps(mnist, mnist).verdict == shared.HOLDS
    other = {**mnist, "runs": {**mnist["runs"], "heat": (1 - PLACE).tolist()}}
    assert comparison.similar_maps(other, mnist).verdict == shared.FAILS


def test_smooth_colours_are_told_from_mixed_ones(mnist):
    noise = np.random.default_rng(3).random((121, 2)).tolist()
    mixed = {**mnist, "runs": {**mnist["runs"], "points": noise}}
    assert comparison.smoother_embedding(mnist, mixed).verdict == shared.HOLDS
    assert comparison.smoother_embedding(mixed, mnist).verdict == shared.FAILS


def test_a_part_of_the_grid_is_compared_with_the_same_runs(mnist):
    part = study().grid(np.arange(121))[::2, ::2].astype(int).ravel()
    runs = {name: np.array(values)[part].tolist() for name, values in mnist["runs"].items()}
    some = {**mnist, "runs": runs}
    assert comparison.common_runs(some, mnist).tolist() == part.tolist()
    assert comparison.similar_maps(some, mnist).statistics[0].value == pytest.approx(1)
    assert comparison.common_runs(mnist, mnist).tolist() == list(range(121))


def test_lower_correlations_are_told_from_higher_ones(mnist):
    layer = mnist["layers"]["conv2"]
    halved = {name: (np.array(layer[name]) / 2).tolist() for name in ("level", "share")}
    low = {**mnist, "layers": {"conv2": {**layer, **halved}}}
    assert comparison.lower_correlations(low, mnist).verdict == shared.HOLDS
    assert comparison.lower_correlations(mnist, low).verdict == shared.FAILS


def test_report_holds_every_finding_of_every_data_set(mnist, tmp_path):
    every = {"mnist": mnist, "cifar10": kept("cifar10"), "longer": kept("cifar10-longer")}
    for one in every.values():
        results.save(one, tmp_path)
    text = report.write(results.load_all(tmp_path), tmp_path).read_text()
    for key in paper.CLAIMS:
        assert f"| {key} | " in text
        assert f"- **{key}** holds when" in text
    assert "## MNIST" in text
    assert "## CIFAR-10\n" in text
    assert "## CIFAR-10, fewer runs for longer\n" in text
    assert text.count("| 9c |") == 3  # the summary, and either part of CIFAR-10
    assert "1,000 of 4,000 steps" in text
    assert "11 learning rates x 11 momenta |" in text
    assert "nan" not in text


def test_a_part_of_a_grid_is_every_second_value_of_it():
    (whole,) = load_config("cifar10").sessions
    (part,) = load_config("cifar10", paper.DATA_SETS["cifar10-longer"].settings).sessions
    for thinned, values in zip(part.space, whole.space, strict=True):
        assert thinned.key == values.key
        assert thinned.values == values.values[::2]


def test_a_missing_directory_of_data_is_told(tmp_path):
    done = run("mnist", "-o", tmp_path / "out", "--docs", tmp_path / "docs")
    assert done.returncode == 2
    assert "--data DIR" in done.stderr
    assert "Traceback" not in done.stderr


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(ROOT / "scripts" / "reproduce-hamid"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        stdin=subprocess.DEVNULL,
    )


# -- the whole script -----------------------------------------------------------------------------

TINY = (
    *("steps=12", "evaluate.every=2", "record.every=2", "record.probe=32"),
    *("data.train=600", "data.validation=100", "train.batch_size=16"),
    *("model.conv1=3", "model.conv2=6", "model.fc1=16"),
)
SMALL_GRID = (
    "session.space.learning_rate=0.0059049,0.01,0.0161051",
    "session.space.momentum=0.31381059609,0.6561,0.9",
)


def write_digits(folder: Path) -> None:
    """Write scikit-learn's digits as MNIST's files: 28 x 28, the last 300 as test images."""
    digits = load_digits()
    images = np.kron(digits.images, np.ones((3, 3))) / 16 * 255
    images = np.pad(images, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    folder.mkdir(parents=True)
    for name, part in (("train", slice(None, -300)), ("t10k", slice(-300, None))):
        for kind, magic, values in (
            ("images-idx3", 2051, images[part]),
            ("labels-idx1", 2049, digits.target[part].astype(np.uint8)),
        ):
            head = np.array([magic, *values.shape], ">i4").tobytes()
            with gzip.open(folder / f"{name}-{kind}-ubyte.gz", "wb") as file:
                file.write(head + values.tobytes())


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory) -> tuple[Path, tuple]:
    """Folder in which the script has run on a tiny ensemble, and its arguments."""
    folder = tmp_path_factory.mktemp("hamid")
    write_digits(folder / "data" / "MNIST" / "raw")
    where = ("--data", folder / "data", "-o", folder / "out", "--docs", folder / "docs")
    arguments = ("mnist", *where, "--seeds", "2", "--set", *TINY, *SMALL_GRID)
    done = run(*arguments, "--no-figures")
    assert done.returncode == 0, done.stderr
    return folder, arguments


def test_script_trains_computes_and_reports(reproduced):
    folder, _ = reproduced
    text = (folder / "docs" / "reproduction" / "hamid.md").read_text()
    assert "9 (9 complete)" in text
    assert "3 learning rates x 3 momenta, of the paper's 11 x 11" in text
    assert "| MNIST | cyan | 2 |" in text
    assert "P1 is best at" in text
    assert "Not trained" not in text
    made = json.loads((folder / "docs" / "reproduction" / "hamid-mnist.json").read_text())
    assert made["times"] == {"p1_step": 2, "interval": [2, 12], "similarity_step": 10}
    assert [f["key"] for f in made["findings"]] == ["1", "2", "3", "4", "5", "6", "7a", "7b"]
    assert len(made["runs"]["p1"]) == 9


def test_script_keeps_what_is_there_and_says_the_same_again(reproduced):
    folder, arguments = reproduced
    report_file = folder / "docs" / "reproduction" / "hamid.md"
    before = (folder / "out" / "mnist.pvens").stat().st_mtime_ns, report_file.read_text()
    again = run(*arguments, "--no-figures")
    assert again.returncode == 0, again.stderr
    assert "run-steps" not in again.stdout + again.stderr
    assert ((folder / "out" / "mnist.pvens").stat().st_mtime_ns, report_file.read_text()) == before


@pytest.mark.slow
def test_script_renders_both_figures(reproduced):
    folder, arguments = reproduced
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    for figure in ("figure-1", "figure-2"):
        picture = folder / "docs" / "pictures" / f"hamid-mnist-{figure}.png"
        assert picture.stat().st_size > 20_000
        assert picture.read_bytes()[:4] == b"\x89PNG"
        assert picture.name in (folder / "docs" / "reproduction" / "hamid.md").read_text()
