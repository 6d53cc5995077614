"""Ways of fine-tuning, each carried through to its run folder: which layers are loaded, which stand still, what is told of it."""

import dataclasses

import numpy as np
import pytest
import torch
from tests.transfer.conftest import CLASSIFY, assigned, lesson_of, make_run
from tests.transfer.made_up_pairs import encoder_decoder, pairs
from tests.transfer.test_journal import Killed, same

from stemma.checkpoint import RunFolder
from stemma.corpus.choices import Choice
from stemma.errors import RunError, UsageError
from stemma.export.pack import pack, unpack
from stemma.layers.weights import to_tensors, weights
from stemma.objectives.batch import seed_for
from stemma.runs.fitted import FittedRun, restored
from stemma.runs.moved import batch_of
from stemma.tasks.translate import Config as TranslateConfig
from stemma.tasks.translate import Translate
from stemma.tokens import files
from stemma.transfer import journal
from stemma.transfer.backbone import fresh
from stemma.transfer.finetune import finetune
from stemma.transfer.moving import Descent
from stemma.transfer.saving import card, grid_table
from stemma.transfer.settings import Config
from stemma.transfer.work import Work

pytestmark = pytest.mark.filterwarnings("ignore::stemma.transfer.doubts.DevDoubt")
FAST = Config(precision="fp32", seeds=(1,), budget=1, epochs=1, updates=5, threads=1, batch_size=16)
WAYS = {
    "loaded": {"load_layers": "0-1"},
    "adapters": {"lora": 2, "lora_feedforward": True, "layer_decay": 0.5},
    "patient": {"patience": 1, "evaluations": 5, "weight_decay": 0.5},
    "still": {"freeze_layers": "0", "layer_decay": 0.5, "unfreeze": 0.5},
    "priced": {"budget_seconds": 25.0, "budget": 3},
    "crossed": {"crossed": True, "budget": 2},
}


def ways(**settings) -> Config:
    return dataclasses.replace(FAST, **settings)


def test_all_layers_loaded_is_ordinary_fine_tuning_bit_for_bit(bert, train_examples):
    ordinary, loaded = (finetune(bert, train=train_examples[:60], config=ways(load_layers=text)) for text in ("", "0-4"))
    theirs = ordinary.model.arrays()
    assert all(np.array_equal(array, theirs[name]) for name, array in loaded.model.arrays().items())
    assert ordinary.facts["loaded"] == loaded.facts["loaded"]


def test_what_is_not_loaded_begins_as_drawn(bert, train_examples):
    """Frozen where they are loaded: the lower layers end as the run has them, the upper ones moved from where scratch begins."""
    config = ways(load_layers="0-1", freeze_layers="0-1", updates=1, warmup=1.0)  # one update, at rate 0
    result = finetune(bert, train=train_examples[:16], config=config)
    run, drawn = bert.network.state_dict(), fresh(result.assignment, seed_for(1, "network")).state_dict()
    for name, array in result.model.arrays().items():
        lower = not name.startswith(("task.", "blocks.1.", "blocks.2.", "pooler.", "masked_head.", "next_head."))
        if not name.startswith("task."):
            assert torch.equal(torch.tensor(array), (run if lower else drawn)[name]), name
    facts = result.facts
    assert "blocks.0.attention.qkv.weight" in facts["loaded"] and "blocks.1.attention.qkv.weight" in facts["new"]
    assert facts["ways"] == ["layers 0-1 were loaded, the layers above drawn anew", "layers 0-1 stood still"]


@pytest.mark.parametrize("feedforward", [False, True])
def test_with_adapters_the_matrices_beside_them_change_and_nothing_else(bert, train_examples, feedforward):
    before = {name: array.copy() for name, array in weights(bert.network).items()}
    result = finetune(bert, train=train_examples[:60], config=ways(lora=2, lora_feedforward=feedforward))
    after, facts = result.model.arrays(), result.facts
    maps = ["attention.qkv", "attention.out"] + (["feedforward.up", "feedforward.down"] if feedforward else [])
    adapted = {f"blocks.{block}.{name}.weight" for block in range(3) for name in maps}
    assert {name for name, array in before.items() if not np.array_equal(array, after[name])} == adapted
    assert set(after) == {*before, "task.weight", "task.bias"} and adapted.isdisjoint(facts["frozen"])
    assert set(facts["frozen"]) | adapted == set(facts["loaded"]) == set(before)
    for name in adapted:  # of each matrix, of queries, keys and values one each, what was added has the rank
        parts = (after[name] - before[name]).reshape(-1, 24, 24) if "qkv" in name else [after[name] - before[name]]
        assert all(np.linalg.matrix_rank(part, tol=1e-5) <= 2 for part in parts)
    head = 2 * 24 + 2
    one_block = 2 * (3 * (24 + 24) + (24 + 24)) + (2 * 2 * (24 + 40) if feedforward else 0)
    assert facts["parameters"]["trained"] == 3 * one_block + head
    assert "blocks.0.attention.qkv.down" in facts["new"] and bert.network.blocks[0].attention.qkv.weight.requires_grad


