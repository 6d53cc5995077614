"""A token store made of nothing but numbers."""

from types import SimpleNamespace

import numpy as np
import pytest


def made_store(sentences_per_document: list[list[int]], vocab_size: int = 1000) -> SimpleNamespace:
    """A store whose documents have sentences of these lengths, in words of 1 to 4 tokens; ids from 10 on, so that specials stand out."""
    rng = np.random.default_rng(0)
    lengths = [length for document in sentences_per_document for length in document]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    documents = np.concatenate([[0], np.cumsum([len(d) for d in sentences_per_document])]).astype(np.int64)
    ids = rng.integers(10, vocab_size, starts[-1]).astype(np.uint16)
    begins = np.zeros(len(ids), bool)
    begins[np.cumsum(rng.integers(1, 5, len(ids)))[:-1].clip(max=len(ids) - 1)] = True
    begins[starts[:-1]] = True
    return SimpleNamespace(ids=ids, sentence_starts=starts, document_starts=documents, word_starts=lambda a, b: begins[a:b])


@pytest.fixture
def store() -> SimpleNamespace:
    """60 documents of 1 to 40 sentences of 1 to 59 tokens."""
    rng = np.random.default_rng(1)
    return made_store([rng.integers(1, 60, rng.integers(1, 41)).tolist() for _ in range(60)])
