"""The text of a run is fingerprinted once and parted in one reading."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stemma.corpus.document import Ledger
from stemma.corpus.read import Config as CorpusConfig
from stemma.errors import DamagedError, DataError
from stemma.tokens.build import build
from stemma.tokens.tokenizer import Config
from stemma.training import ingest as module
from stemma.training.ingest import Source, ingest

LINES = [f"The mill number {i} turns. 我们使用语言模型{i}。" for i in range(120)]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "corpus.txt").write_text("\n\n".join(LINES), encoding="utf-8")
    return Source((str(tmp_path / "corpus.txt"),), (), CorpusConfig(), 0.1, 3)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often the corpus was fingerprinted and read."""
    counted = {"fingerprint": 0, "read": 0}

    def counting(name):
        real = getattr(module, name)

        def call(*arguments, **options):
            counted[name] += 1
            return real(*arguments, **options)

        return call

    for name in counted:
        monkeypatch.setattr(module, name, counting(name))
    return counted


@pytest.mark.parametrize(("kind", "readings"), [("word", 1), ("wordpiece", 2)])  # pieces are learnt first
def test_both_parts_come_from_one_reading(source, calls, kind, readings, tmp_path):
    config = Config(kind, 300)
    source.identity()
    done = ingest(source, config, tmp_path / "root", lambda _: None)
    assert calls == {"fingerprint": 1, "read": readings}
    ledger = Ledger()
    train, dev = list(source.documents("train", ledger)), list(source.documents("dev", Ledger()))
    assert done.ledger == ledger.as_dict() and done.ledger["balances"] and 0 < len(dev) < len(train)
    for documents, store in ((train, done.train), (dev, done.dev)):
        again = build(documents, done.tokenizer, tmp_path / "again")
        assert store.ids.tolist() == again.ids.tolist() and store.document_starts.tolist() == again.document_starts.tolist()
    assert not list((tmp_path / "root").glob("*/.held-out*"))


def test_a_long_reading_says_how_far_it_has_come(source, tmp_path, monkeypatch):
    notes: list[str] = []
    monkeypatch.setattr(module, "EVERY_SECONDS", -1.0)
    ingest(source, Config("wordpiece", 300), tmp_path / "root", notes.append)
    far = [note for note in notes if "characters so far" in note]
    whole = len((tmp_path / "corpus.txt").read_text(encoding="utf-8"))
    assert far[-1] == f"{whole:,} characters so far, reading 2" and far[0].endswith("characters so far")


def test_held_out_text_that_is_learnt_from_is_reported_by_content(source, tmp_path):
    copy, other = tmp_path / "copy.txt", tmp_path / "other.txt"
    copy.write_bytes((tmp_path / "corpus.txt").read_bytes())
    other.write_text("文本一。\n" * 3, encoding="utf-8")
    for dev, expected in (((str(copy), str(other)), ["copy.txt"]), ((str(other),), []), ((), [])):
        notes: list[str] = []
        ingest(replace(source, dev=dev), Config("word", 0), tmp_path / "root", notes.append)
        assert [note.partition(";")[0].rpartition("/")[2] for note in notes if "learnt from too" in note] == expected


def test_a_lost_dev_store_is_made_again(source, tmp_path):
    first = ingest(source, Config("word", 0), tmp_path / "root", lambda _: None)
    ids = first.dev.ids.tolist()
    shutil.rmtree(first.dev.path)
    assert ingest(source, Config("word", 0), tmp_path / "root", lambda _: None).dev.ids.tolist() == ids


def test_what_a_killed_process_left_aside_is_swept(source, tmp_path):
    home = Path(ingest(source, Config("word", 300), tmp_path / "root", lambda _: None).train.path).parent
    (home / "costs.json").rename(home / ".costs.json.aside")  # killed before it had its name
    names = {path.name for path in home.iterdir()}
    assert ingest(source, Config("word", 300), tmp_path / "root", lambda _: None).costs["found"]
    assert {path.name for path in home.iterdir()} == names - {".costs.json.aside"}


