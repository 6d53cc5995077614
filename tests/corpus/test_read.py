"""Reading: what a careful person expects of every odd file; workers and blocks change nothing; the ledger balances."""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import struct
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stemma.corpus import read as reading
from stemma.corpus.blocks import blocks
from stemma.corpus.check import check
from stemma.corpus.clean import _ANY, _is_clean, clean
from stemma.corpus.document import Document, Ledger
from stemma.corpus.encoding import texts
from stemma.corpus.files import find
from stemma.corpus.formats import Config
from stemma.corpus.parse import Block, _Parser, parse
from stemma.corpus.read import Joiner, fingerprint, read, spool_stdin
from stemma.errors import DataError, UsageError

ENGLISH = "The cat sat.\nThe dog ran.\n\nIt was late.\n"
CHINESE = "猫坐着。\n狗跑了。\n\n天黑了。\n"


def taken(*paths: Path | str, workers: int = 1, **settings) -> tuple[list[Document], Ledger]:
    ledger = Ledger()
    documents = list(read(paths, Config(**settings), ledger, workers))
    assert ledger.balances, ledger.as_dict()
    assert ledger.documents == len(documents)
    assert ledger.sentences == sum(len(document.sentences) for document in documents)
    assert ledger.characters_used == sum(len(sentence) for document in documents for sentence in document.sentences)
    return documents, ledger


