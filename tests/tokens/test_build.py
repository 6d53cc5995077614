"""The token store: the same bytes however it is built, whole or not there, and refused by name when damaged."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stemma.corpus.document import Document
from stemma.errors import BudgetError, DataError, UsageError
from stemma.tokens import files, shards
from stemma.tokens.build import build, build_once, learn_and_build
from stemma.tokens.shards import Shard
from stemma.tokens.store import TokenStore
from stemma.tokens.tokenizer import Config, Tokenizer

NAMES = ("ids.bin", "sentences.bin", "documents.bin", "counts.bin", "words.bin", "header.json")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["word", "whitespace", "char", "wordpiece", "bpe", "unigram"])
def test_the_store_holds_the_corpus(tokenizers, documents, kind, tmp_path):
    tokenizer = tokenizers[kind]
    store = build(documents, tokenizer, tmp_path / "store", fingerprint="made")
    store.verify()
    assert sorted(contents(tmp_path / "store")) == sorted(NAMES)
    pairs = [zip(document.sentences, document.adjoining, strict=True) for document in documents]
    rows = [[tokenizer.encode_flat([sentence], [adjoins])[0] for sentence, adjoins in document] for document in pairs]
    kept = [[row for row in document if len(row)] for document in rows]
    kept = [document for document in kept if document]
    flat = [row for document in kept for row in document]
    np.testing.assert_array_equal(store.ids, np.concatenate(flat))
    np.testing.assert_array_equal(store.sentence_starts, np.cumsum([0, *map(len, flat)]))
    np.testing.assert_array_equal(store.document_starts, np.cumsum([0, *map(len, kept)]))
    np.testing.assert_array_equal(store.counts, np.bincount(store.ids, minlength=tokenizer.vocab_size))
    np.testing.assert_array_equal(store.sentence(1), flat[1])
    assert (store.sentences, store.documents, store.vocab_size) == (len(flat), len(kept), tokenizer.vocab_size)
    assert store.ids.dtype == np.uint16 and store.sentence_starts.dtype == store.document_starts.dtype == store.counts.dtype == np.int64
    assert store.characters == sum(len(document.text) for document in documents)
    assert store.bytes_utf8 == sum(len(document.text.encode()) for document in documents)
    assert store.header["empty_sentences"] == sum(len(row) == 0 for document in rows for row in document)
    assert store.header["empty_documents"] == len(documents) - len(kept)
    unknown = tokenizer.specials.get("unk", -1)
    assert store.unknown == sum((row == unknown).sum() for row in flat)


def test_empty_sentences_are_counted(tokenizers, documents, tmp_path):
    store = build(documents, tokenizers["word"], tmp_path / "store")
    assert store.header["empty_sentences"] == 3 and store.header["empty_documents"] == 1 and store.header["empty_characters"] == 3


def test_an_empty_corpus_makes_an_empty_store(tokenizers, tmp_path):
    for documents in ([], [Document((), "x")], [Document(("",), "x")]):
        store = build(documents, tokenizers["bpe"], tmp_path / "store")
        assert (len(store.ids), store.sentences, store.documents) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["word", "wordpiece"])
def test_workers_and_shards_change_no_byte(tokenizers, documents, kind, tmp_path):
    expected = contents(build(documents, tokenizers[kind], tmp_path / "one").path)
    for workers, characters in ((1, 40), (1, 333), (3 if kind == "word" else 2, 700)):
        store = build(iter(documents), tokenizers[kind], tmp_path / "many", workers=workers, shard_characters=characters)
        assert contents(store.path) == expected


def test_shards_cut_long_documents_and_keep_order(documents):
    for size in (1, 30, 70, 10_000):
        made = list(shards.shards(documents, size))
        assert [shard.number for shard in made] == list(range(len(made)))
        joined: list[tuple[str, ...]] = []
        for shard in made:
            parts = list(shard.documents)
            if shard.continues:
                joined[-1] += parts.pop(0)
            joined += parts
        assert joined == [document.sentences for document in documents]


def test_large_vocabularies_take_four_bytes(tmp_path):
    words = [f"w{i}" for i in range(65_540)]
    document = Document((" ".join(words),), "made")
    tokenizer, store = learn_and_build(lambda: [document], Config(kind="whitespace", vocab_size=0), tmp_path, "made")
    assert store.ids.dtype == np.uint32 and tokenizer.decode(store.ids[-3:]) == "w65537 w65538 w65539"


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_refused_by_name(tokenizers, documents, name, tmp_path):
    (build(documents, tokenizers["bpe"], tmp_path / "store").path / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: missing.*delete the folder"):
        TokenStore.open(tmp_path / "store")


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_file_is_refused_by_name(tokenizers, documents, name, tmp_path):
    path = build(documents, tokenizers["bpe"], tmp_path / "store").path / name
    for size in (path.stat().st_size - 2, path.stat().st_size // 2, 0):
        os.truncate(path, size)
        with pytest.raises(DataError, match=rf"{name}.* damaged.*delete the folder"):
            TokenStore.open(tmp_path / "store")


@pytest.mark.parametrize("name", NAMES[:5])
def test_a_flipped_bit_is_refused_by_name(tokenizers, documents, name, tmp_path):
    path = build(documents, tokenizers["bpe"], tmp_path / "store").path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"{name}: damaged: its checksum.*delete the folder"):
        TokenStore.open(tmp_path / "store").verify()


@pytest.mark.parametrize(("old", "new"), [('"version": 5', '"version": 4'), ("stemma-token-store", "other"), ('"ids.bin"', '"x.bin"')])
def test_another_version_is_refused(tokenizers, documents, old, new, tmp_path):
    path = build(documents, tokenizers["bpe"], tmp_path / "store").path / "header.json"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=r"header\.json.*delete the folder"):
        TokenStore.open(tmp_path / "store")


def test_what_is_there_is_used_again(documents, tmp_path, monkeypatch):
    config, started = Config(kind="wordpiece", vocab_size=300), []

    def corpus():
        started.append(1)
        return iter(documents)

    first, store = learn_and_build(corpus, config, tmp_path, "corpus-1")
    again, store_again = learn_and_build(corpus, config, tmp_path, "corpus-1", workers=2)
    assert len(started) == 2 and again.fingerprint == first.fingerprint  # once to learn, once to encode
    assert contents(store.path) == contents(store_again.path)
    learn_and_build(corpus, config, tmp_path, "corpus-2")
    assert len(started) == 4
    _, other = learn_and_build(corpus, Config(kind="wordpiece", vocab_size=200), tmp_path, "corpus-2")
    assert len(started) == 6 and other.vocab_size <= 200
    (other.path / "ids.bin").unlink()
    with pytest.raises(DataError, match=r"ids\.bin: missing.*delete the folder"):
        learn_and_build(corpus, Config(kind="wordpiece", vocab_size=200), tmp_path, "corpus-2")
    shutil.rmtree(other.path)
    learn_and_build(corpus, Config(kind="wordpiece", vocab_size=200), tmp_path, "corpus-2")[1].verify()


def test_a_damaged_store_is_not_taken_up_again(documents, tmp_path):
    config = Config(kind="wordpiece", vocab_size=300)
    _, store = learn_and_build(lambda: documents, config, tmp_path, "corpus")
    data = bytearray((store.path / "ids.bin").read_bytes())
    data[7] ^= 1
    (store.path / "ids.bin").write_bytes(data)
    with pytest.raises(DataError, match=r"ids\.bin: damaged: its checksum.*delete the folder"):
        learn_and_build(lambda: documents, config, tmp_path, "corpus")


def test_a_store_of_other_text_for_the_same_tokenizer(tokenizers, documents, tmp_path):
    train_store = build_once(lambda: documents, tokenizers["bpe"], tmp_path / "train", "all")
    dev_store = build_once(lambda: documents[:4], tokenizers["bpe"], tmp_path / "dev", "four")
    np.testing.assert_array_equal(dev_store.ids, train_store.ids[: len(dev_store.ids)])


def test_finished_shards_are_taken_up_after_a_kill(tokenizers, documents, tmp_path, monkeypatch):
    expected = contents(build(documents, tokenizers["wordpiece"], tmp_path / "whole", shard_characters=200).path)
    encoded: list[int] = []
    kept = Tokenizer.encode_words

    def until(limit: int):
        def encode_words(self, texts, adjoining=()):
            if len(encoded) == limit:
                raise KeyboardInterrupt
            encoded.append(1)
            return kept(self, texts, adjoining)

        monkeypatch.setattr(Tokenizer, "encode_words", encode_words)

    total = len(list(shards.shards(documents, 200)))
    for limit in (4, 9):
        until(limit)
        with pytest.raises(KeyboardInterrupt):
            build(documents, tokenizers["wordpiece"], tmp_path / "killed", shard_characters=200)
        assert not (tmp_path / "killed").exists()
    sealed = sorted((tmp_path / "killed.part").glob("shard-*.bin"))
    sealed[2].write_bytes(sealed[2].read_bytes()[:-1] + b"\xff")  # a damaged shard is made again
    until(-1)
    store = build(documents, tokenizers["wordpiece"], tmp_path / "killed", shard_characters=200)
    assert contents(store.path) == expected and len(encoded) == total + 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


def test_shards_of_another_text_are_not_taken_up(tokenizers, documents, tmp_path):
    aside = tmp_path / "store.part"
    aside.mkdir()
    for shard in shards.shards(documents[::-1], 100):
        shards.encode_shard(shard, tokenizers["bpe"], aside)
    store = build(documents, tokenizers["bpe"], tmp_path / "store", shard_characters=300)
    assert contents(store.path) == contents(build(documents, tokenizers["bpe"], tmp_path / "other").path)


def test_a_shards_key_tells_texts_apart():
    keys = {
        Shard(0, documents, continues).key(tokenizer)
        for documents in ([("a", "b")], [("a\nb",)], [("a",), ("b",)], [("a", "b"), ()], [()], [])
        for continues in (False, True)
        for tokenizer in ("x", "y")
    }
    assert len(keys) == 24


BUILD = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from stemma.corpus.document import Document
from stemma.tokens.build import build
from stemma.tokens.tokenizer import Tokenizer
text = Path(sys.argv[1]).read_text(encoding="utf-8").split("\\n")
times, workers = int(sys.argv[4]), int(sys.argv[5])
documents = (Document(tuple(text[i : i + 20]), str(i)) for _ in range(times) for i in range(0, len(text), 20))
build(documents, Tokenizer.load(sys.argv[2]), sys.argv[3], workers=workers, shard_characters=int(sys.argv[6]))
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""  # no main guard, on purpose: a user's script may have none


def start(tmp_path: Path, out: str, times: int, workers: int = 1, characters: int = 300_000) -> subprocess.Popen:
    """A build in a process of its own."""
    script = tmp_path / "build.py"
    script.write_text(BUILD.format(path=sys.path), encoding="utf-8")
    options = [tmp_path / "text.txt", tmp_path / "tokenizer.json", tmp_path / out, times, workers, characters]
    return subprocess.Popen([sys.executable, script, *map(str, options)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def text(tokenizers, tmp_path):
    """Half a megabyte of text and a tokenizer, in files."""
    lines = [f"The mill number {i} turns {i * i % 97} times 语言模型。" for i in range(10_000)]
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    tokenizers["char"].save(tmp_path / "tokenizer.json")
    return tmp_path


def test_memory_does_not_grow_with_the_corpus(text):
    peaks = []
    for times in (2, 40):
        process = start(text, f"out{times}", times)
        peaks.append(int(process.communicate()[0]))
        assert process.returncode == 0
    assert peaks[1] < peaks[0] + 30_000, peaks  # kilobytes; the larger corpus has 19 MB more of text, 38 MB more of ids


def test_a_killed_build_goes_on(text):
    process = start(text, "whole", 6, workers=2, characters=100_000)
    assert process.wait() == 0
    expected = contents(text / "whole")
    for finished in (1, 9):
        process = start(text, "killed", 6, workers=2, characters=100_000)
        while process.poll() is None and len(list((text / "killed.part").glob("shard-*.json"))) < finished:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)  # ends when the last worker has closed its stdout: none is left waiting
    assert start(text, "killed", 6, workers=2, characters=100_000).wait() == 0
    assert contents(text / "killed") == expected


def test_a_full_disk_leaves_nothing_half_written(tokenizers, documents, tmp_path, monkeypatch):
    written, sync, fail_at = [], files.sync, 0

    def full(file):
        written.append(file.name)
        if len(written) == fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)
        sync(file)

    monkeypatch.setattr(files, "sync", full)
    monkeypatch.setattr("stemma.tokens.merge.sync", full)
    build(documents[:5], tokenizers["bpe"], tmp_path / "old")
    old, steps = contents(tmp_path / "old"), len(written)
    while fail_at < steps:
        fail_at += 1
        written.clear()
        with pytest.raises(BudgetError, match=r"No space left on device.*free some space"):
            build(documents[:5], tokenizers["bpe"], tmp_path / "old")
        assert contents(tmp_path / "old") == old and [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_of_other_files_is_not_replaced(tokenizers, documents, tmp_path):
    (tmp_path / "thesis.txt").write_text("x", encoding="utf-8")
    for out in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(UsageError, match="name a new folder"):
            build(documents, tokenizers["bpe"], out)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "x"


def test_a_full_disk_in_a_worker_is_reported_too(tokenizers, documents, tmp_path):
    import resource

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    big = [Document(("the mill " * 60_000,), "made")]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, old[1]))
        for workers in (1, 2):
            with pytest.raises(BudgetError, match=r"raise the limit \(ulimit -f\)"):
                build(big, tokenizers["char"], tmp_path / "store", workers=workers)
            assert not list(tmp_path.glob("store*"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
