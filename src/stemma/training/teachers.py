"""The finished run that a student imitates: its layers are read, never moved; of it the student keeps the tokens alone."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from stemma.checkpoint import RunFolder
from stemma.config import restore
from stemma.errors import UsageError
from stemma.lineage.table import Generation, Imitates, Teaches, find, teachers
from stemma.runs.opening import network_of, opening
from stemma.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class Teacher:
    """A run to be imitated. Its network is opened when it is first read."""

    folder: RunFolder
    row: Generation
    model: Any  # its config
    tokenizer: Tokenizer

    @classmethod
    def open(cls, path: Path) -> Self:
        """The teacher in a run folder; UsageError for a run that cannot be imitated, or that is fine-tuned."""
        folder = RunFolder.open(path)
        config = folder.config
        if "task" in config:
            mend = f"name the run that it was made from, or distil the task: stemma distill {path} --from STUDENT --train FILE --out RUN"
            raise UsageError(f"{path} is fine-tuned on a task", "a pre-trained run to imitate on plain text", mend)
        row = find(config["identity"]["generation"])
        if not row.teaches:
            wrong = f"{path} is a run of {row.name}, whose layers no student imitates"
            raise UsageError(wrong, f"a run of one of these: {teachers()}", "name another run")
        folder.tensors()  # refuses one that is not finished
        with opening(folder):
            tokenizer = Tokenizer.load(folder.guarded("tokenizer.json"))
            return cls(folder, row, restore(row.model_config(), config["sections"]["model"], str(path)), tokenizer)

    @cached_property
    def network(self) -> Teaches:
        """Its network, without dropout."""
        with opening(self.folder):
            network: Teaches = network_of(self.row, self.model, self.tokenizer, self.folder.tensors())
            return network

    def identity(self) -> dict[str, Any]:
        """What tells it from others."""
        return {"run": str(self.folder.path), "generation": self.row.name, **self.folder.manifest["files"]["model.safetensors"]}

    def facts(self, student: type[Imitates], model: Any, cpu_seconds: float) -> dict[str, Any]:
        """What a card says of it: what is imitated, and what pre-training took with and without its own (None: unknown)."""
        done = self.folder.done()
        ingested = done.get("ingested", {})
        read_in = sum(ingested[part]["cpu_seconds"] for part in ("reading", "tokenizing") if part in ingested)
        taken = done["cpu_seconds"] + read_in if "cpu_seconds" in done else None
        return {
            "teacher": str(self.folder.path),
            "imitates": student.imitation(model, self.network).words,
            "teacher_cpu_seconds": taken,
            "cpu_seconds_with_teacher": None if taken is None else taken + cpu_seconds,
        }
