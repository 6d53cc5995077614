"""Fine-tuned runs in transformers give the same outputs there, and come back as they went; folders of others answer as there."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stemma
from stemma.checkpoint import RunFolder
from stemma.cli.main import main
from stemma.config import to_plain
from stemma.errors import StemmaError, UsageError
from stemma.export.formats import convert
from stemma.layers.weights import to_tensors
from stemma.lineage.table import find
from stemma.runs.assignment import Assignment
from stemma.runs.fitted import FittedRun
from stemma.runs.moved import HeadedNetwork, Moved, batch_of, frames_of
from stemma.runs.settings import InUse
from stemma.tasks.table import make_task, task_config
from stemma.tasks.tag import Sentence
from stemma.tasks.task import Text
from stemma.tokens.tokenizer import Config, train

transformers = pytest.importorskip("transformers")

LINES = ["the old sailor told a story", "今天天气很好", "we saw a red house by the sea", "公园里的花很好看"]
TEXTS = ["the sailor saw the sea", "公园 a house 很好 😀", "a"]
SIZES = {"width": 20, "depth": 3, "heads": 4, "max_length": 64}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {  # generation -> its tokenizer's kind, and what of its sizes is its own
    "bert": ("wordpiece", {"inner": 28}),
    "bert-wwm": ("wordpiece", {"inner": 28}),
    "tinybert": ("wordpiece", {"inner": 28, "teacher_width": 7}),
    "albert": ("unigram", {"inner": 28, "embedding": 12}),
    "xlnet": ("unigram", {"inner": 28}),
    "gpt": ("bpe", {"inner": 80}),
    "gpt2": ("bpe", {"inner": 80}),
}
LABELS = ["good", "bad", "好"]
TAGS = ["O", "B-place", "I-place"]
TARGETS: dict[str, dict[str, Any]] = {
    "classify": {"labels": LABELS, "several": False, "pairs": False},
    "pair": {"labels": LABELS, "several": False, "pairs": True},
    "regress": {"labels": [], "mean": 2.5, "scale": 1.25, "pairs": False},
    "choice": {"labels": []},
    "tag": {"labels": TAGS, "types": ["place"], "units": "words"},
    "span": {"labels": [], "longest": 5, "usual": 2, "null": False, "threshold": 0.0},
}


def fitted(path: Path, name: str, task: str, targets: dict[str, Any] | None = None, **settings: Any) -> FittedRun:
    """A run with drawn weights, far from zero, as fine-tuning writes it."""
    row, (kind, own) = find(name), NETWORKS[name]
    tokenizer = train(iter(LINES * 3), Config(kind=kind, vocab_size=300 if kind == "bpe" else 90))
    model = row.model_config()(**SIZES, **own)
    torch.manual_seed(5)
    network = row.load_network()(model, tokenizer.facts())
    chosen = make_task(task, task_config(task)(**settings))
    given = Assignment(row, tokenizer, network, chosen, targets or TARGETS[task], InUse(max_length=48, precision="fp32"))
    frames, headed = frames_of(given), HeadedNetwork(network, chosen, given.targets, dropout=0.0)
    with torch.no_grad():
        for parameter in headed.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    sections = {
        "model": to_plain(model), "tokenizer": to_plain(tokenizer.config),
        "transfer": to_plain(given.settings), "task": to_plain(chosen.config),
    }  # fmt: skip
    facts = {"task": task, "mode": "finetune", "targets": given.targets}
    identity = {"generation": name, "task": task, "mode": "finetune"}
    folder = RunFolder.create(path, {"stemma": "0", "identity": identity, "sections": sections, "task": facts})
    tokenizer.save(folder.tokenizer_path)
    folder.finish("", {}, Moved(given, headed, frames, "fp32", {}).arrays())
    return FittedRun.load(path)


def outputs(run: FittedRun, texts: list[Any]) -> list[np.ndarray]:
    """The numbers that the run's head makes of each text, before they are read as anything: one text a batch."""
    model: Any = run.model
    found = []
    for text in texts:
        framed = model.prepare([text])
        batch = to_tensors(batch_of(framed, [0], run.assignment), torch.device("cpu"))
        with torch.no_grad():
            read = model.model.read(batch)[0]
            head = model.model.head
            found.append((head.scores(read, batch)[0] if run.task.per == "unit" else head(read)).numpy())
    return found


