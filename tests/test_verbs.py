"""The verbs at work on small runs: what they print, on which stream, and how they end."""

import ast
import importlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

import stemma
from stemma.cli.compare import Compare
from stemma.cli.main import TABLE, main, parse
from stemma.errors import DataError, RunError, UsageError
from stemma.evaluation.comparison.plan import Config as CompareConfig
from stemma.evaluation.measures.evaluate import evaluate_run
from stemma.lineage.table import able as names_of
from stemma.runs import fitted

ENGLISH = ["the cat sat on the mat .", "a dog ran home to the log .", "the cat ran and the dog sat .", "a mat is on the log ."]
CHINESE = ["今天天气很好。", "我们去公园看花。", "公园里的花很好看。", "天气好我们就去。"]
SIZES = ["model.width=20", "heads=2", "inner=24", "max_length=24", "vocab_size=300", "batch_tokens=128", "precision=fp32"]
SETTINGS = {
    "ngram": ["order=3"],
    "nnlm": ["model.width=12", "model.inner=16", "min_count=1", "training.steps=60", "batch_tokens=128", "precision=fp32"],
    "word2vec": ["model.width=12", "min_count=1", "training.steps=60"],
    "glove": ["model.width=12", "min_count=1", "training.steps=10"],
    "gpt": [*SIZES, "training.steps=3"],
    "bert": [*SIZES, "training.steps=3"],
}

