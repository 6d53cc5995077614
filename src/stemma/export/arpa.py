r"""ARPA files, the common format of n-gram models: out of a model, and back into one.

Written as KenLM's lmplz writes them: unigrams by word id, longer n-grams in suffix order, a back-off on every n-gram
that could have one. Read as others write them too: spaces for tabs, missing back-offs, comments before `\data\`,
`<UNK>` for `<unk>`, n-grams whose prefix or ending is missing, gz, bz2 and xz.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemma.export.arpa_parse import SPECIALS, UNKNOWNS, parse_arpa
from stemma.export.ngram_links import link_ngrams, sort_keys
from stemma.export.spelling import joined, named, spelled
from stemma.export.streams import writing
from stemma.kernels import arpa_lines
from stemma.kernels.decimals import NUMBER
from stemma.kernels.numbers import ABSENT, END, UNKNOWN
from stemma.lineage.ngram import Config, Ngram

LINES_AT_ONCE = 1 << 16
_RESERVED = {*SPECIALS, *(name.decode() for name in UNKNOWNS)}  # what no other word may be called in a file


@dataclass(frozen=True)
class ArpaModel:
    """A model read from an ARPA file, and the spelling of its tokens: <unk> 0, <s> 1, </s> 2, then as in the file."""

    network: Ngram
    tokens: list[str]


def write_arpa(network: Ngram, tokens: Sequence[str], path: Path | str) -> None:
    """Writes the model; `tokens[i]` spells token i. Compressed if the path ends in .gz, .bz2 or .xz."""
    spelling, borders = joined(_names(network, tokens))
    unlisted = network.implied if network.unknown_token is not None else np.union1d(network.implied, [UNKNOWN])
    offsets = _offsets(network)
    sizes = np.diff(offsets) - np.histogram(unlisted, offsets)[0]
    with writing(Path(path)) as file:
        file.write(("\\data\\\n" + "".join(f"ngram {n}={size}\n" for n, size in enumerate(sizes, 1))).encode())
        for n, (words, rows, first) in enumerate(_orders(network), 1):
            file.write(f"\n\\{n}-grams:\n".encode())
            rows = rows[~np.isin(rows + first, unlisted)] if len(unlisted) else rows
            log10_probs = network.log10_probs[first : first + len(words)].astype(np.float32)
            backoffs = network.log10_backoffs[first : first + len(words)] if n < network.config.order else np.empty(0)
            for chunk in _lines(words, rows, log10_probs, backoffs.astype(np.float32), spelling, borders):
                file.write(chunk)
        file.write(b"\n\\end\\\n")


def _names(network: Ngram, tokens: Sequence[str]) -> list[bytes]:
    """The spelling of each word id."""
    names = [""] * int(network.sizes[0])
    for token in np.flatnonzero((network.words != ABSENT) & (network.words > END)).tolist():
        names[network.words[token]] = tokens[token]
    specials = [special.encode() for special in SPECIALS]
    return specials + spelled(names[len(SPECIALS) :], "ARPA", _RESERVED)


def _lines(
    words: np.ndarray, rows: np.ndarray, log10_probs: np.ndarray, backoffs: np.ndarray, spelling: np.ndarray, borders: np.ndarray
) -> Iterator[memoryview]:
    lengths = np.diff(borders)
    for begin in range(0, len(rows), LINES_AT_ONCE):
        chosen = rows[begin : begin + LINES_AT_ONCE]
        ngrams = words[chosen]
        out = np.empty(int(lengths[ngrams].sum()) + len(chosen) * (2 * NUMBER + words.shape[1] + 2), np.uint8)
        size = arpa_lines.put_lines(ngrams, log10_probs[chosen], backoffs[chosen] if len(backoffs) else backoffs, spelling, borders, out)
        yield out[:size].data


def _orders(network: Ngram) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """For each order: the n-grams' words (context order), their rows in suffix order, and the model's row of the first."""
    offsets = _offsets(network)
    words = np.arange(offsets[1], dtype=np.uint32)[:, None]
    order = np.arange(offsets[1], dtype=np.uint32)
    yield words, order, 0
    for n in range(2, network.config.order + 1):
        base, start, stop = (int(x) for x in offsets[n - 2 : n + 1])
        borders = network.successors[base : start + 1].astype(np.int64)
        words = np.column_stack([np.repeat(words, borders[1:] - borders[:-1], axis=0), network.last_words[start:stop]])
        rank = np.empty(start - base, np.uint32)
        rank[order] = np.arange(start - base, dtype=np.uint32)
        suffixes = network.suffixes[start:stop] - np.uint32(base)
        order, _ = sort_keys(rank[suffixes], start - base)  # of one suffix, the first words rise already
        yield words, order, start


def _offsets(network: Ngram) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(network.sizes)])


def read_arpa(path: Path | str) -> ArpaModel:
    """Reads a model, compressed or not. DataError names the line that is wrong."""
    spellings, orders, knows_unknown = parse_arpa(Path(path))
    names = [name if (name := named(spelling)) not in SPECIALS else spelling for spelling in spellings[len(SPECIALS) :]]
    tokens = [*SPECIALS, *names]
    if len(set(tokens)) < len(tokens):  # another program's, which means no escape by it
        tokens = spellings
    arrays = link_ngrams(Path(path).name, orders)
    arrays["words"] = np.arange(len(tokens), dtype=np.uint32)
    if not knows_unknown:
        arrays["implied"] = np.append(arrays["implied"], np.uint32(UNKNOWN))
    arrays["discounts"], arrays["uniform"] = np.zeros((len(orders), 7)), np.array([np.nan])
    config = Config(order=len(orders))
    return ArpaModel(Ngram(config, arrays, END, UNKNOWN if knows_unknown else None), tokens)
