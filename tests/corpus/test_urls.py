"""Files by URL: the same documents as from the disk, and errors that name the address."""

import gzip
import io

import pytest

from stemma.corpus.document import Ledger
from stemma.corpus.read import Config, fingerprint, read, shared_files
from stemma.corpus.urls import is_url
from stemma.errors import DataError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(autouse=True)
def store():
    """Files in memory, which fsspec reaches as it reaches those of a far away keeper."""
    system = fsspec.filesystem("memory")
    system.pipe("/books/b.txt", "老水手讲了一个故事。\n".encode())
    system.pipe("/books/a.txt.gz", gzip.compress(b"The old sailor told a story.\n"))
    system.pipe("/books/notes.pdf", b"%PDF-1.7")
    yield system
    system.rm("/books", recursive=True)


def texts(*paths: str) -> list[str]:
    return [document.text for document in read(paths, Config(), Ledger())]


def test_a_folder_a_pattern_and_a_file_are_read_by_their_address():
    assert texts("memory://books") == ["The old sailor told a story.", "老水手讲了一个故事。"]
    assert texts("memory://books/*.txt") == ["老水手讲了一个故事。"]
    assert texts("memory://books/a.txt.gz", "memory://books/a.txt.gz") == ["The old sailor told a story."]
    assert next(read(["memory://books/b.txt"], Config(), Ledger())).source == "memory://books/b.txt:1"


def test_what_is_passed_over_is_counted():
    ledger = Ledger()
    list(read(["memory://books"], Config(), ledger))
    assert ledger.balances and ledger.notes["files passed over, not .txt or .jsonl"] == 1


def test_a_change_there_is_another_corpus(store):
    before = fingerprint(["memory://books"], Config())
    assert fingerprint(["memory://books"], Config()) == before
    store.pipe("/books/b.txt", "另一个故事。\n".encode())
    assert fingerprint(["memory://books"], Config()) != before
    assert shared_files(["memory://books"], ["memory://books/*.txt"]) == ["memory:///books/b.txt"]


def test_tables_are_read_there_too(store):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    held = io.BytesIO()
    parquet.write_table(pa.table({"text": ["Of the table."]}), held)
    store.pipe("/books/c.parquet", held.getvalue())
    assert texts("memory://books/c.parquet") == ["Of the table."]


def test_errors_name_the_address():
    with pytest.raises(DataError, match=r"memory://books/none\.txt: no such file"):
        texts("memory://books/none.txt")
    with pytest.raises(DataError, match=r"nosuchkeeper://a/b: .*rotocol"):
        texts("nosuchkeeper://a/b")
    with pytest.raises(DataError, match="the pattern matches no file"):
        texts("memory://books/*.xml")
    with pytest.raises(DataError, match=r"memory:///books/notes\.pdf is a PDF"):
        texts("memory://books/*.pdf")


@pytest.mark.parametrize(
    ("name", "is_one"), [("s3://a/b", True), ("simplecache::s3://a", True), ("C:/a", False), ("a.txt", False), ("/x://y", False)]
)
def test_an_address_is_known_by_its_beginning(name: str, is_one: bool) -> None:
    assert is_url(name) is is_one
