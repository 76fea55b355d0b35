"""Evaluation and probing of a stack of runs, in one pass over the images.

The probe batch is the beginning of the validation split, so at a step that is both evaluated and
recorded its activations come from the evaluation's own forward passes: probing then costs its sums
alone. Images go through in chunks small enough that a layer's output is still in the cache
when its products are formed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pvensemble import schema
from pvensemble.train.config import RunSettings
from pvensemble.train.correlation import has_patches
from pvensemble.train.gram import PatchProducts
from pvensemble.train.models_zoo import MODELS
from pvensemble.train.probing import Measured, Probing
from pvensemble.train.recording import RecordedLayer

Forward = Callable[[Tensor, bool], "tuple[Tensor, dict[str, Tensor]]"]
"""Images (n, c, h, w) and whether layers are tapped, to logits (k, n, n_classes) and outputs of
the tapped layers (k, n, n_filters, *positions)."""


def by_patches(
    layers: Sequence[RecordedLayer],
    model: nn.Module,
    settings: RunSettings,
    device: torch.device,
) -> tuple[tuple[str, str], ...]:
    """Return (layer, kind) of what follows from the patches of the images alone.

    Only of our own networks it is known that a layer gets the images as they are.
    """
    name = getattr(model, "image_layer", None)
    if device.type != "cpu" or settings.model.name not in MODELS or name is None:
        return ()
    module = model.get_submodule(name)
    layer = next((x for x in layers if x.name == name), None)
    if layer is None or not has_patches(module):
        return ()
    kinds = [schema.CORRELATION]
    if PatchProducts.fits(layer.n_probe, module):
        kinds.append(schema.GRAM)
    return tuple((name, kind) for kind in kinds if kind in layer.kinds)


def evaluate(
    forward: Forward,
    images: Tensor,
    labels: Tensor,
    *,
    size: int,
    probing: Probing | None = None,
    chunk: int = 64,
) -> tuple[Tensor, Tensor, Measured]:
    """Measure loss and accuracy, and what the probe batch shows of layers.

    Parameters
    ----------
    images, labels
        (n, c, h, w) and (n,).
    size
        Loss and accuracy are taken over this many of the first images; 0 for none.
    probing
        What to measure of the layers' outputs for the first images; None for nothing.
    chunk
        Images in one forward pass.

    Returns
    -------
    loss, accuracy
        (k,) float64, NaN when ``size`` is 0: mean cross entropy in nats, share of right answers.
    measured
        (layer, kind) to (k, *shape) float32.
    """
    probe = min(probing.n_images, len(images)) if probing else 0
    size = min(size, len(images))
    loss: Tensor | float = 0.0
    right: Tensor | float = 0.0
    sums = probing.begin() if probing else None
    for start, end in _chunks(size, probe, chunk):
        logits, outputs = forward(images[start:end], end <= probe)
        if outputs:
            sums.add(outputs)
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
    return loss, right, sums.result() if sums else {}


def _chunks(size: int, probe: int, chunk: int) -> Iterator[tuple[int, int]]:
    """Yield ranges that cover the longer of both and cross the end of neither."""
    edges = sorted({0, size, probe})
    for low, high in zip(edges, edges[1:]):
        for start in range(low, high, chunk):
            yield start, min(start + chunk, high)
