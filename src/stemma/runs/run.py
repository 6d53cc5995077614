"""A trained run, opened: its tokenizer, its network, and what its generation can do with text."""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from html import escape
from itertools import chain, compress, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from stemma.bounds import MOST_SEED, whole
from stemma.checkpoint import RunFolder
from stemma.config import restore
from stemma.corpus.clean import kept_places
from stemma.corpus.document import Document
from stemma.corpus.given import given_text, given_texts, listed
from stemma.errors import DamagedError, DataError, UsageError
from stemma.lineage.table import Ability, Generation, able, find
from stemma.nouns import counted
from stemma.objectives.batch import Batch
from stemma.runs import decoding, reading
from stemma.runs.decoding import Decoding, Wanted, Written, always
from stemma.runs.doubts import Doubt
from stemma.runs.open_vocabulary import OpenVocabulary
from stemma.runs.opening import network_of, opening
from stemma.runs.pooling import TOKENS, Pooling
from stemma.runs.reading import MaskedRow
from stemma.runs.word_vectors import FREQUENT, Outlier, WordVectors
from stemma.tasks.table import make_task
from stemma.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from stemma.runs.attention_heads import AttentionHead
    from stemma.runs.masks import Masks
    from stemma.runs.unknown_words import Spelling

LN2, LN10 = math.log(2), math.log(10)
SAMPLING = Decoding()
BEAMS = Decoding(beams=4)  # of translations (Vaswani 2017, section 6.1)
HANDFUL = 10  # updates below which a run has learnt nothing to speak of
MOST_NATS = 500  # a prediction: beyond, a perplexity says nothing


class Score(NamedTuple):
    """How surprised a run is by a text: `nats` over `tokens` predictions, its end included if that was predicted too."""

    nats: float
    tokens: int
    characters: int
    unknown: int  # tokens that the vocabulary lacks: their spelling is not in `nats`
    unknown_nats: float  # the part of `nats` that they cost
    spelling: float | None = None  # nats of their spelling (`runs.unknown_words`); None: the run knows nothing of spelling

    @property
    def log10(self) -> float:
        """log10 of the text's probability."""
        return -self.nats / LN10

    @property
    def bits_per_character(self) -> float | None:
        """Comparable across tokenizers that give the text back, spelling included; None where an unknown token's has no price."""
        paid = self.spelling if self.unknown else 0.0
        return None if paid is None or not self.characters else (self.nats + paid) / LN2 / self.characters

    def perplexity(self, unknown: bool = True) -> float | None:
        """The number e to the mean nats of a prediction, with or without the unknown tokens; None where none is left, or beyond any use."""
        tokens, nats = (self.tokens, self.nats) if unknown else (self.tokens - self.unknown, self.nats - self.unknown_nats)
        return math.exp(nats / tokens) if tokens and nats < MOST_NATS * tokens else None


@dataclass(frozen=True)
class TokenScore:
    """What one token of a text cost."""

    id: int
    token: str  # how it reads (`Tokenizer.text`)
    nats: float
    unknown: bool  # the vocabulary lacks it
    order: int  # tokens in the longest n-gram that matched, itself included; 0 where nothing is counted


@dataclass(frozen=True)
class Encoded:
    """Texts as a run reads them, one after the other."""

    texts: tuple[str, ...]
    adjoining: tuple[bool, ...]  # of each text whether nothing parts it from what stands before it; empty: all stand alone
    ids: np.ndarray  # (N) of the vocabulary
    own: np.ndarray  # (N) as the network reads them: a word that it reads by its spelling has a number of its own
    starts: np.ndarray  # the texts' borders in both
    beside: Batch  # what goes with every batch of `own`

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text."""
        return np.diff(self.starts)

    @property
    def rows(self) -> list[np.ndarray]:
        """What the network reads of each text."""
        return np.split(self.own, self.starts[1:-1]) if self.texts else []

    @staticmethod
    def together(several: "Sequence[Encoded]") -> "list[Encoded]":
        """The texts of all as one, unless words that are read by their spelling are numbered in each for itself."""
        if any(encoded.beside for encoded in several):
            return list(several)
        texts = tuple(chain.from_iterable(encoded.texts for encoded in several))
        ids, own, lengths = (np.concatenate(parts) for parts in zip(*((one.ids, one.own, one.lengths) for one in several), strict=True))
        adjoining = tuple(chain.from_iterable(encoded.adjoining or (False,) * len(encoded.texts) for encoded in several))
        return [Encoded(texts, adjoining, ids, own, np.concatenate([[0], np.cumsum(lengths)]), {})]


@dataclass(frozen=True)
class Vectors:
    """The states of one text's tokens: `layers` (L+1 T D), and the characters each token stands for."""

    ids: np.ndarray
    spans: list[tuple[int, int]]
    layers: np.ndarray


