"""Evaluation and correlation of a stack of runs, in one pass over the images.

The probe batch is the beginning of the validation split, so at a step that is both evaluated and
recorded its activations come from the evaluation's own forward passes: correlation then costs its
sums alone. Images go through in chunks small enough that a layer's output is still in the cache
when its products are formed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from pvensemble.train.config import RunSettings
from pvensemble.train.correlation import CorrelationSums, activation_rows, has_patches
from pvensemble.train.models_zoo import MODELS

Forward = Callable[[Tensor, bool], "tuple[Tensor, dict[str, Tensor]]"]
"""Images (n, c, h, w) and whether layers are tapped, to logits (k, n, n_classes) and outputs of
the tapped layers (k, n, n_filters, *positions)."""


class Taps:
    """Outputs of chosen modules, caught by forward hooks while :meth:`open` is entered."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        modules = dict(model.named_modules())
        self._modules = {name: modules[name] for name in names}
        self.outputs: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        return bool(self._modules)

    @contextmanager
    def open(self) -> Iterator[Taps]:
        """Catch outputs; the hooks are gone afterwards, whatever happens."""
        handles = [
            module.register_forward_hook(self._hook(name)) for name, module in self._modules.items()
        ]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self.outputs = {}

    def _hook(self, name: str) -> Callable:
        def keep(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            self.outputs[name] = output

        return keep


def layer_of_images(
    model: nn.Module, settings: RunSettings, tapped: Sequence[str], device: torch.device
) -> str | None:
    """Return the tapped layer whose correlation follows from the patches of the images alone.

    Only of our own networks it is known that a layer gets the images as they are.
    """
    name = getattr(model, "image_layer", None)
    known = settings.model.name in MODELS and device.type == "cpu"
    return name if known and name in tapped and has_patches(model.get_submodule(name)) else None


def evaluate(
    forward: Forward,
    images: Tensor,
    labels: Tensor,
    *,
    size: int,
    probe: int = 0,
    chunk: int = 64,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Measure loss, accuracy and filter correlations.

    Parameters
    ----------
    images, labels
        (n, c, h, w) and (n,).
    size
        Loss and accuracy are taken over this many of the first images; 0 for none.
    probe
        Correlations are taken over this many of the first images; 0 for none.
    chunk
        Images in one forward pass.

    Returns
    -------
    loss, accuracy
        (k,) float64, NaN when ``size`` is 0: mean cross entropy in nats, share of right answers.
    correlations
        Layer to (k, n_filters, n_filters) float32.
    """
    size, probe = min(size, len(images)), min(probe, len(images))
    loss: Tensor | float = 0.0
    right: Tensor | float = 0.0
    sums: dict[str, CorrelationSums] = {}
    for start, end in _chunks(size, probe, chunk):
        logits, outputs = forward(images[start:end], end <= probe)
        for name, output in outputs.items():
            sums.setdefault(name, CorrelationSums()).add(activation_rows(output))
        if end <= size:
            answers = labels[start:end].expand(logits.shape[0], -1)
            losses = functional.cross_entropy(
                logits.flatten(0, 1).float(), answers.flatten(), reduction="none"
            )
            loss = loss + losses.view(answers.shape).sum(1, dtype=torch.float64)
            right = right + (logits.argmax(2) == answers).sum(1, dtype=torch.float64)
    if size:
        loss, right = loss / size, right / size
    else:
        loss = right = torch.tensor([float("nan")], dtype=torch.float64)
    return loss, right, {name: s.result() for name, s in sums.items()}


def _chunks(size: int, probe: int, chunk: int) -> Iterator[tuple[int, int]]:
    """Yield ranges that cover the longer of both and cross the end of neither."""
    edges = sorted({0, size, probe})
    for low, high in zip(edges, edges[1:]):
        for start in range(low, high, chunk):
            yield start, min(start + chunk, high)


def correlate(
    forward: Callable[[Tensor], dict[str, Tensor]], images: Tensor, chunk: int = 64
) -> dict[str, Tensor]:
    """Return the correlations of layers whose outputs ``forward`` gives, (k, n_filters, n_filters).

    Parameters
    ----------
    forward
        Inputs (n, …) to layer outputs (k, n, n_filters, *positions).
    """
    sums: dict[str, CorrelationSums] = {}
    for part in images.split(chunk):
        for name, output in forward(part).items():
            sums.setdefault(name, CorrelationSums()).add(activation_rows(output))
    return {name: s.result() for name, s in sums.items()}