VERB_CLASSES = [
    getattr(importlib.import_module(f"stemma.cli.{place.partition(':')[0]}"), place.partition(":")[2]) for place, *_ in TABLE.values()
]
COMPARED = ["corpus.txt", "--train", "task.tsv", "--dev", "task.tsv", "--out", "y", "--generations", "bert"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder with a corpus, a task, a run of each generation, and one fine-tuned run."""
    folder = tmp_path_factory.mktemp("shop")
    lines = [line for n in range(25) for line in (ENGLISH[n % 4], CHINESE[n % 4], "")]
    (folder / "corpus.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [f"en\t{text}" for text in ENGLISH] + [f"zh\t{text}" for text in CHINESE]
    (folder / "task.tsv").write_text("\n".join(["label\ttext", *rows * 5]) + "\n", encoding="utf-8")
    for name, settings in SETTINGS.items():
        sets = [word for setting in settings for word in ("--set", setting)]
        assert main(["pretrain", name, str(folder / "corpus.txt"), "--out", str(folder / name), "--preset", "tiny", *sets]) == 0
    options = ["--train", str(folder / "task.tsv"), "--dev", str(folder / "task.tsv"), "--frozen", "--set", "seeds=[1]"]
    assert main(["finetune", str(folder / "word2vec"), *options, "--out", str(folder / "languages")]) == 0
    return folder


def rows(capsys, *argv):
    """The JSON lines of a command that ends well."""
    capsys.readouterr()
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def failure(capsys, *argv):
    """The exit code and the stderr of a command that fails, without traceback or output."""
    capsys.readouterr()
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    assert (code != 0, out) == (True, "")
    assert "Traceback" not in err
    return code, err


def test_pretraining_again_gives_the_finished_run_as_json(shop, capsys):
    sets = [word for setting in SETTINGS["bert"] for word in ("--set", setting)]
    capsys.readouterr()
    assert main(["pretrain", "bert", str(shop / "corpus.txt"), "--out", str(shop / "bert"), "--preset", "tiny", *sets, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["steps"] == 3
    assert "step" not in err


@pytest.mark.parametrize("name", ["bert", "ngram", "languages"])
def test_the_readme_tells_of_everything_in_a_run_folder(shop, name):
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.]+)/?`", readme[readme.index("A run is a folder.") :].split("\n\n")[0]))
    found = {child.name for child in (shop / name).iterdir() if not child.name.startswith(".")}
    assert found <= named and (name != "bert" or named == found)


def test_a_finished_run_does_without_state_and_store(shop, tmp_path):
    shutil.copytree(shop / "bert", tmp_path / "bare", ignore=shutil.ignore_patterns("state", "store"))
    assert np.array_equal(stemma.load(tmp_path / "bare").embed(["the cat"]), stemma.load(shop / "bert").embed(["the cat"]))


def test_a_config_file_sets_what_settings_would(shop, capsys, tmp_path):
    (tmp_path / "f.toml").write_text("order = 2\n[tokenizer]\nlowercase = true\n", encoding="utf-8")
    assert main(["pretrain", "ngram", str(shop / "corpus.txt"), "--out", str(tmp_path / "r"), "--config", str(tmp_path / "f.toml")]) == 0
    sections = stemma.load(tmp_path / "r").config
    assert (sections["model"]["order"], sections["tokenizer"]["lowercase"]) == (2, True)


def test_a_dry_run_plans_and_writes_nothing(shop, capsys, tmp_path):
    capsys.readouterr()
    argv = ["pretrain", "ngram", str(shop / "corpus.txt"), "--out", str(tmp_path / "never"), "--preset", "tiny", "--dry-run", "--json"]
    assert main(argv) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["exact"]
    assert plan["corpus_tokens"] > 0
    assert not (tmp_path / "never").exists()


def test_standard_input_is_a_corpus(shop, capsys, tmp_path, monkeypatch):
    text = (shop / "corpus.txt").read_bytes()
    for _ in range(2):  # the second time it is the same run
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
        assert main(["pretrain", "ngram", "-", "--out", str(tmp_path / "run"), "--preset", "tiny"]) == 0
    assert stemma.load(tmp_path / "run").score(["the cat sat ."])[0].nats > 0


def test_text_in_use_is_cleaned_as_text_in_training(shop, capsys):
    """A control character inside a word, a separator of lines and a byte order mark change no answer and no vector."""
    dirty = ["the\x0bdo\x00g r\ufeffan", "天\x01气很\u200e好".replace("\u200e", "\x02")]
    clean = ["the dog ran", "天气很好"]
    for verb, name in (("predict", "languages"), ("embed", "languages"), ("embed", "bert"), ("score", "ngram"), ("generate", "gpt")):
        capsys.readouterr()
        argv = [verb, str(shop / name)]
        found = []
        for texts in (dirty, clean):
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                assert main([*argv, *(word for text in texts for word in ("--text", text))]) == 0
            found.append(capsys.readouterr())
        assert found[0].out == found[1].out
        assert ("taken out of the text" in found[0].err, "taken out of the text" in found[1].err) == (True, False)


def test_a_line_at_fault_names_itself_and_loses_no_other(shop, capsys, tmp_path):
    lines = [["the dog", "天气很好"][n % 2] for n in range(1000)]
    lines[499] = "the dog\ten"
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", str(shop / "languages"), str(tmp_path / "lines.txt")]) == 3
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [row.get("label") for row in found] == [None if n == 499 else ["en", "zh"][n % 2] for n in range(1000)]
    assert "lines.txt, line 500: " in found[499]["error"]["wrong"] and "lines.txt, line 500: " in err


def test_a_text_without_a_known_word_is_reported(shop, capsys):
    capsys.readouterr()
    for verb in ("predict", "embed"):
        assert main([verb, str(shop / "languages"), "--text", "", "--text", "ዓለም", "--text", "the dog"]) == 0
        out, err = capsys.readouterr()
        assert [json.loads(line).get("no_known_word", False) for line in out.splitlines()] == [True, True, False]
        assert "warning: 2 of 3 texts have no known word" in err
    assert [len(row["vector"]) for row in rows(capsys, "embed", shop / "word2vec", "--text", "", "--text", "花")] == [12, 12]


def test_predict_warns_where_the_run_is_no_better_than_one_answer(shop, capsys, monkeypatch):
    assert main(["predict", str(shop / "languages"), "--text", "the cat"]) == 0
    assert "say little" not in capsys.readouterr().err
    monkeypatch.setattr(fitted, "floor_warning", lambda facts: f"no better than always answering 'en' ({facts['metrics'][0]['title']})")
    assert main(["predict", str(shop / "languages"), "--text", "the cat"]) == 0
    found = capsys.readouterr()
    assert found.err.startswith("warning: ") and "no better than always answering 'en' (accuracy); its answers say little" in found.err
    assert json.loads(found.out)["label"] == "en"


def test_predict_labels_lines_from_anywhere(shop, capsys, monkeypatch, tmp_path):
    (tmp_path / "lines.txt").write_bytes(b"\xef\xbb\xbfthe dog\r\n" + "天气很好\n".encode() + b"the mat\rthe log\r")
    found = rows(capsys, "predict", shop / "languages", tmp_path / "lines.txt", "--text", "the cat")
    assert [row["text"] for row in found] == ["the cat", "the dog", "天气很好", "the mat", "the log"]
    assert [row["label"] for row in found] == ["en", "en", "zh", "en", "en"]
    assert all(sum(row["probabilities"].values()) == pytest.approx(1) for row in found)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("花\n".encode()), encoding="utf-8"))
    assert rows(capsys, "predict", shop / "languages")[0]["label"] == "zh"


@pytest.mark.parametrize("name", ["gpt", "bert", "nnlm", "word2vec", "glove", "languages"])
def test_embed_gives_one_vector_a_text(shop, capsys, name):
    found = rows(capsys, "embed", shop / name, "--text", "the cat", "--text", "", "--text", "🙂 花")
    assert len(found) == 3
    assert len({len(row["vector"]) for row in found}) == 1


@pytest.mark.parametrize("name", ["bert", "word2vec", "languages"])
def test_normalised_vectors_have_length_one_and_their_direction(shop, capsys, name):
    words = ["embed", shop / name, "--text", "the cat", "--text", ""]
    plain, unit = (np.array([row["vector"] for row in rows(capsys, *words, *more)]) for more in ([], ["--normalise"]))
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(unit * lengths, plain, atol=1e-5)
    assert np.linalg.norm(unit[0]) == pytest.approx(1, abs=1e-5) and np.isfinite(unit).all()


def test_embed_writes_one_array(shop, capsys, tmp_path):
    words = ["embed", shop / "gpt", "--text", "the cat", "--text", "花"]
    printed = np.array([row["vector"] for row in rows(capsys, *words)])
    assert main([str(word) for word in [*words, "--out", tmp_path / "v.npy"]]) == 0
    assert np.load(tmp_path / "v.npy") == pytest.approx(printed, rel=1e-6)
    assert capsys.readouterr().out == f"{tmp_path / 'v.npy'}: 2 × 20, float32\n"
    (tmp_path / "empty.txt").touch()
    code, err = failure(capsys, "embed", shop / "gpt", tmp_path / "empty.txt", "--out", tmp_path / "none.npy")
    assert (code, (tmp_path / "none.npy").exists()) == (3, False) and "no text to embed" in err


@pytest.mark.parametrize("name", [*SETTINGS, "languages"])
def test_info_tells_what_a_folder_is(shop, capsys, name):
    capsys.readouterr()
    assert main(["info", str(shop / name), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(shop / name) and found["on disk"].endswith("iB")
    if name == "languages":
        assert found["labels"] == "en, zh" and "task classify (frozen)" in found["what"] and "accuracy" in found["measured"].lower()
    else:
        assert found["what"].endswith(", pre-trained") and found["text"] == str(shop / "corpus.txt") and "notes" in found
    assert main(["info", str(shop / name)]) == 0
    assert "None" not in capsys.readouterr().out


def test_info_of_what_is_no_run(shop, capsys, tmp_path):
    assert "not a run folder" in failure(capsys, "info", tmp_path)[1]


@pytest.mark.parametrize(
    ("argv", "lines"),
    [
        (["nearest", "word2vec", "cat", "--k", "2"], ["cat", r"  \S+ +-?\d\.\d{3}", r"  \S+ +-?\d\.\d{3}"]),
        (["fill", "bert", "--text", "the [MASK] sat", "--k", "1"], [r"the \[MASK\] sat", r"  .+  \d+\.\d %"]),
        (["predict", "languages", "--text", "天气 很好"], [r"zh [01]\.\d\d  天气 很好"]),
        (["embed", "gpt", "--text", "the cat"], ["the cat", r"  20 numbers: (-?[\d.e-]+ ){6}…"]),
        (["generate", "gpt", "--text", "the", "--next", "2"], ["the", r"  .+  <?\d+\.\d %", r"  .+  <?\d+\.\d %"]),
        (
            ["attend", "bert", "--text", "the", "--other", "公园", "--layer", "2", "--head", "1"],
            [r"the \| 公园", "layer 2, encoder self: .*", " +head 1", *[r"  \S+ +\S+ \d+\.\d %"] * 6, r"  tokens looked at  \d\.\d"],
        ),
        (
            ["score", "ngram", "--text", "the cat", "--tokens"],
            ["the cat", r"  [\d.]+ bits a character · perplexity .* over 3 predictions.*"],
        ),
    ],
)
def test_a_terminal_is_shown_text(shop, capsys, monkeypatch, argv, lines):
    capsys.readouterr()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main([argv[0], str(shop / argv[1]), *argv[2:]]) == 0
    out = capsys.readouterr().out.splitlines()
    for line, pattern in zip(out, lines, strict=argv[0] != "score"):
        assert re.fullmatch(pattern, line), line
    assert argv[0] != "score" or [line.split()[0] for line in out[2:]] == ["the", "cat", "</s>"]


def test_a_terminal_is_shown_six_steps(shop, capsys, monkeypatch):
    """Where a causal head may not look stands a dot, and of a longer text the first tokens alone."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["attend", str(shop / "gpt"), "--text", "the cat sat on the mat 公园", "--steps"]) == 0
    lines = capsys.readouterr().out.splitlines()
    steps = [place for place, line in enumerate(lines) if re.match(r"\d\. ", line)]
    assert [lines[place][0] for place in steps] == list("123456")
    first = lines[steps[3] + 2].split()
    assert first == ["<|endoftext|>", "1.000", *["·"] * 9]
    assert lines[2].startswith("  shown are the first 10 of ") and len(lines[steps[3] + 1 : steps[4]]) == 11


def test_a_program_that_waits_for_each_answer_gets_it(shop):
    argv = [sys.executable, "-m", "stemma", "predict", str(shop / "languages")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for text, label in (("the cat", "en"), ("天气很好", "zh")):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["label"] == label
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize("name", ["ngram", "nnlm", "gpt"])
def test_score_tells_the_likely_from_the_unlikely(shop, capsys, name):
    found = rows(capsys, "score", shop / name, "--text", "the cat sat on the mat .", "--text", "花 mat the 天 on cat .")
    assert {"nats", "tokens", "perplexity", "characters", "bits_per_character", "unknown"} <= found[0].keys()
    assert name == "gpt" or found[0]["nats"] < found[1]["nats"]


def test_score_charges_white_space_as_evaluate_does_and_what_is_lost_has_no_bits(shop, capsys, tmp_path):
    texts = ("the cat", "the       cat", "the cat\u00ad", "the cat ")
    plain, spaced, *lost = rows(capsys, "score", shop / "ngram", *(word for text in texts for word in ("--text", text)))
    assert plain["bits_per_character"] > 0 and plain["spacing_nats"] == 0 and "why_not_bits" not in plain
    assert spaced["spacing_nats"] > 5 * np.log(2) and spaced["characters"] == 13
    assert spaced["bits_per_character"] == pytest.approx((spaced["nats"] + spaced["spacing_nats"]) / np.log(2) / 13)
    for row in lost:
        assert row["bits_per_character"] is None and "it comes back as 'the cat'" in row["why_not_bits"]
    (tmp_path / "spaced.txt").write_text(texts[1], encoding="utf-8")
    capsys.readouterr()
    assert main(["evaluate", str(shop / "ngram"), str(tmp_path / "spaced.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["perplexity"]["spacing_nats"] == pytest.approx(spaced["spacing_nats"])
    gpt = rows(capsys, "score", shop / "gpt", "--text", "the       cat")
    assert gpt[0]["bits_per_character"] > 0


def test_score_tells_a_text_and_its_tokens(shop, capsys):
    found = rows(capsys, "score", shop / "ngram", "--text", "the cat ran", "--text", "the zzz", "--text", "", "--tokens")
    run = stemma.load(shop / "ngram")
    for row, text in zip(found, ["the cat ran", "the zzz", ""], strict=True):
        log10 = [token["log10"] for token in row["by_token"]]
        assert row["log10"] == pytest.approx(sum(log10)) == pytest.approx(-row["nats"] / np.log(10))
        assert row["probability"] == pytest.approx(10 ** sum(log10))
        assert row["tokens"] == len(log10) == len(text.split()) + 1
        assert row["perplexity"] == pytest.approx(10 ** (-sum(log10) / len(log10)))
        known = [token["log10"] for token in row["by_token"] if not token["unknown"]]
        assert row["perplexity_without_unknown"] == pytest.approx(10 ** (-sum(known) / len(known)))
        assert row["unknown"] == len(log10) - len(known)
    assert [token["token"] for token in found[1]["by_token"]] == ["the", "<unk>", "</s>"]
    assert [token["order"] for token in found[0]["by_token"]] == [2, 3, 3, 1]
    assert run.score(["the zzz"])[0].spelling == found[1]["spelling_nats"] > 3 * np.log(26) and found[0]["spelling_nats"] == 0
    assert found[1]["bits_per_character"] == pytest.approx((found[1]["nats"] + found[1]["spelling_nats"]) / np.log(2) / 7)
    assert [set(token) for token in rows(capsys, "score", shop / "gpt", "--text", "cat", "--tokens")[0]["by_token"][:1]] == [
        {"id", "token", "log10", "unknown"}
    ]


@pytest.mark.parametrize("name", ["ngram", "nnlm", "gpt"])
@pytest.mark.parametrize("prompt", ["the cat", "公园", ""])
def test_next_words_are_the_likeliest(shop, capsys, name, prompt):
    (row,) = rows(capsys, "generate", shop / name, "--text", prompt, "--next", "4")
    run = stemma.load(shop / name)
    found = [(token["token"], token["probability"]) for token in row["next"]]
    assert (row["prompt"], found) == (prompt, run.next_words(prompt, 4))
    assert len(found) == 4 and [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    whole = run.next_words(prompt, 10_000)
    assert sum(p for _, p in whole) == pytest.approx(1, abs=1e-4 if name == "gpt" else 0.02)  # the unknown word has a share
    if name == "ngram" and prompt == "the cat":
        assert found[0][0] == "ran"
    with pytest.raises(UsageError, match="1 or more"):
        run.next_words(prompt, 0)


def test_next_tokens_are_no_search(shop, capsys):
    code, err = failure(capsys, "generate", shop / "gpt", "--text", "the", "--next", "3", "--beams", "4")
    assert code == 2 and "--next with options of writing" in err


def test_generate_depends_on_its_seed_alone(shop, capsys):
    once = rows(capsys, "generate", shop / "gpt", "--text", "the", "--length", "5", "--seed", "4")
    assert once == rows(capsys, "generate", shop / "gpt", "--text", "the", "--length", "5", "--seed", "4")
    assert rows(capsys, "generate", shop / "ngram", "--length", "3")[0]["prompt"] == ""
    assert "<" not in rows(capsys, "generate", shop / "nnlm", "--text", "the", "--length", "30", "--seed", "4")[0]["text"]


@pytest.mark.parametrize("name", ["ngram", "nnlm", "gpt"])
def test_generate_writes_the_same_alone_and_among_others(shop, capsys, name, tmp_path):
    (tmp_path / "prompts.txt").write_text("the cat\n\n公园\nthe dog ran home to the\n", encoding="utf-8")
    options = ["--length", "8", "--seed", "3", "--samples", "2", "--repetition-penalty", "1.2"]
    found = rows(capsys, "generate", shop / name, tmp_path / "prompts.txt", *options)
    assert [(row["prompt"], row["sample"]) for row in found] == [
        (p, n) for p in ("the cat", "", "公园", "the dog ran home to the") for n in (0, 1)
    ]
    assert found[4:6] == rows(capsys, "generate", shop / name, "--text", "公园", *options)


def test_generate_searches_and_stops(shop, capsys):
    words = ["generate", shop / "ngram", "--text", "the cat", "--length", "6"]
    best = rows(capsys, *words, "--beams", "4", "--samples", "3")
    assert [row["sample"] for row in best] == [0, 1, 2] and len({row["text"] for row in best}) == 3
    (whole,) = rows(capsys, *words, "--temperature", "0")
    (cut,) = rows(capsys, *words, "--temperature", "0", "--stop", whole["text"].split()[3], "--stop", "never")
    assert cut["text"] == whole["text"][: whole["text"].index(whole["text"].split()[3], len("the cat"))]
    for wrong in (["--temperature", "-1"], ["--beams", "2", "--top-k", "3"], ["--length", "-1"], ["--stop", ""], ["--samples", "0"]):
        code, err = failure(capsys, *words, *wrong)
        assert code == 2 and "expected" in err


def test_nearest_and_fill(shop, capsys):
    found = rows(capsys, "nearest", shop / "nnlm", "cat", "--k", "50")[0]["nearest"]
    assert not {"cat", "<unk>", "<s>", "</s>"} & {row["word"] for row in found}
    assert len(rows(capsys, "nearest", shop / "word2vec", "cat", "花", "--k", "3")[1]["nearest"]) == 3
    for words in (["cat - dog + mat"], ["cat", "-", "dog", "+", "mat"]):
        (row,) = rows(capsys, "nearest", shop / "word2vec", *words, "--k", "2")
        assert row["word"] == "cat - dog + mat" and len(row["nearest"]) == 2
    (odd,) = rows(capsys, "nearest", shop / "word2vec", "--outlier", "cat", "dog", "天气", "unicorn")
    assert odd["outlier"] in odd["cosines"] and odd["missing"] == ["unicorn"]
    masks = rows(capsys, "fill", shop / "bert", "--text", "the [MASK] sat on the [MASK] .", "--k", "2")[0]["masks"]
    assert [len(mask) for mask in masks] == [2, 2]
    run = stemma.load(shop / "bert")
    assert [[run.tokenizer.id(row["token"]) for row in mask] for mask in masks] == [[row["id"] for row in mask] for mask in masks]
    assert [[(row["token"], row["probability"]) for row in mask] for mask in masks] == run.fill("the [MASK] sat on the [MASK] .", 2)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_nearest_reads_and_shows_pieces_as_text(shop, capsys, tmp_path, kind):
    sets = ["--set", f"tokenizer.kind={kind}", "--set", "vocab_size=330", "--set", "training.steps=20", "--set", "lowercase=false"]
    assert main(["pretrain", "word2vec", str(shop / "corpus.txt"), "--out", str(tmp_path / "run"), "--preset", "tiny", *sets]) == 0
    for word in ("the", "公园"):
        (found,) = rows(capsys, "nearest", tmp_path / "run", word, "--k", "40")
        shown = {row["word"] for row in found["nearest"]}
        assert len(shown) > 20 and not any(mark in token for token in shown for mark in "Ġ▁Ċ")
        assert " cat" in shown and not {word, f" {word}"} & shown


@pytest.mark.parametrize("name", ["gpt", "bert"])
@pytest.mark.parametrize("text", ["the cat sat", "公园看花", "🌸", ""])
def test_attend_gives_every_weight(shop, capsys, name, text):
    (row,) = rows(capsys, "attend", shop / name, "--text", text)
    assert row["text"] == text and [(head["layer"], head["head"]) for head in row["heads"]] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for head in row["heads"]:
        weights = np.array(head["weights"])
        assert weights.shape == (len(head["rows"]), len(head["columns"]))
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-4)
    (chosen,) = rows(capsys, "attend", shop / name, "--text", text, "--layer", "2", "--head", "1")
    assert chosen["heads"] == [row["heads"][2]]


def test_attend_takes_pairs_from_options_and_lines(shop, capsys, tmp_path):
    (tmp_path / "pairs.tsv").write_text("the cat\tthe dog\n公园\n", encoding="utf-8")
    pair, alone = rows(capsys, "attend", shop / "bert", tmp_path / "pairs.tsv")
    assert pair["other"] == "the dog" and "other" not in alone
    assert rows(capsys, "attend", shop / "bert", "--text", "the cat", "--other", "the dog") == [pair]


@pytest.mark.parametrize("name", ["gpt", "bert"])
def test_attend_lays_the_six_steps_open(shop, capsys, name):
    (row,) = rows(capsys, "attend", shop / name, "--text", "the cat", "--steps", "--layer", "2")
    ((head,), (weights, *_)) = row["heads"], rows(capsys, "attend", shop / name, "--text", "the cat", "--layer", "2")[0]["heads"]
    assert list(head["steps"]) == ["queries", "keys", "values", "scores", "scaled", "weights", "weighted", "output"]
    steps = {step: np.array(values) for step, values in head["steps"].items()}
    np.testing.assert_allclose(steps["weights"], weights["weights"], atol=2e-6)
    np.testing.assert_allclose(steps["scores"], steps["queries"] @ steps["keys"].T, atol=1e-3)
    np.testing.assert_allclose(steps["weighted"].sum(1), steps["output"], atol=1e-4)


def test_attend_lays_no_more_steps_open_than_fit(shop, capsys, monkeypatch):
    monkeypatch.setattr("stemma.cli.attention_text.MOST_NUMBERS", 100)
    code, err = failure(capsys, "attend", shop / "gpt", "--text", "the cat sat", "--steps")
    assert code == 3 and "without --steps" in err
    assert rows(capsys, "attend", shop / "gpt", "--text", "the", "--steps")


def test_attend_draws_a_page_and_a_picture(shop, capsys, tmp_path):
    for name in ("maps.html", "maps.png"):
        if name.endswith("png"):
            pytest.importorskip("vl_convert")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = main(["attend", str(shop / "gpt"), "--text", "the cat", "--text", "a dog", "--out", str(tmp_path / name), "--json"])
        assert (code, json.loads(capsys.readouterr().out)) == (0, {"out": str(tmp_path / name), "texts": 2, "maps": 8})
    assert "Where GPT looks" in (tmp_path / "maps.html").read_text(encoding="utf-8")


def test_show_tokens_cuts_where_the_text_is_cut(shop, capsys):
    capsys.readouterr()
    text = "the cat 公园"
    assert main(["show", "tokens", str(shop / "bert"), "--text", text, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert len(row["tokens"]) == len(row["ids"]) == len(row["spans"])
    assert text[row["spans"][0][0] : row["spans"][0][1]] == "the"
    assert main(["show", "tokens", str(shop / "bert" / "tokenizer.json"), "--text", text]) == 0
    assert "│" in capsys.readouterr().out


def test_show_masks_marks_what_must_be_predicted(shop, tmp_path, capsys, monkeypatch):
    capsys.readouterr()
    verb = ["show", "masks", str(shop / "bert"), "--text", "the cat 公园", "--set", "units=words"]
    assert main([*verb, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert len(row["reads"]) == len(row["labels"]) == len(row["spans"]) and any(row["labels"])
    assert [row["text"][start:end] for start, end in row["words"]] == ["the", "cat", "公园"]
    assert main(verb) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines[1:]] == ["", "text", "reads", "predict"] and "\x1b" not in lines[2] and "{" in lines[2]
    assert main([*verb, "--out", str(tmp_path / "masks.html")]) == 0
    assert "公" in (tmp_path / "masks.html").read_text(encoding="utf-8")
    assert main([*verb, "--out", str(tmp_path / "masks.png")]) == 2
    capsys.readouterr()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(verb) == 0 and "\x1b[1m" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["the 红帽", "天气 cat", "🌸"])
def test_byte_level_tokens_are_shown_as_text(shop, capsys, text):
    run = stemma.load(shop / "gpt")
    ids = run.tokenizer.encode(text).tolist()
    names = [run.tokenizer.text(token) for token in ids]
    assert not set("".join(names)) & set("Ġçº¢å¸½\ufffd")
    (scored,) = rows(capsys, "score", shop / "gpt", "--text", text, "--tokens")
    assert [(row["id"], row["token"]) for row in scored["by_token"][:-1]] == list(zip(ids, names, strict=True))
    (likely,) = rows(capsys, "generate", shop / "gpt", "--text", text, "--next", "300")
    assert all(row["token"] == run.tokenizer.text(row["id"]) for row in likely["next"]) and len(likely["next"]) == 300
    assert main(["show", "tokens", str(shop / "gpt"), "--text", text]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("␣") and shown.count("┊") == sum(name.startswith("\\x") for name in names) - sum(
        any(part.startswith("\\x") for part in parts) for parts in by_character(run.tokenizer, text)
    )


def by_character(tokenizer, text):
    """The tokens that stand for each character alone, as they read."""
    ids, spans = tokenizer.encode_offsets(text)
    return [
        [tokenizer.text(int(token)) for token, span in zip(ids, spans, strict=True) if span == (place, place + 1)]
        for place in range(len(text))
    ]


def test_vectors_go_into_a_pipe_as_into_a_file(shop, capsys, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    for name in ("pipe", "file.npy"):
        assert main(["embed", str(shop / "word2vec"), "--text", "cat", "--text", "花", "--out", str(tmp_path / name)]) == 0
    reader.join(10)
    assert read == [(tmp_path / "file.npy").read_bytes()] and np.load(tmp_path / "file.npy").shape == (2, 12)


def test_a_text_that_makes_no_prediction_gives_no_run(capsys, tmp_path):
    (tmp_path / "same.txt").write_text("word\n" * 200, encoding="utf-8")
    code, err = failure(capsys, "pretrain", "word2vec", tmp_path / "same.txt", "--out", tmp_path / "run", "--preset", "tiny")
    assert code == 3 and "not one prediction" in err and "objective.sample" in err
    with pytest.raises(RunError, match="not finished"):
        stemma.load(tmp_path / "run").embed(["word"])


def test_what_a_run_of_a_handful_of_steps_gives_carries_a_warning(shop, capsys):
    argv = {"fill": ["bert", "--text", "the [MASK]"], "embed": ["bert", "--text", "the"], "score": ["gpt", "--text", "花"]}
    for verb, (name, *rest) in (argv | {"generate": ["gpt", "--text", "the"], "nearest": ["word2vec", "cat"]}).items():
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            assert main([verb, str(shop / name), *rest]) == 0
        assert ("learnt for 3 steps alone" in capsys.readouterr().err) is (name != "word2vec")  # which made 60


def test_corpus_check_says_how_chinese_words_would_be_told_apart(capsys, tmp_path):
    for name, line, word in (
        ("spaced", "循环神经网络 机器学习 的 研究", "tokenizer.words=given); "),
        ("unspaced", "我们研究机器学习。", "=rjieba); "),
    ):
        (tmp_path / name).write_text((line + "\n") * 60, encoding="utf-8")
        capsys.readouterr()
        assert main(["corpus", "check", str(tmp_path / name)]) == 0
        assert word in capsys.readouterr().out
        assert main(["corpus", "check", str(tmp_path / name), "--json"]) == 0
        assert word in json.loads(capsys.readouterr().out)["chinese_words"]
    (tmp_path / "english").write_text("the cat sat.\n" * 60, encoding="utf-8")
    assert main(["corpus", "check", str(tmp_path / "english"), "--json"]) == 0
    assert "chinese_words" not in json.loads(capsys.readouterr().out)


def test_corpus_check_on_pairs_of_a_table_and_of_two_files(capsys, tmp_path):
    rows = [(f"The mill number {at} is very old.", f"第{at}座磨坊已经很旧了。") for at in range(40)]
    table, source, target = (tmp_path / name for name in ("pairs.tsv", "s", "t"))
    table.write_text("en\tzh\n" + "".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    source.write_text("".join(f"{a}\n" for a, _ in rows), encoding="utf-8")
    target.write_text("".join(f"{b}\n" for _, b in rows), encoding="utf-8")
    for words in ([str(table)], ["--source", str(source), "--target", str(target)]):
        assert main(["corpus", "check", *words]) == 0
        assert re.search(r"pairs +40 \(1,\d+ characters of sources, 4\d+ of targets\)\nratio +0\.3[89]", capsys.readouterr().out)
        assert main(["corpus", "check", *words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["pairs"]["pairs"] == 40
    target.write_text("短\n", encoding="utf-8")
    assert main(["corpus", "check", "--source", str(source), "--target", str(target)]) == 3
    assert "has 40 lines" in capsys.readouterr().out
    assert main(["corpus", "check", "--source", str(source)]) == 2
    assert main(["corpus", "check", str(table), "--source", str(source), "--target", str(target)]) == 2
    assert main(["pretrain", "ngram", "--source", str(source), "--out", str(tmp_path / "x")]) == 2
    assert "name the other files as target" in capsys.readouterr().err


def test_corpus_check_ends_with_3_when_the_corpus_would_be_refused(shop, capsys, tmp_path):
    capsys.readouterr()
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9\n")
    assert main(["corpus", "check", str(tmp_path / "bad.txt")]) == 3
    assert "line 1: byte 0xe9" in capsys.readouterr().out
    assert main(["corpus", "check", str(tmp_path / "bad.txt"), "--set", "encoding=latin-1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["balances"]


def test_evaluate_measures_what_fits_the_run(shop, capsys, tmp_path):
    capsys.readouterr()
    assert main(["evaluate", str(shop / "gpt"), str(shop / "corpus.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["perplexity"]["bits_per_character"]["value"] > 0
    assert main(["evaluate", str(shop / "languages"), str(shop / "task.tsv")]) == 0
    assert "  accuracy  " in capsys.readouterr().out
    (tmp_path / "pairs.tsv").write_text("a\tb\tscore\ncat\tdog\t5\nmat\tlog\t4\n花\t天气\t1\n", encoding="utf-8")
    assert main(["evaluate", str(shop / "word2vec"), "--similarity", str(tmp_path / "pairs.tsv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["similarity"][0]["used"] == 3


def test_evaluate_offers_no_setting_that_it_lacks_and_counts_what_no_reader_sees(shop, capsys, tmp_path):
    (tmp_path / "wide.txt").write_text("the cat sat .", encoding="utf-16")
    code, err = failure(capsys, "evaluate", str(shop / "gpt"), str(tmp_path / "wide.txt"))
    assert code == 3 and "the encoding of the text that the run learnt from" in err and "set corpus." not in err
    (tmp_path / "nul.txt").write_text("the cat\x00 sat .\nthe dog ran .", encoding="utf-8")
    with pytest.warns(UserWarning, match="since no reader sees them: 1 NUL"):
        evaluate_run(stemma.load(shop / "gpt"), {"perplexity": [str(tmp_path / "nul.txt")]})


@pytest.mark.parametrize("name", ["ngram", "gpt", "bert"])
def test_evaluate_puts_a_task_to_a_run_that_has_not_learnt_it(shop, capsys, tmp_path, name):
    words = ["evaluate", str(shop / name), str(shop / "task.tsv"), "--task", "classify", "--zero-shot", "--limit", "9"]
    words += ["--verbalise", "en=cat", "zh=天气", "--normalise", "pmi", "--template", "{text}\\n{label}"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["zero_shot"]
    assert (found["examples"], found["words"], found["template"]) == (9, {"en": "cat", "zh": "天气"}, "{text}\n{label}")
    assert found["chance"]["by_lot"] == 0.5 and 0 <= found["measures"]["accuracy"]["value"] <= 1
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "classify without training, 9 examples" in out and "en=cat, zh=天气" in out and "above that" in out
    assert ("at chance at this scale" in out) == bool(found["doubt"])


def test_evaluate_prints_words_for_a_reader(shop, capsys, tmp_path):
    (tmp_path / "pairs.csv").write_text("Word 1,Word 2,Human (mean)\ncat,dog,5\nmat,log,4\n花,天气,1\ncat,unicorn,1\n", encoding="utf-8")
    (tmp_path / "questions.txt").write_text(": pets\ncat dog mat log\n: none\ncat dog unicorn horn\n", encoding="utf-8")
    (tmp_path / "group.txt").write_text("cat\ndog\n\n天气\nunicorn\n", encoding="utf-8")
    words = ["--similarity", "pairs.csv", "--analogies", "questions.txt", "--outliers", "group.txt", "--restrict", "30"]
    capsys.readouterr()
    assert main(["evaluate", str(shop / "word2vec"), *(str(tmp_path / w) if "." in w else w for w in words)]) == 0
    out = capsys.readouterr().out
    assert "3 of 4 pairs" in out and "without a vector: unicorn" in out and "1 of 2 groups" in out
    table = [line.split() for line in out.splitlines()]
    assert ["3CosAdd", "3CosMul", "covered"] in table and ["none", "–", "–", "0", "of", "1"] in table
    assert next(row for row in table if row[:1] == ["total"])[-3:] == ["1", "of", "2"]


def test_a_text_of_one_block_has_bits_without_an_interval(shop, capsys, tmp_path):
    (tmp_path / "short.txt").write_text("the cat sat .\n天气很好。\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["evaluate", str(shop / "gpt"), str(tmp_path / "short.txt")]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "bits per character" in line)
    assert float(line.split()[-1]) > 0


def test_a_counted_run_without_notes_tells_of_none(shop, capsys, tmp_path):
    (tmp_path / "text.txt").write_text("".join(f"w{n % 7} w{n % 11} w{n % 13}\n" for n in range(400)), encoding="utf-8")
    options = ["--preset", "tiny", "--set", "model.method=add-k"]
    assert main(["pretrain", "ngram", str(tmp_path / "text.txt"), "--out", str(tmp_path / "run"), *options]) == 0
    out, card = capsys.readouterr().out, (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert "notes:" not in out and "| notes |" not in card


def test_evaluate_probes_each_layer(shop, capsys, tmp_path):
    tagged = [("the DET", "cat NOUN", "sat VERB"), ("a DET", "mat NOUN", "ran VERB"), ("公 NOUN", "园 NOUN", "去 VERB")]
    (tmp_path / "tags.txt").write_text("\n\n".join("\n".join((*tagged[k % 3], f"{k} NUM")) for k in range(40)) + "\n", encoding="utf-8")
    words = ["evaluate", shop / "bert", "--probe", tmp_path / "tags.txt", shop / "task.tsv"]
    capsys.readouterr()
    assert main([*map(str, words), "--limit", "30", "--json"]) == 0
    tags, labels = json.loads(capsys.readouterr().out)["probe"]
    assert (tags["about"], labels["about"]) == ("tags", "labels") and sum(tags["examples"].values()) == 30
    assert len(tags["layers"]) == len(labels["layers"]) == 3 and 0 <= tags["best_layer"] < 3
    assert labels["layers"][0]["random"]["seeds"] == 3
    assert main(["evaluate", str(shop / "word2vec"), "--probe", str(tmp_path / "tags.txt"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["probe"][0]["layers"]) == 1
    assert main([str(word) for word in words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("probe of tags, ") and "*" in "".join(line.split()[1] for line in lines if line[:4].strip().isdigit())
    assert sum(line.split()[:2] == ["layer", "pre-trained"] for line in lines) == 2


PAIRS = "phenomenon\tgood\tbad\norder\tthe cat sat .\tsat cat the .\norder\t天气很好。\t很天气好。\nword\tthe cat ran\tthe cat gnu\n"


@pytest.mark.parametrize("name", ["ngram", "nnlm", "gpt", "bert"])
def test_evaluate_judges_minimal_pairs(shop, capsys, tmp_path, name):
    (tmp_path / "pairs.tsv").write_text(PAIRS, encoding="utf-8")
    words = ["evaluate", str(shop / name), "--minimal-pairs", str(tmp_path / "pairs.tsv"), "--limit", "1"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["minimal_pairs"]
    assert (found["given"], found["total"]["pairs"], list(found["phenomena"])) == (3, 2, ["order", "word"])
    assert found["unknown"] == (name != "gpt") and found["way"].startswith("pseudo") == (name == "bert")
    assert main(words) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["drawn", "by", "lot", "from", "3", "pairs"] in lines and [line[0] for line in lines[2:4]] == ["order", "word"]
    if name == "ngram":
        assert lines[5][:3] == ["all", "pairs", "100.0"]


@pytest.mark.parametrize(
    ("argv", "code", "mend"),
    [
        (["pretrain", "brt", "corpus.txt", "--out", "x"], 2, "did you mean 'bert'"),
        (["pretrain", "tinybert", "corpus.txt", "--out", "x"], 2, "stemma distill TEACHER --corpus CORPUS --out RUN"),
        (["distill", "x", "--out", "y"], 2, "give one of the two"),
        (["distill", "x", "--out", "y", "--corpus", "corpus.txt", "--from", "z"], 2, "give one of the two"),
        (["distill", "x", "--out", "y", "--corpus", "corpus.txt", "--augment", "3"], 2, "drop --augment"),
        (["distill", "x", "--out", "y", "--from", "z"], 2, "name one file of each"),
        (["distill", "x", "--out", "y", "--from", "z", "--preset", "tiny"], 2, "drop --preset"),
        (["distill", "x", "--out", "y", "--corpus", "corpus.txt", "--temperature", "2"], 2, "write --set distill.temperature=2"),
        (["distill", "x", "--out", "y", "--corpus", "corpus.txt", "--mapping", "top"], 2, "write --set model.mapping=top"),
        (["distill", "x", "--out", "y", "--corpus", "corpus.txt"], 3, "check the path"),
        (["settings", "distil"], 2, "did you mean 'distill'"),
        (["pretrain", "bert", "corpus.txt"], 2, "stemma pretrain --help"),
        (["pretrain", "bert", "corpus.txt", "--out", "x", "--preset", "huge"], 2, "choose one of these"),
        (["pretrain", "bert", "corpus.txt", "--out", "x", "--set", "model.widht=3"], 2, "did you mean 'width'"),
        (["pretrain", "bert", "corpus.txt", "--out", "x", "--sett", "model.width=3"], 2, "did you mean '--set'"),
        (["pretrain", "bert", "none.txt", "--out", "x"], 3, "check the path"),
        (["pretrain", "bert", "corpus.txt", "--out", "x", "--memory", "2"], 2, "drop --memory"),
        (["pretrain", "ngram", "corpus.txt", "--out", "x", "--memory", "0.001"], 4, "for example --memory"),
        (["pretrain", "bert", "-", "--out", "x", "--dry-run"], 2, "keep the text in a file"),
        (["finetune", "bert", "--train", "corpus.txt", "--out", "y"], 3, "TSV|header"),
        (["finetune", "bert", "--train", "task.tsv", "--out", "x", "--task", "clasify"], 2, "did you mean 'classify'"),
        (["finetune", "bert", "--train", "task.tsv", "--out", "ways", "--load-layers", "0-9"], 2, "mend transfer.load_layers"),
        (
            ["finetune", "bert", "--train", "task.tsv", "--out", "ways", "--freeze-layers", "1-2"],
            2,
            "like transfer.freeze_layers=0-3",
        ),
        (["finetune", "bert", "--train", "task.tsv", "--out", "ways", "--lora", "-1"], 2, "the default is 0"),
        (["finetune", "bert", "--train", "task.tsv", "--out", "ways", "--frozen", "--lora", "2"], 2, "drop transfer.lora"),
        (["finetune", "word2vec", "--train", "task.tsv", "--out", "ways", "--lora", "2"], 2, "drop transfer.lora"),
        (["finetune", "nnlm", "--train", "task.tsv", "--out", "ways", "--first-on-text", "99"], 2, "these can: word2vec"),
        (["predict", "bert", "--text", "x"], 2, "run stemma finetune on it first"),
        (["fill", "languages", "--text", "x"], 2, "use stemma predict or embed"),
        (["score", "gpt", "none.txt"], 3, "check the path"),
        (["embed", "languages", "--text", "x", "--layer", "1"], 2, "drop --layer"),
        (["fill", "bert", "--text", "no mask"], 3, "for example"),
        (["nearest", "word2vec", "qwertz"], 3, "try another form"),
        (["nearest", "word2vec", "the cat"], 3, "king - man + woman"),
        (["nearest", "word2vec", "cat", "--k", "0"], 2, "the default, 10"),
        (["nearest", "word2vec", "--outlier", "cat", "dgo", "xx"], 3, "did you mean 'dog'"),
        (["nearest", "word2vec", "cat", "--restrict", "-1"], 2, "the default, 10000"),
        (["embed", "bert", "--text", "the cat", "--layer", "99"], 2, "the default, -1"),
        (["generate", "gpt", "--text", "the", "--temperature", "-1"], 2, "the default, 1.0"),
        (["generate", "gpt", "--text", "the", "--temperature", "nan"], 2, "the default, 1.0"),
        (["generate", "gpt", "--text", "the", "--seed", "9" * 30], 2, "the default, 0"),
        (["generate", "gpt", "--text", "the", "--length", "-1"], 2, "the default, 50"),
        (["generate", "gpt", "--text", "the", "--next", "-1"], 2, "the default, 10"),
        (["fill", "bert", "--text", "the [MASK]", "--k", "-1"], 2, "the default, 5"),
        (["pretrain", "bert", "corpus.txt", "--out", "x", "--workers", "-1"], 2, "the default, 1"),
        (["pretrain", "bert", "corpus.txt", "--out", "x", "--set", "training.seed=" + "9" * 30], 2, "the default is 0"),
        (["pretrain", "bert", "corpus.txt", "--out", "x", "--set", "training.rate=inf"], 2, "the default is"),
        (["corpus", "docstrings", "--out", "x", "--limit-mb", "-1"], 2, "the default, 7.0"),
        (["predict", "languages", "task.tsv"], 2, "without the header"),
        (["evaluate", "word2vec", "--similarity", "task.tsv"], 3, "put the score behind the words"),
        (["evaluate", "gpt", "--minimal-pairs", "task.tsv"], 3, "add the header as the first line"),
        (["evaluate", "word2vec", "--minimal-pairs", "task.tsv"], 2, "score or fill, which word2vec lacks"),
        (["evaluate", "gpt", "corpus.txt", "--limit", "3"], 2, "drop --limit"),
        (["evaluate", "gpt", "--minimal-pairs", "task.tsv", "--limit", "-1"], 2, "leave it out for the default, 0"),
        (["evaluate", "gpt", "corpus.txt", "--restrict", "5"], 2, "drop --restrict"),
        (["evaluate", "word2vec", "--analogies", "task.tsv", "--restrict", "-1"], 2, "leave it out for the default, 0"),
        (["evaluate", "bert", "corpus.txt"], 2, "name --senses or --minimal-pairs"),
        (["evaluate", "gpt", "task.tsv", "--task", "classify"], 2, "add --zero-shot"),
        (["evaluate", "gpt", "task.tsv", "--template", "{text} {label}"], 2, "add --zero-shot"),
        (["evaluate", "gpt", "task.tsv", "--zero-shot"], 2, "for example, FILE --task classify --zero-shot"),
        (["evaluate", "gpt", "--task", "classify", "--zero-shot"], 2, "a task and one file of its examples"),
        (["evaluate", "gpt", "task.tsv", "--task", "classify", "--zero-shot", "--minimal-pairs", "x"], 2, "--minimal-pairs by itself"),
        (["evaluate", "gpt", "task.tsv", "--task", "classify", "--zero-shot", "--probe", "x"], 2, "--probe by itself"),
        (["evaluate", "gpt", "task.tsv", "--task", "classify", "--zero-shot", "--verbalise", "en"], 2, "write en=WORD"),
        (["evaluate", "gpt", "task.tsv", "--task", "classify", "--zero-shot", "--verbalise", "eng=x"], 2, "did you mean 'en'"),
        (["evaluate", "gpt", "task.tsv", "--task", "tag", "--zero-shot"], 2, "finetune the run"),
        (["evaluate", "word2vec", "task.tsv", "--task", "classify", "--zero-shot"], 2, "that can score or fill"),
        (["evaluate", "languages", "task.tsv", "--task", "classify", "--zero-shot"], 2, "name the run that it was made from"),
        (["predict", "languages", "--text", "label,text"], 2, "without the header"),
        (["predict", "languages", "--text", '{"text": "the cat", "label": "en"}'], 2, "jq -r .text"),
        (["corpus", "check", "corpus.txt", "--documents", "line"], 2, "write --set corpus.documents=line"),
        (["corpus", "check", "--corpus", "corpus.txt"], 2, "has no option --corpus"),
        (["evaluate", "bert"], 2, "name one"),
        (["evaluate", "languages", "--senses", "task.tsv"], 2, "name that alone"),
        (["compare", "corpus.txt", "--train", "task.tsv", "--dev", "task.tsv", "--out", "x", "--seeds", "0"], 2, "the default is 3"),
        (["convert", "bert", "x", "--to", "onx"], 2, "did you mean 'onnx'"),
        (["convert", "bert", "x", "--to", "zip"], 2, "known: arpa"),
        (["pretrain", "bert", "corpus.txt", "--out", "y", "--set", "training.threads=999"], 2, "set training.threads to 0"),
        (["pretrain", "glove", "corpus.txt", "--out", "y", "--set", "training.threads=999", "--dry-run"], 2, "set training.threads to 0"),
        (["finetune", "bert", "--train", "task.tsv", "--out", "x", "--set", "transfer.threads=999"], 2, "set transfer.threads to 0"),
        (["compare", *COMPARED, "--threads", "999"], 2, "set threads to 0"),
        (["compare", *COMPARED, "--set", "bert.training.threads=999"], 2, "set training.threads to 0"),
        (["compare", *COMPARED, "--set", "transfer.threads=999", "--dry-run"], 2, "set transfer.threads to 0"),
        (["compare", *COMPARED, "--minimal-limit", "3"], 2, "drop --minimal-limit"),
        (["compare", *COMPARED, "--senses-limit", "30", "--dry-run"], 2, "drop --senses-limit"),
        (["compare", *COMPARED, "--senses-test", "task.tsv"], 2, "drop --senses-test"),
        (["compare", *COMPARED, "--restrict", "30"], 2, "drop --restrict"),
        (["compare", *COMPARED, "--held-out", "0.1", "--dev-text", "corpus.txt"], 2, "drop --held-out"),
        (["pretrain", "bert", "corpus.txt", "--out", "x", "--dev", "corpus.txt", "--set", "held_out=0.1"], 2, "drop training.held_out"),
        (["nearest", "word2vec", "--outlier", "cat", "dog", "mat", "--k", "3"], 2, "drop --k"),
        (["nearest", "word2vec", "--outlier", "cat", "dog", "mat", "--restrict", "9"], 2, "drop --restrict"),
        (["generate", "gpt", "--next", "3", "--length", "9"], 2, "drop --next"),
        (["generate", "gpt", "--next", "3", "--seed", "9"], 2, "drop --next"),
        (["generate", "gpt", "--length-penalty", "1"], 2, "add --beams"),
        (
            ["pretrain", "glove", "corpus.txt", "--out", "x", "--continue-from", "glove"],
            2,
            f"these can: {', '.join(row.name for row in stemma.LINEAGE if row.continues)}.",
        ),
        (["evaluate", "word2vec", "corpus.txt"], 2, f"or a run of {names_of('score')}"),
        (["generate", "gpt", "--beams", "2", "--seed", "1"], 2, "drop --seed"),
        (["attend", "ngram", "--text", "the cat"], 2, f"these can: {names_of('attend')}."),
        (["attend", "languages", "--text", "the cat"], 2, "name the run that it was made from"),
        (["attend", "gpt", "--text", "the cat", "--layer", "3"], 2, "choose one, or drop --layer"),
        (["attend", "gpt", "--text", "the cat", "--head", "0"], 2, "choose one, or drop --head"),
        (["attend", "gpt", "--text", "the cat " * 20], 3, "shorten it"),
        (["attend", "gpt", "--text", "the cat", "--out", "maps.pdf"], 2, "choose one of the two"),
        (["attend", "gpt", "--text", "the cat", "--out", "maps.html", "--steps"], 2, "drop one of the two"),
        (["attend", "bert", "corpus.txt", "--other", "the dog"], 2, "with a tab between the two"),
        (["attend", "bert", "--text", "a", "--text", "b", "--other", "the dog"], 2, "with a tab between the two"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else None,
)
def test_a_mistake_is_reported_with_its_mend(shop, capsys, monkeypatch, argv, code, mend):
    monkeypatch.chdir(shop)
    got, err = failure(capsys, *argv)
    assert got == code, err
    assert any(part in err for part in mend.split("|")), err


@pytest.mark.parametrize(
    ("argv", "able"),
    [
        (["nearest", "bert", "cat"], names_of("nearest")),
        (["nearest", "gpt", "cat"], names_of("nearest")),
        (["score", "bert", "no-such-file.txt"], names_of("score")),
        (["fill", "word2vec", "no-such-file.txt"], names_of("fill")),
        (["generate", "glove"], names_of("generate")),
        (["embed", "ngram", "no-such-file.txt"], names_of("embed")),
        (["convert", "gpt", "x", "--to", "arpa"], "ngram"),
        (["convert", "ngram", "x", "--to", "glove"], names_of("nearest")),
        (["finetune", "ngram", "--train", "tags.txt", "--task", "tag", "--out", "made"], names_of("embed")),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else None,
)
def test_who_cannot_is_answered_with_those_that_can(shop, capsys, monkeypatch, argv, able):
    monkeypatch.chdir(shop)
    (shop / "tags.txt").write_text("the\tD\ncat\tN\n\nsat\tV\n\n" * 4, encoding="utf-8")
    code, err = failure(capsys, *argv)
    assert code == 2 and f": {able}." in err, err


@pytest.mark.parametrize(
    "verb",
    [
        ["predict", "RUN"],
        ["embed", "RUN"],
        ["nearest", "RUN", "cat"],
        ["score", "RUN"],
        ["generate", "RUN"],
        ["fill", "RUN"],
        ["info", "RUN"],
        ["evaluate", "RUN", "corpus.txt"],
        ["show", "tokens", "RUN"],
        ["convert", "RUN", "x", "--to", "arpa"],
        ["finetune", "RUN", "--train", "task.tsv", "--out", "made"],
        ["pretrain", "word2vec", "corpus.txt", "--out", "made", "--continue-from", "RUN"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("place", ["none", "folder"])
def test_what_is_no_run_ends_with_3_for_every_verb(shop, capsys, monkeypatch, verb, place):
    monkeypatch.chdir(shop)
    (shop / "folder").mkdir(exist_ok=True)
    code, err = failure(capsys, *(place if word == "RUN" else word for word in verb))
    assert code == 3 and (f"{place} is not a run folder" in err or verb[0] == "show"), err
    assert not (shop / "made").exists()


def test_a_comparison_given_for_a_run_names_where_its_runs_stand(shop, capsys, tmp_path):
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    code, err = failure(capsys, "score", tmp_path, "--text", "x")
    assert code == 3 and f"{tmp_path / 'runs'}: name one of them" in err


def test_ctrl_c_saves_and_the_same_command_goes_on(shop, tmp_path):
    options = ["--preset", "tiny", *(word for setting in [*SIZES, "training.steps=150"] for word in ("--set", setting)), "--json"]
    command = [sys.executable, "-m", "stemma", "pretrain", "bert", str(shop / "corpus.txt"), "--out", str(tmp_path / "run"), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert any(line.startswith("step ") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 5, err
    assert json.loads(out)["exit_code"] == 5
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "going on from step" in done.stderr
    assert json.loads(done.stdout)["steps"] == 150


def test_only_the_first_rank_prints(shop, capsys, monkeypatch):
    capsys.readouterr()
    monkeypatch.setenv("RANK", "1")
    assert main(["pretrain", "ngram", str(shop / "corpus.txt"), "--out", str(shop / "ngram"), "--preset", "tiny", "--set", "order=3"]) == 0
    assert capsys.readouterr().out == ""


def test_warnings_go_to_stderr_in_a_line(shop, capsys, monkeypatch):
    def warn(_):
        warnings.warn("columns not used: id", stacklevel=1)
        return None

    monkeypatch.setattr("stemma.cli.main.parsed", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        main(["lineage"])
    assert capsys.readouterr().err == "warning: columns not used: id\n"


def test_compare_takes_its_settings_from_the_command_line_over_a_file(tmp_path):
    (tmp_path / "own.toml").write_text('[compare]\nseeds = 5\npreset = "tiny"\n', encoding="utf-8")
    words = ["corpus.txt", "--train", "a.tsv", "--dev", "b.tsv", "--out", "x", "--config", "own.toml", "--preset", "base"]
    verb = parse(
        Compare,
        "compare",
        [*words, "--dev-text", "c.txt", "d.txt", "--modes", "frozen", "--words", "包", "--set", "a.b=1", "--set", "transfer.epochs=2"],
    )
    config = replace(verb, config=tmp_path / "own.toml").settled()
    assert config == CompareConfig(
        seeds=5,
        preset="base",
        dev_text=("c.txt", "d.txt"),
        modes=("frozen",),
        words=("包",),
        settings=("a.b=1", "transfer.epochs=2"),
    )


def test_python_pretrains_opens_and_carries_over(shop, tmp_path):
    run = stemma.pretrain("word2vec", shop / "corpus.txt", out=shop / "word2vec", preset="tiny", settings=SETTINGS["word2vec"])
    assert isinstance(run, stemma.Run)
    assert run.embed(["the cat", "花"]).shape == (2, 12)
    model = stemma.finetune(run, train=shop / "task.tsv", frozen=True, settings=["seeds=[1]"], out=tmp_path / "task")
    opened = stemma.load(tmp_path / "task")
    assert isinstance(opened, stemma.Classifier)
    np.testing.assert_allclose(opened.predict(["the dog", "天气"])[1], model.predict(["the dog", "天气"])[1], atol=1e-6)
    with pytest.raises(UsageError, match="did you mean 'epochs'"):
        stemma.finetune(run, train=shop / "task.tsv", settings=["transfer.epcohs=2"])
    with pytest.raises(DataError, match="check"):
        stemma.finetune(run, train=shop / "none.tsv")


def test_the_ways_of_fine_tuning_are_options_and_settings(shop, capsys, tmp_path):
    few = ["seeds=[1,2]", "transfer.budget=2", "transfer.updates=2", "transfer.epochs=1", "transfer.threads=1", "transfer.precision=fp32"]
    sets = [word for setting in few for word in ("--set", setting)]
    options = ["--load-layers", "0-1", "--freeze-layers", "0", "--lora", "2", "--first-on-text", "300", "--budget-seconds", "600"]
    command = ["finetune", shop / "bert", "--train", shop / "task.tsv", "--dev", shop / "task.tsv", *sets, *options]
    capsys.readouterr()
    assert main([str(word) for word in (*command, "--out", tmp_path / "task", "--json")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [len(answer["trials"]), len(answer["seeds"])] == [2, 2] and answer["first_on_text"]["asked"] == 300
    assert main([str(word) for word in (*command, "--out", tmp_path / "task")]) == 0  # what is finished is given back
    out, _ = capsys.readouterr()
    for words in ("first it read", "layers 0-1 were loaded", "layer 0 stood still", "only adapters of rank 2", "seed 2", "(chosen)"):
        assert words in out
    settings = {"load_layers": "0-1", "freeze_layers": "0", "lora": 2, "first_on_text": 300, "budget_seconds": 600}
    model = stemma.finetune(
        shop / "bert",
        train=shop / "task.tsv",
        dev=shop / "task.tsv",
        settings=[*few, *(f"transfer.{key}={json.dumps(value)}" for key, value in settings.items())],
        out=tmp_path / "task",
    )
    assert model.facts["trials"] == answer["trials"]  # the same call, so that it gives back the same run
    (predicted,) = rows(capsys, "predict", tmp_path / "task", "--text", "the cat")
    assert predicted["label"] in ("en", "zh")


def test_every_name_of_the_package_can_be_had():
    assert all(getattr(stemma, name) is not None for name in stemma.__all__)
    assert set(dir(stemma)) == set(stemma.__all__)
    with pytest.raises(AttributeError, match="it has LINEAGE"):
        stemma.pretrian  # noqa: B018


@pytest.mark.parametrize("name", ["ngram", "bert"])
def test_a_text_that_cannot_be_read_leaves_nothing_behind(tmp_path, capsys, name):
    (tmp_path / "bad.txt").write_bytes(b"a good line\n\xff\xfe a bad one\n")
    code, err = failure(capsys, "pretrain", name, tmp_path / "bad.txt", "--out", tmp_path / "deep" / "run", "--preset", "tiny")
    assert code != 0 and "bad.txt, line 2" in err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.txt"]


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("gpt", ["training.patience=1", "training.held_out=0"], "drop training.patience"),  # found after the run folder is begun
        ("word2vec", ["min_count=1", "training.steps=1", "sample=1e-9"], "sub-sampl"),
        ("glove", ["min_count=9999"], "min_count"),
    ],
)
@pytest.mark.parametrize("before", [None, "run/.kept", "run"], ids=["no folder", "a file", "empty folder"])
def test_what_is_found_wrong_on_the_way_leaves_nothing_behind(tmp_path, capsys, monkeypatch, name, settings, message, before):
    (tmp_path / "text.txt").write_text("\n".join(["雨 rain", *ENGLISH]) + "\n", encoding="utf-8")
    if before:
        place = tmp_path / before
        place.parent.mkdir(exist_ok=True)
        place.mkdir() if before == "run" else place.write_text("mine", encoding="utf-8")
    found = tree(tmp_path)
    sets = [word for setting in settings for word in ("--set", setting)]
    code, err = failure(capsys, "pretrain", name, tmp_path / "text.txt", "--out", tmp_path / "run", "--preset", "tiny", *sets)
    assert code in (2, 3) and message in err, err
    assert tree(tmp_path) == found
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "text.txt").read_bytes())))
    failure(capsys, "pretrain", name, "-", "--out", tmp_path / "run", "--preset", "tiny", *sets)
    assert tree(tmp_path) == found


def test_a_folder_with_other_files_is_refused_before_anything_is_made_there(shop, capsys, tmp_path):
    (tmp_path / "letter.txt").write_text("dear reader", encoding="utf-8")
    code, err = failure(capsys, "pretrain", "ngram", shop / "corpus.txt", "--out", tmp_path)
    assert code == 1 and "choose another --out" in err and tree(tmp_path) == ["letter.txt"]
    code, err = failure(capsys, "finetune", shop / "bert", "--train", shop / "task.tsv", "--out", tmp_path)
    assert code == 1 and "choose another --out" in err and tree(tmp_path) == ["letter.txt"]


def test_a_comparison_of_bad_text_leaves_nothing_behind(shop, capsys, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"a good line\n\xff\xfe a bad one\n")
    task = shop / "task.tsv"
    options = ["--train", task, "--dev", task, "--out", tmp_path / "out", "--preset", "tiny"]
    code, _ = failure(capsys, "compare", tmp_path / "bad.txt", *options)
    assert code == 3 and tree(tmp_path) == ["bad.txt"]


def test_a_file_of_wrong_bytes_names_no_option_that_the_verb_lacks(shop, capsys, tmp_path):
    """Files of examples are UTF-8: of a corpus alone the encoding can be set."""
    text = "phenomenon\tgood\tbad\n语序\t今天天气很好\t今天很天气好\n"
    for name, data in (("gb.tsv", text.encode("gb18030")), ("wide.tsv", text.encode("utf-16-le"))):
        (tmp_path / name).write_bytes(data)
        for argv in (
            ["evaluate", shop / "gpt", "--minimal-pairs", tmp_path / name],
            ["evaluate", shop / "word2vec", "--similarity", tmp_path / name],
            ["evaluate", shop / "word2vec", "--senses", tmp_path / name],
            ["finetune", shop / "bert", "--train", tmp_path / name, "--out", tmp_path / "out"],
        ):
            code, err = failure(capsys, *argv)
            assert code == 3 and "e-save it as UTF-8" in err and "encoding =" not in err, err


def test_messages_name_options_that_exist():
    known = {"--set", "--help", "--version"}
    for cls in VERB_CLASSES:
        known |= {"--" + field.name.replace("_", "-") for field in fields(cls)}
    named = set()
    for path in Path(stemma.__file__).parent.rglob("*.py"):
        raised = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        errors = [call for call in raised if isinstance(call.func, ast.Name) and call.func.id.endswith(("Error", "Extra"))]
        for text in (inner.value for call in errors for inner in ast.walk(call) if isinstance(inner, ast.Constant)):
            named |= set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", text)) if isinstance(text, str) else set()
    assert len(named) > 10 and named <= known, named - known