@pytest.mark.parametrize("name", ["gpt", "gpt2", "bert-wwm", "albert", "tinybert", "xlnet", "transformer"])
def test_every_generation_that_attends_by_heads_takes_adapters(name, train_examples, dev_examples):
    run = make_run(name)
    result = finetune(run, train=train_examples[:60], config=ways(lora=2))
    assert result.facts["parameters"]["trained"] < result.facts["parameters"]["total"] / 3
    again = restored(result.assignment, result.model.arrays(), result.model.facts)
    data = again.prepare(CLASSIFY.texts(dev_examples[:10]))
    np.testing.assert_array_equal(again.answers(data), result.model.answers(data))


@pytest.mark.parametrize(
    ("task", "way"),
    [
        ("classify", {"lora": 2}),
        ("classify", {"freeze_layers": "0-1"}),
        ("classify", {"unfreeze": 9.0}),
        ("choice", {"lora": 2, "freeze_layers": "0"}),
        ("generate", {"lora": 2}),
    ],
)
def test_what_a_task_adds_to_a_table_that_stands_still_moves_and_stays_so_in_folder_and_pack(tmp_path, train_examples, way, task):
    """GPT's start, delimiter and classify: drawn for the task, each is learnt in every way, and nothing else of its table is."""
    if task == "generate":
        pytest.importorskip("sacrebleu")
    texts = [example.text for example in train_examples]
    choices = [Choice(texts[k], (texts[k + 40], texts[k + 80]), k % 2, f"example {k}") for k in range(40)]
    examples = {"classify": train_examples[:60], "choice": choices, "generate": pairs(40, 1)}[task]
    run = make_run("gpt")
    before, size = run.network.tokens.weight.detach().clone(), run.network.vocab_size
    begun = finetune(run, train=examples, task=task, config=ways(**way, updates=1, warmup=1.0))  # one update, at rate 0
    result = finetune(run, train=examples, task=task, config=ways(**way, updates=6), out=tmp_path / "gpt")
    table, drawn = (torch.tensor(found.model.arrays()["tokens.weight"]) for found in (result, begun))
    assert torch.equal(table[:size], before) and run.network.vocab_size == size
    read = 3 if task != "classify" else 2  # a text by itself has no delimiter
    assert int(((table[size:] - drawn[size:]).abs().amax(1) > 1e-4).sum()) == read  # weight decay alone moves them by 1e-6
    assert "3 rows of the token table" in result.facts["new"] and "tokens.weight" not in result.facts["frozen"]
    pack([tmp_path / "gpt"], tmp_path / "file")
    texts = result.task.texts(examples[:9])
    expected = result.model.answers(result.model.prepare(texts))
    for folder in (tmp_path / "gpt", *unpack(tmp_path / "file", tmp_path / "there")):
        again = FittedRun.load(folder)
        assert all(np.array_equal(array, again.model.arrays()[name]) for name, array in result.model.arrays().items())
        found = again.model.answers(again.model.prepare(texts))
        assert all(map(np.array_equal, found, expected))


@pytest.mark.parametrize("way", [{"lora": 2}, {"patience": 1, "evaluations": 2}])
def test_what_writes_takes_these_ways_too(way):
    pytest.importorskip("sacrebleu")
    run, examples = encoder_decoder("transformer"), pairs(60, 1)
    before = {name: array.copy() for name, array in weights(run.network).items()}
    result = finetune(run, train=examples, task=Translate(TranslateConfig(beams=1)), config=ways(**way))
    again = restored(result.assignment, result.model.arrays(), result.model.facts)
    texts = result.task.texts(examples[:9])
    assert again.answers(again.prepare(texts)) == result.model.answers(result.model.prepare(texts))
    changed = {name for name, array in before.items() if not np.array_equal(array, result.model.arrays()[name])}
    assert all("attention" in name or "cross" in name for name in changed) == ("lora" in way) and changed


def test_a_rank_that_no_matrix_has_is_refused(bert, train_examples):
    with pytest.raises(UsageError, match=r"transfer\.lora = 25, and the smallest matrix .* has rank 24.*lower transfer\.lora"):
        finetune(bert, train=train_examples[:60], config=ways(lora=25))
    assert Descent(assigned(bert, ways(lora=24)), ways(lora=24)).grid


