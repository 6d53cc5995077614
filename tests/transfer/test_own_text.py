"""The task's own text first: it is `pretrain --continue-from` on the training texts, and goes on where it was killed."""

import dataclasses
import os
import signal

import numpy as np
import pytest
from tests.transfer.conftest import make_examples, make_run
from tests.transfer.test_journal import Killed, same

from stemma.checkpoint import RunFolder
from stemma.corpus.read import keep_texts
from stemma.errors import Interrupted, UsageError
from stemma.runs.run import Run
from stemma.tokens import files
from stemma.training.pretrain import pretrain
from stemma.training.request import Request
from stemma.transfer import journal
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config

pytestmark = pytest.mark.filterwarnings("ignore::stemma.transfer.doubts.DevDoubt", "ignore:.*it learnt for .* steps alone:UserWarning")
TOKENS = 600
FAST = Config(precision="fp32", seeds=(3, 4), budget=1, epochs=1, updates=3, threads=1, first_on_text=TOKENS)
SMALL = ["training.threads=1", "training.precision=fp32", "training.batch_tokens=128", "training.held_out=0"]
SIZES = {
    "bert": ["training.steps=3", "model.width=16", "model.heads=2", "model.inner=20", "model.depth=2", "tokenizer.vocab_size=120"],
    "word2vec": ["training.steps=3", "tokenizer.min_count=1"],
    "nnlm": ["training.steps=3", "tokenizer.min_count=1", "model.width=8", "model.inner=8"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes a run of a generation, once, on a text in an encoding that the training texts are not kept in."""
    folder, kept = tmp_path_factory.mktemp("runs"), {}
    (folder / "text.txt").write_text("\n\n".join(example.text for example in make_examples(60, 5)), encoding="gb18030")

    def make(name: str) -> Run:
        if name not in kept:
            settings = ["corpus.encoding=gb18030", *(SMALL if name != "word2vec" else SMALL[:1]), *SIZES[name]]
            kept[name] = pretrain(Request.of(name, folder / "text.txt", preset="tiny", settings=settings), out=folder / name)
        return Run.open(kept[name].path)

    return make


@pytest.mark.parametrize("name", ["bert", "word2vec"])
@pytest.mark.parametrize("mode", ["finetune", "frozen"])
def test_it_is_going_on_with_the_texts_and_then_learning_the_task(made, train_examples, tmp_path, name, mode):
    run, train = made(name), train_examples[:60]
    text = keep_texts(dict.fromkeys(example.text for example in train), tmp_path / "text")
    settings = ["corpus.encoding=utf-8", f"training.tokens={TOKENS}", "training.seed=3", "training.threads=1"]
    second = pretrain(Request.of(name, text, settings=settings, continue_from=run.folder.path), out=tmp_path / "second")
    config = dataclasses.replace(FAST, mode=mode)
    expected = finetune(Run.open(second.path), train=train, config=dataclasses.replace(config, first_on_text=0)).model.arrays()
    result = finetune(run, train=train, config=config)
    assert all(np.array_equal(array, expected[name]) for name, array in result.model.arrays().items())
    done = next(line for line in second.metrics() if line["kind"] == "done")
    first = result.facts["first_on_text"]
    assert first["asked"] == TOKENS and (first["tokens"], first["steps"]) == (done["tokens"], done["steps"])
    assert result.facts["ways"][0].startswith(f"first it read {done['tokens']:,} tokens of the texts of the training examples")


def test_killed_while_it_reads_or_learns_it_ends_in_the_same_run(made, train_examples, dev_examples, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(files, "GRACE_SECONDS", 0.0)
    options = {"train": train_examples[:60], "dev": dev_examples[:20], "config": FAST}
    whole = finetune(made("bert"), **options, out=tmp_path / "whole")

    reads, heard = whole.facts["first_on_text"]["steps"], list[tuple[int, int]]()

    def hear(fact) -> None:
        if fact.kind != "step":
            return
        heard.append((fact.steps, fact.step))
        if heard[-1] == (reads, 2):
            os.kill(os.getpid(), signal.SIGINT)
        if heard[-1] == (3, 2):
            raise Killed

    for stopped in (Interrupted, Killed):
        with pytest.raises(stopped):
            finetune(made("bert"), **options, out=tmp_path / "killed", progress=hear)
    finetune(made("bert"), **options, out=tmp_path / "killed", progress=lambda fact: None)
    assert heard == [(reads, step) for step in range(1, reads + 1)] + [(3, 1), (3, 2)]
    assert same(tmp_path / "whole", tmp_path / "killed")
    card = (tmp_path / "whole" / "README.md").read_text(encoding="utf-8")
    assert "- First it read" in card and "s of reading before." in card
    assert RunFolder.open(tmp_path / "whole").config["sections"]["transfer"]["first_on_text"] == TOKENS


def test_what_cannot_go_on_is_refused(made, bert, ngram, train_examples, tmp_path):
    for run, why in ((made("nnlm"), "nnlm cannot go on"), (ngram, "ngram cannot go on"), (make_run("tinybert"), "tinybert cannot go on")):
        with pytest.raises(UsageError, match=rf"transfer\.first_on_text = 600: {why} .*these can: word2vec, lstm"):
            finetune(run, train=train_examples[:60], config=FAST, out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"stands in no folder.*open it from its folder"):
        finetune(bert, train=train_examples[:60], config=FAST, out=tmp_path / "run")
    assert not (tmp_path / "run" / "manifest.json").exists()


@pytest.mark.parametrize("mode", ["scratch", "random"])
def test_what_has_learnt_nothing_reads_nothing(made, train_examples, mode):
    assert "first_on_text" not in finetune(made("bert"), train=train_examples[:60], config=dataclasses.replace(FAST, mode=mode)).facts