class Run:
    """A finished run folder in use.

    Texts are cleaned as those that it learnt from: what no reader sees is taken out, and a warning says so. A single string
    where several texts are expected is a UsageError, what is no text a DataError.
    """

    def __init__(self, folder: RunFolder | None, row: Generation, tokenizer: Tokenizer, network: Any, pooling: Pooling = TOKENS) -> None:
        """A run that is kept in memory has no folder."""
        self.folder, self.row, self.tokenizer, self.network, self.pooling = folder, row, tokenizer, network, pooling

    @classmethod
    def open(cls, path: str | Path, held: bool = False) -> "Run":
        """The run of a finished folder, on the CPU, ready for use; one that has learnt to translate is a run all the same.

        `held` in memory it does without the folder, and is not changed with it.
        """
        folder = RunFolder.open(Path(path))
        config = folder.config
        if "task" in config and make_task(config["task"]["task"]).per != "target":  # what writes targets is a network and no more
            cure = "use stemma predict or embed on it, or name the run that it was made from"
            raise UsageError(f"{path} is fine-tuned on a task", "a folder made by stemma pretrain", cure)
        row = find(config["identity"]["generation"])
        arrays = folder.tensors(held)
        with opening(folder):
            tokenizer = Tokenizer.load(folder.guarded("tokenizer.json"))
            model: Any = restore(row.model_config(), config["sections"]["model"], str(folder.path))
            pooling = restore(Pooling, config["sections"].get("pooling", {}), str(folder.path))
            run = cls(folder, row, tokenizer, network_of(row, model, tokenizer, arrays), pooling)
        if held:
            run._counts, _ = arrays.get("counts"), run.parameters
        return run

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: all that use needs, so that it needs no folder."""
        if self.folder is not None:
            _ = self.parameters, self._counts
        return {name: value for name, value in self.__dict__.items() if name not in ("words", "_surprises")}

    def __repr__(self) -> str:
        """What the run is, in a line."""
        kept = f" at {self.path}: {self.parameters:,} parameters" if self.folder else ", kept in memory"
        return f"<{self.row.short} run{kept}; can {', '.join(self.row.abilities)}>"

    def _repr_html_(self) -> str:
        """The same as a small table, for notebooks."""
        place = self.folder.path if self.folder else "kept in memory"
        rows = {"run": place, "generation": f"{self.row.title} ({self.row.paper})", "parameters": f"{self.parameters:,}"}
        rows |= {"tokens": f"{self.tokenizer.vocab_size:,} ({self.tokenizer.config.kind})", "can": ", ".join(self.row.abilities)}
        cells = "".join(f"<tr><th style='text-align:left'>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
        return f"<table>{cells}</table>"

    def __contains__(self, word: str) -> bool:
        """True where the word has a vector, its own or one composed of its parts."""
        return isinstance(word, str) and self.words.vector(given_text(word, "the word")) is not None

    def __getitem__(self, word: str) -> np.ndarray:
        """The word's vector at length 1 (D); DataError for one that has none."""
        return self.words.known(given_text(word, "the word"))

    def similarity(self, a: str, b: str) -> float:
        """The cosine of two words; DataError for one that has no vector."""
        return float(self[a] @ self[b])

    @property
    def path(self) -> Path:
        """Where the run stands; UsageError for one kept in memory."""
        return self.kept.path

    @property
    def config(self) -> dict[str, Any]:
        """The resolved sections; UsageError for a run kept in memory."""
        return self.kept.config["sections"]

    @property
    def kept(self) -> RunFolder:
        """Its folder; UsageError for a run kept in memory."""
        if self.folder is None:
            raise UsageError("a run kept in memory", "one that stands in a folder, with all its settings", "save it, and name its folder")
        return self.folder

    def module(self) -> Any:
        """The network as an `Encoder` that PyTorch moves, or a `Counted`: what learns a task stands on it."""
        return self.network.as_module() if self.row.updates == "by hand" else self.network

    @cached_property
    def parameters(self) -> int:
        """Numbers that were learnt (for a counting generation: stored)."""
        return sum(int(array.size) for array in (self.folder.tensors() if self.folder is not None else self._arrays()).values())

    def encode(self, texts: Iterable[str]) -> Encoded:
        """The texts tokenised as this run reads them: `embed`, `score` and `knows` do the rest."""
        return self._encoded(given_texts(texts))

    def _arrays(self) -> Mapping[str, np.ndarray]:
        """The network's arrays, of a run kept in memory."""
        if self.row.updates != "backprop":
            arrays: Mapping[str, np.ndarray] = self.network.arrays()
            return arrays
        from stemma.layers.weights import weights

        return weights(self.network)

    def embed(self, texts: Iterable[str] | Encoded, layer: int = -1, *, normalise: bool = False) -> np.ndarray:
        """One vector a text (N D): the mean of its tokens' states in `layer` (0: embeddings, -1: the last), at length 1 to `normalise`.

        A run made of a folder of sentence-transformers has the mean, the cut and the length of there (`pooling`). A text without tokens
        gets zeros. A warning tells of texts without a known word (`knows`), whose vectors say nothing.
        """
        self._needs("embed")
        encoded, widths = self._tokenised(texts), self.widths
        layer = whole("layer", layer, -len(widths), len(widths) - 1, -1)
        sums = np.zeros((len(encoded.texts), widths[layer]), np.float32)
        counts = np.zeros(len(encoded.texts), np.int64)
        for piece, states in self._states(encoded, layer, self.pooling):
            chosen = self.pooling.chosen(states[0])
            sums[piece.text] += chosen.sum(0)
            counts[piece.text] += len(chosen)
        vectors = (sums / np.maximum(1, counts)[:, None]).astype(np.float32)
        warn_of_unknown(encoded.texts, self.knows(encoded) & vectors.any(1), "their vectors say nothing of them")
        return unit(vectors) if normalise or self.pooling.normalise else vectors

    def knows(self, texts: Iterable[str] | Encoded) -> np.ndarray:
        """True for each text (N) with a word, or a piece of one, that the run has a vector or a probability for."""
        encoded = self._tokenised(texts)
        known = encoded.lengths > 0 if self.row.reads_spelling else self.tokenizer.known_among(encoded.ids, encoded.lengths)
        if self._composes:
            for place in np.flatnonzero(~known).tolist():
                text = encoded.texts[place]
                _, spans = self.tokenizer.encode_offsets(text)
                known[place] = any(self._composed(text[start:end]) is not None for start, end in spans)
        return known

    def vectors(self, texts: Iterable[str]) -> list[Vectors]:
        """Every token's states in every layer, with its place in the text as it was given."""
        self._needs("embed")
        raw = listed(texts, "texts")
        texts = given_texts(raw)
        encoded = [self.tokenizer.encode_offsets(text) for text in texts]
        found: dict[int, dict[int, np.ndarray]] = {n: {} for n in range(len(texts))}
        for piece, states in self._states(self._encoded(texts), None):
            found[piece.text][piece.first] = states
        nothing = np.zeros((len(self.widths), 0, self.widths[-1]), np.float32)
        joined = [np.concatenate([parts[first] for first in sorted(parts)], axis=1) if parts else nothing for parts in found.values()]
        places = [placed(spans, text, given) for (_, spans), text, given in zip(encoded, texts, raw, strict=True)]
        return [Vectors(np.asarray(ids), spans, layers) for (ids, _), spans, layers in zip(encoded, places, joined, strict=True)]

    def score(self, texts: Iterable[str] | Encoded) -> list[Score]:
        """The surprise at each text, from its start to its end."""
        encoded = self._tokenised(texts)
        return self._scored(encoded, np.arange(len(encoded.texts) + 1), list(map(len, encoded.texts)))

    def score_documents(self, documents: Sequence[Document]) -> list[Score]:
        """The surprise at each document's tokens: the same events for every generation, and no end is among them.

        Counting models and NNLM read sentence by sentence, as they learn: a document's probability is the sum over every
        way of cutting it into sentences. The others carry the context on from one sentence to the next. Texts longer than
        the model's window are read in windows that overlap by half.
        """
        sentences, parts, adjoining = _flat(documents)
        lengths = [len(document.text) for document in documents]
        return self._scored(self._encoded(sentences, adjoining), parts, lengths, ends=False)

    def nats_from(self, texts: Sequence[str], starts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Nats (N) of what each text has from that character on, given what stands before it, and how many tokens that is (N).

        No end is predicted. A token of which a part stands there counts; unknown ones pay for their spelling, where the run knows of it.
        The texts are read as they are, so that places in them stay what they were.
        """
        self._needs("score")
        vocabulary, number = self._vocabulary, len(texts)
        encoded = [vocabulary.encode_offsets(text) for text in texts]
        before = np.array([sum(end <= start for _, end in spans) for (_, spans), start in zip(encoded, starts, strict=True)], np.int64)
        lengths = np.array([len(ids) for ids, _ in encoded], np.int64)
        borders, ids = np.concatenate([[0], np.cumsum(lengths)]), np.concatenate([np.zeros(0, np.int64), *(ids for ids, _ in encoded)])
        read = self._surprises.uncut(ids, borders, vocabulary.beside)
        owners = np.repeat(np.arange(number), lengths)
        counts = np.arange(len(ids)) - borders[owners] >= before[owners]
        nats = np.bincount(owners[counts], read.nats[counts], number)
        unspelt = counts & read.unknown
        if self._spelling is not None and unspelt.any():
            nats += np.bincount(owners[unspelt], self._spelling.nats(self.tokenizer.spellings(texts, unspelt)), number)
        return nats, lengths - before

    def backward_nats(self, documents: Sequence[Document], ends: bool = False) -> list[float]:
        """Nats of each document read from its end to its start, with `ends` its start's too; UsageError unless the row is `backward`."""
        self._needs("score")
        if not self.row.backward:
            raise UsageError(f"{self.row.name} reads no text from its end", "a generation that reads both ways", "choose another run")
        sentences, parts, adjoining = _flat(documents)
        ids, lengths = self.tokenizer.encode_flat(sentences, adjoining)
        vocabulary, borders = self._vocabulary, np.concatenate([[0], np.cumsum(lengths)])[parts]
        texts = np.split(vocabulary.numbered(ids, sentences, adjoining), borders[1:-1]) if len(documents) else []
        return reading.backward_nats(self.network, texts, self.tokenizer.specials["eos"] if ends else None, vocabulary.beside)

    def lacks(self, ids: np.ndarray) -> np.ndarray:
        """True for each of the ids (N) that is no word to the run: the unknown token, or one that its network left out."""
        return self._surprises.lacks(ids) if "score" in self.row.abilities else ids == self.tokenizer.specials.get("unk", -1)

    def spelling(self, texts: Sequence[str]) -> list[float | None]:
        """Nats of the spelling of each text's unknown tokens (`runs.unknown_words`); None: the run knows nothing of spelling."""
        ids, lengths = self.tokenizer.encode_flat(texts)
        starts, whole = np.concatenate([[0], np.cumsum(lengths)]), np.arange(len(texts) + 1)
        return self._spelling_nats(texts, ids, starts, whole) if self.lacks(ids).any() else [0.0] * len(texts)

    def score_tokens(self, text: str) -> list[TokenScore]:
        """The surprise at each token of the text, and at its end."""
        self._needs("score")
        ids, vocabulary = self.tokenizer.encode(given_text(text)), self._vocabulary
        priced = [*ids.tolist(), self.tokenizer.specials["eos"]]
        read = self._surprises(vocabulary.numbered(ids, [text]), np.array([0, len(ids)]), np.array([0, 1]), vocabulary.beside)
        columns = read.nats.tolist(), read.unknown.tolist(), read.orders.tolist()
        return list(map(TokenScore, priced, map(self.tokenizer.text, priced), *columns))

    @overload
    def generate(self, prompts: str = "", *, length: int = 50, options: Decoding = ..., seed: int = 0) -> str: ...
    @overload
    def generate(self, prompts: list[str] | tuple[str, ...], *, length: int = 50, options: Decoding = ..., seed: int = 0) -> list[str]: ...
    def generate(
        self, prompts: str | list[str] | tuple[str, ...] = "", *, length: int = 50, options: Decoding = SAMPLING, seed: int = 0
    ) -> str | list[str]:
        """The prompt and up to `length` tokens after it; of several prompts, several texts, each as if it were alone."""
        several = given_texts([prompts] if isinstance(prompts, str) else prompts, "prompts")
        texts = [best.text for best, *_ in self.write(several, length=length, options=options, seed=seed)]
        return texts[0] if isinstance(prompts, str) else texts

    def write(
        self,
        prompts: Sequence[str],
        *,
        length: int = 50,
        options: Decoding = SAMPLING,
        seed: int = 0,
        samples: int = 1,
        wanted: Wanted = always,
    ) -> list[list[Written]]:
        """For each prompt `samples` texts with their probabilities: independent draws, or the best of a beam search.

        They end where they are once `wanted` is false, as for a caller who has left.
        """
        self._needs("generate")
        prompts, seed = given_texts(prompts, "prompts"), whole("seed", seed, 0, MOST_SEED, 0)
        return decoding.write(self.network, self.tokenizer, prompts, length, options, seed, samples, wanted)

    def stream(self, prompt: str = "", *, length: int = 50, options: Decoding = SAMPLING, seed: int = 0) -> Iterator[str]:
        """What `generate` writes after the prompt, piece by piece as it comes."""
        self._needs("generate")
        prompt, seed = given_text(prompt, "the prompt"), whole("seed", seed, 0, MOST_SEED, 0)
        return decoding.stream(self.network, self.tokenizer, prompt, length, options, seed)

    @overload
    def translate(self, texts: str, *, options: Decoding = ...) -> str: ...
    @overload
    def translate(self, texts: list[str] | tuple[str, ...], *, options: Decoding = ...) -> list[str]: ...
    def translate(self, texts: str | list[str] | tuple[str, ...], *, options: Decoding = BEAMS) -> str | list[str]:
        """The target of each source, by a beam search unless `options` say otherwise; each is what it would be alone."""
        found = [best.text for best, *_ in self.translations([texts] if isinstance(texts, str) else texts, options=options)]
        return found[0] if isinstance(texts, str) else found

    def translations(
        self, texts: Iterable[str], *, options: Decoding = BEAMS, samples: int = 1, wanted: Wanted = always
    ) -> list[list[Written]]:
        """For each source the best `samples` targets of the search with their probabilities; DataError for a text that does not fit.

        `wanted` is as in `write`.
        """
        self.check_translates()
        sources = self.tokenizer.encode_batch(given_texts(texts))
        for ids in sources:
            self._fits(len(self.network.frame(ids.tolist())[0]))
        return decoding.translate(self.network, self.tokenizer, [ids.tolist() for ids in sources], options, samples, wanted)

    def check_translates(self) -> None:
        """UsageError where the run writes no targets, or learnt no pairs."""
        self._needs("translate")
        if not self.translates:
            wrong = f"{self.path} learnt to restore what was hidden in plain text, and no pairs"
            raise UsageError(wrong, "a run that learnt pairs of a source and its target", "pre-train on pairs, or finetune it on them")

    @property
    def translates(self) -> bool:
        """True where the run learnt pairs of a source and its target."""
        if self.folder is None or "task" in self.folder.config:  # fine-tuned, and then kept in memory perhaps
            return True
        return self.config["corpus"]["format"] == "pairs" and self.config["objective"].get("kind") != "denoising"

    def next_words(self, text: str, k: int = 10) -> list[tuple[str, float]]:
        """The `k` likeliest tokens after the text, which begins a sentence, as they read, with their probabilities.

        The text's end may be one of them; the unknown token is not, though it has its share of the probability.
        """
        return self._readable(self.next_ids(text, k))

    def next_ids(self, text: str, k: int = 10) -> list[tuple[int, float]]:
        """As `next_words`, by their ids."""
        self._needs("generate")
        k = whole("k", k, 1, default=10)
        ids = [int(i) for i in self.tokenizer.encode(given_text(text))]
        return decoding.next_tokens(self.network, ids, k)

    def fill(self, text: str, k: int = 5) -> list[list[tuple[str, float]]]:
        """For each `[MASK]` in the text, the `k` likeliest tokens, as they read, with their probabilities."""
        return list(map(self._readable, self.fill_ids(text, k)))

    def fill_ids(self, text: str, k: int = 5) -> list[list[tuple[int, float]]]:
        """As `fill`, by their ids."""
        (found,) = self.fill_rows([self.masked_row(text)], k)
        return found

    def masked_row(self, text: str) -> MaskedRow:
        """The text with its `[MASK]`s as the network reads it; DataError for a text without one, or too long."""
        self.require("fill")
        parts = given_text(text).split("[MASK]")
        if len(parts) == 1:
            raise DataError("the text has no [MASK]", "a [MASK] where a token is asked for", 'for example "the [MASK] sat down"')
        mask = self.tokenizer.specials["mask"]
        adjoining = [place > 0 and not part[:1].isspace() for place, part in enumerate(parts)]  # the mask before them: no space is made up
        flat, lengths = self.tokenizer.encode_flat(parts, adjoining)
        ids = [int(i) for part in np.split(flat, np.cumsum(lengths)[:-1]) for i in (mask, *part)][1:]
        framed, types = self.network.frame(ids)
        self._fits(len(framed))
        return MaskedRow(framed, types, len(parts) - 1)

    def fill_rows(self, rows: Sequence[MaskedRow], k: int = 5) -> list[list[list[tuple[int, float]]]]:
        """Of each row what `fill_ids` gives of its text; rows of like length are read together."""
        self._needs("fill")
        import torch

        k = whole("k", k, 1, default=5)
        found: list[list[list[tuple[int, float]]]] = [[] for _ in rows]
        for together, logits in reading.filled(self.network, rows, self.tokenizer.specials.get("pad", 0)):
            best = torch.softmax(logits.float(), -1).topk(min(k, logits.shape[-1]))
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            masks = iter([list(zip(ids, values, strict=True)) for ids, values in pairs])
            for place in together:
                found[place] = list(islice(masks, rows[place].masks))
        return found

    def attend(self, text: str, other: str | None = None) -> "list[AttentionHead]":
        """Where each head of each layer looks in a text, or in a pair: of two texts, or of a source and its target."""
        self._needs("attend")
        from stemma.runs.attention_heads import heads_of

        ids = self.tokenizer.encode(given_text(text)).tolist()
        second = None if other is None else self.tokenizer.encode(given_text(other, "the other text")).tolist()
        batch = self.network.attention_batch(ids, second)
        self._fits(max(tensor.shape[1] for tensor in batch.values()))
        return heads_of(self.network.attention(batch), self.tokenizer)

    @cached_property
    def masks(self) -> "Masks":
        """What its objective hides of a text; UsageError where it hides nothing, or the run is kept in memory."""
        from stemma.runs.masks import Masks

        if self.folder is None:
            raise UsageError(
                "a run kept in memory", "the settings of its objective, which a run folder has", "save it, and name its folder"
            )
        return Masks(self.folder, tokenizer=self.tokenizer)

    def nearest(self, query: str, k: int = 10, restrict: int = FREQUENT) -> list[tuple[str, float]]:
        """The `k` words of highest cosine with a word's vector, or with a sum of them such as `king - man + woman`.

        `restrict` seeks them among that many of the most frequent words, 0 among all.
        """
        return self.words.nearest(
            given_text(query, "the word"), whole("k", k, 1, default=10), whole("restrict", restrict, default=FREQUENT)
        )

    def outlier(self, words: Iterable[str]) -> Outlier:
        """The word that fits the others least, by its mean cosine with them."""
        return self.words.outlier(given_texts(words, "words"))

    def word_vectors(self) -> np.ndarray:
        """One vector a word of the vocabulary, in the order of ids (V D); zeros for words that were never trained."""
        self._needs("nearest")
        return self.network.word_vectors()

    @cached_property
    def widths(self) -> list[int]:
        """The numbers in a state of each layer that it gives vectors of, the embeddings first."""
        return [self.network.width] if self.row.updates == "by hand" else reading.widths(self.network)

    @cached_property
    def words(self) -> WordVectors:
        """The word vectors, found by word; specials, which no text can write, are not among them."""
        vectors, counts = self.word_vectors(), self._counts
        compose = self._composed if self.network.composes else None
        return WordVectors(self.tokenizer.texts, vectors, counts, specials=tuple(self.tokenizer.specials.values()), compose=compose)

    @cached_property
    def _counts(self) -> np.ndarray | None:
        """How often the corpus has each token (V), where the run keeps that."""
        return self.folder.tensors().get("counts") if self.folder is not None else None

    def composes(self, word: str) -> bool:
        """True when the word was never seen and its vector would be composed of its character n-grams."""
        return self.network.composes and self.words.row(word) is None

    def _composed(self, word: str) -> np.ndarray | None:
        return self.network.compose(word.lower() if self.tokenizer.config.lowercase else word)

    def _states(self, encoded: Encoded, layer: int | None, pooling: Pooling = TOKENS) -> Iterator[tuple[reading.Piece, np.ndarray]]:
        """The states of the texts' pieces; words never seen get composed vectors where the network has them."""
        rows = self._cut(encoded.rows, pooling.max_length)
        for piece, states in self._read(rows, layer, encoded.beside, pooling.framed):
            unknown = np.flatnonzero(piece.ids == self.tokenizer.specials.get("unk")).tolist() if self._composes else []
            text = encoded.texts[piece.text]
            spans = self.tokenizer.encode_offsets(text)[1] if unknown else []
            for place in unknown:
                vector = self._composed(text[slice(*spans[piece.first + place])])
                if vector is not None:
                    states[:, place] = vector
            yield piece, states

    def _cut(self, texts: list[np.ndarray], most: int) -> list[np.ndarray]:
        """The ids of the texts within `most` positions, specials included (0: all), with a warning where some do not fit."""
        if not most:
            return texts
        room = max(1, most - len(self.network.frame([])[0]))
        if cut := sum(len(ids) > room for ids in texts):
            warnings.warn(
                f"{cut:,} of {len(texts):,} texts were cut to {counted(most, 'token')}, which is what this run reads of one", stacklevel=5
            )
        return [ids[:room] for ids in texts]

    def _read(
        self, texts: Sequence[np.ndarray], layer: int | None, beside: Batch, framed: bool = False
    ) -> Iterator[tuple[reading.Piece, np.ndarray]]:
        by_hand = self.row.updates == "by hand"
        return reading.static_states(self.network, texts) if by_hand else reading.states(self.network, texts, layer, beside, framed)

    @property
    def _composes(self) -> bool:
        """True where words never seen get vectors made of their parts."""
        return "nearest" in self.row.abilities and self.network.composes

    def _tokenised(self, texts: Iterable[str] | Encoded) -> Encoded:
        return texts if isinstance(texts, Encoded) else self.encode(texts)

    def _encoded(self, sentences: Sequence[str], adjoining: Sequence[bool] = ()) -> Encoded:
        ids, lengths = self.tokenizer.encode_flat(sentences, adjoining)
        vocabulary = self._vocabulary
        own = vocabulary.numbered(ids, sentences, adjoining)
        return Encoded(tuple(sentences), tuple(adjoining), ids, own, np.concatenate([[0], np.cumsum(lengths)]), vocabulary.beside)

    @property
    def _vocabulary(self) -> OpenVocabulary:
        """What encodes the texts of one call."""
        return OpenVocabulary(self.tokenizer, self.network if self.row.reads_spelling else None)

    def _readable(self, likely: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
        return [(self.tokenizer.text(token), p) for token, p in likely]

    def warn_of_doubts(self) -> None:
        """Warns, once, where the run has learnt so little that what it gives says nothing; its word vectors warn for themselves."""
        if "_doubted" not in self.__dict__:
            self._doubted = True
            for doubt in self.doubts:
                warnings.warn(f"{self.path}: {doubt.told}; what it gives says little", stacklevel=4)

    @property
    def doubts(self) -> list[Doubt]:
        """Why not to trust the run: it learnt for a handful of steps, or has not left the baseline of word frequencies."""
        try:
            done = self.folder.done() if self.folder is not None else {}
        except DamagedError as error:  # nothing is computed with the log
            return [Doubt("unreadable", f"nobody knows how it was trained, since {error.wrong}")]
        few = done.get("steps")
        steps = [Doubt("steps", f"it learnt for {counted(few, 'step')} alone", few)] if isinstance(few, int) and few < HANDFUL else []
        stuck = [Doubt("baseline", "its held-out loss has not left the baseline of word frequencies")]
        stuck = stuck if done.get("left_baseline") is False else []
        return steps + stuck

    def require(self, ability: Ability) -> None:
        """UsageError, naming the generations that can, where the run cannot do it."""
        if ability not in self.row.abilities:
            own = f"{self.row.name} can {', '.join(self.row.abilities)}"
            raise UsageError(f"{self.row.name} cannot {ability}", f"these can: {able(ability)}", f"name a run of one of these; {own}")

    def _needs(self, ability: Ability) -> None:
        self.require(ability)
        self.warn_of_doubts()

    def _fits(self, length: int) -> None:
        most = self.network.max_length
        if most is not None and length > most:
            raise DataError(f"the text has {counted(length, 'token')}", f"at most {most} (model.max_length)", "shorten it")

    def _scored(self, encoded: Encoded, parts: np.ndarray, characters: list[int], ends: bool = True) -> list[Score]:
        """One score for each part: the sentences between two borders of `parts`."""
        self._needs("score")
        starts, surprises, beside = encoded.starts, self._surprises, encoded.beside
        read = surprises(encoded.own, starts, parts, beside) if ends else surprises.uncut(encoded.own, starts[parts], beside)
        nats, borders = read.nats, read.borders
        places = np.flatnonzero(read.unknown)
        owners, number = np.searchsorted(borders, places, side="right") - 1, len(borders) - 1
        lost, unknowns = np.bincount(owners, nats[places], number).tolist(), np.bincount(owners, minlength=number).tolist()
        spelt = encoded.texts, encoded.ids, starts, parts, encoded.adjoining
        spelling = self._spelling_nats(*spelt) if len(places) else [0.0] * number
        columns = _sums(nats, borders), np.diff(borders).tolist(), characters, unknowns, lost, spelling
        return list(map(partial(tuple.__new__, Score), zip(*columns, strict=True)))  # Score._make, without a call of Python's

    def _spelling_nats(
        self, sentences: Sequence[str], ids: np.ndarray, starts: np.ndarray, parts: np.ndarray, adjoining: Sequence[bool] = ()
    ) -> list[float | None]:
        """What the spelling of each part's unknown tokens costs; `ids` are those of the sentences, with their borders `starts`."""
        if self._spelling is None:
            return [None] * (len(parts) - 1)
        lacking = self.lacks(ids)
        owners = np.searchsorted(starts, np.flatnonzero(lacking), side="right") - 1
        some = np.zeros(len(sentences), bool)
        some[owners] = True
        chosen, alone = lacking[np.repeat(some, np.diff(starts))], list(compress(adjoining, some))
        spelt = self.tokenizer.spellings(list(compress(sentences, some)), chosen, alone)
        return _sums(np.bincount(owners, self._spelling.nats(spelt), len(sentences)), parts)

    @cached_property
    def _spelling(self) -> "Spelling | None":
        """The model of how unknown words are spelt; None in runs whose tokenizer tells of none."""
        from stemma.runs.unknown_words import Spelling  # compiled code: only where it is used

        return Spelling(self.tokenizer.outside) if self.tokenizer.outside else None

    @cached_property
    def _surprises(self) -> reading.Reader:
        """How this generation reads text to score it."""
        unknown = self.tokenizer.specials.get("unk", -1)
        lacks = self.network.lacks if self.row.reads_spelling else lambda ids: ids == unknown
        return reading.READERS[self.row.scores_by](self.network, self.tokenizer.specials["eos"], lacks)


def _flat(documents: Sequence[Document]) -> tuple[list[str], np.ndarray, list[bool]]:
    """The sentences of all documents, the documents' borders among them, and which sentences adjoin what stands before them."""
    sentences = list(chain.from_iterable(document.sentences for document in documents))
    parts = np.cumsum([0, *(len(document.sentences) for document in documents)])
    return sentences, parts, list(chain.from_iterable(document.adjoining for document in documents))


def unit(vectors: np.ndarray) -> np.ndarray:
    """The rows (N D) at length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: np.ndarray = vectors / np.where(lengths > 0, lengths, 1)
    return found


def warn_of_unknown(texts: Sequence[str], known: np.ndarray, so: str) -> None:
    """Warns of the texts that have no word that a run knows, if any, and says what that means."""
    unknown = np.flatnonzero(~known).tolist()
    if unknown:
        first = texts[unknown[0]]
        shown = repr(first if len(first) <= 40 else first[:37] + "...")
        warnings.warn(f"{len(unknown):,} of {len(texts):,} texts have no known word (the first is {shown}): {so}", stacklevel=3)


def placed(spans: list[tuple[int, int]], text: str, given: str) -> list[tuple[int, int]]:
    """Spans of the cleaned text as spans of the text as it was given."""
    if text == given:
        return spans
    places = kept_places(given)
    return [(places[start], places[end - 1] + 1) if end > start else (0, 0) for start, end in spans]


def _sums(values: np.ndarray, borders: np.ndarray) -> list:
    """The sum of the values between each two borders."""
    sums = np.add.reduceat(np.append(values, 0.0), borders[:-1])  # one value more, for an empty part at the end to begin with
    sums[borders[1:] == borders[:-1]] = 0  # reduceat gives the next value there
    return sums.tolist()
