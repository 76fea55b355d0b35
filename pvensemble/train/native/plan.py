"""Which layers a network consists of, as the compiled engine takes them, or why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional

from pvensemble.train.models_zoo import MODELS

CONVOLUTION, MAX_POOL, AVERAGE_POOL, LINEAR = range(4)


class Unsupported(Exception):
    """The compiled engine does not do what a network does; the message says what."""


@dataclass(frozen=True)
class PlannedLayer:
    """A layer and the rectifier behind it.

    Attributes
    ----------
    out
        Channels, height and width; a linear layer's are (n, 1, 1).
    kernel, stride, padding
        In y and x.
    module
        Name of the module that holds the parameters, "" without.
    """

    kind: int
    out: tuple[int, int, int]
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    relu: bool = False
    bias: bool = False
    module: str = ""

    def numbers(self) -> list[int]:
        """Return what ``pvensemble_native_new`` reads of a layer."""
        shape = [*self.out, *self.kernel, *self.stride, *self.padding]
        return [self.kind, *shape, int(self.relu), int(self.bias)]


@dataclass(frozen=True)
class Plan:
    """A chain of layers.

    Attributes
    ----------
    image
        Channels, height and width.
    """

    image: tuple[int, int, int]
    layers: tuple[PlannedLayer, ...]

    def numbers(self) -> np.ndarray:
        """Return the plan as ``pvensemble_native_new`` reads it, int64."""
        numbers = [*self.image]
        for layer in self.layers:
            numbers += layer.numbers()
        return np.array(numbers, np.int64)

    def parameters(self) -> list[str]:
        """Return the names of the parameters in the order in which a step takes them."""
        names = []
        for layer in self.layers:
            if layer.module:
                names += [f"{layer.module}.weight"] + [f"{layer.module}.bias"] * layer.bias
        return names


def plan_of(model: nn.Module, image: tuple[int, int, int]) -> Plan:
    """Return the layers of a network of ours, or of an ``nn.Sequential``.

    Raises
    ------
    Unsupported
        The message names the layer.
    """
    _Modules.check(model)
    try:
        graph = fx.symbolic_trace(model).graph
    except (fx.proxy.TraceError, TypeError, RuntimeError, ValueError) as error:
        raise Unsupported(f"its forward method cannot be followed: {error}") from error
    chain = _Chain(model, image)
    previous = None
    for node in graph.nodes:
        if node.op != "placeholder":
            inputs = list(node.all_input_nodes)
            if inputs != [previous]:
                raise Unsupported(f"{node.name} is not in one chain with the other layers")
            if node.op != "output":
                chain.add(node)
        previous = node
    return chain.plan()


class _Modules:
    """What modules may do besides what they look like."""

    @staticmethod
    def check(model: nn.Module) -> None:
        """Raise for a forward method of the user's own, and for hooks."""
        for name, module in model.named_modules():
            ours = type(module) in (*MODELS.values(), nn.Sequential, *_LEAVES)
            if not ours:
                what = type(module).__name__
                raise Unsupported(f"{what} {name!r} is none of its layers" if name else what)
            if module._forward_hooks or module._forward_pre_hooks or module._backward_hooks:
                raise Unsupported(f"module {name!r} has hooks")


