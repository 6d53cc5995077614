"""From the command line, text to model to ARPA, against the models that KenLM's own lmplz made of the same text."""

import json
import lzma
from pathlib import Path

import numpy as np
import pytest

from stemma.cli.main import main

kenlm = pytest.importorskip("kenlm")
CLOSE = 1e-4  # of a log10 probability: lmplz works in single precision
GOLDEN = {  # lmplz's model -> its text, and the settings that stand for lmplz's options
    "golden-en-o5.arpa.xz": ("golden-en.txt.xz", ["order=5"]),
    "golden-en-o3-pruned.arpa.xz": ("golden-en.txt.xz", ["order=3", "prune=[0, 0, 1]"]),
    "golden-zh-o3.arpa.xz": ("golden-zh.txt.xz", ["order=3", "discount_fallback=false"]),
    "golden-tiny-o3-fallback.arpa": ("golden-tiny.txt", ["order=3", "discount_fallback=true"]),
}
HELD_OUT = {  # what the kenlm package gives for lmplz's model on golden-en-heldout.txt, by its lines: summed log10, perplexity
    ("golden-en-o5.arpa.xz", 500): (-11276.2041, 208.799),
    ("golden-en-o3-pruned.arpa.xz", 500): (-11288.6443, 210.033),
    ("golden-en-o5.arpa.xz", 120): (-2538.6806, 71.294),
    ("golden-en-o3-pruned.arpa.xz", 120): (-2527.9974, 70.025),
}


def read_golden(path: Path) -> dict[tuple[str, ...], tuple[float, float]]:
    """N-gram -> log10 probability and back-off (0 where none is written), read in the plainest way."""
    rows = {}
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            cells = line.rstrip("\n").split("\t")
            if len(cells) > 1:
                rows[tuple(cells[1].split(" "))] = float(cells[0]), float(cells[2]) if len(cells) > 2 else 0.0
    return rows


@pytest.fixture(scope="module", params=GOLDEN)
def made(request, kenlm_models, tmp_path_factory) -> tuple[str, Path]:
    """The name of lmplz's model, and the folder where `run` and `run.arpa` are ours."""
    folder = tmp_path_factory.mktemp("golden")
    text, settings = GOLDEN[request.param]
    sets = [word for setting in [*settings, "tokenizer=whitespace"] for word in ("--set", setting)]
    source = str(kenlm_models / text)
    assert main(["pretrain", "ngram", source, "--out", str(folder / "run"), *sets]) == 0
    assert main(["convert", str(folder / "run"), str(folder / "run.arpa"), "--to", "arpa"]) == 0
    return request.param, folder


def test_every_probability_and_backoff_is_that_of_lmplz(made, kenlm_models):
    name, folder = made
    golden, ours = read_golden(kenlm_models / name), read_golden(folder / "run.arpa")
    assert ours.keys() == golden.keys()
    assert len(golden) > 100
    np.testing.assert_allclose([ours[gram] for gram in golden], list(golden.values()), rtol=0, atol=CLOSE)


def test_kenlm_opens_our_arpa_and_scores_as_we_do(made, kenlm_models, capsys):
    name, folder = made
    lines = (kenlm_models / "golden-en-heldout.txt").read_text(encoding="utf-8").splitlines()
    held_out = len(lines)
    lines += ["", "床 前 明 月 光", "the the the", "a\u3000b"]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["score", str(folder / "run"), str(folder / "lines.txt")]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    model = kenlm.Model(str(folder / "run.arpa"))
    for line, row in zip(lines, rows, strict=True):
        words = line.encode().split()  # of bytes: a full-width space parts no words for lmplz
        assert row["tokens"] == len(words) + 1
        assert row["log10"] == pytest.approx(model.score(line), abs=CLOSE * (len(words) + 1))
        assert row["perplexity"] == pytest.approx(model.perplexity(line), rel=1e-3)
    if name.startswith("golden-en"):
        total, perplexity = HELD_OUT[name, held_out]
        log10 = sum(row["log10"] for row in rows[:held_out])
        assert log10 == pytest.approx(total, abs=0.01)
        assert 10 ** (-log10 / sum(row["tokens"] for row in rows[:held_out])) == pytest.approx(perplexity, abs=0.01)


def test_matched_orders_and_unknown_words_are_those_of_kenlm(made, capsys):
    _, folder = made
    text = "what is the night of zzzz , 明 月"
    capsys.readouterr()
    assert main(["score", str(folder / "run"), "--text", text, "--tokens"]) == 0
    tokens = json.loads(capsys.readouterr().out)["by_token"]
    theirs = list(kenlm.Model(str(folder / "run.arpa")).full_scores(text))
    assert [(row["order"], row["unknown"]) for row in tokens] == [(order, unknown) for _, order, unknown in theirs]
    np.testing.assert_allclose([row["log10"] for row in tokens], [log10 for log10, *_ in theirs], atol=CLOSE)
