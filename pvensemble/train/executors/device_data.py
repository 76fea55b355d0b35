"""A data set on the device that trains on it, loaded once for all runs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pvensemble import schema
from pvensemble.train.correlation import correlation_of_patches, patch_covariance
from pvensemble.train.gram import PatchProducts


class DeviceSplit:
    """Images and labels, laid out so that a batch is channels-last without a copy."""

    def __init__(self, images: Tensor, labels: Tensor, device: torch.device) -> None:
        self._rows = images.to(device).permute(0, 2, 3, 1).contiguous()
        self.labels = labels.to(device)
        self.images = self._rows.permute(0, 3, 1, 2)
        self._patches: dict[tuple, Patches] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the chosen images (n, c, h, w) and labels (n,)."""
        return self.take(torch.from_numpy(indices.copy()).to(self.labels.device))

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Like :meth:`batch`, for indices (n,) already on the device."""
        return self._rows.index_select(0, indices).permute(0, 3, 1, 2), self.labels[indices]

    def patches(self, layer: nn.Conv2d, n: int, precision: str) -> Patches:
        """Return the patches that a convolution meets in the first ``n`` images.

        Made once for all runs. Images are rounded as ``precision`` says.
        """
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        key = (n, dtype, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        if key not in self._patches:
            self._patches[key] = Patches(self.images[:n].to(dtype), layer)
        return self._patches[key]


class Patches:
    """What the patches of images tell of a convolution's outputs, for weights of any run.

    Parameters
    ----------
    images
        (n, channels, height, width); weights are rounded to their type, outputs are not.
    """

    def __init__(self, images: Tensor, layer: nn.Conv2d) -> None:
        self._images, self._layer = images, layer
        self._covariance: Tensor | None = None
        self._products: PatchProducts | None = None

    def measure(self, weight: Tensor, kind: str) -> Tensor:
        """Return the correlation or the Gram matrices of the outputs, (1, *shape) float32."""
        weight = weight.to(self._images.dtype)
        if kind == schema.CORRELATION:
            if self._covariance is None:
                self._covariance = patch_covariance(self._images.float(), self._layer)
            return correlation_of_patches(weight, self._covariance)
        if self._products is None:
            self._products = PatchProducts(self._images.float(), self._layer)
        return self._products.gram(weight)


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