def put(folder: Path, text: str | bytes, name: str = "a.txt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_one_sentence_a_line_blank_line_between_documents(tmp_path: Path, text: str) -> None:
    documents, ledger = taken(put(tmp_path, text))
    lines = text.split("\n")
    assert [document.sentences for document in documents] == [(lines[0], lines[1]), (lines[3],)]
    assert [document.source.rsplit(":", 1)[1] for document in documents] == ["1", "4"]
    assert ledger.rejected == {"line ends": 3, "blank lines": 1, "trimmed white space": 0, "white space between sentences": 0}


TAGGED = """<doc id="1" title="a > b">
Mill

The mill turns. It is old.

Nobody minds.
</doc>

<doc id="2">
河
老磨坊转。河水流。
</doc>
"""


@pytest.mark.parametrize("size", [1, 30, 1000])
def test_lines_of_tags_part_documents_and_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(reading, "blocks", partial(blocks, size=size))
    documents, ledger = taken(put(tmp_path, TAGGED, "wiki_00"), format="auto" if size == 1000 else "tagged")
    found = [document.sentences for document in documents]
    assert found == [("Mill", "The mill turns.", "It is old.", "Nobody minds."), ("河", "老磨坊转。", "河水流。")]
    assert ledger.rejected["lines <doc …> and </doc>"] == sum(len(line) for line in TAGGED.split("\n") if "doc" in line)


def test_tags_count_after_other_text_too(tmp_path: Path) -> None:
    documents, _ = taken(put(tmp_path, f"An extract of the mill's own pages.\n\n{TAGGED}", "wiki_00"))
    assert [document.sentences[0] for document in documents] == ["An extract of the mill's own pages.", "Mill", "河"]


def test_tags_in_other_text_are_text(tmp_path: Path) -> None:
    documents, _ = taken(put(tmp_path, "HTML has no such line as\n<doc id=1>\nof its own.\n"))
    assert documents[0].sentences[1] == "<doc id=1>"


def test_free_text_is_split(tmp_path: Path) -> None:
    documents, _ = taken(put(tmp_path, "Mr. Fox ran. He fell! 他来了。她走了。\nThe end. Good night.\n"))
    assert documents[0].sentences == ("Mr. Fox ran.", "He fell!", "他来了。", "她走了。", "The end.", "Good night.")


def test_wrapped_text_is_joined_and_a_file_is_a_document(tmp_path: Path) -> None:
    text = (
        "It was a bright cold day in April, and the clocks were\n"
        "striking thirteen. Winston Smith, his chin nuzzled into\n"
        "his breast in an effort to escape the vile wind, slipped\n"
        "quickly through the glass doors of the long corridor.\n"
        "\n"
        "The hallway smelt of boiled cabbage and old rag mats and\n"
        "of well-\n"
        "known things. At one end of it a coloured poster, a very\n"
        "large one, had been tacked to the wall.\n"
    )
    documents, ledger = taken(put(tmp_path, text))
    assert len(documents) == 1
    assert documents[0].sentences[0] == "It was a bright cold day in April, and the clocks were striking thirteen."
    assert documents[0].sentences[1].endswith("the long corridor.")
    assert len(documents[0].sentences) == 4
    assert ledger.rejected["line ends"] < 8


@pytest.mark.parametrize("word", ["river", "河流向东"])
def test_lines_joined_as_wrapped_unasked_are_reported_with_the_setting(tmp_path: Path, word: str) -> None:
    path = put(tmp_path, f"{word} goes by the mill of the town\n" * 8)
    _, ledger = taken(path)
    (note,) = (f"{count} {what}" for what, count in ledger.notes.items() if count)
    assert note.startswith("7 lines joined") and "wrapped" in note and 'corpus.format = "sentences"' in note
    assert not taken(path, format="wrapped")[1].notes and not taken(path, format="sentences")[1].notes


def test_wrapped_chinese_is_joined_without_spaces(tmp_path: Path) -> None:
    text = (
        "这是一个很长很长的段落它在固定的宽度处被断开成为好\n几行所以读的时候要把它们接起来而且中间不能有任何的\n"
        "空格否则就不像中文了这一点非常重要请大家务必记住它\n谢谢大家。\n"
    )
    documents, _ = taken(put(tmp_path, text))
    assert documents[0].sentences == (text.replace("\n", ""),)


def test_json_lines_one_document_a_line_with_label(tmp_path: Path) -> None:
    lines = [{"text": "One. Two.\nThree.", "label": "x"}, {"text": "四。五。", "id": 7}, {"text": "  "}, {"text": "a\\b é 😀."}]
    documents, ledger = taken(put(tmp_path, "\n".join(json.dumps(line) for line in lines) + "\n\n", "a.jsonl"))
    assert [document.sentences for document in documents] == [("One.", "Two.", "Three."), ("四。", "五。"), ("a\\b é 😀.",)]
    assert [document.label for document in documents] == ["x", "", ""]
    assert [document.source.rsplit(":", 1)[1] for document in documents] == ["1", "2", "4"]
    assert ledger.notes["JSON lines with an empty text"] == 1


def test_json_lines_are_recognised_without_their_suffix(tmp_path: Path) -> None:
    documents, _ = taken(put(tmp_path, '{"text": "Hello there."}\n'))
    assert documents[0].sentences == ("Hello there.",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', r"a.jsonl, line 2: not JSON: .*column 1[23].*Mend the line"),
        ('{"body": "a b c", "id": "x"}', r"line 2: no field 'text'; the fields are 'body', 'id'.*set corpus.field = \"body\""),
        ("[1, 2]", r'line 2: the line holds a JSON array.*jq -c "\.\[\]"'),
        ('{"text": 5}', r"line 2: field 'text' holds a JSON number.*as one JSON string"),
        ('{"text": null}', r"line 2: field 'text' holds a JSON null"),
    ],
)
def test_a_bad_json_line_is_reported_with_its_cure(tmp_path: Path, line: str, message: str) -> None:
    path = put(tmp_path, f'{{"text": "Good."}}\n{line}\n{{"text": "Fine."}}\n', "a.jsonl")
    with pytest.raises(DataError, match=message):
        taken(path)
    documents, ledger = taken(path, invalid="reject")
    assert [document.text for document in documents] == ["Good.", "Fine."]
    assert ledger.rejected["JSON lines that cannot be read"] == len(line)


def test_a_lone_surrogate_in_json_is_rejected_and_counted(tmp_path: Path) -> None:
    documents, ledger = taken(put(tmp_path, '{"text": "a\\ud800b."}\n', "a.jsonl"))
    assert documents[0].text == "ab."
    assert ledger.rejected["lone surrogates"] == 1


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
@pytest.mark.parametrize(
    ("change", "items"),
    [
        (lambda t: t.rstrip("\n"), {}),
        (lambda t: t.replace("\n", "\r\n"), {}),
        (lambda t: t.replace("\n", "\r"), {}),
        (lambda t: "\ufeff" + t, {"byte order marks": 1}),
        (lambda t: t.replace("\n", "\x00\n", 2), {"NUL": 2}),
        (lambda t: "\x07" + t + "\x1b", {"control characters": 2}),
        (lambda t: t.replace("\n", " \t\u3000\n", 1), {"trimmed white space": 3}),
        (lambda t: t + "\n\n\n", {}),
        (lambda t: "\n \n" + t, {}),
    ],
)
def test_odd_files_give_the_same_sentences(tmp_path: Path, text: str, change, items: dict[str, int]) -> None:
    documents, ledger = taken(put(tmp_path, change(text)))
    expected, _ = taken(put(tmp_path, text, "plain.txt"))
    assert [document.sentences for document in documents] == [document.sentences for document in expected]
    assert {reason: ledger.rejected[reason] for reason in items} == items


