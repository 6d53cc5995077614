"""GPT-2 folders as they are published: the separator last, no space before a text, the vocabulary and the merges in files of their own."""

import json

import numpy as np
import pytest
import torch

import stemma
from stemma.corpus.document import Document
from stemma.errors import StemmaError
from stemma.evaluation.measures.perplexity import perplexity
from stemma.export.formats import convert
from stemma.runs.decoding import Decoding

transformers = pytest.importorskip("transformers")

LINES = ["the cat sat on the mat, didn't it?", "今天天气很好，我们去公园看花", "She'LL read GPT-2 in 2019 🌸", "  two  spaces\n\tand a tab"]
TEXTS = [*LINES, " the cat", "naïve 猫 x", "<|endoftext|> the", "the <|endoftext|>", "🦭", "a\u3000b"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Saves a tiny GPT-2 of transformers, of the given class, and gives it and its folder back."""
    from tokenizers import ByteLevelBPETokenizer

    home = tmp_path_factory.mktemp("published")
    (home / "lines.txt").write_text("\n".join(LINES * 5), encoding="utf-8")
    rust = ByteLevelBPETokenizer()
    rust.train(str(home / "lines.txt"), vocab_size=330, show_progress=False)
    rust.save_model(str(home))
    vocabulary = json.loads((home / "vocab.json").read_text(encoding="utf-8"))
    vocabulary["<|endoftext|>"] = len(vocabulary)

    def made(kind="GPT2LMHeadModel", dtype=torch.float32, **more):
        torch.manual_seed(4)
        sizes = {"n_positions": 64, "n_embd": 20, "n_layer": 3, "n_head": 4, "n_inner": 52, "initializer_range": 0.3}
        config = transformers.GPT2Config(vocab_size=len(vocabulary), **sizes, **more)
        model, folder = getattr(transformers, kind)(config).eval(), home / f"{kind}-{dtype}"
        model.to(dtype).save_pretrained(folder)
        (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        (folder / "merges.txt").write_bytes((home / "merges.txt").read_bytes())
        return model.float(), folder

    return made


def ids_of_transformers(folder):
    """The ids of text that is text, whatever it writes."""
    tokenizer = transformers.GPT2Tokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    return lambda text: tokenizer(text, split_special_tokens=True)["input_ids"]


@pytest.mark.parametrize(("kind", "dtype"), [("GPT2LMHeadModel", torch.float32), ("GPT2Model", torch.bfloat16)])
def test_a_folder_answers_as_transformers_does(published, kind, dtype):
    model, folder = published(kind, dtype)
    run, ids = stemma.load(folder), ids_of_transformers(folder)
    end = run.network.end
    assert run.row.name == "gpt2" and run.tokenizer.token(end) == "<|endoftext|>" and end == run.tokenizer.vocab_size - 1
    for text, ours in zip(TEXTS, run.vectors(TEXTS), strict=True):
        assert ours.ids.tolist() == ids(text) and end not in ours.ids
        framed = torch.tensor([run.network.frame(ours.ids.tolist())[0]])
        with torch.no_grad():
            answer = model(framed, output_hidden_states=True)
        np.testing.assert_allclose(ours.layers[-1], answer.hidden_states[-1][0, 1:].numpy(), atol=1e-5)
        if kind == "GPT2LMHeadModel":
            nats = torch.nn.functional.cross_entropy(answer.logits[0, :-1], framed[0, 1:], reduction="sum")
            by_token = run.score_tokens(text)
            assert sum(token.nats for token in by_token[: len(ours.ids)]) == pytest.approx(float(nats), rel=1e-5)


def test_texts_come_back_and_sentences_are_parted(published, monkeypatch):
    """No space is put before a text, nor lost there; one stands between the sentences of a document."""
    run = stemma.load(published()[1])
    for text in TEXTS:
        assert run.tokenizer.decode(run.tokenizer.encode(text)) == text
    alone = [ids.tolist() for ids in run.tokenizer.encode_batch(TEXTS)]
    monkeypatch.setattr("stemma.tokens.tokenizer.AT_ONCE", 8)  # as long texts are cut
    assert [ids.tolist() for ids in run.tokenizer.encode_batch(TEXTS)] == alone
    parts = Document(("the cat sat", "on the mat", "今天", "天气"), "x:1", joins=(" ", " ", ""))
    whole = Document((parts.text,), "x:2")
    one, other = run.score_documents([parts, whole])
    assert one.tokens == other.tokens and one.nats == pytest.approx(other.nats, rel=1e-6)
    assert run.tokenizer.give_back(parts.sentences, parts.adjoining) == parts.text
    assert perplexity(run, [parts])["spacing_nats"] == 0


def test_old_files_with_masks_among_the_weights_are_read(published):
    from safetensors.numpy import load_file, save_file

    _, folder = published("GPT2Model")
    before, weights = stemma.load(folder).embed(TEXTS), load_file(folder / "model.safetensors")
    masks = {f"h.{n}.attn.bias": np.tril(np.ones((1, 1, 64, 64), np.float32)) for n in range(3)}
    fills = {f"h.{n}.attn.masked_bias": np.array(-1e4, np.float32) for n in range(3)}
    save_file({**weights, **masks, **fills}, folder / "model.safetensors")
    np.testing.assert_array_equal(stemma.load(folder).embed(TEXTS), before)


def test_through_a_run_and_back_it_is_the_same_folder(published, tmp_path):
    model, folder = published()
    convert(folder, tmp_path / "run", "run")
    convert(tmp_path / "run", tmp_path / "back", "huggingface")
    run = stemma.load(tmp_path / "run")
    np.testing.assert_allclose(stemma.load(tmp_path / "back").embed(TEXTS), run.embed(TEXTS), atol=1e-6)  # attention by another path
    for name, tensor in transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back").state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    ids, back = ids_of_transformers(folder), transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    for text in LINES:
        assert back(text)["input_ids"] == [run.network.end, *ids(text)]
    assert json.loads((tmp_path / "back/vocab.json").read_text(encoding="utf-8")).items() >= {"<|endoftext|>": run.network.end}.items()
    theirs, ours = ((place / "merges.txt").read_text(encoding="utf-8").splitlines()[1:] for place in (folder, tmp_path / "back"))
    assert ours == theirs
    (tmp_path / "back/tokenizer.json").unlink()  # the two files are enough
    again = stemma.load(tmp_path / "back").tokenizer
    assert [again.encode(text).tolist() for text in TEXTS] == [run.tokenizer.encode(text).tolist() for text in TEXTS]


def test_no_half_of_a_character_is_streamed(published):
    run, options = stemma.load(published()[1]), Decoding(temperature=1.0)
    for seed in range(3):
        pieces = list(run.stream("今天", length=30, options=options, seed=seed))
        assert "\ufffd" not in "".join(pieces)
        assert "今天" + "".join(pieces) == run.generate("今天", length=30, options=options, seed=seed)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"activation_function": "gelu"}, "gelu_new"),
        ({"scale_attn_by_inverse_layer_idx": True}, "False: nothing else"),
        ({"layer_norm_epsilon": 1e-6}, "1e-05"),
        ({"n_inner": 40}, "check that config.json belongs to them"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(published, change, expected):
    _, folder = published()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(StemmaError, match=expected):
        stemma.load(folder)


def test_a_head_of_its_own_is_refused(published):
    _, folder = published(tie_word_embeddings=False)
    with pytest.raises(StemmaError, match="decoder tied to the token table"):
        stemma.load(folder)


@pytest.mark.parametrize(
    ("name", "content"), [("merges.txt", "#version: 0.2\nĠ t h\n"), ("merges.txt", "zz qq\n"), ("vocab.json", '{"a": 0}')]
)
def test_merges_that_do_not_fit_are_refused(published, name, content):
    _, folder = published()
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(StemmaError, match="download the folder again"):
        stemma.load(folder)