def test_a_damaged_store_is_refused_with_its_cure(source, tmp_path):
    done = ingest(source, Config("word", 0), tmp_path / "root", lambda _: None)
    data = bytearray((done.train.path / "ids.bin").read_bytes())
    data[3] ^= 8
    (done.train.path / "ids.bin").write_bytes(data)
    with pytest.raises(DataError, match=r"ids\.bin: damaged.*delete the folder"):
        ingest(source, Config("word", 0), tmp_path / "root", lambda _: None)


def test_what_told_chinese_words_apart_is_noted_where_the_user_had_not_said_it(source, tmp_path):
    notes: list[str] = []
    assert ingest(source, Config("word", 300), tmp_path / "a", notes.append).notes == notes[-1:]
    assert "tokenizer.words=given takes them" in notes[-1]
    assert ingest(source, Config("bpe", 600), tmp_path / "b", notes.append).notes == notes[-1:]
    assert ingest(source, Config("word", 300, words="rjieba"), tmp_path / "c", notes.append).notes == []
    assert ingest(source, Config("whitespace", 300), tmp_path / "d", notes.append).notes == []
    english = tmp_path / "english.txt"
    english.write_text("\n\n".join(f"The mill number {i} turns." for i in range(120)), encoding="utf-8")
    assert ingest(Source((str(english),), (), CorpusConfig(), 0.1, 3), Config("word", 300), tmp_path / "e", notes.append).notes == []


@pytest.mark.parametrize("kind", ["word", "bpe"])
@pytest.mark.parametrize("name", ["tokenizer.json", "ledger.json", "costs.json", "store/counts.bin", "store/sentences.bin", "dev/ids.bin"])
def test_whatever_is_damaged_is_refused_and_made_again_as_the_error_says(source, kind, name, tmp_path):
    done = ingest(source, Config(kind, 300), tmp_path / "root", lambda _: None)
    place = next((tmp_path / "root").glob(f"*/{name}"))
    data = bytearray(place.read_bytes())
    number = re.search(rb": ?\d", data) if name.endswith(".json") else None
    data[number.end() - 1 if number else len(data) // 2] ^= 1  # another first digit: still JSON
    place.write_bytes(data)
    with pytest.raises((DataError, DamagedError), match="damaged") as caught:
        ingest(source, Config(kind, 300), tmp_path / "root", lambda _: None)
    assert place.name in str(caught.value) and caught.value.exit_code == 3 and "delete" in caught.value.mend
    shutil.rmtree(place.parent)
    again = ingest(source, Config(kind, 300), tmp_path / "root", lambda _: None)
    assert again.train.ids.tolist() == done.train.ids.tolist() and again.ledger == done.ledger
    assert again.tokenizer.fingerprint == done.tokenizer.fingerprint


def test_what_is_cut_or_taken_out_is_reported_where_it_happens(tmp_path):
    (tmp_path / "dirty.txt").write_text("\n\n".join(f"The\x00 mill {i} turns\x02." + " on" * 40 for i in range(60)), encoding="utf-8")
    notes: list[str] = []
    source = Source((str(tmp_path / "dirty.txt"),), (), CorpusConfig(max_sentence=80), 0.1, 3)
    ledger = ingest(source, Config("word", 300), tmp_path / "root", notes.append).ledger
    assert f"{ledger['notes']['sentences cut, being too long']:,} sentences cut, being too long" in notes
    assert "taken out of the text, since no reader sees them: 60 NUL, 60 control characters" in notes
    notes.clear()
    (tmp_path / "clean.txt").write_text("\n\n".join(f"The mill {i} turns." for i in range(60)), encoding="utf-8")
    ingest(Source((str(tmp_path / "clean.txt"),), (), CorpusConfig(), 0.1, 3), Config("word", 300), tmp_path / "root", notes.append)
    assert len(notes) == 1  # that it is read
