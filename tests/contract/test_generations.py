"""One contract for every row of the table that is ready: what each generation must do alike."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from stemma.checkpoint import RunFolder, map_tensors
from stemma.corpus.document import Document
from stemma.errors import RunError, UsageError
from stemma.evaluation.measures.perplexity import perplexity
from stemma.evaluation.measures.probe_files import read_probe
from stemma.evaluation.measures.probes import probe
from stemma.layers.weights import to_tensors
from stemma.lineage.table import TABLE, Generation
from stemma.runs.decoding import Decoding
from stemma.runs.run import Run
from stemma.training.descend import objective_of
from stemma.training.facts import Fact
from stemma.training.pretrain import pretrain
from stemma.training.request import Request, job_of, take_up

READY = [row for row in TABLE if row.ready]
rows = pytest.mark.parametrize("row", READY, ids=lambda row: row.name)
scoring = pytest.mark.parametrize("row", [row for row in READY if "score" in row.abilities], ids=lambda row: row.name)
generating = pytest.mark.parametrize("row", [row for row in READY if "generate" in row.abilities], ids=lambda row: row.name)
attending = pytest.mark.parametrize("row", [row for row in READY if "attend" in row.abilities], ids=lambda row: row.name)

ENGLISH = [
    "the old sailor told the young sailor a story",
    "a story of the sea is a story of rain",
    "the cat of the old sailor sat in the rain",
]
CHINESE = ["老水手给年轻的水手讲了一个故事", "大海的故事就是雨的故事", "老水手的猫坐在雨里"]


STEPS = {"xlnet": 300}  # of a finished run: it predicts a sixth of its positions, and half of its rows from right to left


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, nothing is saved on its way out."""


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both languages, ten documents, a few hundred sentences."""
    rng = np.random.default_rng(0)
    documents = ["\n".join(rng.permutation((ENGLISH + CHINESE) * 3).tolist()) for _ in range(10)]
    path = tmp_path_factory.mktemp("corpus") / "both.txt"
    path.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return path


def taught(row: Generation, corpus: Path) -> dict[str, Path]:
    """The teacher of a generation that has one: trained once, then found."""
    if not row.teacher:
        return {}
    teacher = next(other for other in READY if other.name == row.teacher)
    return {"teacher": run(teacher, corpus, corpus.parent / "teacher", steps=40).path}


def settings(row: Generation, steps: int = 12) -> list[str]:
    """A few steps of a very small network, so that the whole suite takes seconds."""
    pieces = {"wordpiece": "tokenizer.vocab_size=160", "unigram": "tokenizer.vocab_size=160", "bpe": "tokenizer.vocab_size=300"}
    small = pieces.get(row.tokenizer, "tokenizer.min_count=1")
    if row.learns == "count":
        return [small]
    if row.teacher:
        small = "model.depth=1"  # its tokens are its teacher's
    often = 1e-6 if steps <= 40 else 9  # seconds from one state to the next
    chosen = [small, f"training.steps={steps}", "training.threads=1", f"training.save_seconds={often}", "training.batch_tokens=128"]
    if row.presets()["tiny"]["model"].get("frequencies"):
        chosen.append("model.frequencies=false")  # the paper's beginning, from which forty steps lower the loss
    return chosen if row.updates == "by hand" else [*chosen, "training.precision=fp32"]


def run(row: Generation, corpus: Path, out: Path, steps: int = 12, workers: int = 1, **options) -> RunFolder:
    request = Request.of(row.name, corpus, preset="tiny", settings=settings(row, steps), workers=workers, **taught(row, corpus))
    return pretrain(request, out=out, **options)


@pytest.fixture(scope="session")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A finished run of every generation."""
    home = tmp_path_factory.mktemp("runs")
    return {row.name: Run.open(run(row, corpus, home / row.name, steps=STEPS.get(row.name, 40)).path) for row in READY}


def weights(path: Path) -> dict[str, np.ndarray]:
    return map_tensors(path / "model.safetensors")


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


