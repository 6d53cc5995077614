"""Runs that CTranslate2 writes for: translations, and what follows a prompt. All else is the run's own.

It takes the likeliest token each time, or searches as wide as ours and is ranked by our length penalty. It draws by lot in its own way,
which depends on what is written beside, so that draws are refused here.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stemma.corpus.given import given_texts
from stemma.errors import DataError, UsageError
from stemma.export.ctranslate2 import facts_of, write_ctranslate2
from stemma.export.onnx import fingerprint
from stemma.nouns import counted
from stemma.runs.decoding import LONGER, ROWS, Decoding, Speller, Wanted, Written, always
from stemma.runs.fitted import FittedRun
from stemma.runs.reading import surprises
from stemma.runs.run import BEAMS, SAMPLING, Run
from stemma.runs.writing import TokenPairs, Writer

TORCH = "use the engine torch"


def ctranslate2_run(run: Run | FittedRun, folder: Path | None = None) -> Run | FittedRun:
    """The run with CTranslate2 to write for it: from a folder which `stemma convert` made of it, or as float32, made now.

    UsageError for a run that does not write, and for a folder of another run; MissingExtra without ctranslate2.
    """
    if isinstance(run, FittedRun) and run.task.per != "target":
        raise UsageError("a run that has learnt to answer, in CTranslate2", "one that writes", f"{TORCH}, or onnx")
    opened = run.as_run() if isinstance(run, FittedRun) else run
    if folder is None:
        with tempfile.TemporaryDirectory() as place:
            write_ctranslate2(opened, Path(place) / "run")
            model = _model(opened, Path(place) / "run")
    else:
        if facts_of(folder)["fingerprint"] != fingerprint(opened):
            cure = f"write it again: stemma convert RUN {folder} --to ctranslate2"
            raise UsageError(f"{folder} was made of another run, or before this one was changed", "a folder made of this run", cure)
        model = _model(opened, folder)
    if isinstance(run, FittedRun):
        writer = run.writer
        return FittedRun(run.assignment, FasterWriter(writer.assignment, writer.network, writer.facts, model), run.facts)
    return TranslatingRun(run, model) if "translate" in run.row.abilities else WritingRun(run, model)


class WritingRun(Run):
    """A one-way Transformer that writes on."""

    def __init__(self, run: Run, generator: Any) -> None:
        super().__init__(run.folder, run.row, run.tokenizer, run.network, run.pooling)
        self._generator = generator

    def write(
        self,
        prompts: Sequence[str],
        *,
        length: int = 50,
        options: Decoding = SAMPLING,
        seed: int = 0,
        samples: int = 1,
        wanted: Wanted = always,
    ) -> list[list[Written]]:
        """As `Run.write`: the likeliest token each time, or a search. UsageError where the prompt and its end do not fit the window."""
        check(options, samples, greedy=options.temperature == 0)
        prompts = given_texts(prompts, "prompts")
        encoded = [self.tokenizer.encode(prompt).tolist() if prompt else [] for prompt in prompts]
        begun = [self.network.frame(ids)[0] for ids in encoded]
        if (most := max(map(len, begun), default=0) + length) > self.network.max_length:
            wrong = f"{counted(most, 'token')}, prompt and continuation, in CTranslate2"
            raise UsageError(wrong, f"{self.network.max_length}, which this run reads at once", f"ask for a shorter text, or {TORCH}")
        found: list[list[Written]] = [[] for _ in prompts]
        for rows in _alike(begun, ROWS):
            results = self._generator.generate_batch(
                [list(map(self.tokenizer.token, begun[row])) for row in rows],
                max_length=length,
                include_prompt_in_result=False,
                **_search(options),
            )
            for row, result in zip(rows, results, strict=True):
                speller = Speller(self.tokenizer, prompts[row], encoded[row], ())
                found[row] = _ranked(result.sequences_ids, result.scores, length, options, speller.text)[:samples]
        return found

    def nats(self, texts: Sequence[str]) -> tuple[float, float]:
        """What a token of these texts costs, by the run itself and by CTranslate2; each text up to what the run reads at once."""
        encoded = [ids[: self.network.max_length - 1].tolist() for ids in self.tokenizer.encode_batch(given_texts(texts))]
        read = [ids for ids in encoded if ids]
        ours = surprises(self.network, [np.array(ids) for ids in read], end=self.network.end)
        scored = self._generator.score_batch([list(map(self.tokenizer.token, self.network.frame(ids)[0])) for ids in read])
        count = sum(map(len, read))
        return sum(float(nats.sum()) for nats in ours) / count, -sum(sum(result.log_probs) for result in scored) / count

    def stream(self, prompt: str = "", *, length: int = 50, options: Decoding = SAMPLING, seed: int = 0) -> Iterator[str]:
        """As `Run.stream`, in one piece."""
        ((best, *_),) = self.write([prompt], length=length, options=options, seed=seed)
        yield best.text[len(prompt) :]


class TranslatingRun(Run):
    """A run that learnt pairs."""

    def __init__(self, run: Run, translator: Any) -> None:
        super().__init__(run.folder, run.row, run.tokenizer, run.network, run.pooling)
        self._translator = translator

    def translations(self, texts: Any, *, options: Decoding = BEAMS, samples: int = 1, wanted: Wanted = always) -> list[list[Written]]:
        """As `Run.translations`."""
        self.check_translates()
        sources = [ids.tolist() for ids in self.tokenizer.encode_batch(given_texts(texts))]
        for ids in sources:
            self._fits(len(self.network.frame(ids)[0]))
        return _translated(self._translator, self.tokenizer, self.network, sources, options, samples)


class FasterWriter(Writer):
    """The model of a run that has learnt to write targets."""

    def __init__(self, assignment: Any, network: Any, facts: dict[str, Any], translator: Any) -> None:
        super().__init__(assignment, network, facts)
        self._translator = translator

    def translations(self, pairs: TokenPairs, options: Decoding, samples: int = 1, wanted: Wanted = always) -> list[list[Written]]:
        """As `Writer.translations`."""
        sources = [ids.tolist() for ids in pairs.ids]
        return _translated(self._translator, self.assignment.tokenizer, self.network, sources, options, samples)


def check(options: Decoding, samples: int, greedy: bool = True) -> None:
    """UsageError for what CTranslate2 does otherwise than we do: draws, penalties of repetition, stop strings."""
    if options.beams == 1 and not greedy:
        raise UsageError(
            "a draw, in CTranslate2", "the likeliest token each time, or a search", f"set temperature 0 or beams 4, or {TORCH}"
        )
    if options.repetition_penalty != 1 or options.stop:
        what = "stop strings" if options.stop else f"repetition_penalty = {options.repetition_penalty:g}"
        raise UsageError(f"{what}, in CTranslate2", "a text without", f"drop it, or {TORCH}")
    if samples > options.beams:
        raise UsageError(f"samples = {samples} with beams = {options.beams}", "as many beams as samples, or more", "raise beams")


def _model(run: Run, folder: Path) -> Any:
    """CTranslate2's model of the folder, with weights as they are there."""
    import ctranslate2

    kind = ctranslate2.Translator if "translate" in run.row.abilities else ctranslate2.Generator
    try:
        return kind(str(folder), device="cpu", compute_type="default", inter_threads=1, intra_threads=torch.get_num_threads())
    except RuntimeError as error:
        cure = f"write it again: stemma convert RUN {folder} --to ctranslate2"
        raise DataError(f"{folder}: {error}", "a folder that stemma convert wrote", cure) from error


