"""The corpus report: counts, scripts, and every fault with its place and cure."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.corpus.check import check
from stemma.corpus.formats import Config
from stemma.corpus.scripts import count_scripts
from stemma.errors import DataError


def put(folder: Path, text: str | bytes, name: str = "a.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_sound_corpus(tmp_path: Path) -> None:
    report = check([put(tmp_path, "The cat sat 12.\n猫坐着カナ。\n\nДа, 한 😀.\n")])
    found = json.loads(json.dumps(report.as_dict()))
    assert report.ok and found["balances"] and found["documents"] == 2 and found["sentences"] == 3
    assert found["files"] == [{"name": str(tmp_path / "a.txt"), "format": "sentences", "documents_end_at": "blank", "characters": 33}]
    assert found["characters_by_script"]["Latin"] == 9
    assert found["characters_by_script"]["Han"] == 3
    assert {"kana": 2, "hangul": 1, "Cyrillic": 2, "emoji": 1, "digits": 2}.items() <= found["characters_by_script"].items()
    assert found["longest_line"] == {"characters": 15, "at": f"{tmp_path / 'a.txt'}, line 1"}
    assert found["problems"] == []


@pytest.mark.parametrize("workers", [1, 2])
def test_it_goes_on_after_a_fault_and_lists_the_first(tmp_path: Path, workers: int) -> None:
    lines = ['{"text": "Fine."}', '{"text": ', '{"body": "x"}', '{"text": "Good."}'] * 10
    put(tmp_path, "\n".join(lines), "a.jsonl")
    put(tmp_path, b"Good.\nBad \xff byte.\n", "b.txt")
    put(tmp_path, b"%PDF-1.4", "c.txt")
    put(tmp_path, "x", "d.csv")
    report = check([tmp_path], workers=workers, most_problems=5)
    assert not report.ok
    assert len(report.problems) == 5
    assert report.num_problems == 22
    assert "a.jsonl, line 2: not JSON" in report.problems[0] and "line 3: no field 'text'" in report.problems[1]
    assert 'set corpus.field = "body"' in report.problems[1]
    assert report.ledger.balances
    assert report.ledger.documents == 21
    assert report.skipped == [str(tmp_path / "d.csv")]
    assert any("passed over" in hint for hint in report.hints)


def test_the_wrong_encoding_is_one_problem_reported_with_its_cure(tmp_path: Path) -> None:
    report = check([put(tmp_path, ("今天天气很好，我们出去玩。\n" * 3).encode("gb18030"))])
    assert 'set corpus.encoding = "gb18030"' in report.problems[0]
    assert check([tmp_path / "a.txt"], Config(encoding="gb18030")).ok


def test_a_corpus_without_text_is_a_problem(tmp_path: Path) -> None:
    report = check([put(tmp_path, "\n\n")])
    assert not report.ok and "no text in it" in report.problems[0]
    with pytest.raises(DataError, match="no such file"):
        check([tmp_path / "none.txt"])


def test_hints(tmp_path: Path) -> None:
    report = check([put(tmp_path, "The same line again.\n" * 300 + "Lost \ufffd here.\n")])
    assert any("--set corpus.documents=line" in hint for hint in report.hints)
    assert any("stood before" in hint for hint in report.hints)
    assert any("U+FFFD" in hint for hint in report.hints)
    assert report.repeated_sentences == pytest.approx(299 / 301)


@given(st.text())
def test_every_character_has_a_script(text: str) -> None:
    assert count_scripts(text).total() == len(text)


def test_real_corpora(shared_data: Path) -> None:
    report = check([shared_data / "text-zh-tech/dev.txt"])
    assert report.ok and report.scripts.most_common(1)[0][0] == "Han" and report.files[0]["format"] == "text"
    assert check([shared_data / "text-zh-histories/dev.txt"]).files[0]["format"] == "sentences"
    assert check([shared_data / "text-en-novels/dev.txt"]).files[0]["format"] == "text"
    assert check([shared_data / "fixtures/sentencepiece/botchan.txt"]).files[0]["format"] == "wrapped"
    assert check([shared_data / "text-en-shakespeare/input.txt"]).files[0]["format"] == "sentences"


@pytest.mark.parametrize(("header", "column"), [("label\ttext", 2), ("text\tlabels", 1), ("score\tsentence1\tsentence2", 2)])
def test_a_table_of_labelled_examples_is_no_corpus(tmp_path, header, column):
    (tmp_path / "t.tsv").write_text(f"{header}\n1\tgood\t好\n", encoding="utf-8")
    found = check([tmp_path / "t.tsv"], Config())
    assert any(f"cut -f {column}`" in problem for problem in map(str, found.problems))
    (tmp_path / "t.tsv").write_text("the label\tand the text\n", encoding="utf-8")
    assert not check([tmp_path / "t.tsv"], Config()).problems
