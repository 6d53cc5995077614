"""Draws the figures of the documentation's pages, each from a run that is made here: `python docs/figures.py`.

The text is the docstrings of Python and NumPy as they are installed; a run that stands in the folder `--runs` already is not made again.
Minutes of one core. What is drawn shows how a generation works, not how good it is: for that, `stemma compare` on your own text.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair
import numpy as np
import vl_convert
from safetensors.numpy import load_file

import stemma
from stemma.cli.main import main as command
from stemma.runs.masks import Masks

FIGURES = Path(__file__).resolve().parent / "site/en/figures"
SIZE = {"width": 360, "height": 220}
WORDS = [
    *("array", "list", "string", "file", "matrix", "tuple", "integer", "float", "row"),
    *("column", "path", "name", "mean", "sum", "shape", "dtype", "index", "key"),
]
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SMALL = ("model.width=64", "tokenizer.vocab_size=300", "training.batch_tokens=512")
GERMAN, CHINESE = "Die Mühle am rauschenden Bach ist alt.", "春眠不觉晓，处处闻啼鸟。"
TOKENS = 60_000  # that each deep run reads


class Runs:
    """The runs that the figures are of, made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.text = folder, folder / "text"
        if not self.text.is_dir():
            command(["corpus", "docstrings", "--out", str(self.text), "--packages", "python", "numpy", "--limit-mb", "0.3"])

    def __call__(self, name: str, generation: str, *settings: str, corpus: Path | None = None) -> stemma.Run:
        """The run `name`; settings are those of the preset `tiny` but for these."""
        text = corpus or self.text / "train.jsonl"
        return stemma.pretrain(generation, text, out=self.folder / name, preset="tiny", settings=settings)

    def deep(self, generation: str, tokens: int = TOKENS) -> stemma.Run:
        """A run of `generation` that reads so many tokens."""
        return self(generation, generation, f"training.tokens={tokens}")

    def dev(self) -> list[str]:
        """Held-out documents."""
        return [json.loads(line)["text"] for line in (self.text / "dev.jsonl").read_text(encoding="utf-8").splitlines()][:60]

    def logged(self, name: str) -> list[dict[str, Any]]:
        """The log of a run that descends."""
        return [json.loads(line) for line in (self.folder / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]

    def numbers(self) -> Path:
        """Pairs to translate, made up: numbers in words, and their digits from the last to the first."""
        path, rng = self.folder / "numbers.tsv", random.Random(1)
        drawn = [[rng.randrange(10) for _ in range(rng.randint(3, 6))] for _ in range(1500)]
        rows = [f"{' '.join(DIGITS[n] for n in row)}\t{' '.join(map(str, reversed(row)))}" for row in drawn]
        path.write_text("\n".join(["source\ttarget", *rows]) + "\n", encoding="utf-8")
        return path


def draw(name: str, chart: Any) -> None:
    """Writes one figure."""
    spec = chart.configure_view(stroke=None).configure_axis(gridColor="#e4e4ea", labelFontSize=12, titleFontSize=12).to_dict()
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{name}.svg").write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")


def lines(rows: Sequence[Mapping[str, Any]], x: str, y: str, colour: str) -> Any:
    """Lines with a dot at each row, one for each value of `colour`."""
    return (
        altair.Chart(altair.Data(values=list(rows)), **SIZE)
        .mark_line(point=True)
        .encode(
            x=altair.X(f"{x}:Q", title=x, scale=altair.Scale(zero=False), axis=altair.Axis(tickMinStep=1)),
            y=altair.Y(f"{y}:Q", title=y, scale=altair.Scale(zero=False)),
            color=altair.Color(f"{colour}:N", title=None, sort=None, legend=altair.Legend(orient="top")),
        )
    )


def bars(rows: Sequence[Mapping[str, Any]], x: str, y: str, colour: str | None = None) -> Any:
    """Bars from left to right, stacked by `colour`."""
    encoding = {"x": altair.X(f"{x}:Q", title=x), "y": altair.Y(f"{y}:N", title=None, sort=None)}
    if colour:
        encoding["color"] = altair.Color(f"{colour}:N", title=None, sort=None, legend=altair.Legend(orient="top"))
    return altair.Chart(altair.Data(values=list(rows)), width=360).mark_bar().encode(**encoding)


def heat(weights: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str) -> Any:
    """A matrix, dark where it is large."""
    names = [[f"{n:02}{word}" for n, word in enumerate(words)] for words in (rows, columns)]
    cells = [
        {"row": row, "column": column, title: float(weights[i, j])} for i, row in enumerate(names[0]) for j, column in enumerate(names[1])
    ]
    plain = "slice(datum.label, 2)"
    return (
        altair.Chart(altair.Data(values=cells), width=26 * len(columns), height=26 * len(rows))
        .mark_rect()
        .encode(
            x=altair.X("column:N", title=None, axis=altair.Axis(labelExpr=plain, orient="top", labelAngle=-45)),
            y=altair.Y("row:N", title=None, axis=altair.Axis(labelExpr=plain)),
            color=altair.Color(f"{title}:Q", scale=altair.Scale(scheme="blues")),
        )
    )


