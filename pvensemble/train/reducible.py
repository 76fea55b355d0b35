"""Which convolutions of a network may lose filters: all that sees their channels is known.

A filter can be taken away when its output goes, channel by channel, into one layer whose inputs can
be added up. The way there is found by tracing the network (torch.fx) and looking at every operation
on it; what is not known for certain is refused, with the name of the operation.
"""

from __future__ import annotations

import fnmatch
import operator
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from pvensemble.errors import ConfigError, did_you_mean
from pvensemble.store import Reducible
from pvensemble.train.models import USER_ERRORS


class Obstacle(Exception):
    """A layer cannot lose filters; the message says why."""


def reducible_layers(model: nn.Module, patterns: Sequence[str]) -> tuple[Reducible, ...]:
    """Return the layers that a configuration lets lose filters, in the model's order.

    Parameters
    ----------
    patterns
        ``reduce.layers``: names or patterns; () for all convolutions.

    Raises
    ------
    ConfigError
        When a name matches no convolution, or one of the layers cannot lose filters.
    """
    convolutions = [name for name, m in model.named_modules() if isinstance(m, _CONVOLUTIONS)]
    if not convolutions:
        raise ConfigError("reduce: the model has no convolutions whose filters could be merged")
    chosen: set[str] = set()
    for pattern in patterns or ("*",):
        matches = fnmatch.filter(convolutions, pattern)
        if not matches:
            hint = did_you_mean(pattern, convolutions)
            raise ConfigError(f"reduce.layers: no convolution matches {pattern!r}{hint}")
        chosen.update(matches)
    try:
        graph = fx.symbolic_trace(model).graph
    except USER_ERRORS as error:
        raise ConfigError(
            f"reduce: the model's forward method cannot be followed ({error}), so it is not known "
            "which layers take the outputs of which filters"
        ) from error
    return _found(model, graph, [name for name in convolutions if name in chosen], convolutions)


def _found(
    model: nn.Module, graph: fx.Graph, names: Collection[str], convolutions: Collection[str]
) -> tuple[Reducible, ...]:
    """Return what is known of the layers, or raise for the first that cannot lose filters."""
    found = {}
    for name in names:
        try:
            found[name] = _follow(model, graph, name)
        except Obstacle as error:
            others = [n for n in convolutions if n != name and _is_reducible(model, graph, n)]
            able = f"layers that can: {', '.join(others)}" if others else "no other layer can"
            raise ConfigError(
                f"reduce.layers: filters of {name!r} cannot be merged: {error}; {able}"
            ) from error
    return tuple(found.values())


def _is_reducible(model: nn.Module, graph: fx.Graph, name: str) -> bool:
    try:
        _follow(model, graph, name)
    except Obstacle:
        return False
    return True


def _follow(model: nn.Module, graph: fx.Graph, name: str) -> Reducible:
    """Follow the channels of a convolution to the layer that takes them."""
    convolution = model.get_submodule(name)
    _check_convolution(convolution)
    _check_parameters(model, name)
    node, norms, flat = _only_call(graph, name), [], False
    while True:
        node = _only_user(node)
        kind, module = _kind(model, node, flat)
        if kind == _FLATTEN:
            flat = True
        elif kind == _NORM:
            _only_call(graph, node.target)
            _check_parameters(model, str(node.target))
            norms.append(str(node.target))
        elif kind == _CONSUMER:
            _only_call(graph, node.target)
            _check_parameters(model, str(node.target))
            inputs = module.weight.shape[1]
            if inputs % convolution.out_channels:
                raise Obstacle(f"{node.target!r} takes something beside its output")
            positions = inputs // convolution.out_channels
            n_filters = convolution.out_channels
            return Reducible(name, n_filters, tuple(norms), str(node.target), positions)


def _check_convolution(module: nn.Module) -> None:
    if not isinstance(module, nn.Conv2d) or isinstance(module, nn.modules.lazy.LazyModuleMixin):
        raise Obstacle(f"it is a {type(module).__name__}, allowed: Conv2d")
    if module.groups != 1:
        raise Obstacle(f"it is a convolution of {module.groups} groups")


def _check_parameters(model: nn.Module, name: str) -> None:
    """Raise for parameters that are computed from others, frozen, or shared with other modules."""
    module = model.get_submodule(name)
    if hasattr(module, "parametrizations") or isinstance(module.__dict__.get("weight"), Tensor):
        raise Obstacle(f"the weight of {name!r} is computed (parametrization, weight norm)")
    known = [id(p) for _, p in model.named_parameters(remove_duplicate=False)]
    for parameter in module.parameters(recurse=False):
        if not parameter.requires_grad:
            raise Obstacle(f"the parameters of {name!r} are frozen")
        if known.count(id(parameter)) > 1:
            raise Obstacle(f"{name!r} shares a parameter with another module")


def _only_call(graph: fx.Graph, name: object) -> fx.Node:
    """Return where a module is called."""
    calls = [n for n in graph.nodes if n.op == "call_module" and n.target == name]
    reads = [n for n in graph.nodes if n.op == "get_attr" and n.target.startswith(f"{name}.")]
    if len(calls) != 1 or reads:
        raise Obstacle(f"{name!r} is used {len(calls) + len(reads)} times")
    return calls[0]