def test_a_form_feed_or_unicode_line_separator_becomes_a_space(tmp_path: Path) -> None:
    documents, _ = taken(put(tmp_path, "one\x0ctwo\u2028three\x85four\n"))
    assert documents[0].text == "one two three four"
    assert len(documents[0].text.splitlines()) == 1


def test_documents_may_end_at_lines_or_files(tmp_path: Path) -> None:
    path = put(tmp_path, "One. Two.\nThree. Four.\n\nFive. Six.\n")
    assert [len(d.sentences) for d in taken(path, documents="line")[0]] == [2, 2, 2]
    assert [len(d.sentences) for d in taken(path, documents="file")[0]] == [6]
    assert [len(d.sentences) for d in taken(path)[0]] == [4, 2]


@pytest.mark.parametrize("held", [b"", b"\n\n \n", b"\xef\xbb\xbf"])
def test_a_corpus_without_text_is_an_error(tmp_path: Path, held: bytes) -> None:
    with pytest.raises(DataError, match=r"no text in it.*check that this is the file you mean"):
        taken(put(tmp_path, held))


def test_an_empty_file_among_others_is_noted(tmp_path: Path) -> None:
    put(tmp_path, "", "a.txt")
    put(tmp_path, ENGLISH, "b.txt")
    documents, ledger = taken(tmp_path)
    assert len(documents) == 2
    assert ledger.notes["empty files"] == 1


def test_bytes_in_another_encoding_name_line_byte_and_cure(tmp_path: Path) -> None:
    text = "第一行是这样的。\n" + "今天天气很好，我们出去玩。\n" * 20
    path = put(tmp_path, text.encode("gb18030"))
    with pytest.raises(DataError, match=r'a.txt, line 1: byte 0xb5 at column 1 is not UTF-8.*set corpus.encoding = "gb18030"'):
        taken(path)
    documents, _ = taken(path, encoding="gb18030")
    assert documents[0].sentences[0] == "第一行是这样的。"
    traditional = text.replace("这样", "這樣").replace("们", "們").replace("气", "氣")
    assert taken(put(tmp_path, traditional.encode("big5"), "b.txt"), encoding="big5")[0][0].sentences[0] == "第一行是這樣的。"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("今天天氣很好，我們出去玩，他說這樣也不錯。\n", "big5"),
        ("Él comió más después de la lección del año.\n", "cp1252"),
        ("Сегодня хорошая погода, мы идём гулять.\n", "cp1251"),
        ("きょうは天気がいいですから、散歩に行きましょう。\n", "euc_jp"),
        ("오늘은 날씨가 좋습니다. 산책을 갑시다.\n", "euc_kr"),
    ],
)
def test_the_likely_encoding_is_guessed(tmp_path: Path, text: str, encoding: str) -> None:
    with pytest.raises(DataError, match=rf'set corpus.encoding = "{encoding}"'):
        taken(put(tmp_path, (text * 20).encode(encoding)))


def test_utf8_read_as_something_else_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'is not ascii.*set corpus.encoding = "utf-8"'):
        taken(put(tmp_path, CHINESE), encoding="ascii")


def test_one_bad_byte_is_found_in_its_line_and_can_be_rejected(tmp_path: Path) -> None:
    path = put(tmp_path, "Good line.\n你好。\n".encode() + b"Bad \xff line.\n")
    with pytest.raises(DataError, match=r"line 3: byte 0xff at column 5 after 'Bad ' is not UTF-8"):
        taken(path)
    documents, ledger = taken(path, invalid="reject")
    assert documents[0].sentences[-1] == "Bad  line."
    assert ledger.rejected["invalid bytes"] == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_reported_and_read_by_name(tmp_path: Path, encoding: str) -> None:
    path = put(tmp_path, ("Hello there. " * 20 + "\n" + CHINESE).encode(encoding))
    with pytest.raises(DataError, match=r'set corpus.encoding = "utf-(16|32)'):
        taken(path)
    assert taken(path, encoding=encoding)[0][0].sentences[0] == "Hello there."


