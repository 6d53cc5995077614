"""ELMo against the vectors that the paper's own program wrote (allenai/bilm-tf, tests/fixtures/model), carried over ten batches."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from stemma.layers.spelling import BEGIN, END, spell, spell_border
from stemma.lineage.elmo import Config, ELMo
from stemma.tokens.facts import TokenFacts

FIXTURE = Path(os.environ.get("STEMMA_ELMO_FIXTURE", "../shared/data/fixtures/elmo"))
h5py = pytest.importorskip("h5py", reason="the extra interop")
pytestmark = pytest.mark.skipif(not FIXTURE.exists(), reason="STEMMA_ELMO_FIXTURE names no folder with the published fixture")
BEGIN_TEXT, END_TEXT = BEGIN, END


def published() -> ELMo:
    """The network of the published weights: gates i, g, f, o there, i, f, g, o here; the forget bias lacks its 1 there."""
    options = json.loads((FIXTURE / "options.json").read_text(encoding="utf-8"))
    lstm, cnn = options["lstm"], options["char_cnn"]
    config = Config(
        characters=cnn["embedding"]["dim"], filters=tuple(number for _, number in cnn["filters"]), highways=cnn["n_highway"],
        width=lstm["projection_dim"], cells=lstm["dim"], depth=lstm["n_layers"], clip=lstm["cell_clip"], skip=lstm["use_skip_connections"],
    )  # fmt: skip
    net = ELMo(config, TokenFacts(3, {"eos": 2})).eval()
    with h5py.File(FIXTURE / "lm_weights.hdf5", "r") as file, torch.no_grad():

        def fill(parameter: torch.Tensor, array: np.ndarray) -> None:
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))

        fill(net.words.characters.weight, file["char_embed"][...])
        for place, convolve in enumerate(net.words.filters):
            fill(convolve.weight, file[f"CNN/W_cnn_{place}"][0].transpose(2, 1, 0))
            fill(convolve.bias, file[f"CNN/b_cnn_{place}"][...])
        for place, highway in enumerate(net.words.highways):
            for linear, name in ((highway.gate, "carry"), (highway.transform, "transform")):
                fill(linear.weight, file[f"CNN_high_{place}/W_{name}"][...].T)
                fill(linear.bias, file[f"CNN_high_{place}/b_{name}"][...])
        fill(net.words.project.weight, file["CNN_proj/W_proj"][...].T)
        fill(net.words.project.bias, file["CNN_proj/b_proj"][...])
        for direction, chain in enumerate((net.forward_chain, net.backward_chain)):
            for place, layer in enumerate(chain.lstms):
                cell = file[f"RNN_{direction}/RNN/MultiRNNCell/Cell{place}/LSTMCell"]
                i, g, f, o = np.split(cell["W_0"][...].T, 4)
                both = np.concatenate([i, f, g, o])
                i, g, f, o = np.split(cell["B"][...], 4)
                fill(layer.inputs, both[:, : config.width])
                fill(layer.recurrent, both[:, config.width :])
                fill(layer.bias, np.concatenate([i, f + 1, g, o]))
                fill(layer.project, cell["W_P_0"][...].T)
    return net


def border(kind: int) -> list[int]:
    """The ids of a sentence's begin or end."""
    return [kind if place == END else place for place in spell_border()]


def test_the_top_layer_is_the_published_one_with_the_state_carried() -> None:
    net = published()
    streams = json.loads((FIXTURE / "lm_embeddings_sentences.json").read_text(encoding="utf-8"))
    worst = 0.0
    for number, stream in enumerate(streams):  # rows of a batch do not meet: each stream alone
        state = [None, None]
        with h5py.File(FIXTURE / f"lm_embeddings_{number}.hdf5", "r") as expected:
            for place in range(len(stream)):
                spelled = torch.tensor([border(BEGIN_TEXT), *spell(stream[place].split()).tolist(), border(END_TEXT)])
                with torch.no_grad():
                    x = net.words(spelled)[None]
                    for direction, chain in enumerate((net.forward_chain, net.backward_chain)):
                        outputs, state[direction] = chain(x if direction == 0 else x.flip(1), state[direction])
                        found = outputs[-1] if direction == 0 else outputs[-1].flip(1)
                        gap = np.abs(found[0, 1:-1].numpy() - expected[str(place)][direction]).max()
                        worst = max(worst, gap)
    assert worst < 2e-6