def _only_user(node: fx.Node) -> fx.Node:
    """Return the one operation that takes a node's output; to ask for its shape is none."""
    users = [user for user in node.users if not _asks_shape(user)]
    if len(users) != 1:
        names = ", ".join(user.name for user in users)
        raise Obstacle(f"its output goes into {len(users)} operations" + (names and f": {names}"))
    return users[0]


def _asks_shape(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("size", "dim", "numel")
    is_attribute = node.op == "call_function" and node.target is getattr
    return is_attribute and node.args[1] in ("shape", "ndim", "device", "dtype")


# -- what an operation does to channels ------------------------------------------------------------
_PASS, _FLATTEN, _NORM, _CONSUMER = range(4)


def _kind(model: nn.Module, node: fx.Node, flat: bool) -> tuple[int, nn.Module | None]:
    """Return what an operation does to the channels, and its module."""
    if node.op == "output":
        raise Obstacle("its output is the network's")
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        return _module_kind(str(node.target), module, flat), module
    tensors = [n for n in node.all_input_nodes if not _asks_shape_or_item(n)]
    if len(tensors) > 1:
        what = "residual sum" if node.target in _SUMS else "concatenation"
        is_known = node.target in (*_SUMS, *_CONCATENATIONS)
        raise Obstacle(f"{node.name!r} joins it with another" + (f" ({what})" * is_known))
    if node.target in _CONCATENATIONS:
        raise Obstacle(f"{node.name!r} joins it with another (concatenation)")
    if node.target in _FUNCTIONS or (node.op == "call_method" and node.target in _METHODS):
        return _PASS, None
    if _is_flatten(node) or _is_mean_of_positions(node):
        return _FLATTEN, None
    raise Obstacle(f"it is not known what {node.name!r} does with its channels")


def _module_kind(name: str, module: nn.Module, flat: bool) -> int:
    if isinstance(module, nn.Conv2d):
        if module.groups != 1:
            raise Obstacle(f"{name!r} takes it, a convolution of {module.groups} groups")
        return _CONSUMER
    if isinstance(module, nn.Linear):
        if not flat:
            raise Obstacle(f"linear layer {name!r} takes it without a flattening")
        return _CONSUMER
    if isinstance(module, nn.BatchNorm2d) and not flat:
        return _NORM
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) in ((1, -1), (1, 3)):
        return _FLATTEN
    if isinstance(module, _MODULES) or (isinstance(module, nn.PReLU) and len(module.weight) == 1):
        return _PASS
    raise Obstacle(f"it is not known what {type(module).__name__} {name!r} does with its channels")


def _asks_shape_or_item(node: fx.Node) -> bool:
    """Tell whether a node is a shape, or a number of one."""
    if node.op == "call_function" and node.target is operator.getitem:
        return isinstance(node.args[0], fx.Node) and _asks_shape(node.args[0])
    return _asks_shape(node)


def _is_flatten(node: fx.Node) -> bool:
    """Tell whether a node makes a vector of each image, channel by channel."""
    if node.target in (torch.flatten, "flatten"):
        start, end = (*node.args[1:], *(0, -1)[len(node.args) - 1 :])[:2]
        start, end = node.kwargs.get("start_dim", start), node.kwargs.get("end_dim", end)
        return start == 1 and end in (-1, 3)
    if node.target in ("view", "reshape", torch.reshape):
        shape = node.args[1:]
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return len(shape) == 2 and (-1 in shape or isinstance(shape[0], fx.Node))
    return False


def _is_mean_of_positions(node: fx.Node) -> bool:
    """Tell whether a node takes the mean of each channel."""
    if node.target not in ("mean", torch.mean) or node.kwargs.get("keepdim", node.args[2:] != ()):
        return False
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    return isinstance(dims, (tuple, list)) and sorted(d % 4 for d in dims) == [2, 3]


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_SUMS = (operator.add, operator.iadd, operator.sub, torch.add, torch.sub, "add", "add_", "sub")
_CONCATENATIONS = (torch.cat, torch.concat, torch.stack, torch.hstack)
_MODULES = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d, nn.LPPool2d),
    *(nn.Dropout, nn.Dropout2d, nn.Identity, nn.Upsample, nn.ZeroPad2d),
)
_FUNCTIONS = {
    *(functional.relu, functional.relu_, functional.relu6, functional.leaky_relu, functional.elu),
    *(functional.selu, functional.celu, functional.gelu, functional.silu, functional.mish),
    *(functional.sigmoid, functional.tanh, functional.hardtanh, functional.hardswish),
    *(functional.softplus, functional.dropout, functional.dropout2d, functional.interpolate),
    *(functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d),
    *(functional.adaptive_max_pool2d, functional.lp_pool2d),
    *(torch.relu, torch.relu_, torch.sigmoid, torch.tanh, torch.max_pool2d, torch.square),
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.neg),
    *(torch.add, torch.sub, torch.mul, torch.div),
}
"""Element by element, or channel by channel. The arithmetic is with numbers: with another tensor,
it was refused before."""
_METHODS = {"relu", "relu_", "sigmoid", "tanh", "contiguous", "clone", "float", "mul", "add", "div"}
