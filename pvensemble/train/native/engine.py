"""A run's loss, accuracy and gradients by the compiled engine."""

from __future__ import annotations

import ctypes
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from pvensemble.train.native.build import library
from pvensemble.train.native.plan import Plan, Unsupported
from pvensemble.train.native.probes import Probes, sees
from pvensemble.train.probing import Measured, Probing

if TYPE_CHECKING:
    from pvensemble.train.executors.device_data import DeviceSplit


EVALUATED = 64
"""Images that are evaluated at a time: whole blocks, in which minibatches of Gram matrices fit."""


class Engine:
    """Computes what ``loss.backward()`` does, into the ``grad`` of a network's parameters.

    Everything else of a training step stays as it is: parameters and gradients are torch's.

    Parameters
    ----------
    model
        Channels-last, on the CPU; its parameters stay where they are in memory.
    plan
        Of :func:`~pvensemble.train.native.plan.plan_of` for this network.
    split
        The training images.
    shared
        Whether all engines of a kind in this process take turns with one set of activations; else
        this one evaluates with its own, beside others in threads.

    Raises
    ------
    Unsupported
        A parameter or the images do not lie in memory as the engine needs them.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        split: DeviceSplit,
        batch_size: int,
        *,
        shared: bool = True,
    ) -> None:
        self._batch_size = batch_size
        self._numbers = tuple(plan.numbers().tolist())
        self._plan = plan
        named = dict(model.named_parameters())
        self._parameters = [named[name] for name in plan.parameters()]
        self._images, self._labels = _images(split)
        for name, p in zip(plan.parameters(), self._parameters):
            _check(name, p.permute(0, 2, 3, 1) if p.dim() == 4 else p)
        self._network = _network(self._numbers, len(plan.layers), batch_size)
        kind = self._numbers, len(plan.layers), EVALUATED
        self._own = None if shared else _Network(*kind)
        self._pointers = _pointers(self._parameters)
        self._gradients: list[torch.Tensor] = []
        self._gradient_pointers = _pointers([])
        self._result = np.zeros(2)

    def step(self, indices: np.ndarray) -> tuple[float, float]:
        """Return loss (nats) and accuracy of the chosen training images; write the gradients.

        Parameters
        ----------
        indices
            (batch_size,) int64.
        """
        if len(indices) != self._batch_size:
            raise ValueError(f"expected {self._batch_size} images, got {len(indices)}")
        if not self._gradients:
            self._gradients = [torch.empty_like(p) for p in self._parameters]
            self._gradient_pointers = _pointers(self._gradients)
        indices = np.ascontiguousarray(indices, np.int64)
        with self._network.lock:
            library().pvensemble_native_step(
                self._network.handle,
                self._images.data_ptr(),
                self._labels.data_ptr(),
                indices.ctypes.data,
                ctypes.addressof(self._pointers),
                ctypes.addressof(self._gradient_pointers),
                self._result.ctypes.data,
            )
        for p, gradient in zip(self._parameters, self._gradients):
            p.grad = gradient
        loss, accuracy = self._result.tolist()
        return float(np.float32(loss)), accuracy

    def sees(self, probing: Probing) -> bool:
        """Tell whether :meth:`evaluate` can measure all layers that are probed."""
        return sees(self._plan, probing)

    def evaluate(
        self, split: DeviceSplit, size: int, probing: Probing | None = None
    ) -> tuple[float, float, Measured]:
        """Do what :func:`~pvensemble.train.executors.evaluation.evaluate` does.

        Parameters
        ----------
        split
            Its first images are evaluated.
        size
            Loss and accuracy are taken over this many; 0 for none (NaN).
        probing
            What to measure of convolutions' outputs for the first images.
        """
        images, labels = _images(split)
        size = min(size, len(labels))
        n_probe = min(probing.n_images, len(labels)) if probing else 0
        probes = Probes(self._plan, probing, n_probe) if n_probe else None
        numbers, pointers = (probes.numbers.ctypes.data, probes.pointers) if probes else (0, None)
        sums = np.zeros(2)
        network = self._own or _network(self._numbers, len(self._plan.layers), EVALUATED)
        with network.lock:
            done = library().pvensemble_native_evaluate(
                network.handle,
                images.data_ptr(),
                labels.data_ptr(),
                _counting(max(size, n_probe)).ctypes.data,
                size,
                ctypes.addressof(self._pointers),
                len(probes) if probes else 0,
                numbers,
                pointers,
                sums.ctypes.data,
            )
        if not done:
            raise MemoryError("what layers show of the probe batch needs more memory than there is")
        loss, right = (sums / size).tolist() if size else (float("nan"), float("nan"))
        return loss, right, probes.result() if probes else {}


class _Network:
    """The activations of one kind of network, used by all runs of a process in turn."""

    def __init__(self, numbers: tuple[int, ...], n_layers: int, batch_size: int) -> None:
        self.lock = threading.Lock()
        plan = np.array(numbers, np.int64)
        self._library = library()
        self.handle = self._library.pvensemble_native_new(plan.ctypes.data, n_layers, batch_size)
        if not self.handle:
            raise MemoryError(f"a batch of {batch_size} images needs more memory than there is")

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._library.pvensemble_native_delete(self.handle)


@lru_cache(maxsize=4)
def _network(numbers: tuple[int, ...], n_layers: int, batch_size: int) -> _Network:
    return _Network(numbers, n_layers, batch_size)


@lru_cache(maxsize=4)
def _counting(n: int) -> np.ndarray:
    """Return 0, 1, … n - 1."""
    return np.arange(n, dtype=np.int64)


def _images(split: DeviceSplit) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images (n, height, width, channels) and labels where they lie."""
    images, labels = split.images.permute(0, 2, 3, 1), split.labels
    _check("the images", images)
    if labels.dtype != torch.int64 or not labels.is_contiguous():
        raise Unsupported("the labels are not whole numbers of 64 bits")
    return images, labels


def _pointers(tensors: list[torch.Tensor]) -> ctypes.Array:
    return (ctypes.c_void_p * len(tensors))(*[t.data_ptr() for t in tensors])


def _check(name: str, tensor: torch.Tensor) -> None:
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise Unsupported(f"{name} is not float32 in the order that it needs")
