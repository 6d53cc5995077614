"""The comparison: goes on where it was killed, tells a failure as one, and its stages know what they were made from."""

import dataclasses
import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stemma.checkpoint import RunFolder
from stemma.cli.main import parsed
from stemma.corpus.document import Document
from stemma.errors import DamagedError, DataError, Interrupted, RunError, UsageError
from stemma.evaluation.comparison import compare as compare_module
from stemma.evaluation.comparison.compare import compare, failed, run_comparison
from stemma.evaluation.comparison.environment import Meter, environment
from stemma.evaluation.comparison.launch import Processes, run_all
from stemma.evaluation.comparison.plan import READY, Comparison, Config, generations_for, key_of
from stemma.evaluation.comparison.results import CutOff, Failure, Results, read
from stemma.evaluation.comparison.stages import Stages, kept, read_held_out, run_stages, stage_path, staged, write_held_out
from stemma.evaluation.measures.posed import Posed
from stemma.evaluation.measures.zero_shot import zero_shot
from stemma.lineage.table import TABLE
from stemma.runs.run import Run
from stemma.tokens import files as tokens_files
from stemma.tokens.files import one_writer

ANIMALS = {"cat": "purrs on the warm mat", "dog": "barks at the gate", "鱼": "在 水里 游泳", "鸟": "在 天上 飞"}
MINIMAL = [
    ("order", "purrs on the warm mat", "purrs the on warm mat"),
    ("order", "在 水里 游泳", "游泳 水里 在"),
    ("word", "purrs", "水里"),
]
SMALL = (
    "tokenizer.vocab_size=300",
    "word2vec.tokenizer.vocab_size=0",
    "word2vec.tokenizer.min_count=1",
    "transfer.updates=20",
    "transfer.epochs=1",
    "word2vec.training.threads=1",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A text, a task and a senses file, small and in both languages."""
    home = tmp_path_factory.mktemp("text")
    rng = np.random.default_rng(0)
    lines = [f"the {animal} {deed} on day {n} ." for n in range(150) for animal, deed in ANIMALS.items()]
    (home / "corpus.txt").write_text(
        "\n".join(line + ("\n" if n % 5 == 4 else "") for n, line in enumerate(lines)) + "\n", encoding="utf-8"
    )
    for name, count in (("train", 60), ("dev", 30)):
        rows = [f"{animal}\tit {ANIMALS[animal]} on day {n}" for n in range(count) for animal in [list(ANIMALS)[rng.integers(4)]]]
        (home / f"{name}.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")
    senses = [
        f"day\t{len(deed.split()) + 3}\t{animal}\tthe {animal} {deed} on day {n} ." for n in range(8) for animal, deed in ANIMALS.items()
    ]
    pairs = ["cat,dog,7", "warm,mat,5", "cat,gate,1.5", "鱼,鸟,6", "cat,unicorn,3"]
    (home / "pairs.csv").write_text("\n".join(["Word 1,Word 2,Human (mean)", *pairs]) + "\n", encoding="utf-8")
    (home / "questions.txt").write_text(": deeds\ncat purrs dog barks\n: none\ncat purrs unicorn horn\n", encoding="utf-8")
    minimal = [f"{kind}\tthe cat {good} .\tthe cat {bad} ." for kind, good, bad in MINIMAL]
    (home / "minimal.tsv").write_text("\n".join(["phenomenon\tgood\tbad", *minimal]) + "\n", encoding="utf-8")
    (home / "foreign.tsv").write_text("Katze\tHund\t5\nTor\tMatte\t2\n", encoding="utf-8")
    for name, count, off in (("train", 50, 0), ("dev", 20, 50)):
        (home / f"{name}.tags.txt").write_text("\n\n".join(map(tagged_lines, range(off, off + count))) + "\n", encoding="utf-8")
    (home / "senses.tsv").write_text("\n".join(["word\tindex\tsense\tsentence", *senses]) + "\n", encoding="utf-8")
    return home


def tagged_lines(n: int) -> str:
    """A sentence, a word and its part of speech a line; `mat` names a thing behind `the` and a deed before it."""
    things, deeds = ("cat", "dog", "gate", "mat"), ("purrs", "barks", "mat", "warm")
    subject, deed, other = things[n % 4], deeds[n // 4 % 4], things[n // 2 % 4]
    words = [("the", "DET"), (subject, "NOUN"), (deed, "VERB"), ("the", "DET"), (other, "NOUN"), (str(n), "NUM"), (".", "PUNCT")]
    return "\n".join(f"{word}\t{tag}" for word, tag in words)


def plan_for(files: Path, out: Path, **changes) -> Comparison:
    ways = ("frozen", "frozen-network", "finetune")
    config = Config(preset="tiny", seeds=1, trials=1, held_out=0.1, modes=ways, settings=SMALL, budget_tokens=3000)
    config = dataclasses.replace(config, **{k: v for k, v in changes.items() if k != "generations"})
    generations = changes.get("generations", ("ngram", "word2vec"))
    return Comparison(
        (str(files / "corpus.txt"),), "classify", str(files / "train.tsv"), str(files / "dev.tsv"), str(out), generations, config
    )


class InProcess:
    """Runs the stages in this process; counts what was made, and can break off or break a stage."""

    def __init__(self, break_off: str = "", broken: str = "") -> None:
        self.made, self.break_off, self.broken = [], break_off, broken

    def __call__(self, plan, generation, corpus_key, report):
        outer = self

        class Watched(Stages):
            def make(self, stage):
                name = f"{generation}.{stage}"
                if name == outer.break_off:
                    raise KeyboardInterrupt
                if name == outer.broken:
                    raise UsageError("it broke", "it to hold", "glue it")
                outer.made.append(name)
                return super().make(stage)

        try:
            list(run_stages(Watched(plan, generation, corpus_key, report), plan.root))
        except KeyboardInterrupt:
            return Interrupted.exit_code
        return 0

    def stop(self):
        """Nothing runs beside."""


@pytest.fixture(scope="module")
def finished(files, tmp_path_factory):
    """A comparison that was broken off half way, and went on."""
    out = tmp_path_factory.mktemp("out")
    judged = {"similarity": (str(files / "pairs.csv"), str(files / "foreign.tsv")), "analogies": (str(files / "questions.txt"),)}
    judged |= {"minimal_pairs": (str(files / "minimal.tsv"),), "minimal_limit": 2, "zero_shot": True, "template": "{text}: {label}"}
    plan = plan_for(files, out, senses=str(files / "senses.tsv"), **judged)
    first, second = InProcess(break_off="word2vec.frozen"), InProcess()
    with pytest.raises(Interrupted, match="goes on where it was"):
        run_comparison(plan, lambda fact: None, first)
    assert not (out / "report.json").exists()
    return plan, first, second, run_comparison(plan, lambda fact: None, second)


@pytest.fixture(scope="module")
def tagging(files, tmp_path_factory):
    """A comparison of taggers, among them a generation that cannot tag."""
    plan = plan_for(files, tmp_path_factory.mktemp("tags"), generations=("ngram", "word2vec", "gpt"))
    plan = dataclasses.replace(plan, task="tag", train=str(files / "train.tags.txt"), dev=str(files / "dev.tags.txt"))
    launch = InProcess()
    return plan, launch, run_comparison(plan, lambda fact: None, launch)


def test_taggers_are_compared_by_the_primary_metric_of_their_task(tagging):
    plan, _, results = tagging
    assert failed(results) is None and results.task.metric.name == "accuracy" and results.task.labels[0] == "DET"
    assert results.task.metric.title == "token accuracy" and "too close to call" in results.headline.title  # twenty sentences tell no more
    for generation in results.generations[1:]:
        assert set(generation.modes) == set(plan.config.modes)
        for result in generation.modes.values():
            hits = [
                a == b for right, given in zip(results.task.gold, result.answers[0], strict=True) for a, b in zip(right, given, strict=True)
            ]
            assert len(hits) == 7 * results.task.dev_examples
            assert result.measures["accuracy"].value == pytest.approx(np.mean(hits)) == pytest.approx(result.seeds[0])
    page = (plan.root / "report.html").read_text(encoding="utf-8")
    assert 'scope="col">Token accuracy,\u00a0%</th>' in page.replace(' class="number"', "") and "look-up of each word" in page


def test_words_looked_up_stand_beside_taggers(tagging):
    *_, results = tagging
    majority, looked_up = results.baselines
    assert [row.name for row in results.baselines] == ["majority", "tag-of-word"] and majority.blind
    assert majority.measures["accuracy"].value == pytest.approx(2 / 7)  # DET or NOUN
    assert majority.measures["accuracy"].value < looked_up.measures["accuracy"].value < 1  # numbers are new, and `mat` is both


def test_a_generation_that_cannot_tag_predicts_the_text_alone(tagging):
    plan, launch, results = tagging
    ngram = results.generations[0]
    assert [name for name in launch.made if name.startswith("ngram")] == ["ngram.pretrain", "ngram.score"]
    assert "no states of words" in ngram.refusal and not ngram.modes and not ngram.failed and ngram.bits.value > 0
    assert any(note.startswith("n-gram predicts the text alone: ngram has no states of words") for note in results.notes)
    assert ngram.refusal in (plan.root / "report.html").read_text(encoding="utf-8")


def test_what_cannot_learn_the_task_is_not_compared_unless_named(files, tmp_path):
    assert set(READY) - set(generations_for("tag")) == {"ngram"} and generations_for("classify") == READY
    plan = dataclasses.replace(plan_for(files, tmp_path / "out", generations=("ngram",)), task="tag")
    with pytest.raises(UsageError, match="name one of nnlm"):
        run_comparison(plan, lambda fact: None, InProcess())


def test_translators_are_compared_with_those_from_scratch(files, tmp_path):
    pytest.importorskip("sacrebleu")
    assert generations_for("translate") == ("seq2seq", "transformer", "gpt", "gpt2")
    rows = [f"the {animal} number {n}\t第 {n} 只 {animal} 在 这里" for n in range(60) for animal in ("cat", "鱼")]
    for name, part in (("pairs", rows[:80]), ("dev", rows[80:])):
        (tmp_path / f"{name}.tsv").write_text("\n".join(["en\tzh", *part]) + "\n", encoding="utf-8")
    settings = ("transfer.updates=2", "transfer.epochs=1", "transfer.threads=1", "task.beams=1", "model.width=16", "model.inner=16")
    plan = plan_for(files, tmp_path, modes=("frozen", "finetune", "scratch"), settings=(*SMALL[:1], *settings))
    options = (str(tmp_path / "pairs.tsv"),), "translate", str(tmp_path / "pairs.tsv"), str(tmp_path / "dev.tsv"), str(tmp_path / "out")
    results = run_comparison(Comparison(*options, ("transformer",), plan.config), lambda fact: None, InProcess())
    assert failed(results) is None and results.task.metric.title == "BLEU (zh)" and results.task.gold[0] == "第 40 只 cat 在 这里"
    (transformer,), (copied,) = results.generations, results.baselines
    assert set(transformer.modes) == {"finetune", "scratch"} and copied.answers[0][0] == "the cat number 40"
    for result in transformer.modes.values():
        assert result.measures["bleu"].low <= result.measures["bleu"].value == pytest.approx(result.seeds[0])
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "tok:zh" in page and "the source, copied" in page.lower()


def test_a_broken_off_comparison_makes_no_stage_twice(finished):
    _, first, second, _ = finished
    assert first.made == [
        "ngram.pretrain",
        "ngram.score",
        "ngram.frozen",
        "ngram.finetune",
        "ngram.senses",
        "ngram.minimal-pairs",
        "ngram.zero-shot",
        "word2vec.pretrain",
        "word2vec.score",
    ]
    modes, probes = ["frozen", "frozen-network", "finetune"], ["words", "senses", "minimal-pairs", "zero-shot"]
    assert second.made == [f"word2vec.{stage}" for stage in (*modes, *probes)]
    third = InProcess()
    assert run_comparison(finished[0], lambda fact: None, third).headline == finished[3].headline and third.made == []


def test_the_report_has_every_number_of_its_stages(finished):
    plan, _, _, results = finished
    written = read(Results, json.loads((plan.root / "report.json").read_text(encoding="utf-8")), "report.json")
    assert dataclasses.replace(written, made=results.made, environment=results.environment) == results
    ngram, vectors = results.generations
    assert not ngram.failed and not vectors.failed and failed(results) is None
    assert 0 < ngram.bits.value < 8 and ngram.surprise.oov == 0
    assert ngram.pretrain.tokenizer.kind == "bpe"
    assert "no probability to a whole one" in vectors.score.why_not and vectors.surprise is None
    for generation in results.generations:
        assert generation.pretrain.parameters > 0 and generation.pretrain.bytes > 0 and generation.pretrain.peak_bytes > 10**7
        for result in generation.modes.values():
            assert set(result.measures) == {"accuracy", "macro_f1", "matthews"}
            assert all(measure.low <= measure.value <= measure.high for measure in result.measures.values())
            assert len(result.answers[0]) == results.task.dev_examples == len(results.task.gold)
            right = np.mean([np.equal(seed, results.task.gold) for seed in result.answers])
            assert result.measures["accuracy"].value == pytest.approx(right) == pytest.approx(np.mean(result.seeds))
    assert vectors.modes["frozen"].measures["accuracy"].value > 0.8
    assert [row.name for row in results.baselines] == ["majority", "tfidf"]
    assert results.corpus.ledger.balances and results.corpus.held_out.documents > 0
    assert results.senses.words == 1 and ngram.senses.why_not
    page = (plan.root / "report.html").read_text(encoding="utf-8")
    assert results.headline.title.split()[-1] in page and "鱼" in page


def test_word_vectors_are_judged_and_drawn(finished):
    plan, _, _, results = finished
    ngram, vectors = results.generations
    assert ngram.words is None and "words" not in Stages(plan, "ngram", "corpus", lambda fact: None).names()
    known, foreign = vectors.words.similarity
    assert (known.found.used, known.found.pairs, known.found.missing) == (4, 5, ("unicorn",)) and -1 <= known.found.rho.value <= 1
    assert "train on more text" in foreign.why_not and foreign.found is None
    (answers,) = vectors.words.analogies
    assert (answers.total.asked, answers.total.covered) == (2, 1) and list(answers.sections) == ["deeds", "none"]
    assert "barks" in results.words.words and len(results.words.maps["word2vec"]) == len(results.words.words)
    page = (plan.root / "report.html").read_text(encoding="utf-8")
    assert 'class="map"' in page and ">barks</text>" in page and "pairs.csv" in page


def test_the_task_is_put_to_runs_that_have_not_learnt_it(finished):
    plan, _, _, results = finished
    ngram, vectors = results.generations
    found, task = ngram.zero_shot.found, plan.made_task()
    examples = task.read(plan.dev, learning=False)
    alone = zero_shot(Run.open(plan.run_folder("ngram")), task, examples, Posed("{text}: {label}"))
    assert found.measures["accuracy"].as_dict() == alone["measures"]["accuracy"] and found.doubt == alone["doubt"]
    assert vectors.zero_shot.found is None and "gives no likelihood to an answer" in vectors.zero_shot.why_not
    page = (plan.root / "report.html").read_text(encoding="utf-8")
    assert "The task without training" in page and "gives no likelihood to an answer" in page and "--zero-shot" in results.command
    changed = dataclasses.replace(plan, config=dataclasses.replace(plan.config, normalise="pmi"))
    before, after = (Stages(p, "ngram", "corpus", lambda fact: None) for p in (plan, changed))
    assert [stage for stage in before.names() if before.key(stage) != after.key(stage)] == ["zero-shot"]


def test_what_no_run_could_be_asked_is_refused_before_any_is_trained(files, tmp_path):
    for options, wrong in (({"template": "{text} {lable}"}, "mend its name"), ({"verbalise": ("spotr=x",)}, "no label 'spotr'")):
        with pytest.raises(UsageError, match=wrong):
            run_comparison(plan_for(files, tmp_path, zero_shot=True, **options), lambda fact: None, InProcess())
    with pytest.raises(UsageError, match="add --zero-shot"):
        run_comparison(plan_for(files, tmp_path, template="{text} {label}"), lambda fact: None, InProcess())


def test_minimal_pairs_are_judged_where_a_generation_gives_sentences_a_likelihood(finished):
    plan, _, _, results = finished
    ngram, vectors = results.generations
    found = ngram.minimal.found
    assert (found.given, found.total.pairs, found.total.right) == (3, 3, 3) and list(found.phenomena) == ["order", "word"]
    assert ngram.minimal_share == found.mean and found.mean.value == 1
    assert vectors.minimal.found is None and "no likelihood to a sentence" in vectors.minimal.why_not and vectors.minimal_share is None
    assert "--minimal-pairs" in results.command and "--minimal-limit 2" in results.command
    page = (plan.root / "report.html").read_text(encoding="utf-8")
    assert "Which sentence is likelier?" in page and "no likelihood to a sentence" in page
    changed = dataclasses.replace(plan, config=dataclasses.replace(plan.config, minimal_limit=1))
    before, after = (Stages(p, "ngram", "corpus", lambda fact: None) for p in (plan, changed))
    assert [stage for stage in before.names() if before.key(stage) != after.key(stage)] == ["minimal-pairs"]


def test_words_may_be_named_and_their_maps_are_made_anew(finished):
    plan, *_ = finished
    named = dataclasses.replace(plan, config=dataclasses.replace(plan.config, words=("cat", "dog", "barks", "gate", "mat", "unicorn")))
    again = InProcess()
    results = run_comparison(named, lambda fact: None, again)
    assert again.made == [] and results.words.words == ("cat", "dog", "barks", "gate", "mat")
    assert results.words.missing == ("unicorn",) and "--words cat dog barks gate mat unicorn" in results.command
    run_comparison(plan, lambda fact: None, again)


def test_a_word_file_that_cannot_be_read_is_reported_before_anything_is_made(files, tmp_path):
    plan = plan_for(files, tmp_path / "out", similarity=(str(files / "questions.txt"),))
    with pytest.raises(DataError, match="put the score behind the words"):
        run_comparison(plan, lambda fact: None, InProcess())
    assert not (tmp_path / "out").exists()


def test_results_tell_what_the_budget_read_and_whether_it_was_enough(finished):
    *_, results = finished
    ngram, word2vec = (g.pretrain for g in results.generations)
    for made in (ngram, word2vec):
        assert (made.drawn is None) == (made.passes >= 1) and made.most_passes is None and made.kept_step is None
        assert made.drawn is None or made.passes == pytest.approx(made.drawn.tokens / made.drawn.of_tokens)
    assert ngram.baseline_loss > ngram.held_out_loss and ngram.left_baseline and not ngram.too_small
    assert word2vec.baseline_loss is word2vec.left_baseline is None and not word2vec.too_small


def test_commands_of_the_report_are_commands(finished):
    plan, _, _, results = finished
    commands = [results.command, *(g.pretrain.command for g in results.generations)]
    commands += [mode.command for g in results.generations for mode in g.modes.values()]
    assert all(command.startswith("stemma ") and str(plan.root) in command for command in commands)
    assert "--set training.tokens=3000" in results.generations[1].pretrain.command  # which part of the text is drawn depends on it


def test_a_changed_setting_makes_only_what_depends_on_it(finished):
    plan, *_ = finished
    changed = dataclasses.replace(plan, config=dataclasses.replace(plan.config, seeds=2))
    before, after = (Stages(p, "word2vec", "corpus", lambda fact: None) for p in (plan, changed))
    assert [stage for stage in before.names() if before.key(stage) != after.key(stage)] == ["frozen", "frozen-network", "finetune"]
    other = Stages(plan, "word2vec", "another corpus", lambda fact: None)
    assert all(other.key(stage) != before.key(stage) for stage in before.names())


def test_cut_texts_are_reported_with_the_settings_that_would_fit_them(files, tmp_path):
    """A tail cut off for some and not for others was noted by the number of examples alone, with no cure."""
    facts = []
    settings = (*SMALL, "transfer.max_length=8", "gpt.model.max_length=12")
    plan = plan_for(files, tmp_path / "tight", generations=("ngram", "gpt"), settings=settings, modes=("frozen", "random"))
    results = run_comparison(plan, facts.append, InProcess())
    ngram, gpt = results.generations
    assert failed(results) is None and ngram.cut is None and results.cautions[0] in results.headline.cautions
    cut, result = gpt.cut, gpt.modes["frozen"]
    assert cut.reads == 8 and cut.fits % 8 == 0 and cut.fits > 16 and 0 < cut.dev_share <= 1
    assert cut.share == cut.examples / result.examples["train"] > 0
    assert cut.settings == (f"gpt.model.max_length={cut.fits}", f"transfer.max_length={cut.fits}")
    (caution,) = results.cautions
    assert "GPT the first 8 tokens" in caution and f"--set {cut.settings[0]} --set {cut.settings[1]}" in caution
    assert sum("GPT reads 8 tokens of a text" in getattr(fact, "message", "") for fact in facts) == 1  # of both its stages
    roomy = plan_for(files, tmp_path / "roomy", generations=("gpt",), settings=(*SMALL, *cut.settings), modes=("frozen",))
    wide = run_comparison(roomy, lambda fact: None, InProcess())
    assert wide.generations[0].modes["frozen"].cut.examples <= 0.01 * len(wide.task.gold) and wide.cautions == ()


def test_dev_examples_that_are_learnt_from_are_reported_once_before_any_work(files, tmp_path):
    plan = dataclasses.replace(plan_for(files, tmp_path), dev=str(files / "train.tsv"))
    (note,) = compare_module._of_the_examples(plan)
    assert note.startswith("60 of 60 dev examples (100%) stand word for word among the training examples")


def test_a_window_that_is_too_short_for_the_task_is_reported_before_it_is_trained(files, tmp_path):
    rows = ["cat\t" + "it purrs on 垫子 " * 30, *(["dog\tit barks", "cat\tit purrs"] * 30)]
    (tmp_path / "long.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")
    plan = dataclasses.replace(plan_for(files, tmp_path, generations=READY), train=str(tmp_path / "long.tsv"))
    note = compare_module._long_texts(plan)
    windows = {row.name: row.presets()["small"]["model"].get("max_length") for row in TABLE if row.ready}
    bounded = [name for name, window in windows.items() if window]
    short = f"{', '.join(bounded[:-1])} and {bounded[-1]}"
    assert note.startswith(f"1 in 100 of the task's texts has 150 words or Chinese characters, or more, and {short} will cut it")
    settings = [f"--set {name}.model.max_length=232" for name in bounded if windows[name] < 232]
    assert note.endswith(" ".join([*settings, "--set transfer.max_length=232"]))
    assert compare_module._long_texts(plan_for(files, tmp_path, generations=READY)) == ""
    assert compare_module._of_the_examples(plan)[0] == note
    wider = [f"{name}.model.max_length=232" for name in bounded]
    named = dataclasses.replace(plan, config=dataclasses.replace(plan.config, settings=(*SMALL, *wider)))
    assert compare_module._long_texts(named) == ""


class InOrder:
    """Stands for processes that take a moment; keeps who began when who had ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.seen: dict[str, list[str]] = {}

    def __call__(self, plan, generation, corpus_key, report):
        self.seen[generation] = list(self.ended)
        threading.Event().wait(0.05)
        self.ended.append(generation)
        return 0

    def stop(self):
        """Nothing to stop."""


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_a_student_begins_when_its_teacher_has_ended(files, tmp_path, parallel):
    plan = plan_for(files, tmp_path, generations=("tinybert", "ngram", "bert"), parallel=parallel)
    launch = InOrder()
    assert list(run_all(plan, "", lambda fact: None, launch)) == ["tinybert", "ngram", "bert"]
    assert "bert" in launch.seen["tinybert"]


def test_a_student_imitates_the_comparison_s_teacher_and_costs_what_both_cost(files, tmp_path):
    plan = plan_for(
        files, tmp_path / "out", generations=("tinybert", "bert"), modes=("frozen",), minimal_pairs=(str(files / "minimal.tsv"),)
    )
    results = run_comparison(plan, lambda fact: None, InProcess())
    student, teacher = results.generations
    assert not student.failures and student.pretrain.teacher.generation == "bert"
    assert student.pretrain.tokenizer == teacher.pretrain.tokenizer  # and the settings of a tokenizer are the teacher's alone
    assert student.pretrain_cost == student.pretrain.cpu_seconds + teacher.pretrain.costs.total.cpu_seconds
    assert student.minimal.why_not.startswith("the student imitated its teacher's layers")
    (note,) = [
        note for note in results.notes if note.startswith("TinyBERT imitates BERT: embeddings, block 1, 2 as the teacher's 1, 2 of 2")
    ]
    assert "with that of its teacher" in note
    page = (plan.root / "report.html").read_text(encoding="utf-8")
    assert "pre-training of its teacher, BERT" in page
    assert f"stemma distill {plan.run_folder('bert')} --corpus {files / 'corpus.txt'} --out" in student.pretrain.command
    words = shlex.split(student.pretrain.command)[1:]
    assert parsed(words).teacher == str(plan.run_folder("bert"))
    changed = dataclasses.replace(plan.config, settings=(*plan.config.settings, "bert.training.rate=1e-3"))
    keys = [Stages(one, "tinybert", "", lambda fact: None).base for one in (plan, dataclasses.replace(plan, config=changed))]
    assert keys[0] != keys[1]  # another teacher, another student


def test_a_student_without_its_teacher_is_refused(files, tmp_path):
    with pytest.raises(UsageError, match="name bert too, or leave tinybert out"):
        run_comparison(plan_for(files, tmp_path / "out", generations=("tinybert", "gpt")), lambda fact: None, InProcess())
    assert not (tmp_path / "out").exists()


def test_fewer_trials_of_the_heads_bind_no_baseline(files, tmp_path, monkeypatch):
    """A baseline has a grid of its own: it stays as it is when `trials` changes. They were made anew, as if they had fewer."""
    made = []
    monkeypatch.setattr(compare_module, "_baseline", lambda rival, *rest: made.append(rival.name) or made_up_row(rival.name))
    for trials in (3, 1):
        rows = compare_module._baselines(plan_for(files, tmp_path, trials=trials), lambda fact: None)
    assert made == ["majority", "tfidf"] == [row.name for row in rows]


def made_up_row(name):
    """A baseline that answered nothing."""
    return {"name": name, "title": name, "short": name, "head": "", "measures": {}, "answers": [], "seconds": 0.0}


def test_one_failure_stops_no_other_generation(files, tmp_path):
    plan = plan_for(files, tmp_path / "out", modes=("frozen",))
    results = run_comparison(plan, lambda fact: None, InProcess(broken="ngram.score"))
    ngram, vectors = results.generations
    assert ngram.failed and not vectors.failed
    assert ngram.failures == (Failure("ngram.score", "UsageError", "it broke. Expected: it to hold. glue it.", UsageError.exit_code),)
    assert "frozen" in ngram.modes and ngram.score is None and "ngram" in str(failed(results))
    assert "glue it." in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    mended = InProcess()
    assert failed(run_comparison(plan, lambda fact: None, mended)) is None and mended.made == ["ngram.score"]


def test_a_process_that_dies_is_reported(files, tmp_path):
    plan = plan_for(files, tmp_path / "out", generations=("ngram",), modes=("frozen",))

    class Killed(InProcess):
        def __call__(self, *_):
            return -9

    results = run_comparison(plan, lambda fact: None, Killed())
    assert "want of memory" in results.generations[0].failures[0].message and failed(results).exit_code == 4
    assert results.headline.title.startswith("No generation finished")


def test_killed_in_its_own_process_it_goes_on(files, tmp_path):
    """The real thing: a process a generation, SIGKILL to the parent, and the same call again."""
    out = tmp_path / "out"
    plan = plan_for(files, out, generations=("ngram",), modes=("frozen",))
    code = (
        "import sys\nfrom stemma.evaluation.comparison.compare import compare\n"
        "from stemma.evaluation.comparison.plan import Comparison\nfrom pathlib import Path\n"
        "plan = Comparison.load(Path(sys.argv[1]))\n"
        "compare(plan.corpus, train=plan.train, dev=plan.dev, out=plan.out, generations=plan.generations, config=plan.config)"
    )
    plan.save()
    child = subprocess.Popen([sys.executable, "-c", code, str(out)])
    for _ in range(1200):
        if (out / "stages" / "ngram.pretrain.json").exists() or child.poll() is not None:
            break
        time.sleep(0.05)  # until the first stage stands: what is killed afterwards varies
    child.send_signal(signal.SIGKILL)
    child.wait()
    stamp = (out / "stages" / "ngram.pretrain.json").stat().st_mtime_ns
    results = compare(plan.corpus, train=plan.train, dev=plan.dev, out=out, generations=("ngram",), config=plan.config)
    assert failed(results) is None and results.generations[0].modes["frozen"].measures["accuracy"].value > 0.5
    assert (out / "stages" / "ngram.pretrain.json").stat().st_mtime_ns == stamp


def test_stages_are_kept_by_their_key(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"examples": 3, "tokens": 5, "units": 2}

    for _ in range(2):
        assert staged(tmp_path, "a.stage", key_of("x"), CutOff, make) == CutOff(3, 5, 2)
    assert len(made) == 1 and kept(tmp_path, "a.stage", key_of("y"), CutOff) is None


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"budget_seconds": 5.0}, "drop budget_tokens"),
        ({"settings": ("training.nothing=1",)}, "training.nothing"),
        ({"preset": "huge"}, "choose one of these"),
    ],
)
def test_what_is_wrong_is_reported_before_anything_is_made(files, tmp_path, changes, cure):
    plan = plan_for(files, tmp_path / "out", **changes)
    with pytest.raises(UsageError, match=cure):
        run_comparison(plan, lambda fact: None, InProcess())
    assert not (tmp_path / "out").exists()


