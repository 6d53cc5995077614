"""Learners: resumed equal to uninterrupted bit for bit, and state that is carried from batch to batch, rank by rank."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from on_ranks import COLUMNS, saved_and_taken_up
from torch import nn
from torch.nn import functional as F

from recurrent import Columns, D, T, V, drawn
from stemma.checkpoint import map_tensors, write_tensors
from stemma.errors import RunError
from stemma.layers.loss import Loss
from stemma.lineage.network import Descended
from stemma.training.backprop import Backprop, evaluate
from stemma.training.by_hand import ByHand
from stemma.training.held_out import held_out_loss
from stemma.training.learners import Arrays
from stemma.training.loop import Reached, train
from stemma.training.optimisers import OPTIMISERS
from stemma.training.ranks import Ranks
from stemma.training.settings import Config

CPU = torch.device("cpu")
WORSE = [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.0]  # held-out losses after which weights are averaged


def learner(optimiser: str = "adamw", seed: int = 0, kind: torch.dtype = torch.float32, **options: Any) -> Backprop:
    return Backprop(drawn(seed, kind=kind), Config(optimiser=optimiser, rate=0.05, **options), CPU, "fp32", Ranks())  # type: ignore[arg-type]


def through_files(arrays: Arrays, folder: Path) -> Arrays:
    """What a run folder gives back."""
    for group, tensors in arrays.items():
        write_tensors(folder / f"{group}.safetensors", tensors)
    return {group: map_tensors(folder / f"{group}.safetensors") for group in arrays}


def assert_same_bits(a: Arrays, b: Arrays) -> None:
    assert a.keys() == b.keys()
    for group in a:
        assert a[group].keys() == b[group].keys()
        for name in a[group]:
            left, right = np.asarray(a[group][name]), np.asarray(b[group][name])
            assert (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes()), (group, name)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.integers(1, 5), switch=st.integers(0, 6), parts=st.integers(1, 3), bfloat16=st.booleans())
def test_a_restored_learner_goes_on_bit_for_bit(
    optimiser: str, tmp_path: Path, before: int, switch: int, parts: int, bfloat16: bool
) -> None:
    """Six updates equal some, a state saved, another learner that takes it up, and the others; `switch`: when averaging begins."""
    kind, text = torch.bfloat16 if bfloat16 else torch.float32, Columns()
    options = {"momentum": 0.9} if optimiser == "sgd" else {}

    def go(one: Backprop, first: int, last: int) -> None:
        for step in range(first, last):
            for loss in WORSE if step == switch else ():
                one.judge(loss)
            one.step([text.batch(step * parts + part) for part in range(parts)], 0.05 / (step + 1), step)

    whole, first = learner(optimiser, kind=kind, **options), learner(optimiser, kind=kind, **options)
    go(whole, 0, 6)
    go(first, 0, before)
    second = learner(optimiser, seed=1, kind=kind, **options)
    second.restore(through_files(first.state(), tmp_path))
    assert_same_bits(second.state(), first.state())
    go(second, before, 6)
    assert_same_bits(second.state(), whole.state())
    assert all(torch.equal(a, b) for a, b in zip(second.network.parameters(), whole.network.parameters(), strict=True))


def one_piece(network: nn.Module, text: Columns, windows: int) -> float:
    """Mean nats over the first windows, read as one."""
    long = {"ids": torch.from_numpy(text.ids[:, : windows * T]), "labels": torch.from_numpy(text.ids[:, 1 : windows * T + 1])}
    return float(network.loss(long).mean.detach())  # type: ignore[operator]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_windows_with_carried_state_are_the_text_in_one_piece(parts: int) -> None:
    """From micro-batch to micro-batch and from update to update."""
    one, text = learner("sgd"), Columns()
    steps = [one.step([text.batch(step * parts + part) for part in range(parts)], 0.0, 0) for step in range(8 // parts)]
    assert np.mean([step.loss for step in steps]) == pytest.approx(one_piece(one.network, text, 8), abs=1e-5)


def test_evaluation_carries_its_own_state_from_nothing() -> None:
    one, text, held_out = learner(), Columns(), Columns(seed=1)
    one.step([text.batch(0)], 0.1, 0)
    before = one.state()["carried-0"]["state"].copy()
    for _ in range(2):  # the second finds nothing of the first
        mean, _ = held_out_loss(one.network, held_out, 10**6, "fp32")
        assert mean == pytest.approx(one_piece(one.network, held_out, held_out.windows), abs=1e-5)
    assert one.state()["carried-0"]["state"].tobytes() == before.tobytes()


def test_nothing_is_saved_where_nothing_is_carried() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(V, V)

        def loss(self, batch: dict[str, torch.Tensor], carried: None = None) -> Loss:
            nats = F.cross_entropy(self.table(batch["ids"]).flatten(0, 1), batch["labels"].flatten(), reduction="sum")
            return Loss.of({"tokens": (nats, batch["ids"].numel())})

        def predictions(self, batch: dict[str, torch.Tensor]) -> dict[str, int]:
            return {"tokens": batch["labels"].numel()}

    one = Backprop(Plain(), Config(), CPU, "fp32", Ranks())
    one.step([Columns().batch(0)], 0.1, 0)
    assert one.state().keys() == {"model", "optimiser"}


def test_a_batchs_own_scale_multiplies_the_rate() -> None:
    a, b, text = learner("sgd", weight_decay=0.0), learner("sgd", weight_decay=0.0), Columns()
    a.step([text.batch(0) | {"rate_scale": np.array(0.5)}], 0.5, 0)
    b.step([text.batch(0)], 0.25, 0)
    c, d = learner("sgd"), learner("sgd")
    c.step([text.batch(k) | {"rate_scale": np.array(scale)} for k, scale in enumerate((0.5, 1.5))], 0.5, 0)
    d.step([text.batch(0), text.batch(1)], 0.5, 0)
    for one, other in ((a, b), (c, d)):
        assert all(torch.equal(left, right) for left, right in zip(one.network.parameters(), other.network.parameters(), strict=True))


def test_memories_of_other_ranks_are_refused() -> None:
    one = learner()
    one.step([Columns().batch(0)], 0.1, 0)
    state = one.state()
    with pytest.raises(RunError, match="run it with 2 processes"):
        learner().restore(state | {"carried-1": state["carried-0"]})


def test_averaged_weights_are_evaluated_and_kept_and_training_goes_on_from_the_others() -> None:
    one, text, config = learner("asgd"), Columns(), Config(optimiser="asgd", precision="fp32")
    for loss in WORSE:
        one.judge(loss)
    for step in range(6):
        one.step([text.batch(step)], 0.3, 0)
    last = {name: tensor.clone() for name, tensor in one.network.state_dict().items()}
    mean, _ = evaluate(one, text, config, Ranks())
    assert all(torch.equal(last[name], tensor) for name, tensor in one.network.state_dict().items())
    saved = one.state()
    assert any(saved["model"][name].tobytes() != tensor.numpy().tobytes() for name, tensor in last.items())
    other = drawn(1)
    other.load_state_dict({name: torch.tensor(array) for name, array in saved["model"].items()})
    assert held_out_loss(other, text, config.evaluation_tokens, "fp32")[0] == mean
    assert saved["optimiser"]["average/losses"][-1] == mean


def test_the_loop_divides_the_rate_where_a_pass_ends() -> None:
    text = Columns(windows=3)
    config = Config(schedule="steps", flat_epochs=1, decay=2.0, warmup=0.0, rate=0.4)
    facts = list(train(learner(), text, config, 9, Reached(), Ranks()))
    assert [fact.rate for fact in facts] == pytest.approx([0.4] * 3 + [0.2] * 3 + [0.1] * 3)
    assert facts[-1].tokens == 9 * text.batch(0)["ids"].size


def test_a_network_that_writes_its_own_gradients_keeps_what_it_says() -> None:
    class Hand:
        def __init__(self) -> None:
            self.table, self.sums = np.zeros(3), np.zeros(3)

        def descend(self, batch: dict[str, np.ndarray], rate: float, seed: int, threads: int = 1) -> Descended:
            self.sums += rate
            self.table += self.sums
            return Descended(1.5, 2)

        def arrays(self) -> dict[str, np.ndarray]:
            return {"table": self.table}

        def take_up(self, arrays: dict[str, np.ndarray]) -> None:
            self.table = np.array(arrays["table"])

        def optimiser_state(self) -> dict[str, np.ndarray]:
            return {"table": self.sums}

        def restore_optimiser(self, arrays: dict[str, np.ndarray]) -> None:
            self.sums = np.array(arrays["table"])

    a, b = ByHand(Hand(), 1), ByHand(Hand(), 1)
    assert a.step([{}, {"rate_scale": np.array(0.5)}], 0.2, 0).count == 4
    np.testing.assert_allclose(a.state()["optimiser"]["table"], 0.3)
    b.restore(a.state())
    for one in (a, b):
        one.step([{}], 0.1, 0)
    assert_same_bits(a.state(), b.state())


def test_two_ranks_carry_each_their_own_and_learn_what_one_learns(tmp_path: Path) -> None:
    """Four columns in one process, and two in each of two; and one column, or one and none. A state is saved and taken up on the way."""
    two, one = tmp_path / "two", tmp_path / "one"
    one.mkdir()
    two.mkdir()
    saved_and_taken_up(one)
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(here / "on_ranks.py"), str(two)]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for columns in COLUMNS:
        folders = one / str(columns), two / str(columns)
        alone, together = ({path.stem: map_tensors(path) for path in folder.glob("*.safetensors")} for folder in folders)
        assert together.keys() == {"model", "optimiser", "carried-0", "carried-1"}
        memories = [together[f"carried-{rank}"].get("state", np.zeros((0, D))) for rank in (0, 1)]
        assert list(map(len, memories)) == [columns - columns // 2, columns // 2]
        np.testing.assert_allclose(np.concatenate(memories), alone["carried-0"]["state"], atol=1e-5)
        for group in ("model", "optimiser"):
            for name, array in alone[group].items():
                np.testing.assert_allclose(together[group][name], array, atol=1e-5, err_msg=name)