def curves(runs: Runs, names: Sequence[str], part: str = "loss") -> Any:
    """The held-out loss of runs as they learn."""
    found = [(name, line) for name in names for line in runs.logged(name) if line["kind"] == "eval"]
    rows = [
        {"tokens read": line["tokens"], "held-out loss, nats": line.get("parts", {}).get(part, line["loss"]), "run": name}
        for name, line in found
    ]
    return lines(rows, "tokens read", "held-out loss, nats", "run")


def ngram(runs: Runs) -> Any:
    """Bits a character of held-out text by order and smoothing."""
    rows = []
    for method, words in (("mkn", "modified Kneser-Ney"), ("add-k", "one added to each count")):
        for order in range(1, 6):
            scores = runs(f"ngram-{method}-{order}", "ngram", f"order={order}", f"model.method={method}").score(runs.dev())
            bits = sum(score.nats for score in scores) / np.log(2) / sum(map(len, runs.dev()))
            rows.append({"order n": order, "bits a character": float(bits), "smoothing": words})
    return lines(rows, "order n", "bits a character", "smoothing")


def nnlm(runs: Runs) -> Any:
    """The held-out loss with 1 and with 5 words of context."""
    names = {context: f"nnlm-{context}" for context in (1, 5)}
    for context, name in names.items():
        runs(name, "nnlm", f"model.context={context}", f"training.tokens={TOKENS}")
    return curves(runs, list(names.values()))


def word2vec(runs: Runs) -> Any:
    """Words by the two directions in which their vectors differ most."""
    run = runs("word2vec", "word2vec", "training.epochs=20")
    vectors = np.stack([run[word] for word in WORDS])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = vectors - vectors.mean(0)
    x, y = (centred @ np.linalg.svd(centred)[2][:2].T).T
    rows = [{"word": word, "x": float(a), "y": float(b)} for word, a, b in zip(WORDS, x, y, strict=True)]
    axes = {"x": altair.X("x:Q", axis=None), "y": altair.Y("y:Q", axis=None), "text": "word:N"}
    return altair.Chart(altair.Data(values=rows), **SIZE).mark_text(fontSize=13).encode(**axes)


def glove(runs: Runs) -> Any:
    """Cosines between words."""
    run, words = runs("glove", "glove", "training.epochs=20"), WORDS[:10]
    return heat(np.array([[run.similarity(a, b) for b in words] for a in words]), words, words, "cosine")


def lstm(runs: Runs) -> Any:
    """The surprise at a token by how many the network has read of the text before it."""
    run = runs.deep("lstm")
    places: dict[int, list[float]] = {}
    for text in runs.dev():
        for place, token in enumerate(run.score_tokens(text)[:64]):
            places.setdefault(1 << place.bit_length() >> 1, []).append(token.nats)
    rows = [{"tokens read before": f"{n} or more", "nats a token": float(np.mean(values))} for n, values in sorted(places.items())]
    return bars(rows, "nats a token", "tokens read before")


