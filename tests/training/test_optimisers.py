"""Optimisers: each against torch's or its paper's formula in NumPy, which parameters Muon moves, and when averaging begins."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recurrent import Cell, drawn
from stemma.errors import UsageError
from stemma.layers.blocks import Layer, layer
from stemma.layers.fast import Dense
from stemma.lineage import bert, gpt
from stemma.objectives.batch import IGNORE
from stemma.tokens.facts import TokenFacts
from stemma.training.optimisers import OPTIMISERS, POLAR, Muon, Optimiser, block_matrices, orthogonal
from stemma.training.settings import Config

STEPS = 5
RATES = (0.1, 0.05, 0.2, 0.1, 0.03)


def slopes(network: nn.Module, step: int) -> list[torch.Tensor]:
    """Gradients drawn for a step, one for each parameter."""
    numbers = torch.Generator().manual_seed(step)
    return [torch.randn(parameter.shape, generator=numbers) for parameter in network.parameters()]


def ours(network: nn.Module, optimiser: str, rates: tuple[float, ...] = RATES, **settings: Any) -> Optimiser:
    """The network moved along the drawn gradients by our optimiser."""
    made = Optimiser(network, Config(optimiser=optimiser, **settings))  # type: ignore[arg-type]
    for step, rate in enumerate(rates):
        for parameter, slope in zip(network.parameters(), slopes(network, step), strict=True):
            parameter.grad = slope
        made.update(rate)
    return made


def theirs(network: nn.Module, optimiser: torch.optim.Optimizer, rates: tuple[float, ...] = RATES, first: int = 0) -> None:
    """The network moved along the same gradients by torch's."""
    for step, rate in enumerate(rates, first):
        for parameter, slope in zip(network.parameters(), slopes(network, step), strict=True):
            parameter.grad = slope
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()


