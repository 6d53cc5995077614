"""Folders of sentence-transformers give the vectors of `embed`, and runs made of them those of there.

Where sentence-transformers is installed it is the oracle itself; the tests' own reading of its modules stands in for it elsewhere.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import stemma
from stemma.cli.main import main
from stemma.errors import DataError
from stemma.export.formats import convert

transformers = pytest.importorskip("transformers")

LINES = ["the old sailor told a story", "今天天气很好", "we saw a red house by the sea", "公园里的花很好看"]
TEXTS = ["the sailor saw the sea", "公园 a house 很好 😀", "a"]
SIZES = ["model.width=20", "heads=2", "vocab_size=300", "training.steps=2", "precision=fp32", "held_out=0"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n\n".join(LINES * 20), encoding="utf-8")
    return path


def encoded(folder: Path, texts: list[str]) -> np.ndarray:
    """The vectors of the folder's modules, read as its documentation says."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    kinds = {module["type"].rpartition(".")[2]: folder / module["path"] for module in modules}
    settings = {kind: json.loads(text) for kind, place in kinds.items() if (text := _config(place))}
    model = transformers.AutoModel.from_pretrained(kinds["Transformer"]).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(kinds["Transformer"])
    most = json.loads((kinds["Transformer"] / "sentence_bert_config.json").read_text())["max_seq_length"]
    batch = tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=most)
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    weights = batch["attention_mask"].float()
    if "WordWeights" in kinds:
        own = settings["WordWeights"]
        table = torch.tensor([own["word_weights"].get(token, own["unknown_word_weight"]) for token in own["vocab"]])
        weights = weights * table[batch["input_ids"]]
    if settings["Pooling"].get("pooling_mode_cls_token"):
        vectors = states[:, 0]
    else:
        vectors = (states * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1e-9)
    if "Normalize" in kinds:
        vectors = torch.nn.functional.normalize(vectors)
    return vectors.numpy()


def _config(place: Path) -> str:
    return (place / "config.json").read_text(encoding="utf-8") if (place / "config.json").is_file() else ""


@pytest.mark.parametrize("name", ["bert", "albert", "xlnet", "gpt2"])
def test_a_run_has_its_own_vectors_there_and_comes_back_with_them(corpus: Path, tmp_path: Path, name: str) -> None:
    run = stemma.pretrain(name, corpus, out=tmp_path / "run", preset="tiny", settings=SIZES)
    assert main(["convert", str(run.path), str(tmp_path / "st"), "--to", "sentence-transformers"]) == 0
    np.testing.assert_allclose(encoded(tmp_path / "st", TEXTS), run.embed(TEXTS), atol=1e-5)
    if importlib.util.find_spec("sentence_transformers"):
        peer = importlib.import_module("sentence_transformers").SentenceTransformer(
            str(tmp_path / "st"), device="cpu", local_files_only=True
        )
        np.testing.assert_allclose(peer.encode(TEXTS), run.embed(TEXTS), atol=1e-5)
    convert(tmp_path / "st", tmp_path / "back", "run")
    texts = [*TEXTS, TEXTS[0] * 40] if name != "xlnet" else TEXTS  # whose window transformers' config does not tell
    for back in (stemma.load(tmp_path / "st"), stemma.load(tmp_path / "back")):
        np.testing.assert_allclose(back.embed(texts), run.embed(texts), atol=1e-6)


WORDS = ["the", "cafe", "sat", "on", "mat", "公", "园", "a", "dog", "很", "好", "##s", "x", ".", "house"]


def foreign(folder: Path, place: str = "", pooling: dict[str, Any] | None = None, *, normalise: bool = True, **settings: Any) -> Path:
    """A folder as sentence-transformers wrote them: mean with the specials, vectors of length 1, texts cut at 8 tokens."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    torch.manual_seed(3)
    sizes = {"hidden_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 28, "initializer_range": 0.3}
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=24, **sizes))
    model.save_pretrained(folder / place)
    (folder / place / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    transformers.BertTokenizer.from_pretrained(folder / place).save_pretrained(folder / place)
    names = [("Transformer", place), ("Pooling", "1_Pooling"), *([("Normalize", "2_Normalize")] * normalise)]
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"} for n, (kind, path) in enumerate(names)
    ]
    write(folder / "modules.json", modules)
    write(folder / place / "sentence_bert_config.json", {"max_seq_length": 8, "do_lower_case": False} | settings)
    (folder / "1_Pooling").mkdir()
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": 20, **(pooling or {"pooling_mode_mean_tokens": True})})
    return folder


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize("place", ["", "0_Transformer"])
@pytest.mark.parametrize("pooling", [None, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}])
def test_a_folder_of_theirs_gives_their_vectors(tmp_path: Path, place: str, pooling: dict[str, Any] | None) -> None:
    foreign(tmp_path / "st", place, pooling, normalise=pooling is None)
    texts = [*TEXTS, "the dog sat on a mat on a mat on a mat"]
    assert main(["convert", str(tmp_path / "st"), str(tmp_path / "run"), "--to", "run"]) == 0
    for run in (stemma.load(tmp_path / "st"), stemma.load(tmp_path / "run")):
        with pytest.warns(UserWarning, match="2 of 4 texts were cut to 8 tokens"):
            np.testing.assert_allclose(run.embed(texts), encoded(tmp_path / "st", texts), atol=1e-5)
        assert not run.embed([""]).any()
    assert main(["embed", str(tmp_path / "run"), "--text", "公园"]) == 0


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("modules.json", [], "Transformer"),
        ("modules.json", [{"type": "x.Transformer", "path": "../.."}], "inside the folder"),
        ("modules.json", [{"type": "x.Transformer", "path": ""}, {"type": "x.Dense", "path": "2_Dense"}], "Dense"),
        ("modules.json", [{"type": "x.Transformer", "path": ""}], "no Pooling"),
        ("modules.json", [7], "Transformer"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling by"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}, "mean, cls"),
        ("1_Pooling/config.json", {"pooling_mode": "mean", "embedding_dimension": 7}, "states of 7 numbers"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "lower case"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "'query'"),
    ],
)
def test_what_is_not_computed_here_is_refused(tmp_path: Path, file: str, content: Any, expected: str) -> None:
    foreign(tmp_path / "st")
    write(tmp_path / "st" / file, content)
    with pytest.raises(DataError, match=expected):
        stemma.load(tmp_path / "st")