def test_a_second_comparison_in_the_same_folder_touches_nothing(files, tmp_path, monkeypatch):
    monkeypatch.setattr(tokens_files, "GRACE_SECONDS", 0.0)
    with one_writer(tmp_path / "out"), pytest.raises(RunError, match="in use by another process"):
        run_comparison(plan_for(files, tmp_path / "out"), lambda _: None, Processes())
    assert not (tmp_path / "out").exists()


def test_a_dev_label_that_cannot_be_learnt_is_reported(files, tmp_path):
    (tmp_path / "dev.tsv").write_text("label\ttext\nunicorn\tit shines\ncat\tit purrs\n", encoding="utf-8")
    plan = dataclasses.replace(plan_for(files, tmp_path / "out"), dev=str(tmp_path / "dev.tsv"))
    with pytest.raises(DataError, match=r"dev.tsv:2: the label 'unicorn' .* add training examples of it"):
        run_comparison(plan, lambda fact: None, InProcess())


def test_the_plan_is_read_back_as_it_was_written(files, tmp_path):
    plan = plan_for(files, tmp_path / "out")
    plan.save()
    assert Comparison.load(plan.root) == plan


def test_settings_go_to_whom_they_name(files, tmp_path):
    plan = plan_for(
        files,
        tmp_path / "out",
        settings=("gpt.model.width=64", "training.rate=1e-3", "transfer.epochs=2"),
        budget_tokens=0,
        budget_seconds=9.0,
    )
    sense = ["training.most_passes=40", "training.patience=2"]  # equal seconds, but not without end over a small text
    assert plan.pretraining("gpt") == ["training.held_out=0.1", "training.seconds=9.0", *sense, "model.width=64", "training.rate=1e-3"]
    assert plan.pretraining("word2vec")[1:3] == ["training.seconds=9.0", sense[0]] and sense[1] not in plan.pretraining("word2vec")
    assert not set(sense) & {*plan.pretraining("glove"), *plan.pretraining("ngram")}
    assert "model.width=64" not in plan.pretraining("bert") and plan.transfer("frozen")[-1] == "transfer.epochs=2"
    ways = dataclasses.replace(plan, config=dataclasses.replace(plan.config, settings=("transfer.lora=4", "transfer.first_on_text=900")))
    read = {way: ways.transfer(way)[-2:] for way in ("finetune", "scratch", "frozen-network")}
    assert read["finetune"] == ["transfer.lora=4", "transfer.first_on_text=900"]
    assert read["frozen-network"][-1] == "transfer.first_on_text=900" and "transfer.lora=4" not in read["frozen-network"]
    assert not {"transfer.lora=4", "transfer.first_on_text=900"} & {*read["scratch"]}
    assert ways.transfer_config("scratch").lora == ways.transfer_config("scratch").first_on_text == 0
    counting = plan_for(files, tmp_path / "out", settings=(), budget_tokens=500)
    assert "objective.tokens=500" in counting.pretraining("glove") and "training.tokens=500" in counting.pretraining("word2vec")
    assert 'tokenizer.kind="bpe"' in plan.pretraining("ngram") and not any("seconds" in s for s in plan.pretraining("ngram"))