def split(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    return [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]


def assert_same(a: nn.Module, b: nn.Module, **tolerance: float) -> None:
    for (name, left), right in zip(a.named_parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(left, right, msg=name, **({"rtol": 0.0, "atol": 0.0} | tolerance))


def test_adamw_is_torchs_fused_one_bit_for_bit() -> None:
    a, b = drawn(), drawn()
    ours(a, "adamw", betas=(0.8, 0.9), epsilon=1e-7, weight_decay=0.1)
    theirs(b, torch.optim.AdamW(split(b, 0.1), betas=(0.8, 0.9), eps=1e-7, fused=True))
    assert_same(a, b)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torchs(momentum: float) -> None:
    a, b = drawn(), drawn()
    ours(a, "sgd", momentum=momentum, weight_decay=0.01)
    theirs(b, torch.optim.SGD(split(b, 0.01), momentum=momentum))
    assert_same(a, b)


def test_adagrad_is_torchs() -> None:
    a, b = drawn(), drawn()
    ours(a, "adagrad", weight_decay=0.01)
    theirs(b, torch.optim.Adagrad(split(b, 0.01)))
    assert_same(a, b)


@pytest.mark.parametrize("optimiser", ["bert-adam", "lamb"])
def test_bert_adam_and_lamb_are_their_formulas_in_numpy(optimiser: str) -> None:
    """optimization.py of BERT, lamb_optimizer.py of ALBERT: no correction of bias, no clamp; vectors without decay and ratio."""
    network = drawn()
    with torch.no_grad():
        network.unread.weight.zero_()  # no length: its ratio is 1
    weights = [parameter.detach().double().numpy().copy() for parameter in network.parameters()]
    means, squares = ([np.zeros_like(weight) for weight in weights] for _ in range(2))
    for step, rate in enumerate(RATES):
        for w, m, v, slope in zip(weights, means, squares, slopes(network, step), strict=True):
            g = slope.double().numpy()
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            update = m / (np.sqrt(v) + 1e-6)
            if w.ndim > 1:
                update += 0.01 * w
                lengths = np.linalg.norm(w), np.linalg.norm(update)
                if optimiser == "lamb" and min(lengths) > 0:
                    update *= lengths[0] / lengths[1]
            w -= rate * update
    ours(network, optimiser)
    for parameter, weight in zip(network.parameters(), weights, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), weight, rtol=2e-5, atol=2e-6)


def test_lamb_moves_fused_matrices_as_it_would_each_by_itself() -> None:
    """Queries, keys and values are three variables in ALBERT's code, each with a length of its own."""
    torch.manual_seed(0)
    fused, apart = Dense(7, 15, parts=3), nn.ModuleList(nn.Linear(7, 5) for _ in range(3))
    with torch.no_grad():
        for number, rows in enumerate(fused.weight.chunk(3)):
            rows.mul_(number + 1)  # of unlike lengths
            apart[number].weight.copy_(rows)
    optimisers = [Optimiser(network, Config(optimiser="lamb")) for network in (fused, apart)]
    for step, rate in enumerate(RATES):
        fused.weight.grad = slopes(fused, step)[0]
        for linear, slope in zip(apart, fused.weight.grad.chunk(3), strict=True):
            linear.weight.grad = slope.clone()
        for optimiser in optimisers:
            optimiser.update(rate)
    torch.testing.assert_close(fused.weight, torch.cat([linear.weight for linear in apart]), rtol=0, atol=1e-6)


def judge(optimiser: Optimiser, *losses: float) -> None:
    assert optimiser.average
    for loss in losses:
        optimiser.average.judge(loss)


def test_averaging_begins_when_the_best_is_older_than_five_evaluations() -> None:
    optimiser = Optimiser(drawn(), Config(optimiser="asgd"))
    assert optimiser.average
    judge(optimiser, 3.0, 9.0, 9.0, 9.0, 9.0, 9.0)
    assert optimiser.average.count == 0  # 9 was above 3, but within the first six
    judge(optimiser, 2.9)
    assert optimiser.average.count == 0
    judge(optimiser, 2.95)  # best but for the last five: 3.0
    assert optimiser.average.count == 0
    judge(optimiser, 3.05)
    assert optimiser.average.count == 1
    always_better = Optimiser(drawn(), Config(optimiser="asgd"))
    judge(always_better, *np.linspace(9, 1, 50))
    assert always_better.average and always_better.average.count == 0


def test_asgd_is_sgd_whose_mean_is_torchs() -> None:
    """Torch's mean begins at its own second update, so that it is started two updates before ours begins with the weights."""
    a, b, rates = drawn(), drawn(), (0.1,) * 4
    mine = ours(a, "asgd", rates, weight_decay=0.0)
    judge(mine, 1, 1, 1, 1, 1, 1, 2)
    theirs(b, torch.optim.SGD(b.parameters()), (0.1, 0.1))
    averaging = torch.optim.ASGD(b.parameters(), lr=0.1, t0=0, lambd=0)
    theirs(b, averaging, (0.1, 0.1), first=2)
    for step in range(4, 9):
        for parameter, slope in zip(a.parameters(), slopes(a, step), strict=True):
            parameter.grad = slope
        mine.update(0.1)
    theirs(b, averaging, (0.1,) * 5, first=4)
    assert_same(a, b, atol=1e-6)
    last = [parameter.detach().clone() for parameter in a.parameters()]
    assert mine.average
    with mine.average.swapped():
        for parameter, other in zip(a.parameters(), b.parameters(), strict=True):
            torch.testing.assert_close(parameter, averaging.state[other]["ax"], rtol=1e-5, atol=1e-6)
    assert all(torch.equal(parameter, before) for parameter, before in zip(a.parameters(), last, strict=True))


def bert_and_batch() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    facts = TokenFacts(23, {"pad": 0, "cls": 1, "sep": 2, "mask": 3}, np.ones(23))
    torch.manual_seed(0)
    network = bert.BERT(bert.Config(width=12, depth=2, heads=3, inner=20, max_length=9, dropout=0.0), facts)
    ids = torch.tensor([[1, 5, 3, 7, 2], [1, 3, 9, 4, 2]])
    return network, {"ids": ids, "labels": torch.where(ids == 3, 8, IGNORE), "cls": torch.tensor([0, 5]), "next": torch.tensor([0, 1])}


def gpt_and_batch() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    network = gpt.GPT(gpt.Config(width=12, depth=2, heads=3, inner=20, max_length=9, dropout=0.0), TokenFacts(23, {"eos": 0}, np.ones(23)))
    ids = torch.tensor([[1, 5, 3, 7, 2], [1, 3, 9, 4, 2]])
    return network, {"ids": ids, "labels": ids.roll(-1, 1)}


@pytest.mark.parametrize("make", [bert_and_batch, gpt_and_batch])
def test_muon_moves_the_blocks_matrices_and_adamw_every_other_parameter_once(make: Any) -> None:
    network, batch = make()
    optimiser = Optimiser(network, Config(optimiser="muon", rate=1e-3, muon_rate=4e-3))
    muon, adamw = optimiser._parts
    assert isinstance(muon, Muon) and isinstance(adamw, torch.optim.AdamW)
    chosen, rest = ([id(p) for group in part.param_groups for p in group["params"]] for part in (muon, adamw))
    assert sorted(chosen + rest) == sorted(map(id, network.parameters()))
    expected = [name for name, p in network.named_parameters() if name.startswith("blocks.") and p.ndim == 2]
    assert {name for name, p in network.named_parameters() if id(p) in chosen} == set(expected) and len(expected) == 8
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    first = network.loss(batch).mean
    for _ in range(8):
        network.loss(batch).mean.backward()
        optimiser.update(1e-3)
    assert all(not torch.equal(before[name], p) for name, p in network.named_parameters() if name in expected)
    assert network.loss(batch).mean < first - 0.01
    assert muon.param_groups[0]["lr"] == pytest.approx(4e-3) and adamw.param_groups[0]["lr"] == 1e-3
    assert {group["weight_decay"] for group in adamw.param_groups} == {0.0, 0.01}


JORDAN = ((3.4445, -4.7750, 2.0315),) * 5


def matrices(*shapes: tuple[int, int]) -> nn.ParameterList:
    torch.manual_seed(0)
    return nn.ParameterList(torch.randn(shape) for shape in shapes)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.02), (torch.float32, 0.02)])
