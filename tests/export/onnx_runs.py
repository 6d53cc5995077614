"""Runs of tiny networks that have learnt nothing, kept in memory: what a file must agree with needs no sense."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from stemma.layers.weights import torch_uniform
from stemma.lineage.table import TABLE, Generation
from stemma.runs.run import Run
from stemma.tokens.settings import Config
from stemma.tokens.tokenizer import Tokenizer, train

ENGLISH = ["the old sailor told the young sailor a story of the sea", "the cat of the old sailor sat in the rain 🌧"]
CHINESE = ["老水手给年轻的水手讲了一个故事", "大海的故事就是雨的故事"]
NETWORKS = [row for row in TABLE if row.learns == "descend"]
VOCABULARY = {"wordpiece": 96, "unigram": 96, "bpe": 300}


def tokenizer_of(row: Generation) -> Tokenizer:
    size = VOCABULARY.get(row.tokenizer, 60)

    def texts() -> Iterator[str]:
        yield from (ENGLISH + CHINESE) * 3

    return train(texts(), Config(kind=row.tokenizer, vocab_size=size))


def made(row: Generation, **sizes) -> Run:
    """A run of the row's tiny preset, with these settings of its model."""
    tokenizer = tokenizer_of(row)
    config = replace(row.model_config()(**row.presets()["tiny"].get("model", {})), **sizes)
    facts = tokenizer.facts(np.arange(1, tokenizer.vocab_size + 1))
    torch.manual_seed(5)
    if row.updates == "by hand":
        return Run(None, row, tokenizer, row.load_network().drawn(config, facts, torch_uniform))
    network = row.new_module(row.load_network().settle(config, torch.device("cpu")), facts).eval()
    for parameter in network.parameters():  # what begins at zero would hide what is wrong
        parameter.data.add_(0.05 * torch.randn(parameter.shape))
    return Run(None, row, tokenizer, network)
