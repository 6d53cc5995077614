"""The tokenizer's settings, the special tokens of each kind, and what a network needs to know of a tokenizer."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from stemma.bounds import Finite, Natural, Positive, VocabSize
from stemma.config import ReadIf, nearest
from stemma.errors import UsageError

Kind = Literal["word", "whitespace", "char", "wordpiece", "bpe", "unigram"]

_KENLM = {"unk": "<unk>", "bos": "<s>", "eos": "</s>"}  # KenLM's ids: 0, 1, 2
SPECIALS: dict[str, dict[str, str]] = {  # role -> how it is written; ids in order of first mention
    "word": _KENLM,
    "whitespace": _KENLM,
    "char": _KENLM,
    "wordpiece": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "bpe": {"eos": "<|endoftext|>", "bos": "<|endoftext|>"},
    "unigram": {"pad": "<pad>", "unk": "<unk>", "cls": "<cls>", "sep": "<sep>", "mask": "<mask>", "eos": "</s>", "bos": "<s>"},
}

OTHERWISE = {"unigram": {"cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}}  # as other programs write them (ALBERT)

SPACED = ("bpe", "unigram")  # kinds that put a space before a text, but where one adjoins what stands before it
SPACES_VERSION = 1  # of that rule: before, they put one before each sentence

COUNTED, LEARNT = ReadIf("kind", "word", "whitespace", "char", "wordpiece", "unigram"), ReadIf("kind", "wordpiece", "bpe", "unigram")
CASED, OF_WORDS = ReadIf("kind", "word", "char", "wordpiece", "unigram"), ReadIf("kind", "word", "whitespace")
CUT = ReadIf("kind", "word", "char", "wordpiece", "bpe", "unigram")  # before anything else, Chinese words from one another

LEAST = {"wordpiece": 32, "bpe": 257, "unigram": 32}  # vocab_size; bpe begins with all bytes


@dataclass(frozen=True)
class Config:
    """How text is cut into tokens and how the vocabulary is learnt."""

    kind: Kind = "wordpiece"  # what a token is: words, what stands between spaces, characters, or pieces learnt from the text
    vocab_size: VocabSize = 8192  # tokens at most, specials included; 0: no limit (word, whitespace, char)
    lowercase: Annotated[bool, CASED] = False  # wordpiece then drops accents too
    min_count: Annotated[Positive, COUNTED] = 1  # a word (wordpiece, unigram: a character) seen less often is unknown
    words: Annotated[Literal["auto", "rjieba", "given"], CUT] = "auto"  # what cuts Chinese words: given = spaces in the text
    dictionary: Annotated[str, CUT] = ""  # a file of words for rjieba to know too, one a line, perhaps with a count; kept in tokenizer.json
    phrases: Annotated[Natural, OF_WORDS] = 0  # passes that join words which belong together, new_york
    phrase_score: Annotated[Literal["ratio", "npmi"], ReadIf("phrases")] = "ratio"  # word2phrase's, or pointwise mutual information
    phrase_threshold: Annotated[Finite, ReadIf("phrases")] = 100.0  # of the last pass; a ratio's is doubled before. npmi: below 1
    train_characters: Annotated[Natural, LEARNT] = 10_000_000  # they learn from an even sample of at most this many; 0: all

    def __post_init__(self) -> None:
        """Refuses what the kind cannot honour."""
        kind, size = self.kind, self.vocab_size
        if kind not in get_args(Kind):
            raise UsageError(f"tokenizer.kind = {kind!r}", "a kind of tokenizer", nearest(kind, get_args(Kind)))
        if self.lowercase and kind in ("whitespace", "bpe"):
            raise UsageError(f"tokenizer.lowercase = true with kind = {kind}", "text as it stands", "drop lowercase, or set kind = word")
        if self.words != "auto" and kind == "whitespace":
            raise UsageError(
                f"tokenizer.words = {self.words} with kind = {kind}", "words that spaces part", "drop words, or set kind = word"
            )
        if self.dictionary and (self.words == "given" or kind == "whitespace"):
            other = f"kind = {kind}" if kind == "whitespace" else "words = given"
            wrong = f"tokenizer.dictionary = {self.dictionary} with {other}"
            raise UsageError(wrong, "Chinese words that rjieba cuts", "drop dictionary, or set kind = word and words = rjieba")
        if self.phrases and kind not in ("word", "whitespace"):
            raise UsageError(
                f"tokenizer.phrases = {self.phrases} with kind = {kind}", "a kind made of words", "drop phrases, or set kind = word"
            )
        if self.phrases and self.phrase_score == "npmi" and not -1 <= self.phrase_threshold < 1:
            wrong = f"tokenizer.phrase_threshold = {self.phrase_threshold:g} with phrase_score = npmi"
            raise UsageError(wrong, "a value from -1 to 1", "set phrase_threshold = 0.5, for example")
        least = LEAST.get(kind, 4)
        if size < least and (size > 0 or kind in LEAST):
            raise UsageError(f"tokenizer.vocab_size = {size} with kind = {kind}", f"at least {least}", f"set vocab_size to {least} or more")


def special_ids(kind: str) -> dict[str, int]:
    """Role -> id: the specials are the first ids, one for each way of writing."""
    written = list(dict.fromkeys(SPECIALS[kind].values()))
    return {role: written.index(token) for role, token in SPECIALS[kind].items()}
