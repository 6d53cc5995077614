"""What a comparison is to do: its settings, and the key by which each finished stage is known again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt, Le

from stemma.config import VERSION, Natural, NonNegative, Positive, to_plain
from stemma.lineage.table import TABLE

if TYPE_CHECKING:
    from stemma.training.request import Request

Mode = Literal["frozen", "random", "finetune", "scratch"]
GENERATIONS = tuple(row.name for row in TABLE if row.ready and "transfer" in row.abilities)  # what is compared unless named


@dataclass(frozen=True)
class Config:
    """The section `compare`: the same for every generation."""

    preset: str = "small"  # of every generation
    budget_tokens: Natural = 0  # of pre-training, for each; 0: not this way
    budget_seconds: NonNegative = 0  # of pre-training, for each; counting always reads the text once
    modes: tuple[Mode, ...] = ("frozen", "random", "finetune", "scratch")  # random and scratch are the controls, without pre-training
    seeds: Positive = 3  # fine-tuned models of each generation and mode
    trials: Positive = 3  # values tried of a head's one knob
    train_limit: Natural = 0  # labelled examples to learn from at most, drawn by lot; 0: all
    dev_text: tuple[str, ...] = ()  # held-out text; empty: a share of the corpus
    held_out: Annotated[float, Gt(0), Le(0.5)] = 0.01  # that share
    held_out_characters: Positive = 200_000  # of it scored at most
    senses: str = ""  # TSV: word, index, sense, sentence; empty: no senses probe
    senses_test: str = ""  # the part to judge by; empty: half of each sense
    senses_limit: Positive = 300  # occurrences of a word in either part at most
    similarity: tuple[str, ...] = ()  # files of word pairs with people's scores, for the generations with word vectors
    analogies: tuple[str, ...] = ()  # files of analogies for them
    restrict: Natural = 0  # answers to analogies are sought among that many of the most frequent words; 0: all
    words: tuple[str, ...] = ()  # drawn on the word maps; empty: the most frequent content words
    workers: Positive = 1  # processes that read the corpus, for each generation
    parallel: Positive = 1  # generations computed at once, each in a process of its own with `threads`
    threads: Natural = 0  # of computing; 0: as many as torch chooses. On a machine that others use too, fewer can be much faster
    settings: tuple[str, ...] = ()  # more, as `training.rate=1e-3`, `bert.model.width=64` or `transfer.epochs=2`


@dataclass(frozen=True)
class Plan:
    """A comparison: what is compared, on which text and task, where it is written."""

    corpus: tuple[str, ...]
    task: str
    train: str
    dev: str
    out: str
    generations: tuple[str, ...]
    config: Config

    @property
    def root(self) -> Path:
        """The comparison's folder."""
        return Path(self.out)

    def run_folder(self, generation: str, mode: str = "") -> Path:
        """Where a generation's run stands, or the run it became in a mode of transfer."""
        return self.root / "runs" / (f"{generation}-{mode}" if mode else generation)

    def pretraining(self, generation: str) -> list[str]:
        """The settings of `stemma pretrain` for this generation, the budget included."""
        from stemma.lineage.table import find

        config = self.config
        settings = [f"training.held_out={config.held_out}"] if not config.dev_text else []
        if generation == "ngram":
            settings += self._same_tokens()
            settings += [f"training.tokens={config.budget_tokens}"] if config.budget_tokens else []
        elif config.budget_seconds:
            settings += [f"training.seconds={config.budget_seconds}"]
        elif config.budget_tokens:
            reads_once = hasattr(find(generation).load_data(), "prepare")  # and then makes the iterations of its preset
            settings += [f"{'objective' if reads_once else 'training'}.tokens={config.budget_tokens}"]
        return settings + self._own(generation)

    def request(self, generation: str) -> "Request":
        """What is asked of `pretrain` for this generation."""
        from stemma.training.request import Request

        config = self.config
        settings = tuple(self.pretraining(generation))
        return Request(generation, self.corpus, config.preset, None, settings, config.dev_text, config.workers)

    def transfer(self, mode: str) -> list[str]:
        """The settings of `stemma finetune` in this mode."""
        seeds = list(range(1, self.config.seeds + 1))
        named = [setting for setting in self.config.settings if setting.startswith("transfer.")]
        return [f'transfer.mode="{mode}"', f"transfer.seeds={seeds}", f"transfer.budget={self.config.trials}", *named]

    def _same_tokens(self) -> list[str]:
        """The n-gram model counts the tokens of GPT: byte-level, so that nothing is out of vocabulary."""
        from stemma.lineage.table import find

        size = find("gpt").presets().get(self.config.preset, {}).get("tokenizer", {}).get("vocab_size")
        return ['tokenizer.kind="bpe"', f"tokenizer.vocab_size={size or 8192}"]

    def _own(self, generation: str) -> list[str]:
        """The user's settings that fall to this generation: its own, and those that name none."""
        from stemma.lineage.table import TABLE

        names = {row.name for row in TABLE} | {"transfer"}
        own = []
        for setting in self.config.settings:
            first, _, rest = setting.partition(".")
            own += [rest] if first == generation else [setting] if first not in names else []
        return own

    def save(self) -> None:
        """Writes `plan.json`, which the worker processes read."""
        from stemma.checkpoint import write_json

        self.root.mkdir(parents=True, exist_ok=True)
        write_json(self.root / "plan.json", to_plain(self))

    @classmethod
    def load(cls, out: Path) -> "Plan":
        """The plan of a comparison's folder."""
        plain = json.loads((out / "plan.json").read_text(encoding="utf-8"))
        config = Config(**{name: _frozen(value) for name, value in plain.pop("config").items()})
        return cls(**{name: _frozen(value) for name, value in plain.items()}, config=config)


def key_of(*parts: Any) -> str:
    """A short digest of what a stage depends on, the version of Stemma included."""
    text = json.dumps([VERSION, *parts], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def content_of(paths: Sequence[str]) -> list[str]:
    """The digest of each file's content."""
    found = []
    for path in paths:
        with Path(path).open("rb") as file:
            found.append(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest())
    return found


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
