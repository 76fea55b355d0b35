"""Loss and accuracy of many networks of one shape on the same images.

On a CPU each core takes one network after the other, through images in chunks that stay in the
cache, with the compiled engine where an ensemble was trained with it: networks side by side in one
product gain nothing there (measured). On a GPU some networks go through at once. Either way the
values of a network do not depend on the others.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from pvensemble.train.executors.choice import usable_cores
from pvensemble.train.executors.engine import gpu_arithmetic, worker_arithmetic
from pvensemble.train.native.choice import NATIVE, TORCH
from pvensemble.train.one_network import (
    NativeNetwork,
    OneNetwork,
    native_plan,
    possible_values,
)
from pvensemble.train.surface_plane import NetworkLayout, SurfacePlane

GPU_CHUNK = 500
GPU_VALUES = 1 << 26
"""Parameters that are on a GPU at once."""
MAX_BATCH = 64
_NOT_SIDE_BY_SIDE = (RuntimeError, ValueError, TypeError, NotImplementedError)

Vectors = Callable[["Sequence[int]"], Tensor]
"""Positions to networks (n, n_values) float32, on the device."""
Measured = tuple[Sequence[int], np.ndarray, np.ndarray]
"""Positions, and loss and accuracy of each."""


def stored_networks(networks: np.ndarray, device: torch.device) -> Vectors:
    """Return what gives networks out of an array (n, n_values)."""
    return lambda positions: torch.from_numpy(networks[list(positions)]).to(device)


def networks_at(plane: SurfacePlane, points: np.ndarray, device: torch.device) -> Vectors:
    """Return what gives the networks at points (n, 2) of a plane."""
    origin, axes = (
        torch.from_numpy(plane.origin).to(device),
        torch.from_numpy(plane.axes).to(device),
    )
    places = torch.from_numpy(np.asarray(points, np.float32)).to(device)

    def vectors(positions: Sequence[int]) -> Tensor:
        at = places[list(positions)]
        return origin + (at[:, :1] * axes[0] + at[:, 1:] * axes[1])

    return vectors


class Measurer:
    """Measures networks.

    Parameters
    ----------
    model
        Of the networks' shape; it is copied.
    images, labels
        (n, channels, height, width) float32 and (n,) int64.
    device
    workers
        Threads on a CPU; None for one a core.
    engine
        ``native`` to use the compiled engine on a CPU, where it can.

    Attributes
    ----------
    engine : str
        What computes: ``torch`` or ``native``.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: NetworkLayout,
        images: Tensor,
        labels: Tensor,
        device: torch.device,
        workers: int | None = None,
        *,
        engine: str = TORCH,
    ) -> None:
        self._model = copy.deepcopy(model).to(device).eval()
        self._layout = layout
        self.device = device
        self._images = images.to(device).contiguous(memory_format=torch.channels_last)
        self._labels = labels.to(device)
        self._workers = workers or len(usable_cores())
        self._alone: OneNetwork | None = None
        self._plan = None
        if engine == NATIVE and device.type == "cpu":
            self._plan = native_plan(self._model, tuple(images.shape[1:]))
        self.engine = NATIVE if self._plan else TORCH
        self._batch = min(MAX_BATCH, max(GPU_VALUES // max(layout.size, 1), 1))

    def measure(
        self, vectors: Vectors, positions: Sequence[int], stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Measured]:
        """Yield loss (nats) and accuracy of the networks at some positions, in any order.

        A loss that is not a finite number is infinite. When ``stop`` returns True it ends early.
        """
        measure = self._on_cpu if self.device.type == "cpu" else self._on_gpu
        for done, sums in measure(vectors, positions, stop):
            loss, right = np.asarray(sums, np.float64).T / len(self._labels)
            yield done, np.where(np.isfinite(loss), loss, np.inf), right

    # -- one at a time -----------------------------------------------------------------------------
    def _on_cpu(self, vectors: Vectors, positions: Sequence[int], stop) -> Iterator[tuple]:
        free = [self._one_network() for _ in range(self._workers)]

        def work(position: int) -> tuple:
            network = free.pop()
            sums = network.sums(vectors([position])[0])
            free.append(network)
            return [position], [sums]

        left = iter(positions)
        arithmetic = worker_arithmetic(self.device)
        with arithmetic, ThreadPoolExecutor(self._workers, initializer=_alone) as pool:
            at_work = {pool.submit(work, p) for p in itertools.islice(left, self._workers)}
            while at_work:
                done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
                if not stop():
                    at_work |= {pool.submit(work, p) for p in itertools.islice(left, len(done))}
                yield from (future.result() for future in done)

    def _one_network(self) -> OneNetwork:
        kind = OneNetwork if self._plan is None else partial(NativeNetwork, self._plan)
        return kind(self._model, self._layout, self._images, self._labels)

    # -- many at once ------------------------------------------------------------------------------
    def _on_gpu(self, vectors: Vectors, positions: Sequence[int], stop) -> Iterator[tuple]:
        batch = self._batch
        with gpu_arithmetic(self.device, "float32"):
            for start in range(0, len(positions), batch):
                if stop():
                    return
                chosen = positions[start : start + batch]
                yield chosen, self._sums_on_gpu(vectors(chosen))

    def _sums_on_gpu(self, vectors: Tensor) -> np.ndarray:
        """Return sums (n, 2) of networks, one by one where they do not go side by side."""
        if self._alone is None:
            try:
                return self.batched_sums(vectors).cpu().numpy()
            except _NOT_SIDE_BY_SIDE:  # what vmap cannot do, or too little memory
                self._alone = OneNetwork(self._model, self._layout, self._images, self._labels)
        return np.array([self._alone.sums(vector) for vector in vectors])

    @torch.inference_mode()
    def batched_sums(self, vectors: Tensor) -> Tensor:
        """Return sums of losses and of right answers (n, 2) float64 of networks (n, n_values)."""
        own = self._model.state_dict()
        state = {}
        for name, (place, shape) in self._layout.places.items():
            values = vectors[:, place].reshape(len(vectors), *shape)
            state[name] = possible_values(name, values).to(own[name].dtype)
        forward = vmap(
            lambda one, images: functional_call(self._model, one, (images,)), in_dims=(0, None)
        )
        total = torch.zeros(len(vectors), 2, dtype=torch.float64, device=vectors.device)
        for start in range(0, len(self._labels), GPU_CHUNK):
            labels = self._labels[start : start + GPU_CHUNK].expand(len(vectors), -1)
            logits = forward(state, self._images[start : start + GPU_CHUNK])
            losses = functional.cross_entropy(
                logits.flatten(0, 1).float(), labels.flatten(), reduction="none"
            )
            total[:, 0] += losses.view(labels.shape).sum(1, dtype=torch.float64)
            total[:, 1] += (logits.argmax(2) == labels).sum(1)
        return total


def _alone() -> None:
    """Let a thread compute on one core, and denormals be 0, as the workers of a training do."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
