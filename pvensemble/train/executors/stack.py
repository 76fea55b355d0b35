"""All runs of a group as one model whose parameters have a leading run axis."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional

from pvensemble.train.data import batch_indices
from pvensemble.train.executors.device_data import DeviceData
from pvensemble.train.executors.events import Job, RunState
from pvensemble.train.models import build_model
from pvensemble.train.optimizers import SLOTS, Hyper, change, hyper_of, is_bias, new_slots, subtract
from pvensemble.train.probing import Probing
from pvensemble.train.recording import RecordedLayer
from pvensemble.train.schedules import lr_at


class Stack:
    """Parameters, optimizer buffers and hyper-parameters of some runs, (n_runs, …) each.

    Attributes
    ----------
    parameters, gradients
        Name to (n_runs, *shape).
    layers, probing
        What is recorded.
    alive
        (n_runs,) bool on the device: False from the step on at which a run's loss was not finite.
    """

    def __init__(self, job: Job, positions: Sequence[int], data: DeviceData) -> None:
        self.job, self.positions, self.data = job, tuple(positions), data
        self.settings = [job.settings[p] for p in self.positions]
        models = [
            build_model(
                s.model, input_shape=data.input_shape, n_classes=data.n_classes, seed=s.seed
            )
            for s in self.settings
        ]
        device = data.device
        self.model = models[0].to(device).train()
        self.parameters: dict[str, Tensor] = {}
        self._fixed: dict[str, Tensor] = {}
        for name, p in models[0].named_parameters():
            stacked = torch.stack([m.get_parameter(name).detach().to(device) for m in models])
            (self.parameters if p.requires_grad else self._fixed)[name] = stacked
        self.gradients: dict[str, Tensor] = {}
        self._slots = new_slots(job.optimizer, list(self.parameters.values()))
        self.alive = torch.ones(len(models), dtype=torch.bool, device=device)
        self._hyper = {n: self._stacked_hyper(p.ndim) for n, p in self.parameters.items()}
        multipliers = torch.tensor([float(s.bias_lr_multiplier) for s in self.settings])
        self._multipliers = multipliers.to(device)
        seeds = list(dict.fromkeys(s.seed for s in self.settings))
        self.shared_batch = len(seeds) == 1
        self._seeds = seeds if self.shared_batch else [s.seed for s in self.settings]
        self.observe(job.layers)
        batched = None if self.shared_batch else 0
        self._measure = vmap(
            grad_and_value(self._loss, has_aux=True), in_dims=(0, 0, batched, batched)
        )
        self._predict = vmap(self._logits, in_dims=(0, 0, None, None))

    def observe(self, layers: tuple[RecordedLayer, ...]) -> None:
        """Record these layers from now on."""
        self.layers = layers
        self.probing = Probing(layers)
        self._taps = self.probing.taps(self.model)

    def _stacked_hyper(self, ndim: int) -> Hyper:
        """Return hyper-parameters that broadcast over a parameter of ``ndim`` axes."""
        each = [hyper_of(s) for s in self.settings]
        if all(h == each[0] for h in each):
            return each[0]
        stacked = Hyper(nesterov=each[0].nesterov)
        for name in vars(stacked):
            if name != "nesterov":
                values = torch.tensor([getattr(h, name) for h in each], dtype=torch.float64)
                shaped = values.view(-1, *[1] * (ndim - 1))
                setattr(stacked, name, shaped.to(torch.float32).to(self.data.device))
        return stacked

    def weight(self, name: str) -> Tensor:
        """Return a parameter of all runs, trained or not."""
        return self.parameters[name] if name in self.parameters else self._fixed[name]

    def network(self) -> Tensor:
        """Return all parameters of every run, (n_runs, n_values), as `schema.NETWORK` has them."""
        names = self.model.state_dict()
        return torch.cat([self.weight(name).flatten(1).float() for name in names], dim=1)

    # -- one step ------------------------------------------------------------------------------

    def orders(self, first: int, last: int) -> Tensor:
        """Return the batches of steps ``first`` to ``last``: (n_steps, n_seeds, batch_size)."""
        n, size = len(self.data.train), self.settings[0].batch_size
        table = np.stack(
            [
                np.stack([batch_indices(seed, n, size, step) for seed in self._seeds])
                for step in range(first, last + 1)
            ]
        )
        return _to_device(torch.from_numpy(table), self.data.device)

    def rates(self, first: int, last: int) -> Tensor:
        """Return the learning rates of steps ``first`` to ``last``: (n_steps, n_runs)."""
        steps = range(first, last + 1)
        table = [[lr_at(s, step) for s in self.settings] for step in steps]
        return _to_device(torch.tensor(table, dtype=torch.float32), self.data.device)

    def backward(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """Compute loss and gradients on one batch; return loss and right answers, (n_runs,)."""
        images, labels = self.data.train.take(order.flatten())
        if not self.shared_batch:
            images, labels = images.unflatten(0, order.shape), labels.view(order.shape)
        self.gradients, (loss, right) = self._measure(self.parameters, self._fixed, images, labels)
        self.alive = self.alive & torch.isfinite(loss)
        return loss, right

    @torch.no_grad()
    def update(self, rate: Tensor, step: int) -> None:
        """Do one update of all runs that have not diverged."""
        for i, (name, parameter) in enumerate(self.parameters.items()):
            slots = [slot[i] for slot in self._slots]
            gradient = self.gradients[name]
            moved = change(self.job.optimizer, parameter, gradient, slots, self._hyper[name], step)
            shape = (-1, *[1] * (parameter.ndim - 1))
            moved = torch.where(self.alive.view(shape), moved, 0.0)
            rates = rate * self._multipliers if is_bias(name) else rate
            subtract(parameter, moved, rates.view(shape))

    @torch.no_grad()
    def forward(self, images: Tensor, tapped: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """Return logits (n_runs, n, n_classes) and tapped outputs, as ``evaluate`` wants them."""
        self.model.eval()
        logits, outputs = self._predict(self.parameters, self._fixed, images, tapped)
        self.model.train()
        return logits, outputs

    def _loss(self, parameters: dict, fixed: dict, images: Tensor, labels: Tensor):
        """Loss of one run and its right answers; vmap adds the run axis."""
        with self._precision():
            logits = functional_call(self.model, {**parameters, **fixed}, (images,))
            loss = functional.cross_entropy(logits, labels)
        return loss, (logits.argmax(1) == labels).sum()

    def _logits(self, parameters: dict, fixed: dict, images: Tensor, tapped: bool):
        with self._precision():
            if not tapped:
                return functional_call(self.model, {**parameters, **fixed}, (images,)), {}
            with self._taps.open() as taps:
                logits = functional_call(self.model, {**parameters, **fixed}, (images,))
                return logits, dict(taps.outputs)

    def _precision(self):
        if self.settings[0].precision == "bf16":
            return torch.autocast(self.data.device.type, torch.bfloat16)
        return nullcontext()

    # -- states --------------------------------------------------------------------------------

    def held(self) -> dict[str, Tensor]:
        """Return every stacked tensor by its name in a checkpoint, the same as of a single run."""
        held = {f"parameter:{n}": p for n, p in self.parameters.items()}
        for slot, tensors in zip(SLOTS[self.job.optimizer], self._slots):
            held.update({f"{slot}:{n}": t for n, t in zip(self.parameters, tensors)})
        return held

    def restore(self, states: Sequence[RunState]) -> None:
        """Go on from states, one for each run."""
        device = self.data.device
        for name, tensor in self.held().items():
            stacked = np.stack([s.arrays[name] for s in states])
            tensor.copy_(torch.from_numpy(stacked))
        self.alive = torch.tensor([s.diverged < 0 for s in states], device=device)


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy to the device without waiting for what it is doing."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor


def obstacle(job: Job, data: DeviceData) -> str:
    """Return why the runs of a job cannot be vectorized, "" when they can."""
    if job.reducible:
        return "filters are merged, so that its layers change their shapes"
    try:
        trial = Stack(job, job.positions[:2], data)
        reason = _changing(trial.model)
        if not reason:
            trial.backward(trial.orders(0, 0)[0, :, :2])
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        return f"a trial step failed: {str(error).splitlines()[0]}"
    return reason


def _changing(model: nn.Module) -> str:
    """Return what of a model a stack cannot hold, "" for nothing."""
    if next(model.buffers(), None) is not None:
        name = next(n for n, _ in model.named_buffers())
        return f"it has buffers ({name}) that training changes"
    random = [n for n, m in model.named_modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    return f"it draws random numbers ({random[0]})" if random else ""
