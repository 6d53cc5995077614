"""What a run answers, as JSON rows: the command line prints them and the server sends them.

An answer is made in two steps, so that a server can tokenise on one thread and compute on another, and compute for several callers at
once: `embed(run, texts)` and its like tokenise and check, `rows()` of what they give does the rest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import exp, log
from typing import Any, Protocol

import numpy as np

from stemma.bounds import whole
from stemma.corpus.clean import clean
from stemma.corpus.document import Document
from stemma.corpus.given import given_texts
from stemma.errors import DataError, UsageError
from stemma.nouns import counted
from stemma.runs.attention_heads import AttentionHead
from stemma.runs.decoding import Decoding, Wanted, Written, always
from stemma.runs.fitted import SILENT, FittedRun, Prepared
from stemma.runs.reading import MaskedRow
from stemma.runs.run import BEAMS, SAMPLING, Encoded, Run, placed, unit
from stemma.runs.spacing import spacing
from stemma.runs.word_vectors import FREQUENT
from stemma.tokens.tokenizer import Tokenizer

Row = dict[str, Any]
MOST_NATS = 500  # of which the exponential is still a number


class Asked(Protocol):
    """Texts that a run is asked about, tokenised and found fit."""

    @property
    def tokens(self) -> Sequence[int]:
        """What there is to read of each text."""

    @property
    def rows_each(self) -> int:
        """How many rows a text gets."""

    def together(self, several: Sequence[Any]) -> "list[Any]":
        """Several of this kind with the same options, in as few as can be computed at once, in the same order."""

    def rows(self, wanted: Wanted = always) -> list[Row]:
        """The rows of the texts, in their order; what is being written may end, and mean nothing, once nothing is `wanted`."""


@dataclass(frozen=True)
class Embedding:
    """One vector a text."""

    run: Run
    encoded: Encoded
    layer: int
    normalise: bool
    rows_each: int = 1

    @property
    def tokens(self) -> Sequence[int]:
        """Of each text."""
        return _numbers(self.encoded.lengths)

    def together(self, several: "Sequence[Embedding]") -> "list[Embedding]":
        """All as one, as far as the network reads them so."""
        return [replace(self, encoded=encoded) for encoded in Encoded.together([one.encoded for one in several])]

    def rows(self, wanted: Wanted = always) -> list[Row]:
        """Text and vector; `no_known_word` where it says nothing of the text."""
        vectors, known = self.run.embed(self.encoded, self.layer, normalise=self.normalise), self.run.knows(self.encoded)
        return [
            {"text": text, **({} if knows and vector.any() else {"no_known_word": True}), "vector": vector.tolist()}
            for text, knows, vector in zip(self.encoded.texts, known.tolist(), vectors, strict=True)
        ]


@dataclass(frozen=True)
class Reading:
    """The answer of a fine-tuned run to each line, or the vector that its head reads."""

    run: FittedRun
    prepared: Prepared
    vectors: bool = False
    normalise: bool = False
    rows_each: int = 1

    @property
    def tokens(self) -> Sequence[int]:
        """Of each line."""
        return self.prepared.tokens

    def together(self, several: "Sequence[Reading]") -> "list[Reading]":
        """All as one, as far as the model reads them so."""
        return [replace(self, prepared=prepared) for prepared in self.run.together([one.prepared for one in several])]

    def rows(self, wanted: Wanted = always) -> list[Row]:
        """As the task writes them, or text and vector."""
        if not self.vectors:
            return self.run.answered(self.prepared)
        rows = self.run.with_vectors(self.prepared)
        if not self.normalise:
            return rows
        return [row | {"vector": unit(np.asarray([row["vector"]], np.float32))[0].tolist()} for row in rows]


@dataclass(frozen=True)
class Scoring:
    """What each text costs, and `by_token` what each of its tokens does."""

    run: Run
    encoded: Encoded
    backs: tuple[str, ...]  # what the tokens keep of each text
    by_token: bool
    rows_each: int = 1

    @property
    def tokens(self) -> Sequence[int]:
        """Of each text."""
        return _numbers(self.encoded.lengths)

    def together(self, several: "Sequence[Scoring]") -> "list[Scoring]":
        """All as one, as far as the network reads them so."""
        joined = Encoded.together([one.encoded for one in several])
        if len(joined) == len(several):
            return list(several)
        return [replace(self, encoded=joined[0], backs=_chained(one.backs for one in several))]

    def rows(self, wanted: Wanted = always) -> list[Row]:
        """Text and score, in nats, perplexities and bits a character."""
        texts, run = self.encoded.texts, self.run
        scores, turned = run.score(self.encoded), _backward(run, texts)
        found = []
        for text, score, back, backward in zip(texts, scores, self.backs, turned, strict=True):
            by_token = {"by_token": [_token_row(token) for token in run.score_tokens(text)]} if self.by_token else {}
            found.append({"text": text, **_score_row(score), **backward, **_bits(run, text, score, back), **by_token})
        return found


@dataclass(frozen=True)
class Filling:
    """The likeliest tokens of each [MASK] of each text."""

    run: Run
    texts: tuple[str, ...]
    masked: tuple[MaskedRow, ...]
    k: int
    rows_each: int = 1

    @property
    def tokens(self) -> Sequence[int]:
        """Of each text, specials included."""
        return [len(row.framed) for row in self.masked]

    def together(self, several: "Sequence[Filling]") -> "list[Filling]":
        """All as one."""
        return [replace(self, texts=_chained(one.texts for one in several), masked=_chained(one.masked for one in several))]

    def rows(self, wanted: Wanted = always) -> list[Row]:
        """Text, and a list a mask."""
        found = zip(self.texts, self.run.fill_rows(self.masked, self.k), strict=True)
        return [{"text": text, "masks": [likeliest(self.run.tokenizer, best) for best in masks]} for text, masks in found]


@dataclass(frozen=True)
class Writing:
    """Texts written on from each prompt."""

    run: Run
    prompts: tuple[str, ...]
    tokens: tuple[int, ...]
    length: int
    options: Decoding
    seed: int
    samples: int

    @property
    def rows_each(self) -> int:
        """One a sample."""
        return self.samples

    def together(self, several: "Sequence[Writing]") -> "list[Writing]":
        """All as one: a text depends on its own prompt alone."""
        return [replace(self, prompts=_chained(one.prompts for one in several), tokens=_chained(one.tokens for one in several))]

    def rows(self, wanted: Wanted = always) -> list[Row]:
        """Prompt and text, and of several samples their number."""
        return [
            {"prompt": prompt, **({"sample": number} if self.samples > 1 else {}), "text": one.text}
            for prompt, samples in zip(self.prompts, self.written(wanted), strict=True)
            for number, one in enumerate(samples)
        ]

    def written(self, wanted: Wanted) -> list[list[Written]]:
        """The samples of each prompt."""
        how: dict[str, Any] = {"length": self.length, "options": self.options, "seed": self.seed, "samples": self.samples}
        return self.run.write(self.prompts, **how, wanted=wanted)


@dataclass(frozen=True)
class Translating:
    """The targets of each source."""

    run: Run | FittedRun
    sources: tuple[str, ...]
    tokens: tuple[int, ...]
    options: Decoding
    samples: int

    @property
    def rows_each(self) -> int:
        """One a sample."""
        return self.samples

    def together(self, several: "Sequence[Translating]") -> "list[Translating]":
        """All as one: a target depends on its own source alone."""
        return [replace(self, sources=_chained(one.sources for one in several), tokens=_chained(one.tokens for one in several))]

    def rows(self, wanted: Wanted = always) -> list[Row]:
        """Source and target, and of several samples their scores."""
        found = self.run.translations(self.sources, options=self.options, samples=self.samples, wanted=wanted)
        return [
            {
                "text": source,
                "translation": one.text,
                **({"sample": number, "log_prob": one.log_prob, "score": one.score} if self.samples > 1 else {}),
            }
            for source, best in zip(self.sources, found, strict=True)
            for number, one in enumerate(best)
        ]


@dataclass(frozen=True)
class Alone:
    """What is computed text by text: nothing is gained by reading several together."""

    texts: tuple[str, ...]
    tokens: tuple[int, ...]
    rows_each: int = 1

    def together(self, several: "Sequence[Alone]") -> "list[Alone]":
        """Each by itself."""
        return list(several)

    def rows(self, wanted: Wanted = always) -> list[Row]:
        """A row a text."""
        return list(map(self.row, self.texts))

    def row(self, text: str) -> Row:
        """The row of a text."""
        raise AssertionError(f"{type(self).__name__} has no row")


@dataclass(frozen=True, kw_only=True)
class Following(Alone):
    """The likeliest next tokens after each prompt."""

    run: Run
    k: int

    def row(self, text: str) -> Row:
        """Prompt and tokens."""
        return {"prompt": text, "next": likeliest(self.run.tokenizer, self.run.next_ids(text, self.k))}


@dataclass(frozen=True, kw_only=True)
class Cutting(Alone):
    """How each text is cut."""

    tokenizer: Tokenizer

    def row(self, text: str) -> Row:
        """Tokens, ids, and `spans`, which are characters of the text as it is given."""
        cleaned = clean(text)[0]
        ids, spans = self.tokenizer.encode_offsets(cleaned)
        tokens = [self.tokenizer.text(int(index)) for index in ids]
        return {"text": text, "tokens": tokens, "ids": _numbers(ids), "spans": placed(spans, cleaned, text)}


@dataclass(frozen=True, kw_only=True)
class Nearby(Alone):
    """The nearest words of each word or sum of words."""

    run: Run
    k: int
    restrict: int

    def row(self, text: str) -> Row:
        """Word and neighbours."""
        found = self.run.nearest(text, self.k, self.restrict)
        composed = {"composed": True} if self.run.composes(text) else {}  # a word never seen, made of its n-grams
        return {"word": text, **composed, "nearest": [{"word": other, "cosine": cosine} for other, cosine in found]}


@dataclass(frozen=True, kw_only=True)
class Odd(Alone):
    """The odd one of each group of words."""

    run: Run

    def row(self, text: str) -> Row:
        """Words, outlier, and each word's mean cosine with the others."""
        found = self.run.outlier(text.split())
        return {"words": text.split(), "outlier": found.word, "cosines": found.cosines, "missing": list(found.missing)}


