"""A network that takes the values of any other of its shape, and is measured on one core."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from pvensemble.train.executors.device_data import DeviceSplit
from pvensemble.train.native.build import NoLibrary, library
from pvensemble.train.native.engine import EVALUATED, Engine
from pvensemble.train.native.plan import Plan, Unsupported, plan_of
from pvensemble.train.surface_plane import NetworkLayout

CHUNK = 128
"""Images in one forward pass: channels-last, 128 are fastest for LeNet (measured)."""


class OneNetwork:
    """A copy of a model, in evaluation mode, with images and labels on the same device."""

    def __init__(
        self, model: nn.Module, layout: NetworkLayout, images: Tensor, labels: Tensor
    ) -> None:
        self.model = copy.deepcopy(model).to(memory_format=torch.channels_last).eval()
        self._images, self._labels = images, labels
        self._state = self.model.state_dict()
        self._layout = layout

    @torch.inference_mode()
    def sums(self, vector: Tensor) -> tuple[float, float]:
        """Return the sum of the losses and the number of right answers of a network."""
        for name, (place, shape) in self._layout.places.items():
            self._state[name].copy_(possible_values(name, vector[place].view(shape)))
        return self._measured()

    def _measured(self) -> tuple[float, float]:
        loss = right = 0.0
        for start in range(0, len(self._labels), CHUNK):
            labels = self._labels[start : start + CHUNK]
            logits = self.model(self._images[start : start + CHUNK]).float()
            losses = functional.cross_entropy(logits, labels, reduction="none")
            loss += float(losses.sum(dtype=torch.float64))
            right += int((logits.argmax(1) == labels).sum())
        return loss, right


class NativeNetwork(OneNetwork):
    """Measured by the compiled engine."""

    def __init__(
        self, plan: Plan, model: nn.Module, layout: NetworkLayout, images: Tensor, labels: Tensor
    ) -> None:
        super().__init__(model, layout, images, labels)
        self._split = DeviceSplit(images, labels, torch.device("cpu"))
        self._engine = Engine(self.model, plan, self._split, EVALUATED, shared=False)

    def _measured(self) -> tuple[float, float]:
        loss, accuracy, _ = self._engine.evaluate(self._split, len(self._labels))
        return loss * len(self._labels), round(accuracy * len(self._labels))


def native_plan(model: nn.Module, image: tuple[int, int, int]) -> Plan | None:
    """Return how the compiled engine computes a network, None where it cannot."""
    try:
        library()
        return plan_of(model, image)
    except (NoLibrary, Unsupported):
        return None


def possible_values(name: str, values: Tensor) -> Tensor:
    """Return values that a parameter can have: a variance that the plane leads below 0 is 0."""
    return values.clamp(min=0) if name.endswith("running_var") else values
