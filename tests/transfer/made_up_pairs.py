"""Pairs that a tiny network learns in seconds, English to Chinese word by word, and such networks with a vocabulary for both."""

import numpy as np
import torch

from stemma.lineage.table import find
from stemma.runs.run import Run
from stemma.tasks.translate import Translated
from stemma.tokens.tokenizer import Config as TokenizerConfig
from stemma.tokens.tokenizer import train as train_tokenizer

ENGLISH = ["one", "two", "three", "four", "red", "blue", "dogs", "cats", "run", "sleep"]
CHINESE = ["一只", "两只", "三只", "四只", "红色", "蓝色", "狗", "猫", "跑步", "睡觉"]
SIZES = {
    "transformer": {"width": 32, "depth": 1, "heads": 2, "inner": 64, "max_length": 24, "dropout": 0.0, "norm": "pre"},
    "seq2seq": {"width": 64, "cells": 96, "attention": "dot", "max_length": 24},
}
RATES = {"transformer": 1e-2, "seq2seq": 2e-2}


def pairs(count: int, seed: int) -> list[Translated]:
    """Sentences of two words, word by word in Chinese."""
    rng = np.random.default_rng(seed)
    words = [rng.choice(len(ENGLISH), 2) for _ in range(count)]
    return [Translated(" ".join(ENGLISH[k] for k in both), "".join(CHINESE[k] for k in both)) for both in words]


def encoder_decoder(name: str, dropout: float = 0.0) -> Run:
    """A randomly drawn run whose vocabulary has both languages."""
    texts = [side for pair in pairs(400, 1) for side in (pair.source, pair.target)]
    tokenizer = train_tokenizer(iter(texts), TokenizerConfig(kind="bpe", vocab_size=400))
    row = find(name)
    torch.manual_seed(7)
    return Run(
        None, row, tokenizer, row.load_network()(row.sections()["model"](**SIZES[name] | {"dropout": dropout}), tokenizer.facts()).eval()
    )
