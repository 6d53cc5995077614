"""What `convert` writes opens in the programs it is written for, and says the same there."""

import numpy as np
import pytest

from stemma.cli.main import main
from stemma.errors import UsageError
from stemma.export.formats import convert
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

ENGLISH = ["the cat sat on the mat", "a dog and a cat ran home", "the dog sat on a log"]
CHINESE = ["今天天气很好", "我们去公园看花", "公园里的花很好看"]
TEXTS = ["the cat ran home", "公园里 a dog 很好", "x"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A tiny run of each generation that has a format, on English and Chinese."""
    folder = tmp_path_factory.mktemp("runs")
    corpus = folder / "corpus.txt"
    corpus.write_text("".join(f"{line}\n{other}\n\n" for line, other in zip(ENGLISH * 20, CHINESE * 20, strict=True)), encoding="utf-8")
    settings = {
        "ngram": ["order=3"],
        "word2vec": ["model.width=20", "min_count=1", "training.steps=3"],
        "gpt": ["model.width=20", "heads=2", "inner=80", "vocab_size=400", "training.steps=2", "training.precision=fp32"],
        "bert": ["model.width=20", "heads=2", "inner=24", "vocab_size=200", "training.steps=2", "training.precision=fp32"],
    }
    for name, chosen in settings.items():
        pretrain(Request.of(name, corpus, preset="tiny", settings=[*chosen, "training.held_out=0"]), out=folder / name)
    return folder


@pytest.mark.parametrize("name", ["gpt", "bert"])
def test_a_hugging_face_folder_gives_the_same_states(runs, tmp_path, name):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    convert(runs / name, tmp_path / name, "huggingface")
    model = transformers.AutoModel.from_pretrained(tmp_path / name).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / name)
    run = Run.open(runs / name)
    for text, ours in zip(TEXTS, run.vectors(TEXTS), strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        framed, _ = run.network.frame(ours.ids.tolist())
        assert encoded["input_ids"][0].tolist() == framed
        with torch.no_grad():
            theirs = model(**encoded).last_hidden_state[0].numpy()
        start = framed.index(int(ours.ids[0]))
        np.testing.assert_allclose(ours.layers[-1], theirs[start : start + len(ours.ids)], atol=1e-5)


def test_bert_pairs_are_framed_with_types(runs, tmp_path):
    transformers = pytest.importorskip("transformers")
    convert(runs / "bert", tmp_path / "bert", "huggingface")
    run = Run.open(runs / "bert")
    encoded = transformers.AutoTokenizer.from_pretrained(tmp_path / "bert")("the cat", "公园")
    ids = [run.tokenizer.encode(text).tolist() for text in ("the cat", "公园")]
    assert (encoded["input_ids"], encoded["token_type_ids"]) == run.network.frame(*ids)


def test_word_vectors_open_in_gensim(runs, tmp_path):
    gensim = pytest.importorskip("gensim.models")
    convert(runs / "word2vec", tmp_path / "vectors.txt", "word2vec")
    theirs, ours = gensim.KeyedVectors.load_word2vec_format(tmp_path / "vectors.txt"), Run.open(runs / "word2vec")
    for word in ("cat", "公园"):
        np.testing.assert_allclose(theirs[word], ours.folder.tensors()["input"][ours.tokenizer.id(word)], rtol=1e-4, atol=1e-7)


def test_arpa_scores_alike_in_kenlm(runs, tmp_path):
    kenlm = pytest.importorskip("kenlm")
    convert(runs / "ngram", tmp_path / "model.arpa", "arpa")
    run, theirs = Run.open(runs / "ngram"), kenlm.Model(str(tmp_path / "model.arpa"))
    for text in TEXTS:
        words = " ".join(run.tokenizer.token(i) for i in run.tokenizer.encode(text).tolist())
        assert run.score([text])[0].nats == pytest.approx(-theirs.score(words) * np.log(10), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "to", "mend"),
    [
        ("ngram", "huggingface", "ngram can be written as arpa"),
        ("bert", "arpa", "bert can be written as huggingface"),
        ("bert", "hugingface", "did you mean 'huggingface'"),
    ],
)
def test_a_format_that_does_not_fit_names_the_one_that_does(runs, tmp_path, name, to, mend):
    with pytest.raises(UsageError, match=mend):
        convert(runs / name, tmp_path / "x", to)


def test_the_verb_names_the_files(runs, tmp_path, capsys):
    assert main(["convert", str(runs / "ngram"), str(tmp_path / "m.arpa"), "--to", "arpa"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'm.arpa'}\n"
