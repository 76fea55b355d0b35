"""Filters of a network are merged: what becomes of its tensors, and their shape on disk.

The network that trains gets smaller; what is stored keeps the shape of step 0, with 0 where a
filter was merged away. Both are views of one thing: along certain axes of certain tensors stand the
filters of a layer, and :class:`Reduction` knows which of them are there.

Filters f_i of a group become their mean m. What took them, with weights v_i, takes m with the sum
of a_i v_i, where a_i m is closest to f_i (least squares); a_i is 1 for identical filters, of which
the network's outputs stay the same. See docs/decisions/012-merging-filters.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from pvensemble.numerics.merging import all_standing, existing, merged
from pvensemble.store import Reducible
from pvensemble.train.taps import observing

FACTOR_IMAGES = 64
"""Images on which filters are compared with the mean that takes their place."""
AVERAGED_SLOTS = ("square",)
"""Optimizer's buffers of squares: averaged wherever they belong to. The others are velocities and
go the way of their parameter."""


class Reduction:
    """Which filters of one network are there.

    Attributes
    ----------
    standing
        Layer to (n_filters,) int64: for each filter of step 0 the one that stands for it.
    """

    def __init__(self, layers: Sequence[Reducible]) -> None:
        self.layers = {x.layer: x for x in layers}
        self.standing = {x.layer: all_standing(x.n_filters) for x in layers}
        self._axes: dict[str, list[tuple[int, str, int]]] = {}
        for x in layers:
            for name, (dim, positions) in x.axes().items():
                self._axes.setdefault(name, []).append((dim, x.layer, positions))

    @property
    def is_whole(self) -> bool:
        """Whether no filter is missing."""
        return all(existing(standing).all() for standing in self.standing.values())

    def alive(self, layer: str) -> np.ndarray:
        """Return the numbers of the filters that are there, ascending."""
        return np.flatnonzero(existing(self.standing[layer]))

    def expand(self, name: str, tensor: Tensor) -> Tensor:
        """Return a parameter, buffer, gradient or slot in the shape of step 0, 0 where merged away.

        Parameters
        ----------
        name
            Of the parameter or buffer in the network's ``state_dict``.
        """
        for dim, layer, positions in self._axes.get(name, ()):
            tensor = self._expand_axis(tensor, dim, layer, positions)
        return tensor

    def compact(self, name: str, tensor: Tensor) -> Tensor:
        """Return, of a tensor in the shape of step 0, what is there: undoes :meth:`expand`."""
        for dim, layer, positions in self._axes.get(name, ()):
            alive = torch.from_numpy(self.alive(layer)).to(tensor.device)
            split = tensor.unflatten(dim, (-1, positions))
            tensor = split.index_select(dim, alive).flatten(dim, dim + 1)
        return tensor

    def expand_measured(self, layer: str, tensor: Tensor, dims: Sequence[int]) -> Tensor:
        """Return what was measured of a layer's filters, that stand along ``dims``, likewise."""
        for dim in dims if layer in self.standing else ():
            tensor = self._expand_axis(tensor, dim, layer, 1)
        return tensor

    def _expand_axis(self, tensor: Tensor, dim: int, layer: str, positions: int) -> Tensor:
        alive = self.alive(layer)
        n_filters = len(self.standing[layer])
        if len(alive) == n_filters:
            return tensor
        split = tensor.unflatten(dim, (-1, positions))
        shape = list(split.shape)
        shape[dim] = n_filters
        full = split.new_zeros(shape)
        full.index_copy_(dim, torch.from_numpy(alive).to(tensor.device), split)
        return full.flatten(dim, dim + 1)

    def shrink(self, model: nn.Module) -> None:
        """Take out of a network in the shape of step 0 what is not there."""
        state = model.state_dict()
        replace_tensors(
            model, {name: self.compact(name, state[name]) for name in self._axes if name in state}
        )

    # -- merging -------------------------------------------------------------------------------

    def merged_tensors(
        self,
        tensors: Mapping[str, Tensor],
        layer: str,
        groups: Sequence[Sequence[int]],
        factors: Mapping[int, float] | None = None,
    ) -> dict[str, Tensor]:
        """Return the tensors that change when groups of filters of a layer are merged.

        Parameters
        ----------
        tensors
            By name, as the network has them now; ``"momentum:conv1.weight"`` is an optimizer's
            buffer of a parameter.
        groups
            Numbers of filters that are there.
        factors
            a_i of the filters of the groups by number; 1 when omitted.
        """
        place = {number: i for i, number in enumerate(self.alive(layer).tolist())}
        members = [sorted(int(f) for f in group) for group in groups]
        means = [{place[f]: 1 / len(group) for f in group} for group in members]
        sums = [{place[f]: (factors or {}).get(f, 1.0) for f in group} for group in members]
        found = {}
        for key, tensor in tensors.items():
            slot, _, name = key.rpartition(":")
            for dim, of_layer, positions in self._axes.get(name, ()):
                if of_layer == layer:
                    weights = means if dim == 0 or slot in AVERAGED_SLOTS else sums
                    split = tensor.unflatten(dim, (-1, positions))
                    found[key] = _merged(split, dim, weights).flatten(dim, dim + 1)
        return found

    def note(self, layer: str, groups: Sequence[Sequence[int]]) -> None:
        """Let the first filter of each group stand for the others."""
        self.standing[layer] = merged(self.standing[layer], groups)


