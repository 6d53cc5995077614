"""`stemma generate`: text from a prompt."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stemma.cli.aligned import likely
from stemma.cli.answer import Printable
from stemma.cli.engine import USUAL, by_engine
from stemma.cli.pretrained import open_pretrained
from stemma.cli.streamed import Streamed
from stemma.cli.verb import EngineName, File, Files, RunPath, Share, Texts, Verb
from stemma.errors import UsageError


@dataclass(frozen=True)
class Generate(Verb):
    """Writes on from a prompt, or tells the likeliest next tokens.

    Example: stemma generate runs/gpt --text "The method" --length 30 --temperature 0.8
    """

    run_folder: RunPath  # a folder made by stemma pretrain
    files: Files = ()  # one prompt a line; - for standard input; none: the empty prompt
    text: Texts = ()  # a prompt of its own
    engine: EngineName = USUAL  # torch, onnx, openvino, ctranslate2, a file.onnx or a folder of the run; exact: the fastest here
    dev: File = None  # a file that exact and close have to say the same on, or that tells what an engine in 8 bits costs
    max_drop: Share = None  # with an engine in 8 bits: how much worse it may be on the file of --dev
    length: int = 50  # tokens at most
    temperature: float = 1.0  # 0 takes the likeliest token
    top_k: int = 0  # draw from the k likeliest; 0: from all
    top_p: float = 1.0  # draw from the likeliest that hold this share of the probability
    repetition_penalty: float = 1.0  # above 1: tokens that stand in the text already become less likely
    beams: int = 1  # above 1: nothing is drawn, the likeliest text is searched among that many
    length_penalty: float = 0.6  # of a search: 0 ranks by probability alone, more favours longer texts
    stop: Texts = ()  # ends the text before this
    samples: int = 1  # texts a prompt: drawn anew, or the best of a search; each gets a line
    seed: int = 0  # the same seed and prompt give the same text
    next: int = 0  # tells so many likeliest next tokens with their probabilities and writes nothing; 0: writes

    def run(self) -> Printable:
        """The texts of each prompt, or the next tokens."""
        from stemma.runs import answers
        from stemma.runs.decoding import Decoding

        run = open_pretrained(self.run_folder, "generate")
        if self.next and self.engine != USUAL:
            raise UsageError(f"--next with the engine {self.engine}", "the engine torch", "drop --engine")
        run = by_engine(run, self.engine, "write", self.dev, self.max_drop)
        draw = self.temperature, self.top_k, self.top_p
        options = Decoding(*draw, self.repetition_penalty, self.beams, self.length_penalty, self.stop)
        self._check(options != Decoding())

        def rows(prompts: list[str]) -> Iterator[dict[str, Any]]:
            if self.next:
                return iter(answers.follow(run, prompts, self.next).rows())
            return iter(answers.generate(run, prompts, self.length, options, self.seed, self.samples).rows())

        def shown(row: dict[str, Any]) -> Iterator[str]:
            if not self.next:
                yield row["text"]
                yield from [""] * (self.samples > 1)
                return
            yield row["prompt"] or "(at the beginning)"
            yield from likely(row["next"])

        return Streamed(rows, shown, self.text or (() if self.files else ("",)), self.files)

    def _check(self, chosen: bool) -> None:
        """UsageError for an option that would be ignored; `chosen`: one of a draw or a search was given."""
        given = {name for name in ("length", "seed", "samples", "length_penalty") if getattr(self, name) != getattr(type(self), name)}
        if self.next and (chosen or given):
            raise UsageError("--next with options of writing", "the likeliest next tokens alone, or a text", "drop --next, or the options")
        if "length_penalty" in given and self.beams == 1:
            wrong = f"--length-penalty {self.length_penalty} without --beams"
            raise UsageError(wrong, "a search, whose texts it ranks", "add --beams 4, or drop --length-penalty")
        if "seed" in given and self.beams > 1:
            raise UsageError(f"--seed {self.seed} with --beams, which draws nothing", "a search or a draw", "drop --seed, or --beams")