def elmo(runs: Runs) -> Any:
    """How alike one word's vectors are within one sense of it and across two, layer by layer."""
    run = runs.deep("elmo", TOKENS // 3)
    table = [line.split("\t") for line in (runs.text / "senses.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    word = table[0][0]
    found: list[tuple[str, np.ndarray]] = []
    for _, index, sense, sentence in (row for row in table if row[0] == word):
        vectors = run.vectors([sentence])[0]
        start = len(" ".join(sentence.split()[: int(index)])) + bool(int(index))
        place = next((n for n, (a, b) in enumerate(vectors.spans) if a <= start < b), None)
        if place is not None:
            found.append((sense, vectors.layers[:, place]))
    rows = []
    for layer, name in enumerate(("the word alone", "first layer", "second layer")):
        alike: dict[str, list[float]] = {"same package": [], "different packages": []}
        for n, (sense, a) in enumerate(found):
            for other, b in found[:n]:
                cosine = a[layer] @ b[layer] / (np.linalg.norm(a[layer]) * np.linalg.norm(b[layer]))
                alike["same package" if sense == other else "different packages"].append(float(cosine))
        rows += [
            {"layer": layer, "mean cosine": float(np.mean(values)), "pair": f"{word}: {which}", "name": name}
            for which, values in alike.items()
        ]
    return lines(rows, "layer", "mean cosine", "pair")


def seq2seq(runs: Runs) -> Any:
    """Where the decoder looks while it writes a number's digits from the last to the first."""
    run = runs("seq2seq", "seq2seq", *SMALL, "training.steps=2000", "model.cells=64", corpus=runs.numbers())
    return _looks(run, "soft")


def transformer(runs: Runs) -> Any:
    """The same of the Transformer: the mean of its heads in the last layer."""
    run = runs("transformer", "transformer", *SMALL, "training.steps=250", "model.inner=128", corpus=runs.numbers())
    return _looks(run, "encoder-decoder")


def _looks(run: stemma.Run, kind: str) -> Any:
    heads = [head for head in run.attend("four two nine seven one", "1 7 9 2 4") if head.kind == kind]
    last = [head for head in heads if head.layer == max(head.layer for head in heads)]
    return heat(np.mean([head.weights for head in last], axis=0), last[0].rows, last[0].columns, "weight")


def gpt(runs: Runs) -> Any:
    """Where one head looks: never to the right."""
    head = runs.deep("gpt").attend("Return the number of items in the array.")[-1]
    return heat(head.weights, head.rows, head.columns, "weight")


def gpt2(runs: Runs) -> Any:
    """How many tokens a character takes, in the text that they were learnt from and in others."""
    run = runs("gpt2", "gpt2", "training.steps=1")
    texts = {"docstrings": " ".join(runs.dev()), "a German sentence": GERMAN, "a Chinese sentence": CHINESE, "emoji": "🙂🙃🚀🌳"}
    rows = [{"text": name, "tokens a character": len(run.tokenizer.encode(text)) / len(text)} for name, text in texts.items()]
    return bars(rows, "tokens a character", "text")


def bert(runs: Runs) -> Any:
    """The held-out loss on masked tokens where 40 % and where 15 % are hidden."""
    for share in (15, 40):
        runs(f"bert-{share}", "bert", f"training.tokens={TOKENS}", f"objective.mask_share={share / 100}")
    return curves(runs, ["bert-15", "bert-40"], "masked")


def bert_wwm(runs: Runs) -> Any:
    """Of the hidden pieces of words of several pieces, how many have another piece of their word in sight."""
    path, rows = runs("bert-40", "bert", f"training.tokens={TOKENS}", "objective.mask_share=0.4").path, []
    for units in ("pieces", "words"):
        seen = 0, 0
        for text in Masks(path, [f"objective.units={units}"]).of(runs.dev()):
            for word in (word for word in text.words if len(word) > 1):
                asked = [place for place in word if text.labels[place] is not None]
                seen = seen[0] + len(asked) * (len(asked) < len(word)), seen[1] + len(asked)
        rows.append({"masked by": units, "hidden pieces whose word is partly in sight, %": 100 * seen[0] / seen[1]})
    return bars(rows, "hidden pieces whose word is partly in sight, %", "masked by")


def albert(runs: Runs) -> Any:
    """Numbers in the parts of BERT and ALBERT, preset tiny."""
    runs("bert-40", "bert", f"training.tokens={TOKENS}", "objective.mask_share=0.4")
    runs("albert", "albert", "training.steps=1")
    sizes: Counter[tuple[str, str]] = Counter()
    for name, folder in (("BERT", "bert-40"), ("ALBERT", "albert")):
        for key, array in load_file(runs.folder / folder / "model.safetensors").items():
            inside = key.startswith(("blocks", "attention", "feedforward"))
            sizes[name, "blocks" if inside else "tokens" if key.startswith("tokens") else "the rest"] += array.size
    rows = [{"run": name, "part": part, "thousands of numbers": size / 1000} for (name, part), size in sizes.items()]
    return bars(rows, "thousands of numbers", "run", "part")


def tinybert(runs: Runs) -> Any:
    """What is left between student and teacher, part by part."""
    runs("bert-40", "bert", f"training.tokens={TOKENS}", "objective.mask_share=0.4")
    options = {"out": runs.folder / "tinybert", "preset": "tiny", "settings": [f"training.tokens={TOKENS}"]}
    stemma.distill(runs.folder / "bert-40", runs.text / "train.jsonl", **options)
    found = [line for line in runs.logged("tinybert") if line["kind"] == "eval"]
    rows = [
        {"tokens read": line["tokens"], "mean squared difference": value, "part": part}
        for line in found
        for part, value in line["parts"].items()
    ]
    return lines(rows, "tokens read", "mean squared difference", "part")


def xlnet(runs: Runs) -> Any:
    """How much each head looks at what stands so many tokens before or after."""
    run = runs.deep("xlnet", TOKENS // 3)
    heads = [head for text in runs.dev()[:20] for head in run.attend(text[:160])]
    rows = []
    for layer, place in sorted({(head.layer, head.head) for head in heads}):
        here = [head.weights for head in heads if (head.layer, head.head) == (layer, place)]
        for distance in range(-8, 9):
            weights = np.concatenate([np.diagonal(weights, distance) for weights in here])
            rows.append(
                {"tokens away (below 0 before it)": distance, "mean weight": float(weights.mean()), "head": f"layer {layer}, head {place}"}
            )
    return lines(rows, "tokens away (below 0 before it)", "mean weight", "head")


ALL = (ngram, word2vec, glove, bert, bert_wwm, albert, tinybert, gpt, gpt2, nnlm, lstm, elmo, seq2seq, transformer, xlnet)


def main() -> None:
    """Draws all figures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of figures; none: all")
    parser.add_argument("--runs", type=Path, default=Path("figures"), help="where the runs are made")
    options = parser.parse_args()
    runs = Runs(options.runs)
    for figure in ALL:
        name = figure.__name__.replace("_", "-")
        if not options.names or name in options.names:
            draw(name, figure(runs))


if __name__ == "__main__":
    main()
