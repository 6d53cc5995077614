"""Going on from a finished run on new text: old words keep ids and vectors, new ones come after them."""

from pathlib import Path

import numpy as np
import pytest

from stemma.checkpoint import RunFolder, map_tensors
from stemma.errors import RunError, UsageError
from stemma.lineage.table import TABLE
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.rehearse import rehearse
from stemma.training.request import Request

SMALL = ["corpus.format=sentences", "tokenizer.min_count=2", "training.threads=1", "training.epochs=2", "training.held_out=0"]
OLD = ["The old sailor sat in the rain", "a story of the sea is a story of New York"] * 30
NEW = ["The old whale swam in the sea", "老水手 坐 在 雨 里", "a whale of New York once"] * 20 + ["unique"]


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "old.txt", tmp_path / "new.txt"
    for path, lines in zip(paths, (OLD, NEW), strict=True):
        path.write_text("\n".join(lines), encoding="utf-8")
    return paths


def weights(folder: RunFolder) -> dict[str, np.ndarray]:
    return map_tensors(folder.path / "model.safetensors")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], {"whale", "swam", "once", "水手"}),
        (["model.architecture=cbow", "model.output=both"], {"whale"}),
        (["model.subwords=true", "model.buckets=3000"], {"whale"}),
        (["tokenizer.phrases=1", "tokenizer.phrase_threshold=5"], {"a_whale"}),
    ],
)
def test_old_words_keep_ids_and_vectors_and_new_ones_are_added(
    texts: tuple[Path, Path], tmp_path: Path, more: list[str], expected: set[str]
) -> None:
    old, new = texts
    first = pretrain(Request.of("word2vec", old, preset="tiny", settings=[*SMALL, *more]), out=tmp_path / "first")
    still = ["training.rate=1e-30"]  # so small that nothing moves: what stands there is what was taken over
    second = pretrain(Request.of("word2vec", new, settings=still, continue_from=first.path), out=tmp_path / "second")
    before, after = Run.open(first.path), Run.open(second.path)
    known = before.tokenizer.vocab_size
    assert after.tokenizer.tokens[:known] == before.tokenizer.tokens
    added = set(after.tokenizer.tokens[known:])
    assert expected <= added and "unique" not in added and not added & set(before.tokenizer.tokens)
    a, b = weights(first), weights(second)
    for name in a.keys() & {"input", "output", "subwords"}:
        np.testing.assert_allclose(b[name][:known], a[name][:known], atol=1e-7)
    assert b["input"][[after.tokenizer.id(word) for word in expected]].any(1).all()
    own = np.bincount(np.concatenate(after.tokenizer.encode_batch(NEW)), minlength=after.tokenizer.vocab_size)
    own[:3] = 0
    own[:known] += a["counts"]
    assert np.array_equal(b["counts"], own)
    if "subwords" in a:
        trained = a["subwords"][known:].any(1)
        np.testing.assert_allclose(b["subwords"][len(b["counts"]) :][trained], a["subwords"][known:][trained], atol=1e-7)
    sections = after.config["model"], after.config["tokenizer"]
    assert sections == (before.config["model"], before.config["tokenizer"])  # the earlier run's settings, not a preset's
    card = (second.path / "README.md").read_text(encoding="utf-8")
    assert f"Continued from the run {first.path}" in card and f"| tokens added | {len(added)} |" in card


