"""The commands that a report prints make its figures again, every one of them."""

import json
import shlex

import numpy as np
import pytest

from stemma.checkpoint import RunFolder
from stemma.cli.main import main
from stemma.evaluation.comparison import compare as compare_module
from stemma.evaluation.comparison.compare import run_comparison
from stemma.evaluation.comparison.plan import Comparison, Config
from stemma.evaluation.comparison.results import Results, read
from stemma.evaluation.comparison.stages import Stages, run_stages
from stemma.evaluation.report import page as page_module

DEEDS = {"cat": "purrs on the warm mat", "dog": "barks at the gate", "鱼": "在 水里 游泳"}
SETTINGS = (
    "tokenizer.vocab_size=300",
    "word2vec.tokenizer.vocab_size=0",
    "word2vec.tokenizer.min_count=1",
    "word2vec.training.threads=1",
    "gpt.model.width=24",
    "gpt.model.depth=1",
    "transfer.updates=9",
    "transfer.epochs=1",
    "transfer.max_length=12",
    "transfer.selection_share=0.2",
)


class InProcess:
    """Runs the stages of a generation in this process."""

    def __call__(self, comparison, generation, corpus_key, report):
        list(run_stages(Stages(comparison, generation, corpus_key, report), comparison.root))
        return 0

    def stop(self):
        """Nothing runs beside."""


@pytest.fixture(scope="module", autouse=True)
def no_charts():
    """The page without its folded charts: drawing them takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_module, "charts", lambda standings: {})
        patch.setattr(page_module, "_bundle", lambda: "")
        yield


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison whose settings all differ from the defaults: a limit of the examples, a noisy task, trials, seeds, dev text."""
    home = tmp_path_factory.mktemp("again")
    rng = np.random.default_rng(3)
    lines = [f"the {animal} {deed} on day {n} .\n" for n in range(120) for animal, deed in DEEDS.items()]
    (home / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    (home / "held out.txt").write_text("\n".join(lines[::7]), encoding="utf-8")  # a space in the name: commands are quoted
    for name, count in (("train", 90), ("dev", 40)):
        picks = [(list(DEEDS)[rng.integers(3)], list(DEEDS)[rng.integers(3)], rng.random() < 0.3) for _ in range(count)]
        rows = [f"{other if noisy else animal}\tit {DEEDS[animal]} on day {k}" for k, (animal, other, noisy) in enumerate(picks)]
        (home / f"{name}.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")
    config = Config(
        preset="tiny",
        budget_tokens=2500,
        modes=("frozen", "random", "frozen-network", "finetune", "scratch"),
        seeds=2,
        trials=2,
        train_limit=31,
        dev_text=(str(home / "held out.txt"),),
        held_out_characters=900,
        threads=1,  # chosen by speed, they could differ from one time to the next
        settings=SETTINGS,
    )
    files = (str(home / "train.tsv"), str(home / "dev.tsv"), str(home / "out"))
    plan = Comparison((str(home / "corpus.txt"),), "classify", *files, ("ngram", "word2vec", "gpt"), config)
    return plan, run_comparison(plan, lambda fact: None, InProcess()), home


def repeated(command: str, root: str, elsewhere: str) -> None:
    """Runs a printed command with another folder for what it writes."""
    words = [word.replace(root, elsewhere) for word in shlex.split(command)]
    assert main(words[words.index("stemma") + 1 :]) == 0


def test_the_commands_of_the_parts_make_every_figure_again(compared):
    plan, results, home = compared
    elsewhere = str(home / "parts")
    for generation in results.generations:
        repeated(generation.pretrain.command, plan.out, elsewhere)
        tensors = [RunFolder.open(root / "runs" / generation.name).tensors() for root in (home / "parts", plan.root)]
        assert tensors[0].keys() == tensors[1].keys()
        for name, tensor in tensors[0].items():
            np.testing.assert_array_equal(tensor, tensors[1][name], err_msg=f"{generation.name}: {name}")
        for mode, result in generation.modes.items():
            repeated(result.command, plan.out, elsewhere)
            folder = home / "parts" / "runs" / f"{generation.name}-{mode}"
            facts = RunFolder.open(folder).config["task"]
            assert tuple(row["accuracy"] for row in facts["seeds"]) == result.seeds, (generation.name, mode)
            assert [row["predictions"] for row in facts["seeds"]] == [list(row) for row in result.answers]
            assert facts["chosen"] == result.settings and facts["examples"] == result.examples and result.examples["train"] == 31


def test_the_command_of_the_whole_makes_every_figure_again(compared, monkeypatch):
    plan, results, home = compared
    monkeypatch.setattr(compare_module, "Processes", InProcess)
    repeated(results.command, plan.out, str(home / "whole"))
    again = read(Results, json.loads((home / "whole" / "report.json").read_text(encoding="utf-8")), "report.json")
    for ours, theirs in zip(results.generations, again.generations, strict=True):
        assert ours.bits == theirs.bits and ours.modes.keys() == theirs.modes.keys()
        for mode, result in ours.modes.items():
            other = theirs.modes[mode]
            assert (result.measures, result.answers, result.settings) == (other.measures, other.answers, other.settings)
    assert [row.measures for row in results.baselines] == [row.measures for row in again.baselines]
    assert results.task == again.task and results.budget == again.budget
