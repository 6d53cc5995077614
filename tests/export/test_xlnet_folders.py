"""XLNet as a Hugging Face folder and back: the states, scores and fills of the one are those of the other."""

import json

import numpy as np
import pytest
import torch

import stemma
from stemma.errors import StemmaError
from stemma.export.formats import convert
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

TEXTS = ["the cat ran home", "公园里 a dog 很好", "x"]
SIZES = ["model.width=20", "model.heads=2", "model.inner=24", "model.max_length=16", "tokenizer.vocab_size=120", "training.steps=2"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run, and the folder that is written of it."""
    folder = tmp_path_factory.mktemp("xlnet")
    lines = ["the cat sat on the mat", "今天天气很好", "a dog and a cat ran home", "公园里的花很好看", ""]
    (folder / "corpus.txt").write_text("\n".join(lines * 20) + "\n", encoding="utf-8")
    settings = [*SIZES, "training.precision=fp32", "training.threads=1", "training.held_out=0"]
    pretrain(Request.of("xlnet", folder / "corpus.txt", preset="tiny", settings=settings), out=folder / "run")
    convert(folder / "run", folder / "theirs", "huggingface")
    return folder


def test_transformers_gives_the_same_states_of_texts_and_pairs(folders):
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModel.from_pretrained(folders / "theirs").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders / "theirs")
    run = Run.open(folders / "run")
    for text, ours in zip(TEXTS, run.vectors(TEXTS), strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        assert encoded["input_ids"][0].tolist() == run.network.frame(ours.ids.tolist())[0]
        with torch.no_grad():
            theirs = model(**encoded).last_hidden_state[0].numpy()
        np.testing.assert_allclose(ours.layers[-1], theirs[: len(ours.ids)], atol=1e-5)
    pair = tokenizer("the cat", "公园")
    ids = [run.tokenizer.encode(text).tolist() for text in ("the cat", "公园")]
    assert (pair["input_ids"], pair["token_type_ids"]) == run.network.frame(*ids)


@pytest.mark.parametrize("kind", ["XLNetLMHeadModel", "XLNetModel"])
def test_a_folder_that_transformers_saved_comes_back(folders, tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    getattr(transformers, kind).from_pretrained(folders / "theirs").save_pretrained(tmp_path / kind)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / kind / name).write_bytes((folders / "theirs" / name).read_bytes())
    ours, back = Run.open(folders / "run"), stemma.load(tmp_path / kind)
    for one, other in zip(ours.vectors(TEXTS), back.vectors(TEXTS), strict=True):
        np.testing.assert_allclose(one.layers, other.layers, atol=1e-6)
    if kind == "XLNetLMHeadModel":
        assert [score.nats for score in back.score(TEXTS)] == pytest.approx([score.nats for score in ours.score(TEXTS)], rel=1e-5)
        assert back.fill("the [MASK] ran", 3) == ours.fill("the [MASK] ran", 3)
    else:
        assert not back.network.bias.any()


def test_what_is_computed_otherwise_is_refused(folders, tmp_path):
    for path in (folders / "theirs").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    for key, value in (("clamp_len", 400), ("ff_activation", "relu"), ("attn_type", "uni")):
        (tmp_path / "config.json").write_text(json.dumps({**settings, key: value}), encoding="utf-8")
        with pytest.raises(StemmaError, match=f"{key}.*choose another model"):
            stemma.load(tmp_path)