@rows
def test_loss_falls(row: Generation, finished: dict[str, Run]) -> None:
    metrics = finished[row.name].folder.metrics()
    if row.learns == "count":  # it has no path, only an end: better than knowing nothing but the vocabulary
        assert metrics[-1]["held_out_loss"] < np.log(finished[row.name].tokenizer.vocab_size)
        return
    losses = [line["loss"] for line in metrics if line["kind"] == "step"]
    assert np.mean(losses[-5:]) < 0.97 * np.mean(losses[:5])


@pytest.mark.parametrize("row", [row for row in READY if row.updates == "backprop"], ids=lambda row: row.name)
def test_a_process_without_rows_has_no_predictions(row: Generation, corpus: Path, tmp_path: Path) -> None:
    """The last of 100 processes, whose rows a batch of 128 positions has not: it takes part with none, or is one too many for columns."""
    job = job_of(Request.of(row.name, corpus, preset="tiny", settings=settings(row), **taught(row, corpus)))
    text = take_up(job, tmp_path / "run", tmp_path / "stores", lambda _: None)[1]
    objective = objective_of(job, text.train, text)
    network = row.new_module(job.sections["model"], text.tokenizer.facts(text.train.counts))
    if job.teacher:
        network.follow(job.teacher.network)
    try:
        none = network.predictions(to_tensors(objective.batch(0, 99, 100), torch.device("cpu")))
    except UsageError as error:
        assert "columns for 100 processes" in error.wrong
        return
    some = network.predictions(to_tensors(objective.batch(0), torch.device("cpu")))
    assert none == dict.fromkeys(some, 0) and all(some.values())


@rows
def test_a_killed_run_goes_on_to_the_same_weights(row: Generation, corpus: Path, tmp_path: Path) -> None:
    whole, killed = run(row, corpus, tmp_path / "whole"), tmp_path / "killed"

    def kill(fact: Fact) -> None:
        if fact.kind == "step" and fact.step == 1 + len(deaths) * 3:
            deaths.append(fact.step)
            raise Killed

    deaths: list[int] = []
    for _ in range(20):
        try:
            run(row, corpus, killed, progress=kill)
            break
        except Killed:
            assert not RunFolder.open(killed).finished
    assert len(deaths) >= 2
    assert equal(weights(whole.path), weights(killed))
    lines = [
        {**line, "seconds": 0}
        for folder in (whole, RunFolder.open(killed))
        for line in folder.metrics()
        if line["kind"] in ("step", "epoch")
    ]
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]


@rows
def test_the_same_seed_gives_the_same_run_and_another_does_not(row: Generation, corpus: Path, tmp_path: Path) -> None:
    first, again = run(row, corpus, tmp_path / "a", steps=2), run(row, corpus, tmp_path / "b", steps=2)
    assert equal(weights(first.path), weights(again.path))
    if row.learns == "descend":
        seeded = Request.of(row.name, corpus, preset="tiny", settings=[*settings(row, 2), "training.seed=1"], **taught(row, corpus))
        other = pretrain(seeded, out=tmp_path / "c")
        assert not equal(weights(first.path), weights(other.path))


@rows
def test_workers_do_not_change_the_run(row: Generation, corpus: Path, tmp_path: Path) -> None:
    one, two = run(row, corpus, tmp_path / "a", steps=2), run(row, corpus, tmp_path / "b", steps=2, workers=2)
    assert equal(weights(one.path), weights(two.path))


@rows
def test_a_finished_run_is_not_trained_again(row: Generation, finished: dict[str, Run], corpus: Path) -> None:
    folder = finished[row.name].folder
    before = (folder.path / "model.safetensors").stat().st_mtime_ns
    facts: list[Fact] = []
    run(row, corpus, folder.path, steps=STEPS.get(row.name, 40), progress=facts.append)
    assert (folder.path / "model.safetensors").stat().st_mtime_ns == before
    assert not [fact for fact in facts if fact.kind == "step"]
    with pytest.raises(RunError, match="another --out"):
        chosen = settings(row, STEPS.get(row.name, 40))
        pretrain(Request.of(row.name, corpus, preset="small", settings=chosen, **taught(row, corpus)), out=folder.path)