def test_a_setting_applies_to_those_that_read_it(files, tmp_path):
    names = ("ngram", "word2vec", "gpt", "bert", "albert", "tinybert")
    settings = ("tokenizer.min_count=2", "model.heads=2", "buckets=500", "word2vec.model.subwords=true", "tokenizer.lowercase=true")
    plan = plan_for(files, tmp_path / "out", generations=names, settings=settings)
    counted = ["word2vec", "bert", "albert"]  # n-grams have GPT's bytes beside others, TinyBERT its teacher's tokens
    assert plan.readers("tokenizer.min_count=2") == plan.readers("tokenizer.lowercase=true") == counted
    assert plan.readers("model.heads=2") == ["gpt", "bert", "albert", "tinybert"]
    assert plan.readers("buckets=500") == ["word2vec"]  # which has subwords, by a setting of its own
    assert not {*settings} & {*plan.pretraining("ngram")} and plan.pretraining("tinybert")[-1] == "model.heads=2"
    assert plan.pretraining("word2vec")[-4:] == [settings[0], settings[2], "model.subwords=true", settings[4]]
    notes = []
    compare_module._check(plan)
    compare_module._tell_unread(plan, lambda fact: notes.append(fact.message))
    assert notes[0] == "tokenizer.min_count=2 applies to those that read it, not to ngram and gpt"
    assert len(notes) == 4 and notes[1].startswith("model.heads=2 ") and notes[1].endswith("not to ngram and word2vec")