def test_muon_with_jordans_five_steps_is_torchs(dtype: torch.dtype, tolerance: float) -> None:
    """Of matrices in batches by shape; torch's are one by one, and always in bfloat16: apart by its rounding."""
    a, b = (matrices((12, 20), (20, 12), (12, 12), (12, 20), (12, 12)) for _ in range(2))
    started = [weight.detach().clone() for weight in a]
    mine = Muon([{"params": list(a), "weight_decay": 0.1}], 0.95, dtype, coefficients=JORDAN)
    torchs = torch.optim.Muon(list(b), weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    theirs(a, mine)
    theirs(b, torchs)
    for left, right, before in zip(a, b, started, strict=True):
        assert (left - right).norm() < tolerance * (right - before).norm()
        torch.testing.assert_close(mine.state[left]["momentum_buffer"], torchs.state[right]["momentum_buffer"])


def test_muon_is_its_formula_in_numpy() -> None:
    """Matrices that stand one above the other are orthogonal each by itself."""
    rows, columns, rate, momentum, decay = 5, 7, 0.1, 0.9, 0.1
    network = matrices((3 * rows, columns), (columns, rows))
    weights = [weight.detach().double().numpy().copy() for weight in network]
    means = [np.zeros_like(weight) for weight in weights]
    theirs(network, Muon([{"params": list(network), "weight_decay": decay}], momentum, torch.float32, {network[0]: 3}), (rate,) * 3)
    for step in range(3):
        for weight, mean, slope in zip(weights, means, slopes(network, step), strict=True):
            mean += (1 - momentum) * (slope.double().numpy() - mean)
            ahead = momentum * mean + (1 - momentum) * slope.double().numpy()
            parts = np.split(ahead, 3 if len(weight) == 3 * rows else 1)
            turned = [left * curve(values / np.linalg.norm(values)) @ right for left, values, right in map(thin_svd, parts)]
            weight *= 1 - rate * decay
            weight -= rate * 0.2 * np.sqrt(columns) * np.concatenate(turned)
    for parameter, weight in zip(network, weights, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), weight, rtol=1e-4, atol=1e-5)