@rows
def test_opening_gives_the_outputs_of_the_saved_weights(row: Generation, finished: dict[str, Run]) -> None:
    again = Run.open(finished[row.name].path)
    for text in (*ENGLISH, *CHINESE):
        if "score" in row.abilities:
            assert again.score([text]) == finished[row.name].score([text])
        if "embed" in row.abilities:
            assert np.array_equal(again.embed([text]), finished[row.name].embed([text]))


@rows
def test_batch_mates_and_padding_change_nothing(row: Generation, finished: dict[str, Run]) -> None:
    texts = [*ENGLISH, *CHINESE, "rain", "雨", " ".join(ENGLISH * 9)]
    if "embed" in row.abilities:
        together, alone = finished[row.name].embed(texts), [finished[row.name].embed([text])[0] for text in texts]
        assert np.allclose(together, alone, atol=1e-5)
    if "score" in row.abilities:
        together, single = finished[row.name].score(texts), [finished[row.name].score([text])[0] for text in texts]
        assert np.allclose([s.nats for s in together], [s.nats for s in single], rtol=1e-5)


@rows
def test_texts_without_tokens_are_answered(row: Generation, finished: dict[str, Run]) -> None:
    if "embed" in row.abilities:
        assert np.isfinite(finished[row.name].embed(["", "🦭", "rain"])).all()
        assert [len(vectors.ids) == vectors.layers.shape[1] for vectors in finished[row.name].vectors(["", "rain 雨"])] == [True, True]
    if "score" in row.abilities:
        scores = finished[row.name].score(["", "🦭"])
        assert all(np.isfinite(score.nats) and score.nats > 0 for score in scores)


@attending
@pytest.mark.parametrize(("text", "other"), [(ENGLISH[0], CHINESE[0]), (CHINESE[1], ENGLISH[1]), ("rain", "🦭 雨")])
def test_attention_comes_with_its_tokens_and_adds_up(row: Generation, finished: dict[str, Run], text: str, other: str) -> None:
    """A pair, which every generation that attends can read: two texts, or a source and its target."""
    heads = finished[row.name].attend(text, other)
    assert heads[0].layer == heads[0].head == 1 and len({(one.kind, one.layer, one.head) for one in heads}) == len(heads)
    for one in heads:
        assert one.weights.shape == (len(one.rows), len(one.columns))
        np.testing.assert_allclose(one.weights.sum(1), 1, atol=1e-5)
        if one.kind == "decoder causal self":
            assert one.rows == one.columns and not np.triu(one.weights, 1).any()
        if one.kind in ("soft", "relative self"):
            assert one.vectors is None
        else:
            np.testing.assert_allclose(one.steps().weights.numpy(), one.weights, atol=1e-5)


@scoring
def test_held_out_text_has_all_predict_the_same_events(row: Generation, finished: dict[str, Run]) -> None:
    """Its tokens: no end is paid for, by those who predict ends either, and the cut into sentences changes nothing."""
    run = finished[row.name]
    one, whole = Document((ENGLISH[0],), "x:1"), Document((" ".join(ENGLISH),), "x:2")
    parts = Document(tuple(ENGLISH), "x:3")
    found = dict(zip(("one", "whole", "parts", "empty"), run.score_documents([one, whole, parts, Document(("",), "x:4")]), strict=True))
    own = run.score_tokens(ENGLISH[0])[:-1]  # without the end
    assert found["one"].tokens == len(own) and found["one"].nats <= sum(token.nats for token in own) * (1 + 1e-5)
    if row.scores_by == "document":
        assert found["one"].nats == pytest.approx(sum(token.nats for token in own), rel=1e-5)
    assert found["whole"].tokens == found["parts"].tokens == len(run.tokenizer.encode(whole.text))
    assert found["whole"].nats == pytest.approx(found["parts"].nats, rel=1e-6)
    measured = perplexity(run, [whole, parts])
    assert run.score_documents([Document(("",), "x:4")])[0][:2] == (0, 0)
    assert measured["characters"] == 2 * len(whole.text) and measured["words"] == 2 * len(whole.text.split())
    nats = found["whole"].nats + found["parts"].nats + measured["spacing_nats"]
    assert measured["perplexity_per_word"] == pytest.approx(np.exp(nats / measured["words"]), rel=1e-6)
    assert measured["bits_per_character"]["value"] == pytest.approx(nats / np.log(2) / measured["characters"], rel=1e-6)


