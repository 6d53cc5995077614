"""What `stemma evaluate` measures a run on: text that is read as the run's own was."""

import json
from pathlib import Path

import pytest

from stemma.errors import UsageError
from stemma.evaluation.measures.evaluate import evaluate_run
from stemma.runs.run import Run
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

TEXTS = ["the cat sat on the mat .", "一 只 猫 坐 着 。", "the dog 😀 sat ."]


def written(path: Path, field: str, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({field: text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    return str(path)


@pytest.fixture
def run(tmp_path) -> Run:
    """An n-gram model of JSON lines whose text stands in a field of an unusual name."""
    corpus = written(tmp_path / "train.jsonl", "body", TEXTS * 20)
    settings = ("corpus.field=body", "training.held_out=0", "tokenizer.min_count=1")
    request = Request("ngram", (corpus,), "tiny", None, settings, (), 1)
    return Run.open(pretrain(request, out=tmp_path / "run").path)


def test_text_is_read_as_the_run_read_its_own(run, tmp_path):
    found = evaluate_run(run, {"perplexity": [written(tmp_path / "dev.jsonl", "body", TEXTS)]})["perplexity"]
    assert found["characters"] == sum(map(len, TEXTS)) and found["oov"] == 0


def test_a_setting_that_no_version_knows_is_reported(run, tmp_path):
    saved = run.folder.config
    saved["sections"]["corpus"]["feild"] = "body"
    (run.path / "config.json").write_text(json.dumps(saved), encoding="utf-8")
    with pytest.raises(UsageError, match="did you mean 'field'"):
        evaluate_run(run, {"perplexity": [written(tmp_path / "dev.jsonl", "body", TEXTS)]})