class _Chain:
    """Layers, one after the other."""

    def __init__(self, model: nn.Module, image: tuple[int, int, int]) -> None:
        self._model, self._image = model, tuple(image)
        self._shape, self._flat = tuple(image), False
        self._layers: list[PlannedLayer] = []

    def add(self, node: fx.Node) -> None:
        """Append what a node of the traced network does."""
        if node.op == "call_module":
            module = self._model.get_submodule(node.target)
            self._module(str(node.target), module)
            return
        arguments = (*node.args[1:],)
        if node.target in (functional.relu, torch.relu) or node.target == "relu":
            self._relu()
        elif node.target in (torch.flatten, "flatten"):
            self._flatten(*arguments, **node.kwargs)
        elif node.target in _POOLS:
            module = _POOLS[node.target](*arguments, **node.kwargs)
            self._pool(node.name, module)
        else:
            raise Unsupported(f"{node.name} is none of its layers")

    def plan(self) -> Plan:
        """Return the plan, unless parameters are left over or used twice."""
        plan = Plan(self._image, tuple(self._layers))
        used = plan.parameters()
        trained = {n for n, p in self._model.named_parameters() if p.requires_grad}
        if sorted(used) != sorted(trained):
            names = sorted(trained.symmetric_difference(used)) or used
            raise Unsupported(f"parameter {names[0]!r} is frozen, shared or not used")
        if not self._layers or self._layers[-1].kind != LINEAR:
            raise Unsupported("its last layer is not linear")
        return plan

    def _module(self, name: str, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            self._convolution(name, module)
        elif isinstance(module, nn.Linear):
            self._linear(name, module)
        elif isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
            self._pool(name, module)
        elif isinstance(module, nn.ReLU):
            self._relu()
        elif isinstance(module, nn.Flatten):
            self._flatten(module.start_dim, module.end_dim)

    def _convolution(self, name: str, m: nn.Conv2d) -> None:
        plain = m.padding_mode == "zeros" and not isinstance(m.padding, str)
        if m.stride != (1, 1) or m.dilation != (1, 1) or m.groups != 1 or not plain or self._flat:
            raise Unsupported(f"convolution {name!r} is strided, dilated, grouped or padded oddly")
        sides = [s + 2 * p - k + 1 for s, p, k in zip(self._shape[1:], m.padding, m.kernel_size)]
        if any(p >= k for p, k in zip(m.padding, m.kernel_size)):
            raise Unsupported(f"convolution {name!r} is padded by more than its kernel")
        self._append(
            PlannedLayer(
                CONVOLUTION,
                (m.out_channels, *sides),
                kernel=m.kernel_size,
                padding=m.padding,
                bias=m.bias is not None,
                module=name,
            )
        )

    def _pool(self, name: str, m: nn.MaxPool2d | nn.AvgPool2d) -> None:
        kernel, stride, padding = (_pair(x) for x in (m.kernel_size, m.stride, m.padding))
        odd = any(_pair(getattr(m, "dilation", 1))[i] != 1 or padding[i] for i in (0, 1))
        odd = odd or getattr(m, "return_indices", False) or kernel[0] * kernel[1] > 127
        if odd or getattr(m, "divisor_override", None) or self._flat:
            raise Unsupported(f"pooling {name!r} is padded, dilated or otherwise special")
        sides = [
            _pooled(*x, m.ceil_mode) for x in zip(self._shape[1:], kernel, stride, strict=True)
        ]
        kind = MAX_POOL if isinstance(m, nn.MaxPool2d) else AVERAGE_POOL
        layer = PlannedLayer(kind, (self._shape[0], *sides), kernel, stride)
        last = self._layers[-1] if self._layers else None
        if kind == MAX_POOL and last and last.kind == CONVOLUTION and last.relu:
            # The maximum of rectified numbers is the rectified maximum, from fewer numbers.
            self._layers[-1] = replace(last, relu=False)
            layer = replace(layer, relu=True)
        self._append(layer)

    def _linear(self, name: str, m: nn.Linear) -> None:
        if not self._flat:
            raise Unsupported(f"linear layer {name!r} does not follow a flattening")
        if self._layers and self._layers[-1].kind == CONVOLUTION:
            # A linear layer takes its inputs channel by channel, a convolution gives them mixed.
            self._append(PlannedLayer(AVERAGE_POOL, self._layers[-1].out))
        self._append(
            PlannedLayer(LINEAR, (m.out_features, 1, 1), bias=m.bias is not None, module=name)
        )

    def _relu(self) -> None:
        if not self._layers:
            raise Unsupported("a rectifier gets the images")
        self._layers[-1] = replace(self._layers[-1], relu=True)

    def _flatten(self, start_dim: int = 0, end_dim: int = -1) -> None:
        if start_dim != 1 or end_dim not in (-1, 3):
            raise Unsupported(f"flattening from {start_dim} to {end_dim}")
        self._flat = True

    def _append(self, layer: PlannedLayer) -> None:
        self._layers.append(layer)
        self._shape = layer.out


def _pair(x: int | tuple[int, int]) -> tuple[int, int]:
    return (x, x) if isinstance(x, int) else tuple(x)


def _pooled(side: int, kernel: int, stride: int, ceil: bool) -> int:
    """Return the side of an image after pooling, as torch counts."""
    steps = side - kernel
    if steps < 0:
        raise Unsupported(f"an image of {side} is smaller than a pooling of {kernel}")
    n = -(-steps // stride) if ceil else steps // stride
    return n + 1 if n * stride < side else n


_LEAVES = (nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.ReLU, nn.Flatten, nn.Identity)
_POOLS: dict[Callable, type[nn.Module]] = {
    functional.max_pool2d: nn.MaxPool2d,
    functional.avg_pool2d: nn.AvgPool2d,
}