@dataclass(frozen=True, kw_only=True)
class TokenVectors(Alone):
    """The vector of each text, and those of its tokens."""

    run: Run
    layer: int
    normalise: bool

    def row(self, text: str) -> Row:
        """Text, vector, and `by_token` each token with its place in the text and its vector."""
        (row,) = embed(self.run, [text], self.layer, self.normalise).rows()
        (found,) = self.run.vectors([text])
        states = found.layers[self.layer]
        columns = found.ids.tolist(), found.spans, (unit(states) if self.normalise else states).tolist()
        return row | {"by_token": [self._token(*token) for token in zip(*columns, strict=True)]}

    def _token(self, index: int, span: tuple[int, int], vector: list[float]) -> Row:
        return {"token": self.run.tokenizer.text(index), "start": span[0], "end": span[1], "vector": vector}


@dataclass(frozen=True, kw_only=True)
class Hiding(Alone):
    """What the objective hides of each text."""

    run: Run
    seed: int

    def row(self, text: str) -> Row:
        """As the objective's first instance of the text has it: its rest would be another one."""
        found = next(self.run.masks.of([text], self.seed), None)
        if found is None:
            raise DataError("the text has no token", "a text with a word in it", "write one")
        return found.row()


@dataclass(frozen=True, kw_only=True)
class Looking(Alone):
    """Where the chosen heads look in each text, or pair with a tab between the two."""

    run: Run | FittedRun
    layer: int | None
    head: int | None
    most: int | None  # weights of a text; None: any number

    def row(self, text: str) -> Row:
        """Text, perhaps the other, and heads."""
        heads = heads_of(self.run, text, self.layer, self.head)
        weights = sum(head.weights.size for head in heads)
        if self.most is not None and weights > self.most:
            wrong = f"the text has {counted(weights, 'weight')} in {counted(len(heads), 'head')}"
            raise DataError(wrong, f"{self.most:,} at most", "name a layer and a head, or shorten the text")
        return {**pair_of(text), "heads": list(map(head_row, heads))}


