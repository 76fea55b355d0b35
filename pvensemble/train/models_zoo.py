"""The networks that come with pvensemble.

Every module that holds parameters has the name that recordings and views show: ``conv1``,
``conv2``, ``conv3``, ``fc1``, ``fc2``. Activations come after max-pooling: they are monotone, so
the result (and its gradient) is the same from a quarter of the numbers. ``image_layer`` names the
convolution that gets the images as they are.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from pvensemble.train.config import model_options as options

_ACTIVATIONS = {
    "none": lambda x: x,
    "relu": functional.relu,
    "elu": functional.elu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def _channels(n: int, width: float) -> int:
    """Return a layer's size after the width multiplier, at least 1."""
    return max(1, round(n * width))


class LeNet(nn.Module):
    """conv1 - pool - conv2 - pool - fc1 - activation - fc2."""

    image_layer = "conv1"

    def __init__(self, shape: tuple, n_classes: int, o: options.LenetOptions) -> None:
        super().__init__()
        c1, c2, f1 = (_channels(n, o.width) for n in (o.conv1, o.conv2, o.fc1))
        self.conv1 = nn.Conv2d(shape[0], c1, o.kernel, padding=o.padding)
        self.conv2 = nn.Conv2d(c1, c2, o.kernel, padding=o.padding)
        side = [_halved(_halved(s, o.kernel, o.padding), o.kernel, o.padding) for s in shape[1:]]
        self.fc1 = nn.Linear(c2 * side[0] * side[1], f1)
        self.fc2 = nn.Linear(f1, n_classes)
        self.conv_activation = _ACTIVATIONS[o.conv_activation]
        self.activation = _ACTIVATIONS[o.activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, n_classes)."""
        x = self.conv_activation(functional.max_pool2d(self.conv1(x), 2))
        x = self.conv_activation(functional.max_pool2d(self.conv2(x), 2))
        return self.fc2(self.activation(self.fc1(x.flatten(1))))


def _halved(side: int, kernel: int, padding: int) -> int:
    """Return the side of an image after a convolution and a 2 x 2 pooling."""
    return _at_least_one((side + 2 * padding - kernel + 1) // 2)


def _at_least_one(side: int) -> int:
    """Return the side, or raise when nothing is left of the image."""
    if side < 1:
        raise ValueError("nothing is left of the image")
    return side


class Cifar10Quick(nn.Module):
    """Three 5x5 convolutions with overlapping pooling; no activation between fc1 and fc2."""

    image_layer = "conv1"
    std = {"conv1": 1e-4, "conv2": 0.01, "conv3": 0.01, "fc1": 0.1, "fc2": 0.1}

    def __init__(self, shape: tuple, n_classes: int, o: options.Cifar10QuickOptions) -> None:
        super().__init__()
        c1, c2, c3, f1 = (_channels(n, o.width) for n in (o.conv1, o.conv2, o.conv3, o.fc1))
        self.conv1 = nn.Conv2d(shape[0], c1, 5, padding=2)
        self.conv2 = nn.Conv2d(c1, c2, 5, padding=2)
        self.conv3 = nn.Conv2d(c2, c3, 5, padding=2)
        side = [_thrice_halved(s) for s in shape[1:]]
        self.fc1 = nn.Linear(c3 * side[0] * side[1], f1)
        self.fc2 = nn.Linear(f1, n_classes)
        self.activation = _ACTIVATIONS[o.activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, n_classes)."""
        pool = {"kernel_size": 3, "stride": 2, "ceil_mode": True}
        x = self.activation(functional.max_pool2d(self.conv1(x), **pool))
        x = functional.avg_pool2d(self.activation(self.conv2(x)), **pool)
        x = functional.avg_pool2d(self.activation(self.conv3(x)), **pool)
        return self.fc2(self.fc1(x.flatten(1)))


def _thrice_halved(side: int) -> int:
    """Return the side after three 3 x 3 poolings of stride 2, rounded up as Caffe does."""
    for _ in range(3):
        side = _at_least_one(-(-(side - 3) // 2) + 1)
    return side


class TensorViz(nn.Module):
    """conv1 - activation - pool - conv2 - activation - pool - fc1 - activation - fc2."""

    image_layer = "conv1"

    def __init__(self, shape: tuple, n_classes: int, o: options.TensorvizOptions) -> None:
        super().__init__()
        c1, c2, f1 = (_channels(n, o.width) for n in (o.conv1, o.conv2, o.fc1))
        self.conv1 = nn.Conv2d(shape[0], c1, o.kernel, padding=o.kernel // 2)
        self.conv2 = nn.Conv2d(c1, c2, o.kernel, padding=o.kernel // 2)
        side = [
            _halved(_halved(s, o.kernel, o.kernel // 2), o.kernel, o.kernel // 2) for s in shape[1:]
        ]
        self.fc1 = nn.Linear(c2 * side[0] * side[1], f1)
        self.fc2 = nn.Linear(f1, n_classes)
        self.activation = _ACTIVATIONS[o.activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, n_classes)."""
        x = self.activation(functional.max_pool2d(self.conv1(x), 2))
        x = self.activation(functional.max_pool2d(self.conv2(x), 2))
        return self.fc2(self.activation(self.fc1(x.flatten(1))))


class Mlp(nn.Module):
    """Linear layers fc1, fc2, …; the last gives the logits."""

    def __init__(self, shape: tuple, n_classes: int, o: options.MlpOptions) -> None:
        super().__init__()
        hidden = [_channels(o.hidden, o.width)] * o.layers
        sizes = [shape[0] * shape[1] * shape[2], *hidden, n_classes]
        self.n_layers = len(sizes) - 1
        for i in range(self.n_layers):
            self.add_module(f"fc{i + 1}", nn.Linear(sizes[i], sizes[i + 1]))
        self.activation = _ACTIVATIONS[o.activation]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, n_classes)."""
        x = self.fc1(x.flatten(1))
        for i in range(2, self.n_layers + 1):
            x = getattr(self, f"fc{i}")(self.activation(x))
        return x


MODELS = {"lenet": LeNet, "cifar10_quick": Cifar10Quick, "tensorviz": TensorViz, "mlp": Mlp}
