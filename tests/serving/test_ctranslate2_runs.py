"""What CTranslate2 writes is what PyTorch writes, token for token; what it does otherwise is refused."""

import pytest
from tests.export.onnx_runs import CHINESE, ENGLISH, fitted, made

from stemma.errors import DataError, UsageError
from stemma.export.ctranslate2 import write_ctranslate2
from stemma.lineage.table import find
from stemma.runs.decoding import Decoding
from stemma.serving.engines import through, tier_of

pytest.importorskip("ctranslate2")

GREEDY, BEAMS = Decoding(temperature=0.0), Decoding(beams=3)
PROMPTS = ["the old sailor", "", "大海", "a"]
SOURCES = [*ENGLISH, *CHINESE, "x", "🌧", ""]


@pytest.mark.parametrize("name", ["gpt", "gpt2"])
def test_texts_are_written_on_as_by_pytorch(name):
    ours = made(find(name))
    theirs = through(ours, "ctranslate2", "write")
    for options in (GREEDY, BEAMS):
        for mine, other in zip(*(run.write(PROMPTS, length=12, options=options) for run in (ours, theirs)), strict=True):
            assert (mine[0].ids, mine[0].text) == (other[0].ids, other[0].text)
            assert (mine[0].log_prob, mine[0].score) == pytest.approx((other[0].log_prob, other[0].score), abs=1e-3)
    assert "".join(theirs.stream("the cat", length=5, options=GREEDY)) == "".join(ours.stream("the cat", length=5, options=GREEDY))
    before, after = theirs.nats(SOURCES)
    assert before == pytest.approx(after, abs=1e-4) and before > 0


def test_translations_are_those_of_pytorch():
    ours = made(find("transformer"), norm="pre")
    theirs = through(ours, "ctranslate2", "write")
    for options in (GREEDY, BEAMS):
        for mine, other in zip(*(run.translations(SOURCES, options=options) for run in (ours, theirs)), strict=True):
            assert mine[0].ids == other[0].ids and mine[0].log_prob == pytest.approx(other[0].log_prob, abs=1e-3)


def test_a_folder_is_used_with_the_run_it_was_made_of_alone(tmp_path):
    run, other = made(find("gpt")), made(find("gpt"), depth=1)
    write_ctranslate2(run, tmp_path / "exact")
    write_ctranslate2(run, tmp_path / "small", int8=True)
    assert [tier_of(str(tmp_path / name)) for name in ("exact", "small")] == ["exact", "int8"]
    assert through(run, str(tmp_path / "exact"), "write").generate("a", length=3, options=GREEDY).startswith("a")
    with pytest.raises(UsageError, match="a folder made of this run"):
        through(other, str(tmp_path / "exact"), "write")
    (tmp_path / "exact" / "stemma.json").unlink()
    with pytest.raises(DataError, match=r"stemma convert RUN .* --to ctranslate2"):
        through(run, str(tmp_path / "exact"), "write")


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (Decoding(), "a draw"),
        (Decoding(temperature=0, stop=("x",)), "stop strings"),
        (Decoding(beams=2, repetition_penalty=2), "repetition"),
    ],
)
def test_what_it_does_otherwise_is_refused(options, wrong):
    with pytest.raises(UsageError, match=wrong):
        through(made(find("gpt")), "ctranslate2", "write").write(["a"], options=options)


def test_what_it_cannot_do_is_refused():
    run = through(made(find("gpt")), "ctranslate2", "write")
    with pytest.raises(UsageError, match="ask for a shorter text"):
        run.write(["a"], length=10_000, options=GREEDY)
    with pytest.raises(UsageError, match="choose one of torch"):
        through(fitted(find("gpt"), "classify"), "ctranslate2")
    with pytest.raises(UsageError, match="choose one of torch"):
        through(made(find("bert")), "ctranslate2", "write")