def test_an_unknown_encoding_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'gb18030'"):
        taken(put(tmp_path, ENGLISH), encoding="gb18031")
    with pytest.raises(UsageError, match="'base64' is not known"):
        taken(put(tmp_path, ENGLISH), encoding="base64")


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (bytes(range(32)) * 40, "is a binary file"),
        (b"%PDF-1.7 ...", "is a PDF.*pdftotext"),
        (b"PK\x03\x04....", "zip archive.*unpack it"),
        (b"PAR1....", "a whole parquet file"),
        (b"OggS" + bytes(60), "a sound or film file"),
        (b"\x80\x02}q\x00.", "a pickle"),
        ((40).to_bytes(8, "little") + b'{"a": {"dtype": "F32"}}' + bytes(9000), "weights of a model"),
        (bytes(n * 167 % 256 for n in range(70000)), "is a binary file"),
        (b"".join(struct.pack("<f", 1.37**n) for n in range(-90, 90)) * 50, "is a binary file"),
    ],
)
def test_what_is_no_text_is_refused_by_name(tmp_path: Path, held: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        taken(put(tmp_path, held))
    report = check([tmp_path / "a.txt"])
    assert report.num_problems == 1 and re.search(message, report.problems[0])


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "shift_jis", "koi8-r", "cp1252", "iso2022_jp", "mac-roman", "iso8859-7"])
def test_text_in_another_encoding_is_no_binary_file(tmp_path: Path, encoding: str) -> None:
    text = "".join(c for c in "naïve 今天 天気です Привет, Ελλάς\n" * 30 if c.encode(encoding, "ignore"))
    path = put(tmp_path, text.encode(encoding))
    assert "binary" not in "".join(check([path]).problems)
    assert check([path], Config(encoding=encoding)).ok
    path.write_bytes(b"field\x01another and a caf\xe9\n" * 200)  # parted by control codes
    assert "binary" not in "".join(check([path]).problems)


PACK = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}


