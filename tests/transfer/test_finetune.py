"""The whole of transfer on tiny runs: modes, selection, seeds, report, saving."""

import dataclasses
import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.transfer.conftest import CLASSIFY, assigned, lesson_of

from stemma.corpus.task import Example
from stemma.errors import DataError, RunError, UsageError
from stemma.layers.weights import to_tensors
from stemma.objectives.batch import IGNORE
from stemma.runs.doubts import Doubt
from stemma.runs.fitted import FittedRun
from stemma.runs.framing import collate, frame
from stemma.runs.moved import HeadedNetwork
from stemma.runs.run import Run
from stemma.transfer import selection
from stemma.transfer.backbone import fresh
from stemma.transfer.features import LinearOnFeatures
from stemma.transfer.finetune import finetune
from stemma.transfer.moving import Descent
from stemma.transfer.saving import measured
from stemma.transfer.selection import trial_values
from stemma.transfer.settings import Config

FAST = Config(precision="fp32", seeds=(1, 2), budget=2, updates=0)


TWO = {"labels": ["neg", "pos"], "several": False, "pairs": False}


def drawn(run, seed):
    return fresh(assigned(run, FAST), seed)


def sums(network):
    return {name: hashlib.sha256(tensor.cpu().numpy().tobytes()).hexdigest() for name, tensor in network.state_dict().items()}


def test_frozen_leaves_every_tensor_bit_identical(run, train_examples, dev_examples):
    before = sums(run.module())
    result = finetune(run, train=train_examples, dev=dev_examples, mode="frozen", config=FAST)
    assert sums(run.module()) == before
    facts = result.facts
    assert facts["frozen"] == [name for name, _ in run.module().named_parameters()]
    assert facts["parameters"]["trained"] < facts["parameters"]["total"]
    assert facts["deterministic"] and len(facts["seeds"]) == 1
    assert facts["accuracy"]["mean"] > 0.8


@pytest.mark.parametrize("mode", ["finetune", "scratch"])
def test_moving_modes_leave_the_run_as_it_was(run, train_examples, dev_examples, mode):
    before = sums(run.module())
    result = finetune(run, train=train_examples, dev=dev_examples, mode=mode, config=FAST)
    assert sums(run.module()) == before
    facts = result.facts
    assert [row["seed"] for row in facts["seeds"]] == [1, 2]
    assert all(len(row["predictions"]) == len(dev_examples) for row in facts["seeds"])
    assert facts["parameters"]["trained"] <= facts["parameters"]["total"]
    assert bool(facts["loaded"]) == (mode == "finetune")
    assert "masked_head.bias" not in facts["loaded"] or "masked_head.bias" in facts["unused"]


def test_gradual_unfreezing_moves_one_more_layer_an_epoch(bert, train_examples):
    """The head alone, then the top block, the next ones, and the embeddings last; never a tensor before its turn."""
    before = sums(bert.network)
    moved: list[set[str]] = []
    for epochs in range(1, 6):
        config = dataclasses.replace(FAST, seeds=(1,), budget=1, epochs=epochs, unfreeze=1.0, weight_decay=0.1)
        result = finetune(bert, train=train_examples, config=config)
        after = result.model.arrays()
        network = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in after.items() if not name.startswith("task.")}
        moved.append({name for name, digest in network.items() if digest != before[name]})
        assert not moved[-1] & set(result.facts["frozen"])
    assert moved[0] == set()
    assert {name.split(".")[1] for name in moved[1] if name.startswith("blocks.")} == {"2"} and "pooler.weight" in moved[1]
    assert all(fewer < more for fewer, more in itertools.pairwise(moved))
    assert "tokens.weight" not in moved[3] and "tokens.weight" in moved[4]


def test_the_task_is_learnt_by_moving(train_examples, dev_examples, run):
    """A word gives the label away: enough updates find it, whatever the generation."""
    rates = (0.03,) if run.row.name == "word2vec" else (3e-3,)
    result = finetune(run, train=train_examples, dev=dev_examples, config=Config(precision="fp32", seeds=(1,), grid=rates, updates=150))
    assert result.facts["accuracy"]["mean"] > 0.9


def test_the_same_seeds_give_the_same_predictions(bert, train_examples, dev_examples):
    config = dataclasses.replace(FAST, threads=1)  # by itself it takes one or two, whichever is faster now: sums in another order
    one, two = (finetune(bert, train=train_examples, dev=dev_examples, config=config).facts for _ in range(2))
    assert [row["predictions"] for row in one["seeds"]] == [row["predictions"] for row in two["seeds"]]
    assert one["trials"][0]["loss"] == two["trials"][0]["loss"]