def test_it_learns_from_the_new_text_and_a_killed_one_goes_on(texts: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = texts
    first = pretrain(Request.of("word2vec", old, preset="tiny", settings=SMALL), out=tmp_path / "first")
    settings = ["training.save_seconds=1e-6", "training.batch_tokens=60"]
    whole = pretrain(Request.of("word2vec", new, settings=settings, continue_from=first.path), out=tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(fact) -> None:
        if fact.kind == "step" and fact.step == 3:
            raise Killed

    with pytest.raises(Killed):
        pretrain(Request.of("word2vec", new, settings=settings, continue_from=first.path), out=tmp_path / "killed", progress=kill)
    again = pretrain(Request.of("word2vec", new, settings=settings, continue_from=first.path), out=tmp_path / "killed")
    assert all(np.array_equal(weights(whole)[name], weights(again)[name]) for name in weights(whole))
    sailor, whale = (Run.open(whole.path).tokenizer.id(word) for word in ("sailor", "whale"))
    assert not np.array_equal(weights(whole)["output"][whale], 0 * weights(whole)["output"][whale])
    assert np.array_equal(weights(whole)["input"][sailor], weights(first)["input"][sailor])  # the new text has no sailor
    with pytest.raises(RunError, match="another --out"):  # another run to go on from is another run
        pretrain(Request.of("word2vec", new, settings=settings, continue_from=whole.path), out=tmp_path / "killed")
    plan = rehearse(Request.of("word2vec", new, continue_from=first.path))
    assert plan.vocab_size == Run.open(whole.path).tokenizer.vocab_size


def test_what_cannot_go_on_is_reported(texts: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = texts
    first = pretrain(Request.of("word2vec", old, preset="tiny", settings=SMALL), out=tmp_path / "first")
    counted = pretrain(Request.of("ngram", old, preset="tiny"), out=tmp_path / "ngram")
    refused = [
        ("nnlm", first.path, {}, "nnlm cannot go on"),
        ("gpt", first.path, {}, "is a run of word2vec"),
        ("ngram", counted.path, {}, "ngram cannot go on"),
        ("word2vec", counted.path, {}, "is a run of ngram"),
        ("word2vec", first.path, {"preset": "tiny"}, "drop the preset"),
        ("word2vec", first.path, {"settings": ["model.width=50"]}, "drop model.width"),
        ("word2vec", first.path, {"settings": ["tokenizer.lowercase=false"]}, "drop tokenizer.lowercase"),
    ]
    for generation, run, options, message in refused:
        with pytest.raises(UsageError, match=message):
            pretrain(Request.of(generation, new, continue_from=run, **options), out=tmp_path / "second")
    assert not (tmp_path / "second").exists()


TINY = {
    "lstm": ["model.width=12", "model.output=sampled", "model.negatives=20"],
    "elmo": ["model.filters=[4, 6]", "model.width=8", "model.cells=12", "model.targets=0"],
}
BLOCKS = ["model.width=16", "model.heads=2", "model.inner=20", "model.depth=2", "training.optimiser=adamw"]  # of all others
TINY["albert"] = [*BLOCKS, "model.embedding=6"]
BY_TOKEN = ("tokens.weight", "table", "bias", "masked_head.bias")
FEW = ["training.threads=1", "training.precision=fp32", "training.steps=2", "training.batch_tokens=128", *SMALL[:1], "training.held_out=0"]


CASES = [(row.name, row.tokenizer) for row in TABLE if row.continues and row.updates == "backprop" and not row.teacher]
CASES += [("lstm", "word"), ("gpt", "word"), ("albert", "wordpiece")]


@pytest.mark.parametrize(("generation", "kind"), CASES)
def test_networks_go_on_with_their_weights_bit_for_bit(texts: tuple[Path, Path], tmp_path: Path, generation: str, kind: str) -> None:
    old, new = texts
    size = {"bpe": 280, "wordpiece": 90, "unigram": 60, "word": 0}[kind]
    settings = [*FEW, *TINY.get(generation, BLOCKS), f"tokenizer.kind={kind}", f"tokenizer.vocab_size={size}"]
    first = pretrain(Request.of(generation, old, preset="tiny", settings=settings), out=tmp_path / "first")
    still = ["training.rate=1e-30", "training.weight_decay=0"]
    second = pretrain(Request.of(generation, new, settings=still, continue_from=first.path), out=tmp_path / "second")
    a, b = weights(first), weights(second)
    before, after = Run.open(first.path), Run.open(second.path)
    known, size = before.tokenizer.vocab_size, after.tokenizer.vocab_size
    assert after.tokenizer.tokens[:known] == before.tokenizer.tokens and (size > known) == (kind == "word")
    assert a.keys() == b.keys()
    for name in a.keys() - {"frequencies"}:
        assert len(b[name]) == (size if name in BY_TOKEN else len(a[name]))
        np.testing.assert_allclose(b[name][: len(a[name])], a[name], rtol=0, atol=1e-25)
        assert len(b[name]) == len(a[name]) or b[name][len(a[name]) :].any()
    if "frequencies" in a:
        own = np.bincount(np.concatenate(after.tokenizer.encode_batch(NEW)), minlength=size)
        np.testing.assert_array_equal(b["frequencies"][3:known], (a["frequencies"] + np.maximum(own[:known], 1))[3:])
    with pytest.raises(UsageError, match=r"drop model\.width"):
        pretrain(Request.of(generation, new, settings=["model.width=24"], continue_from=first.path), out=tmp_path / "third")


def test_clusters_of_a_vocabulary_take_no_new_words(texts: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = texts
    adaptive = ["model.width=12", "model.output=adaptive", "model.cutoffs=[5, 9]", "tokenizer.kind=word", "tokenizer.vocab_size=0"]
    first = pretrain(Request.of("lstm", old, preset="tiny", settings=[*FEW, *adaptive]), out=tmp_path / "first")
    known = Run.open(first.path).tokenizer.vocab_size
    with pytest.raises(UsageError, match=f"set tokenizer.vocab_size = {known}"):
        pretrain(Request.of("lstm", new, continue_from=first.path), out=tmp_path / "second")
    held = [f"tokenizer.vocab_size={known}", "training.rate=1e-30"]
    second = pretrain(Request.of("lstm", new, settings=held, continue_from=first.path), out=tmp_path / "third")
    for name in ("adaptive.words", "adaptive.ranks", "adaptive.tails.1.words.weight"):
        np.testing.assert_allclose(weights(second)[name], weights(first)[name], rtol=0, atol=1e-25)
