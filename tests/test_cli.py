"""The command line from the outside: verbs, exit codes, JSON, and errors in three parts."""

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from stemma.cli import main as cli
from stemma.cli.aligned import named, paragraph
from stemma.cli.answer import Answer, Rows
from stemma.cli.demo import Demo
from stemma.cli.main import TABLE, main
from stemma.errors import DataError
from stemma.evaluation.comparison.demo import demo
from stemma.lineage import table
from stemma.runs.json_text import dumps


def stemma(capsys, *argv):
    """Exit code, stdout and stderr of one command line."""
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_help_lists_every_verb(capsys):
    code, out, _ = stemma(capsys, "--help")
    assert code == 0
    assert all(name in out for name in TABLE)


@pytest.mark.parametrize("argv", [[], ["-h"], ["help"]])
def test_no_verb_shows_the_help(capsys, argv):
    assert stemma(capsys, *argv)[1].startswith("usage: stemma VERB")


@pytest.mark.parametrize("name", TABLE)
def test_every_verb_has_help_with_an_example(capsys, name):
    code, out, err = stemma(capsys, *name.split(), "--help")
    assert (code, err) == (0, "")
    assert f"usage: stemma {name}" in out
    assert f"stemma {name}" in out.partition("Example:")[2]
    assert "--json" in out
    assert not re.search(r"│ (--)?[\w-]+( \S+)*\s{2,}\((optional|required|default)", out)  # every option says what it is


def test_version(capsys):
    import stemma as package

    assert stemma(capsys, "--version")[1] == f"stemma {package.__version__}\n"


def test_lineage_as_a_tree_and_as_json(capsys):
    _, tree, _ = stemma(capsys, "lineage")
    code, out, err = stemma(capsys, "lineage", "--json")
    rows = json.loads(out)
    assert (code, err, len(rows)) == (0, "", 15)
    assert all(f" {row['name']}  {row['year']}" in tree for row in rows)
    assert all(row["ready"] for row in rows)
    assert all("tiny" in row["presets"] for row in rows)


@pytest.mark.parametrize(
    ("argv", "mend"),
    [
        (["lineaeg"], "did you mean 'lineage'?"),
        (["serve", "runs/x", "--prot", "1"], "did you mean '--port'?"),
        (["lineage", "--jsn"], "did you mean '--json'?"),
        (["lineage", "bert", "extra"], "quote a text with spaces"),
    ],
)
def test_a_mistyped_command_line_names_the_nearest_right_one(capsys, argv, mend):
    code, out, err = stemma(capsys, *argv)
    assert (code, out) == (2, "")
    assert mend in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["evaluate", "runs/x", "--limit", "ten"], "--limit"), (["pretrain", "ngram"], "--out"), (["evaluate"], "a run folder")],
)
def test_an_option_that_cannot_be_read_is_named(capsys, argv, message):
    code, _, err = stemma(capsys, *argv)
    assert code == 2
    assert message.lower() in err.splitlines()[0].lower().replace("_", "-")


def test_with_json_a_failure_is_one_document_too(capsys):
    code, out, err = stemma(capsys, "lineage", "--wide", "--json")
    document = json.loads(out)
    assert (code, document["exit_code"]) == (2, 2)
    assert document["error"]["wrong"] == "stemma lineage has no option --wide."
    assert "no option --wide" in err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("a.txt, line 3: bad", "good", "mend it"), 3, "mend it"),
        (KeyboardInterrupt(), 5, "it finds again"),
        (MemoryError(), 4, "smaller preset"),
        (OSError(28, "No space left on device", "runs/x"), 4, "run the same command again"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 1, "pip install stemma-nlp"),
        (PermissionError(13, "Permission denied", "runs/x"), 1, "check the path and its rights"),
    ],
)
def test_every_ending_has_its_exit_code_and_no_traceback(capsys, monkeypatch, error, code, message):
    def fail(argv):
        raise error

    monkeypatch.setattr(cli, "parsed", fail)
    got, out, err = stemma(capsys, "lineage")
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(capsys, monkeypatch):
    def fail(argv):
        raise DataError("a", "b", "c")

    monkeypatch.setattr(cli, "parsed", fail)
    assert "Traceback" in stemma(capsys, "lineage", "--debug")[2]


def test_our_own_mistake_shows_the_traceback_and_asks_for_a_report(capsys, monkeypatch):
    def fail(argv):
        raise KeyError("x")

    monkeypatch.setattr(cli, "parsed", fail)
    code, _, err = stemma(capsys, "lineage")
    assert code == 1
    assert "Traceback" in err
    assert "report it" in err


def test_a_closed_pipe_is_quiet():
    script = "import sys; from stemma.cli.main import main; sys.exit(main(['lineage']))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (0, b"")


