"""One run on one device, the fast way on a CPU core.

Channels-last, one run at a time: a run's parameters and activations fit the core's cache, which
beats fusing runs on a CPU. What a run computes depends on its settings alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pvensemble import schema
from pvensemble.store import MergeEvent
from pvensemble.train.data import batch_indices
from pvensemble.train.executors.device_data import DeviceData, DeviceSplit
from pvensemble.train.executors.evaluation import by_patches, evaluate
from pvensemble.train.executors.events import Job, RunState, divergence
from pvensemble.train.executors.merging import FilterMerging
from pvensemble.train.executors.randomness import draws_random_numbers, seeded
from pvensemble.train.models import build_model
from pvensemble.train.native.engine import Engine
from pvensemble.train.native.plan import Unsupported, plan_of
from pvensemble.train.optimizers import (
    SLOTS,
    change,
    fused_sgd,
    hyper_of,
    is_bias,
    new_slots,
    subtract,
)
from pvensemble.train.probing import Measured, Probing
from pvensemble.train.recording import RecordedLayer, as_recorded, network_vector
from pvensemble.train.reduction import Reduction
from pvensemble.train.schedules import lr_at, reduce_steps


class OneRun:
    """A run between two stops.

    At ``step`` the run has done ``step`` updates. :meth:`advance` measures each step up to a stop,
    :meth:`report` hands over what was measured, :meth:`leave` does the update that leaves the stop.
    """

    def __init__(self, job: Job, position: int, data: DeviceData) -> None:
        settings = job.settings[position]
        self.job, self.position, self.settings, self.data = job, position, settings, data
        model = build_model(
            settings.model,
            input_shape=data.input_shape,
            n_classes=data.n_classes,
            seed=settings.seed,
        )
        self.model = model.to(data.device).to(memory_format=torch.channels_last).train()
        named = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        self.names = [n for n, _ in named]
        self.parameters = [p for _, p in named]
        self._slots = new_slots(settings.optimizer, self.parameters)
        self._hyper = hyper_of(settings)
        multiplier = float(settings.bias_lr_multiplier)
        self._factors = [multiplier if is_bias(n) else 1.0 for n in self.names]
        self._fused = settings.optimizer == "sgd"
        self._random = draws_random_numbers(self.model, settings.model.name)
        self._reduction = Reduction(job.reducible)
        self._merging: FilterMerging | None = None
        if job.reducible and settings.reduce.threshold is not None:
            validation, size = data.validation, job.evaluate_size
            self._merging = FilterMerging(
                self.model,
                self._reduction,
                settings.reduce.threshold,
                probe=validation.images[: job.probe],
                images=validation.images[:size],
                labels=validation.labels[:size],
                precision=self._precision,
            )
        self._stops = frozenset(job.schedule.stops)
        self._merge_steps = frozenset(reduce_steps(settings, len(data.train)))
        self._native = self._compiled()
        self.step, self.diverged, self.reason = 0, -1, ""
        self._rows: list[tuple[float, float]] = []
        state = job.states.get(position)
        self._observe(job.layers_at(state.step if state else 0))
        if state:
            self._restore(state)

    def _observe(self, layers: tuple[RecordedLayer, ...]) -> None:
        """Record these layers from now on."""
        self._layers = layers
        self._by_patches = by_patches(layers, self.model, self.settings, self.data.device)
        self._probing = Probing(layers, self._by_patches)
        self._taps = self._probing.taps(self.model)
        self._frozen: dict[tuple[str, str], np.ndarray] = {}

    def _compiled(self) -> Engine | None:
        """Return what the compiled engine needs of the network as it is now."""
        if self.job.engine != "native" or self.data.device.type != "cpu":
            return None
        plan = plan_of(self.model, self.data.input_shape)
        return Engine(self.model, plan, self.data.train, self.settings.batch_size)

    # -- training ------------------------------------------------------------------------------

    def advance(self, stop: int, interrupted: Callable[[], bool]) -> bool:
        """Measure every step up to ``stop``; return False when interrupted before it.

        Afterwards the run is at ``stop``, its gradient computed and its update not yet done.
        """
        while self.diverged < 0:
            if interrupted():
                return False
            loss, accuracy = self._backward()
            self._rows.append((loss, accuracy))
            if not math.isfinite(loss):
                self.diverged = self.step
                self.reason = divergence(loss, self.step)
            elif self.step < stop:
                self._update()
                self.step += 1
            else:
                break
        self.step = stop
        return True

    def leave(self) -> None:
        """Go on from a halt: do its update, unless the run has diverged or ended."""
        if self.step in self._stops:
            self._rows.clear()
        if self.diverged < 0 and self.step < self.job.schedule.steps:
            self._update()
        self.step += 1

    def merge_filters(self) -> list[MergeEvent]:
        """Merge filters before leaving a stop where the settings say so."""
        if self._merging is None or self.diverged >= 0 or self.step not in self._merge_steps:
            return []
        events, slots = self._merging.merge(self.position, self.step, self._held_slots())
        if events:
            self._adopt(slots)
            self._backward()  # the update that leaves the stop is one of the smaller network
        return events

    def _adopt(self, slots: Mapping[str, Tensor]) -> None:
        """Go on with a network whose tensors were replaced, and with optimizer's buffers for it."""
        self.parameters = [self.model.get_parameter(n) for n in self.names]
        for slot, tensors in zip(SLOTS[self.settings.optimizer], self._slots):
            for i, (name, p) in enumerate(zip(self.names, self.parameters)):
                if f"{slot}:{name}" in slots:  # in the order of the parameter in memory
                    tensors[i] = torch.empty_like(p.detach()).copy_(slots[f"{slot}:{name}"])
        try:
            self._native = self._compiled()
        except Unsupported:
            self._native = None

    def _backward(self) -> tuple[float, float]:
        """Compute the loss and gradient of this step's batch; return loss and accuracy."""
        s = self.settings
        train = self.data.train
        indices = batch_indices(s.seed, len(train), s.batch_size, self.step)
        if self._native:
            return self._native.step(indices)
        images, labels = train.batch(indices)
        for p in self.parameters:
            p.grad = None
        with self._randomness(), self._precision():
            logits = self.model(images)
            loss = functional.cross_entropy(logits, labels)
        loss.backward()
        right = (logits.detach().argmax(1) == labels).sum()
        return float(loss.detach()), float(right) / len(labels)

    @torch.no_grad()
    def _update(self) -> None:
        s = self.settings
        rate = lr_at(s, self.step)
        if self._fused and self._update_fused(rate):
            return
        for i, p in enumerate(self.parameters):
            if p.grad is not None:
                slots = [slot[i] for slot in self._slots]
                step = change(s.optimizer, p, p.grad, slots, self._hyper, self.step)
                subtract(p, step, rate * self._factors[i])

    def _update_fused(self, rate: float) -> bool:
        """Update all parameters of equal learning rate at once; False when that cannot be done."""
        (buffers,) = self._slots
        for factor in set(self._factors):
            chosen = [
                (p, p.grad, buffer)
                for p, f, buffer in zip(self.parameters, self._factors, buffers)
                if f == factor and p.grad is not None
            ]
            if chosen and not fused_sgd(*map(list, zip(*chosen)), self._hyper, rate * factor):
                self._fused = False
                return False
        return True

    def _precision(self):
        if self.settings.precision == "bf16":
            return torch.autocast(self.parameters[0].device.type, torch.bfloat16)
        return nullcontext()

    def _randomness(self):
        """Seed dropout and the like by (seed, step), so that a resumed run draws the same."""
        if not self._random:
            return nullcontext()
        return seeded(self.settings.seed, self.step, self.parameters[0].device)

    # -- measuring -----------------------------------------------------------------------------

    def report(self) -> tuple[dict, dict]:
        """Return the metrics and tensors of the halt the run is at."""
        schedule, stop = self.job.schedule, self.step
        before = max((s for s in schedule.stops if s < stop), default=-1)
        rows = np.full((stop - before, 2), np.nan)
        rows[: len(self._rows)] = np.reshape(self._rows, (-1, 2))
        steps = np.arange(before + 1, stop + 1)
        metrics = {
            schema.TRAIN_LOSS: (steps, rows[:, :1]),
            schema.TRAIN_ACCURACY: (steps, rows[:, 1:]),
        }
        if self.job.layers_at(stop) is not self._layers:
            self._observe(self.job.layers_at(stop))
        recorded, measured = stop in schedule.recorded, stop in schedule.measured
        probed = self._evaluate(metrics, measured)
        tensors = self._tensors(probed) if measured else {}
        if stop in schedule.networks:
            tensors[schema.NETWORK] = network_vector(self.model, self._reduction.expand)[None]
        if recorded:
            self._norms(metrics)
            for layer in self._reduction.layers:
                n_filters = len(self._reduction.alive(layer))
                self._add(metrics, schema.n_filters_metric(layer), n_filters)
        return metrics, tensors

    @torch.no_grad()
    def _evaluate(self, metrics: dict, measured: bool) -> Measured:
        """Evaluate where the schedule says so; probe the layers where they are measured."""
        schedule, stop, alive = self.job.schedule, self.step, self.diverged < 0
        measured = measured and not self._frozen
        tapped = measured and bool(self._probing)
        validation = self.data.validation
        size = len(validation) if self.job.evaluate_size is None else self.job.evaluate_size
        probed: Measured = {}
        self.model.eval()
        if stop in schedule.evaluated or tapped:
            wanted = stop in schedule.evaluated and alive
            probing = self._probing if tapped else None
            loss, accuracy, probed = self._measure(validation, size if wanted else 0, probing)
            if stop in schedule.evaluated:
                self._add(metrics, schema.VALIDATION_LOSS, loss)
                self._add(metrics, schema.VALIDATION_ACCURACY, accuracy)
        for name, kind in self._by_patches if measured else ():
            layer = self.model.get_submodule(name)
            patches = validation.patches(layer, self.job.probe, self.settings.precision)
            probed[name, kind] = patches.measure(layer.weight, kind)
        test = self.data.test
        if stop in schedule.tested and len(test):
            loss, accuracy, _ = self._measure(test, len(test) if alive else 0)
            self._add(metrics, schema.TEST_LOSS, loss)
            self._add(metrics, schema.TEST_ACCURACY, accuracy)
        self.model.train()
        return probed

    def _measure(
        self, split: DeviceSplit, size: int, probing: Probing | None = None
    ) -> tuple[Tensor | float, Tensor | float, Measured]:
        """Return loss and accuracy of the first images, and what the probe batch shows."""
        if self._native and (probing is None or self._native.sees(probing)):
            return self._native.evaluate(split, size, probing)
        return evaluate(self._forward, split.images, split.labels, size=size, probing=probing)

    def _forward(self, images: Tensor, tapped: bool) -> tuple[Tensor, dict[str, Tensor]]:
        with self._precision():
            if not tapped:
                return self.model(images)[None], {}
            with self._taps.open() as taps:
                logits = self.model(images)[None]
                return logits, {name: out[None] for name, out in taps.outputs.items()}

    def _add(self, metrics: dict, name: str, value: Tensor | float) -> None:
        metrics[name] = (np.array([self.step]), np.array([[float(value)]]))

    def _norms(self, metrics: dict) -> None:
        """Add the norms of all parameters and gradients, and the learning rate.

        A diverged run has neither gradients nor a learning rate.
        """
        held: dict[str, Tensor | None] = {}
        for name, p in zip(self.names, self.parameters):
            held[schema.WEIGHT_NORM + name] = p.detach()
            held[schema.GRADIENT_NORM + name] = p.grad if self.diverged < 0 else None
        norms = iter(torch._foreach_norm([t for t in held.values() if t is not None]))
        for name, tensor in held.items():
            self._add(metrics, name, float("nan") if tensor is None else next(norms))
        rate = lr_at(self.settings, self.step) if self.diverged < 0 else float("nan")
        self._add(metrics, schema.SCHEDULED_RATE, rate)

    def _tensors(self, probed: Measured) -> dict[tuple[str, str], np.ndarray]:
        """Return the recorded tensors, (1, *shape); a diverged run's gradients are 0."""
        if self._frozen:
            return {key: value.copy() for key, value in self._frozen.items()}
        named = dict(self.model.named_parameters())
        tensors = {}
        for layer in self._layers:
            for kind in layer.kinds:
                if kind == schema.FILTER_GROUP:
                    standing = self._reduction.standing[layer.name][None]
                    tensors[layer.name, kind] = as_recorded(standing, "float32")
                    continue
                if kind in schema.PROBED_KINDS:
                    value = probed[layer.name, kind]
                    dims = {schema.CORRELATION: (1, 2), schema.ACTIVATION: (1,)}.get(kind, ())
                    value = self._reduction.expand_measured(layer.name, value, dims)
                else:
                    p = named[layer.weight]
                    value = p.detach()
                    if kind == schema.GRADIENT:
                        has = self.diverged < 0 and p.grad is not None
                        value = p.grad if has else torch.zeros_like(value)
                    value = self._reduction.expand(layer.weight, value)[None]
                tensors[layer.name, kind] = as_recorded(
                    value.detach().cpu().numpy(), self.job.dtype
                )
        if self.diverged >= 0:
            self._frozen = {key: value.copy() for key, value in tensors.items()}
        return tensors

    # -- states --------------------------------------------------------------------------------

    def state(self) -> RunState:
        """Return a copy of all that decides how the run goes on."""
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 2)
        arrays = {
            key: np.array(self._reduction.expand(key.partition(":")[2], t.detach()).cpu().numpy())
            for key, t in self._held().items()
        }
        standing = self._reduction.standing.items()
        arrays.update({f"{schema.FILTER_GROUP}:{n}": np.array(s) for n, s in standing})
        return RunState(self.position, self.step, self.diverged, rows, arrays)

    def _restore(self, state: RunState) -> None:
        self.step, self.diverged = state.step, state.diverged
        self._rows = [tuple(row) for row in state.rows.tolist()]
        reduction = self._reduction
        for layer in reduction.standing:
            reduction.standing[layer] = np.array(state.arrays[f"{schema.FILTER_GROUP}:{layer}"])
        if not reduction.is_whole:
            reduction.shrink(self.model)
            held = self._held_slots().items()
            self._adopt({key: reduction.compact(key.partition(":")[2], t) for key, t in held})
        with torch.no_grad():
            for key, tensor in self._held().items():
                stored = torch.from_numpy(np.array(state.arrays[key]))
                tensor.copy_(reduction.compact(key.partition(":")[2], stored))

    def _held(self) -> dict[str, Tensor]:
        """Return every tensor of the run by its name in a checkpoint."""
        held = {f"parameter:{n}": p for n, p in zip(self.names, self.parameters)}
        held.update({f"buffer:{n}": b for n, b in self.model.named_buffers()})
        return {**held, **self._held_slots()}

    def _held_slots(self) -> dict[str, Tensor]:
        """Return the optimizer's buffers by name."""
        named = zip(SLOTS[self.settings.optimizer], self._slots)
        return {f"{slot}:{n}": t for slot, ts in named for n, t in zip(self.names, ts)}
