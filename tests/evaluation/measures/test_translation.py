"""BLEU of a run on pairs, by the length of the source, and decoders that ignore their sources."""

import numpy as np
import pytest
import torch
from tests.transfer.made_up_pairs import RATES, encoder_decoder, pairs

import stemma
from stemma.cli.measures import measures
from stemma.errors import UsageError
from stemma.evaluation.measures.evaluate import evaluate_fitted, evaluate_run, of_text
from stemma.evaluation.measures.judge import Judge
from stemma.evaluation.measures.translation import _nats, by_length, heeding, translation
from stemma.runs.assignment import Assignment
from stemma.runs.fitted import FittedRun
from stemma.runs.settings import InUse
from stemma.runs.writing import Writer
from stemma.tasks.table import make_task
from stemma.tasks.translate import Config as TaskConfig
from stemma.tasks.translate import Translate, Translated
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config

sacrebleu = pytest.importorskip("sacrebleu")
pytestmark = pytest.mark.filterwarnings("ignore::stemma.transfer.doubts.DevDoubt")
DEV = pairs(70, 2)


@pytest.fixture(scope="module", params=sorted(RATES))
def fitted(request, tmp_path_factory):
    run, folder = encoder_decoder(request.param), tmp_path_factory.mktemp("fitted") / "run"
    config = Config(precision="fp32", seeds=(1,), budget=1, grid=(RATES[request.param],), selection_limit=10, updates=120, threads=1)
    finetune(run, train=pairs(400, 1), task=Translate(TaskConfig(beams=1)), config=config, out=folder)
    return FittedRun.load(folder)


def test_a_fine_tuned_run_is_measured_on_pairs(fitted, tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text("".join(f"{pair.source}\t{pair.target}\n" for pair in DEV), encoding="utf-8")
    assert of_text(fitted) == "translation"
    found = evaluate_fitted(fitted, path)["translation"]
    written = fitted.translate([pair.source for pair in DEV])
    right = [pair.target for pair in DEV]
    assert found["BLEU (zh)"]["value"] == pytest.approx(sacrebleu.corpus_bleu(written, [right], tokenize="zh").score, abs=1e-9)
    assert found["chrF"]["value"] == pytest.approx(sacrebleu.corpus_chrf(written, [right]).score, abs=1e-9)
    assert found["BLEU (zh)"]["low"] < found["BLEU (zh)"]["value"] and "|tok:zh|" in found["signatures"]["BLEU (zh)"]
    assert found["doubt"] == "" and found["loss"]["value"] < found["loss_with_other_sources"]["value"]
    assert found["pairs"] == 70 and found["distinct_outputs"] == len(set(written))
    lines = "\n".join(measures({"translation": found}))
    assert (
        "translation of 70 pairs" in lines
        and f"signature of BLEU (zh): {found['signatures']['BLEU (zh)']}" in lines
        and "doubt" not in lines
    )
    assert "doubt it: it ignores" in "\n".join(measures({"translation": found | {"doubt": "it ignores its source"}}))


def test_the_loss_is_that_of_pairs_one_by_one(fitted):
    read = fitted.writer
    made = read.prepare(read.assignment.task.texts(DEV[:5]))
    terms = _nats(read.network, made)
    with torch.no_grad():
        alone = [
            read.network.loss({name: torch.from_numpy(array) for name, array in made.batch(np.array([row])).items()}) for row in range(5)
        ]
    assert terms[:, 0].sum() == pytest.approx(sum(float(loss.mean) * loss.count for loss in alone), rel=1e-5)
    assert terms[:, 2].sum() == sum(loss.count for loss in alone)


def test_a_decoder_that_ignores_its_source_is_reported():
    run, task = encoder_decoder("transformer"), make_task("translate", TaskConfig(beams=1))
    with torch.no_grad():
        for block in run.network.decoder_blocks:
            block.source_attention.out.weight.zero_()
            block.source_attention.out.bias.zero_()
    assignment = Assignment(run.row, run.tokenizer, run.network, task, task.targets(DEV), InUse())
    found = translation(Writer(assignment, run.network, {}), DEV)
    assert found["doubt"].startswith("it ignores its source: with the sources of other pairs its loss is")
    assert found["loss"] == pytest.approx(found["loss_with_other_sources"])


def test_outputs_that_do_not_differ_are_reported(fitted):
    read = fitted.writer
    made = read.prepare(read.assignment.task.texts(DEV))
    same = heeding(read.network, made, [pair.source for pair in DEV], ["一只狗"] * len(DEV))
    assert same["doubt"].startswith("it ignores its source: it writes 1 different target for ") and same["distinct_outputs"] == 1


@pytest.mark.parametrize(("word", "unit"), [("dog ", "words"), ("狗", "characters")])
def test_buckets_hold_every_pair_once_and_tell_their_lengths(word, unit):
    task = make_task("translate")
    examples = [Translated((word * length).strip(), "a b c d e") for length in (1, 1, 2, 3, 4, 5, 6, 7, 9)]
    targets = task.targets(examples)
    judge = Judge(task, targets, task.gold(examples, targets))
    rows = by_length(judge, judge.terms([judge.gold]), [example.source for example in examples])
    assert len(rows) == 4 and sum(row["pairs"] for row in rows) == 9
    assert rows[0]["source"].startswith("1 to ") and rows[-1]["source"].endswith(f"9 {unit}") and rows[0]["BLEU"]["value"] == 100


@pytest.mark.filterwarnings("ignore:.*has not left the baseline")
def test_pre_trained_runs_are_measured_where_they_learnt_pairs(tmp_path):
    path, plain = tmp_path / "en-zh.tsv", tmp_path / "plain.txt"
    path.write_text("en\tzh\n" + "".join(f"{pair.source}\t{pair.target}\n" for pair in pairs(120, 3)), encoding="utf-8")
    plain.write_text("".join(f"{pair.source} and {pair.target}.\n" for pair in pairs(200, 3)), encoding="utf-8")
    settings = {"model.width": 16, "model.inner": 16, "model.depth": 1, "tokenizer.vocab_size": 300, "training.steps": 12}
    options = {"preset": "tiny", "settings": {**settings, "training.batch_tokens": 256, "training.threads": 1}}
    run = stemma.pretrain("transformer", path, out=tmp_path / "run", **options)
    denoised = stemma.pretrain("transformer", plain, out=tmp_path / "denoised", **options)
    assert of_text(run) == "translation"
    found = evaluate_run(run, {"translation": [str(path)]})["translation"]
    assert found["pairs"] == 120 and found["BLEU (zh)"]["low"] >= 0 and found["loss"]["value"] > 0
    options["settings"] |= {"objective.reverse": True}
    back = stemma.pretrain("transformer", path, out=tmp_path / "back", **options)
    assert "|tok:13a|" in evaluate_run(back, {"translation": [str(path)]})["translation"]["signatures"]["BLEU"]  # English is written
    with pytest.raises(UsageError, match="finetune it on them"):
        evaluate_run(denoised, {"translation": [str(path)]})
    with pytest.raises(UsageError, match="a text asks for the ability score"):
        evaluate_run(run, {"perplexity": [str(path)]})
