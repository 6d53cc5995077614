"""The Python surface: plain keywords, mappings, texts, and a run that shows what it is."""

import json

import numpy as np
import pytest

import stemma
from stemma.config import as_texts, parse_settings
from stemma.errors import DataError, UsageError

TEXTS = ["the cat sat on the mat .\nthe dog sat on the log .", "今天天气很好。我们去公园看花。", "the cat ran home ."] * 30
SMALL = {"model.width": 12, "tokenizer": {"min_count": 1}, "training.steps": 60}


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    return stemma.pretrain("word2vec", texts=iter(TEXTS), out=tmp_path_factory.mktemp("runs") / "vectors", preset="tiny", settings=SMALL)


def test_texts_are_documents_like_those_of_a_file(vectors, tmp_path):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    (tmp_path / "t.jsonl").write_text(lines, encoding="utf-8")
    settings = ["model.width=12", "tokenizer.min_count=1", "training.steps=60"]
    other = stemma.pretrain("word2vec", tmp_path / "t.jsonl", out=tmp_path / "run", preset="tiny", settings=settings)
    assert np.array_equal(other.word_vectors(), vectors.word_vectors())
    again = stemma.pretrain("word2vec", texts=list(TEXTS), out=vectors.path, preset="tiny", settings=SMALL)
    assert np.array_equal(again.word_vectors(), vectors.word_vectors())


@pytest.mark.parametrize("reading", [{"encoding": "gb18030"}, {"format": "sentences", "documents": "file"}, {"field": "body"}])
def test_texts_to_go_on_with_are_read_as_they_are_kept_and_not_as_the_earlier_files(tmp_path, reading):
    codec = reading.get("encoding", "utf-8")
    text = "\n".join(json.dumps({"body": line}) for line in TEXTS) if "field" in reading else "\n\n".join(TEXTS)
    (tmp_path / f"text.{'jsonl' if 'field' in reading else 'txt'}").write_text(text, encoding=codec)
    (file,) = tmp_path.iterdir()
    first = stemma.pretrain("word2vec", file, out=tmp_path / "first", preset="tiny", settings={**SMALL, "corpus": reading})
    second = stemma.pretrain(
        "word2vec", texts=["猫坐在垫子上 ünder", "the cat ran home ."], out=tmp_path / "second", continue_from=first.path
    )
    words = {*second.tokenizer.tokens}
    assert second.folder.ledger["characters"]["documents"] == 2 and {"ünder", "猫", "cat"} <= words and "text" not in words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "neither a corpus nor texts"),
        ({"corpus": "x.txt", "texts": ["a"]}, "both a corpus and texts"),
        ({"texts": "the cat"}, "letter by letter"),
        ({"texts": ["the cat", None]}, r"texts\[1\] is None"),
        ({"texts": ["the cat"], "settings": "model.width=12"}, "settings is one string"),
        ({"texts": ["the cat"], "settings": {"model.widht": 12}}, "did you mean 'width'"),
    ],
)
def test_what_makes_no_sense_is_reported(options, message, tmp_path):
    with pytest.raises((UsageError, DataError), match=message):
        stemma.pretrain("word2vec", out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_mapping_of_settings_says_what_texts_say():
    settings = {"model": {"width": 64, "activation": "gelu"}, "training.betas": (0.9, 0.95), "tokenizer": "word", "corpus.field": '"'}
    texts = ["model.width=64", 'model.activation="gelu"', "training.betas=[0.9, 0.95]", 'tokenizer="word"', r'corpus.field="\""']
    assert list(as_texts(settings)) == texts
    assert parse_settings(as_texts(settings))["corpus"] == {"field": '"'}


def test_a_run_shows_what_it_is(vectors):
    assert repr(vectors).startswith(f"<word2vec run at {vectors.path}: ")
    assert "nearest" in repr(vectors)
    assert "<th style='text-align:left'>generation</th><td>skip-gram and CBOW word vectors" in vectors._repr_html_()


def test_a_run_kept_in_memory_says_that_it_has_no_folder(vectors):
    kept = stemma.Run(None, vectors.row, vectors.tokenizer, vectors.network)
    assert "kept in memory" in repr(kept) and "<td>kept in memory</td>" in kept._repr_html_()
    for ask in (lambda: kept.path, lambda: kept.config):
        with pytest.raises(UsageError, match="a run kept in memory"):
            ask()


def test_words_of_a_run(vectors):
    assert "cat" in vectors and "zebra" not in vectors
    assert vectors["cat"].shape == (12,)
    assert np.linalg.norm(vectors["cat"]) == pytest.approx(1)
    other, cosine = vectors.nearest("cat", 1)[0]
    assert vectors.similarity("cat", other) == pytest.approx(cosine, abs=1e-6)
    with pytest.raises(DataError, match="not in the vocabulary"):
        vectors["zebra"]


def test_compare_takes_plain_keywords(tmp_path):
    (tmp_path / "c.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    rows = "".join(f"{label}\t{text} {n}\n" for n in range(12) for label, text in (("en", "the cat"), ("zh", "天气 很好")))
    (tmp_path / "t.tsv").write_text("label\ttext\n" + rows, encoding="utf-8")
    options = {"train": tmp_path / "t.tsv", "dev": tmp_path / "t.tsv", "out": tmp_path / "out", "generations": ["word2vec"]}
    few = {"preset": "tiny", "budget_tokens": 500, "modes": ["frozen"], "seeds": 1, "trials": 1}
    results = stemma.compare(tmp_path / "c.txt", **options, **few, settings={"tokenizer.min_count": 1})
    assert [row.name for row in results.generations] == ["word2vec"]
    with pytest.raises(UsageError, match="did you mean 'budget_tokens'"):
        stemma.compare(tmp_path / "c.txt", **options, budget_token=5)


def test_a_fine_tuning_takes_plain_examples(vectors, tmp_path):
    pairs = [(label, f"{text} {n}") for n in range(10) for label, text in (("en", "the cat sat"), ("zh", "天气 很好 公园"))]
    (tmp_path / "t.tsv").write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in pairs), encoding="utf-8")
    of_file = stemma.finetune(vectors, train=tmp_path / "t.tsv", frozen=True, settings={"transfer.seeds": [1]})
    of_pairs = stemma.finetune(vectors, train=pairs, frozen=True, settings=["transfer.seeds=[1]"])
    of_mappings = stemma.finetune(vectors, train=[{"label": a, "text": b} for a, b in pairs], frozen=True, settings={"seeds": [1]})
    found = [fitted.predict(["the cat", "公园"])[1] for fitted in (of_file, of_pairs, of_mappings)]
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])