def thin_svd(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.linalg.svd(matrix, full_matrices=False)


def curve(values: np.ndarray) -> np.ndarray:
    """What the three steps make of singular values."""
    for a, b, c in POLAR:
        values = a * values + b * values**3 + c * values**5
    return values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_three_steps_bring_singular_values_to_about_one(dtype: torch.dtype) -> None:
    spread = np.linspace(0.01, 1, 500)
    assert curve(spread).min() > 0.7 and curve(spread).max() < 1.3
    torch.manual_seed(0)
    found = orthogonal(torch.randn(3, 16, 48).to(dtype)).float()
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.65 and values.max() < 1.35
    single = orthogonal(torch.outer(torch.randn(9), torch.randn(11))[None].to(dtype)).float()  # all of its length in one direction
    assert torch.linalg.svdvals(single)[0, 0] == pytest.approx(1, abs=0.35)
    assert not orthogonal(torch.zeros(2, 4, 5, dtype=dtype)).any()


def test_a_step_of_muon_is_as_long_as_adamws_would_be() -> None:
    """Root mean square of about 0.2 of the rate, whatever the shape (Liu 2025, section 2.2)."""
    network, _ = bert_and_batch()
    before = {id(p): p.detach().clone() for p in network.parameters()}
    ours(network, "muon", (1e-3,), weight_decay=0.0, muon_rate=1e-2, rate=1e-3)
    for parameter in block_matrices(network):  # type: ignore[arg-type]
        moved = (parameter.detach() - before[id(parameter)]).square().mean().sqrt()
        assert 0.5 * 0.2 * 1e-2 < moved < 1.2 * 0.2 * 1e-2


class Tower(nn.Module):
    """A network that is a block and nothing else, and calls it by a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.square = nn.Linear(5, 5, bias=False)

    def layers(self) -> list[Layer]:
        return [layer(self, "storey 1", "square", block=True)]


def test_muon_moves_what_the_network_calls_its_blocks_and_needs_no_rest() -> None:
    network = Tower()
    before = network.square.weight.detach().clone()
    made = ours(network, "muon", (0.1,), weight_decay=0.0)
    assert [type(part) for part in made._parts] == [Muon] and block_matrices(network) == [network.square.weight]  # type: ignore[arg-type]
    assert not torch.equal(before, network.square.weight)
    Optimiser(network, Config(optimiser="muon")).restore(made.state())


def test_muon_leaves_what_is_outside_the_blocks_to_adamw_alone() -> None:
    network, _ = bert_and_batch()
    groups = [{"params": list(network.pooler.parameters()), "weight_decay": 0.0}]  # every block is frozen
    assert [type(part) for part in Optimiser(network, Config(optimiser="muon"), groups)._parts] == [torch.optim.AdamW]


def test_muon_refuses_a_network_without_blocks() -> None:
    network = drawn()
    network.layers = lambda: Cell.layers(network)[::2]  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=r"set training\.optimiser to adamw"):
        Optimiser(network, Config(optimiser="muon"))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_table_lists_all_that_an_optimiser_keeps(name: str) -> None:
    options = {"momentum": 0.9} if name == "sgd" else {}
    made = ours(drawn(), name, **options)
    kept = {key for part in made._parts for values in part.state.values() for key, value in values.items() if torch.is_tensor(value)}
    assert kept == set(OPTIMISERS[name].keeps)  # type: ignore[index]


def test_the_mean_of_the_last_share_of_the_steps() -> None:
    """Of ten updates the last three make the mean, also where a run was taken up between them; training goes on from the weights."""
    config, network = Config(optimiser="sgd", average=0.3, steps=10, weight_decay=0.0), drawn()
    optimiser, seen = Optimiser(network, config), []
    for step in range(10):
        for parameter, slope in zip(network.parameters(), slopes(network, step), strict=True):
            parameter.grad = slope
        optimiser.update(0.1)
        seen.append([parameter.detach().clone() for parameter in network.parameters()])
        if step == 8:  # in the midst of the mean: stopped and taken up by another
            assert optimiser.average
            kept = optimiser.state()
            with optimiser.average.swapped():
                mean = [parameter.detach().clone() for parameter in network.parameters()]
            network = drawn()
            with torch.no_grad():
                for parameter, value in zip(network.parameters(), mean, strict=True):
                    parameter.copy_(value)
            optimiser = Optimiser(network, config)
            optimiser.restore(kept)
            assert all(torch.equal(parameter, before) for parameter, before in zip(network.parameters(), seen[-1], strict=True))
    assert optimiser.average and optimiser.average.count == 3
    with optimiser.average.swapped():
        for parameter, *values in zip(network.parameters(), *seen[-3:], strict=True):
            torch.testing.assert_close(parameter.detach(), torch.stack(values).mean(0), atol=1e-6, rtol=1e-5)
