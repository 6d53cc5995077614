"""A trained run, opened: its tokenizer, its network, and what its generation can do with text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.config import resolve
from stemma.errors import DataError, UsageError
from stemma.lineage import reading
from stemma.lineage.table import Ability, Generation, find
from stemma.lineage.word_vectors import Outlier, WordVectors
from stemma.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Score:
    """How surprised a run is by a text: `nats` over `tokens` predictions, its end included."""

    nats: float
    tokens: int
    characters: int
    unknown: int  # tokens that the vocabulary lacks: their spelling is not in `nats`
    unknown_nats: float  # the part of `nats` that they cost

    @property
    def bits_per_character(self) -> float | None:
        """Comparable across tokenizers; None where a token was unknown, since its spelling was never paid for."""
        return None if self.unknown or not self.characters else float(self.nats / np.log(2) / self.characters)


@dataclass(frozen=True)
class Vectors:
    """The states of one text's tokens: `layers` (L+1 T D), and the characters each token stands for."""

    ids: np.ndarray
    spans: list[tuple[int, int]]
    layers: np.ndarray


class Run:
    """A finished run folder in use."""

    def __init__(self, folder: RunFolder, row: Generation, tokenizer: Tokenizer, network: Any) -> None:
        self.folder, self.row, self.tokenizer, self.network = folder, row, tokenizer, network

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """The run of a finished folder, on the CPU, ready for use."""
        folder = RunFolder.open(Path(path))
        config = folder.config
        row = find(config["identity"]["generation"])
        tokenizer = Tokenizer.load(folder.tokenizer_path)
        model = resolve({"model": row.sections()["model"]}, (str(folder.path), {"model": config["sections"]["model"]}))["model"]
        arrays = folder.tensors()
        if row.learns == "count":
            return cls(folder, row, tokenizer, row.load_network().from_arrays(model, tokenizer.facts(), arrays))
        return cls(folder, row, tokenizer, _network(row, model, tokenizer, arrays))

    @property
    def path(self) -> Path:
        """Where the run stands."""
        return self.folder.path

    @property
    def config(self) -> dict[str, Any]:
        """The resolved sections."""
        return self.folder.config["sections"]

    @cached_property
    def parameters(self) -> int:
        """Numbers that were learnt (for a counting generation: stored)."""
        return sum(int(array.size) for array in self.folder.tensors().values())

    def embed(self, texts: Sequence[str], layer: int = -1) -> np.ndarray:
        """One vector a text (N D): the mean of its tokens' states in `layer` (0: embeddings, -1: the last).

        A text without tokens gets zeros.
        """
        self._needs("embed")
        sums: dict[int, np.ndarray] = {}
        counts = np.zeros(len(texts), np.int64)
        for piece, states in reading.states(self.network, self.tokenizer.encode_batch(texts), layer):
            sums[piece.text] = sums.get(piece.text, 0.0) + states[0].sum(0)
            counts[piece.text] += len(piece.ids)
        width = next(iter(sums.values())).shape[0] if sums else 1
        return np.stack([sums.get(n, np.zeros(width)) / max(1, counts[n]) for n in range(len(texts))]).astype(np.float32)

    def vectors(self, texts: Sequence[str]) -> list[Vectors]:
        """Every token's states in every layer, with its place in the text."""
        self._needs("embed")
        encoded = [self.tokenizer.encode_offsets(text) for text in texts]
        found: dict[int, dict[int, np.ndarray]] = {n: {} for n in range(len(texts))}
        for piece, states in reading.states(self.network, [ids for ids, _ in encoded], None):
            found[piece.text][piece.first] = states
        joined = [
            np.concatenate([parts[first] for first in sorted(parts)], axis=1) if parts else np.zeros((1, 0, 1)) for parts in found.values()
        ]
        return [Vectors(np.asarray(ids), spans, layers) for (ids, spans), layers in zip(encoded, joined, strict=True)]

    def score(self, texts: Sequence[str]) -> list[Score]:
        """The surprise at each text, from its start to its end."""
        return self.score_documents([[text] for text in texts])

    def score_documents(self, documents: Sequence[Sequence[str]]) -> list[Score]:
        """The surprise at each document, given as its sentences.

        Counting models and NNLM read sentence by sentence, as they learn; the others carry the context on from one
        sentence to the next. Texts longer than the model's window are read in windows that overlap by half.
        """
        self._needs("score")
        encoded = iter(self.tokenizer.encode_batch([sentence for document in documents for sentence in document]))
        ids = [[next(encoded) for _ in document] for document in documents]
        read = self._by_counts if self.row.learns == "count" else self._by_documents
        if getattr(self.network, "by_sentence", False):
            read = self._by_sentences
        return [
            Score(float(nats.sum()), len(nats), len(" ".join(document)), int(unknown.sum()), float(nats[unknown].sum()))
            for document, (nats, unknown) in zip(documents, read(ids), strict=True)
        ]

    def generate(
        self, prompt: str = "", *, length: int = 50, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, seed: int = 0
    ) -> str:
        """`prompt` and up to `length` tokens after it; temperature 0 takes the likeliest."""
        self._needs("generate")
        ids = [int(i) for i in self.tokenizer.encode(prompt)] if prompt else []
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        if self.row.learns == "count":
            new = self.network.generate(np.random.default_rng(seed), ids, length, **options)
        else:
            import torch

            framed, _ = self.network.frame(ids)
            new = self.network.generate(framed, length, generator=torch.Generator().manual_seed(seed), **options)
        return self.tokenizer.decode([*ids, *new])

    def fill(self, text: str, k: int = 5) -> list[list[tuple[str, float]]]:
        """For each `[MASK]` in the text, the `k` likeliest tokens with their probabilities."""
        self._needs("fill")
        import torch

        parts = text.split("[MASK]")
        if len(parts) == 1:
            raise UsageError("the text has no [MASK]", "a [MASK] where a token is asked for", 'for example "the [MASK] sat down"')
        mask = self.tokenizer.specials["mask"]
        ids = [int(i) for part in self.tokenizer.encode_batch(parts) for i in (mask, *part)][1:]
        framed, types = self.network.frame(ids)
        self._fits(len(framed))
        logits = self.network.fill({"ids": torch.tensor([framed]), "types": torch.tensor([types])})
        best = torch.softmax(logits.float(), -1).topk(min(k, logits.shape[-1]))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [[(self.tokenizer.token(i), p) for i, p in zip(ids, values, strict=True)] for ids, values in pairs]

    def nearest(self, asked: str, k: int = 10, restrict: int = 0) -> list[tuple[str, float]]:
        """The `k` words of highest cosine with a word's vector, or with a sum of them such as `king - man + woman`.

        `restrict` seeks them among that many of the most frequent words, 0 among all.
        """
        return self.words.nearest(asked, k, restrict)

    def outlier(self, words: Sequence[str]) -> Outlier:
        """The word that fits the others least, by its mean cosine with them."""
        return self.words.outlier(words)

    def word_vectors(self) -> np.ndarray:
        """One vector a word of the vocabulary, in the order of ids (V D); zeros for words that were never trained."""
        self._needs("nearest")
        return self.network.word_vectors()

    @cached_property
    def words(self) -> WordVectors:
        """The word vectors, to be asked by word; specials, which no text can write, are not among them."""
        vectors, counts = self.word_vectors(), self.folder.tensors().get("counts")
        return WordVectors(self.tokenizer.tokens, vectors, counts, specials=tuple(self.tokenizer.specials.values()))

    def _needs(self, ability: Ability) -> None:
        if ability not in self.row.abilities:
            raise UsageError(
                f"{self.row.name} cannot {ability}", f"a generation that can; it can {', '.join(self.row.abilities)}", "choose another run"
            )

    def _fits(self, length: int) -> None:
        most = self.network.max_length
        if most is not None and length > most:
            raise DataError(f"the text has {length} tokens", f"at most {most} (model.max_length)", "shorten it")

    def _by_counts(self, documents: list[list[np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(nats, which are unknown) of every token and sentence end, document by document."""
        scores = self.network.score([ids for document in documents for ids in document])
        first = 0
        for document in documents:
            events = slice(scores.starts[first], scores.starts[first + len(document)])
            yield -scores.log_probs[events], scores.unknown[events]
            first += len(document)

    def _by_sentences(self, documents: list[list[np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same by a network that begins anew with each sentence."""
        told = self._surprises([ids for document in documents for ids in document])
        for document in documents:
            nats, unknown = zip(*(next(told) for _ in document), strict=True)
            yield np.concatenate(nats), np.concatenate(unknown)

    def _by_documents(self, documents: list[list[np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(nats, which are unknown) of every token and of the document's end, the context carried across its sentences."""
        yield from self._surprises([np.concatenate(document) for document in documents])

    def _surprises(self, texts: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(nats, which are unknown) of every token of each text and of its end."""
        end, lacking = [self.tokenizer.specials["eos"]], self.tokenizer.specials.get("unk")
        ended = [np.concatenate([ids, end]).astype(np.int64) for ids in texts]
        for ids, nats in zip(ended, reading.surprises(self.network, ended), strict=True):
            yield nats, ids == lacking


def _network(row: Generation, model: Any, tokenizer: Tokenizer, arrays: dict[str, np.ndarray]) -> Any:
    import torch

    from stemma.layers.weights import load_weights

    with torch.random.fork_rng(devices=[]):
        network = row.load_network()(model, tokenizer.facts())
    load_weights(network, arrays)
    return network.eval()