def test_an_optimiser_of_blocks_and_its_options_apply_to_those_that_have_blocks(files, tmp_path):
    names, settings = (
        ("lstm", "gpt", "bert"),
        ('training.optimiser="muon"', "muon_rate=0.03", "training.momentum=0.9", "training.betas=[0.9,0.9]"),
    )
    plan = plan_for(files, tmp_path / "out", generations=names, preset="base", settings=("bert.training.optimiser=adamw", *settings))
    compare_module._check(plan)
    assert plan.readers(settings[0]) == ["gpt", "bert"] and plan.readers(settings[1]) == plan.readers(settings[2]) == ["gpt", "bert"]
    lstm = plan.job("lstm").sections["training"]
    assert plan.readers(settings[3]) == [*names] and (lstm.optimiser, lstm.betas, lstm.momentum) == ("adamw", (0.9, 0.9), None)
    assert plan.job("gpt").sections["training"].muon_rate == 0.03
    with pytest.raises(UsageError, match="lstm has no blocks, whose matrices it moves"):
        compare_module._check(plan_for(files, tmp_path / "out", generations=("lstm", "ngram"), settings=settings[:1]))


@pytest.mark.parametrize(
    ("names", "setting", "message"),
    [
        (("ngram", "gpt"), "tokenizer.min_count=2", r"tokenizer\.min_count = 2 with tokenizer\.kind = bpe, where nothing reads it"),
        (("ngram", "gpt"), "tokenizer.lowercase=true", "drop lowercase, or set kind = word"),
        (("bert", "word2vec"), "model.buckets=500", "set model.subwords"),
        (("bert", "tinybert"), "tokenizer.min_cuont=2", "did you mean 'min_count'"),
        (("tinybert", "bert"), "min_cuont=2", "did you mean 'min_count'"),
        (("gpt", "bert"), "bert.model.haeds=2", "did you mean 'heads'"),
        (("gpt", "bert"), "model.heads=two", "model.heads = 'two'"),
        (("gpt", "ngram"), "model.heads", "is not key=value"),
    ],
)
def test_a_setting_that_no_generation_reads_is_refused(files, tmp_path, names, setting, message):
    with pytest.raises(UsageError, match=message):
        compare_module._check(plan_for(files, tmp_path / "out", generations=names, settings=(setting,)))


