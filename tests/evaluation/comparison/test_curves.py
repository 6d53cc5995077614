"""What pre-training buys, in a comparison: curves whose ends are the ordinary figures, probes, and going on after a kill."""

import dataclasses
import json
import shlex

import numpy as np
import pytest
from tests.evaluation.comparison.test_compare import InProcess, files, plan_for  # noqa: F401 (a fixture)

from stemma.checkpoint import RunFolder
from stemma.cli.main import parsed
from stemma.errors import DataError, UsageError
from stemma.evaluation.comparison.compare import run_comparison
from stemma.evaluation.comparison.curve_stages import labels_for, times_fewer
from stemma.evaluation.comparison.forecast import expected, guessed_speed
from stemma.evaluation.comparison.results import Results, read
from stemma.evaluation.comparison.stages import Stages, stage_path
from stemma.evaluation.report.wording import CONTROLS
from stemma.transfer.loss_curves import Saved

WAYS = ("frozen", "random", "finetune", "scratch")
QUICK = ("transfer.threads=1", "transfer.updates=6", "transfer.epochs=1", "model.width=16", "model.inner=16", "tokenizer.vocab_size=300")
OWN = ("ngram.tokenizer.vocab_size=300", "bert.training.precision=fp32", "transfer.precision=fp32")


@pytest.fixture(scope="module")
def plan(files, tmp_path_factory):  # noqa: F811
    """A network of two blocks, and a model of counts."""
    asked = {
        "label_shares": (0.2,),
        "curves": ("layers", "updates", "tokens"),
        "probes": (str(files / "dev.tags.txt"), str(files / "senses.tsv")),
    }
    settings = tuple(f"bert.{setting}" if setting.startswith(("model", "token")) else setting for setting in QUICK) + OWN
    options = {"modes": WAYS, "settings": settings, "seeds": 2, "generations": ("ngram", "bert"), "budget_tokens": 2000, **asked}
    return plan_for(files, tmp_path_factory.mktemp("curves"), **options)


@pytest.fixture(scope="module")
def compared(plan):
    """The comparison, killed within the stages of layers and of tokens, and continued each time."""
    parts, begun = {}, []
    carried, pretrained = Stages.carried, Stages.pretrain

    def killed(self, name, way, *more):
        kept = {
            stage: sorted(path.name for path in stage_path(plan.root, "x").parent.glob(f"bert.{stage}*")) for stage in ("layers", "tokens")
        }
        second = self.name == "bert" and way == "finetune" and sum("pretrain" in part for part in kept["tokens"]) == 2
        for stage, here in (("layers", name == "layers.2"), ("tokens", name.startswith("tokens.") and second)):
            if here and stage not in parts:
                parts[stage] = kept[stage]
                raise KeyboardInterrupt
        return carried(self, name, way, *more)

    def counted(self):
        begun.append((self.name, self.tokens))
        return pretrained(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stages, "carried", killed)
        patch.setattr(Stages, "pretrain", counted)
        for _ in range(2):
            with pytest.raises(BaseException, match="goes on where it was"):
                run_comparison(plan, lambda fact: None, InProcess())
        last = InProcess()
        results = run_comparison(plan, lambda fact: None, last)
    return results, parts, last.made, begun


def primary(result):
    return result.measures["accuracy"]


def test_a_killed_curve_goes_on_with_the_part_that_is_missing(compared, plan):
    results, parts, made, begun = compared
    assert "bert.layers.1.json" in parts["layers"] and "bert.layers.2.json" not in parts["layers"]
    assert [part.split(".")[-2] for part in parts["tokens"] if part.endswith("json")].count(
        "frozen"
    ) == 2  # the second's fine-tuning is missing
    assert made == ["bert.tokens", "bert.probes"] and len(begun) == len({*begun})
    assert results.generations[1].layers.costs.lost.seconds == 0  # the part that was made is not lost, and no other had begun
    assert not list(stage_path(plan.root, "x").parent.glob("*.begun"))


def test_all_labels_give_the_ordinary_figure_and_fewer_a_figure_of_their_own(compared):
    results, *_ = compared
    for generation in results.generations:
        curves = generation.labels.ways
        assert set(curves) == set(generation.modes)
        for way, (few, every) in curves.items():
            assert every.quality == primary(generation.modes[way]) and every.seeds == generation.modes[way].seeds
            assert (few.examples, every.examples) == (12, 60) and few.share == 0.2
    assert results.generations[1].labels.seconds > 0


def test_no_layer_is_from_scratch_and_all_are_fine_tuned(compared):
    results, *_ = compared
    ngram, bert = results.generations
    assert ngram.layers is None and ngram.updates is None and ngram.probes is None
    points = bert.layers.points
    assert [point.loaded for point in points] == list(range(len(points)))
    assert [points[0].layer, points[1].layer, points[-1].layer] == ["", "embeddings", "top"]
    assert points[0].quality == primary(bert.modes["scratch"]) and points[-1].quality == primary(bert.modes["finetune"])


