"""Loss surfaces: closed forms, what normalization leaves unchanged, recorded values, resuming."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from training_cases import tiny_config

from pvensemble import schema
from pvensemble.errors import ConfigError, NotRecordedError, StoreError
from pvensemble.store import Ensemble
from pvensemble.store.check import check_ensemble
from pvensemble.train.executors import InProcess
from pvensemble.train.loss_surface import loss_surface
from pvensemble.train.recorder import Recorder
from pvensemble.train.recording import network_shapes, network_vector
from pvensemble.train.surface_options import SurfaceOptions
from pvensemble.train.surface_plane import NetworkLayout, SurfacePlane, random_plane
from pvensemble.train.surface_points import Measurer, networks_at
from pvensemble.train.trainer import train

CPU = torch.device("cpu")


def measured(model, plane, points, images, labels, *, batched=False, workers=2, engine="torch"):
    """Loss and accuracy (n,) at points of a plane."""
    layout = NetworkLayout(model, network_shapes(model))
    measurer = Measurer(model, layout, images, labels, CPU, workers, engine=engine)
    assert measurer.engine == engine
    vectors = networks_at(plane, points, CPU)
    if batched:
        return (measurer.batched_sums(vectors(range(len(points)))) / len(labels)).numpy().T
    values = np.full((2, len(points)), np.nan)
    for done, loss, accuracy in measurer.measure(vectors, range(len(points))):
        values[:, done] = loss, accuracy
    return values


def grid(size=5, half=2.0):
    line = np.linspace(-half, half, size)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


# -- closed forms ----------------------------------------------------------------------------------
@pytest.mark.parametrize("batched", [False, True], ids=["one at a time", "many at once"])
def test_logistic_regression_has_its_closed_form(batched):
    """Two classes and a linear model: the mean of log(1 + exp(-margin)), in float64 by numpy."""
    generator = np.random.default_rng(1)
    images = generator.normal(size=(150, 1, 3, 2)).astype(np.float32)
    labels = generator.integers(0, 2, 150)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    origin = network_vector(model)
    axes = generator.normal(size=(2, 14)).astype(np.float32)
    plane = SurfacePlane(origin, axes, np.full(2, np.nan))
    expected = []
    for x, y in grid():
        values = origin.astype(np.float64) + x * axes[0] + y * axes[1]
        scores = images.reshape(150, 6) @ values[:12].reshape(2, 6).T + values[12:]
        margin = np.where(labels == 1, 1, -1) * (scores[:, 1] - scores[:, 0])
        expected.append([np.logaddexp(0, -margin).mean(), (margin > 0).mean()])
    found = measured(
        model, plane, grid(), torch.from_numpy(images), torch.from_numpy(labels), batched=batched
    )
    np.testing.assert_allclose(found[0], np.array(expected)[:, 0], rtol=2e-6)
    np.testing.assert_allclose(found[1], np.array(expected)[:, 1], atol=1.01 / 150)


def conv_net(norm=False):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten()]
    if norm:
        layers.insert(1, nn.BatchNorm2d(4))
    return nn.Sequential(*layers, nn.Linear(80, 10))


def sample_images(n=60):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, 1, 8, 8, generator=generator), torch.arange(n) % 10


# -- filter normalization --------------------------------------------------------------------------
def test_each_filter_of_a_direction_has_the_norm_of_the_filter():
    model = conv_net(norm=True)
    layout = NetworkLayout(model, network_shapes(model))
    plane = random_plane(network_vector(model), layout, seed=4)
    for axis in plane.axes:
        for name, parameter in model.named_parameters():
            direction = torch.from_numpy(axis[layout.places[name][0]]).view(parameter.shape)
            norms = direction.flatten(1).norm(dim=1) if parameter.dim() > 1 else direction.abs()
            expected = parameter.flatten(1).norm(dim=1) if parameter.dim() > 1 else 0 * norms
            torch.testing.assert_close(norms, expected)
        for name, _ in model.named_buffers():
            assert not axis[layout.places[name][0]].any()
    moved = random_plane(network_vector(model), layout, seed=4, biases=True)
    place = layout.places["0.bias"][0]
    assert np.linalg.norm(moved.axes[0, place]) == pytest.approx(
        float(model[0].bias.detach().norm())
    )
    place = layout.places["0.weight"][0]
    np.testing.assert_array_equal(moved.axes[:, place], plane.axes[:, place])


def test_seeds_give_other_directions_and_the_same_ones_again():
    model = conv_net()
    layout = NetworkLayout(model, network_shapes(model))
    origin = network_vector(model)
    first, again, other = (random_plane(origin, layout, seed).axes for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    for a, b in ((first[0], first[1]), (first[0], other[0])):
        assert abs(a @ b) < 0.2 * np.linalg.norm(a) * np.linalg.norm(b)


def test_a_dead_filter_stays_dead():
    model = conv_net()
    with torch.no_grad():
        model[0].weight[2] = 0
    layout = NetworkLayout(model, network_shapes(model))
    axes = random_plane(network_vector(model), layout, seed=0).axes
    assert np.isfinite(axes).all()
    assert not axes[:, layout.places["0.weight"][0]].reshape(2, 4, 9)[:, 2].any()


def rescaled(model, factor):
    """The same function: the first layer scaled up, the second one down."""
    scaled = conv_net()
    scaled.load_state_dict(model.state_dict())
    with torch.no_grad():
        scaled[0].weight *= factor
        scaled[0].bias *= factor
        scaled[2].weight /= factor
    return scaled


def test_surface_does_not_depend_on_the_scale_of_filters():
    model, images = conv_net(), sample_images()
    surfaces = []
    for network in (model, rescaled(model, 64.0)):
        layout = NetworkLayout(network, network_shapes(network))
        plane = random_plane(network_vector(network), layout, seed=3)
        surfaces.append(measured(network, plane, grid(), *images)[0])
    np.testing.assert_allclose(*surfaces, rtol=1e-4)
    # Negative control: directions without normalization see the scale.
    drawn = np.random.default_rng(0).normal(size=(2, len(network_vector(model)))) / 10
    surfaces = [
        measured(
            n, SurfacePlane(network_vector(n), drawn.astype(np.float32), None), grid(), *images
        )
        for n in (model, rescaled(model, 64.0))
    ]
    assert np.abs(surfaces[0][0] - surfaces[1][0]).max() > 0.1


# -- measuring -------------------------------------------------------------------------------------
def test_many_at_once_and_any_number_of_threads_measure_the_same():
    model, (images, labels) = conv_net(norm=True), sample_images(300)
    model(images)  # gives batch norm a mean
    layout = NetworkLayout(model, network_shapes(model))
    plane = random_plane(network_vector(model), layout, seed=1)
    threads = torch.get_num_threads()
    one, four = (measured(model, plane, grid(), images, labels, workers=n) for n in (1, 4))
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(one, four)
    batched = measured(model, plane, grid(), images, labels, batched=True)
    np.testing.assert_allclose(one, batched, rtol=1e-5)
    plain = []
    for vector in networks_at(plane, grid(), CPU)(range(25)):
        state = {n: vector[at].view(shape) for n, (at, shape) in layout.places.items()}
        model.load_state_dict(state)
        with torch.no_grad():
            plain.append(float(nn.functional.cross_entropy(model.eval()(images), labels)))
    np.testing.assert_allclose(one[0], plain, rtol=1e-5)


def test_the_compiled_engine_measures_the_same():
    """Images that are no multiple of its batch, on several threads."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    model, (images, labels) = conv_net(), sample_images(300)
    layout = NetworkLayout(model, network_shapes(model))
    plane = random_plane(network_vector(model), layout, seed=1)
    expected = measured(model, plane, grid(), images, labels)
    found = measured(model, plane, grid(), images, labels, engine="native", workers=3)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1.01 / 300)
    np.testing.assert_array_equal(
        found, measured(model, plane, grid(), images, labels, engine="native", workers=1)
    )
    # A network that it cannot compute is computed by torch.
    norm = conv_net(norm=True)
    layout = NetworkLayout(norm, network_shapes(norm))
    assert Measurer(norm, layout, images, labels, CPU, engine="native").engine == "torch"