def opened(folder: Path) -> tuple[Any, Any]:
    """transformers' model of the class that the folder names, and its tokenizer; nothing may be missing or too much."""
    name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    model, info = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


def theirs(model: Any, tokenizer: Any, firsts: list[str], seconds: list[str] | None = None) -> torch.Tensor:
    """The logits of a padded batch."""
    batch = tokenizer(firsts, seconds, return_tensors="pt", padding=True)
    if model.config.problem_type == "regression":
        assert model.config.num_labels == 1
    with torch.no_grad():
        return model(**batch).logits


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("task", ["classify", "regress", "several"])
def test_answers_for_texts_are_those_of_transformers(tmp_path: Path, name: str, task: str) -> None:
    several = {"labels": LABELS, "several": True, "pairs": False} if task == "several" else None
    run = fitted(tmp_path / "run", name, "classify" if several else task, several)
    assert main(["convert", str(tmp_path / "run"), str(tmp_path / "hf"), "--to", "huggingface"]) == 0
    model, tokenizer = opened(tmp_path / "hf")
    found, answers = theirs(model, tokenizer, TEXTS), run.predict(TEXTS)[1]
    if task == "regress":
        np.testing.assert_allclose(found[:, 0], answers, atol=1e-5)
    else:
        np.testing.assert_allclose(found.sigmoid() if several else found.softmax(-1), answers, atol=1e-5)
        assert [model.config.id2label[k] for k in range(3)] == LABELS
        assert model.config.problem_type == f"{'multi' if several else 'single'}_label_classification"
    single = outputs(run, [Text(text) for text in TEXTS])
    if task != "regress":
        np.testing.assert_allclose(found, np.concatenate(single), atol=2e-5)
    back = stemma.load(tmp_path / "hf", FittedRun)
    assert back.task.name == run.task.name and back.targets == run.targets
    assert back.assignment.tokenizer.tokens == run.assignment.tokenizer.tokens
    np.testing.assert_allclose(back.predict(TEXTS)[1], answers, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "albert", "xlnet", "gpt", "gpt2"])
def test_pairs_too(tmp_path: Path, name: str) -> None:
    run = fitted(tmp_path / "run", name, "pair")
    convert(tmp_path / "run", tmp_path / "hf", "huggingface")
    found = theirs(*opened(tmp_path / "hf"), TEXTS, TEXTS[::-1])
    np.testing.assert_allclose(found.softmax(-1), run.predict(TEXTS, TEXTS[::-1])[1], atol=1e-5)
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "back"), "--to", "run"]) == 0
    back = stemma.load(tmp_path / "back")
    assert (back.task.name, back.row.name) == ("pair", name)
    np.testing.assert_allclose(back.predict(TEXTS, TEXTS[::-1])[1], run.predict(TEXTS, TEXTS[::-1])[1], atol=1e-5)
    assert main(["info", str(tmp_path / "back")]) == main(["predict", str(tmp_path / "back"), "--text", "a\tb"]) == 0


@pytest.mark.parametrize("name", ["bert", "albert", "xlnet"])
def test_candidates_too(tmp_path: Path, name: str) -> None:
    run = fitted(tmp_path / "run", name, "choice")
    convert(tmp_path / "run", tmp_path / "hf", "huggingface")
    model, tokenizer = opened(tmp_path / "hf")
    batch = tokenizer([TEXTS[0]] * 3, TEXTS, return_tensors="pt", padding=True)
    with torch.no_grad():
        found = model(**{key: value[None] for key, value in batch.items()}).logits
    line = "\t".join([TEXTS[0], *TEXTS])
    (row,) = run.answer_rows([line])
    np.testing.assert_allclose(found.softmax(-1)[0], row["probabilities"], atol=1e-5)
    (again,) = stemma.load(tmp_path / "hf").answer_rows([line])
    np.testing.assert_allclose(again["probabilities"], row["probabilities"], atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "albert", "xlnet", "gpt2"])
