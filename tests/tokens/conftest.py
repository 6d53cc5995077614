"""One trained tokenizer of every kind, and small documents."""

import sys
from pathlib import Path

import pytest

from stemma.corpus.document import Document
from stemma.tokens.tokenizer import Tokenizer, train

sys.path.insert(0, str(Path(__file__).parent))
from tokens_texts import CHINESE, ENGLISH, KINDS, TEXTS, config


@pytest.fixture(scope="session")
def tokenizers() -> dict[str, Tokenizer]:
    """One tokenizer of every kind, learnt from both languages."""
    return {kind: train(iter(TEXTS), config(kind)) for kind in KINDS}


@pytest.fixture
def documents() -> list[Document]:
    """Forty documents, some with sentences that hold no token."""
    sentences = ENGLISH + CHINESE
    made = [Document(tuple(sentences[i % 10 : i % 10 + 1 + i % 4] or ("x",)), f"made:{i}") for i in range(40)]
    made[3] = Document(("\u200b", "The mill.", " "), "made:3")
    made[7] = Document((" ",), "made:7")
    made[9] = Document(("猫坐着。", "狗跑了。", "Yes!"), "made:9", joins=("", "\u3000 "))
    return made
