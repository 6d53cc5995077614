"""Tables with typed columns: which column is read, what the ledger says of it, and what is said of those that cannot be read."""

import json
from pathlib import Path

import pytest

from stemma.corpus.check import check
from stemma.corpus.document import Document, Ledger
from stemma.corpus.read import Config, fingerprint, read
from stemma.errors import DataError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

TEXTS = ["The mill is old.\nIt stands by the river. 🙂", "春眠不觉晓。处处闻啼鸟。", "", None, "  Two dogs run.  "]
LABELS = ["a", None, "b", "c", "d"]


def table(**columns: list) -> "pa.Table":
    return pa.table(columns)


def taken(*paths: Path, **settings: str) -> tuple[list[Document], Ledger]:
    ledger = Ledger()
    return list(read([str(path) for path in paths], Config(**settings), ledger)), ledger  # type: ignore[arg-type]


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_each_row_is_a_document_and_every_character_is_accounted_for(tmp_path: Path, compression: str) -> None:
    parquet.write_table(
        table(text=TEXTS, label=LABELS, id=[1, 2, 3, 4, 5]), tmp_path / "a.parquet", compression=compression, row_group_size=2
    )
    documents, ledger = taken(tmp_path / "a.parquet")
    assert [document.sentences for document in documents] == [
        ("The mill is old.", "It stands by the river.", "🙂"),
        ("春眠不觉晓。", "处处闻啼鸟。"),
        ("Two dogs run.",),
    ]
    assert [document.source for document in documents] == [f"{tmp_path / 'a.parquet'}:{row}" for row in (1, 2, 5)]
    assert [document.label for document in documents] == ["a", "", "d"]
    assert ledger.characters_in == sum(len(text or "") for text in TEXTS) and ledger.balances
    assert ledger.notes["rows without a text"] == 1 and ledger.notes["rows with an empty text"] == 1


def test_blocks_and_workers_change_nothing(tmp_path: Path) -> None:
    rows = [f"Line {n} of the story.\nAnd one more. {'word ' * 40}" for n in range(9000)]  # over a megabyte, over two stretches
    parquet.write_table(table(text=rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), encoding="utf-8")
    as_rows, _ = taken(tmp_path / "a.parquet")
    as_lines, _ = taken(tmp_path / "a.jsonl")
    assert [document.sentences for document in as_rows] == [document.sentences for document in as_lines]
    assert [document.source.rpartition(":")[2] for document in as_rows] == [document.source.rpartition(":")[2] for document in as_lines]
    assert list(read([str(tmp_path / "a.parquet")], Config(), Ledger(), workers=2)) == as_rows


def test_a_column_that_is_not_named_is_guessed_and_told(tmp_path: Path) -> None:
    parquet.write_table(table(url=["http://a", "http://b"], body=["A long story of the sea.", "Another one."]), tmp_path / "a.parquet")
    documents, ledger = taken(tmp_path / "a.parquet")
    assert [document.text for document in documents] == ["A long story of the sea.", "Another one."]
    assert ledger.notes["rows of which the column 'body' was read (corpus.field names another)"] == 2
    assert [document.text for document in taken(tmp_path / "a.parquet", field="url")[0]] == ["http://a", "http://b"]
    with pytest.raises(
        DataError, match=r"a\.parquet: no column 'boby'; the columns are url \(string\), body \(string\).*did you mean 'body'"
    ):
        taken(tmp_path / "a.parquet", field="boby")


def test_a_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    parquet.write_table(table(text=[1, 2], title=["a", "b"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"'text' holds no texts; the columns are text \(int64\).*corpus\.field = \"title\""):
        taken(tmp_path / "a.parquet")
    parquet.write_table(table(n=[1, 2]), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="no column holds texts"):
        taken(tmp_path / "b.parquet")


def test_a_damaged_table_is_named_with_its_row_and_check_goes_on(tmp_path: Path) -> None:
    whole = tmp_path / "a.parquet"
    parquet.write_table(
        table(text=[f"A text of its own, number {n}." for n in range(10000)]), whole, compression="zstd", row_group_size=5000
    )
    data = bytearray(whole.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    (tmp_path / "damaged.parquet").write_bytes(data)
    (tmp_path / "cut.parquet").write_bytes(data[:-100])
    with pytest.raises(DataError, match=r"damaged\.parquet, from row [\d,]+ on: .*a whole parquet file"):
        taken(tmp_path / "damaged.parquet")
    with pytest.raises(DataError, match=r"cut\.parquet, from row 1 on: .*a whole parquet file"):
        taken(tmp_path / "cut.parquet")
    report = check([tmp_path / "cut.parquet", whole])
    assert report.num_problems == 1 and report.ledger.documents == 10000
    assert report.files[0]["format"] == "rows" and report.files[0]["documents_end_at"] == "row"


def saved(folder: Path, texts: list[str]) -> None:
    """As `datasets.Dataset.save_to_disk` writes it."""
    folder.mkdir(parents=True)
    rows = table(text=texts)
    with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}), encoding="utf-8")
    (folder / "dataset_info.json").write_text("{}", encoding="utf-8")


def test_a_folder_of_datasets_is_read_and_of_several_splits_the_one_to_train_on(tmp_path: Path) -> None:
    saved(tmp_path / "one", ["A text.", "老水手讲了一个故事。"])
    assert [document.text for document in taken(tmp_path / "one")[0]] == ["A text.", "老水手讲了一个故事。"]
    for split in ("train", "test"):
        saved(tmp_path / "two" / split, [f"Of {split}."])
    (tmp_path / "two" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}), encoding="utf-8")
    assert [document.text for document in taken(tmp_path / "two")[0]] == ["Of train."]
    (tmp_path / "two" / "dataset_dict.json").write_text(json.dumps({"splits": ["validation", "test"]}), encoding="utf-8")
    with pytest.raises(DataError, match=r"holds the splits validation, test.*name .*/validation or .*/test"):
        taken(tmp_path / "two")


def test_arrow_files_are_tables_and_a_folder_holds_both(tmp_path: Path) -> None:
    rows = table(text=["Of the Arrow file."])
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows)
    parquet.write_table(table(text=["Of the Parquet file."]), tmp_path / "b.parquet")
    (tmp_path / "c.txt").write_text("Of the text file.\n", encoding="utf-8")
    assert [document.text for document in taken(tmp_path)[0]] == ["Of the Arrow file.", "Of the Parquet file.", "Of the text file."]
    assert fingerprint([tmp_path], Config()) == fingerprint([tmp_path], Config())
