"""A network of your own for `own_model.toml`: any function that returns an nn.Module."""

from torch import nn


def small_net(input_shape, n_classes, width=8):
    """Two convolutions and a classifier; `width` is searched by `own_model.toml`."""
    channels, height, pixels = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * (height // 2) * (pixels // 2), n_classes),
    )