def test_curves_of_loss_begin_before_the_first_update_and_end_after_the_last(compared):
    results, *_ = compared
    updates = results.generations[1].updates
    assert [seed.seed for seed in updates.seeds] == [1, 2]
    for seed in updates.seeds:
        for points in (seed.finetuned, seed.scratch):
            assert (points[0].updates, points[-1].updates) == (0, 6)
        assert seed.saved.loss == min(point.loss for point in seed.scratch)
    assert updates.times == times_fewer([seed.saved for seed in updates.seeds])


def test_fewer_tokens_are_runs_of_their_own_with_the_same_tokens_and_all_of_them_the_ordinary_one(compared, plan):
    results, *_, begun = compared
    for generation in results.generations:
        curves, whole = generation.tokens, generation.pretrain.tokens
        assert [budget.share for budget in curves.budgets] == [1 / 64, 1 / 16, 1 / 4, 1]
        asked = [round(budget.share * whole) for budget in curves.budgets]
        assert [(generation.name, tokens) for tokens in asked[:-1]] == [one for one in begun if one[0] == generation.name and one[1]]
        assert curves.budgets[-1].tokens == whole and curves.budgets[-1].held_out_loss == generation.pretrain.held_out_loss
        assert set(curves.ways) == {way for way in ("frozen", "finetune") if way in generation.modes}
        for way, points in curves.ways.items():
            assert len(points) == 4 and points[-1].quality == primary(generation.modes[way])
        assert curves.without == {way: primary(generation.modes[CONTROLS[way]]) for way in curves.ways if CONTROLS[way] in generation.modes}
        ordinary = RunFolder.open(plan.run_folder(generation.name))
        for tokens in asked[:-1]:
            fewer = RunFolder.open(plan.run_folder(generation.name, f"tokens-{tokens}"))
            assert (
                fewer.done()["tokens"] < whole
                and (fewer.path / "tokenizer.json").read_bytes() == (ordinary.path / "tokenizer.json").read_bytes()
            )


def test_a_budget_of_tokens_takes_the_place_of_any_other(plan):
    config = dataclasses.replace(
        plan.config, budget_tokens=0, budget_seconds=9.0, settings=("bert.training.steps=5", "glove.objective.tokens=7")
    )
    timed = dataclasses.replace(plan, config=config)
    settings = timed.pretraining("bert", 100)
    assert "training.tokens=100" in settings and "training.patience=2" in settings
    assert not [setting for setting in settings if setting.startswith(("training.seconds", "training.steps"))]
    assert [setting for setting in timed.pretraining("glove", 100) if "tokens" in setting] == ["objective.tokens=100"]
    assert "training.tokens=100" in timed.pretraining("ngram", 100)


def test_probes_of_files_stand_in_the_report(compared, plan):
    results, *_ = compared
    tags, senses = results.generations[1].probes.files
    assert (tags.about, senses.about) == ("tags", "senses") and len(tags.layers) == 3
    assert all(layer.random.seeds == 3 for layer in tags.layers)
    written = read(Results, json.loads((plan.root / "report.json").read_text(encoding="utf-8")), "report.json")
    assert written.generations[1] == results.generations[1]


def test_the_command_and_the_forecast_name_the_curves(compared, plan):
    results, *_ = compared
    again = parsed(shlex.split(results.command)[1:])
    assert (again.label_shares, again.curves, again.probes) == ((0.2,), ("layers", "updates", "tokens"), plan.config.probes)
    seconds = expected(plan, lambda row: guessed_speed(plan, row))
    assert {("ngram", "labels"), *(("bert", stage) for stage in ("labels", "layers", "updates", "tokens", "probes"))} <= seconds.keys()
    assert ("ngram", "layers") not in seconds and all(value > 0 for value in seconds.values())


def test_shares_are_whole_numbers_of_examples():
    assert [labels_for(share, 60) for share in (0.001, 0.01, 0.1, 1.0)] == [2, 2, 6, 60]
    assert labels_for(0.5, 1) == 1


def test_times_fewer_is_the_geometric_mean_and_never_where_a_seed_never_came():
    few, many = Saved(0.5, 40, 10), Saved(0.5, 90, 10)
    found = times_fewer([few, many])
    assert found.value == pytest.approx(6.0) and found.low < 6 < found.high and found.seeds == 2
    assert times_fewer([few, dataclasses.replace(many, finetuned=None)]) is None
    alone = times_fewer([few])
    assert alone.low == alone.value == alone.high == pytest.approx(4.0) and np.isfinite(alone.value)


@pytest.mark.parametrize(
    ("changes", "error", "cure"),
    [
        ({"label_shares": (0.01,)}, UsageError, "name a larger share"),
        ({"probe_limit": 7}, UsageError, "drop --probe-limit"),
        ({"probes": ("nowhere.txt",)}, DataError, "nowhere.txt"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is_trained(files, tmp_path, changes, error, cure):  # noqa: F811
    with pytest.raises(error, match=cure):
        run_comparison(plan_for(files, tmp_path / "out", **changes), lambda fact: None, InProcess())
    assert not (tmp_path / "out/plan.json").exists()
