"""Surgery on networks: what may lose filters, and that nothing else changes when it does."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from pvensemble.errors import ConfigError
from pvensemble.train.reducible import reducible_layers
from pvensemble.train.reduction import Reduction, merge_network, replace_tensors


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return make()


def chain() -> nn.Sequential:
    """conv - relu - pool - conv - flatten - linear."""
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        nn.Linear(5 * 4, 3),
    )


def with_norm() -> nn.Sequential:
    """conv - norm - sigmoid - conv - norm - mean - linear: what is not 0 at 0 as well."""
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Sigmoid()),
        *(nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(5, 3)),
    )


class Functional(nn.Module):
    """A forward method as people write it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 5, 3), nn.Linear(5 * 4 * 4, 3)

    def forward(self, x):
        x = functional.leaky_relu(self.a(x)) * 0.5
        x = functional.max_pool2d(torch.tanh(self.b(x)), 1)
        return self.c(x.view(x.size(0), -1))


NETWORKS = {"chain": chain, "norm": with_norm, "functional": Functional}


def plant(model: nn.Module, layer: str, copies: dict[int, list[int]], norm: str = "") -> None:
    """Make filters identical, and their norms; what takes them stays as it is."""
    with torch.no_grad():
        for name in filter(None, (layer, norm)):
            module = model.get_submodule(name)
            for tensor in (*module.parameters(), *module.buffers()):
                for first, others in copies.items() if tensor.ndim else ():
                    tensor[others] = tensor[first].clone()


def randomize_norms(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)


def duplicated(kind: str):
    """Return a network whose two convolutions have identical filters, and its reduction."""
    model = seeded(NETWORKS[kind])
    if kind != "functional":  # whose view needs the other order in memory
        model = model.to(memory_format=torch.channels_last)
    randomize_norms(model)
    reduction = Reduction(reducible_layers(model, ()))
    first, second = reduction.layers
    norms = [(*x.norms, "")[0] for x in reduction.layers.values()]
    plant(model, first, {1: [2, 5]}, norms[0])
    plant(model, second, {0: [4]}, norms[1])
    groups = {first: [[5, 1, 2]], second: [[0, 4]]}
    return model.eval(), reduction, groups


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(7, 2, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", NETWORKS)
def test_merging_identical_filters_changes_no_output(kind, weighted, images):
    model, reduction, groups = duplicated(kind)
    before = model(images)
    for layer, own in groups.items():
        merge_network(model, reduction, layer, own, images if weighted else None)
    torch.testing.assert_close(model(images), before, rtol=1e-5, atol=1e-6)
    first, second = reduction.layers
    assert model.get_submodule(first).out_channels == 4
    assert model.get_submodule(second).weight.shape[:2] == (4, 4)
    assert reduction.alive(first).tolist() == [0, 1, 3, 4]
    assert reduction.standing[second].tolist() == [0, 1, 2, 3, 0]


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_is_stored_loads_into_the_whole_network(kind, images):
    model, reduction, groups = duplicated(kind)
    whole = copy.deepcopy(model)
    for layer, own in groups.items():
        merge_network(model, reduction, layer, own)
    stored = {name: reduction.expand(name, t) for name, t in model.state_dict().items()}
    whole.load_state_dict(stored)
    torch.testing.assert_close(whole(images), model(images), rtol=1e-5, atol=1e-6)
    first = next(iter(reduction.layers))
    assert (stored[f"{first}.weight"][[2, 5]] == 0).all()
    for name, tensor in stored.items():
        assert torch.equal(reduction.compact(name, tensor), model.state_dict()[name])
    replace_tensors(whole, {n: reduction.compact(n, t) for n, t in stored.items()})
    torch.testing.assert_close(whole(images), model(images), rtol=0, atol=0)


def test_filters_that_were_not_merged_keep_their_bits():
    model, reduction, _ = duplicated("chain")
    before = model.state_dict()
    merge_network(model, reduction, "0", [[1, 2]])
    after = model.state_dict()
    left = [0, 3, 4, 5]
    assert torch.equal(after["0.weight"][[0, 2, 3, 4]], before["0.weight"][left])
    assert torch.equal(after["3.weight"][:, [0, 2, 3, 4]], before["3.weight"][:, left])
    assert torch.equal(after["7.weight"], before["7.weight"])
    torch.testing.assert_close(after["3.weight"][:, 1], before["3.weight"][:, [1, 2]].sum(1))


def test_merging_in_two_turns(images):
    model, reduction, _ = duplicated("chain")
    plant(model, "0", {0: [1, 2, 5]})
    before = model(images)
    merge_network(model, reduction, "0", [[1, 5]])
    merge_network(model, reduction, "0", [[0, 2], [3]])
    merge_network(model, reduction, "0", [[0, 1]])
    torch.testing.assert_close(model(images), before, rtol=1e-5, atol=1e-6)
    assert reduction.standing["0"].tolist() == [0, 0, 0, 3, 4, 0]
    measured = reduction.expand_measured("0", torch.ones(1, 3, 3), (1, 2))[0]
    assert measured.sum() == 9
    assert (measured[1] == 0).all()


def test_scaled_copies_need_the_factors(images):
    """A filter and three times it do the same; without factors the outputs change."""
    outputs = {}
    for weighted in (False, True):
        model = seeded(chain)
        with torch.no_grad():
            for tensor in model[0].parameters():
                tensor[3] = 3 * tensor[1]
        before = model(images)
        reduction = Reduction(reducible_layers(model, ("0",)))
        merge_network(model, reduction, "0", [[1, 3]], images if weighted else None)
        outputs[weighted] = float((model(images) - before).detach().abs().max())
    assert outputs[True] < 1e-6
    assert outputs[False] > 1e-3


def test_velocities_go_the_way_of_their_parameters(images):
    """One update by momentum alone, merged before or after it, gives the same network."""
    results = []
    for merge_first in (True, False):
        model, reduction, groups = duplicated("chain")
        generator = torch.Generator().manual_seed(2)
        named = dict(model.named_parameters())
        slots = {
            f"momentum:{n}": torch.randn(p.shape, generator=generator) for n, p in named.items()
        }
        for name in ("0.weight", "0.bias"):
            slots[f"momentum:{name}"][[2, 5]] = slots[f"momentum:{name}"][1].clone()
        with torch.no_grad():
            if merge_first:
                slots.update(merge_network(model, reduction, "0", groups["0"], None, slots))
            for name, p in model.named_parameters():
                p -= 0.1 * slots[f"momentum:{name}"]
            if not merge_first:
                merge_network(model, reduction, "0", groups["0"])
        results.append(model(images))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_squares_are_averaged():
    model, reduction, _ = duplicated("chain")
    slots = {"square:3.weight": torch.ones_like(model[3].weight)}
    changed = merge_network(model, reduction, "0", [[1, 2, 5]], None, slots)
    assert torch.equal(changed["square:3.weight"], torch.ones(5, 4, 3, 3))


class Residual(nn.Module):
    def __init__(self, join) -> None:
        super().__init__()
        self.join = join
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.c, self.d = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 3, 8)

    def forward(self, x):
        y = self.a(x)
        return self.d(self.c(functional.relu(self.join(y, self.b(y))))).flatten(1)