def test_cached_features_equal_uncached(run, train_examples):
    """spec 00, property 6, and padding: features of the whole file equal those of each text alone."""
    config = Config(mode="frozen", precision="fp32")
    recipe = LinearOnFeatures(assigned(run, config), config)
    texts, fixed = CLASSIFY.texts(train_examples[:30]), recipe._fixed.of(1)
    data = recipe.prepare(texts)
    table = recipe.features(fixed, data)
    assert recipe.features(fixed, data) is table
    alone = [fixed.features(recipe.prepare([text]), recipe._layers)[0] for text in texts]
    torch.testing.assert_close(table, torch.stack(alone), atol=1e-5, rtol=1e-5)  # float32 sums in another order


def test_partial_moving_changes_the_top_alone(bert, train_examples, dev_examples):
    config = Config(precision="fp32", seeds=(1,), budget=1, updates=0, freeze_layers="0-2")
    result = finetune(bert, train=train_examples, dev=dev_examples, config=config)
    after = result.model.model.backbone.state_dict()
    for name, tensor in bert.network.state_dict().items():
        moved = not torch.equal(tensor, after[name])
        assert moved == (name.startswith("blocks.2.") or name.startswith("pooler."))
    assert "blocks.1.attention.qkv.weight" in result.facts["frozen"]


def test_padding_and_batch_mates_change_no_score(run, dev_examples):
    torch.manual_seed(0)
    model = HeadedNetwork(drawn(run, 3), CLASSIFY, TWO, 0.1).eval()
    torch.nn.init.normal_(model.head.weight)
    data = frame(run.module().task_input(), run.tokenizer, CLASSIFY.texts(dev_examples[:12]), 48)
    with torch.inference_mode():
        together, *alone = (
            model.head.answers(model.head.scores(model.read(batch)[0], batch), batch)
            for rows in (range(12), *([k] for k in range(12)))
            for batch in [to_tensors(collate(data, rows), torch.device("cpu"))]
        )
    np.testing.assert_allclose(together, [answer for (answer,) in alone], atol=1e-5, rtol=1e-5)


def test_the_auxiliary_loss_is_linear_in_its_weight(gpt, dev_examples):
    """spec 09, property d: the gradient of the whole is that of the task plus half of the language model's."""
    data = frame(gpt.network.task_input(), gpt.tokenizer, CLASSIFY.texts(dev_examples[:5]), 48)
    batch = to_tensors(collate(data, range(5)) | {"labels": np.array([0, 1, 1, 0, 1])}, torch.device("cpu"))
    grads, values = [], []
    for weight in (0.0, 0.5, 1.0):
        torch.manual_seed(0)
        model = HeadedNetwork(drawn(gpt, 1), CLASSIFY, TWO, 0.0, weight).eval()
        loss = model.loss(batch)
        loss.mean.backward()
        grads.append(model.backbone.tokens.weight.grad.clone())
        values.append(loss)
    torch.testing.assert_close(grads[1], (grads[0] + grads[2]) / 2, atol=1e-6, rtol=1e-4)
    plain = drawn(gpt, 1).eval()
    torch.manual_seed(0)
    model = HeadedNetwork(plain, CLASSIFY, TWO, 0.0, 1.0).eval()
    each = []
    for k in range(5):
        one = to_tensors(collate(data, [k]), torch.device("cpu"))
        labels = torch.cat([one["ids"][:, 1:], torch.full((1, 1), IGNORE)], 1)
        each.append(float(model.backbone.loss(one | {"labels": labels}).mean.detach()))
    nats, count = values[2].parts["language"]
    assert float(nats.detach()) / count == pytest.approx(np.mean(each), abs=1e-4)


def test_micro_batches_add_up(still_bert, train_examples):
    """A batch over the token budget is split, and the split step equals the whole one."""
    found = []
    for batch_tokens in (8192, 100):
        config = Config(precision="fp32", batch_size=16, batch_tokens=batch_tokens, dropout=0.0, epochs=1, updates=3)
        recipe = Descent(assigned(still_bert, config), config)
        lesson = lesson_of(recipe, train_examples[:16])
        model = recipe.fit(lesson, np.arange(16), 1e-3, 1)
        found.append(model.answers(lesson.data))
    np.testing.assert_allclose(found[0], found[1], atol=2e-3)  # Adam magnifies float32 rounding of tiny gradients