def embed(run: Run | FittedRun, texts: Sequence[str], layer: int = -1, normalise: bool = False, by_token: bool = False) -> Asked:
    """One vector a text, and `by_token` one a token; of a fine-tuned run what its head reads, and UsageError for its layers and tokens."""
    if isinstance(run, FittedRun):
        if layer != -1 or by_token:
            asked = "tokens" if by_token else f"layer {layer}"
            raise UsageError(f"{asked} of a fine-tuned run", "the vectors that its head reads", f"drop the {asked.partition(' ')[0]}")
        return Reading(run, run.prepared(texts, SILENT), True, normalise)
    run.require("embed")
    if by_token:
        texts, layer = given_texts(texts), whole("layer", layer, -len(run.widths), len(run.widths) - 1, -1)
        return TokenVectors(tuple(texts), _lengths(run.tokenizer, texts), run=run, layer=layer, normalise=normalise)
    return Embedding(run, run.encode(texts), layer, normalise)


def predict(run: FittedRun, lines: Sequence[str]) -> Asked:
    """The answer of a fine-tuned run to each line, whose parts have tabs between them."""
    return Reading(run, run.prepared(lines))


def score(run: Run, texts: Sequence[str], by_token: bool = False) -> Asked:
    """What each text costs the run."""
    run.require("score")
    encoded = run.encode(texts)
    return Scoring(run, encoded, tuple(run.tokenizer.give_back_each(encoded.texts)), by_token)