def test_sigterm_ends_as_an_interruption():
    script = """
import os, signal, sys, time
from stemma.cli import main
def wait(argv):
    print("ready", flush=True)
    time.sleep(60)
main.parsed = wait
sys.argv = ["stemma", "lineage"]
main.entry()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGTERM)
        err = process.stderr.read()
    assert process.returncode == 5
    assert b"it finds again" in err


def test_rows_are_json_lines_or_one_json_list():
    rows = [{"text": "one"}, {"text": "二 🙂"}]
    shown = lambda row: [row["text"], "--"]  # noqa: E731
    assert "".join(Rows(rows, shown).pieces("lines")) == '{"text":"one"}\n{"text":"二 🙂"}\n'
    assert json.loads("".join(Rows(rows, shown).pieces("document"))) == rows
    assert json.loads("".join(Rows([], shown).pieces("document"))) == []
    assert "".join(Rows(rows, shown).pieces("person")) == "one\n--\n二 🙂\n--\n"


def test_an_answer_is_lines_or_a_document():
    answer = Answer({"loss": float("inf")}, ["a", "b"])
    assert "".join(answer.pieces("lines")) == "".join(answer.pieces("person")) == "a\nb\n"
    assert json.loads("".join(answer.pieces("document"))) == {"loss": None}


def test_arrays_and_nans_become_json():
    import numpy as np

    document = {"a": np.array([[1.5, np.nan]]), "b": np.float32(0.5), "c": np.int64(3)}
    assert json.loads(dumps(document)) == {"a": [[1.5, None]], "b": 0.5, "c": 3}


def test_settings_tell_what_each_takes(capsys):
    code, out, err = stemma(capsys, "settings", "bert", "--preset", "tiny", "--json")
    assert (code, err) == (0, "")
    found = {key: {row["key"]: row for row in rows} for key, rows in json.loads(out).items()}
    assert list(found) == ["corpus", "tokenizer", "model", "objective", "training"]
    assert found["model"]["activation"]["takes"] == "gelu or gelu_tanh"
    assert found["objective"]["mask_share"] | {"about": ""} == {
        "key": "mask_share",
        "takes": "number from 0 to 1",
        "value": 0.4,
        "about": "",
    }
    assert "unigram" in found["tokenizer"]["kind"]["takes"]
    assert all(row["takes"] != "value" for rows in found.values() for row in rows.values())


@pytest.mark.parametrize("name", [*(row.name for row in table.TABLE if row.ready), "transfer"])
def test_every_setting_is_described_in_text(capsys, name):
    code, out, _ = stemma(capsys, "settings", name)
    assert code == 0 and out.startswith("[")


@pytest.mark.parametrize("row", table.TABLE, ids=lambda row: row.name)
def test_settings_have_the_generation_s_own_tokens(capsys, row):
    for preset in ("", *row.presets()):
        code, out, err = stemma(capsys, "settings", row.name, *(("--preset", preset) if preset else ()), "--json")
        assert code == 0, err
        kind = next(one["value"] for one in json.loads(out)["tokenizer"] if one["key"] == "kind")
        assert kind == row.presets().get(preset, {}).get("tokenizer", {}).get("kind", row.tokenizer)


def test_settings_of_nothing_known(capsys):
    assert "did you mean 'bert'" in stemma(capsys, "settings", "bertt")[2]
    assert stemma(capsys, "settings", "bert", "--preset", "huge")[0] == 2
    assert "drop --preset" in stemma(capsys, "settings", "transfer", "--preset", "tiny")[2]
    assert "did you mean 'transfer'" in stemma(capsys, "settings", "transfr")[2]
    assert "  augment " in stemma(capsys, "settings", "distill")[1]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("finetune", "write stemma settings transfer."),
        ("fine-tuning", "write stemma settings transfer."),
        ("task", "write stemma settings transfer."),
        ("tag", "write stemma settings transfer --task tag."),
        ("pretrain", "stemma settings bert."),
        ("training", "stemma settings bert."),
        ("compare", "stemma compare --help"),
    ],
)
def test_settings_of_a_verb_a_task_or_a_section_say_where_they_stand(capsys, word, meant):
    code, _, err = stemma(capsys, "settings", word)
    assert code == 2 and meant in err


def test_the_fewest_updates_are_reported_as_that(capsys):
    rows = {row["key"]: row["about"] for row in json.loads(stemma(capsys, "settings", "transfer", "--json")[1])["transfer"]}
    assert rows["updates"].startswith("fewest updates, no limit") and "fewer updates than" in rows["epochs"]


@pytest.mark.parametrize(("name", "how"), [("bert", "stemma pretrain bert CORPUS"), ("tinybert", "stemma distill TEACHER --corpus CORPUS")])
def test_lineage_prints_the_page_of_one(capsys, name, how):
    code, out, _ = stemma(capsys, "lineage", name)
    assert code == 0 and out.startswith(f"{name} · ")
    assert "Axes: B batch" in out and f"to pre-train it: {how} --out RUN" in out


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (["pretrain", "bert", "x.txt", "--out", "r", "--seed", "7"], "write --set training.seed=7"),
        (["pretrain", "bert", "x.txt", "--out", "r", "--epochs=2"], "write --set training.epochs=2"),
        (["finetune", "r", "--train", "t", "--out", "o", "--max-length", "64"], "write --set transfer.max_length=64"),
        (["compare", "c.txt", "--train", "t", "--dev", "d", "--out", "o", "--epochs", "2"], "training.epochs=2 or --set transfer.epochs=2"),
        (["nearest", "r", "cat", "--seed", "7"], "has no option --seed.\n"),
    ],
)
def test_an_option_that_is_a_setting_is_reported_so(capsys, argv, meant):
    code, out, err = stemma(capsys, *argv)
    assert (code, out) == (2, "") and meant in err


LOOK_UP = {  # how a shell is asked what it would complete; zsh's own `compadd` works nowhere but in its editor
    "bash": 'COMP_WORDS=({words}); COMP_CWORD={last}; _stemma_words; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "zsh": "compadd() {{ shift; print -rl -- ${{(M)@:#${{words[CURRENT]}}*}} }}; words=({words}); CURRENT={last}+1; _stemma",
    "fish": 'complete -C "{line}"',
}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("ne", ["nearest"]),
        ("pretrain be", ["bert", "bert-wwm"]),
        ("pretrain bert --cont", ["--continue-from"]),
        ("corpus ch", ["check"]),
        ("corpus check --s", ["--set", "--source"]),
        ("nearest runs/x --several", []),
    ],
)
@pytest.mark.parametrize("shell", LOOK_UP)
def test_a_shell_completes(capsys, tmp_path, shell, line, found):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    script = stemma(capsys, "completion", "--shell", shell)[1]
    words = ["stemma", *line.split(" ")]
    lookup = LOOK_UP[shell].format(words=" ".join(words), last=len(words) - 1, line=" ".join(words))
    before = "compdef() { :; }\n" if shell == "zsh" else ""
    command = [shell, *(["-f"] if shell == "zsh" else []), "-c", f"{before}{script}\n{lookup}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (done.stdout.split(), done.stderr) == (found, "")


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".local/share/bash-completion/completions/stemma"),
        ("zsh", ".zfunc/_stemma"),
        ("fish", ".config/fish/completions/stemma.fish"),
    ],
)
def test_completions_are_installed_for_the_user(capsys, tmp_path, monkeypatch, shell, place):
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert stemma(capsys, "completion", "--install", "--shell", shell)[0] == 0
    assert (tmp_path / place).read_text() == stemma(capsys, "completion", "--shell", shell)[1]


def test_the_demo_of_the_shell_is_that_of_python() -> None:
    assert Demo().seconds == inspect.signature(demo).parameters["seconds"].default


def test_what_is_too_wide_for_the_terminal_goes_on_under_itself(monkeypatch):
    rows = [("notes", "pairs are learnt long after words: 训练更久 or set it"), ("model card", "runs/a-long-name/README.md")]
    whole = list(named(rows))
    assert len(whole) == 2  # in a pipe nothing is parted
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "41")
    assert list(named(rows)) == [
        "  notes       pairs are learnt long after",
        "              words: 训练更久 or set it",
        "  model card  runs/a-long-name/README.md",
    ]
    assert list(paragraph("- the budget was too small for BERT, whose loss never left it", "  ")) == [
        "- the budget was too small for BERT,",
        "  whose loss never left it",
    ]
    monkeypatch.setenv("COLUMNS", "20")
    assert list(named(rows)) == whole  # where there is no room nothing is gained


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--port", "99999"], "--port = 99999"),
        (["--port", "-1"], "--port = -1"),
        (["--max-inputs", "0"], "--max-inputs = 0"),
        (["--timeout", "nan"], "--timeout = nan"),
        (["--max-wait-ms", "-1"], "--max-wait-ms = -1.0"),
    ],
)
def test_a_limit_of_serve_out_of_bounds_is_named_as_it_was_given(capsys, words, wrong):
    code, _, err = stemma(capsys, "serve", "runs/x", *words)
    assert code == 2 and wrong in err and "mistake" not in err


def test_a_missing_file_of_keys_is_bad_data(capsys, tmp_path):
    code, _, err = stemma(capsys, "serve", "runs/x", "--api-key-file", tmp_path / "nosuch")
    assert code == 3 and "nosuch: No such file or directory" in err


def test_a_second_sigterm_breaks_nothing_and_none_reaches_into_the_loading_of_torch(capsys, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    left = []
    monkeypatch.setattr(cli, "_leave_at_once", left.append)
    try:
        for module, codes in (("torch._C", [5]), ("stemma.runs", [])):
            left.clear()
            call = {"__name__": module, "told": lambda: cli._terminated(signal.SIGTERM, sys._getframe(1))}
            with pytest.raises(KeyboardInterrupt):
                exec(compile("told()", "made up", "exec"), call)
            assert left == codes and signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err.count("error: interrupted.") == 1
