"""Update rules of the optimizers, the same code for one run and for a stack of runs.

A hyper-parameter is a float for one run, or a tensor that broadcasts over the leading run axis of
a stack; so the two executors cannot drift apart. The rules are those of ``torch.optim`` (checked by
tests): weight decay is added to the gradient, the learning rate multiplies the momentum buffer.
Buffers start at zero, which for SGD gives torch's first step exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Union

import torch
from torch import Tensor

Number = Union[float, Tensor]

SLOTS = {"sgd": ("momentum",), "adam": ("mean", "square"), "rmsprop": ("square", "momentum")}
"""Names of an optimizer's buffers; each has the shape of its parameter."""


@dataclass
class Hyper:
    """Hyper-parameters of one run (floats), or of a stack of runs (tensors).

    Attributes
    ----------
    nesterov
        Equal for all runs of a group.
    """

    momentum: Number = 0.0
    nesterov: bool = False
    weight_decay: Number = 0.0
    beta1: Number = 0.9
    beta2: Number = 0.999
    alpha: Number = 0.99
    eps: Number = 1e-8

    def map(self, convert: Callable[[Number], Number]) -> Hyper:
        """Return a copy with every number converted."""
        numbers = {k: convert(v) for k, v in vars(self).items() if k != "nesterov"}
        return Hyper(nesterov=self.nesterov, **numbers)


def hyper_of(settings) -> Hyper:
    """Return the hyper-parameters of one run's settings."""
    return Hyper(
        momentum=float(settings.momentum),
        nesterov=bool(settings.nesterov),
        weight_decay=float(settings.weight_decay),
        beta1=float(settings.betas[0]),
        beta2=float(settings.betas[1]),
        alpha=float(settings.alpha),
        eps=float(settings.eps),
    )


def new_slots(kind: str, parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    """Return zeroed buffers: one list for each slot, parallel to ``parameters``."""
    return [[torch.zeros_like(p) for p in parameters] for _ in SLOTS[kind]]


def is_bias(name: str) -> bool:
    """Tell whether the bias learning-rate multiplier applies to a parameter."""
    return name.rpartition(".")[2] == "bias"


def change(
    kind: str,
    parameter: Tensor,
    gradient: Tensor,
    slots: Sequence[Tensor],
    hyper: Hyper,
    step: int,
) -> Tensor:
    """Advance the buffers and return what the learning rate multiplies.

    The parameter then becomes ``parameter - learning_rate * change``.

    Parameters
    ----------
    kind
        ``sgd``, ``adam`` or ``rmsprop``.
    parameter, gradient
        Of one run, ``shape``; of a stack, ``(n_runs, *shape)``. Neither is written.
    slots
        The parameter's buffers, in the order of ``SLOTS[kind]``; written in place.
    step
        Updates done so far; Adam's bias correction uses ``step + 1``.

    Returns
    -------
    Tensor
        May be a buffer: do not write to it.
    """
    if not (isinstance(hyper.weight_decay, float) and hyper.weight_decay == 0.0):
        gradient = _plus(gradient, parameter, hyper.weight_decay)
    return _RULES[kind](gradient, slots, hyper, step)


def _sgd(gradient: Tensor, slots: Sequence[Tensor], hyper: Hyper, step: int) -> Tensor:
    (buffer,) = slots
    buffer.mul_(hyper.momentum).add_(gradient)
    return _plus(gradient, buffer, hyper.momentum) if hyper.nesterov else buffer


def _adam(gradient: Tensor, slots: Sequence[Tensor], hyper: Hyper, step: int) -> Tensor:
    mean, square = slots
    mean.lerp_(gradient, _weight(1 - hyper.beta1, gradient))
    square.mul_(hyper.beta2)
    _add_product(square, gradient, gradient, 1 - hyper.beta2)
    correction1 = 1 - hyper.beta1 ** (step + 1)
    correction2 = (1 - hyper.beta2 ** (step + 1)) ** 0.5
    denominator = square.sqrt().div_(correction2).add_(hyper.eps)
    return mean.div(denominator).div_(correction1)


def _rmsprop(gradient: Tensor, slots: Sequence[Tensor], hyper: Hyper, step: int) -> Tensor:
    square, buffer = slots
    square.mul_(hyper.alpha)
    _add_product(square, gradient, gradient, 1 - hyper.alpha)
    buffer.mul_(hyper.momentum).addcdiv_(gradient, square.sqrt().add_(hyper.eps))
    return buffer


_RULES = {"sgd": _sgd, "adam": _adam, "rmsprop": _rmsprop}


def subtract(parameter: Tensor, change: Tensor, learning_rate: Number) -> None:
    """``parameter -= learning_rate * change``, in place."""
    if isinstance(learning_rate, Tensor):
        parameter.addcmul_(change, learning_rate, value=-1)
    else:
        parameter.add_(change, alpha=-learning_rate)


def fused_sgd(
    parameters: list[Tensor],
    gradients: list[Tensor],
    buffers: list[Tensor],
    hyper: Hyper,
    learning_rate: float,
) -> bool:
    """Do SGD's whole update of one run in one pass over memory, where this torch can.

    It is what ``torch.optim.SGD(fused=True)`` calls, without its bookkeeping; a sixth of the time
    of :func:`change` and :func:`subtract`.

    Returns
    -------
    bool
        False when it cannot be done here; then nothing has changed.
    """
    if _FUSED_SGD is None or parameters[0].device.type != "cpu":
        return False
    _FUSED_SGD(
        parameters,
        gradients,
        buffers if hyper.momentum else [],
        weight_decay=hyper.weight_decay,
        momentum=hyper.momentum,
        lr=learning_rate,
        dampening=0.0,
        nesterov=hyper.nesterov,
        maximize=False,
        is_first_step=False,
        grad_scale=None,
        found_inf=None,
    )
    return True


_FUSED_SGD = getattr(torch, "_fused_sgd_", None)


def _plus(a: Tensor, b: Tensor, factor: Number) -> Tensor:
    """``a + factor * b``."""
    if isinstance(factor, Tensor):
        return torch.addcmul(a, b, factor)
    return a.add(b, alpha=factor)


def _add_product(a: Tensor, b: Tensor, c: Tensor, factor: Number) -> None:
    """``a += factor * b * c``, in place."""
    if isinstance(factor, Tensor):
        a.add_((b * c).mul_(factor))
    else:
        a.addcmul_(b, c, value=factor)


def _weight(weight: Number, like: Tensor) -> Number:
    """Return an interpolation weight in the form that ``lerp_`` takes."""
    return weight.expand_as(like) if isinstance(weight, Tensor) else weight