@pytest.mark.parametrize("kind", [*PACK, "zst"])
@pytest.mark.parametrize("name", ["a.txt.{}", "a.txt"])
def test_compressed_files_whatever_their_name(tmp_path: Path, kind: str, name: str) -> None:
    pack = PACK.get(kind) or pytest.importorskip("zstandard").ZstdCompressor().compress
    text = (ENGLISH + CHINESE) * 3000
    half = len(ENGLISH + CHINESE) * 1500
    documents, _ = taken(put(tmp_path, pack(text[:half].encode()) + pack(text[half:].encode()), name.format(kind)))
    expected, _ = taken(put(tmp_path, text, "plain.txt"))
    assert [d.sentences for d in documents] == [d.sentences for d in expected]
    whole = pack(text.encode())
    with pytest.raises(DataError, match=f"a whole {kind} file.*cut short"):
        taken(put(tmp_path, whole[: len(whole) // 2], name.format(kind)))


def test_files_come_in_one_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a/b.jsonl", "c.md", ".hidden.txt", "wiki_00", "README"):
        put(tmp_path, '{"text": "In JSON."}' if name.endswith("jsonl") else f"Here is {name}.", name)
    documents, ledger = taken(tmp_path)
    assert [Path(d.source.rsplit(":", 1)[0]).name for d in documents] == ["b.jsonl", "z.txt", "b.txt", "wiki_00"]
    assert ledger.notes["files passed over, not .txt or .jsonl"] == 2
    documents, ledger = taken(str(tmp_path / "**/*.txt"), tmp_path / "b.txt")
    assert [Path(d.source.rsplit(":", 1)[0]).name for d in documents] == ["z.txt", "b.txt"]
    assert ledger.notes["files named twice, read once"] == 1


def test_paths_that_name_nothing_are_reported(tmp_path: Path) -> None:
    put(tmp_path, ENGLISH, "news.txt")
    put(tmp_path, "x", "only/report.pdf")
    with pytest.raises(DataError, match=r"no such file.*did you mean .*news\.txt"):
        taken(tmp_path / "new.txt")
    with pytest.raises(DataError, match="pattern matches no file"):
        taken(str(tmp_path / "*.jsonl"))
    with pytest.raises(DataError, match=r"no text files in this directory, which holds 1 other file \(\.pdf\)"):
        taken(tmp_path / "only")
    with pytest.raises(DataError, match="no input was named"):
        taken()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack) -> None:
    class Stdin:
        buffer = io.BytesIO(pack(ENGLISH.encode()))

    monkeypatch.setattr(sys, "stdin", Stdin)
    documents, _ = taken("-")
    assert documents[0].source == "-:1"
    assert documents[0].sentences == ("The cat sat.", "The dog ran.")
    with pytest.raises(DataError, match="keep it in a file first"):
        fingerprint(["-"], Config())
    Stdin.buffer.seek(0)
    assert [d.sentences for d in taken(spool_stdin(tmp_path / "kept"))[0]] == [d.sentences for d in documents]


def test_an_endless_line_flows_in_parts(tmp_path: Path) -> None:
    text = "One two three. " * 20_000 + "X" * 1_500_000 + "四五六。" * 400_000
    path = put(tmp_path, text)
    documents, ledger = taken(path, max_document=500_000)
    assert "".join(s for d in documents for s in d.sentences).replace(" ", "") == text.replace(" ", "")
    assert max(len(s) for d in documents for s in d.sentences) <= 10_000
    assert max(sum(map(len, d.sentences)) for d in documents) <= 500_000
    assert {d.source.rsplit(":", 1)[1] for d in documents} == {"1"}
    assert ledger.notes["sentences cut, being too long"] > 0
    assert ledger.notes["documents handed on in parts, being too long"] == 1
    assert sum(s == "One two three." for d in documents for s in d.sentences) == 20_000


@pytest.mark.parametrize("format", ["sentences", "text", "wrapped"])
def test_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setattr(reading, "blocks", partial(blocks, size=300))
    put(tmp_path, (ENGLISH + CHINESE + "Mr. A. said: “Why?” And left. 他走了。好！\n") * 20, "a.txt")
    put(tmp_path, "\ufeff" + CHINESE.replace("\n", "\r\n") * 15, "b.txt")
    one, two = taken(tmp_path, format=format), taken(tmp_path, format=format, workers=3)
    assert one == two


def test_block_borders_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, (ENGLISH + CHINESE + "Mr. A. said: “Why?” And left. 他走了。好！\n\n") * 40)
    whole = {format: taken(path, format=format) for format in ("sentences", "text")}
    for size in (100, 101, 257, 1000):
        monkeypatch.setattr(reading, "blocks", partial(blocks, size=size))
        for format, expected in whole.items():
            assert taken(path, format=format) == expected


def test_a_fault_is_the_same_for_any_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "blocks", partial(blocks, size=200))
    path = put(tmp_path, b"Fine line.\n" * 100 + b"Bad \xff line.\n" + b"Fine line.\n" * 200)
    messages = []
    for workers in (1, 3):
        with pytest.raises(DataError) as error:
            taken(path, put(tmp_path, b"PK\x03\x04", "z.txt"), workers=workers)
        messages.append(str(error.value))
    assert messages[0] == messages[1] and "line 101" in messages[0]


def test_fingerprint_follows_the_content_and_the_settings(tmp_path: Path) -> None:
    a, b, c = put(tmp_path, ENGLISH), put(tmp_path, ENGLISH, "b.txt"), put(tmp_path, CHINESE, "c.txt")
    assert fingerprint([a], Config()) == fingerprint([b], Config())
    assert fingerprint([a], Config()) != fingerprint([c], Config())
    assert fingerprint([a], Config()) != fingerprint([a], Config(format="text"))
    assert fingerprint([a, c], Config()) != fingerprint([c, a], Config())


