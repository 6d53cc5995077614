"""`stemma show masks`: what a masked language model reads of a text, and what it must predict."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stemma.bounds import MOST_SEED, whole
from stemma.cli.answer import Answer, Form, Printable, Rows
from stemma.cli.texts import texts
from stemma.cli.verb import File, Files, RunPath, Settings, Texts, Verb
from stemma.errors import DataError, UsageError
from stemma.nouns import counted

if TYPE_CHECKING:
    from stemma.runs.masks import MaskedText

PLAIN = {"": "{}", "label": "{{{}}}", "hidden": "{}", "drawn": "‹{}›", "kept": "«{}»"}
COLOURED = {"": "{}", **{name: f"\x1b[{code}m{{}}\x1b[0m" for name, code in (("label", 1), ("hidden", 31), ("drawn", 33), ("kept", 32))}}
SHOWN = {"label": "a", "hidden": "[MASK]", "drawn": "b", "kept": "a"}
LEGEND = "to predict: {}   read in its place: {}, {} (another token) or {} (itself)"


@dataclass(frozen=True)
class ShowMasks(Verb):
    """Shows the masks of each text: its words, what the network reads, and what it must predict.

    Example: stemma show masks runs/bert-wwm --text "使用语言模型来预测下一个词的 probability。"
    """

    run_folder: RunPath  # a run folder of a generation that masks, finished or not
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    settings: Settings = ()  # other masks than the run's, as objective.units=pieces or objective.mask_share=0.15
    seed: int = 0  # other masks of the same kind
    out: File = None  # writes them there as an offline page (.html)

    def run(self) -> Printable:
        """The masked texts, or the page that was written."""
        from stemma.runs.masks import Masks

        if self.out is not None and self.out.suffix != ".html":
            raise UsageError(f"--out {self.out}", "a name that ends in .html", "choose such a name")
        whole("seed", self.seed, 0, MOST_SEED)
        masked = Masks.open(Path(self.run_folder), self.settings).of(texts(self.text, self.files), self.seed)
        return _Masked(masked) if self.out is None else self._drawn(self.out, list(masked))

    def _drawn(self, out: Path, masked: list["MaskedText"]) -> Answer:
        from stemma.evaluation.report import mask_page
        from stemma.tokens.files import write_bytes

        if not masked:
            raise DataError("there is no text to look at", "one text a line or more", "check the input")
        write_bytes(out, mask_page.page(masked).encode())
        return Answer({"out": str(out), "texts": len(masked)}, [f"{out}: {counted(len(masked), 'text')}"])


@dataclass(frozen=True)
class _Masked:
    """Masked texts as they come: coloured for a person, with plain marks into a pipe."""

    texts: Iterable["MaskedText"]
    exit_code: int = 0

    def pieces(self, form: Form) -> Iterator[str]:
        """Three lines a text; one JSON list with `--json`."""
        if form == "document":
            yield from Rows((text.row() for text in self.texts), lambda _: ()).pieces(form)
            return
        marks = COLOURED if form == "person" else PLAIN
        yield LEGEND.format(*(marks[name].format(shown) for name, shown in SHOWN.items())) + "\n"
        for text in self.texts:
            yield "".join(f"{line}\n" for line in ("", *_lines(text, marks)))


def _lines(text: "MaskedText", marks: dict[str, str]) -> Iterator[str]:
    """The words of the text, marked where they must be predicted; what is read; what must be predicted."""
    spelt = ["".join(marks["label"].format(part) if predicted else part for part, predicted in text.stretches(word)) for word in text.words]
    read = [" ".join(marks[text.became(place)].format(text.reads[place]) for place in word) for word in text.words]
    labels = [" ".join(label for place in word if (label := text.labels[place])) for word in text.words]
    yield "text    " + " │ ".join(spelt)
    yield "reads   " + " │ ".join(read)
    yield "predict " + (" │ ".join(filter(None, labels)) or "nothing")