def test_the_meter_measures_a_block():
    with Meter() as meter:
        held = np.ones(30_000_000)
        held += 1
    assert meter.costs["peak_bytes"] > held.nbytes and 0 < meter.costs["wall_seconds"] < 60 and meter.costs["cpu_seconds"] > 0
    assert environment()["cores"] >= 1 and environment()["torch"]


def test_processes_hand_on_the_facts_of_generations_at_once(files, tmp_path, capfd):
    plan = plan_for(files, tmp_path / "out", generations=("ngram", "gpt"), modes=("frozen",), parallel=2, threads=1)
    plan.save()
    (plan.root / "held-out.json").write_text('[["the cat purrs ."]]', encoding="utf-8")
    facts = []
    assert run_all(plan, "no such corpus", facts.append, Processes()) == {"ngram": 0, "gpt": 0}
    assert {(fact.of, fact.message) for fact in facts if fact.kind == "note"} >= {
        (name, stage) for name in ("ngram", "gpt") for stage in ("pretrain", "frozen")
    }
    assert len(list((plan.root / "store").iterdir())) == 1  # both read the one store, built once
    doubts = [fact.message for fact in facts if fact.kind == "note" and fact.of == "gpt" and "it learnt for" in fact.message]
    assert len(doubts) == len(set(doubts)) > 0 and "Warning" not in capfd.readouterr().err  # warnings are notes, each once


