"""What a comparison costs: everything is counted for each who needs it, in parts, and the machine's other work is reported."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import pytest

from stemma.cli.compare import compared as shown
from stemma.cli.compare import forecast_lines
from stemma.errors import Interrupted
from stemma.evaluation.comparison import assemble
from stemma.evaluation.comparison import compare as room
from stemma.evaluation.comparison.attempts import Attempt
from stemma.evaluation.comparison.compare import foresee, run_comparison
from stemma.evaluation.comparison.environment import Meter
from stemma.evaluation.comparison.forecast import A_STAGE, Forecast, Speed, Whole, expected
from stemma.evaluation.comparison.load import Reading, family_seconds, read_load, taken_by_others
from stemma.evaluation.comparison.plan import Comparison, Config
from stemma.evaluation.comparison.results import Circumstances, Cost, Costs, MinimalTests
from stemma.evaluation.comparison.stages import Stages, run_stages
from stemma.evaluation.report.headline import headline
from stemma.evaluation.report.standings import Standings
from stemma.kernels.clocks import Spent, working
from stemma.training.facts import Ahead, Note, Saved, StageEnd
from stemma.training.ingest import _Reading

BURN = "import time\nwhile time.process_time() < 0.3: pass"
SMALL = ("model.width=16", "model.depth=1", "model.heads=2", "model.inner=32", "model.max_length=32", "training.batch_tokens=128")
SETTINGS = (
    "tokenizer.vocab_size=300",
    "gpt.training.precision=fp32",
    *(f"gpt.{setting}" for setting in SMALL),
    "transfer.updates=4",
    "transfer.epochs=1",
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A text and a task in both languages."""
    home = tmp_path_factory.mktemp("text")
    lines = [f"the cat purrs on day {n} .\n鱼 在 水里 游泳 {n}\n" for n in range(120)]
    (home / "corpus.txt").write_text("\n".join(lines), encoding="utf-8")
    for name, count in (("train", 20), ("dev", 10)):
        rows = [f"{label}\t{text} {n}" for n in range(count) for label, text in (("cat", "it purrs"), ("鱼", "在 水里"))]
        (home / f"{name}.tsv").write_text("\n".join(["label\ttext", *rows]) + "\n", encoding="utf-8")
    return home


def plan_for(files, out, **changes) -> Comparison:
    config = Config(preset="tiny", seeds=1, trials=1, held_out=0.1, modes=("finetune",), settings=SETTINGS, budget_tokens=2000)
    text, train, dev = (str(files / name) for name in ("corpus.txt", "train.tsv", "dev.tsv"))
    return Comparison((text,), "classify", train, dev, str(out), ("ngram", "gpt"), dataclasses.replace(config, **changes))


def test_a_title_of_white_space_is_none(files, tmp_path):
    titles = {given: plan_for(files, tmp_path, title=given).title for given in ("", "  ", " 鱼 ")}
    assert titles == {"": "corpus.txt", "  ": "corpus.txt", " 鱼 ": "鱼"}


class Here:
    """Runs the stages in this process; `hear` gets every fact before the comparison does."""

    def __init__(self, hear=lambda fact: None) -> None:
        self.hear = hear

    def __call__(self, plan, generation, corpus_key, report):
        def progress(fact):
            self.hear(fact)
            report(fact)

        try:
            list(run_stages(Stages(plan, generation, corpus_key, progress), plan.root))
        except KeyboardInterrupt:
            return Interrupted.exit_code
        return 0

    def stop(self):
        """Nothing runs beside."""


