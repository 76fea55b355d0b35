"""What is recorded of a run, when, and how much room it takes."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from pvensemble import schema
from pvensemble.errors import ConfigError, did_you_mean
from pvensemble.store import LayerInfo
from pvensemble.train.config import RecordConfig, TrainConfig
from pvensemble.train.gram import gram_shape
from pvensemble.train.taps import examine

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
FILE_OVERHEAD = 8192
"""Bytes that a stored file takes beside its tensors (measured; HDF5 with small attributes)."""


@dataclass(frozen=True)
class RecordedLayer:
    """A module whose tensors are recorded.

    Attributes
    ----------
    name
        Module name, as in ``named_modules()``.
    shape
        Shape of the weight.
    kinds
        Which of ``schema.KINDS``, and `schema.FILTER_GROUP` where filters may be merged.
    output
        Shape of its output for one image, (n_filters, *positions).
    overwritten
        Whether the model overwrites its output afterwards.
    n_probe, n_activations
        Images of the probe batch, and how many of the first have their outputs stored.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    kinds: tuple[str, ...]
    output: tuple[int, ...] = ()
    overwritten: bool = False
    n_probe: int = 0
    n_activations: int = 0

    @property
    def info(self) -> LayerInfo:
        """What the store says of it."""
        return LayerInfo(self.name, self.type, self.shape, self.kinds)

    @property
    def weight(self) -> str:
        """Name of the parameter."""
        return f"{self.name}.weight"

    def tensor_shape(self, kind: str) -> tuple[int, ...]:
        """Shape of one run's tensor of a kind."""
        if kind == schema.CORRELATION:
            return (self.output[0],) * 2
        if kind == schema.ACTIVATION:
            return (self.output[0], self.n_activations, *self.output[1:])
        if kind == schema.FILTER_GROUP:
            return self.shape[:1]
        return gram_shape(self.n_probe) if kind == schema.GRAM else self.shape

    @property
    def probed_kinds(self) -> tuple[str, ...]:
        """The kinds that need its outputs for the probe batch."""
        return tuple(k for k in self.kinds if k in schema.PROBED_KINDS)


def recorded_layers(
    model: nn.Module, record: RecordConfig, images: Tensor | None
) -> tuple[RecordedLayer, ...]:
    """Return the layers that a configuration asks for, in the model's order.

    The model itself, being nameless, is none of its layers.

    Parameters
    ----------
    images
        A few inputs of the model, any; None if there is no probe batch. Layers that are not used,
        or do not return one tensor, have nothing that needs their outputs.

    Raises
    ------
    ConfigError
        When a name matches no module that has a weight.
    """
    known = weighted(model)
    chosen: set[str] = set()
    for pattern in record.layers:
        if pattern == "all":
            matches = list(known)
        elif pattern == "convolutions":
            matches = [n for n, m in known.items() if isinstance(m, CONVOLUTIONS)]
        else:
            matches = fnmatch.filter(known, pattern)
            if not matches:
                hint = did_you_mean(pattern, known)
                raise ConfigError(f"record.layers: no layer with weights matches {pattern!r}{hint}")
        chosen.update(matches)
    modules = {name: module for name, module in known.items() if name in chosen}
    outputs = {} if images is None else examine(model, modules, images)
    return tuple(
        described_layer(name, m, record, *outputs.get(name, ())) for name, m in modules.items()
    )


def described_layer(
    name: str,
    module: nn.Module,
    record: RecordConfig,
    output: tuple[int, ...] = (),
    overwritten: bool = False,
) -> RecordedLayer:
    """Return what is recorded of a module, given its output; without, no outputs are."""
    left_out = set() if output else {*schema.PROBED_KINDS}
    if not record.activation_images:
        left_out.add(schema.ACTIVATION)
    return RecordedLayer(
        name,
        type(module).__name__,
        tuple(module.weight.shape),
        tuple(k for k in schema.KINDS if k in record.kinds and k not in left_out),
        output,
        overwritten,
        record.probe,
        record.activation_images,
    )