@pytest.mark.parametrize(("name", "values"), [("seeds", (1, 2, 1)), ("grid", (1e-3, 1e-3))])
def test_a_value_named_twice_is_refused_for_it_would_seem_to_agree_with_itself(name, values):
    with pytest.raises(UsageError, match=rf"{name} = .*one stands twice.*name each once"):
        ways(**{name: values})


@pytest.mark.parametrize("name", ["word2vec", "elmo"])
def test_what_has_no_heads_takes_no_adapters(name, train_examples):
    with pytest.raises(UsageError, match=rf"transfer\.lora = 2: {name} has no attention .*drop transfer\.lora"):
        finetune(make_run(name), train=train_examples[:60], config=ways(lora=2))


def test_what_is_drawn_anew_moves_beside_adapters(bert, train_examples):
    """Block 3 and the pooler, drawn anew, learn whole; of what is loaded the adapted matrices alone have changed."""
    config = ways(lora=2, load_layers="0-2")
    begun, result = (
        finetune(bert, train=train_examples[:60], config=dataclasses.replace(config, **more))
        for more in ({"updates": 1, "warmup": 1.0, "train_limit": 16}, {})
    )
    before, after = begun.model.arrays(), result.model.arrays()
    changed = {name for name, array in before.items() if not np.array_equal(array, after[name])}
    adapted = {f"blocks.{block}.attention.{name}.weight" for block in range(2) for name in ("qkv", "out")}
    unused = {name for name in before if name.startswith(("masked_head.", "next_head."))}
    assert changed == adapted | {name for name in before if name.startswith(("blocks.2.", "pooler.", "task."))} - unused


def test_adapters_go_with_layers_that_stand_still(bert, train_examples):
    result = finetune(bert, train=train_examples[:60], config=ways(lora=2, freeze_layers="0-2"))
    before, after = weights(bert.network), result.model.arrays()
    changed = {name for name, array in before.items() if not np.array_equal(array, after[name])}
    assert changed == {"blocks.2.attention.qkv.weight", "blocks.2.attention.out.weight"}


def test_the_best_weights_on_the_way_are_kept(bert, train_examples):
    """Measured after every update, the model ends with the weights that ranked first, of equals the earliest."""
    config = ways(patience=99, evaluations=8, updates=8)
    recipe, seen = Descent(assigned(bert, config), config), []
    lesson = lesson_of(recipe, train_examples[:60])

    def judge(model):
        score = float(np.mean(CLASSIFY.decode(model.answers(lesson.data), {"labels": ["neg", "pos"], "several": False}) == lesson.gold))
        seen.append(((score, 0.0), {name: array.copy() for name, array in model.arrays().items()}))
        return seen[-1][0]

    model = recipe.fit(dataclasses.replace(lesson, judge=judge), np.arange(60), 3e-2, 1)
    best = max(seen, key=lambda one: one[0])
    assert len(seen) == 8 and len({rank for rank, _ in seen}) > 1
    assert model.facts["kept_step"] == 1 + next(k for k, one in enumerate(seen) if one is best) and model.facts["steps"] == 8
    kept = model.arrays()
    assert all(np.array_equal(kept[name], array) for name, array in best[1].items() if not name.startswith("task."))
    assert judge(model) == best[0]  # the head says of states as they are what it said of standardised ones


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_the_head_reads_standardised_states_while_it_learns_and_then_states_as_they_are(name, train_examples):
    run = make_run(name)
    config = ways(updates=3)
    recipe, seen = Descent(assigned(run, config), config), {}
    lesson = lesson_of(recipe, train_examples[:60])
    batch = to_tensors(batch_of(lesson.data, np.arange(60), assigned(run, config)), torch.device("cpu"))

    def watch(updates, model):
        with torch.no_grad():
            read, _ = model.eval().read(batch)
            seen[updates] = read, model.head.scores(read, batch)

    recipe.watch = watch
    model = recipe.fit(lesson, np.arange(60), 1e-2, 1)
    assert seen[0][0].mean(0).abs().max() < 1e-4 and seen[0][0].std(0, correction=0).max() <= 1 + 1e-3
    with torch.no_grad():
        read, _ = model.module.eval().read(batch)
        torch.testing.assert_close(model.scores(batch), seen[max(seen)][1], atol=1e-4, rtol=1e-4)  # float32, the head having absorbed it
    assert not torch.allclose(read, seen[max(seen)][0], atol=1e-2)
    plain = dataclasses.replace(config, standardise=False)
    without = Descent(assigned(run, plain), plain).fit(lesson, np.arange(60), 1e-2, 1)
    assert any(not np.array_equal(array, without.arrays()[name]) for name, array in model.arrays().items())


