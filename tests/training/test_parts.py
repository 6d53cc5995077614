"""Parts of a loss: each is a mean over all its predictions of an update, in however many micro-batches they stand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stemma.layers.loss import Loss
from stemma.lineage import bert, gpt, lstm, nnlm
from stemma.objectives.batch import IGNORE, Batch
from stemma.runs.moved import HeadedNetwork
from stemma.tasks import classify, tag
from stemma.tokens.facts import TokenFacts
from stemma.training.backprop import Backprop
from stemma.training.held_out import held_out_loss
from stemma.training.ranks import Ranks
from stemma.training.settings import Config

R, T, V = 8, 9, 23  # rows of the whole batch, positions, vocabulary
FACTS = TokenFacts(V, {"pad": 0, "cls": 1, "sep": 2, "mask": 3, "eos": 4, "unk": 5, "bos": 6}, np.ones(V))
SIZES: dict[str, Any] = {"width": 12, "depth": 2, "heads": 3, "inner": 20, "max_length": T, "dropout": 0.0}
Split = Callable[[list[int]], Batch]  # the batch of some of the rows


def drawn() -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """(numbers, ids, labels): ever more labels are predicted from row to row."""
    numbers = np.random.default_rng(0)
    ids = numbers.integers(7, V, (R, T))
    return numbers, ids, np.where(np.arange(T) <= np.arange(R)[:, None], numbers.integers(7, V, (R, T)), IGNORE)


def bert_pairs() -> tuple[nn.Module, Split]:
    """One pair in the first rows, three in the last."""
    numbers, ids, labels = drawn()
    pairs = [[0]] * 5 + [[0, 3, 6]] * 3
    following = numbers.integers(0, 2, (R, 3))
    segments = np.array([np.searchsorted(starts, np.arange(T), side="right") for starts in pairs])

    def batch(rows: list[int]) -> Batch:
        cls = [place * T + start for place, row in enumerate(rows) for start in pairs[row]]
        return {
            **{"ids": ids[rows], "labels": labels[rows], "segments": segments[rows], "cls": np.array(cls)},
            "next": np.concatenate([following[row, : len(pairs[row])] for row in rows]),
        }

    return bert.BERT(bert.Config(**SIZES), FACTS), batch


def gpt_tokens() -> tuple[nn.Module, Split]:
    _, ids, labels = drawn()
    return gpt.GPT(gpt.Config(**SIZES), FACTS), lambda rows: {"ids": ids[rows], "labels": labels[rows]}


def nnlm_words() -> tuple[nn.Module, Split]:
    _, ids, labels = drawn()
    segments, labels = (labels != IGNORE).astype(np.int64), np.where(labels == IGNORE, 7, labels)
    network = nnlm.NNLM(nnlm.Config(context=3, width=5, inner=6, output="full"), FACTS)
    return network, lambda rows: {"ids": ids[rows], "labels": labels[rows], "segments": segments[rows]}


def lstm_with_penalties() -> tuple[nn.Module, Split]:
    _, ids, labels = drawn()
    sizes: dict[str, Any] = {"width": 6, "depth": 1, "activation": 2.0, "temporal": 1.0, "dropout": 0.0, "dropout_input": 0.0}
    network = lstm.LSTM(lstm.Config(**sizes), FACTS)
    return network, lambda rows: {"ids": ids[rows], "labels": labels[rows], "begins": np.ones(len(rows), bool)}


def task_batch(labels: np.ndarray, **more: np.ndarray) -> Split:
    numbers, ids, _ = drawn()
    lengths = numbers.integers(3, T + 1, R)
    segments = (np.arange(T) < lengths[:, None]).astype(np.int64)
    positions = np.tile(np.arange(T), (R, 1))
    whole = {"ids": ids * segments, "segments": segments, "positions": positions, "types": 0 * ids, "labels": labels, **more}
    return lambda rows: {name: array[rows] for name, array in whole.items()}


def gpt_classes_with_language_loss() -> tuple[nn.Module, Split]:
    network, targets = gpt.GPT(gpt.Config(**SIZES), FACTS), {"labels": ["a", "b", "c"], "several": False}
    return HeadedNetwork(network, classify.Classify(classify.Config()), targets, 0.0, auxiliary=0.5), task_batch(np.arange(R) % 3)


def bert_tags() -> tuple[nn.Module, Split]:
    network, targets = bert.BERT(bert.Config(**SIZES), FACTS), {"labels": ["X", "Y"], "types": []}
    labels = np.where(np.arange(4) <= np.arange(R)[:, None] % 4, 1, IGNORE)
    known = labels != IGNORE
    split = task_batch(labels, sites=known, places=np.zeros((R, 4), np.int64))

    def tagged(rows: list[int]) -> dict[str, np.ndarray]:
        columns = np.arange(len(rows))[:, None] * T + np.arange(4)  # they count through all rows of the batch
        return split(rows) | {"columns": np.where(known[rows], columns, -1)}

    return HeadedNetwork(network, tag.Tag(tag.Config()), targets, 0.0), tagged


MAKERS = [bert_pairs, gpt_tokens, nnlm_words, lstm_with_penalties, gpt_classes_with_language_loss, bert_tags]


def descended(make: Callable[[], tuple[nn.Module, Split]], cuts: list[list[int]]) -> tuple[np.ndarray, Any]:
    """(the gradient of an update from these micro-batches, what it saw)."""
    torch.manual_seed(0)
    network, batch = make()
    learner = Backprop(network, Config(optimiser="sgd", clip=0.0), torch.device("cpu"), "fp32", Ranks())
    found: list[np.ndarray] = []
    learner._optimiser.update = lambda rate: found.extend(  # type: ignore[method-assign]
        parameter.grad.double().numpy().ravel() for parameter in network.parameters() if parameter.grad is not None
    )
    step = learner.step([batch(rows) for rows in cuts], 0.1, 0)
    return np.concatenate(found), step


@pytest.mark.parametrize("cuts", [[4, 4], [2, 2, 2, 2]], ids=["2", "4"])
@pytest.mark.parametrize("make", MAKERS)
def test_micro_batches_are_one_big_batch(make: Callable[[], tuple[nn.Module, Split]], cuts: list[int]) -> None:
    """Though the parts have more predictions, in other ratios, in one micro-batch than in another."""
    rows = np.split(np.arange(R), np.cumsum(cuts)[:-1])
    whole, at_once = descended(make, [list(range(R))])
    parts, in_parts = descended(make, [part.tolist() for part in rows])
    assert np.linalg.norm(whole - parts) < 1e-6 * np.linalg.norm(whole)
    assert in_parts.loss == pytest.approx(at_once.loss, rel=1e-6) and in_parts.count == at_once.count
    assert in_parts.parts == pytest.approx(at_once.parts, rel=1e-6)


@pytest.mark.parametrize("make", MAKERS)
def test_predictions_are_the_losss_own_counts_and_its_mean_is_made_of_them(make: Callable[[], tuple[nn.Module, Split]]) -> None:
    network, batch = make()
    tensors = {name: torch.from_numpy(array) for name, array in batch(list(range(3, R))).items()}
    for training in (True, False):
        loss: Loss = network.train(training).loss(tensors)  # type: ignore[operator]
        counts = network.predictions(tensors)  # type: ignore[operator]
        assert counts == {name: count for name, (_, count) in loss.parts.items()} and loss.count == next(iter(counts.values()))
        torch.testing.assert_close(loss.share(counts), loss.mean)


def test_the_held_out_loss_is_that_of_one_big_batch() -> None:
    """Of pairs too: batches with many count for more than batches with few."""
    torch.manual_seed(0)
    network, batch = bert_pairs()

    class HeldOut:
        def __init__(self, cuts: list[list[int]]) -> None:
            self.batch = lambda step: batch(cuts[step])
            self.steps_in_epoch = lambda epoch: len(cuts)
            self.real_tokens = lambda batch: batch["ids"].size

    (mean, parts), (whole, whole_parts) = (
        held_out_loss(network, HeldOut(cuts), 10**6, "fp32")  # type: ignore[arg-type]
        for cuts in ([[0, 1, 2], [3, 4, 5], [6, 7]], [list(range(R))])
    )
    assert mean == pytest.approx(whole, rel=1e-6) and parts == pytest.approx(whole_parts, rel=1e-6)
