"""`stemma convert`: hands a run to other programs, and takes theirs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from stemma.cli.answer import Answer, Printable
from stemma.cli.verb import File, Flag, Positional, Verb
from stemma.errors import UsageError

if TYPE_CHECKING:
    from stemma.serving.drops import Drop

TaskOfHead = Annotated[str | None, arg(metavar="TASK", help_behavior_hint="(optional)")]


@dataclass(frozen=True)
class Convert(Verb):
    """Writes a run in another program's format, or another program's file as a run (--to run).

    Out: arpa (ngram); word2vec, word2vec-binary, glove (whatever has word vectors); huggingface folder (gpt, gpt2, bert, bert-wwm,
    albert, tinybert, xlnet; fine-tuned ones with their head); sentence-transformers folder (the same, for the vectors of texts); static, a
    run of word vectors made of one with states in context; elmo: a folder of weights.hdf5, options.json and vocabulary.txt; ctranslate2
    folder (transformer, gpt, gpt2; extra `ct2`); onnx: one file of any network, or of one that has learnt a task (two files if it
    translates; extra `onnx`), checked against PyTorch before they are written, with --int8 --calibrate FILE in 8 bits.
    In: a Hugging Face folder (bert, albert, gpt2, openai-gpt, xlnet; safetensors), a folder with a TensorFlow checkpoint of BERT or ALBERT,
    ELMo's weights.hdf5 with options.json beside it (and vocab*.txt, if there is one), ARPA, word2vec text and binary, fastText .vec
    and .bin, GloVe text; what a file is, is read from it. Files may be gz, bz2 or xz (fastText's .bin may not).

    Example: stemma convert runs/word2vec vectors.txt.gz --to word2vec
    """

    source: Annotated[Positional[Path], arg(metavar="SOURCE")]  # a run folder; with --to run another program's file
    target: Annotated[Positional[Path], arg(metavar="TARGET")]  # the file or folder to write
    to: str  # arpa, word2vec, word2vec-binary, glove, huggingface, sentence-transformers, static, elmo, ctranslate2, onnx; run
    skip_bad: Flag = False  # --to run: leaves out, and counts, words that are not UTF-8 or have numbers that are not finite
    int8: Flag = False  # --to ctranslate2, onnx: keeps weights in 8 bits, a quarter of the size; --engine then needs --max-drop
    calibrate: File = None  # --to onnx --int8: text as the run will read, or examples of its task, from which scales in 8 bits are taken
    dev: File = None  # --int8: a file as that, on which the run is scored before and after
    task: TaskOfHead = None  # --to run: what a Hugging Face folder's head has learnt, where it does not say so (pair, say); none: no head
    allow_pickle: Flag = False  # --to run: reads pytorch_model.bin of a Hugging Face folder, tensors alone, in a process of its own

    def run(self) -> Printable:
        """The files written."""
        from stemma.export.formats import convert

        if self.dev is not None and not self.int8:
            raise UsageError("--dev without --int8", "8 bits, whose cost it tells", "add --int8, or drop --dev")
        files = convert(
            self.source, self.target, self.to, self.skip_bad, self.int8, self.task or "", self.allow_pickle, calibration=self.calibrate
        )
        if self.dev is None:
            return Answer({"format": self.to, "files": files}, map(str, files))
        cost = self._cost(self.dev)
        return Answer({"format": self.to, "files": files, **cost.row()}, [*map(str, files), str(cost)])

    def _cost(self, dev: Path) -> "Drop":
        """What the file or folder written loses."""
        from stemma.runs.fitted import load
        from stemma.serving.drops import drop
        from stemma.serving.engines import through, work_of

        run = load(self.source)
        work = "write" if self.to == "ctranslate2" else work_of(run)
        return drop(run, through(run, str(self.target), work), dev, work)