ENGINES = [
    "torch",
    pytest.param("native", marks=pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")),
]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loss_that_is_no_number_is_infinite(engine):
    model, (images, labels) = conv_net(), sample_images()
    plane = SurfacePlane(
        network_vector(model), np.full((2, len(network_vector(model))), 1e30, np.float32), None
    )
    loss, _ = measured(
        model, plane, np.array([[0.0, 0.0], [1e8, 0.0]]), images, labels, engine=engine
    )
    assert np.isfinite(loss[0])
    assert loss[1] == np.inf


class Deciding(nn.Module):
    """A network that looks at its images, which networks side by side cannot."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, images):
        rows = self.linear(images.flatten(1))
        return rows if float(rows.sum()) > 0 else -rows


def test_networks_that_do_not_go_side_by_side_go_one_by_one():
    model, (images, labels) = Deciding(), sample_images()
    layout = NetworkLayout(model, network_shapes(model))
    plane = random_plane(network_vector(model), layout, seed=1)
    expected = measured(model, plane, grid(), images, labels)
    measurer = Measurer(model, layout, images, labels, CPU)
    vectors = networks_at(plane, grid(), CPU)
    with pytest.raises(RuntimeError, match="vmap"):
        measurer.batched_sums(vectors([0, 1]))
    parts = list(measurer._on_gpu(vectors, range(25), lambda: False))
    loss = np.concatenate([sums[:, 0] for _, sums in parts]) / len(labels)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-6)


def test_a_variance_is_never_negative():
    model, (images, labels) = conv_net(norm=True), sample_images()
    layout = NetworkLayout(model, network_shapes(model))
    axes = np.zeros((2, layout.size), np.float32)
    axes[0, layout.places["1.running_var"][0]] = -1
    plane = SurfacePlane(network_vector(model), axes, None)
    loss, _ = measured(model, plane, np.array([[1.0, 0.0], [7.0, 0.0]]), images, labels)
    assert np.isfinite(loss).all()
    assert loss[0] == loss[1]


# -- of an ensemble --------------------------------------------------------------------------------
def train_tiny(folder, *overrides):
    path = folder / "tiny.pvens"
    train(tiny_config(folder, *overrides), path, executor=InProcess)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("surface"), "record.networks=all")


def compute(path, *runs, **options):
    how = {k: options.pop(k) for k in ("stop", "on_progress", "config") if k in options}
    return loss_surface(path, SurfaceOptions(runs, **{"size": 5, **options}), **how)


def recorded(path, metric):
    curve = Ensemble.open(path).curve(metric)
    return curve.values[:, list(curve.steps).index(12)]


def test_centre_is_what_was_recorded(trained):
    surface = compute(trained, 1, images=50, name="centre")
    for values, metric in (
        (surface.loss, schema.VALIDATION_LOSS),
        (surface.accuracy, schema.VALIDATION_ACCURACY),
    ):
        assert values[2, 2] == pytest.approx(recorded(trained, metric)[1], rel=1e-6)
    assert surface.run_loss[0] == surface.loss[2, 2] == surface.path_loss[-1]
    assert (surface.run_x[0], surface.run_y[0]) == (0, 0)
    assert surface.path_step.tolist() == [0, 6, 12]
    assert surface.meta["steps"] == [12]
    assert surface.path_distance[0] > surface.path_distance[1] > surface.path_distance[2] == 0


def test_three_runs_lie_in_their_plane(trained):
    surface = compute(trained, 0, 3, 2, directions="runs", images=50, size=7, name="three")
    expected = recorded(trained, schema.VALIDATION_LOSS)[[0, 3, 2]]
    np.testing.assert_allclose(surface.run_loss, expected, rtol=1e-6)
    group = Ensemble.open(trained).groups[0]
    networks = [
        np.concatenate([v.ravel() for v in group.network(i, 12).values()]) for i in range(4)
    ]
    places = np.column_stack([surface.run_x, surface.run_y])
    for i, a in enumerate((0, 3, 2)):
        for k, b in enumerate((0, 3, 2)):
            length = np.linalg.norm(places[i] - places[k])
            assert length == pytest.approx(np.linalg.norm(networks[a] - networks[b]), rel=1e-5)
    # The plane itself leads through them: what it gives at their places is what they are.
    x, y = places[2]
    assert surface.x[0] < x < surface.x[-1]
    assert surface.y[0] < y < surface.y[-1]
    origin, towards, third = (networks[i] for i in (0, 3, 2))
    u = (towards - origin) / np.linalg.norm(towards - origin)
    v = third - origin - u * (u @ (third - origin))
    v /= np.linalg.norm(v)
    np.testing.assert_allclose(origin + x * u + y * v, third, atol=1e-5)


def test_trajectory_lies_along_its_own_axes(trained):
    surface = compute(trained, 1, directions="trajectory", images=50, name="path")
    assert sum(surface.meta["explained"]) == pytest.approx(1)  # three points span a plane
    np.testing.assert_allclose(surface.path_distance, 0, atol=1e-4)
    group = Ensemble.open(trained).groups[0]
    start, end = (
        np.concatenate([v.ravel() for v in group.network(1, s).values()]) for s in (0, 12)
    )
    length = np.hypot(surface.path_x[0], surface.path_y[0])
    assert length == pytest.approx(np.linalg.norm(start - end), rel=1e-5)
    assert surface.x[0] < surface.path_x.min() < surface.path_x.max() < surface.x[-1]
    assert surface.path_loss[0] > surface.path_loss[-1]


def test_the_same_recipe_gives_the_same_bits_and_is_not_computed_again(trained):
    first = compute(trained, 2, name="first")
    second = compute(trained, 2, name="second")
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name])
    asked = []
    stored = compute(trained, 2, name="first", on_progress=asked.append)
    assert not asked
    assert stored.meta == first.meta
    with pytest.raises(StoreError, match="another loss surface 'first': seed was 0, now 1.*--name"):
        compute(trained, 2, name="first", seed=1)


def test_an_interrupted_surface_goes_on(trained):
    whole = compute(trained, 3, name="whole")
    seen = []

    def stop():
        return len(seen) > 12

    part = compute(trained, 3, name="part", on_progress=seen.append, stop=stop)
    n_missing = int(np.isnan(part.loss).sum())
    assert 5 < n_missing < 25
    assert not part.meta["complete"]
    assert not Ensemble.open(trained).surface("part").meta["complete"]
    seen.clear()
    rest = compute(trained, 3, name="part", on_progress=seen.append)
    assert len(seen) < 25  # what was there was not computed again
    assert seen[-1].done == seen[-1].total == 25 + 3 + 1
    assert rest.meta["complete"]
    np.testing.assert_array_equal(rest.loss, whole.loss)
    assert not check_ensemble(trained).findings


def test_recipe_says_what_is_needed_to_do_it_again(trained):
    meta = compute(trained, 2, images=50, seed=5, name="recipe").meta
    assert meta["runs"] == [Ensemble.open(trained).groups[0].runs[2].run_id]
    expected = {"directions": "random", "seed": 5, "normalization": "filter", "biases": False}
    expected.update(span=1.0, size=5, images=50, split="validation", complete=True)
    assert {k: meta[k] for k in expected} == expected
    assert meta["data"]["source"] == "digits"
    assert meta["model"]["name"] == "lenet"
    assert set(meta["versions"]) == {"pvensemble", "torch", "numpy", "python"}


# -- what cannot be --------------------------------------------------------------------------------
WRONG = [
    ({"runs": (0, 1)}, "runs: got .0, 1., allowed: one run, or three", ConfigError),
    ({"runs": (0, 1, 1), "directions": "runs"}, "allowed: one run, or three", ConfigError),
    ({"runs": (0, 1, 2)}, "directions: got 'random', allowed: runs", ConfigError),
    ({"directions": "pca"}, "directions: got 'pca', allowed: random, trajectory", ConfigError),
    ({"split": "test"}, "split: got 'test', allowed: validation, train", ConfigError),
    ({"size": 1}, "size: got 1, allowed: 2 to 1001", ConfigError),
    ({"span": 0.0}, "span: got 0.0, allowed: a positive", ConfigError),
    ({"images": 61}, "images: got 61, allowed: 1 to 60, the images of the validation", ConfigError),
    ({"images": 0}, "images: got 0, allowed: 1 to 60", ConfigError),
    ({"seed": -1}, "seed: got -1, allowed", ConfigError),
    ({"directions": "trajectory", "biases": True}, "biases: other directions", ConfigError),
    ({"name": "a/b"}, "the name of a loss surface", StoreError),
    ({"runs": (4,)}, "there is no run 4; there are runs 0 to 3", NotRecordedError),
    ({"runs": (-1,)}, "there is no run -1", NotRecordedError),
]


@pytest.mark.parametrize(("options", "message", "error"), WRONG, ids=[w[1] for w in WRONG])
def test_wrong_options(trained, options, message, error):
    with pytest.raises(error, match=message):
        compute(
            trained, *options.get("runs", (0,)), **{k: v for k, v in options.items() if k != "runs"}
        )


def test_only_the_last_network(tmp_path):
    path = train_tiny(tmp_path)
    surface = compute(path, 0)
    assert len(surface.path_step) == 0
    assert np.isfinite(surface.loss).all()
    with pytest.raises(NotRecordedError, match=r"step 12 only.*record\.networks=all"):
        compute(path, 0, directions="trajectory")


def test_no_network(tmp_path):
    path = train_tiny(tmp_path, "record.networks=none")
    with pytest.raises(NotRecordedError, match=r"no whole network of run 0.*record\.networks"):
        compute(path, 0)


def test_a_diverged_run(tmp_path):
    path = train_tiny(tmp_path, "session.space.learning_rate=1e9,0.01")
    assert Ensemble.open(path).groups[0].index.states[0].state == schema.DIVERGED
    with pytest.raises(ConfigError, match="run 0 is DIVERGED .*choose another run"):
        compute(path, 0)
    assert np.isfinite(compute(path, 2).run_loss).all()


def test_runs_of_different_shape(tmp_path):
    path = train_tiny(tmp_path, "session.space={ 'model.conv1' = [3, 4], momentum = [0.5, 0.9] }")
    with pytest.raises(ConfigError, match="networks of runs 0 and 2 are of different shape"):
        compute(path, 0, 2, 1, directions="runs")


def test_runs_that_are_alike(tmp_path):
    path = train_tiny(tmp_path, "session.space={ momentum = [0.5, 0.6, 0.7] }", "learning_rate=0.0")
    with pytest.raises(ConfigError, match="the networks of runs 0, 1, 2 lie on a line"):
        compute(path, 0, 1, 2, directions="runs")


def test_an_ensemble_of_another_loop(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3))
    recorder = Recorder(model, tmp_path / "mine.pvens")
    model(torch.randn(3, 1, 5, 5))
    recorder.step(loss=1.0)
    recorder.close()
    with pytest.raises(ConfigError, match="says nothing of its model and data"):
        compute(tmp_path / "mine.pvens", 0)


def test_a_model_of_ones_own_is_run_from_a_file_only(tmp_path, repository):
    config = repository / "examples" / "own_model.toml"
    from pvensemble.train.config import load_config

    overrides = ["steps=2", "session.n=1", "record.kinds=[]"]
    path = tmp_path / "own.pvens"
    train(load_config(config, overrides), path, executor=InProcess)
    with pytest.raises(ConfigError, match="function of your own.*--config FILE"):
        compute(path, 0)
    other = tmp_path / "other.toml"
    other.write_text(config.read_text().replace("batch_size = 32", "batch_size = 16"))
    with pytest.raises(
        ConfigError, match=r"not trained with .*other\.toml: train.batch_size was 32"
    ):
        compute(path, 0, config=str(other))
    assert np.isfinite(compute(path, 0, config=str(config), size=2).loss).all()


def test_options_are_checked_before_anything_is_read():
    with pytest.raises(ConfigError, match="size"):
        loss_surface("nowhere.pvens", replace(SurfaceOptions((0,)), size=0))