def _merged(tensor: Tensor, dim: int, groups: Sequence[Mapping[int, float]]) -> Tensor:
    """Return a tensor in which weighted sums of entries along an axis stand for groups of them.

    Parameters
    ----------
    groups
        Place to weight of the entries of each; the sum takes the place of the first.
    """
    result = tensor.clone()
    for group in groups:
        members = [tensor.select(dim, place) * weight for place, weight in group.items()]
        result.select(dim, min(group)).copy_(torch.stack(members).sum(0))
    gone = {place for group in groups for place in group if place != min(group)}
    kept = [place for place in range(tensor.shape[dim]) if place not in gone]
    return result.index_select(dim, torch.tensor(kept, device=tensor.device))


# -- the network -----------------------------------------------------------------------------------


def replace_tensors(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put parameters and buffers of other shapes into a network; its modules stay the same objects.

    Parameters
    ----------
    tensors
        By name in the ``state_dict``; others, such as optimizer's buffers, must not be among them.
    """
    for name, tensor in tensors.items():
        path, _, own = name.rpartition(".")
        module = model.get_submodule(path)
        if own in module._buffers:
            module._buffers[own] = tensor
        else:
            old = module._parameters[own]
            if old.ndim == 4 and old.is_contiguous(memory_format=torch.channels_last):
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            module._parameters[own] = nn.Parameter(tensor, requires_grad=old.requires_grad)
        if own == "weight":
            _tell_shape(module)


def _tell_shape(module: nn.Module) -> None:
    """Let a module's numbers of channels be those of its weight."""
    shape = module.weight.shape
    if isinstance(module, nn.Conv2d):
        module.out_channels, module.in_channels = shape[:2]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = shape
    elif isinstance(module, nn.BatchNorm2d):
        module.num_features = shape[0]


@torch.no_grad()
def merge_network(
    model: nn.Module,
    reduction: Reduction,
    layer: str,
    groups: Sequence[Sequence[int]],
    images: Tensor | None = None,
    slots: Mapping[str, Tensor] = {},  # noqa: B006
) -> dict[str, Tensor]:
    """Merge groups of filters of a layer of a network, and note it.

    Parameters
    ----------
    images
        Inputs of the network for which merged filters are compared with the mean that takes their
        place; None to take the factors a_i as 1.
    slots
        Optimizer's buffers, ``"momentum:conv1.weight"`` …

    Returns
    -------
    dict of str to Tensor
        The slots that changed.
    """
    state = {**model.state_dict(), **slots}
    alive = reduction.alive(layer).tolist()
    tensors = reduction.merged_tensors(state, layer, groups)
    if images is not None:
        images = images[:FACTOR_IMAGES]
        before = dict(zip(alive, _channels(model, reduction.layers[layer], len(alive), images)))
        _put(model, tensors, slots)
        gone = {f for group in groups for f in sorted(group)[1:]}
        left = [f for f in alive if f not in gone]
        after = dict(zip(left, _channels(model, reduction.layers[layer], len(left), images)))
        tensors = reduction.merged_tensors(state, layer, groups, _factors(before, after, groups))
    _put(model, tensors, slots)
    reduction.note(layer, groups)
    return {name: tensor for name, tensor in tensors.items() if name in slots}


def _put(model: nn.Module, tensors: Mapping[str, Tensor], slots: Mapping[str, Tensor]) -> None:
    replace_tensors(model, {name: t for name, t in tensors.items() if name not in slots})


def _channels(model: nn.Module, how: Reducible, n_filters: int, images: Tensor) -> Tensor:
    """Return what the consumer of a layer gets of each filter, (n_filters, n_values) float64."""
    seen = []
    consumer = model.get_submodule(how.consumer)
    handle = consumer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    try:
        with observing(model, images.device):
            model(images)
    finally:
        handle.remove()
    split = seen[0].reshape(len(images), n_filters, -1)
    return split.transpose(0, 1).reshape(n_filters, -1).double()


def _factors(
    before: Mapping[int, Tensor], after: Mapping[int, Tensor], groups: Sequence[Sequence[int]]
) -> dict[int, float]:
    """Return a_i of each filter of the groups: a_i times the mean comes closest to the filter."""
    factors = {}
    for group in groups:
        mean = after[min(group)]
        square = float(mean @ mean)
        for number in group:
            factor = float(before[number] @ mean) / square if square > 0 else 1.0
            factors[int(number)] = factor if math.isfinite(factor) and factor > 0 else 1.0
    return factors
