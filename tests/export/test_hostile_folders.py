"""Opening a folder of another program runs nothing, and what is hostile in it is refused by name before memory is taken."""

import json
import os
import pickle
import random
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.damage.mutations import CHANCE, strange_json, strange_tensors

import stemma
from stemma.cli.main import main
from stemma.errors import DataError, StemmaError

transformers = pytest.importorskip("transformers")

WORDS = ["the", "cafe", "sat", "on", "mat", "公", "园", "a", "dog", "很", "好", "##s", "x", ".", "house"]
TEXTS = ["the dog sat", "公园 很好", "", "😀"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT that transformers saved, with a head for tags, as safetensors."""
    folder = tmp_path_factory.mktemp("whole")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    torch.manual_seed(3)
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 14, "max_position_embeddings": 24}
    transformers.BertForTokenClassification(transformers.BertConfig(vocab_size=len(vocabulary), **sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    transformers.BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    return folder


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def pickled(whole: Path, folder: Path, content: Any) -> Path:
    """The folder with this content as its pickle."""
    shutil.copytree(whole, folder)
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")
    return folder


def test_a_pickle_is_read_on_request_alone(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pickled(whole, tmp_path / "hf", {name: tensor.half() for name, tensor in tensors(whole).items()})
    assert main(["convert", str(folder), str(tmp_path / "run"), "--to", "run"]) == 3
    said = capsys.readouterr().err
    assert "runs whatever code it holds" in said and f"stemma convert {folder} RUN --to run --allow-pickle" in said
    assert main(["convert", str(folder), str(tmp_path / "run"), "--to", "run", "--allow-pickle"]) == 0
    np.testing.assert_allclose(stemma.load(tmp_path / "run").vectors(TEXTS[:2]), stemma.load(whole).vectors(TEXTS[:2]), atol=2e-2)
    assert main(["convert", str(tmp_path / "run"), "x", "--to", "huggingface", "--allow-pickle"]) == 2


class Code:
    """Unpickled by pickle, it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("kind", ["code", "legacy code", "table", "huge", "no pickle"])
def test_what_a_pickle_may_hold_besides_is_refused_and_nothing_of_it_runs(whole: Path, tmp_path: Path, kind: str) -> None:
    folder = pickled(whole, tmp_path / "hf", tensors(whole))
    place = folder / "pytorch_model.bin"
    if kind == "code":
        torch.save({"a": Code(tmp_path / "ran")}, place)
    elif kind == "legacy code":
        place.write_bytes(pickle.dumps({"a": Code(tmp_path / "ran")}))
    elif kind == "table":
        torch.save({"state_dict": tensors(whole), "epoch": 3}, place)
    elif kind == "huge":
        torch.save({"a": torch.zeros(1).expand(1 << 40)}, place)
    else:
        place.write_bytes(b"\x80\x02" + bytes(40))
    assert main(["convert", str(folder), str(tmp_path / "run"), "--to", "run", "--allow-pickle"]) == 3
    assert not (tmp_path / "ran").exists() and not (tmp_path / "run").exists()


def headed(folder: Path, header: Any, body: bytes) -> None:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(encoded).to_bytes(8, "little") + encoded + body)


def test_tensors_that_share_bytes_are_refused(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "hf")
    header = {name: {"dtype": "F32", "shape": [1 << 10], "data_offsets": [0, 1 << 12]} for name in ("a", "b")}
    headed(tmp_path / "hf", header, bytes(1 << 12))
    with pytest.raises(DataError, match="a and b share bytes"):
        stemma.load(tmp_path / "hf")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 1 << 62]}, r"\[1152921504606846976\]"),
        ({"dtype": "F32", "shape": [1 << 40, 0], "data_offsets": [0, 16]}, "is said to be"),
        ({"dtype": "F32", "shape": [-1, -4], "data_offsets": [0, 16]}, "is said to be"),
        ({"dtype": "F32", "shape": [2, 2], "data_offsets": [-16, 0]}, "share bytes"),
        ({"dtype": "F32", "shape": [2.0, 2], "data_offsets": [0, 16]}, "is said to be"),
        ({"dtype": "F32", "shape": "4", "data_offsets": [0, 16]}, "hf"),
        ({"dtype": "F32"}, "hf"),
        ([], "hf"),
    ],
)
def test_a_hostile_header_is_refused(whole: Path, tmp_path: Path, entry: Any, expected: str) -> None:
    shutil.copytree(whole, tmp_path / "hf")
    headed(tmp_path / "hf", {"bert.embeddings.word_embeddings.weight": entry}, bytes(16))
    with pytest.raises(StemmaError, match=expected):
        stemma.load(tmp_path / "hf")


@pytest.mark.parametrize("header", [b"[" * (1 << 20), b'{"a":' * 99_999, b"9" * 5000, b"\xff" * 64, b"null"])
def test_a_header_that_is_none_is_refused(whole: Path, tmp_path: Path, header: bytes) -> None:
    shutil.copytree(whole, tmp_path / "hf")
    headed(tmp_path / "hf", header, b"")
    with pytest.raises(StemmaError):
        stemma.load(tmp_path / "hf")


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_hidden_layers", 1 << 10), ("intermediate_size", 1 << 17), ("hidden_size", 3 << 15), ("max_position_embeddings", 1 << 24)],
)
def test_huge_sizes_in_config_take_no_memory(whole: Path, tmp_path: Path, key: str, value: int) -> None:
    shutil.copytree(whole, tmp_path / "hf")
    config = json.loads((whole / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "hf/config.json").write_text(json.dumps(config | {key: value}), encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StemmaError):
        stemma.load(tmp_path / "hf")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 17  # KiB


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"])
@pytest.mark.parametrize("way", ["chance", "design"])
@pytest.mark.filterwarnings("ignore")
def test_no_file_of_a_folder_can_do_worse_than_be_refused(whole: Path, tmp_path: Path, name: str, way: str) -> None:
    """100 variants of each file: refused in three parts, or opened and answering; nothing else is ever raised."""
    folder = shutil.copytree(whole, tmp_path / "hf")
    if name == "vocab.txt":
        (folder / "tokenizer.json").unlink()
    data = (folder / name).read_bytes()
    design = strange_tensors if name == "model.safetensors" else strange_json
    for number in range(100):
        draw = random.Random(f"{name}/{way}/{number}")
        by_design = way == "design" and name != "vocab.txt"
        (folder / name).write_bytes((design if by_design else draw.choice(CHANCE))(data, draw))
        try:
            run = stemma.load(folder)
            run.vectors(TEXTS) if isinstance(run, stemma.Run) else run.answer_rows(TEXTS[:2])
        except StemmaError:
            pass
