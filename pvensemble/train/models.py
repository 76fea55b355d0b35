"""Building a run's network: ours by name, or a function of the user's own, seeded either way."""

from __future__ import annotations

import importlib
import inspect
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from pvensemble.errors import ConfigError
from pvensemble.train.config import ModelConfig, RunSettings
from pvensemble.train.config.check import Where, build
from pvensemble.train.config.model_options import OPTIONS, check_name, is_user_model
from pvensemble.train.failure import place
from pvensemble.train.models_zoo import MODELS

_WHERE = Where("model")
USER_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError),
    *(NameError, OSError, RuntimeError, SyntaxError, SystemExit, TypeError, ValueError),
)
"""What a user's own code may raise; told with its place, and no bug of ours."""


def build_model(
    model: ModelConfig, *, input_shape: tuple[int, int, int], n_classes: int, seed: int
) -> nn.Module:
    """Return the initialised network of a run.

    Parameters
    ----------
    model
        Name and options.
    input_shape
        Channels, height and width of an image.
    n_classes
        Number of logits.
    seed
        Seed of the initial weights: the same seed gives the same weights. The global random
        state is left as it was.

    Raises
    ------
    ConfigError
        When the model cannot be imported or built, returns something else than an
        ``nn.Module``, or does not fit the images.
    """
    if is_user_model(model.name):
        return _user_model(model, input_shape, n_classes, seed)
    check_name(model.name, _WHERE)
    options = build(OPTIONS[model.name], model.options, _WHERE)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = MODELS[model.name](tuple(input_shape), n_classes, options)
    except ValueError as error:
        raise ConfigError(_misfit(model, input_shape)) from error
    except (MemoryError, RuntimeError) as error:
        raise ConfigError(
            f"model {model.name!r} with {dict(model.options)} for {n_classes} classes cannot be "
            f"built: {error}; use smaller numbers"
        ) from error
    initialize(network, options.init, options.init_std, seed)
    return network


def any_model(settings: Iterable[RunSettings], input_shape: tuple, n_classes: int) -> nn.Module:
    """Return the network of the first run that has one: they are of one shape.

    Raises
    ------
    ConfigError
        When none can be built; what is wrong with the first.
    """
    first: ConfigError | None = None
    for s in settings:
        try:
            return build_model(s.model, input_shape=input_shape, n_classes=n_classes, seed=s.seed)
        except ConfigError as error:
            first = first or error
    raise first


def _misfit(model: ModelConfig, input_shape: tuple) -> str:
    """Return the message for images that a model's convolutions and pooling shrink to nothing."""
    return (
        f"model {model.name!r} with {dict(model.options)}: images of {tuple(input_shape)} "
        "(channels, height, width) are too small; enlarge them with data.size, or use a smaller "
        "kernel"
    )


# -- initial weights -------------------------------------------------------------------------------


def initialize(network: nn.Module, init: str, std: float | None, seed: int) -> None:
    """Fill the weights from a generator of ``seed``; biases become 0.

    Parameters
    ----------
    init
        ``xavier`` is Caffe's: uniform with variance 1/fan_in. ``glorot_*`` have variance
        2/(fan_in + fan_out), ``he_*`` 2/fan_in. ``gaussian`` has the standard deviation ``std``
        (absent: the network's own table, else 0.01); ``constant`` is ``std`` everywhere.
    """
    generator = torch.Generator().manual_seed(seed)
    own = getattr(network, "std", {})
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                fallback = own.get(name, 0.01)
                _fill(module.weight, init, fallback if std is None else std, generator)
                if module.bias is not None:
                    module.bias.zero_()


def _fill(weight: torch.Tensor, init: str, std: float, generator: torch.Generator) -> None:
    """Fill one weight tensor."""
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    variance = {
        "xavier": 1 / fan_in,
        "glorot_uniform": 2 / (fan_in + fan_out),
        "glorot_normal": 2 / (fan_in + fan_out),
        "he_uniform": 2 / fan_in,
        "he_normal": 2 / fan_in,
    }.get(init, std**2)
    if init == "constant":
        weight.fill_(std)
    elif init in ("xavier", "glorot_uniform", "he_uniform"):
        bound = math.sqrt(3 * variance)
        weight.uniform_(-bound, bound, generator=generator)
    else:
        weight.normal_(0.0, math.sqrt(variance), generator=generator)


# -- models of the user's own ----------------------------------------------------------------------


def _user_model(model: ModelConfig, input_shape: tuple, n_classes: int, seed: int) -> nn.Module:
    """Call ``module:function`` under a forked, seeded random state."""
    function = _import(model)
    given = {"input_shape": tuple(input_shape), "n_classes": n_classes}
    arguments = _arguments(model, function, given)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = function(**arguments)
        except USER_ERRORS as error:
            raise ConfigError(f"model.name: {model.name} fails: {place(error)}") from error
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"model.name: {model.name} returned {type(network).__name__}, expected an nn.Module"
        )
    _check_output(model, network, tuple(input_shape), n_classes)
    return network


def _arguments(model: ModelConfig, function: object, given: dict) -> dict:
    """Return the arguments: the options, and of ``given`` what the function takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = ()
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    arguments = {k: v for k, v in given.items() if k in names or takes_all}
    arguments.update(model.options)
    unknown = sorted(set(model.options) - names)
    if unknown and not takes_all:
        raise ConfigError(
            f"model.{unknown[0]}: {model.name} has no such argument; there are: "
            f"{', '.join(sorted(names)) or 'none'}"
        )
    required = {p.name for p in parameters if p.name in names and p.default is p.empty}
    missing = sorted(required - set(arguments))
    if missing:
        raise ConfigError(f"model.{missing[0]}: missing; {model.name} needs it")
    return arguments


def _check_output(model: ModelConfig, network: nn.Module, shape: tuple, n_classes: int) -> None:
    """Raise unless the network maps two images to two rows of ``n_classes`` logits."""
    was_training = network.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            output = network.eval()(torch.zeros(2, *shape))
    except USER_ERRORS as error:
        raise ConfigError(
            f"model.name: {model.name} fails on images of shape {shape}: {place(error)}"
        ) from error
    network.train(was_training)
    got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if got != (2, n_classes):
        raise ConfigError(
            f"model.name: {model.name} returned {got} for 2 images, expected (2, {n_classes})"
        )


def _import(model: ModelConfig) -> object:
    """Return the user's function."""
    module_name, _, function_name = model.name.partition(":")
    with _on_path([p for p in (model.path, str(Path.cwd())) if p]):
        try:
            module = importlib.import_module(module_name)
        except (ImportError, SyntaxError) as error:
            raise ConfigError(f"model.name: {model.name}: cannot import: {error}") from error
        except USER_ERRORS as error:
            message = f"model.name: {model.name}: cannot import: {place(error)}"
            raise ConfigError(message) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigError(f"model.name: {module_name} has no function {function_name!r}")
    return function


@contextmanager
def _on_path(directories: list[str]) -> Iterator[None]:
    """Put directories in front of the import path for a while."""
    added = [d for d in directories if d not in sys.path]
    sys.path[:0] = added
    try:
        yield
    finally:
        for directory in added:
            sys.path.remove(directory)