@pytest.mark.parametrize("task", ["tag", "span"])
def test_units_have_the_scores_of_their_first_tokens(tmp_path: Path, name: str, task: str) -> None:
    run = fitted(tmp_path / "run", name, task)
    convert(tmp_path / "run", tmp_path / "hf", "huggingface")
    model, tokenizer = opened(tmp_path / "hf")
    text, question = "the old sailor saw a red house", "who saw it"
    parts = (text,) if task == "tag" else (question, text)
    example = run.task.example(parts, run.targets)
    (read,) = run.task.texts([example])
    (ours,) = outputs(run, [read])
    framed = run.model.prepare([read])
    encoded = tokenizer(*parts, return_tensors="pt")
    assert encoded["input_ids"][0].tolist() == framed.ids[0].tolist()
    with torch.no_grad():
        answer = model(**encoded)
    scores = answer.logits[0] if task == "tag" else torch.stack([answer.start_logits, answer.end_logits], -1)[0]
    columns = framed.units[0][0]
    words = len(columns) - (task == "span")  # the last unit stands for no answer
    assert words == len(text.split())
    np.testing.assert_allclose(scores[columns[:words]], ours[:words], atol=1e-5)
    back = stemma.load(tmp_path / "hf")
    np.testing.assert_allclose(outputs(back, [read])[0][:words], ours[:words], atol=1e-5)
    assert back.targets == run.targets
    if task == "tag":
        assert [model.config.id2label[k] for k in range(3)] == TAGS
        assert isinstance(example, Sentence) and back.answer_rows([text]) == run.answer_rows([text])


@pytest.mark.parametrize(
    ("name", "task", "more", "expected"),
    [
        ("bert", "tag", {"decoder": "crf"}, "task.decoder=linear"),
        ("bert", "span", {"targets": TARGETS["span"] | {"null": True}}, r"at \[CLS\]"),
        ("gpt", "regress", {"targets": TARGETS["regress"] | {"pairs": True}}, "task.symmetric=false"),
        ("gpt", "tag", {}, "one of bert, albert, xlnet, gpt2"),
        ("gpt2", "choice", {}, "transformers has no gpt2 for the task choice"),
        ("xlnet", "tag", {"targets": TARGETS["tag"] | {"units": "characters"}}, "one answer a token"),
    ],
)
def test_heads_without_a_counterpart_are_refused_with_the_reason(tmp_path: Path, name, task, more, expected) -> None:
    fitted(tmp_path / "run", name, task, **more)
    with pytest.raises(UsageError, match=expected):
        convert(tmp_path / "run", tmp_path / "hf", "huggingface")
    assert not (tmp_path / "hf").exists()


def test_more_labels_than_a_gpt_is_wide_are_refused(tmp_path: Path) -> None:
    fitted(tmp_path / "run", "gpt2", "classify", {"labels": [str(k) for k in range(30)], "several": False, "pairs": False})
    with pytest.raises(UsageError, match="30 biases"):
        convert(tmp_path / "run", tmp_path / "hf", "huggingface")


def test_heads_on_fixed_states_are_refused(tmp_path: Path) -> None:
    corpus, task = tmp_path / "corpus.txt", tmp_path / "task.tsv"
    corpus.write_text("\n\n".join(LINES * 20), encoding="utf-8")
    task.write_text("label\ttext\n" + "".join(f"{LABELS[n % 3]}\t{LINES[n % 4]}\n" for n in range(24)), encoding="utf-8")
    settings = ["vocab_size=90", "training.steps=1", "held_out=0"]
    run = stemma.pretrain("bert", corpus, out=tmp_path / "bert", preset="tiny", settings=settings)
    stemma.finetune(run, train=task, dev=task, frozen=True, out=tmp_path / "frozen")
    with pytest.raises(UsageError, match="without --frozen"):
        convert(tmp_path / "frozen", tmp_path / "hf", "huggingface")
    found = stemma.finetune(
        run,
        train=task,
        dev=task,
        settings=["grid=[0.001]", "seeds=[1]", "updates=3", "transfer.epochs=1", "transfer.precision=fp32"],
        out=tmp_path / "moved",
    )
    convert(tmp_path / "moved", tmp_path / "hf", "huggingface")
    np.testing.assert_allclose(theirs(*opened(tmp_path / "hf"), TEXTS).softmax(-1), found.predict(TEXTS)[1], atol=1e-5)


WORDS = ["the", "cafe", "sat", "on", "mat", "公", "园", "a", "dog", "很", "好", "##s", "x", ".", "##t"]