def test_a_stopped_comparison_stops_its_processes(files, tmp_path):
    plan = plan_for(files, tmp_path / "out", generations=("gpt", "bert", "ngram"), budget_tokens=50_000_000, parallel=2)
    plan.save()
    launch, moving = Processes(), set()

    def stop_both(fact):
        if fact.kind == "step":
            moving.add(fact.of)
        if len(moving) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(plan, "no such corpus", stop_both, launch)
    assert moving == {"gpt", "bert"} and not launch._children
    for name in moving:  # each saved what it had, and ngram never began
        assert RunFolder.open(plan.run_folder(name)).load_state() is not None
    assert not plan.run_folder("ngram").exists()


def test_what_is_damaged_of_a_comparison_is_made_again(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"kind": "words", "title": "t"}

    @dataclass(frozen=True)
    class Words:
        kind: str
        title: str

    for change in (lambda data: data, lambda data: data[:-9], lambda data: data.replace(b"words", b"wordz"), lambda data: b"null"):
        staged(tmp_path, "x", "key", Words, make)
        place = stage_path(tmp_path, "x")
        place.write_bytes(change(place.read_bytes()))
        assert kept(tmp_path, "x", "other", Words) is None
    assert staged(tmp_path, "x", "key", Words, make) == Words("words", "t") and len(made) == 4
    text = [Document(("the cat purrs .", "猫叫。"), "a.txt", joins=(" ",), lead="\n")]
    write_held_out(tmp_path, text)
    assert read_held_out(tmp_path) == text
    place = tmp_path / "held-out.json"
    place.write_bytes(place.read_bytes().replace(b"purrs", b"barks"))
    with pytest.raises(DamagedError, match=r"held-out\.json is damaged.*makes both again"):
        read_held_out(tmp_path)