def test_learning_ends_when_patience_does(bert, train_examples):
    config = ways(patience=2, evaluations=10, updates=20)
    recipe, ranks = Descent(assigned(bert, config), config), iter([(1.0, 0.0), (2.0, -2.0), (2.0, -2.0), (1.5, 0.0)])
    lesson = dataclasses.replace(lesson_of(recipe, train_examples[:60]), judge=lambda model: next(ranks))
    facts = recipe.fit(lesson, np.arange(60), 1e-3, 1).facts
    assert (facts["steps"], facts["kept_step"]) == (8, 4)  # measured after every second update; an equal one is no better


def test_measuring_changes_nothing_of_what_is_learnt(bert, train_examples):
    """With its last weights the best, it is the model that is never measured."""
    found = []
    for config in (ways(updates=8), ways(updates=8, patience=9, evaluations=4)):
        recipe, rising = Descent(assigned(bert, config), config), iter(range(9))
        lesson = dataclasses.replace(lesson_of(recipe, train_examples[:60]), judge=lambda model, rising=rising: (next(rising), 0.0))
        found.append(recipe.fit(lesson, np.arange(60), 1e-3, 1).arrays())
    assert all(np.array_equal(array, found[1][name]) for name, array in found[0].items())


@pytest.mark.parametrize(
    ("seconds", "rates", "seeds", "left_out"),
    [
        (0.5, [1e-3], [1], {"rate": [5e-4, 2e-3], "seeds": [2, 3]}),
        (29.9, [1e-3, 5e-4], [1], {"rate": [2e-3], "seeds": [2, 3]}),
        (45, [1e-3, 5e-4, 2e-3], [1, 2], {"seeds": [3]}),
        (50, [1e-3, 5e-4, 2e-3], [1, 2, 3], {}),
        (0, [5e-4, 1e-3, 2e-3], [1, 2, 3], {}),
    ],
)
def test_seconds_buy_models_at_the_price_of_the_first(bert, train_examples, monkeypatch, seconds, rates, seeds, left_out):
    """Each takes ten: the middle of the grid comes first, its ends next, and then further seeds of the best value."""
    monkeypatch.setattr(journal.Journal, "last_seconds", 10.0)
    config = ways(seeds=(1, 2, 3), budget=3, budget_seconds=float(seconds), updates=1)
    facts = finetune(bert, train=train_examples[:30], config=config).facts
    assert [trial["rate"] for trial in facts["trials"]] == rates and [row["seed"] for row in facts["seeds"]] == seeds
    assert facts["left_out"] == left_out
    said = "For want of time these were not tried: rate 0.0005, 0.002; seeds 2, 3 (transfer.budget_seconds)" in card(facts)
    assert said == (seconds == 0.5) and ("For want of time" in card(facts)) == bool(left_out)


def test_values_and_seeds_stand_in_a_table(bert, train_examples):
    facts = finetune(bert, train=train_examples[:60], config=ways(seeds=(1, 2), budget=2)).facts
    head, *rows = grid_table(facts)
    assert head == ("rate", "seed 1", "seed 2", "seconds") and [row[0].partition(" ")[0] for row in rows] == ["0.0005", "0.002"]
    for trial, row in zip(facts["trials"], rows, strict=True):
        chosen = trial["rate"] == facts["chosen"]["rate"]
        assert row[1] == f"{trial['accuracy']:.4f}" and row[0].endswith(" (chosen)") == chosen
        assert row[2] == (f"{facts['seeds'][1]['selection']['accuracy']:.4f}" if chosen else "–")
    assert f"| {' | '.join(rows[0])} |" in card(facts)


@pytest.fixture
def scores(monkeypatch):
    """How good the models of each rate and seed are, made up; what diverges is None."""
    found = {
        (5e-4, 1): 0.9, (5e-4, 2): 0.1, (5e-4, 3): 0.2,
        (1e-3, 1): 0.5, (1e-3, 2): 0.7, (1e-3, 3): 0.6,
        (2e-3, 1): 0.8, (2e-3, 2): None, (2e-3, 3): 0.99,
    }  # fmt: skip
    fit = Work.fit

    def fit_or_fail(work, value, seed, report, journal):
        if found[value, seed] is None:
            raise RunError("it diverged", "a loss", "a smaller rate")
        model = fit(work, value, seed, report, journal)
        model.facts["pair"] = [value, seed]
        return model

    def held(work, model):
        return {"accuracy": found[tuple(model.facts["pair"])], "loss": 0.5}, work.targets

    monkeypatch.setattr(Work, "fit", fit_or_fail)
    monkeypatch.setattr(Work, "held", held)
    return found