@pytest.fixture(scope="module")
def compared(files, tmp_path_factory):
    """A comparison stopped in the midst of GPT's training and of its fine-tuning, taken up with another number of threads."""
    settings = (*SETTINGS, "gpt.training.save_seconds=1e-6")
    plan = plan_for(files, tmp_path_factory.mktemp("out"), title="Kater & 鱼", settings=settings)
    facts = []

    def stop_training(fact):
        if isinstance(fact, Saved) and fact.step == 3:
            raise KeyboardInterrupt

    def stop_tuning(fact):
        if fact.kind == "step" and (plan.root / "stages" / "gpt.finetune.begun").exists():
            raise KeyboardInterrupt

    other = dataclasses.replace(plan, config=dataclasses.replace(plan.config, threads=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.setattr(room, "mean_load", lambda: 64.0 * (os.cpu_count() or 1))
        for hear in (stop_training, stop_tuning):
            with pytest.raises(Interrupted):
                run_comparison(plan, lambda fact: None, Here(hear))
        return plan, facts, run_comparison(other, facts.append, Here())


def test_reading_is_counted_for_each_who_needs_it(compared):
    _, _, results = compared
    ngram, gpt = (generation.pretrain for generation in results.generations)
    assert gpt.costs.found and not ngram.costs.found  # the same tokens, made for the first
    assert gpt.costs.reading == ngram.costs.reading != Cost() and gpt.costs.tokenizing == ngram.costs.tokenizing != Cost()
    for trained in (ngram, gpt):
        costs = trained.costs
        assert trained.reading_seconds == pytest.approx(costs.reading.seconds + costs.tokenizing.seconds)
        assert trained.cpu_seconds == pytest.approx(costs.total.cpu_seconds)
        assert costs.total.cpu_seconds >= costs.reading.cpu_seconds + costs.tokenizing.cpu_seconds + costs.training.cpu_seconds > 0
        assert costs.training.seconds == trained.seconds


def test_costs_survive_a_stop_and_what_was_lost_is_told_apart(compared):
    _, _, results = compared
    gpt = results.generations[1]
    curve = gpt.pretrain.curve
    assert gpt.pretrain.costs.training.seconds == pytest.approx(curve[-1].seconds) and curve[2].seconds < curve[-1].seconds
    tuned = gpt.modes["finetune"].costs
    assert tuned.lost.seconds > 0 and tuned.lost.cpu_seconds > 0  # fine-tuning begins anew
    assert tuned.total.seconds == tuned.training.seconds == gpt.modes["finetune"].seconds
    assert results.generations[0].modes["finetune"].costs.lost == Cost()
    assert not list((compared[0].root / "stages").glob("*.begun"))


def test_threads_changed_on_the_way_are_shown(compared):
    _, _, results = compared
    assert "threads chosen by their speed on" in results.environment.changed and "2 threads asked for on" in results.environment.changed
    assert results.environment.changed in results.notes
    made = results.generations[1].modes["finetune"].costs.made
    assert made.asked_threads == 2 and results.generations[0].pretrain.costs.made.asked_threads == 0


def test_a_machine_that_is_busy_already_is_reported_first(compared):
    _, facts, _ = compared
    notes = [fact.message for fact in facts if isinstance(fact, Note)]
    assert any("the machine is busy already" in note for note in notes[:2])  # before any work, beside what is odd about the examples


def test_the_command_names_the_threads_that_all_computed_with(compared):
    plan, _, results = compared
    plan = dataclasses.replace(plan, config=dataclasses.replace(plan.config, threads=0))
    threads = {made.threads for _, costs in assemble.measured(results.generations[1:]) if (made := costs.made)}
    settled = assemble._settled_threads(results.generations)  # the first one counts
    assert settled == (threads.pop() if len(threads) == 1 else 0)
    assert "--threads 3" in assemble._command(plan, 3) and "--threads" not in assemble._command(plan, 0)


def test_the_console_tells_title_and_cautions(compared):
    plan, _, results = compared
    machine = dataclasses.replace(results.environment, busy="The machine was busy.")
    busy = dataclasses.replace(results, environment=machine)
    answer = "".join(shown(plan.root, dataclasses.replace(busy, headline=headline(Standings(busy)))).pieces("lines"))
    assert answer.startswith("Kater & 鱼\n") and "warning: The machine was busy.\nwarning: Not all was computed alike" in answer


def test_a_title_stands_in_results_page_and_command(compared):
    plan, _, results = compared
    assert results.title == "Kater & 鱼" and "--title 'Kater & 鱼'" in results.command
    assert "Kater &amp; 鱼" in (plan.root / "report.html").read_text(encoding="utf-8")


def test_baselines_have_a_cost(compared):
    pytest.importorskip("sklearn")
    tfidf = compared[2].baselines[1]
    assert tfidf.name == "tfidf" and tfidf.cpu_seconds == tfidf.costs.total.cpu_seconds > 0 and tfidf.peak_bytes > 10**7


def test_baselines_have_circumstances_and_settings_as_generations_have(compared):
    pytest.importorskip("sklearn")
    plan, _, results = compared
    majority, tfidf = results.baselines
    assert majority.costs.made.threads == 1 and majority.trials == 1 and not majority.settings
    assert tfidf.costs.made.threads >= 1 and tfidf.costs.made.asked_threads == 0
    assert tfidf.settings == {"C": tfidf.settings["C"]} and tfidf.trials == 5
    assert "TF-IDF + LR" in results.environment.changed  # made before the number of threads was
    assert any(note.startswith("The TF-IDF + logistic regression: multinomial") for note in results.notes)
    page = (plan.root / "report.html").read_text(encoding="utf-8")
    assert f"C = {tfidf.settings['C']:g}</td>" in page
    made = Circumstances(2, 2, 2, "a cpu", 0.9, 3.0)
    busy = dataclasses.replace(tfidf, costs=Costs(training=Cost(3.0, 2.0), made=made))
    assert "90% at most (TF-IDF + LR)" in assemble.circumstances([], [busy])["busy"] and assemble.threads_of([], [busy]) == 2


def test_a_baseline_computes_with_the_threads_asked_for(files, tmp_path):
    pytest.importorskip("sklearn")
    rows = room._baselines(plan_for(files, tmp_path, threads=1), lambda fact: None)
    assert [(row.costs.made.threads, row.costs.made.asked_threads) for row in rows] == [(1, 1), (1, 1)]


def test_the_progress_of_the_whole_comes_to_its_end(compared):
    _, facts, _ = compared
    ahead = [fact for fact in facts if isinstance(fact, Ahead)]
    assert [fact.done for fact in ahead] == [1, 2, 3, 4, 5, 6] and {fact.stages for fact in ahead} == {6}
    assert ahead[-1].share == 1.0 and ahead[-1].seconds_left == 0.0
    ends = [(fact.of, fact.stage, fact.how) for fact in facts if isinstance(fact, StageEnd)]
    assert ends[0] == ("ngram", "pretrain", "kept") and ends[-1] == ("gpt", "finetune", "made")


def test_time_left_follows_what_stages_really_take(files, tmp_path):
    facts = []
    seconds = {("ngram", "pretrain"): 1.0, ("ngram", "score"): 1.0, ("gpt", "pretrain"): 6.0, ("gpt", "score"): 2.0}
    whole = Whole(plan_for(files, tmp_path), facts.append, seconds)
    assert whole.ahead() == Ahead(0, 4, 0.0, 10.0)
    whole(StageEnd("pretrain", "kept", of="ngram"))
    assert facts[-1] == Ahead(1, 4, pytest.approx(0.1), 9.0)
    whole(StageEnd("score", "made", 3.0, of="ngram"))  # three times as long as expected, and so will the rest be
    assert facts[-1] == Ahead(2, 4, pytest.approx(0.2), 24.0)
    whole(StageEnd("pretrain", "failed", 1.0, of="gpt"))  # its score is not tried
    assert facts[-1] == Ahead(4, 4, 1.0, 0.0)


def test_a_dry_run_tells_what_would_be_done_and_leaves_nothing(files, tmp_path):
    found = foresee(plan_for(files, tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
    ngram, gpt = found.generations
    assert [*ngram.stages] == [*gpt.stages] == ["pretrain", "score", "finetune"] and not ngram.finished
    assert gpt.plan.tokens == pytest.approx(2000, rel=0.2) and gpt.plan.steps > 0 and ngram.plan.steps == 0
    assert ngram.stages["finetune"] < 30  # it counts the texts, and makes no updates
    assert found.seconds == pytest.approx(sum(ngram.stages.values()) + sum(gpt.stages.values()))
    assert found.memory_mib == max(ngram.plan.memory_mib, gpt.plan.memory_mib) > 10 and found.disk_mib > gpt.plan.disk_mib > 0


def test_a_forecast_grows_with_what_is_read(files, tmp_path):
    """Twice the examples, twice as long texts, more trials and seeds, more occurrences: each as many times the seconds."""
    speed, stages = Speed(5.0, 100.0, 1e-3, 2.0), ("finetune", "frozen", "senses", "minimal-pairs", "words")

    def seconds(examples=1, long=1, probes=1, **changes):
        words = "it purrs " * (10 * long)
        (tmp_path / "t.tsv").write_text("label\ttext\n" + f"a\t{words}\nb\t{words}\n" * (500 * examples), encoding="utf-8")
        sense = "".join(f"bank\t0\t{k % 2}\t{'bank of it ' * (4 * long)}\n" for k in range(20 * probes))
        (tmp_path / "s.tsv").write_text("word\tindex\tsense\tsentence\n" + sense, encoding="utf-8")
        pairs = f"x\t{'a b ' * 8 * long}\t{'b a ' * 8 * long}\n" * (30 * probes)
        (tmp_path / "m.tsv").write_text("phenomenon\tgood\tbad\n" + pairs, encoding="utf-8")
        (tmp_path / "p.tsv").write_text("a\tb\t1\n" * (200 * probes), encoding="utf-8")
        options = {"senses": str(tmp_path / "s.tsv"), "minimal_pairs": (str(tmp_path / "m.tsv"),), "similarity": (str(tmp_path / "p.tsv"),)}
        options |= {"settings": ("transfer.epochs=30",), "modes": ("finetune", "frozen"), "trials": 3, "seeds": 1}
        plan = plan_for(files, tmp_path / "out", **(options | changes))
        plan = dataclasses.replace(plan, train=str(tmp_path / "t.tsv"), generations=("word2vec", "gpt", "bert"))
        found = expected(plan, lambda row: speed)
        return {name: {stage: found[name, stage] - A_STAGE for stage in stages if (name, stage) in found} for name in plan.generations}

    first = seconds()
    for name in ("gpt", "bert"):
        more = {key: seconds(**{key: 2})[name] for key in ("examples", "long", "probes")}
        assert more["examples"]["finetune"] == pytest.approx(2 * first[name]["finetune"], rel=0.05)
        assert more["examples"]["frozen"] == pytest.approx(2 * first[name]["frozen"], rel=0.05)
        assert more["long"]["finetune"] == pytest.approx(2 * first[name]["finetune"], rel=0.05)
        assert seconds(long=4)[name]["finetune"] == pytest.approx(128 / 45 * first[name]["finetune"], rel=0.05)  # the rest is cut
        assert more["long"]["senses"] == pytest.approx(2 * first[name]["senses"], rel=0.05)
        assert more["probes"]["senses"] == pytest.approx(2 * first[name]["senses"])
        assert more["probes"]["minimal-pairs"] == pytest.approx(2 * first[name]["minimal-pairs"])
        assert more["long"]["minimal-pairs"] == pytest.approx((2 if name == "gpt" else 4) * first[name]["minimal-pairs"], rel=0.05)
        assert seconds(trials=6)[name]["finetune"] == pytest.approx(2 * first[name]["finetune"])
        assert seconds(seeds=4)[name]["finetune"] == pytest.approx(2 * first[name]["finetune"])
    assert seconds(probes=2)["word2vec"]["words"] == pytest.approx(2 * first["word2vec"]["words"])


def test_a_forecast_says_how_rough_it_is(files, tmp_path):
    lines = [*forecast_lines(Forecast("a title", (), 1, 60.0, 10.0, 1.0))]
    assert any("about 1 min 00 s (30 s to 2 min 00 s) on this machine" in line for line in lines)


def test_a_dry_run_knows_what_is_finished(compared):
    plan, *_ = compared
    before = {path: path.stat().st_mtime_ns for path in plan.root.rglob("*")}
    found = foresee(plan)
    assert found.title == plan.config.title and all(row.finished == ("pretrain", "score", "finetune") for row in found.generations)
    assert found.seconds == 0.0 and before == {path: path.stat().st_mtime_ns for path in plan.root.rglob("*")}


def test_compiling_is_told_apart():
    compiled = numba.njit(lambda x: np.sort(x)[::-1].cumsum())
    with Meter() as meter:
        compiled(np.ones(3))
    assert meter.compiling.seconds > 0.02 and meter.compiling.cpu_seconds > 0.02
    assert meter.working.seconds < 0.5 * meter.compiling.seconds
    with Meter() as again:
        compiled(np.ones(3))
    assert again.compiling == Spent()


def test_helpers_are_counted(tmp_path):
    def stream():
        yield 1
        subprocess.run([sys.executable, "-c", BURN], check=True)
        yield 2

    reading = _Reading(None, tmp_path / "none", print)
    with Meter() as meter:
        assert list(reading._timed(stream())) == [1, 2]
    assert reading.spent.cpu_seconds > 0.25 and meter.working.cpu_seconds > 0.25  # the clocks of processes tick in hundredths


def test_reading_is_not_what_happens_between_two_documents(tmp_path):
    reading = _Reading(None, tmp_path / "none", print)
    for _ in reading._timed(range(3)):
        began = time.process_time()
        while time.process_time() - began < 0.05:
            pass
    assert 0 < reading.spent.seconds < 0.1 and reading.spent.cpu_seconds < 0.05


def test_what_a_stopped_attempt_spent_is_known_to_the_next(tmp_path):
    place = tmp_path / "gpt.finetune.begun"
    with pytest.raises(KeyboardInterrupt), Attempt(place, "key"):
        began = time.process_time()
        while time.process_time() - began < 0.05:
            pass
        raise KeyboardInterrupt
    with Attempt(place, "key") as second:
        assert second.before.cpu_seconds >= 0.05 and second.holds(time.time()) and not second.holds(0.0)
        assert second.lost(Spent(0.0, 0.0)) == second.before and second.lost(Spent(9.0, 9.0)) == Spent()
    assert not place.exists()
    place.write_text(json.dumps({"key": "other", "seconds": 5.0, "cpu_seconds": 5.0, "first": 0.0, "last": 1.0}), encoding="utf-8")
    assert Attempt(place, "key").before == Spent()


def test_what_others_take_is_what_is_left_of_the_busy_time():
    before, after = Reading(0.0, 100.0, 10.0, 4), Reading(10.0, 130.0, 20.0, 4)  # 30 s of 40 were busy, 10 of them ours
    assert taken_by_others(before, after) == pytest.approx(0.5)
    assert taken_by_others(before, dataclasses.replace(after, ours=45.0)) == 0.0
    assert taken_by_others(before, dataclasses.replace(after, clock=0.1)) is None and taken_by_others(None, after) is None


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not tell")
def test_children_are_family_and_strangers_are_not():
    before, alone = read_load(os.getpid()), family_seconds(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", BURN])
    child.wait()
    assert family_seconds(os.getpid()) - alone >= 0.25
    after = read_load(os.getpid())
    assert after.ours - before.ours >= 0.25 and after.busy > before.busy
    assert family_seconds(child.pid) == 0.0


def test_a_busy_machine_is_reported(compared):
    *_, results = compared
    made = Circumstances(1, 0, 2, "a cpu", 0.4, 3.0)
    generation = results.generations[1]
    score = dataclasses.replace(generation.score.found, costs=Costs(measuring=Cost(1.0, 1.0), made=dataclasses.replace(made, others=0.8)))
    busy = dataclasses.replace(
        generation,
        pretrain=dataclasses.replace(generation.pretrain, costs=Costs(training=Cost(3.0, 2.0), made=made)),
        score=dataclasses.replace(generation.score, found=score),
        modes={},
    )
    circumstances = assemble.circumstances([busy])
    assert (
        circumstances["others"] == pytest.approx(0.5)
        and "other programs took 50% of its cores on average, 80% at most (GPT, score)" in circumstances["busy"]
    )
    assert circumstances["changed"] == ""
    pairs = MinimalTests("none were given", costs=Costs(measuring=Cost(1.0, 1.0), made=dataclasses.replace(made, asked_threads=1)))
    assert "GPT, minimal-pairs" in assemble.circumstances([dataclasses.replace(busy, minimal=pairs)])["changed"]
    quiet = dataclasses.replace(busy, pretrain=dataclasses.replace(busy.pretrain, costs=Costs(Cost(1.0, 1.0))), score=None)
    assert assemble.circumstances([quiet]) == {"others": None, "busy": "", "changed": ""}


def test_the_clock_of_work_goes_on():
    first = working()
    assert working().minus(first).seconds >= 0 and working() >= first
