"""Loss surfaces: loss and accuracy over a plane of networks around a run's final one.

Everything that determines a surface is its recipe, which is stored with it: the runs and the steps
of their networks, how the plane was chosen, the images. The same recipe gives the same surface,
on a CPU to the bit. A computation that was interrupted is stored as it is, and goes on when it is
asked for again.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from pvensemble import __version__
from pvensemble.errors import ConfigError, StoreError
from pvensemble.numerics.planes import framed, plane_through, principal_plane
from pvensemble.store import Ensemble, LossSurface
from pvensemble.store.surfaces import write_surface
from pvensemble.train.config import RunSettings
from pvensemble.train.data import Split, load_data
from pvensemble.train.models import build_model
from pvensemble.train.native.choice import TORCH
from pvensemble.train.progress import Speed
from pvensemble.train.stored_runs import stored_runs
from pvensemble.train.surface_networks import RunNetworks, run_networks
from pvensemble.train.surface_options import (
    DEFAULT_IMAGES,
    RANDOM,
    TRAJECTORY,
    SurfaceOptions,
)
from pvensemble.train.surface_plane import (
    NetworkLayout,
    SurfacePlane,
    inner_products,
    random_plane,
    spanned,
)
from pvensemble.train.surface_points import Measurer, networks_at, stored_networks

VOLATILE = ("complete", "versions", "device", "engine", "seconds")
"""Parts of what is stored that do not determine a surface."""


@dataclass(frozen=True)
class SurfaceProgress:
    """How far a surface is: points done and in all, points a second, seconds left."""

    done: int
    total: int
    per_second: float = 0.0
    remaining: float | None = None
    message: str = ""


def loss_surface(
    path: object,
    options: SurfaceOptions,
    *,
    config: str | None = None,
    data_dir: str | None = None,
    device: str = "cpu",
    on_progress: Callable[[SurfaceProgress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> LossSurface:
    """Compute a surface and store it, or return the stored one of the same recipe.

    Parameters
    ----------
    path
        ``X.pvens``, made by `pvensemble train`.
    config
        The configuration as a file, needed for a model of the user's own.
    data_dir
        Directory of the data files.
    stop
        When it returns True, what is there is stored, with NaN at the other points.

    Raises
    ------
    ConfigError, DataError
        An option, the model or the data cannot be.
    NotRecordedError
        There is no such run, or its networks are not stored.
    StoreError
        A surface of that name has another recipe, or the system refuses.
    """
    options.check()
    ensemble = Ensemble.open(path)
    specs = stored_runs(ensemble, config)
    networks = run_networks(ensemble, options.runs, whole=options.directions == TRAJECTORY)
    run_id = networks.run_ids[0]
    if run_id not in specs:
        raise ConfigError(
            f"{ensemble.path}: run {options.runs[0]} ({run_id}) is none of the configuration that "
            "the ensemble says it was trained with"
        )
    settings = specs[run_id].settings
    data = load_data(settings.data, data_dir)
    images = _images(getattr(data, options.split), options)
    model = build_model(
        settings.model, input_shape=data.input_shape, n_classes=data.n_classes, seed=settings.seed
    )
    layout = NetworkLayout(model, networks.shapes)
    plane = _plane(options, networks, layout)
    surface = _empty(options, networks, plane, layout)
    recipe = _recipe(options, networks, settings, images, plane)
    found = _stored(ensemble, surface.name, recipe)
    if found is not None:
        surface = found
        if surface.meta["complete"]:
            return surface
    work = _Work(surface, recipe, on_progress, stop)
    engine = ensemble.provenance.get("engine", TORCH)
    measurer = Measurer(model, layout, *images, torch.device(device), engine=engine)
    work.compute(measurer, plane, networks)
    write_surface(ensemble.path, work.surface, time.time())
    return work.surface


def _images(split: Split, options: SurfaceOptions) -> tuple[torch.Tensor, torch.Tensor]:
    n = min(DEFAULT_IMAGES, len(split)) if options.images is None else options.images
    if not 1 <= n <= len(split):
        raise ConfigError(
            f"images: got {n}, allowed: 1 to {len(split)}, the images of the {options.split} split"
        )
    return split.images[:n], split.labels[:n]


def _plane(options: SurfaceOptions, networks: RunNetworks, layout: NetworkLayout) -> SurfacePlane:
    """Return the plane that the options ask for."""
    origin = networks.final[0]
    if options.directions == RANDOM:
        return random_plane(origin, layout, options.seed, biases=options.biases)
    if options.directions == TRAJECTORY:
        differences = networks.path - origin
        plane = principal_plane(inner_products(differences, layout))
        lie = f"the {len(differences)} recorded networks of run {options.runs[0]}"
    else:
        differences = networks.final[1:] - origin
        plane = plane_through(inner_products(differences, layout))
        lie = f"the networks of runs {', '.join(map(str, options.runs))}"
    if plane is None:
        raise ConfigError(f"directions: {lie} lie on a line and span no plane; use random ones")
    return spanned(origin, differences, plane, layout)


def _empty(
    options: SurfaceOptions, networks: RunNetworks, plane: SurfacePlane, layout: NetworkLayout
) -> LossSurface:
    """Return a surface whose places are known and whose values are not."""
    runs, _ = plane.places(networks.final, layout)
    path, distance = plane.places(networks.path, layout)
    if options.directions == RANDOM:
        low, high = np.full(2, -options.span), np.full(2, options.span)
    else:
        inside = path if options.directions == TRAJECTORY else runs
        low, high = framed(inside, options.span)
    x, y = (np.linspace(a, b, options.size) for a, b in zip(low, high))
    nothing = {
        "loss": (options.size,) * 2,
        "run_loss": len(runs),
        "path_loss": len(path),
    }
    nothing = {n: np.full(shape, np.nan) for n, shape in nothing.items()}
    nothing |= {n.replace("loss", "accuracy"): values.copy() for n, values in nothing.items()}
    return LossSurface(
        options.surface_name,
        {},
        x=x,
        y=y,
        run_x=runs[:, 0],
        run_y=runs[:, 1],
        path_run=networks.path_run,
        path_step=networks.path_step,
        path_x=path[:, 0],
        path_y=path[:, 1],
        path_distance=distance,
        **nothing,
    )


def _recipe(
    options: SurfaceOptions,
    networks: RunNetworks,
    settings: RunSettings,
    images: tuple,
    plane: SurfacePlane,
) -> dict:
    """Return everything that determines the surface, as JSON has it."""
    chosen = {k: v for k, v in asdict(options).items() if k not in ("runs", "name", "images")}
    if options.directions != RANDOM:
        del chosen["seed"], chosen["biases"]
    seen = hashlib.sha256()
    for tensor in images:
        seen.update(tensor.numpy().tobytes())
    share = plane.explained[np.isfinite(plane.explained)]
    model = {"name": settings.model.name, **settings.model.options}
    return {
        "runs": networks.run_ids,
        "steps": networks.steps,
        **chosen,
        "normalization": "filter" if options.directions == RANDOM else "none",
        "axes_sha256": hashlib.sha256(plane.axes.tobytes()).hexdigest(),
        "explained": [float(f"{s:.12g}") for s in share],
        "images": len(images[1]),
        "images_sha256": seen.hexdigest(),
        "data": {k: v for k, v in asdict(settings.data).items() if v is not None and k != "dir"},
        "model": {k: v for k, v in model.items() if isinstance(v, (str, int, float, bool))},
        "n_parameters": int(plane.origin.size),
        "loss": "mean cross entropy in nats, float32, evaluation mode",
    }


def _stored(ensemble: Ensemble, name: str, recipe: Mapping) -> LossSurface | None:
    """Return the stored surface of a name, None when there is none.

    Raises
    ------
    StoreError
        It has another recipe.
    """
    if name not in ensemble.surfaces():
        return None
    surface = ensemble.surface(name)
    old = {k: v for k, v in surface.meta.items() if k not in VOLATILE}
    keys = [k for k in {**old, **recipe} if old.get(k) != recipe.get(k)]
    if keys:
        shown = "; ".join(f"{k} was {old.get(k)!r}, now {recipe.get(k)!r}" for k in keys[:3])
        raise StoreError(
            f"{ensemble.path}: there is another loss surface {name!r}: {shown}; give this one a "
            "name of its own: --name"
        )
    return surface


class _Work:
    """A surface that is being computed."""

    def __init__(self, surface: LossSurface, recipe: Mapping, on_progress, stop) -> None:
        copies = {n: a.copy() for n, a in surface.arrays().items()}
        self.surface = replace(surface, meta=dict(recipe), **copies)
        self._before = float(surface.meta.get("seconds", 0.0))
        self._report, self._stop, self._speed = on_progress, stop, Speed()
        self._parts = [(n, getattr(self.surface, n).reshape(-1)) for n in _LOSSES]
        self._total = sum(values.size for _, values in self._parts)

    def compute(self, measurer: Measurer, plane: SurfacePlane, networks: RunNetworks) -> None:
        """Measure what is not known, the networks of the runs first."""
        start = time.monotonic()
        s, device = self.surface, measurer.device
        grid = np.stack(np.meshgrid(s.x, s.y), axis=-1).reshape(-1, 2)
        sources = {
            "run_loss": stored_networks(networks.final, device),
            "path_loss": stored_networks(networks.path, device),
            "loss": networks_at(plane, grid, device),
        }
        self._tell()
        for name, loss in self._parts:
            accuracy = getattr(s, name.replace("loss", "accuracy")).reshape(-1)
            unknown = np.flatnonzero(np.isnan(loss)).tolist()
            for done, losses, accuracies in measurer.measure(sources[name], unknown, self._stop):
                loss[done], accuracy[done] = losses, accuracies
                self._tell()
        versions = {"pvensemble": __version__, "torch": torch.__version__, "numpy": np.__version__}
        s.meta.update(
            complete=self._known() == self._total,
            seconds=round(self._before + time.monotonic() - start, 3),
            device=str(device),
            engine=measurer.engine,
            versions={**versions, "python": platform.python_version()},
        )

    def _known(self) -> int:
        return sum(int((~np.isnan(values)).sum()) for _, values in self._parts)

    def _tell(self) -> None:
        known = self._known()
        speed = self._speed.update(known)
        left = (self._total - known) / speed if speed else None
        self._report(SurfaceProgress(known, self._total, speed, left))


_LOSSES: Sequence[str] = ("run_loss", "path_loss", "loss")