def fill(run: Run, texts: Sequence[str], k: int = 5) -> Asked:
    """The likeliest tokens of each [MASK]; DataError for a text without one."""
    texts = given_texts(texts)
    return Filling(run, tuple(texts), tuple(map(run.masked_row, texts)), k)


def generate(run: Run, prompts: Sequence[str], length: int = 50, options: Decoding = SAMPLING, seed: int = 0, samples: int = 1) -> Writing:
    """Texts written on from each prompt."""
    run.require("generate")
    prompts = given_texts(prompts, "prompts")
    return Writing(run, tuple(prompts), _lengths(run.tokenizer, prompts), length, options, seed, samples)


def follow(run: Run, prompts: Sequence[str], k: int = 10) -> Asked:
    """The `k` likeliest next tokens after each prompt."""
    run.require("generate")
    prompts = given_texts(prompts, "prompts")
    return Following(tuple(prompts), _lengths(run.tokenizer, prompts), run=run, k=k)


def translate(run: Run | FittedRun, sources: Sequence[str], options: Decoding = BEAMS, samples: int = 1) -> Asked:
    """The best targets of each source."""
    run.check_translates()
    sources = given_texts(sources)
    return Translating(run, tuple(sources), _lengths(tokenizer_of(run), sources), options, samples)


def nearest(run: Run, words: Sequence[str], k: int = 10, restrict: int = FREQUENT) -> Asked:
    """The nearest words of each word, or sum of words."""
    run.require("nearest")
    words = given_texts(words, "words")
    return Nearby(tuple(words), tuple(len(word.split()) for word in words), run=run, k=k, restrict=restrict)


def outlier(run: Run, groups: Sequence[str]) -> Asked:
    """The odd one of each group of words."""
    run.require("nearest")
    groups = given_texts(groups, "words")
    return Odd(tuple(groups), tuple(len(group.split()) for group in groups), run=run)


def attend(run: Run | FittedRun, lines: Sequence[str], layer: int | None = None, head: int | None = None, most: int | None = None) -> Asked:
    """Where each head of each layer looks, or those that are named; DataError for a text with more weights than `most`."""
    lines = given_texts(lines, "lines")
    return Looking(tuple(lines), _lengths(tokenizer_of(run), lines), run=run, layer=layer, head=head, most=most)


def masks(run: Run, texts: Sequence[str], seed: int = 0) -> Asked:
    """What the run's objective hides of each text."""
    texts = given_texts(texts)
    return Hiding(tuple(texts), _lengths(run.tokenizer, texts), run=run, seed=seed)


def tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> Asked:
    """How each text is cut."""
    return Cutting(tuple(texts), _lengths(tokenizer, [clean(text)[0] for text in texts]), tokenizer=tokenizer)