WORDS = ["a", "Bc", "Mr.", ".", "!", "?", "。", "”", "“", "；", "…", "中", "国", "é", "😀", "3", "{", '"text"', ":", "}"]
SPACES = [" ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\x00", "\ufeff", "\x85", "\u2028", "\x1c", "\x0c", "\u3000"]
ODD = st.lists(st.sampled_from(WORDS + SPACES), max_size=60).map("".join)
FORMATS = st.sampled_from(["auto", "sentences", "text", "wrapped"])
RECORD = st.dictionaries(st.sampled_from(["text", "label", "x"]), st.text(max_size=20) | st.integers()) | st.integers()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(text=ODD | st.text(max_size=80), format=FORMATS, size=st.sampled_from([7, 40, 10_000]))
def test_the_ledger_balances_for_any_text(tmp_path: Path, text: str, format: str, size: int) -> None:
    path = put(tmp_path, text.encode("utf-8", "surrogatepass"))
    ledger = Ledger()
    documents = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "blocks", partial(blocks, size=size))
        try:
            documents += read([path], Config(format=format, invalid="reject", max_sentence=9, max_document=30), ledger)
        except DataError as error:
            assert "no text" in str(error) or "binary" in str(error) or "byte order" in str(error) or "second byte" in str(error)
            return
    assert ledger.balances
    assert ledger.characters_used == sum(len(s) for d in documents for s in d.sentences)
    if all(not line.lstrip("\ufeff\x00 ").startswith("{") for line in text.splitlines()):
        assert ledger.characters_in == len("".join(texts(io.BytesIO(text.encode("utf-8", "surrogatepass")), "utf-8", "")))
        assert "".join("".join(s for d in documents for s in d.sentences).split()) == "".join(clean(text)[0].split())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(held=st.binary(max_size=120), encoding=st.sampled_from(["utf-8", "gb18030", "big5", "utf-16", "cp1252", "shift_jis"]))
def test_the_ledger_balances_for_any_bytes(tmp_path: Path, held: bytes, encoding: str) -> None:
    path = put(tmp_path, held)
    ledger = Ledger()
    try:
        for document in read([path], Config(encoding=encoding, invalid="reject"), ledger):
            document.text.encode()  # no surrogate is left
    except DataError as error:
        assert error.mend
        return
    assert ledger.balances


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(lines=st.lists(RECORD, max_size=8))
def test_the_ledger_balances_for_any_json(tmp_path: Path, lines: list) -> None:
    path = put(tmp_path, "\n".join(json.dumps(line) for line in lines), "a.jsonl")
    ledger = Ledger()
    try:
        documents = list(read([path], Config(invalid="reject"), ledger))
    except DataError as error:
        assert "no text" in str(error)
        return
    assert ledger.balances and ledger.documents == len(documents)


@given(
    lines=st.lists(st.sampled_from(["a b.", " c  ", "", "\t", "语 言", "x" * 30, "\u3000", "d\r"]), max_size=12),
    end=st.sampled_from(["", "\n"]),
    documents=st.sampled_from(["auto", "file", "blank"]),
)
def test_whole_lines_are_read_as_lines_one_by_one(lines, end, documents):
    text = "\n".join(lines) + end
    config = Config(format="sentences", documents=documents, max_sentence=20 if "x" * 30 in lines else 10_000)
    block = Block("f", 7, text, "sentences", last=True)
    at_once = parse(block, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Parser, "_whole_lines", lambda self: self._line_by_line(split=False))
        one_by_one = parse(block, config)
    assert at_once.ledger.as_dict() == one_by_one.ledger.as_dict()
    assert at_once.segments == one_by_one.segments


@given(st.text("ab \n\t\0\x07\x7f\x85\x9f\xa0é“\u2028\ufeff\uffff\ud800语", max_size=12))
def test_clean_text_is_known_by_its_bytes(text):
    assert _is_clean(text) <= (not _ANY.search(text))
    assert _is_clean(text) or _ANY.search(text)


RAW = "他来了。“真的吗？”他问。Yes! 好。  又一句。\n第二段。It rained. He left.\n短"


def test_a_document_keeps_what_parts_its_sentences(tmp_path: Path) -> None:
    """The raw text has as many characters whichever format splits it: none is put between Chinese sentences."""
    path = put(tmp_path, RAW)
    records = put(tmp_path, json.dumps({"text": RAW}) + "\n", "a.jsonl")
    texts = [taken(path, format=format)[0][0].text for format in ("text", "sentences")] + [taken(records)[0][0].text]
    assert texts == [RAW.replace("\n", " ")] * 3
    (document,), _ = taken(path, format="text")
    assert len(document.sentences) == 9 and document.joins.count("") == 3 and document.joins.count("  ") == 1
    assert document.part(2, 5).text == "Yes! 好。  又一句。" and document.part(8, 9).joins == ()
    for start in range(10):
        for stop in range(start, 10):
            parts = [document.part(*places) for places in ((0, start), (start, stop), (stop, 9))]
            assert "".join(part.text for part in parts) == document.text