@scoring
def test_a_text_costs_more_shuffled(row: Generation, finished: dict[str, Run]) -> None:
    words = ENGLISH[0].split()
    plain, shuffled = finished[row.name].score([" ".join(words), " ".join(reversed(words))])
    assert plain.nats < shuffled.nats


@generating
def test_greedy_text_is_the_same_alone_and_among_others(row: Generation, finished: dict[str, Run]) -> None:
    prompts = ["", "rain", "雨", "the old sailor", "老水手给年轻的水手", " ".join(ENGLISH), "".join(CHINESE), "🦭 of the sea"]
    greedy = Decoding(temperature=0)
    together = finished[row.name].generate(prompts, length=20, options=greedy)
    assert together == [finished[row.name].generate(prompt, length=20, options=greedy) for prompt in prompts]
    assert len({len(finished[row.name].tokenizer.encode(prompt)) for prompt in prompts}) >= 4  # the lengths do differ
    assert len(set(together)) > 3


@generating
def test_next_words_are_the_likeliest_first_and_share_one(row: Generation, finished: dict[str, Run]) -> None:
    for text in ("", "the old", "老水手", "🦭"):
        for k in (1, 5, 10**6):
            found = finished[row.name].next_words(text, k)
            probabilities = [probability for _, probability in found]
            assert 0 < len(found) <= k and min(probabilities) > 0
            assert sum(probabilities) <= 1 + 1e-5  # float32 adds up to this
            assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) > 0.5  # of all words


@rows
def test_the_ledger_balances_and_the_card_tells(row: Generation, finished: dict[str, Run]) -> None:
    ledger = json.loads((finished[row.name].path / "ledger.json").read_text(encoding="utf-8"))
    assert ledger["characters"]["balances"]
    whole, parts = ledger["tokens"].pop("tokens"), ledger["tokens"]
    assert parts["used"] > 0 and whole == sum(parts.values())
    card = (finished[row.name].path / "README.md").read_text(encoding="utf-8")
    assert row.title in card and row.paper in card and "| seconds |" in card


@rows
def test_an_option_it_cannot_honour_is_refused(row: Generation, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="training"):
        pretrain(Request.of(row.name, corpus, preset="tiny", settings=["training.wat=1"], **taught(row, corpus)), out=tmp_path / "r")
    wrong = "training.rate=0.1" if row.learns == "count" else "model.order=3"
    with pytest.raises(UsageError, match=wrong.split("=")[0]):
        pretrain(Request.of(row.name, corpus, preset="tiny", settings=[wrong], **taught(row, corpus)), out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("row", [row for row in READY if "embed" in row.abilities], ids=lambda row: row.name)
def test_its_layers_can_be_probed(row: Generation, finished: dict[str, Run], tmp_path: Path) -> None:
    path = tmp_path / "labels.tsv"
    both = [(f"{label}\t{text} {k}") for k in range(6) for label, texts in (("英", ENGLISH), ("中", CHINESE)) for text in texts]
    path.write_text("\n".join(["label\ttext", *both]) + "\n", encoding="utf-8")
    found = probe(finished[row.name], read_probe(path), seeds=(1,))
    assert len(found.layers) == len(finished[row.name].vectors(ENGLISH[:1])[0].layers)
    assert max(layer.value.value for layer in found.layers) > 0.9