@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_saved_and_opened_predicts_the_same(run, train_examples, dev_examples, tmp_path, mode):
    result = finetune(run, train=train_examples, dev=dev_examples, mode=mode, config=FAST, out=tmp_path / "out")
    texts = [*(example.text for example in dev_examples[:20]), "", "🙂", "好"]
    labels, probabilities = result.predict(texts)
    again = FittedRun.load(tmp_path / "out")
    assert again.labels == ("neg", "pos") and again.facts["chosen"] == result.facts["chosen"]
    np.testing.assert_array_equal(again.predict(texts)[1], probabilities)
    assert again.predict(texts)[0] == labels
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert "Compare with another mode" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_pairs_are_told_apart(bert):
    """The label is whether both halves hold the same word: only a network that sees both can know."""
    rng = np.random.default_rng(0)
    examples = [Example("good", "same" if k else "other", ["bad", "good"][k]) for k in rng.integers(0, 2, 200)]
    result = finetune(bert, train=examples, dev=examples[:50], config=Config(precision="fp32", seeds=(1,), grid=(3e-3,), updates=60))
    assert result.facts["accuracy"]["mean"] == 1.0
    assert result.predict(["good", "good"], ["bad", "good"])[0] == ["other", "same"]


def test_trial_values_keep_the_ends():
    assert trial_values((3, 1, 2), 5) == [1, 2, 3]
    assert trial_values((1, 2, 3, 4, 5), 3) == [1, 3, 5]
    assert trial_values((1, 2, 3), 1) == [2]


