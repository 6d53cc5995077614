"""Folders of sentence-transformers: a Hugging Face folder, and modules that make one vector of a text's states.

Ours average the states of a text's own tokens, where sentence-transformers averages those of the specials too: the folder's module of
word weights gives the specials none, so that both come to the same. Back in, the modules are read as a `Pooling`.
"""

import json
from pathlib import Path
from typing import Any

from stemma.errors import DataError
from stemma.export.huggingface_in.layout import CURE, LIMIT, table_of
from stemma.nouns import counted
from stemma.runs.pooling import Pooling
from stemma.runs.run import Run
from stemma.tokens.files import write_bytes, write_json

PACKAGE = "sentence_transformers.models."  # where its modules have stood since there are any
MODES = {"mean": "framed", "cls": "first", "lasttoken": "last"}  # its ways of pooling -> ours
_OLD = {f"pooling_mode_{name}": mode for mode, name in {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}.items()}
_WAYS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")  # as every version of it reads them
_MOST = 64  # modules of a folder


def write_sentence_transformers(run: Run, folder: Path) -> list[Path]:
    """The run's Hugging Face folder with the modules that give the vectors of `run.embed`, for texts that its network reads at once."""
    from stemma.export.huggingface_out import write_huggingface

    written = write_huggingface(run, folder)
    framing = {run.tokenizer.token(index) for index in run.network.frame([-1])[0] if index >= 0}
    forged = {token for token in run.tokenizer.tokens if token not in framing and token.lower() in framing}  # which it would take for them
    width, weights = run.network.width, {**dict.fromkeys(sorted(framing), 0.0), **dict.fromkeys(sorted(forged), 1.0)}
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": n, "name": str(n), "path": path, "type": PACKAGE + name}
            for n, (path, name) in enumerate([("", "Transformer"), ("1_WordWeights", "WordWeights"), ("2_Pooling", "Pooling")])
        ],
        "sentence_bert_config.json": {"max_seq_length": run.network.max_length, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
        "1_WordWeights/config.json": {"vocab": run.tokenizer.tokens, "word_weights": weights, "unknown_word_weight": 1.0},
        "2_Pooling/config.json": {
            "word_embedding_dimension": width,
            **{
                f"pooling_mode_{name}": name == "mean_tokens" for name in ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
            },
        },
    }
    for name, content in files.items():
        write_json(folder / name, content)
    write_bytes(folder / "README.md", _card(run).encode())
    return [*written, *(folder / name for name in (*files, "README.md"))]


def model_folder(path: Path) -> Path:
    """Where the Hugging Face folder of a folder of sentence-transformers stands; that of any other is itself."""
    modules = _modules(path) if (path / "modules.json").is_file() else []
    return _inside(path, modules[0]) if modules else path


def pooling_of(path: Path, width: int, longest: int | None) -> Pooling:
    """What the folder's modules make of states; ours where it has none. DataError for modules that are not read here."""
    if not (path / "modules.json").is_file():
        return Pooling()
    first, *others = _modules(path)
    settings = _table(_inside(path, first) / "sentence_bert_config.json")
    _check_texts(path, settings)
    found, weighted = list[str](), False
    normalise = False
    for module in others:
        kind, place = module["type"].rpartition(".")[2], _inside(path, module)
        if kind == "Pooling" and not found:
            found = [_mode(place / "config.json", width)]
        elif kind == "Normalize" and found:
            normalise = True
        elif kind == "WordWeights" and not found and not weighted:
            _check_weights(place / "config.json")
            weighted = True
        else:
            raise DataError(f"{path}: a module {module['type']!r}", "Pooling, and Normalize behind it", "choose another model")
    if not found or (weighted and found != ["framed"]):
        raise DataError(f"{path}: {'word weights without a mean' if weighted else 'no Pooling'}", "a module Pooling", CURE)
    if weighted:  # ours
        return Pooling(normalise=normalise)
    most = settings.get("max_seq_length") or longest or 0
    return Pooling(over=found[0], normalise=normalise, max_length=min(most, longest or most))  # type: ignore[arg-type]  # MODES has these


def _modules(path: Path) -> list[dict[str, Any]]:
    place = path / "modules.json"
    try:
        modules: Any = json.loads(place.read_text(encoding="utf-8")) if place.stat().st_size < LIMIT else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} cannot be read ({error})", "a list of modules", CURE) from error
    whole = isinstance(modules, list) and 0 < len(modules) < _MOST
    whole = whole and all(
        isinstance(module, dict) and isinstance(module.get("type"), str) and isinstance(module.get("path"), str) for module in modules
    )
    if not whole or modules[0]["type"].rpartition(".")[2] != "Transformer":
        raise DataError(f"{place} does not begin with a Transformer", "its modules, each with type and path", "choose another model")
    found: list[dict[str, Any]] = modules
    return found


def _inside(path: Path, module: dict[str, Any]) -> Path:
    place = Path(module["path"])
    if place.is_absolute() or ".." in place.parts:
        raise DataError(f"{path / 'modules.json'}: the path {module['path']!r}", "one inside the folder", CURE)
    return path / place


def _table(place: Path) -> dict[str, Any]:
    return table_of(place) if place.is_file() else {}


def _check_texts(path: Path, settings: dict[str, Any]) -> None:
    """DataError where texts are changed before they are tokenised."""
    prompt = _table(path / "config_sentence_transformers.json").get("default_prompt_name")
    if prompt is not None or settings.get("do_lower_case"):
        wrong = (
            f"the prompt {prompt!r} stands before every text" if prompt is not None else "texts are put in lower case before its tokenizer"
        )
        raise DataError(f"{path}: {wrong}", "texts as they are given", "choose another model, or take the setting out and do it yourself")


def _mode(place: Path, width: int) -> str:
    """Our name of the way of pooling."""
    settings = table_of(place)
    old = [_OLD.get(key, key) for key, value in settings.items() if key.startswith("pooling_mode_") and value is True]
    modes = settings.get("pooling_mode", old or ["mean"])
    modes = [modes] if isinstance(modes, str) else modes
    if len(modes) != 1 or modes[0] not in MODES:
        raise DataError(f"{place}: pooling by {', '.join(map(str, modes))}", f"one of {', '.join(MODES)}", "choose another model")
    if (found := settings.get("embedding_dimension", settings.get("word_embedding_dimension", width))) != width:
        raise DataError(f"{place}: states of {found} numbers, where the model has {width}", "the config of this model", CURE)
    return MODES[modes[0]]


def _check_weights(place: Path) -> None:
    """DataError unless all weights are 1, and those of specials 0, as ours are."""
    settings = table_of(place)
    weights = settings.get("word_weights", {})
    specials = ("[CLS]", "[SEP]", "<cls>", "<sep>", "<|endoftext|>")
    if settings.get("unknown_word_weight") != 1 or any(value != (word not in specials) for word, value in weights.items()):
        raise DataError(f"{place}: words have weights of their own", "a mean in which tokens count alike", "choose another model")


def _card(run: Run) -> str:
    lines = [
        f"# {run.row.title}",
        "",
        "Vectors of texts, written by Stemma: the mean of a text's tokens' states in the last layer, without specials (word weights).",
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("this/folder")',
        'print(model.encode(["a text", "一句话"]).shape)',
        "```",
        "",
        f"Texts of more than {counted(run.network.max_length, 'token')} are cut there, where Stemma reads them window by window.",
    ]
    return "\n".join(lines) + "\n"
