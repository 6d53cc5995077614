"""ELMo against the vectors that the paper's own program wrote (allenai/bilm-tf, tests/fixtures/model), carried over ten batches."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from stemma.export.published_elmo import read_elmo
from stemma.layers.spelling import BEGIN, END, spell, spell_border
from stemma.runs.opening import network_of

FIXTURE = Path(os.environ.get("STEMMA_ELMO_FIXTURE", "../shared/data/fixtures/elmo"))
h5py = pytest.importorskip("h5py", reason="the extra interop")
pytestmark = pytest.mark.skipif(not FIXTURE.exists(), reason="STEMMA_ELMO_FIXTURE names no folder with the published fixture")


@pytest.fixture(scope="module")
def net():
    found = read_elmo(FIXTURE / "lm_weights.hdf5")
    return network_of(found.row, found.config, found.tokenizer, found.arrays)


def expected(number: int, place: int) -> np.ndarray:
    """The published vectors (2, T, P) of a stream's sentence."""
    with h5py.File(FIXTURE / f"lm_embeddings_{number}.hdf5", "r") as file:
        return np.asarray(file[str(place)])


def streams() -> list[list[str]]:
    return json.loads((FIXTURE / "lm_embeddings_sentences.json").read_text(encoding="utf-8"))


def test_the_top_layer_is_the_published_one_with_the_state_carried(net) -> None:
    worst = 0.0
    for number, stream in enumerate(streams()):  # rows of a batch do not meet: each stream alone
        state = [None, None]
        for place, sentence in enumerate(stream):
            spelled = torch.tensor([spell_border(BEGIN), *spell(sentence.split()).tolist(), spell_border(END)])
            with torch.no_grad():
                x = net.words(spelled)[None]
                for direction, chain in enumerate((net.forward_chain, net.backward_chain)):
                    outputs, state[direction] = chain(x if direction == 0 else x.flip(1), state[direction])
                    found = outputs[-1] if direction == 0 else outputs[-1].flip(1)
                    worst = max(worst, np.abs(found[0, 1:-1].numpy() - expected(number, place)[direction]).max())
    assert worst < 2e-6


def test_a_sentence_by_itself_has_the_published_vectors(net) -> None:
    """The first of each stream starts from zeros there too; words that the vocabulary lacks are spelled in the batch."""
    for number, stream in enumerate(streams()):
        words, tokens = stream[0].split(), net.vocab_size
        batch = {"ids": torch.tensor([[net.end, *range(tokens, tokens + len(words))]]), "spelled": torch.from_numpy(net.spell(words))}
        with torch.no_grad():
            found = net.encode(batch)[-1][0, 1:].view(len(words), 2, -1).transpose(0, 1)
        np.testing.assert_allclose(found.numpy(), expected(number, 0), atol=2e-6)