def grouped() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 3, 4))


def shared() -> nn.Sequential:
    one = nn.Conv2d(2, 2, 3, padding=1)
    return nn.Sequential(one, nn.ReLU(), one, nn.Flatten(), nn.Linear(128, 3))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3)

    def forward(self, x):
        return self.a(x) if x.sum() > 0 else x


REFUSED = {
    "residual sum": (
        lambda: Residual(lambda y, z: y + z),
        "filters of 'a' cannot be merged: its output goes into 2 operations: b, add; layers that "
        "can: c",
    ),
    "inside a sum": (
        lambda: Residual(lambda y, z: z + 1 + functional.relu(z)),
        "'a' cannot be merged|filters of 'b' cannot be merged: its output goes into 2 operations",
    ),
    "concatenation": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), _Twice(), nn.Conv2d(8, 3, 6)),
        "'0' cannot be merged: its output goes into|joins it with another .concatenation.",
    ),
    "grouped": (grouped, "'0' cannot be merged: '1' takes it, a convolution of 4 groups"),
    "shared": (shared, "'0' cannot be merged: '0' shares a parameter with another module"),
    "reused": (lambda: _Reused(), "'a' cannot be merged: 'a' is used 2 times"),
    "layer norm": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 6)),
        "not known what GroupNorm '1' does with its channels; layers that can: .*no|'0'",
    ),
    "last": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 8), nn.Flatten()),
        "'0' cannot be merged: its output is the network's; no other layer can",
    ),
    "wide linear": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(6, 4), nn.Flatten()),
        "linear layer '1' takes it without a flattening",
    ),
    "computed": (
        lambda: nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 4, 3)), nn.Conv2d(4, 3, 6)
        ),
        "the weight of '0' is computed",
    ),
    "frozen": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3).requires_grad_(False), nn.Conv2d(4, 3, 6)),
        "the parameters of '0' are frozen",
    ),
    "tied": (
        lambda: _tied(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)),
        "'0' shares a parameter with another module",
    ),
    "control flow": (Branching, "forward method cannot be followed"),
    "none": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(8, 3)), "has no convolutions"),
}


def _tied(a: nn.Conv2d, b: nn.Conv2d) -> nn.Sequential:
    b.weight = a.weight
    return nn.Sequential(a, b, nn.Flatten(), nn.Linear(64, 3))


class _Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 2, 3), nn.Linear(2 * 16, 3)

    def forward(self, x):
        return self.b(self.a(self.a(x)).flatten(1))


class _Twice(nn.Module):
    def forward(self, x):
        return torch.cat([x, x], 1)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_merged_is_refused_by_name(case):
    make, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message):
        reducible_layers(make(), ())


def test_layers_are_chosen_by_name():
    model = Residual(lambda y, z: y + z)
    (found,) = reducible_layers(model, ("c",))
    assert (found.layer, found.consumer, found.positions) == ("c", "d", 1)
    with pytest.raises(ConfigError, match=r"no convolution matches 'cc'; did you mean|there are"):
        reducible_layers(model, ("cc",))
