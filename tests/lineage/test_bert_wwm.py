"""BERT-wwm is BERT's network with other masks."""

import pytest
import torch

from stemma.config import resolve
from stemma.lineage import bert
from stemma.lineage.table import find
from stemma.tokens.facts import TokenFacts

ROW = find("bert-wwm")


def test_its_presets_are_berts_but_for_what_is_masked() -> None:
    own, theirs = ROW.presets(), find("bert").presets()
    assert ROW.load_network() is bert.BERT and ROW.sections() == find("bert").sections()
    for name in ("tiny", "small"):
        assert own[name]["objective"].pop("units") == "words"
        assert own[name] == theirs[name]


@pytest.mark.parametrize(("preset", "parameters"), [("base", 102_267_648), ("large", 325_522_432)])
def test_sizes_of_the_published_networks(preset: str, parameters: int) -> None:
    """Counted by hand, with the 21,128 tokens of Google's Chinese BERT; the encoder with its pooler, without heads."""
    tables = ROW.presets()[preset]
    model = resolve({"model": ROW.model_config()}, (preset, {"model": tables["model"]}))["model"]
    with torch.device("meta"):
        net = ROW.load_network()(model, TokenFacts(tables["tokenizer"]["vocab_size"], {"pad": 0, "cls": 1, "sep": 2, "mask": 3}))
    assert sum(p.numel() for name, p in net.named_parameters() if "head" not in name) == parameters
