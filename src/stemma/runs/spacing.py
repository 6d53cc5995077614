"""What a tokenizer keeps of a text, and the price of the white space that it does not keep.

A model predicts tokens, and tokens give back the text in the tokenizer's normal form. Where that is the text itself,
nothing is owed. Where visible characters differ (letters without their case or accents, NFKC, characters left out) the
text was not predicted. Where white space alone differs, it is coded after all the tokens: the white space r between two
visible characters, given the white space d that the normal form has there and the kinds k, l of the two,

    P(r | d, k, l) = (n(r; d, k, l) + B(r)) / (n(d, k, l) + 1)

with n the counts of what was coded before (Krichevsky & Trofimov 1981, for none or one space), and B(r) a half to the
power of 1 + len(r), a white character being a space in three of four cases, else one of the other 24 of Unicode.
The sum over all r is one, so this is a code, and a reader of the tokens can undo it.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from stemma.corpus.document import Document
from stemma.corpus.sentences import is_unspaced
from stemma.tokens.settings import SPACED
from stemma.tokens.tokenizer import Tokenizer

_GAPS = re.compile(r"(\s*)\S")
_LETTER, _DIGIT, _UNSPACED = "letter", "digit", "unspaced"
_SHOWN = 24  # characters of an example
_OTHER_SPACES = 24  # white characters of Unicode but the space


class Kept(NamedTuple):
    """What the white space of each text costs beyond its tokens, and why a text cannot be rebuilt from them ("": it can)."""

    nats: np.ndarray  # (texts)
    why_not: str = ""


def spacing(tokenizer: Tokenizer, documents: Sequence[Document]) -> Kept:
    """What is owed beside the tokens of the documents, their unknown tokens taken as spelt."""
    texts, returned = [document.text for document in documents], [_returned(tokenizer, document) for document in documents]
    if texts == returned:
        return Kept(np.zeros(len(texts)))
    for text, back in zip(texts, returned, strict=True):
        if _visible(text) != _visible(back):
            return Kept(np.full(len(texts), np.nan), _difference(text, back))
    counts: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    return Kept(np.array([_code(document, back, counts) for document, back in zip(documents, returned, strict=True)]))


def _returned(tokenizer: Tokenizer, document: Document) -> str:
    """The document as its tokens give it back; where it goes on with another, the space that some kinds put before it is there too."""
    ahead = " " if document.lead and tokenizer.kind in SPACED else ""
    return ahead + tokenizer.give_back(document.sentences, document.adjoining)


def _code(document: Document, back: str, counts: defaultdict[tuple[str, str, str], Counter[str]]) -> float:
    """Nats of the white space in the document, given its normal form; learns from it."""
    nats, first = 0.0, document.lead is None  # nothing stands before a whole document
    around = list(pairwise(["", *map(_kind, _visible(document.text))]))[first:]
    gaps, given_gaps = _GAPS.findall(document.text)[first:], _GAPS.findall(back)[first:]
    for gap, given, (before, after) in zip(gaps, given_gaps, around, strict=True):
        seen = counts[given, before, after]
        nats -= math.log((seen[gap] + _rarity(gap)) / (seen.total() + 1))
        seen[gap] += 1
    return nats


def _rarity(gap: str) -> float:
    """B of white space before anything was seen."""
    others = len(gap) - gap.count(" ")
    return 0.5 ** (len(gap) + 1) * 0.75 ** (len(gap) - others) * (0.25 / _OTHER_SPACES) ** others


def _kind(character: str) -> str:
    """Letters of one class, digits of one, those of scripts without spaces of one; every mark is its own."""
    if is_unspaced(character) and character.isalnum():
        return _UNSPACED
    return _LETTER if character.isalpha() else _DIGIT if character.isdigit() else character


def _visible(text: str) -> str:
    return "".join(text.split())


def _difference(text: str, back: str) -> str:
    """Where the text that comes back is another, in words."""
    kept = _visible(back)
    places = [place for place, character in enumerate(text) if not character.isspace()]
    first = next((n for n, place in enumerate(places) if n >= len(kept) or kept[n] != text[place]), len(places))
    places_back = [place for place, character in enumerate(back) if not character.isspace()]
    shown = text[places[first] :][:_SHOWN] if first < len(places) else ""
    shown_back = back[places_back[first] :][:_SHOWN] if first < len(places_back) else ""
    return f"its tokenizer does not keep the text ({shown!r} comes back as {shown_back!r}), and what is lost was never predicted"