def weighted(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules whose weight is more than a vector."""
    return {
        name: module
        for name, module in model.named_modules()
        if name and isinstance(getattr(module, "weight", None), Tensor) and module.weight.ndim >= 2
    }


def unrecorded(model: nn.Module, model_name: str, record: RecordConfig) -> str:
    """Return why no tensors of a model will be recorded, for people; "" when some will, or none
    are wanted."""
    if not (record.kinds and record.layers) or recorded_layers(model, record, None):
        return ""
    there = ", ".join(f"{name} ({type(m).__name__})" for name, m in weighted(model).items())
    wanted = ", ".join(map(repr, record.layers))
    return (
        f"no tensors of model {model_name!r} will be recorded: record.layers is {wanted}, and "
        + (f"its layers with weights are {there}" if there else "it has no layers with weights")
    )


def every(steps: int, interval: int | None) -> tuple[int, ...]:
    """Return the multiples of ``interval`` up to ``steps``, and 0 and ``steps`` always."""
    inner = range(0, steps, interval) if interval else (0,)
    return tuple(sorted({*inner, steps}))


@dataclass(frozen=True)
class Schedule:
    """At which steps what happens; the same for all runs of a group.

    ``networks`` are those of the recorded steps at which all parameters are stored. ``observed``
    are steps at which an observer (:mod:`pvensemble.train.observer`) sees metrics and
    ``observed_tensors`` those at which it sees tensors; neither changes what is stored.

    At step s a run has done s updates; everything measured at step s, the training loss and the
    gradient of batch s included, belongs to those parameters. Steps go from 0 to ``steps``.
    """

    steps: int
    recorded: tuple[int, ...]
    evaluated: tuple[int, ...]
    tested: tuple[int, ...]
    networks: tuple[int, ...] = ()
    observed: tuple[int, ...] = ()
    observed_tensors: tuple[int, ...] = ()

    @cached_property
    def stops(self) -> tuple[int, ...]:
        """Steps at which runs hand over what they measured to be stored, ascending."""
        return tuple(sorted({*self.recorded, *self.evaluated, *self.tested}))

    @cached_property
    def halts(self) -> tuple[int, ...]:
        """The stops, and the steps between them at which runs only show themselves, ascending."""
        return tuple(sorted({*self.stops, *self.observed, *self.observed_tensors}))

    @cached_property
    def measured(self) -> frozenset[int]:
        """Steps at which tensors are measured."""
        return frozenset((*self.recorded, *self.observed_tensors))


def schedule_of(config: TrainConfig, steps: int, merging: Iterable[int] = ()) -> Schedule:
    """Return when runs of ``steps`` steps are recorded and evaluated.

    Parameters
    ----------
    merging
        Steps at which a run merges filters: they are recorded and evaluated as well.
    """
    tested = every(steps, config.evaluate.test_every) if config.evaluate.test_every else ()
    recorded = tuple(sorted({*every(steps, config.record.every), *merging}))
    return Schedule(
        steps=steps,
        recorded=recorded,
        evaluated=tuple(sorted({*every(steps, config.evaluate.every), *merging})),
        tested=tuple(sorted({*(s for s in tested if s), steps})),
        networks={"none": (), "last": (steps,), "all": recorded}[config.record.networks],
    )


@dataclass(frozen=True)
class RecordingSize:
    """What a recording will take on disk.

    Attributes
    ----------
    bytes_total
        Tensors and metrics, uncompressed, and what files take beside them.
    n_files
        Files of tensors and metrics.
    bytes_per_step
        Of one recorded step, all runs.
    n_steps
        Recorded steps (of the group that has most).
    """

    bytes_total: int
    n_files: int
    bytes_per_step: int
    n_steps: int


def recording_size(config: TrainConfig, specs: Sequence, data_dir=None) -> RecordingSize:
    """Compute the size of a recording before training starts.

    One model of every group is built for its shapes; its input shape comes from the data set.
    """
    from pvensemble.train.data import load_data
    from pvensemble.train.group_layers import layers_of_group, merge_steps
    from pvensemble.train.models import any_model
    from pvensemble.train.preparation import GROUP_SIZE
    from pvensemble.train.search import group_runs

    total = files = per_step = n_steps = 0
    sets: dict = {}
    for members in group_runs(specs, GROUP_SIZE):
        settings = members[0].settings
        data = sets.get(settings.data) or load_data(settings.data, data_dir)
        sets[settings.data] = data
        shape = data.input_shape
        of_runs = [s.settings for s in members]
        model = any_model(of_runs, shape, data.n_classes)
        layers, reducible = layers_of_group(model, config, of_runs, torch.zeros(2, *shape))
        schedule = schedule_of(config, settings.steps, merge_steps(of_runs, len(data.train)))
        step = len(members) * step_bytes(layers, config.record.dtype)
        n_metrics = 2 * (schedule.steps + 1 + len(schedule.evaluated) + len(schedule.tested))
        per_stop = 2 * len(list(model.parameters())) + 1 + len(reducible)
        n_metrics += per_stop * len(schedule.recorded)
        tensor_files = len(schedule.recorded) * sum(len(layer.kinds) for layer in layers)
        group_files = tensor_files + len(schedule.recorded)
        per_step += step
        n_steps = max(n_steps, len(schedule.recorded))
        group_files += len(schedule.networks)
        total += 4 * len(members) * len(schedule.networks) * len(network_vector(model))
        if any(schema.ACTIVATION in layer.kinds for layer in layers):
            group_files += 1
            total += 4 * config.record.activation_images * int(np.prod(shape))
        files += group_files
        total += step * len(schedule.recorded) + 8 * n_metrics * len(members)
        total += FILE_OVERHEAD * group_files
    return RecordingSize(total, files, per_step, n_steps)


def step_bytes(layers: Iterable[RecordedLayer], dtype: str) -> int:
    """Bytes of one run's tensors at one recorded step."""
    values = sum(int(np.prod(layer.tensor_shape(k))) for layer in layers for k in layer.kinds)
    return values * np.dtype(dtype).itemsize


def network_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all parameters and buffers by name, as `schema.NETWORK` has them."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def network_vector(
    model: nn.Module, whole: Callable[[str, Tensor], Tensor] = lambda name, tensor: tensor
) -> np.ndarray:
    """Return all parameters and buffers of one network, (n_values,) float32.

    Parameters
    ----------
    whole
        Gives each of them, by name, its shape of step 0.
    """
    state = model.state_dict()
    parts = [whole(n, t.detach()).float().cpu().contiguous() for n, t in state.items()]
    return torch.cat([t.reshape(-1) for t in parts]).numpy() if parts else np.zeros(0, np.float32)


def as_recorded(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return a C-contiguous copy in the recorded type; float16 keeps to its finite range."""
    if dtype == "float16":
        limit = np.finfo(np.float16).max
        values = np.clip(values, -limit, limit)
    return np.array(values, dtype=dtype, order="C")
