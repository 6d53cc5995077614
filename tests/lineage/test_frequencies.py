"""Networks that begin by predicting each token by its frequency (`layers.frequencies`)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stemma.layers.frequencies import SCALE, log_frequencies
from stemma.lineage.table import find
from stemma.tokens.facts import TokenFacts

V = 40
SPECIALS = {"pad": 0, "cls": 1, "sep": 2, "mask": 3, "eos": 4, "unk": 5, "bos": 6}
COUNTS = np.array([0, 0, 0, 0, 9, 1, 0, *(10_000 // (n + 1) for n in range(V - 7))])
NAMES = ("gpt", "gpt2", "bert", "bert-wwm", "albert", "xlnet")


def drawn(name: str, frequencies: bool, counts: np.ndarray | None = COUNTS):
    row = find(name)
    config = row.model_config()(**row.presets()["tiny"]["model"])
    torch.manual_seed(3)
    settled = row.load_network().settle(replace(config, frequencies=frequencies), torch.device("cpu"))
    return row.new_module(settled, TokenFacts(V, SPECIALS, counts)).eval()


def test_the_share_of_a_token_is_as_if_seen_once_more() -> None:
    assert log_frequencies(np.array([0, 2, 4])).exp().tolist() == pytest.approx([1 / 9, 3 / 9, 5 / 9])


@pytest.mark.parametrize("name", NAMES)
def test_the_first_prediction_is_by_frequency(name: str) -> None:
    ids = torch.arange(7, 31)[None]
    expected = log_frequencies(COUNTS)

    def apart(frequencies: bool) -> float:
        """Nats by which its predictions are worse than frequencies alone, at the mean."""
        net = drawn(name, frequencies)
        with torch.no_grad():
            found = net.logits(net.encode({"ids": ids})[-1])[0].log_softmax(-1)
        return float((expected.exp() * (expected - found)).sum(-1).mean())

    assert apart(True) < 0.3 < 0.6 < apart(False)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_changes_and_nothing_at_all_without_counts(name: str) -> None:
    plain, begun = (drawn(name, frequencies).state_dict() for frequencies in (False, True))
    changed = {key for key in plain if not torch.equal(plain[key], begun[key])}
    if name in ("gpt", "gpt2"):
        norm = "norm.bias" if name == "gpt2" else "blocks.1.feedforward_norm.bias"
        assert changed == {"tokens.weight", norm}
        assert torch.equal(plain["tokens.weight"][:, 1:], begun["tokens.weight"][:, 1:])
        assert begun[norm][0] == pytest.approx(1 / SCALE) and not begun[norm][1:].any()
    else:
        assert changed == {"bias" if name == "xlnet" else "masked_head.bias"}
    scratch = drawn(name, True, counts=None).state_dict()
    assert all(torch.equal(plain[key], scratch[key]) for key in plain)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_sizes_begin_as_the_papers_have_it(name: str) -> None:
    presets = find(name).presets()
    assert presets["tiny"]["model"]["frequencies"] and presets["small"]["model"]["frequencies"]
    assert not any(table.get("model", {}).get("frequencies") for preset, table in presets.items() if preset not in ("tiny", "small"))
