"""The verbs that use a run: text lines in, JSON lines out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from math import exp, log
from pathlib import Path
from typing import Any

from stemma.cli.answer import Printable, Rows
from stemma.cli.texts import BATCH, COUNTED, batches, texts
from stemma.cli.verb import Files, Flag, Positional, RunPath, Texts, Verb
from stemma.errors import UsageError

RowsOf = Callable[[list[str]], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Predict(Verb):
    """Answers each line with a fine-tuned run. A line has exactly the parts that the task asks for, with a tab between them.

    Example: echo "a fine film" | stemma predict runs/bert-films
    """

    run_folder: RunPath  # a folder made by stemma finetune
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own

    def run(self) -> Printable:
        """One answer a line."""
        from stemma.runs.fitted import FittedRun

        run = FittedRun.load(self.run_folder)
        return _streamed(lambda lines: iter(run.answer_rows(lines)), self.text, self.files)


@dataclass(frozen=True)
class Embed(Verb):
    """Gives each text one vector: the mean of its tokens' states in a layer, or what a fine-tuned run's head reads.

    Example: stemma embed runs/bert --text "the river bank" --layer -2
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    layer: int = -1  # 0: the embeddings, -1: the last layer

    def run(self) -> Printable:
        """One vector a text."""
        from stemma.runs.fitted import FittedRun, load

        run = load(self.run_folder)
        if isinstance(run, FittedRun) and self.layer != -1:
            raise UsageError(f"--layer {self.layer}: {self.run_folder} is fine-tuned", "the vectors that its head reads", "drop --layer")

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            vectors = (
                run.vectors(*zip(*run.parts_of(lines), strict=True)) if isinstance(run, FittedRun) else run.embed(lines, layer=self.layer)
            )
            for line, vector in zip(lines, vectors, strict=True):
                yield {"text": line, "vector": vector.tolist()}

        return _streamed(rows, self.text, self.files)


@dataclass(frozen=True)
class Score(Verb):
    """Tells how surprised a run is by each text: its probability, perplexity with and without unknown tokens, bits a character.

    Example: stemma score runs/gpt --text "it was a dark and stormy night"
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    tokens: Flag = False  # shows also what each token cost, and the n-gram that matched

    def run(self) -> Printable:
        """One score a text."""
        run = _opened(self.run_folder)

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            for line, score in zip(lines, run.score(lines), strict=True):
                by_token = {"by_token": [_token_row(token) for token in run.score_tokens(line)]} if self.tokens else {}
                yield {"text": line, **_score_row(score), **by_token}

        return _streamed(rows, self.text, self.files, COUNTED if run.row.learns == "count" else BATCH)


@dataclass(frozen=True)
class Nearest(Verb):
    """Finds the words of highest cosine with a word, or with a sum of words; or, of several words, the odd one.

    Example: stemma nearest runs/word2vec river "king - man + woman" --k 5
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    words: Positional[tuple[str, ...]] = ()  # one or more, or sums of words; none: one a line from standard input
    k: int = 10  # neighbours a word
    restrict: int = 0  # neighbours are sought among that many of the most frequent words; 0: all
    outlier: Flag = False  # names the word that fits the others least; from standard input, one group of words a line

    def run(self) -> Printable:
        """The neighbours of each word, or the odd one of them."""
        for option, value, least in (("k", self.k, 1), ("restrict", self.restrict, 0)):
            if value < least:
                raise UsageError(f"--{option} {value}", f"{least} or more", f"the default is {getattr(type(self), option)}")
        run = _opened(self.run_folder)

        def nearest(asked: list[str]) -> Iterator[dict[str, Any]]:
            for word in asked:
                found = run.nearest(word, self.k, self.restrict)
                composed = {"composed": True} if run.composes(word) else {}  # a word never seen, made of its n-grams
                yield {"word": word, **composed, "nearest": [{"word": other, "cosine": cosine} for other, cosine in found]}

        def outliers(groups: list[str]) -> Iterator[dict[str, Any]]:
            for group in groups:
                found = run.outlier(group.split())
                yield {"words": group.split(), "outlier": found.word, "cosines": found.cosines, "missing": found.missing}

        together = self.outlier or {"+", "-"} & set(self.words)  # one group of words, or one sum, written without quotes
        given = (" ".join(self.words),) if self.words and together else self.words
        return _streamed(outliers if self.outlier else nearest, given, ())


@dataclass(frozen=True)
class Generate(Verb):
    """Writes on from a prompt, or tells the likeliest next tokens.

    Example: stemma generate runs/gpt --text "The method" --length 30 --temperature 0.8
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one prompt a line; - for standard input; none: the empty prompt
    text: Texts = ()  # a prompt of its own
    length: int = 50  # tokens at most
    temperature: float = 1.0  # 0 takes the likeliest token
    top_k: int = 0  # draw from the k likeliest; 0: from all
    top_p: float = 1.0  # draw from the likeliest that hold this share of the probability
    seed: int = 0  # the same seed writes the same text
    next: int = 0  # tells so many likeliest next tokens with their probabilities and writes nothing; 0: writes

    def run(self) -> Printable:
        """One text a prompt, or the next tokens."""
        run = _opened(self.run_folder)
        options: dict[str, Any] = {"length": self.length, "temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}

        def rows(prompts: list[str]) -> Iterator[dict[str, Any]]:
            for prompt in prompts:
                if self.next:
                    likeliest = [{"token": token, "probability": p} for token, p in run.next_words(prompt, self.next)]
                    yield {"prompt": prompt, "next": likeliest}
                else:
                    yield {"prompt": prompt, "text": run.generate(prompt, seed=self.seed, **options)}

        return _streamed(rows, self.text or (() if self.files else ("",)), self.files, size=1)


@dataclass(frozen=True)
class Fill(Verb):
    """Fills in each [MASK] of a text with the likeliest tokens.

    Example: stemma fill runs/bert --text "The [MASK] of a tree." --k 3
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    k: int = 5  # tokens a mask

    def run(self) -> Printable:
        """The likeliest tokens of each mask."""
        run = _opened(self.run_folder)

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            for line in lines:
                masks = [[{"token": token, "probability": p} for token, p in best] for best in run.fill(line, self.k)]
                yield {"text": line, "masks": masks}

        return _streamed(rows, self.text, self.files)


def _score_row(score: Any) -> dict[str, Any]:
    """The fields of one text's score. Perplexities are a prediction's; a text's end is one."""
    return {
        "log10": score.log10,
        "nats": score.nats,
        "probability": exp(-score.nats),
        "tokens": score.tokens,
        "unknown": score.unknown,
        "perplexity": score.perplexity(),
        "perplexity_without_unknown": score.perplexity(unknown=False),
        "characters": score.characters,
        "bits_per_character": score.bits_per_character,
    }


def _token_row(token: Any) -> dict[str, Any]:
    row = {"token": token.token, "log10": -token.nats / log(10), "unknown": token.unknown}
    return {**row, "order": token.order} if token.order else row


def _opened(path: str) -> Any:
    from stemma.checkpoint import RunFolder
    from stemma.runs.run import Run

    if "task" in RunFolder.open(Path(path)).config:
        raise UsageError(f"{path} is fine-tuned on a task", "a folder made by stemma pretrain", "use stemma predict or embed on it")
    return Run.open(path)


def _streamed(rows: RowsOf, given: tuple[str, ...], files: tuple[str, ...], size: int = BATCH) -> Rows:
    return Rows(chain.from_iterable(map(rows, batches(texts(given, files), size))))
