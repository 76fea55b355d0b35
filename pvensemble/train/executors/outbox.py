"""Copies from the device to the host beside the training.

On CUDA the copies go through pinned buffers on a stream of their own; the training stream never
waits. Buffers of two stops alternate, so one is read while the other is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor


class Outbox:
    """Takes tensors of a stop and gives them back as arrays some time later."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._free: list[dict[str, Tensor]] = []

    def put(self, tensors: Mapping[str, Tensor]) -> Callable[[], dict[str, np.ndarray]]:
        """Begin to copy ``tensors``, which nobody may write any more.

        Returns
        -------
        callable
            Waits for the copies and returns them; call it once.
        """
        if self._stream is None:
            arrays = {name: np.array(t.detach().numpy(), order="C") for name, t in tensors.items()}
            return lambda: arrays
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        buffers = self._free.pop() if self._free else {}
        with torch.cuda.stream(self._stream):
            for name, tensor in tensors.items():
                buffer = buffers.get(name)
                if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
                    buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                    buffers[name] = buffer
                buffer.copy_(tensor.detach(), non_blocking=True)
                tensor.record_stream(self._stream)
        done = self._stream.record_event()
        names = list(tensors)

        def take() -> dict[str, np.ndarray]:
            done.synchronize()
            arrays = {name: buffers[name].numpy().copy() for name in names}
            self._free.append(buffers)
            return arrays

        return take