PROGRAM = """
import numpy as np
import stemma

run = stemma.load("runs/bert", stemma.Run)
vectors: np.ndarray = run.embed(["a list"], normalise=True)
classifier = stemma.load("runs/topics", kind=stemma.Classifier)
labels, shares = classifier.predict(["a list"])
stemma.load("runs/any").embed(["a list"])
pretrained: stemma.Run = stemma.pretrain("gpt", texts=["a text"], out="runs/gpt", settings={"training.tokens": 2000})
"""


def test_a_users_program_type_checks(tmp_path):
    import subprocess
    import sys

    (tmp_path / "right.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(PROGRAM + 'run.predict(["a list"])\nclassifier.fill("a [MASK]")\n', encoding="utf-8")
    skipped = "".join(
        f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in ("torch", "scipy", "sympy")
    )  # most of the time, none of our types
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\n{skipped}", encoding="utf-8")
    errors = {}
    for name in ("right", "wrong"):
        command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), f"{name}.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        errors[name] = [line for line in done.stdout.splitlines() if line.startswith(name)]
    assert errors["right"] == []
    assert [line.partition("error: ")[2] for line in errors["wrong"]] == [
        '"Run" has no attribute "predict"  [attr-defined]', '"FittedRun" has no attribute "fill"  [attr-defined]',
    ]  # fmt: skip


def test_load_opens_what_is_asked_for(vectors):
    assert isinstance(stemma.load(vectors.path, stemma.Run), stemma.Run)
    with pytest.raises(UsageError, match=r"was pre-trained.*ask for stemma.Run"):
        stemma.load(vectors.path, stemma.Classifier)
    with pytest.raises(UsageError, match=r"kind = 'run'"):
        stemma.load(vectors.path, "run")


def test_what_is_no_path_is_named(tmp_path):
    for options in ({"train": [("a", "one")], "dev": "dev.tsv"}, {"train": "train.tsv", "dev": {"label": "a"}}):
        with pytest.raises(UsageError, match=r"is a (list|dict)\. .*to_csv"):
            stemma.compare("corpus.txt", out=tmp_path / "out", **options)
    with pytest.raises(DataError, match="no such file"):
        stemma.pretrain("ngram", np.array(["a text", "二"]), out=tmp_path / "run")
