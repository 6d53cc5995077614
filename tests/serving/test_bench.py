"""`stemma bench`: every engine reads the same texts, and says how close it comes."""

import pytest
from tests.export.onnx_runs import fitted, made

from stemma.errors import UsageError
from stemma.lineage.table import find
from stemma.serving.bench import LEAST, bench, texts
from stemma.serving.engines import engines_for, through


@pytest.mark.parametrize(
    ("name", "engines"),
    [("bert", ["torch", "torch-bf16", "onnx", "openvino", "openvino-bf16"]), ("word2vec", ["torch", "onnx", "openvino"])],
)
def test_a_run_has_the_engines_that_can_compute_it(name, engines):
    assert [engine.name for engine in engines_for(made(find(name)))] == engines


@pytest.mark.parametrize(
    ("name", "engines"), [("gpt", ["torch", "onnx", "openvino", "ctranslate2"]), ("lstm", ["torch", "onnx", "openvino"])]
)
def test_other_engines_write(name, engines):
    assert [engine.name for engine in engines_for(made(find(name)), "write")] == engines


def test_engines_are_compared_on_the_same_texts():
    cells = bench(made(find("bert")), ["torch", "torch-bf16"], lengths=(5, 9), batches=(1, 3), seconds=0.01)
    assert [(cell.length, cell.batch, cell.engine) for cell in cells] == [
        (length, batch, engine) for length in (5, 9) for batch in (1, 3) for engine in ("torch", "torch-bf16")
    ]
    for cell in cells:
        assert len(cell.seconds) >= LEAST and 0 < cell.p50 <= cell.p95 and cell.texts_a_second > 0
        assert cell.cosine == pytest.approx(1, abs=1e-6 if cell.engine == "torch" else 1e-2)
        assert cell.row()["lowest_cosine"] == cell.cosine and "same_answers" not in cell.row()


@pytest.mark.parametrize("task", ["classify", "regress", "choice", "tag", "span"])
def test_a_task_s_texts_have_its_parts(task):
    (cell,) = bench(fitted(find("bert"), task), ["torch"], lengths=(12,), batches=(2,), seconds=0.01)
    assert cell.same == 1 and cell.cosine is None


@pytest.mark.parametrize("name", ["bert", "gpt", "xlnet", "lstm"])
def test_a_text_has_about_the_tokens_that_were_asked_for(name):
    lines, tokens = texts(made(find(name)), 4, 20)
    assert len(set(lines)) == 4 and 15 <= tokens <= 20
    assert texts(made(find(name)), 4, 20) == (lines, tokens)


def test_what_cannot_be_measured_is_refused():
    run = made(find("lstm"))
    with pytest.raises(UsageError, match=r"one of the lengths = 0\. .*1 or more"):
        bench(run, ["torch"], lengths=(0,))
    with pytest.raises(UsageError, match=r"seconds = nan\. .*above 0"):  # it measured without end
        bench(run, ["torch"], seconds=float("nan"))
    with pytest.raises(UsageError, match="choose one of torch, onnx"):
        through(run, "torch-bf16")
