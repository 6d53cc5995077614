"""`stemma score`: what a text costs a run, in nats, perplexity and bits a character."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING, Any

from stemma.cli.aligned import columns, number
from stemma.cli.answer import Printable
from stemma.cli.pretrained import open_pretrained
from stemma.cli.streamed import Streamed
from stemma.cli.texts import BATCH, COUNTED
from stemma.cli.verb import Files, Flag, RunPath, Texts, Verb
from stemma.corpus.document import Document

if TYPE_CHECKING:
    from stemma.runs.run import Run

MOST_NATS = 500  # of which the exponential is still a number


@dataclass(frozen=True)
class Score(Verb):
    """Tells how surprised a run is by each text: its probability, perplexity with and without unknown tokens, bits a character.

    Example: stemma score runs/gpt --text "it was a dark and stormy night"
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one text a line; - or none: standard input
    text: Texts = ()  # a text of its own
    tokens: Flag = False  # shows also what each token cost, and the n-gram that matched

    def run(self) -> Printable:
        """One score a text."""
        run = open_pretrained(self.run_folder, "score")

        def rows(lines: list[str]) -> Iterator[dict[str, Any]]:
            scores, backs = run.score(lines), run.tokenizer.give_back_each(lines)
            for line, score, back, turned in zip(lines, scores, backs, _backward(run, lines), strict=True):
                by_token = {"by_token": [_token_row(token) for token in run.score_tokens(line)]} if self.tokens else {}
                yield {"text": line, **_score_row(score), **turned, **_bits(run, line, score, back), **by_token}

        return Streamed(rows, _shown, self.text, self.files, COUNTED if run.row.learns == "count" else BATCH)


def _score_row(score: Any) -> dict[str, Any]:
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


def _backward(run: "Run", lines: list[str]) -> list[dict[str, float]]:
    """Nats of each line read from its end to its start, its start among them as its end is in `nats`; nothing where no run reads so."""
    if not run.row.backward:
        return [{}] * len(lines)
    return [{"backward_nats": nats} for nats in run.backward_nats([Document((line,), "") for line in lines], ends=True)]


def _bits(run: "Run", text: str, score: Any, back: str) -> dict[str, Any]:
    """Bits a character, white space that the tokens do not tell charged as by `stemma evaluate`; or why there are none.

    `back` is what the tokens keep of the text.
    """
    bits = score.bits_per_character
    if bits is None or back == text:
        return {"spacing_nats": 0.0, "bits_per_character": bits}
    from stemma.runs.spacing import spacing  # only where it is used

    kept = spacing(run.tokenizer, [Document((text,), "")])
    around = (text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :])
    around_back = (back[: len(back) - len(back.lstrip())], back[len(back.rstrip()) :])
    if kept.why_not or around != around_back:  # what surrounds a text is no part of a corpus, and has no price
        reason = f"the tokenizer does not keep the text: it comes back as {back!r}"
        return {"spacing_nats": None, "bits_per_character": None, "why_not_bits": reason}
    nats = float(kept.nats[0])
    return {"spacing_nats": nats, "bits_per_character": bits + nats / log(2) / score.characters}


def _shown(row: dict[str, Any]) -> Iterator[str]:
    """A score for a person: what compares across runs first."""
    yield row["text"]
    unknown = f", {row['unknown']} unknown" if row["unknown"] else ""
    yield (
        f"  {number(row['bits_per_character'])} bits a character · perplexity {number(row['perplexity'])}"
        f" over {row['tokens']:,} predictions{unknown} · log10 of its probability {number(row['log10'])}"
    )
    if "backward_nats" in row:
        yield f"  read from its end to its start: log10 of its probability {number(-row['backward_nats'] / log(10))}"
    if "why_not_bits" in row:
        yield f"  no bits: {row['why_not_bits']}"
    yield from columns(_token_cells(token) for token in row.get("by_token", ()))


def _token_cells(token: dict[str, Any]) -> tuple[str, ...]:
    cells = token["token"], f"{token['log10']:.2f}", "unknown" if token["unknown"] else ""
    return (*cells[:2], f"{token['order']}-gram", cells[2]) if "order" in token else cells


def _token_row(token: Any) -> dict[str, Any]:
    row = {"id": token.id, "token": token.token, "log10": -token.nats / log(10), "unknown": token.unknown}
    return {**row, "order": token.order} if token.order else row
