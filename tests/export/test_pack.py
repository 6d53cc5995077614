"""Packed runs come out bit for bit; whatever a zip file may be that `pack` does not write is refused by name, and nothing is written."""

import hashlib
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stemma
from stemma.checkpoint import RunFolder
from stemma.cli.main import main
from stemma.config import to_plain
from stemma.errors import BudgetError, DataError, RunError, StemmaError, UsageError
from stemma.export import pack as packing
from stemma.export.pack import pack, unpack
from stemma.lineage.table import find
from stemma.tokens.tokenizer import Config, train

Entry = tuple[zipfile.ZipInfo, bytes]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of drawn word vectors, and one of a Chinese name that learnt a task; the first holds a state and a store too."""
    folder = tmp_path_factory.mktemp("made-here")
    tokenizer = train(iter(["the cat sat on the mat", "今天天气很好"] * 5), Config(kind="word", vocab_size=40))
    shape = (tokenizer.vocab_size, 12)
    vectors = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    tensors = {"input": vectors, "output": np.zeros(shape, np.float32), "counts": np.arange(len(vectors), dtype=np.int64)}
    sections = {"tokenizer": to_plain(tokenizer.config), "model": to_plain(find("word2vec").model_config()(width=12))}
    for name, more in (("words", {}), ("语言", {"task": "classify"})):
        identity = {"generation": "word2vec", "corpus": [], **more}
        run = RunFolder.create(folder / name, {"stemma": "0", "identity": identity, "sections": sections})
        tokenizer.save(run.tokenizer_path)
        run.append_metrics([{"kind": "done", "parameters": vectors.size}])
        run.finish("a card, 一张卡片\n", {"characters": 7}, tensors)
    for place in ("state/old", "store/ids"):
        (folder / "words" / place).parent.mkdir()
        (folder / "words" / place).write_text("left behind")
    return folder


@pytest.fixture(scope="module")
def packed(runs: Path) -> Path:
    return pack([runs / "words", runs / "语言"], runs / "models.zip")


def test_names_that_not_every_system_can_write(runs: Path, tmp_path: Path) -> None:
    odd, file = tmp_path / "odd\udcff", tmp_path / "m\udcff.zip"
    assert len(unpack(pack([runs / "words"], file), odd)) == 1
    run = odd / "runs" / "words"
    for name in ("w\udcff", "w\nw", "w:2"):  # the last two it packed, and unpack refused them
        run = run.rename(odd / name)
        with pytest.raises(UsageError, match=r"is no path that every system can write.*rename it"):
            pack([run], tmp_path / "other.zip")
        assert not (tmp_path / "other.zip").exists()


def test_what_comes_out_is_what_went_in(runs: Path, packed: Path, tmp_path: Path) -> None:
    assert unpack(packed, tmp_path / "out") == [tmp_path / "out/runs/words", tmp_path / "out/runs/语言"]
    for name in ("words", "语言"):
        before = {path.relative_to(runs / name): path.read_bytes() for path in (runs / name).rglob("*") if path.is_file()}
        after = tmp_path / "out/runs" / name
        found = {path.relative_to(after): path.read_bytes() for path in after.rglob("*") if path.is_file()}
        assert found == {place: content for place, content in before.items() if place.parts[0] not in ("state", "store", ".lock")}
        RunFolder.open(after).verify()
    if os.name == "posix":
        assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True).returncode == 0


def test_the_same_command_again_finds_all_of_it_there(packed: Path, tmp_path: Path) -> None:
    runs = unpack(packed, tmp_path / "out")
    (tmp_path / "out" / ".lock").touch()  # as a process leaves it that is killed in its last moment
    assert unpack(packed, tmp_path / "out") == runs
    assert not (tmp_path / "out" / ".lock").exists()
    changed = runs[0] / "config.json"
    changed.write_bytes(changed.read_bytes().replace(b" ", b"\n", 1))
    with pytest.raises(UsageError, match="out"):
        unpack(packed, tmp_path / "out")


def test_the_same_runs_make_the_same_bytes(runs: Path, packed: Path, tmp_path: Path) -> None:
    for path in (runs / "words").iterdir():
        os.utime(path, (0, 0))
    assert pack([runs / "words", runs / "语言"], tmp_path / "models.zip").read_bytes() == packed.read_bytes()
    assert runs.name.encode() not in packed.read_bytes()


def test_the_readme_says_how_to_go_on(runs: Path, packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        text = archive.read("README.md").decode()
        assert archive.namelist()[0] == "README.md" and archive.testzip() is None
    assert f"pip download stemma-nlp=={stemma.__version__} -d wheels" in text
    for line in ("| 语言 | word2vec | classify |", "stemma predict models/runs/语言", "stemma unpack models.zip models"):
        assert line in text
    (tmp_path / "wheels").mkdir()
    with pytest.raises(UsageError, match="pip download"):
        pack([runs / "words"], tmp_path / "x.zip", tmp_path / "wheels")
    (tmp_path / "wheels/stemma_nlp-1-py3-none-any.whl").write_bytes(b"wheel")
    unpack(pack([runs / "words"], tmp_path / "x.zip", tmp_path / "wheels"), tmp_path / "x")
    assert (tmp_path / "x/wheels/stemma_nlp-1-py3-none-any.whl").read_bytes() == b"wheel"
    assert "--no-index --find-links wheels" in (tmp_path / "x/README.md").read_text(encoding="utf-8")


def test_the_verbs(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", str(runs / "words"), str(tmp_path / "w.zip"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == (tmp_path / "w.zip").stat().st_size
    assert main(["unpack", str(tmp_path / "w.zip"), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out/runs/words'}\n"
    assert main(["nearest", str(tmp_path / "out/runs/words"), "cat"]) == 0
    assert main(["unpack", str(tmp_path / "w.zip"), str(tmp_path / "out")]) == 0  # all of it is there already
    (tmp_path / "out/more").write_text("of another kind")
    assert main(["unpack", str(tmp_path / "w.zip"), str(tmp_path / "out")]) == 2
    assert main(["pack", str(runs / "words")]) == 2
    assert main(["unpack", str(tmp_path / "none.zip"), str(tmp_path / "out2")]) == 3


def test_what_cannot_be_packed_is_refused(runs: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(StemmaError, match="not a run folder"):
        pack([tmp_path / "a"], tmp_path / "x.zip")
    with pytest.raises(UsageError, match="two runs are called words"):
        pack([runs / "words", runs / "words"], tmp_path / "x.zip")
    with pytest.raises(UsageError, match="is a folder"):
        pack([runs / "words"], tmp_path)
    unpack(pack([runs / "words"], tmp_path / "w.zip"), tmp_path / "copy")
    copy = tmp_path / "copy/runs/words"
    (copy / "notes").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match="notes is a link"):
        pack([copy], tmp_path / "x.zip")
    (copy / "notes").unlink()
    (copy / "model.safetensors").write_bytes(b"x" * (copy / "model.safetensors").stat().st_size)
    with pytest.raises(RunError, match="its sum differs"):
        pack([copy], tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def entries(packed: Path) -> list[Entry]:
    with zipfile.ZipFile(packed) as archive:
        return [(entry, archive.read(entry)) for entry in archive.infolist()]


def written(path: Path, found: list[Entry], sums: bool = True, **options: Any) -> Path:
    """A zip file of the entries, whose sums fit, as those of whoever made it by design would."""
    if sums:
        table = "".join(
            f"{hashlib.sha256(content).hexdigest()}  {entry.filename}\n" for entry, content in found if entry.filename != "SHA256SUMS"
        )
        found = [(entry, table.encode() if entry.filename == "SHA256SUMS" else content) for entry, content in found]
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in found:
            fresh = zipfile.ZipInfo(entry.filename)
            fresh.external_attr, fresh.compress_type = entry.external_attr, entry.compress_type
            archive.writestr(fresh, content)
    return path


def plain(name: str, kind: int = 0o100644, compressed: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr, entry.compress_type = kind << 16, compressed
    return entry


HOSTILE: dict[str, tuple[Callable[[list[Entry]], list[Entry]], str]] = {
    "slip": (lambda found: [*found, (plain("../evil"), b"")], "evil.*leads out of its folder"),
    "slip inside": (lambda found: [*found, (plain("runs/words/../../../evil"), b"")], "evil.*leads out"),
    "absolute": (lambda found: [*found, (plain("/tmp/evil"), b"")], "evil.*leads out"),
    "windows": (lambda found: [*found, (plain("runs\\..\\evil"), b"")], "evil.*every system"),
    "drive": (lambda found: [*found, (plain("C:evil"), b"")], "evil.*every system"),
    "folder": (lambda found: [*found, (plain("runs/words/evil/", 0o040755), b"")], "evil.*leads out"),
    "control": (lambda found: [*found, (plain("runs/words/evil\n"), b"")], "evil.*every system"),
    "link": (lambda found: [*found, (plain("runs/words/evil", 0o120777), b"/etc/passwd")], "evil.*no plain file"),
    "device": (lambda found: [*found, (plain("runs/words/evil", 0o020666), b"")], "evil.*no plain file"),
    "program": (lambda found: [*found, (plain("runs/words/evil", 0o104755), b"")], "evil.*no plain file"),
    "bomb": (lambda found: [*found, (plain("runs/words/evil", compressed=zipfile.ZIP_DEFLATED), bytes(1 << 20))], "evil.*compressed"),
    "twice": (lambda found: [*found, found[-1]], "there twice"),
    "below a file": (lambda found: [*found, (plain(f"{found[-1][0].filename}/evil"), b"")], "evil.*there twice"),
    "no readme": (lambda found: found[1:], "no README.md"),
    "no sums": (lambda found: [pair for pair in found if pair[0].filename != "SHA256SUMS"], "no SHA256SUMS"),
    "another run": (lambda found: [*found, (plain("runs/evil/config.json"), b"{}")], "does not tell of the runs"),
    "no run": (lambda found: [pair for pair in found if "manifest" not in pair[0].filename], "is not a run folder"),
    "no pack": (lambda found: [(entry, b"[]" if entry.filename == "pack.json" else data) for entry, data in found], "does not tell"),
    "not JSON": (
        lambda found: [(entry, b"[" * 9999 if entry.filename == "pack.json" else data) for entry, data in found],
        "cannot be read",
    ),
    "later": (
        lambda found: [(entry, b'{"format": 2}' if entry.filename == "pack.json" else data) for entry, data in found],
        "pack format 2.*update",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_file_is_refused_by_name(packed: Path, tmp_path: Path, name: str) -> None:
    change, expected = HOSTILE[name]
    with pytest.raises(StemmaError, match=expected):
        unpack(written(tmp_path / "evil.zip", change(entries(packed))), tmp_path / "in/out")
    assert [path.name for path in tmp_path.rglob("*")] == ["evil.zip"]  # nothing was written


@pytest.mark.parametrize(("which", "expected"), [("model.safetensors", "words/model.safetensors is damaged"), ("SHA256SUMS", "has no sum")])
def test_a_wrong_sum_is_refused_by_name(packed: Path, tmp_path: Path, which: str, expected: str) -> None:
    found = [
        (entry, data[:-1] + bytes([data[-1] ^ 1]) if entry.filename.endswith(f"words/{which}") else data) for entry, data in entries(packed)
    ]
    found = [(entry, data[len(data) // 2 :] if entry.filename == which else data) for entry, data in found]
    with pytest.raises(DataError, match=expected):
        unpack(written(tmp_path / "x.zip", found, sums=False), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_any_damage_is_refused_or_changes_nothing(packed: Path, tmp_path: Path) -> None:
    """Bytes turned over at 300 places, and the end lost at 60: the header of an entry is of no use to it but for its own name."""
    data, right = packed.read_bytes(), {name: content for (entry, content) in entries(packed) for name in [entry.filename]}
    places = [len(data) * n // 300 for n in range(300)] + list(range(len(data) - 2000, len(data), 37))
    damaged = [data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :] for at in places] + [data[: len(data) * n // 60] for n in range(60)]
    refused = 0
    for number, content in enumerate(damaged):
        (tmp_path / "x.zip").write_bytes(content)
        try:
            unpack(tmp_path / "x.zip", tmp_path / f"out{number}")
        except StemmaError:
            refused += 1
            assert not (tmp_path / f"out{number}").exists()
        else:
            out = tmp_path / f"out{number}"
            assert {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()} == right
    assert refused > 300


def test_huge_claims_are_refused_before_anything_is_held(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(packed.read_bytes())
    data[-10:-6] = (0xFFFFFFF0).to_bytes(4, "little")  # bytes of the list of entries
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(DataError, match="a list of 4,294,967,280 bytes"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    (tmp_path / "x.zip").write_bytes(b"PK" * 5)
    with pytest.raises(DataError, match="does not end as a zip file"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(BudgetError, match="0 MiB free"):
        unpack(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()
