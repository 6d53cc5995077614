"""What a masked language model reads of a text and what it must predict there: the masks of its objective, drawn as in training."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stemma.checkpoint import RunFolder
from stemma.config import Settings, as_texts, check_read, parse_settings, resolve
from stemma.errors import UsageError
from stemma.lineage.table import TABLE, find
from stemma.objectives.batch import IGNORE
from stemma.objectives.masked import Draws, choose, mask_tokens
from stemma.objectives.pairs import Config, Pairs
from stemma.tokens.tokenizer import Tokenizer

Became = Literal["hidden", "drawn", "kept", ""]


@dataclass(frozen=True)
class MaskedText:
    """A text as an instance of its own, or a part of one that is too long for that. T tokens, without the specials round them."""

    text: str
    spans: list[tuple[int, int]]  # (T) of each token in the text
    begins: list[bool]  # (T) does it begin a word
    reads: list[str]  # (T) what the network reads
    labels: list[str | None]  # (T) what it must predict; None where it predicts nothing
    hidden: list[bool]  # (T) does it read the mask there

    @property
    def words(self) -> list[range]:
        """The tokens of each word."""
        starts = np.flatnonzero(self.begins).tolist()
        return [range(start, end) for start, end in zip(starts, [*starts[1:], len(self.begins)], strict=True)]

    def became(self, place: int) -> Became:
        """What stands for a token that must be predicted: the mask, another token, itself; empty where nothing must."""
        if self.labels[place] is None:
            return ""
        return "hidden" if self.hidden[place] else "kept" if self.reads[place] == self.labels[place] else "drawn"

    def stretches(self, word: range) -> list[tuple[str, bool]]:
        """The word as it is spelt, parted where what must be predicted begins and ends, and whether it must."""
        places = [list(group) for _, group in groupby(word, lambda place: self.labels[place] is None)]
        starts = [self.spans[group[0]][0] for group in places]
        ends = [*starts[1:], self.spans[word[-1]][1]]
        return [(self.text[a:b], self.labels[group[0]] is not None) for a, b, group in zip(starts, ends, places, strict=True)]

    def row(self) -> dict[str, Any]:
        """As JSON: places of tokens and of words in the text, what is read, what must be predicted, and what stands there then."""
        became = [self.became(place) for place in range(len(self.labels))]
        words = [(self.spans[word[0]][0], self.spans[word[-1]][1]) for word in self.words]
        return {"text": self.text, "spans": self.spans, "words": words, "reads": self.reads, "labels": self.labels, "became": became}


class Masks:
    """The masks that the objective of the run in `folder` draws; other `settings` of the section `objective` win over the run's own."""

    def __init__(self, folder: RunFolder, settings: Settings = (), tokenizer: Tokenizer | None = None) -> None:
        path = folder.path
        if "task" in folder.config:
            mend = "name the run that it was made from"
            raise UsageError(f"{path} is fine-tuned on a task", "a folder made by stemma pretrain", mend)
        row = find(folder.config["identity"]["generation"])
        if row.load_data() is not Pairs:
            able = ", ".join(other.name for other in TABLE if other.ready and other.load_data() is Pairs)
            raise UsageError(f"{path} is a run of {row.name}, which masks nothing", f"a run of one of these: {able}", "name another run")
        sections = folder.config["sections"]
        own = sections.get("objective") or row.presets()["base"].get("objective", {})  # another program's model: as the paper masks
        other = ("--set", parse_settings(as_texts(settings)))
        configs = resolve({"objective": Config}, (str(path), {"objective": own}), other)
        check_read(configs, other)
        self._config: Config = configs["objective"]
        if not self._config.mask_share:
            wrong = f"{path} masks nothing: objective.mask_share = 0"
            raise UsageError(wrong, "a share of the tokens to mask", "write --set objective.mask_share=0.15")
        self._room = sections["model"]["max_length"] - 2
        self._tokenizer = tokenizer or Tokenizer.load(folder.guarded("tokenizer.json"))

    @classmethod
    def open(cls, path: Path, settings: Settings = ()) -> "Masks":
        """Those of the run in this folder, finished or not."""
        return cls(RunFolder.open(path), settings)

    def of(self, texts: Iterable[str], seed: int = 0) -> Iterator[MaskedText]:
        """Each text with its masks, in parts where it is longer than an instance; one without a token is left out."""
        before = 0  # positions of the texts so far: each has draws of its own
        for text in texts:
            ids, _, begins = self._tokenizer.encode_words([text])
            _, spans = self._tokenizer.encode_offsets(text)
            assert begins is not None  # of kinds with a mask
            for first in range(0, len(ids), self._room):
                part = slice(first, first + self._room)
                yield self._masked(text, ids[part].astype(np.int64), spans[part], begins[part], (seed, before))
                before += self._room + 2

    def _masked(self, text: str, ids: np.ndarray, spans: list[tuple[int, int]], begins: np.ndarray, drawn: tuple[int, int]) -> MaskedText:
        """The part with the masks of `drawn`: a seed, and how many positions of it are used up."""
        specials, masking, (seed, before) = self._tokenizer.specials, self._config.masking, drawn
        framed = np.array([[specials["cls"], *ids.tolist(), specials["sep"]]])
        candidates = np.ones(framed.shape, bool)
        candidates[0, [0, -1]] = False
        words = np.ones(framed.shape, bool)
        if self._config.units != "pieces":
            words[0, 1:-1] = begins
        draws = Draws.at(seed, before + np.arange(framed.size)[None])
        chosen = choose(np.ones(framed.shape, np.int64), candidates, words, masking, draws)
        read, labels = mask_tokens(framed, chosen, masking, specials["mask"], self._tokenizer.vocab_size, draws)
        name = self._tokenizer.text
        named = [None if label == IGNORE else name(label) for label in labels[0, 1:-1].tolist()]
        hidden = ((read == specials["mask"]) & (labels != IGNORE))[0, 1:-1].tolist()
        return MaskedText(text, spans, begins.tolist(), list(map(name, read[0, 1:-1].tolist())), named, hidden)