def foreign(folder: Path, kind: str, **more: Any) -> Any:
    """A tiny BERT that transformers saved with a head."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    torch.manual_seed(3)
    sizes = {"hidden_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 28, "initializer_range": 0.3}
    config = transformers.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=24, **sizes, **more)
    model = getattr(transformers, kind)(config).eval()
    torch.nn.init.normal_(model.classifier.bias if "Question" not in kind else model.qa_outputs.bias)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return model


NAMED = {"id2label": {0: "good", 1: "bad", 2: "好"}, "label2id": {"good": 0, "bad": 1, "好": 2}}


@pytest.mark.parametrize(("more", "task"), [(NAMED, "classify"), (NAMED, "pair"), ({"num_labels": 1}, "regress")])
def test_a_classifier_of_another_program_answers_as_there(tmp_path: Path, more, task) -> None:
    model = foreign(tmp_path / "hf", "BertForSequenceClassification", **more)
    asked = ["--task", task] if task == "pair" else []
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "run"), "--to", "run", *asked]) == 0
    run, tokenizer = stemma.load(tmp_path / "run", FittedRun), transformers.BertTokenizer.from_pretrained(tmp_path / "hf")
    assert run.task.name == task
    seconds = TEXTS[::-1] if task == "pair" else None
    found, answers = theirs(model, tokenizer, TEXTS, seconds), run.predict(TEXTS, seconds)[1]
    np.testing.assert_allclose(found[:, 0] if task == "regress" else found.softmax(-1), answers, atol=1e-5)
    assert list(run.labels) == ([] if task == "regress" else LABELS)
    assert stemma.load(tmp_path / "hf", stemma.Run).embed(TEXTS).shape == (3, 20)
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "bare"), "--to", "run", "--task", "none"]) == 0
    assert isinstance(stemma.load(tmp_path / "bare"), stemma.Run)


def test_a_tagger_of_another_program_answers_as_there(tmp_path: Path) -> None:
    names = {"id2label": dict(enumerate(TAGS)), "label2id": {tag: k for k, tag in enumerate(TAGS)}}
    model = foreign(tmp_path / "hf", "BertForTokenClassification", **names)
    run, tokenizer = stemma.load(tmp_path / "hf"), transformers.BertTokenizer.from_pretrained(tmp_path / "hf")
    text = "the cafes sat on a mat ."
    (row,) = run.answer_rows([text])
    found = theirs(model, tokenizer, [text])[0, 1:-1].argmax(-1).tolist()
    del found[2]  # cafe ##s
    assert [word["tag"] for word in row["words"]] == [TAGS[k] for k in found]


def test_a_head_that_reads_otherwise_is_left_out_with_a_warning(tmp_path: Path) -> None:
    foreign(tmp_path / "hf", "BertForQuestionAnswering")
    with pytest.warns(UserWarning, match="BertForQuestionAnswering is left out"):
        assert isinstance(stemma.load(tmp_path / "hf"), stemma.Run)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"id2label": {"0": "a", "2": "b", "1": "a"}}, "a name of its own"),
        ({"id2label": {"0": "a", "1": "b"}}, "classifier.weight"),
        ({"id2label": {"x": "a"}}, "config.json"),
        ({"id2label": []}, "config.json"),
        ({"architectures": ["BertForMultipleChoice"]}, "classifier.weight"),
        ({"stemma_task": {"task": "tag", "targets": {}}}, "one of classify, pair, regress"),
        ({"stemma_task": {"task": "classify", "targets": {"labels": LABELS}, "read": {"max_length": -1}}}, "max_length"),
        ({"stemma_task": []}, "tells of no task"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(tmp_path: Path, change, expected) -> None:
    foreign(tmp_path / "hf", "BertForSequenceClassification", **NAMED)
    config = json.loads((tmp_path / "hf/config.json").read_text(encoding="utf-8"))
    (tmp_path / "hf/config.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(StemmaError, match=expected):
        stemma.load(tmp_path / "hf")


@pytest.mark.parametrize(
    ("asked", "expected"), [("span", "one of classify, pair, regress"), ("poetry", "none, or one"), ("regress", "3 outputs")]
)
def test_a_task_that_its_head_has_not_learnt_is_refused(tmp_path: Path, asked, expected, capsys) -> None:
    foreign(tmp_path / "hf", "BertForSequenceClassification", **NAMED)
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "run"), "--to", "run", "--task", asked]) == 2
    assert not (tmp_path / "run").exists()
    assert re.search(expected, capsys.readouterr().err)