def heads_of(run: Run | FittedRun, line: str, layer: int | None = None, head: int | None = None, dashes: str = "") -> list[AttentionHead]:
    """The heads that were chosen; UsageError for a layer or head that the network has not, DataError for a source without its target.

    `dashes` stand before the names of options on a command line.
    """
    pair = pair_of(line)
    if isinstance(run, FittedRun):
        if "other" not in pair:
            raise DataError("a source without its target", "a pair, with a tab between the two", "add the target")
        heads = run.attend(pair["text"], pair["other"])
    else:
        heads = run.attend(pair["text"], pair.get("other"))
    for name, number, most in (("layer", layer, max(one.layer for one in heads)), ("head", head, max(one.head for one in heads))):
        if number is not None and not 1 <= number <= most:
            raise UsageError(f"{dashes}{name} {number}", f"a {name} of this run, 1 to {most}", f"choose one, or drop {dashes}{name}")
    return [one for one in heads if layer in (None, one.layer) and head in (None, one.head)]


def pair_of(line: str) -> dict[str, str]:
    """A text, or with a tab in it a pair."""
    first, tab, second = line.partition("\t")
    return {"text": first, "other": second} if tab else {"text": first}


def tokenizer_of(run: Run | FittedRun) -> Tokenizer:
    """What cuts the texts of the run."""
    return run.assignment.tokenizer if isinstance(run, FittedRun) else run.tokenizer


def likeliest(tokenizer: Tokenizer, found: Sequence[tuple[int, float]]) -> list[Row]:
    """The tokens with their probabilities."""
    return [{"id": token, "token": tokenizer.text(token), "probability": p} for token, p in found]


def _lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[int, ...]:
    return tuple(_numbers(tokenizer.encode_flat(texts)[1]))


def _numbers(values: np.ndarray) -> list[int]:
    found: list[int] = values.tolist()
    return found


def _chained(parts: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(chain.from_iterable(parts))


def _score_row(score: Any) -> Row:
    """The fields of one text's score. Perplexities are a prediction's; a text's end is one."""
    return {
        "log10": score.log10,
        "nats": score.nats,
        "probability": exp(min(-score.nats, MOST_NATS)),  # an imported model need not sum to one
        "tokens": score.tokens,
        "unknown": score.unknown,
        "perplexity": score.perplexity(),
        "perplexity_without_unknown": score.perplexity(unknown=False),
        "characters": score.characters,
        "spelling_nats": score.spelling if score.unknown else 0.0,
    }


def _backward(run: Run, texts: Sequence[str]) -> list[Row]:
    """Nats of each text read from its end to its start, its start among them as its end is in `nats`; nothing where no run reads so."""
    if not run.row.backward:
        return [{}] * len(texts)
    return [{"backward_nats": nats} for nats in run.backward_nats([Document((text,), "") for text in texts], ends=True)]


def _bits(run: Run, text: str, score: Any, back: str) -> Row:
    """Bits a character, white space that the tokens do not tell charged as by `stemma evaluate`; or why there are none.

    `back` is what the tokens keep of the text.
    """
    bits = score.bits_per_character
    if bits is None or back == text:
        return {"spacing_nats": 0.0, "bits_per_character": bits}
    kept = spacing(run.tokenizer, [Document((text,), "")])
    around = (text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :])
    around_back = (back[: len(back) - len(back.lstrip())], back[len(back.rstrip()) :])
    if kept.why_not or around != around_back:  # what surrounds a text is no part of a corpus, and has no price
        reason = f"the tokenizer does not keep the text: it comes back as {back!r}"
        return {"spacing_nats": None, "bits_per_character": None, "why_not_bits": reason}
    nats = float(kept.nats[0])
    return {"spacing_nats": nats, "bits_per_character": bits + nats / log(2) / score.characters}


def _token_row(token: Any) -> Row:
    row = {"id": token.id, "token": token.token, "log10": -token.nats / log(10), "unknown": token.unknown}
    return {**row, "order": token.order} if token.order else row


def head_row(head: AttentionHead) -> Row:
    """Where the head stands, its tokens, and its weights with six decimals."""
    weights = [[round(weight, 6) for weight in row] for row in head.weights.tolist()]
    place = {"kind": head.kind, "layer": head.layer, "head": head.head}
    return {**place, "rows": head.rows, "columns": head.columns, "spread": round(head.spread, 4), "weights": weights}
