"""`stemma show tokens`: how the tokenizer of a run cuts a text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemma.cli.answer import Answer, Printable, Rows
from stemma.cli.texts import texts
from stemma.cli.verb import Files, RunPath, Texts, Verb
from stemma.nouns import counted


@dataclass(frozen=True)
class ShowTokens(Verb):
    r"""Shows how the tokenizer of a run cuts each text; ┊ parts the tokens of one character, whose bytes are written \xe7\xba.

    Example: stemma show tokens runs/bert --text "Pre-training 预训练"
    """

    run_folder: RunPath  # a run folder, or a tokenizer.json
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own

    def run(self) -> Printable:
        """The tokens of each text, with their ids and the characters they stand for."""
        from stemma.runs import answers
        from stemma.tokens.tokenizer import Tokenizer

        tokenizer = Tokenizer.load(_tokenizer_file(self.run_folder))
        rows = (answers.tokens(tokenizer, [text]).rows()[0] for text in texts(self.text, self.files))
        return Rows(rows, lambda row: [_bars(row)]) if self.json else Answer(None, map(_bars, rows))


def _tokenizer_file(given: str) -> Path:
    path = Path(given)
    return path / "tokenizer.json" if path.is_dir() else path


def _bars(row: dict[str, Any]) -> str:
    """The tokens between bars, thinner ones inside a character; of JSON's `spans` those that overlap tell the same."""
    counts = f"{counted(len(row['tokens']), 'token')}, {counted(len(row['text']), 'character')}"
    cut, before = "", 0
    for token, (start, end) in zip(row["tokens"], row["spans"], strict=True):
        cut += (" ┊ " if start < before else " │ ") + token.replace(" ", "␣")
        before = end
    return f"{cut[3:]}   ({counts})"
