"""Ways of fine-tuning, each carried through to its run folder: which layers are loaded, which stand still, what is told of it."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.transfer.test_journal import Killed, same

from stemma.checkpoint import RunFolder
from stemma.objectives.batch import seed_for
from stemma.tokens import files
from stemma.transfer import journal
from stemma.transfer.backbone import fresh
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config

FAST = Config(precision="fp32", seeds=(1,), budget=1, epochs=1, updates=5, threads=1, batch_size=16)
WAYS = {
    "loaded": {"load_layers": "0-1"},
    "still": {"freeze_layers": "0", "layer_decay": 0.5, "unfreeze": 0.5},
}


def ways(**settings) -> Config:
    return dataclasses.replace(FAST, **settings)


def test_all_layers_loaded_is_ordinary_fine_tuning_bit_for_bit(bert, train_examples):
    ordinary, loaded = (finetune(bert, train=train_examples[:60], config=ways(load_layers=text)) for text in ("", "0-4"))
    theirs = ordinary.model.arrays()
    assert all(np.array_equal(array, theirs[name]) for name, array in loaded.model.arrays().items())
    assert ordinary.facts["loaded"] == loaded.facts["loaded"]


def test_what_is_not_loaded_begins_as_drawn(bert, train_examples):
    """Frozen where they are loaded: the lower layers end as the run has them, the upper ones moved from where scratch begins."""
    config = ways(load_layers="0-1", freeze_layers="0-1", updates=1, warmup=1.0)  # one update, at rate 0
    result = finetune(bert, train=train_examples[:16], config=config)
    run, drawn = bert.network.state_dict(), fresh(result.assignment, seed_for(1, "network")).state_dict()
    for name, array in result.model.arrays().items():
        lower = not name.startswith(("task.", "blocks.1.", "blocks.2.", "pooler.", "masked_head.", "next_head."))
        if not name.startswith("task."):
            assert torch.equal(torch.tensor(array), (run if lower else drawn)[name]), name
    facts = result.facts
    assert "blocks.0.attention.qkv.weight" in facts["loaded"] and "blocks.1.attention.qkv.weight" in facts["new"]
    assert facts["ways"] == ["layers 0-1 were loaded, those above them drawn anew", "layers 0-1 stood still"]


@pytest.mark.parametrize("way", WAYS)
def test_killed_after_every_save_it_ends_in_the_same_run(bert, train_examples, dev_examples, tmp_path, monkeypatch, way):
    monkeypatch.setattr(journal, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(files, "GRACE_SECONDS", 0.0)
    options = {"train": train_examples[:60], "dev": dev_examples[:20], "config": ways(**WAYS[way], seeds=(1, 2))}
    finetune(bert, **options, out=tmp_path / "whole")
    save = RunFolder.save_state

    def save_and_die(folder: RunFolder, *state) -> None:
        save(folder, *state)
        raise Killed

    monkeypatch.setattr(RunFolder, "save_state", save_and_die)
    deaths = 0
    while not (tmp_path / "killed" / "model.safetensors").exists():
        try:
            finetune(bert, **options, out=tmp_path / "killed")
        except Killed:
            deaths += 1
    assert deaths >= 5 and same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("way", WAYS)
def test_the_card_and_the_config_tell_the_way(bert, train_examples, tmp_path, way):
    finetune(bert, train=train_examples[:60], config=ways(**WAYS[way]), out=tmp_path / "run")
    transfer, card = RunFolder.open(tmp_path / "run").config["sections"]["transfer"], (tmp_path / "run" / "README.md").read_text("utf-8")
    assert {name: transfer[name] for name in WAYS[way]} == WAYS[way]
    for words in RunFolder.open(tmp_path / "run").config["task"]["ways"]:
        assert f"- {words[0].upper()}{words[1:]}." in card