def test_errors_say_how_to_mend(bert, train_examples, dev_examples, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'classify'"):
        finetune(bert, train=train_examples, task="clasify")
    with pytest.raises(DataError, match="add examples of another label"):
        finetune(bert, train=[Example("a", "x"), Example("b", "x")])
    with pytest.raises(DataError, match=r"dev\.tsv:3: the label 'maybe'.*mend the label"):
        finetune(bert, train=train_examples, dev=[Example("a", "maybe", source="dev.tsv:3")])
    with pytest.raises(UsageError, match=r"mend transfer\.layers"):
        finetune(bert, train=train_examples, mode="frozen", config=Config(layers=(9,)))
    with pytest.raises(RunError, match=r"set transfer\.grid to smaller"):
        finetune(bert, train=train_examples, config=Config(grid=(1e30,), precision="fp32", updates=20, seeds=(1,)))


def test_the_task_network_learns_and_leaves_the_run_as_it_was(run, train_examples, dev_examples):
    """Its size is the same for every generation but for the projection of their widths; it says how it weights the layers."""
    before = sums(run.module())
    config = Config(mode="frozen", head="network", precision="fp32", seeds=(1, 2), grid=(3e-3,), updates=200)
    result = finetune(run, train=train_examples, dev=dev_examples, config=config)
    assert sums(run.module()) == before
    facts = result.facts
    assert facts["accuracy"]["mean"] > 0.8 and [row["seed"] for row in facts["seeds"]] == [1, 2] and not facts["deterministic"]
    assert sum(facts["layer_weights"]) == pytest.approx(1) and len(facts["layer_weights"]) == (1 if run.row.name == "word2vec" else 4)
    rest = 128 * 256 + 128 + 128 + 2 * 128 + 2 + 1 + len(facts["layer_weights"])  # all but the projection's weight
    assert facts["parameters"]["trained"] == 128 * run.network.width + rest
    assert "scalar mix" in facts["head"]


def test_states_that_do_not_fit_are_computed_anew(bert, train_examples, monkeypatch):
    """The same states; in half precision where they are learnt from and kept."""
    from stemma.runs import fixed

    config = Config(mode="frozen", head="network", precision="fp32")
    network = fixed.FixedNetwork(assigned(bert, config), bert.network)
    framed, rows = network.prepare(CLASSIFY.texts(train_examples[:9])), np.array([3, 0, 7])
    half, kept = (fixed.SiteStates(network, framed, half=short).batch(rows) for short in (True, False))
    monkeypatch.setattr(fixed, "KEPT", 0)
    anew = fixed.SiteStates(network, framed, half=True).batch(rows)
    assert half["states"].dtype == np.float16 and kept["states"].dtype == anew["states"].dtype == np.float32
    np.testing.assert_allclose(kept["states"][kept["sites"]], anew["states"][anew["sites"]], atol=1e-5)
    np.testing.assert_allclose(half["states"][half["sites"]], anew["states"][anew["sites"]], atol=2e-3, rtol=2e-3)


@pytest.mark.filterwarnings("ignore::stemma.transfer.doubts.DevDoubt")
def test_answers_of_a_task_network_are_those_of_states_in_full_precision(bert, train_examples, dev_examples):
    result = finetune(
        bert, train=train_examples[:60], dev=dev_examples[:30], config=dataclasses.replace(FAST, mode="frozen", head="network")
    )
    model, texts = result.model, CLASSIFY.texts(dev_examples[:30])
    framed = model.prepare(texts)
    with torch.inference_mode():
        batch = model.fixed.batch(framed, np.arange(30))
        right = model.read_off(model.scores(batch), batch)
    np.testing.assert_allclose(np.stack(model.answers(framed)), np.stack(right), atol=1e-6)


@pytest.mark.parametrize(
    ("values", "deterministic", "line"),
    [
        ((0.9, 0.92, 0.91), False, "accuracy on dev: 0.9100 ± 0.0100 over 3 seeds"),
        ((0.9,), False, "accuracy on dev: 0.9000 of one seed; others may differ"),
        ((0.9,), True, "accuracy on dev: 0.9000; no seed changes it"),
    ],
)
def test_one_seed_has_no_deviation(values, deterministic, line):
    """It was shown as ± 0.0000 over 1 seed."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    named = {"metrics": [{"name": "accuracy", "title": "accuracy"}], "seeds": [{}] * len(values), "deterministic": deterministic}
    assert measured({**named, "accuracy": {"mean": float(np.mean(values)), "std": spread}}) == [line]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "froozen"}, "did you mean 'frozen'"),
        ({"head": "lineal"}, "did you mean 'linear'"),
        ({"budget": -1}, r"transfer\.budget = -1"),
        ({"grid": (float("nan"),)}, r"transfer\.grid"),
        ({"epochs": 2.5}, r"transfer\.epochs = 2\.5"),
        ({"selection_share": 2}, r"transfer\.selection_share = 2"),
        ({"seeds": (10**30,)}, r"transfer\.seeds"),
        ({"weight_decay": float("inf")}, r"transfer\.weight_decay"),
    ],
)
def test_a_config_made_by_hand_is_checked_as_one_from_a_file(ngram, train_examples, wrong, message):
    with pytest.raises(UsageError, match=message):
        finetune(ngram, train=train_examples, config=Config(**wrong))
    if "mode" in wrong:
        with pytest.raises(UsageError, match=message):
            finetune(ngram, train=train_examples, **wrong)


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (Example(None, "pos"), r"text\[0\] is None"),
        (Example("good", float("nan")), r"label\[0\] is nan"),
        (Example("good", None), r"label\[0\] is None"),
        (Example("good", " "), "label of example 0 is empty"),
        (Example(["good"], "pos"), "join its tokens"),
        ("good", "example 0 is 'good'"),
    ],
)
def test_examples_without_text_or_label_are_named(ngram, train_examples, example, message):
    with pytest.raises(DataError, match=message):
        finetune(ngram, train=[example, *train_examples])


def test_examples_of_a_program_are_cleaned_as_those_of_a_file(ngram, train_examples):
    dirty = [dataclasses.replace(example, text=f" {example.text}\x00", label=f"{example.label} ") for example in train_examples]
    with pytest.warns(UserWarning, match="as in training"):
        assert finetune(ngram, train=dirty).facts["data"] == finetune(ngram, train=train_examples).facts["data"]


def test_the_doubts_of_a_run_are_told_in_words(ngram, train_examples, monkeypatch):
    monkeypatch.setattr(Run, "path", Path("runs/words"))
    monkeypatch.setattr(Run, "doubts", [Doubt("baseline", "it has learnt nothing")])
    with pytest.warns(UserWarning, match=": it has learnt nothing; what it learns of the task is its head's doing"):
        finetune(ngram, train=train_examples)


@pytest.mark.parametrize("mode", ["frozen", "finetune", "scratch"])
@pytest.mark.parametrize("name", ["ngram", "word2vec"])
def test_a_label_that_the_few_examples_lack_is_never_answered(request, name, mode, train_examples, dev_examples):
    """The label space is that of all examples, of which these are a part."""
    few = [example for example in train_examples if example.label == "pos"][:6]
    config = Config(mode=mode, seeds=(1,), budget=1, updates=2, epochs=1)
    targets = {"labels": ["neg", "pos"], "several": False, "pairs": False}
    found = finetune(request.getfixturevalue(name), train=few, dev=dev_examples, config=config, targets=targets)
    answers = set(found.facts["seeds"][0]["predictions"])
    assert found.facts["labels"] == ["neg", "pos"] and answers <= {0, 1} and (mode != "frozen" or answers == {1})


@pytest.mark.filterwarnings("ignore::stemma.transfer.doubts.DevDoubt")
@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_a_label_that_the_draw_left_out_is_a_label_all_the_same(bert, train_examples, dev_examples, mode):
    """`train_limit` draws examples, not labels: a dev file with all of them is no fault."""
    kept = set(selection.drawn(range(60), 8))
    pos = iter(example for example in train_examples if example.label == "pos")
    train = [next(pos) if place in kept else Example("a bad film", "neg") for place in range(60)]
    config = dataclasses.replace(FAST, mode=mode, budget=1, seeds=(1,), updates=2, epochs=1, train_limit=8)
    facts = finetune(bert, train=train, dev=dev_examples[:30], config=config).facts
    assert facts["labels"] == ["neg", "pos"] and facts["examples"]["train"] == 8
