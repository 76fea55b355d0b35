"""A data set on the device that trains on it, loaded once for all runs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pvensemble.train.correlation import correlation_of_patches, patch_covariance


class DeviceSplit:
    """Images and labels, laid out so that a batch is channels-last without a copy."""

    def __init__(self, images: Tensor, labels: Tensor, device: torch.device) -> None:
        self._rows = images.to(device).permute(0, 2, 3, 1).contiguous()
        self.labels = labels.to(device)
        self.images = self._rows.permute(0, 3, 1, 2)
        self._covariances: dict[tuple, Tensor] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the chosen images (n, c, h, w) and labels (n,)."""
        return self.take(torch.from_numpy(indices.copy()).to(self.labels.device))

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Like :meth:`batch`, for indices (n,) already on the device."""
        return self._rows.index_select(0, indices).permute(0, 3, 1, 2), self.labels[indices]

    def correlation(self, layer: nn.Conv2d, n: int, precision: str) -> Tensor:
        """Return the correlation of a convolution's outputs for the first ``n`` images.

        The covariance of the images' patches is computed once for all runs. Images and weights are
        rounded as ``precision`` says, outputs are not.
        """
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        key = (n, dtype, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        if key not in self._covariances:
            images = self.images[:n].to(dtype).float()
            self._covariances[key] = patch_covariance(images, layer)
        return correlation_of_patches(layer.weight.to(dtype), self._covariances[key])


class DeviceData:
    """The three splits of a data set on one device."""

    def __init__(self, data, device: torch.device) -> None:
        self.device = device
        self.n_classes: int = data.n_classes
        self.train = DeviceSplit(data.train.images, data.train.labels, device)
        self.validation = DeviceSplit(data.validation.images, data.validation.labels, device)
        self.test = DeviceSplit(data.test.images, data.test.labels, device)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return tuple(self.train.images.shape[1:])