@pytest.mark.parametrize(
    ("seconds", "trials", "value", "seeds", "kept"),
    [
        (0, 9, 1e-3, [1, 2, 3], 2),  # by the mean of its seeds, where the first seed alone would have taken 5e-4, and 2e-3 failed once
        (75, 7, 1e-3, [1, 2, 3], 2),  # two whole rounds, and the first model of a third, which counts for its value's seeds alone
        (35, 3, 5e-4, [1], 1),
        (15, 1, 1e-3, [1], 1),
    ],
)
def test_crossed_values_are_chosen_by_the_mean_of_their_seeds(
    bert, train_examples, dev_examples, monkeypatch, scores, seconds, trials, value, seeds, kept
):
    monkeypatch.setattr(journal.Journal, "last_seconds", 10.0)
    config = ways(seeds=(1, 2, 3), budget=3, crossed=True, budget_seconds=float(seconds), updates=1)
    facts = finetune(bert, train=train_examples[:30], dev=dev_examples[:9], config=config).facts
    assert len(facts["trials"]) == trials and facts["chosen"] == {"rate": value} and facts["saved_seed"] == kept
    assert [row["seed"] for row in facts["seeds"]] == seeds and all(len(row["predictions"]) == 9 for row in facts["seeds"])
    assert facts["pair"] == [value, kept] and not any("row" in trial for trial in facts["trials"])
    left = facts["left_out"].get("pairs", [])
    assert len(left) + trials == 9 and ("For want of time these were not tried" in card(facts)) == bool(left)
    head, *rows = grid_table(facts)
    tried = {trial["seed"] for trial in facts["trials"]}
    assert head == ("rate", *(f"seed {seed}" for seed in sorted(tried)), "mean", "seconds")
    shown = {row[0]: row[1:-1] for row in rows}
    if trials == 9:
        assert shown == {
            "0.0005": ("0.9000", "0.1000", "0.2000", "0.4000"),
            "0.001 (chosen)": ("0.5000", "0.7000", "0.6000", "0.6000"),
            "0.002": ("0.8000", "failed", "0.9900", "–"),
        }
        assert "rate = 0.001, of 3 tried with 3 seeds each, by their mean" in card(facts)
    if trials == 7:
        assert shown["0.0005"] == ("0.9000", "0.1000", "–", "0.5000") and shown["0.001 (chosen)"][-2:] == ("0.6000", "0.6000")


def test_of_crossed_values_that_all_fail_the_error_says_so(bert, train_examples, scores):
    scores.update(dict.fromkeys(scores))
    with pytest.raises(RunError, match=r"every trial failed: it diverged.*smaller values"):
        finetune(bert, train=train_examples[:30], config=ways(seeds=(1, 2), budget=2, crossed=True, updates=1))


@pytest.mark.parametrize("way", WAYS)
def test_killed_after_every_save_it_ends_in_the_same_run(bert, train_examples, dev_examples, tmp_path, monkeypatch, way):
    monkeypatch.setattr(journal, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(files, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(journal.Journal, "last_seconds", 10.0)  # of each trial: what 25 buy is 2 of 3
    options = {"train": train_examples[:60], "dev": dev_examples[:20], "config": ways(**WAYS[way], seeds=(1, 2))}
    finetune(bert, **options, out=tmp_path / "whole")
    save = RunFolder.save_state

    def save_and_die(folder: RunFolder, *state) -> None:
        save(folder, *state)
        raise Killed

    monkeypatch.setattr(RunFolder, "save_state", save_and_die)
    deaths = 0
    while not (tmp_path / "killed" / "model.safetensors").exists():
        try:
            finetune(bert, **options, out=tmp_path / "killed")
        except Killed:
            deaths += 1
    assert deaths >= 5 and same(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.parametrize("way", WAYS)
def test_the_card_and_the_config_tell_the_way(bert, train_examples, tmp_path, way):
    finetune(bert, train=train_examples[:60], config=ways(**WAYS[way]), out=tmp_path / "run")
    transfer, card = RunFolder.open(tmp_path / "run").config["sections"]["transfer"], (tmp_path / "run" / "README.md").read_text("utf-8")
    assert {name: transfer[name] for name in WAYS[way]} == WAYS[way]
    for words in RunFolder.open(tmp_path / "run").config["task"]["ways"]:
        assert f"- {words[0].upper()}{words[1:]}." in card
