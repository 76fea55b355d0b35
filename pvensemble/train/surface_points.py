"""Loss and accuracy of many networks of one shape on the same images.

On a CPU each core takes one network after the other, through images in chunks that stay in the
cache: networks side by side in one product gain nothing there (measured). On a GPU some networks
go through at once. Either way the values of a network do not depend on the others.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from pvensemble.train.executors.choice import usable_cores
from pvensemble.train.executors.engine import gpu_arithmetic, worker_arithmetic
from pvensemble.train.surface_plane import NetworkLayout, SurfacePlane

CPU_CHUNK = 128
"""Images in one forward pass on a CPU: channels-last, 128 are fastest for LeNet (measured)."""
GPU_CHUNK = 500
GPU_VALUES = 1 << 26
"""Parameters that are on a GPU at once."""
MAX_BATCH = 64

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
    """

    def __init__(
        self,
        model: nn.Module,
        layout: NetworkLayout,
        images: Tensor,
        labels: Tensor,
        device: torch.device,
        workers: int | None = None,
    ) -> None:
        self._model = copy.deepcopy(model).to(device).eval()
        self._layout = layout
        self.device = device
        self._images = images.to(device).contiguous(memory_format=torch.channels_last)
        self._labels = labels.to(device)
        self._workers = workers or usable_cores()
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
        free = [_OneNetwork(self._model, self._layout) for _ in range(self._workers)]

        def work(position: int) -> tuple:
            network = free.pop()
            sums = network.sums(vectors([position])[0], self._images, self._labels)
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

    # -- many at once ------------------------------------------------------------------------------
    def _on_gpu(self, vectors: Vectors, positions: Sequence[int], stop) -> Iterator[tuple]:
        batch = self._batch
        with gpu_arithmetic(self.device, "float32"):
            for start in range(0, len(positions), batch):
                if stop():
                    return
                chosen = positions[start : start + batch]
                yield chosen, self.batched_sums(vectors(chosen)).cpu().numpy()

    @torch.inference_mode()
    def batched_sums(self, vectors: Tensor) -> Tensor:
        """Return sums of losses and of right answers (n, 2) float64 of networks (n, n_values)."""
        own = self._model.state_dict()
        state = {}
        for name, (place, shape) in self._layout.places.items():
            values = vectors[:, place].reshape(len(vectors), *shape)
            state[name] = _possible(name, values).to(own[name].dtype)
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


class _OneNetwork:
    """A copy of the model that takes the values of any network."""

    def __init__(self, model: nn.Module, layout: NetworkLayout) -> None:
        self._model = copy.deepcopy(model).to(memory_format=torch.channels_last)
        self._state = self._model.state_dict()
        self._layout = layout

    @torch.inference_mode()
    def sums(self, vector: Tensor, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """Return the sum of the losses and the number of right answers."""
        for name, (place, shape) in self._layout.places.items():
            self._state[name].copy_(_possible(name, vector[place].view(shape)))
        loss = right = 0.0
        for start in range(0, len(labels), CPU_CHUNK):
            expected = labels[start : start + CPU_CHUNK]
            logits = self._model(images[start : start + CPU_CHUNK]).float()
            losses = functional.cross_entropy(logits, expected, reduction="none")
            loss += float(losses.sum(dtype=torch.float64))
            right += int((logits.argmax(1) == expected).sum())
        return loss, right


def _possible(name: str, values: Tensor) -> Tensor:
    """Return values that a parameter can have: a variance that the plane leads below 0 is 0."""
    return values.clamp(min=0) if name.endswith("running_var") else values


def _alone() -> None:
    """Let a thread compute on one core, and denormals be 0, as the workers of a training do."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
