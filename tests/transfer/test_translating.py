"""The task `translate` through the whole of transfer: all of an encoder-decoder moves, and what is saved translates."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from tests.transfer.conftest import make_run
from tests.transfer.made_up_pairs import CHINESE, ENGLISH, RATES, SIZES, encoder_decoder, pairs

import stemma
from stemma.errors import DataError, UsageError
from stemma.objectives.batch import IGNORE
from stemma.objectives.translation import Config as Direction
from stemma.objectives.translation import Translation
from stemma.runs.assignment import Assignment
from stemma.runs.decoding import Decoding
from stemma.runs.fitted import FittedRun
from stemma.runs.run import Run
from stemma.runs.writing import token_pairs
from stemma.tasks.task import Text
from stemma.tasks.translate import Config as TaskConfig
from stemma.tasks.translate import Translate, Translated
from stemma.tokens.store import TokenStore
from stemma.transfer.doubts import DevDoubt
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config

pytest.importorskip("sacrebleu")
pytestmark = pytest.mark.filterwarnings("ignore::stemma.transfer.doubts.DevDoubt")

SETTINGS = {"precision": "fp32", "seeds": (1,), "budget": 1, "grid": (1e-2,), "selection_limit": 20, "threads": 1}
TRAIN, DEV = pairs(400, 1), pairs(40, 2)


@pytest.fixture(scope="module", params=sorted(SIZES))
def writes(request):
    return encoder_decoder(request.param)


def test_a_network_learns_to_translate_and_its_folder_does(writes, tmp_path):
    before = {name: tensor.clone() for name, tensor in writes.network.state_dict().items()}
    config = Config(**{**SETTINGS, "grid": (RATES[writes.row.name],)}, updates=150)
    result = finetune(writes, train=TRAIN, dev=DEV, task=Translate(TaskConfig(beams=2)), config=config, out=tmp_path / "run")
    facts = result.facts
    assert facts["bleu"]["mean"] > 50 and facts["chrf"]["mean"] > 50
    assert "|tok:zh|" in facts["targets"]["signatures"]["bleu"] and facts["metrics"][0]["title"] == "BLEU (zh)"
    assert facts["parameters"]["trained"] == facts["parameters"]["total"] and facts["frozen"] == facts["unused"] == []
    assert facts["floor"]["how"] == "copying the source" and facts["floor"]["value"] < facts["floor"]["reached"]
    assert all(torch.equal(before[name], tensor) for name, tensor in writes.network.state_dict().items())
    moved = result.model.arrays()
    assert all(not np.array_equal(moved[name], before[name].numpy()) for name, _ in writes.network.named_parameters())
    loaded = stemma.load(tmp_path / "run")
    assert isinstance(loaded, FittedRun)
    sources = [pair.source for pair in DEV[:9]]
    written = loaded.translate(sources)
    assert written == result.translate(sources) == [loaded.translate(source) for source in sources]
    assert loaded.predict(sources)[0] == written == facts["seeds"][0]["predictions"][:9]
    assert [row["translation"] for row in loaded.answer_rows(sources)] == written
    best = loaded.translations(sources, options=Decoding(beams=3), samples=2)
    assert all(first.score >= second.score for first, second in best)
    run, (source, target) = stemma.load(tmp_path / "run").as_run(), (sources[0], written[0])
    for opened in (run, Run.open(tmp_path / "run")):  # it looks, and learns on, as a pre-trained run does
        assert opened.translate(source) == target and opened.row is writes.row
        theirs, ours = opened.attend(source, target), loaded.attend(source, target)
        assert all(np.array_equal(one.weights, other.weights) for one, other in zip(theirs, ours, strict=True))
    again = Config(**{**SETTINGS, "grid": (1e-9,)}, updates=1, epochs=1)
    assert finetune(run, train=TRAIN[:60], task="translate", config=again).translate(sources[:3]) == written[:3]
    assert loaded.vectors(sources).shape == (9, writes.network.width) and "signature of BLEU (zh)" in (
        tmp_path / "run/README.md"
    ).read_text("utf-8")


def test_scratch_begins_anew_and_seeds_draw_it(writes):
    settings, names = {**SETTINGS, "grid": (1e-9,)}, {name for name, _ in writes.network.named_parameters()}
    drawn = []
    for mode, seed in (("scratch", 1), ("scratch", 2), ("finetune", 1)):
        config = Config(**{**settings, "seeds": (seed,)}, updates=1, epochs=1)
        result = finetune(writes, train=TRAIN[:60], task="translate", mode=mode, config=config)
        assert set(result.facts["new" if mode == "scratch" else "loaded"]) == names
        drawn.append(next(result.model.network.parameters()).detach())
    own = next(writes.network.parameters())
    assert torch.allclose(drawn[2], own, atol=1e-6)
    assert not any(torch.allclose(one, other, atol=1e-2) for one, other in ((drawn[0], own), (drawn[1], own), (drawn[0], drawn[1])))


def put(run) -> Assignment:
    """The run put to the task."""
    return Assignment(run.row, run.tokenizer, run.network, Translate(TaskConfig()), {"labels": []}, Config())


def test_batches_are_those_of_pre_training(tmp_path):
    """The same pairs in the same rows."""
    run = encoder_decoder("transformer")
    made = token_pairs(put(run), [Text(pair.source, pair.target) for pair in TRAIN[:5]])
    source, target = tmp_path / "en", tmp_path / "zh"
    source.write_text("\n".join(pair.source for pair in TRAIN[:5]), encoding="utf-8")
    target.write_text("\n".join(pair.target for pair in TRAIN[:5]), encoding="utf-8")
    starts = np.cumsum([0, *(len(ids) for both in zip(made.ids, made.targets, strict=True) for ids in both)])
    flat = np.concatenate([ids for both in zip(made.ids, made.targets, strict=True) for ids in both]).astype(np.uint16)
    store = TokenStore(tmp_path, {"pairs": 5}, flat, starts, np.arange(0, 12, 2), np.zeros(400, np.int64), np.zeros(0, np.uint8))
    objective = Translation(store, run.tokenizer.facts(), Direction(), seed=1, batch_tokens=10_000, max_length=128)
    theirs, ours = objective.batch(0), made.batch(np.arange(5))
    by_source = [np.lexsort(batch["target_ids"].T) for batch in (theirs, ours)]
    assert theirs.keys() == ours.keys()
    for name in ours:
        np.testing.assert_array_equal(theirs[name][by_source[0]], ours[name][by_source[1]])


def test_what_is_too_long_is_cut_counted_and_given_no_end():
    run = encoder_decoder("transformer")
    long = Translated(" ".join(ENGLISH * 4), "".join(CHINESE * 4))
    made = token_pairs(put(run), [Text(pair.source, pair.target) for pair in (TRAIN[0], long)])
    whole = [len(run.tokenizer.encode(text)) for text in (long.source, long.target)]
    assert made.cut == 1 and made.tokens_cut == sum(whole) - 2 * 23 and made.lengths[1] == 2 * 24
    batch = made.batch(np.arange(2))
    assert (batch["labels"][1, :23] != IGNORE).all() and batch["labels"][1, 23] == IGNORE
    assert run.tokenizer.specials["eos"] in batch["labels"][0]
    with pytest.warns(UserWarning, match="1 of 60 training examples were cut"):
        finetune(run, train=[*TRAIN[:59], long], task="translate", config=Config(**SETTINGS, updates=1, epochs=1))


def test_refusals_name_what_can_be_done(bert, ngram, writes):
    for other in (bert, ngram):
        with pytest.raises(UsageError, match=r"writes no target for a source.*seq2seq, transformer"):
            finetune(other, train=TRAIN, task="translate")
    with pytest.raises(UsageError, match=r"no head on a fixed network can learn to write.*use finetune or scratch"):
        finetune(writes, train=TRAIN, task="translate", mode="frozen")
    for config, mend in ((Config(auxiliary=0.5), "auxiliary"), (Config(dropout=0.3), "dropout")):
        with pytest.raises(UsageError, match=f"drop transfer.{mend}"):
            finetune(writes, train=TRAIN, task="translate", config=config)
    with pytest.raises(DataError, match="too few to hold one out"):
        finetune(writes, train=TRAIN[:1], task="translate")


def test_what_translates_no_better_than_copying_is_reported(writes):
    same = [Translated(pair.source, pair.source) for pair in TRAIN[:60]]
    with pytest.warns(DevDoubt, match=r"no better than copying the source \(BLEU 0?"):
        finetune(writes, train=same, task="translate", config=Config(**SETTINGS, updates=1, epochs=1))


def test_a_run_of_labels_writes_no_targets(bert, train_examples):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = finetune(bert, train=train_examples[:40], config=Config(**SETTINGS, updates=1, epochs=1))
    with pytest.raises(UsageError, match="finetune one with the task translate"):
        fitted.translate("a film")


def test_every_setting_of_depths_applies(writes):
    """Fine-tuning of the top alone, and rates that fall with depth, as of networks with heads."""
    config = Config(**SETTINGS, updates=2, epochs=1, freeze_layers="0", layer_decay=0.5)
    with pytest.raises(UsageError):
        finetune(make_run("ngram"), train=TRAIN[:60], task="translate", config=config)
    config = dataclasses.replace(config, freeze_layers="0-1")
    result = finetune(writes, train=TRAIN[:60], task="translate", config=config)
    assert "tokens.weight" in result.facts["frozen"] and result.facts["parameters"]["trained"] < result.facts["parameters"]["total"]