def _translated(
    translator: Any, tokenizer: Any, network: Any, sources: Sequence[Sequence[int]], options: Decoding, samples: int
) -> list[list[Written]]:
    """The best `samples` targets of each source; one without tokens has the empty one."""
    check(options, samples)
    found = [[Written("", [], 0.0, 0.0)] for _ in sources]
    speller, id_of = Speller(tokenizer, "", [], ()), {token: id for id, token in enumerate(tokenizer.tokens)}
    for rows in _alike(sources, ROWS):
        if not len(sources[rows[0]]):
            continue
        longest = min(len(sources[rows[0]]) + LONGER, (network.max_length or len(sources[rows[0]]) + LONGER) - len(network.opening) + 1)
        results = translator.translate_batch(
            [list(map(tokenizer.token, sources[row])) for row in rows],
            max_decoding_length=longest,
            min_decoding_length=0,
            **_search(options),
        )
        for row, result in zip(rows, results, strict=True):
            ids = [[id_of[token] for token in hypothesis] for hypothesis in result.hypotheses]
            found[row] = _ranked(ids, result.scores, longest, options, speller.text)[:samples]
    return found


def _alike(texts: Sequence[Sequence[int]], most: int) -> Iterator[list[int]]:
    """Numbers of texts of one length, `most` together."""
    by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for _, same in groupby(by_length, key=lambda row: len(texts[row])):
        rows = list(same)
        yield from (rows[first : first + most] for first in range(0, len(rows), most))


def _search(options: Decoding) -> dict[str, Any]:
    """What CTranslate2 is asked for: the beams as they are, with the logarithms of their probabilities."""
    return {"beam_size": options.beams, "num_hypotheses": options.beams, "length_penalty": 0.0, "return_scores": True}


def _ranked(
    several: Sequence[Sequence[int]], scores: Sequence[float], longest: int, options: Decoding, spelled: Callable[[Sequence[int]], str]
) -> list[Written]:
    """The texts, whole ones first, then by our score."""
    found = []
    alpha = options.length_penalty if options.beams > 1 else 0.0
    for ids, log_prob in zip(several, scores, strict=True):
        ended = len(ids) < longest
        score = log_prob / ((5 + max(1, len(ids) + ended)) / 6) ** alpha
        found.append((not ended, -score, Written(spelled(ids), list(ids), log_prob, score)))
    return [written for *_, written in sorted(found, key=lambda one: one[:2])]
