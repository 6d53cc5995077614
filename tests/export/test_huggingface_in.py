"""A Hugging Face folder as a run answers as transformers does, and one that is none is refused with a cure."""

import json

import numpy as np
import pytest
import torch

import stemma
from stemma.cli.main import main
from stemma.errors import StemmaError
from stemma.export.formats import convert

TEXTS = ["The Café sat on the mat", "公园里 a dog 很好", "naïve 猫 x"]
WORDS = ["the", "cafe", "sat", "on", "mat", "公", "园", "a", "dog", "很", "好", "##s", "naive", "猫", "c", "##a", "x", ".", "##t"]
VOCABULARY = ["[PAD]", *(f"[unused{n}]" for n in range(9)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


@pytest.fixture
def make(tmp_path):
    """Saves a tiny BERT of transformers, of the given class, and gives it and its folder back."""
    transformers = pytest.importorskip("transformers")

    def made(kind="BertForPreTraining", dtype=torch.float32, **more):
        torch.manual_seed(3)
        sizes = {"hidden_size": 20, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 28, "initializer_range": 0.3}
        config = transformers.BertConfig(vocab_size=len(VOCABULARY), max_position_embeddings=24, **sizes, **more)
        model = getattr(transformers, kind)(config).eval()
        folder = tmp_path / kind
        model.to(dtype).save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
        return model.float(), folder

    return made


def reference_tokenizer(folder):
    from transformers import BertTokenizer

    return BertTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["BertForPreTraining", "BertForMaskedLM", "BertModel", "BertForSequenceClassification"])
def test_states_and_ids_equal_transformers(make, kind):
    model, folder = make(kind)
    run, tokenizer = stemma.load(folder, stemma.Run), reference_tokenizer(folder)  # the head of a task, if any, stays out
    for text, ours in zip(TEXTS, run.vectors(TEXTS), strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        assert encoded["input_ids"][0].tolist() == run.network.frame(ours.ids.tolist())[0]
        with torch.no_grad():
            states = getattr(model, "bert", model)(**encoded).last_hidden_state[0].numpy()
        np.testing.assert_allclose(ours.layers[-1], states[1:-1], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_fills_equal_transformers(make, dtype):
    model, folder = make("BertForMaskedLM", dtype)
    run = stemma.load(folder)
    encoded = reference_tokenizer(folder)("the [MASK] sat", return_tensors="pt")
    with torch.no_grad():
        theirs = torch.softmax(model(**encoded).logits[0, 2], -1).topk(5)
    (ours,) = run.fill_ids("the [MASK] sat")
    assert [place for place, _ in ours] == theirs.indices.tolist()
    np.testing.assert_allclose([p for _, p in ours], theirs.values, atol=1e-5)


def test_without_a_head_for_masked_tokens_fill_refuses(make, tmp_path):
    _, folder = make("BertModel")
    assert main(["convert", str(folder), str(tmp_path / "run"), "--to", "run"]) == 0
    for run in (stemma.load(folder), stemma.load(tmp_path / "run")):
        assert run.embed(["the cat"]).shape == (1, 20)
        with pytest.raises(StemmaError, match="saved with its head"):
            run.fill("the [MASK]")


def test_names_of_old_are_read(make):
    from safetensors.numpy import load_file, save_file

    _, folder = make("BertModel")
    before = stemma.load(folder).embed(TEXTS)
    old = load_file(folder / "model.safetensors")
    new = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): a for name, a in old.items()}
    save_file({**new, "embeddings.position_ids": np.arange(24)[None]}, folder / "model.safetensors")
    np.testing.assert_array_equal(stemma.load(folder).embed(TEXTS), before)


@pytest.mark.parametrize(("kind", "dtype"), [("OpenAIGPTLMHeadModel", torch.float32), ("OpenAIGPTModel", torch.bfloat16)])
def test_a_gpt_that_transformers_saved_answers_as_there(tmp_path, kind, dtype):
    """States of every token, and with a head the nats of a text: GPT's ids are those of a byte-level BPE beside the weights."""
    transformers = pytest.importorskip("transformers")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the cat sat on the mat\n今天天气很好\n\n" * 30, encoding="utf-8")
    own = stemma.pretrain("gpt", corpus, out=tmp_path / "own", preset="tiny", settings=["vocab_size=300", "training.steps=1", "held_out=0"])
    convert(own.path, tmp_path / "hf", "huggingface")
    torch.manual_seed(4)
    sizes = {"n_positions": 24, "n_embd": 20, "n_layer": 3, "n_head": 4, "afn": "gelu", "initializer_range": 0.3}
    model = getattr(transformers, kind)(transformers.OpenAIGPTConfig(vocab_size=own.tokenizer.vocab_size, **sizes)).eval()
    model.to(dtype).save_pretrained(tmp_path / "hf")
    model, run = model.float(), stemma.load(tmp_path / "hf")
    for text, ours in zip(TEXTS, run.vectors(TEXTS), strict=True):
        framed = torch.tensor([run.network.frame(ours.ids.tolist())[0]])
        with torch.no_grad():
            answer = model(framed, output_hidden_states=True)
        np.testing.assert_allclose(ours.layers[-1], answer.hidden_states[-1][0, 1:].numpy(), atol=1e-5)
        if kind == "OpenAIGPTLMHeadModel":
            nats = torch.nn.functional.cross_entropy(answer.logits[0, :-1], framed[0, 1:], reduction="sum")
            by_token = run.score_tokens(text)
            assert sum(token.nats for token in by_token[: len(ours.ids)]) == pytest.approx(float(nats), rel=1e-5)


@pytest.mark.parametrize("name", ["gpt", "gpt2", "bert", "bert-wwm"])
def test_there_and_back_gives_the_same_bits(tmp_path, name):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the cat sat on the mat\n今天天气很好\n\n" * 30, encoding="utf-8")
    settings = ["model.width=20", "heads=2", "inner=80", "vocab_size=300", "training.steps=2", "precision=fp32", "held_out=0"]
    run = stemma.pretrain(name, corpus, out=tmp_path / "run", preset="tiny", settings=settings)
    convert(run.path, tmp_path / "hf", "huggingface")
    convert(tmp_path / "hf", tmp_path / "back", "run")
    back = stemma.load(tmp_path / "back")
    assert back.row.name == name
    np.testing.assert_array_equal(back.embed(TEXTS), run.embed(TEXTS))
    if "fill" in back.row.abilities:
        assert back.fill("the [MASK] sat") == run.fill("the [MASK] sat")
    else:
        assert back.score(TEXTS) == run.score(TEXTS)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model_type": "gpt_neo"}, "bert, openai-gpt, gpt2"),
        ({"model_type": []}, "one of bert"),
        ({"hidden_act": "relu"}, "gelu"),
        ({"hidden_size": 10**9}, "width"),
        ({"num_hidden_layers": 10**6}, "depth"),
        ({"hidden_size": 40000}, "20 numbers a token"),
        ({"num_attention_heads": 3}, "heads"),
        ({"hidden_size": "x"}, "width"),
        ({"hidden_dropout_prob": None}, "config.json"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(make, change, expected):
    _, folder = make()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(StemmaError, match=expected):
        stemma.load(folder)


def test_a_verb_that_asks_for_a_run_tells_how_to_make_one(make, capsys):
    _, folder = make()
    assert main(["fill", str(folder), "--text", "the [MASK]"]) == 3
    assert f"stemma convert {folder} RUN --to run" in capsys.readouterr().err


def test_a_pickle_is_refused_with_the_cure(make):
    _, folder = make()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(StemmaError, match="save_pretrained"):
        stemma.load(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 40, (2).to_bytes(8, "little") + b"[]", (20).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}}']
)
def test_weights_that_are_none_are_refused(make, content):
    _, folder = make()
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(StemmaError):
        stemma.load(folder)
