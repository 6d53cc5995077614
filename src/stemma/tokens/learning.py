"""Learning the pieces: WordPiece, byte-level BPE, unigram. The same text gives the same pieces, bit for bit."""

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from stemma.errors import DataError
from stemma.tokens.chinese import chosen
from stemma.tokens.outside import rarest
from stemma.tokens.pieces import SPACE, Pieces, pipeline, unigram_normaliser
from stemma.tokens.sample import batches, even_sample
from stemma.tokens.scripts import PLACES, codes_of
from stemma.tokens.settings import SPECIALS, Config

CHARACTER_SHARE = 0.75  # of the vocabulary at most for single characters (a Chinese text has thousands)


def learn(texts: Iterator[str], config: Config) -> Pieces:
    """The kind's pieces, learnt from an even sample of the texts."""
    sample, _ = even_sample(texts, config.train_characters)
    if not any(map(str.strip, sample)):
        raise DataError("no text to learn a tokenizer from", "at least one word", "check the corpus with `stemma corpus check`")
    learners = {"wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram}
    rust, words = pipeline(config, learners[config.kind](sample, config)), chosen(config.words, sample, config.dictionary)
    found = Pieces(config, rust, words)
    if config.kind == "bpe":  # knows all bytes
        return found
    pieces = found.tokens[len(SPECIALS[config.kind]) :]
    return Pieces(config, rust, words, rarest([piece.removeprefix("##").removeprefix(SPACE) for piece in pieces]))


def _bpe(sample: Sequence[str], config: Config) -> models.Model:
    """Byte-level BPE: the 256 bytes, then the merges (Rust's own choice among equals is by id: fixed)."""
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=[SPECIALS["bpe"]["eos"]],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rust.train_from_iterator(sample, trainer)
    return rust.model


def _wordpiece(sample: Sequence[str], config: Config) -> models.Model:
    """WordPiece by BPE merges, as the `tokenizers` library learns it.

    Its trainer numbers the characters inside words (##a) in the order of a random hash, and that order breaks
    ties between merges. So we number them first, as if they were specials.
    """
    specials = list(SPECIALS["wordpiece"].values())
    normaliser = normalizers.BertNormalizer(lowercase=config.lowercase)
    normal = [normaliser.normalize_str("\n".join(batch)) for batch in batches(sample)]
    kept, inner, rare = _alphabet(normal, config, len(specials))
    rust = Tokenizer(models.WordPiece({}, unk_token=SPECIALS["wordpiece"]["unk"]))
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocab_size,
        special_tokens=specials + [f"##{c}" for c in inner],
        initial_alphabet=kept,
        show_progress=False,
    )
    rust.train_from_iterator((text.translate(rare) for text in normal), trainer)
    return rust.model


def _alphabet(normal: Sequence[str], config: Config, specials: int) -> tuple[list[str], list[str], dict[int, str]]:
    """The characters kept, those kept that stand inside words too, and the rare ones, to be read as spaces.

    The most frequent come first (ties by code point), while they take no more than their share of the vocabulary.
    """
    counts = np.zeros(PLACES, dtype=np.int64)
    inside = np.zeros(PLACES, dtype=bool)
    for text in normal:
        codes = codes_of(text)
        seen, times = np.unique(codes, return_counts=True)
        counts[seen] += times
        breaks = np.zeros(PLACES, dtype=bool)
        breaks[[code for code in seen.tolist() if chr(code).isspace() or _is_punctuation(chr(code))]] = True
        word = ~breaks[codes]
        inside[codes[1:][word[1:] & word[:-1]]] = True
    counts[ord(" ")] = 0
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    places = np.cumsum(1 + inside[order])
    kept = order[(counts[order] >= config.min_count) & (places <= CHARACTER_SHARE * (config.vocab_size - specials))]
    rare = {int(code): " " for code in np.setdiff1d(order, kept)}
    return [chr(c) for c in sorted(kept)], [chr(c) for c in sorted(kept[inside[kept]])], rare


def _is_punctuation(character: str) -> bool:
    """BERT's own notion: every ASCII symbol, and Unicode's punctuation."""
    if character.isascii():
        return not character.isalnum()
    return unicodedata.category(character)[0] == "P"


def _unigram(sample: Sequence[str], config: Config) -> models.Model:
    from stemma.tokens.unigram import learn_pieces  # compiled code: only where it is used

    specials = [(special, 0.0) for special in SPECIALS["unigram"].values()]
    num_pieces = config.vocab_size - len(specials)
    normalise = unigram_normaliser(config).normalize_str
    pieces = learn_pieces(sample, normalise, num_pieces, int(CHARACTER_SHARE * num_pieces), config.min_count)
    return models.Unigram(specials + pieces, unk_id=1)
