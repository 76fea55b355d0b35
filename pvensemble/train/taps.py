"""Looking at a model's layers while it computes, without a trace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Taps:
    """Outputs of chosen modules, caught by forward hooks while :meth:`open` is entered.

    Parameters
    ----------
    names
        Modules, as in ``named_modules()``.
    copied
        Those whose outputs the model overwrites afterwards, as ``ReLU(inplace=True)`` does.
    """

    def __init__(
        self, model: nn.Module, names: Collection[str], copied: Collection[str] = ()
    ) -> None:
        modules = dict(model.named_modules())
        self._modules = {name: modules[name] for name in names}
        self._copied = frozenset(copied)
        self.outputs: dict[str, Tensor] = {}

    def __bool__(self) -> bool:
        return bool(self._modules)

    @contextmanager
    def open(self) -> Iterator[Taps]:
        """Catch outputs; the hooks are gone afterwards, whatever happens."""
        with _hooked(self._modules, self._keep):
            try:
                yield self
            finally:
                self.outputs = {}

    def _keep(self, name: str, output: Tensor) -> None:
        self.outputs[name] = output.clone() if name in self._copied else output


@contextmanager
def _hooked(
    modules: Mapping[str, nn.Module], keep: Callable[[str, object], None]
) -> Iterator[None]:
    """Call ``keep`` with the name and output of each module that computes."""

    def hook(name: str) -> Callable:
        def called(module: nn.Module, inputs: tuple, output: object) -> None:
            keep(name, output)

        return called

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def examine(
    model: nn.Module, modules: Mapping[str, nn.Module], images: Tensor
) -> dict[str, tuple[tuple[int, ...], bool]]:
    """Return the shape of each layer's output for one image, and whether the model overwrites it.

    Layers that the model does not use, or that do not return one tensor, are left out.
    """
    seen: dict[str, tuple[Tensor, int]] = {}

    def keep(name: str, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim > 1 and len(output) == len(images):
            seen[name] = output, output._version

    with observing(model, images.device), _hooked(modules, keep):
        model(images)
        return {
            name: (tuple(output.shape[1:]), output._version != version)
            for name, (output, version) in seen.items()
        }


@contextmanager
def observing(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluate a model and leave no trace: modes of all modules and random states are restored."""
    modes = [(module, module.training) for module in model.modules()]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