@pytest.mark.parametrize("header", ["label\ttext", "label,text", "text;label", '"label","text_a","text_b"'])
def test_a_table_of_labelled_examples_is_no_corpus(tmp_path: Path, header: str) -> None:
    with pytest.raises(DataError, match=r"a table of labelled examples.*take its texts alone"):
        taken(put(tmp_path, f"{header}\na,b\n", "a.csv"))


_LABELLED = [("sport", "they won again"), ("news", "the vote is today"), ("sport", "他们又赢了"), ("news", "投票在今天 🙂")] * 3


@pytest.mark.parametrize(
    ("lines", "cure"),
    [
        ([f"{label}\t{text} {n}" for n, (label, text) in enumerate(_LABELLED[:4])], "cut -f 2 "),
        ([f"{text} {n}\t{label}" for n, (label, text) in enumerate(_LABELLED)], "cut -f 1 "),
        ([f"{n}\t{label}\t\t{text} {n}" for n, (label, text) in enumerate(_LABELLED)], "cut -f 4 "),
        ([f'{label},"{text}, {n}"' for n, (label, text) in enumerate(_LABELLED)], "column 2 of 2"),
        ([f"{text} {n};{label}" for n, (label, text) in enumerate(_LABELLED)], "column 1 of 2"),
        ([f"__label__{label} {text} {n}" for n, (label, text) in enumerate(_LABELLED)], "sed 's/__label__"),
    ],
)
def test_nor_is_one_without_a_header(tmp_path: Path, lines: list[str], cure: str) -> None:
    path = put(tmp_path, "\n".join(lines) + "\n", "a.tsv")
    with pytest.raises(DataError, match=r"a table of labelled examples.*take its texts alone") as error:
        taken(path)
    assert cure in error.value.mend
    documents, _ = taken(path, format="sentences")
    assert len(documents[0].sentences) == len(lines)


@pytest.mark.parametrize(
    "text",
    [
        "Yes, he said so.\n" + "".join(f"No, she never said {n}.\n" for n in range(20)),
        "".join(f"{n}\tthe verse {n} of the book\n" for n in range(20)),
        "".join(f"a sentence {n}\tein Satz {n}\n" for n in range(20)),
        "甲：你好；乙：好\n" * 20,
        "a\tb\n" * 3,
    ],
)
def test_text_that_looks_like_a_table_is_read(tmp_path: Path, text: str) -> None:
    _, ledger = taken(put(tmp_path, text))
    assert ledger.characters_used >= 0.75 * len(text)


def test_joins_survive_parts_cuts_and_block_borders(tmp_path: Path) -> None:
    long = "风起了。云来了 " * 200
    path = put(tmp_path, long)
    for limits in ({"max_sentence": 7}, {"max_document": 50}):
        documents, _ = taken(path, format="text", **limits)
        whole = "".join(document.text for document in documents)
        assert whole == long.rstrip() and (len(documents) > 1) == ("max_document" in limits)
    endless = list(blocks([path], Config(format="text"), size=100))
    ledger = Ledger()
    joiner = Joiner(Config(format="text"), ledger)
    (document,) = [d for block in endless for d in joiner.documents(parse(block, Config(format="text")))]
    assert len(endless) > 1 and document.text.replace(" ", "") == long.replace(" ", "") and len(document.text) >= len(long) - len(endless)


def test_links_pipes_and_devices_in_a_folder_are_passed_over(tmp_path):
    (tmp_path / "a.txt").write_text("One line.\n一行。\n", encoding="utf-8")
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    (tmp_path / "broken.txt").symlink_to("nowhere.txt")
    (tmp_path / "linked.txt").symlink_to("a.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    found = find([tmp_path])
    assert [Path(name).name for name in found.files] == ["a.txt"]
    assert [Path(name).name for name in found.skipped] == ["broken.txt", "loop.txt", "pipe.txt"]
    assert [Path(name).name for name in found.repeated] == ["linked.txt"]


@pytest.mark.parametrize(("name", "message"), [("pipe", "zcat FILE"), ("loop.txt", "mend the link"), ("/dev/zero", "a device")])
def test_what_cannot_be_read_again_is_reported(tmp_path, name, message):
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=message):
        find([tmp_path / name])
