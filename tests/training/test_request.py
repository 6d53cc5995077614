"""Requests: what is refused before any work is done, and what of a preset gives way to the user's own settings."""

from pathlib import Path

import pytest

from stemma.errors import UsageError
from stemma.training.pretrain import pretrain
from stemma.training.request import Request, job_of
from stemma.training.settings import Config

TEXT = "the old sailor told a story of the sea\n老水手讲了一个大海的故事\n"


def training(generation: str, *settings: str, preset: str = "tiny") -> Config:
    found = job_of(Request.of(generation, "text.txt", preset=preset, settings=settings)).sections["training"]
    assert isinstance(found, Config)
    return found


@pytest.mark.parametrize(
    ("generation", "settings", "mending"),
    [
        ("lstm", ["training.optimiser=muon"], r"set training\.optimiser to adamw"),
        ("nnlm", ["training.optimiser=muon"], r"set training\.optimiser to adamw"),
        ("lstm", ["training.optimiser=asgd", "training.evaluations=7"], r"set training\.evaluations to 80"),
        ("gpt", ["training.optimiser=asgd"], r"set training\.evaluations to 80"),
        ("bert", ["training.optimiser=asgd", "training.evaluations=8", "training.held_out=0"], "or name dev text"),
    ],
)
def test_an_optimiser_that_would_have_nothing_to_do_is_refused_before_any_work(
    generation: str, settings: list[str], mending: str, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(TEXT * 20, encoding="utf-8")
    with pytest.raises(UsageError, match=mending):
        pretrain(Request.of(generation, tmp_path / "text.txt", preset="tiny", settings=settings), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_asgd_with_eight_held_out_losses_or_dev_text_is_not_refused() -> None:
    assert training("lstm", preset="awd").optimiser == "asgd"
    enough = ["training.optimiser=asgd", "training.evaluations=8"]
    assert training("gpt", *enough).evaluations == 8
    job_of(Request.of("gpt", "text.txt", dev="dev.txt", preset="tiny", settings=[*enough, "training.held_out=0"]))


def test_small_presets_descend_with_muon_and_base_as_the_paper_does() -> None:
    for generation in ("bert", "gpt", "gpt2"):
        assert [training(generation, preset=preset).optimiser for preset in ("tiny", "small", "base")] == ["muon", "muon", "adamw"]
    assert training("lstm").optimiser == training("nnlm").optimiser == "adamw"


def test_another_optimiser_takes_nothing_of_the_presets_own() -> None:
    muon, adamw, file = training("bert"), training("bert", "training.optimiser=adamw"), training("bert", "optimiser=lamb")
    assert muon.muon_rate and adamw.muon_rate is None and adamw.betas == (0.9, 0.999) and adamw.rate == muon.rate
    assert file.optimiser == "lamb" and file.epsilon == 1e-6
    assert training("bert", "training.muon_rate=0.03").muon_rate == 0.03
    with pytest.raises(UsageError, match=r"drop training\.muon_rate"):
        training("bert", "training.optimiser=adamw", "training.muon_rate=0.03")


def test_a_text_too_short_to_hold_any_out_is_reported_to_asgd(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("雨 rain", encoding="utf-8")
    messages: list[str] = []
    small = ["training.optimiser=asgd", "training.evaluations=8", "training.steps=2", "tokenizer.vocab_size=280", "training.threads=1"]
    request = Request.of("gpt", tmp_path / "text.txt", preset="tiny", settings=small)
    pretrain(request, out=tmp_path / "run", progress=lambda fact: messages.append(fact.message) if fact.kind == "note" else None)
    assert any("never comes to average" in message for message in messages), messages


ENGLISH, CHINESE = TEXT.splitlines()


@pytest.mark.parametrize(
    ("generation", "text", "options", "kind"),
    [
        ("albert", CHINESE, {}, "wordpiece"),
        ("albert", ENGLISH, {}, "unigram"),
        ("albert", f"{CHINESE}\n{ENGLISH}", {}, "unigram"),  # most of its letters are English
        ("albert", f"{CHINESE}\n{CHINESE}\n{CHINESE}\n{ENGLISH}", {"preset": "base"}, "wordpiece"),
        ("albert", CHINESE, {"settings": ["tokenizer.kind=unigram"]}, "unigram"),
        ("albert", CHINESE, {"settings": {"tokenizer": "unigram"}}, "unigram"),
        ("albert", ENGLISH, {"preset": "zh-tiny"}, "wordpiece"),
        ("xlnet", CHINESE, {}, "unigram"),
        ("albert", None, {}, "unigram"),  # no such file, of which whoever reads it complains
    ],
)
def test_chinese_text_has_the_tokens_of_chinese_models(generation: str, text: str | None, options: dict, kind: str, tmp_path: Path) -> None:
    place = tmp_path / "text.txt"
    if text is not None:
        place.write_text(f"{text}\n" * 20, encoding="utf-8")
    job = job_of(Request.of(generation, place, **options))
    assert job.sections["tokenizer"].kind == kind
    chosen = generation == "albert" and kind == "wordpiece" and options.get("preset") != "zh-tiny"
    assert ("letters are Chinese" in job.decided and "tokenizer.kind=unigram" in job.decided) == chosen


def test_what_the_text_decided_is_reported_and_kept(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(f"{CHINESE}\n" * 60, encoding="utf-8")
    small = ["model.width=16", "model.inner=16", "model.embedding=8", "training.steps=2", "tokenizer.vocab_size=64", "training.threads=1"]
    facts = []
    request = Request.of("albert", tmp_path / "text.txt", preset="tiny", settings=small)
    folder = pretrain(request, out=tmp_path / "run", progress=facts.append)
    assert any("100% of the text's letters are Chinese" in getattr(fact, "message", "") for fact in facts)
    assert any("wordpiece's, Chinese characters" in note for note in folder.done()["notes"])
    assert "letters are Chinese" in (folder.path / "README.md").read_text("utf-8")
