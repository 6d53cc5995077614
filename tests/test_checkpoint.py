"""The run folder: a kill at any file operation leaves the old state or the new one."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from stemma import checkpoint
from stemma.checkpoint import FORMAT, RunFolder, map_tensors, write_tensors
from stemma.errors import BudgetError, DamagedError, RunError
from stemma.tokens.files import checksum, write_json, write_sealed

CONFIG = {"identity": {"generation": "gpt", "asked": {"model": {"width": 64}}}, "sections": {}}

# A saver that dies at its n-th file operation: what a power cut or SIGKILL at that moment leaves.
SAVER = """
import os, signal, sys
import numpy as np
from pathlib import Path
from stemma import checkpoint
from stemma.checkpoint import RunFolder

folder, fatal = RunFolder.open(Path(sys.argv[1])), int(sys.argv[2])
done = 0

def counted(function):
    def call(*arguments, **options):
        global done
        done += 1
        if done == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

for name in ("fsync", "link", "open", "truncate"):
    setattr(os, name, counted(getattr(os, name)))
for name in ("open", "mkdir", "unlink", "replace"):
    setattr(Path, name, counted(getattr(Path, name)))
checkpoint.shutil.rmtree = counted(checkpoint.shutil.rmtree)
folder.append_metrics([{"kind": "step", "step": 2}])
folder.save_state(2, {"model": {"w": np.full(5, 2.0)}, "optimiser": {"m": np.full(5, 2.0)}}, {"step": 2})
folder.finish("card", {"used": 1})
print(done)
"""


def begun(path: Path) -> RunFolder:
    folder = RunFolder.create(path, CONFIG)
    folder.append_metrics([{"kind": "step", "step": 1}])
    folder.save_state(1, {"model": {"w": np.full(5, 1.0)}, "optimiser": {"m": np.full(5, 1.0)}}, {"step": 1})
    return folder


def killed_at(path: Path, fatal: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SAVER), str(path), str(fatal)], capture_output=True, text=True, check=False
    )


def test_a_kill_at_every_file_operation_leaves_one_whole_state(tmp_path: Path) -> None:
    begun(tmp_path / "whole")
    operations = int(killed_at(tmp_path / "whole", 0).stdout)
    assert operations > 40
    seen = set()
    for fatal in range(operations, 0, -3):  # from the last one, after which the run is finished
        path = tmp_path / str(fatal)
        begun(path)
        assert killed_at(path, fatal).returncode == -9
        folder = RunFolder.open(path)
        arrays, facts = folder.load_state()
        step = facts["step"]
        assert (arrays["model"]["w"] == step).all() and (arrays["optimiser"]["m"] == step).all()
        assert [line["step"] for line in folder.metrics()] == list(range(1, step + 1))
        if folder.finished:
            assert (folder.tensors()["w"] == 2.0).all()
        seen.add((step, folder.finished))
        folder.save_state(3, {"model": {"w": np.full(5, 3.0)}, "optimiser": {}}, {"step": 3})  # and it goes on
        assert RunFolder.open(path).load_state()[1] == {"step": 3}
    assert seen == {(1, False), (2, False), (2, True)}


def test_what_was_written_is_what_is_mapped(tmp_path: Path) -> None:
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([], np.int64),
        "c": np.array(7, np.uint16),
        "d": np.array([True]),
    }
    write_tensors(tmp_path / "t.safetensors", tensors)
    mapped = map_tensors(tmp_path / "t.safetensors")
    assert mapped.keys() == tensors.keys()
    assert all(
        (mapped[name] == array).all() and mapped[name].dtype == array.dtype and mapped[name].shape == array.shape
        for name, array in tensors.items()
    )
    assert not mapped["a"].flags.writeable


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    weights = tmp_path / "state" / folder.manifest["state"] / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(RunError, match=r"model\.safetensors is damaged.*delete the folder and run"):
        RunFolder.open(tmp_path).load_state()
    weights.write_bytes(data[:-1])
    with pytest.raises(RunError, match=r"model\.safetensors is damaged: .* bytes.*delete the folder and run"):
        RunFolder.open(tmp_path)


def finished(path: Path) -> RunFolder:
    folder = begun(path)
    (path / "tokenizer.json").write_text('{"model": 1}', encoding="utf-8")
    folder.append_metrics([{"kind": "done", "loss": 1.25}])
    folder.finish("# card", {"used": 7})
    return RunFolder.open(path)


READERS = {
    "config.json": lambda folder: folder.config,
    "tokenizer.json": lambda folder: folder.guarded("tokenizer.json"),
    "model.safetensors": lambda folder: folder.tensors(),
    "ledger.json": lambda folder: folder.ledger,
    "metrics.jsonl": lambda folder: folder.metrics(),
}


@pytest.mark.parametrize("name", [*READERS, "manifest.json"])
def test_every_flipped_bit_of_a_finished_run_is_refused_by_who_reads_it(tmp_path: Path, name: str) -> None:
    whole = finished(tmp_path)
    before = {key: read(whole) for key, read in READERS.items()}
    file = tmp_path / name
    data = file.read_bytes()
    for place in range(0, len(data), 3):
        file.unlink()  # the state's weights are the same file
        file.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        try:
            folder = RunFolder.open(tmp_path)
            found = {key: read(folder) for key, read in READERS.items()}
        except RunError as error:
            assert name in str(error) or "is not a run folder" in str(error) or "has run format" in str(error)
            assert isinstance(error, DamagedError) and error.exit_code == 3 and "delete the folder" in str(error)
        else:
            assert name == "manifest.json" and str(found) == str(before)  # white space, or the name of the seal
    file.write_bytes(data)
    assert str({key: read(RunFolder.open(tmp_path)) for key, read in READERS.items()}) == str(before)


def test_what_is_not_computed_with_may_change(tmp_path: Path) -> None:
    state = tmp_path / "state" / finished(tmp_path).manifest["state"]
    (tmp_path / "README.md").write_text("# Our river model\n\nPublished under CC-BY.", encoding="utf-8")
    shutil.rmtree(state)
    (tmp_path / "ledger.json").unlink()
    folder = RunFolder.open(tmp_path)
    folder.verify()
    assert (folder.tensors()["w"] == 1.0).all() and folder.config == CONFIG
    with pytest.raises(DamagedError, match=r"ledger\.json is damaged: missing"):
        _ = folder.ledger


def test_a_cut_log_is_reported_and_what_came_after_the_commit_is_not(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.append_metrics([{"kind": "step", "step": 2}])  # never committed
    assert folder.load_state() and [line["step"] for line in folder.metrics()] == [1]
    os.truncate(tmp_path / "metrics.jsonl", 5)
    with pytest.raises(DamagedError, match=r"metrics\.jsonl is damaged: 5 bytes"):
        RunFolder.open(tmp_path).load_state()


def test_a_folder_of_the_format_before_is_read_and_guarded(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    files = {name: {"bytes": entry["bytes"], "sha256": checksum(tmp_path / name)} for name, entry in folder.manifest["files"].items()}
    files["README.md"] = {"bytes": 1, "sha256": "of a card that was edited since"}
    older = {"format": 2, "finished": True, "state": folder.manifest["state"], "metrics_bytes": folder.manifest["metrics_bytes"]}
    write_json(tmp_path / "manifest.json", {**older, "files": files})
    assert (RunFolder.open(tmp_path).tensors()["w"] == 1.0).all() and len(RunFolder.open(tmp_path).metrics()) == 2
    weights = bytearray((tmp_path / "model.safetensors").read_bytes())
    weights[-3] ^= 16
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(DamagedError, match=r"model\.safetensors is damaged: its sum"):
        RunFolder.open(tmp_path).tensors()


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": 5},
        {"state": "../../etc"},
        {"state": "step-1/../../x"},
        {"metrics_bytes": -1},
        {"metrics_bytes": None},
        {"finished": "yes"},
        {"files": None},
        {"files": [1]},
        {"files": {"config.json": None}},
        {"files": {"config.json": {"bytes": "9", "sum": ""}}},
        {"files": {"config.json": {"bytes": 9, "sum": 3}}},
        {"files": {"../secret": {"bytes": 1, "sum": "a"}}},
        {"files": {"/etc/passwd": {"bytes": 1, "sum": "a"}}},
    ],
)
def test_a_manifest_that_tells_of_no_run_is_refused(tmp_path: Path, wrong: dict) -> None:
    write_sealed(tmp_path / "manifest.json", {**finished(tmp_path).manifest, **wrong})
    with pytest.raises(DamagedError, match=r"manifest\.json is damaged.*delete the folder"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        "null",
        "[]",
        '{"identity": {"generation": "gpt"}, "sections": 1}',
        "{}",
        '{"identity": {}, "sections": {}}',
        '{"identity": {"generation": "gpt"}, "sections": {"model": 3}}',
    ],
)
def test_a_config_that_tells_of_no_run_is_refused(tmp_path: Path, config: str) -> None:
    folder = begun(tmp_path)
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    folder._commit(state=None, metrics_bytes=0, finished=False)
    with pytest.raises(DamagedError, match=r"config\.json"):
        _ = RunFolder.open(tmp_path).config


@pytest.mark.parametrize(
    "header",
    [
        b"{}"[:1],
        b"[" * 5000,
        b"[]",
        b"null",
        b'{"a": null}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}}',
        b'{"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [-4, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [99999999999999999999, 0], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": "F9", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": [], "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}',
        b'{"a": ' + b"9" * 4301 + b"}",
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: bytes) -> None:
    place = tmp_path / "t.safetensors"
    for length in (len(header), 2**63, 2**64 - 1, len(header) + 9):
        place.write_bytes(length.to_bytes(8, "little") + header + bytes(8))
        with pytest.raises(DamagedError, match=r"t\.safetensors cannot be read"):
            map_tensors(place)
    place.write_bytes(b"abc")
    with pytest.raises(DamagedError, match=r"t\.safetensors cannot be read"):
        map_tensors(place)


@pytest.mark.parametrize(("change", "cure"), [(-3, "make it anew"), (1, "update stemma")])
def test_a_folder_of_another_format_is_refused(tmp_path: Path, change: int, cure: str) -> None:
    folder = begun(tmp_path)
    write_sealed(tmp_path / "manifest.json", {**folder.manifest, "format": FORMAT + change})
    with pytest.raises(RunError, match=f"has run format {FORMAT + change}.*{cure}"):
        RunFolder.open(tmp_path)


@pytest.mark.parametrize(("attention", "older", "refused"), [("general", 3, True), ("general", FORMAT, False), ("additive", 3, False)])
def test_weights_that_meant_something_else_are_refused(tmp_path: Path, attention: str, older: int, refused: bool) -> None:
    """`general` attention kept W until format 3 and keeps sqrt(Q) W now: an older run would answer otherwise, in silence."""
    config = CONFIG | {"sections": {"model": {"attention": attention, "cells": 6}}}
    folder = RunFolder.create(tmp_path, config)
    write_sealed(tmp_path / "manifest.json", {**folder.manifest, "format": older})
    if not refused:
        assert RunFolder.open(tmp_path).config == config
        return
    for reopen in (RunFolder.open, lambda path: RunFolder.resume(path, config["identity"])):
        with pytest.raises(RunError, match=r'run format 3, in which weights of model\.attention = "general" meant.*make it anew'):
            reopen(tmp_path)


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    begun(tmp_path)
    other = {"generation": "gpt", "asked": {"model": {"width": 65}}}
    with pytest.raises(RunError, match=r": model\.width was 64 and is 65 now\..*another --out, or delete"):
        RunFolder.resume(tmp_path, other)
    assert RunFolder.resume(tmp_path, CONFIG["identity"]) is not None
    assert RunFolder.resume(tmp_path / "none", CONFIG["identity"]) is None


def test_what_differs_is_reported_as_the_user_writes_it(tmp_path: Path) -> None:
    identity = {
        "generation": "gpt",
        "corpus": ["新闻.txt"],
        "fingerprint": ["aa", ""],
        "split_seed": 0,
        "asked": {"training": {"seed": 0, "epochs": 0, "steps": 40}, "tokenizer": {"kind": "word"}},
    }
    RunFolder.create(tmp_path, {"identity": identity, "sections": {}})
    settings = {"training": {"seed": 1, "epochs": 3, "steps": 0}, "tokenizer": {"kind": "bpe"}}
    with pytest.raises(RunError) as error:
        RunFolder.resume(tmp_path, identity | {"corpus": ["报纸.txt"], "fingerprint": ["bb", ""], "split_seed": 1, "asked": settings})
    changes = error.value.wrong.split("with other settings: ")[1].split("; ")
    assert changes[:2] == ['tokenizer.kind was "word" and is "bpe" now', "training.epochs was 0 and is 3 now"]
    assert changes[4:] == ["and 2 more."] and "asked" not in error.value.wrong and "split_seed" not in error.value.wrong
    with pytest.raises(RunError, match=r'corpus was \["新闻.txt"\] and is \["报纸.txt"\] now; the text is not what it was\.'):
        RunFolder.resume(tmp_path, identity | {"corpus": ["报纸.txt"], "fingerprint": ["bb", ""]})
    with pytest.raises(RunError, match="mode was not set and is 1 now"):  # reported where no section says it too
        RunFolder.resume(tmp_path, identity | {"mode": 1})


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(RunError, match=r"thesis\.tex.*another --out"):
        RunFolder.create(tmp_path, CONFIG)
    assert [child.name for child in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="goes on where it was"):
        begun(tmp_path).tensors()


def test_a_full_disk_leaves_the_last_state_and_nothing_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(tmp_path)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    write = checkpoint.write_tensors

    def full(path: Path, tensors: dict[str, np.ndarray]) -> None:
        if path.stem == "optimiser":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, tensors)

    with monkeypatch.context() as patched, pytest.raises(BudgetError, match=r"No space left.*free some space"):
        patched.setattr(checkpoint, "write_tensors", full)
        folder.save_state(2, {"model": {"w": np.full(5, 2.0)}, "optimiser": {"m": np.full(5, 2.0)}}, {"step": 2})
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    assert RunFolder.open(tmp_path).load_state()[1] == {"step": 1}


def test_what_was_linked_when_it_was_killed_is_linked_again(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    os.link(tmp_path / "state" / folder.manifest["state"] / "model.safetensors", tmp_path / "model.safetensors")
    folder.finish("card", {})
    assert (folder.tensors()["w"] == 1.0).all() and not list(tmp_path.glob(".*.aside"))


def test_a_config_replaced_at_the_end_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(Exception):
        pass

    folder, write, tensors = begun(tmp_path), checkpoint.write_sealed, {"w": np.full(5, 7.0)}

    def die(path: Path, value: object) -> None:
        if path.name == "manifest.json" and (tmp_path / "config.json").read_bytes() != before:
            raise Killed
        write(path, value)

    before = (tmp_path / "config.json").read_bytes()
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(checkpoint, "write_sealed", die)
        folder.finish("card", {}, tensors, CONFIG | {"task": {"labels": ["a"]}})
    again = RunFolder.resume(tmp_path, CONFIG["identity"])
    assert again is not None and not again.finished and again.load_state()[1] == {"step": 1}
    again.finish("card", {}, tensors, CONFIG | {"task": {"labels": ["a"]}})
    assert RunFolder.open(tmp_path).config["task"] == {"labels": ["a"]} and not (tmp_path / "state").exists()


def test_the_last_fact_says_how_training_ended(tmp_path):
    folder = RunFolder.create(tmp_path / "run", {"identity": {}})
    assert folder.done() == {}
    folder.append_metrics([{"kind": "step", "step": n, "text": "花" * 100} for n in range(3)])
    assert folder.done() == {}  # not committed
    folder.append_metrics([{"kind": "done", "steps": 3}])
    folder.finish("card", {}, {"a": np.zeros(3, np.float32)})
    assert folder.done() == RunFolder.open(tmp_path / "run").done() == {"kind": "done", "steps": 3}
    with (tmp_path / "run" / "metrics.jsonl").open("r+b") as file:
        file.truncate(60)
    with pytest.raises(DamagedError, match=r"metrics\.jsonl is damaged"):
        folder.done()
