"""What a comparison is to do: its settings, and the key by which each finished stage is known again."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt, Le
from tyro.conf import FlagCreatePairsOff, arg

from stemma.bounds import Natural, NonNegative, Positive
from stemma.config import VERSION, as_read, parse_settings, resolve, to_plain
from stemma.lineage.table import TABLE, Generation, find
from stemma.runs.settings import WAYS, Way
from stemma.tasks.table import make_task, task_config
from stemma.tasks.task import Task
from stemma.training.settings import BUDGETS, MOST_PASSES

if TYPE_CHECKING:
    from stemma.evaluation.measures.posed import Posed
    from stemma.training.request import Job, Request
    from stemma.transfer.settings import Config as Transfer

SCHEMA = 5  # of the stages' files and of report.json (`results`): stages of another schema are made anew
PATIENCE = 2  # held-out losses without a new best before a budget of seconds is given up
READY = tuple(row.name for row in TABLE if row.ready)  # generations that this version can pre-train


SomeFiles = Annotated[tuple[str, ...], arg(metavar="FILE …", help_behavior_hint="(optional)")]
SomeShares = Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], arg(metavar="SHARE …", help_behavior_hint="(optional)")]
SomeCurves = Annotated[tuple[Literal["layers", "updates", "tokens"], ...], arg(help_behavior_hint="(optional)")]
LabelWords = Annotated[tuple[str, ...], arg(metavar="LABEL=WORD …", help_behavior_hint="(optional)")]
SomeWords = Annotated[tuple[str, ...], arg(metavar="WORD …", help_behavior_hint="(optional)")]


@dataclass(frozen=True)
class Config:
    """The section `compare`, the same for every generation; its comments are the help of `stemma compare`."""

    title: str = ""  # of the report; none: the names of the corpus files
    preset: str = "small"  # of every generation: tiny, small or base
    budget_tokens: Natural = 0  # of pre-training, for each; 0: not this way
    budget_seconds: NonNegative = 0  # of pre-training, for each; counting always reads the text once
    # random, random-network and scratch are the controls, without pre-training
    modes: tuple[Way, ...] = ("frozen", "random", "frozen-network", "random-network", "finetune", "scratch")
    seeds: Positive = 3  # fine-tuned models of each generation and mode
    trials: Positive = 3  # values tried of a head's one knob
    train_limit: Natural = 0  # labelled examples to learn from at most, drawn by lot; 0: all
    dev_text: SomeFiles = ()  # held-out text; none: a share of the corpus
    held_out: Annotated[float, Gt(0), Le(0.5)] = 0.01  # that share
    held_out_characters: Positive = 200_000  # of it scored at most
    senses: str = ""  # a TSV of word, index, sense, sentence for the senses probe; none: no probe
    senses_test: str = ""  # the part to judge by; none: half of each sense
    senses_limit: Positive = 300  # occurrences of a word in either part at most
    similarity: SomeFiles = ()  # word pairs and people's scores, for the generations with word vectors: WordSim and the like, or a TSV
    analogies: SomeFiles = ()  # a is to b as c is to d, for them: questions-words.txt, CA8, or a TSV of section, a, b, c, d
    restrict: Natural = 0  # answers to analogies are sought among that many of the most frequent words; 0: all
    minimal_pairs: SomeFiles = ()  # which of two sentences is likelier: a TSV of phenomenon, good, bad, or BLiMP's JSON lines
    minimal_limit: Natural = 0  # of them at most for a phenomenon, drawn by lot; 0: all
    label_shares: SomeShares = ()  # of the training examples that each way of transfer learns from too, as 0.01 0.1; none: all alone
    # layers: fine-tuned with the lower k loaded, for every k; updates: those to the lowest loss from scratch; tokens: pre-trained on fewer
    curves: SomeCurves = ()
    probes: SomeFiles = ()  # which layer knows what: tagged words (CoNLL), labelled texts, or a TSV as for the senses; half is learnt from
    probe_limit: Positive = 2000  # examples of such a file at most, drawn by lot
    zero_shot: FlagCreatePairsOff[bool] = False  # puts the dev file to each pre-trained run too, before it has learnt the task
    template: str = ""  # how it reads then, as "{text} This is about {label}."; \n is a line end; none: the task's own
    verbalise: LabelWords = ()  # the word that stands for a label; none: the label itself
    normalise: Literal["length", "pmi", "none"] = "length"  # what answers' chances are made up for; pmi: their chances without the text
    words: SomeWords = ()  # drawn on the word maps; none: the most frequent content words
    workers: Positive = 1  # processes that read the corpus
    parallel: Positive = 1  # generations computed at once, each in a process of its own; with --threads 1, as many as there are cores
    threads: Natural = 0  # of computing; 0: one or all, whichever is faster for each network when its run begins
    settings: tuple[str, ...] = ()  # more, as `training.rate=1e-3`, `bert.model.width=64` or `transfer.epochs=2`


@dataclass(frozen=True)
class Comparison:
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

    @property
    def title(self) -> str:
        """What the report is called: the title that was given, or else the names of the corpus files."""
        return self.config.title.strip() or ", ".join(Path(path).name for path in self.corpus)

    def run_folder(self, generation: str, mode: str = "") -> Path:
        """Where a generation's run stands, or the run it became in a mode of transfer."""
        return self.root / "runs" / (f"{generation}-{mode}" if mode else generation)

    def pretraining(self, generation: str, tokens: int = 0) -> list[str]:
        """The settings of `stemma pretrain` for this generation, the budget included; of the user's those that it reads.

        So many `tokens` are the budget instead of any other.
        """
        unread = set(self.unread_by(generation))
        own = self._own(generation, [setting for setting in self._meant_for(generation) if setting not in unread])
        rivals = _budgets(find(generation)) if tokens else ()
        return self._given(generation, tokens) + [setting for setting in own if setting.partition("=")[0].strip() not in rivals]

    def _given(self, generation: str, tokens: int = 0) -> list[str]:
        """The settings that the comparison itself makes: the same text, tokens and budget for all."""
        config, row = self.config, find(generation)
        section, most = "objective" if row.reads_once else "training", tokens or self.config.budget_tokens
        settings = [f"training.held_out={config.held_out}"] if not config.dev_text else []
        if row.tokens_of:
            settings += self._tokens_of(row.tokens_of)
        if row.updates == "counts":
            settings += [f"training.tokens={most}"] if most else []
        elif config.budget_seconds:
            settings += [f"{section}.tokens={tokens}" if tokens else f"training.seconds={config.budget_seconds}", *_sense(row)]
        elif most:
            settings += [f"{section}.tokens={most}"]  # what reads once then makes the iterations of its preset
        return settings

    def request(self, generation: str, tokens: int = 0) -> "Request":
        """The request to `pretrain` for this generation; `tokens` as in `pretraining`."""
        from stemma.training.request import Request

        config, settings = self.config, tuple(self.pretraining(generation, tokens))
        teacher = find(generation).teacher
        imitated = self.run_folder(teacher) if teacher else None
        return Request(generation, self.corpus, config.preset, None, settings, config.dev_text, config.workers, teacher=imitated)

    def job(self, generation: str) -> "Job":
        """What the request comes to, as far as it is known before anything is trained: a student's teacher may still be to come."""
        from stemma.training.request import planned_job

        return planned_job(self.request(generation))

    def transfer(self, way: str, more: Sequence[str] = ()) -> list[str]:
        """The settings of `stemma finetune` in this way: of the user's those that it reads, `more` behind them."""
        mode, head = WAYS[way]
        seeds = list(range(1, self.config.seeds + 1))
        named = [setting for setting in self.config.settings if setting.startswith("transfer.")]
        heads = [] if head == "linear" else [f'transfer.head="{head}"']
        limit = [f"transfer.train_limit={self.config.train_limit}"] if self.config.train_limit else []
        ours = [f'transfer.mode="{mode}"', *heads, f"transfer.seeds={seeds}", f"transfer.budget={self.config.trials}", *limit]
        unread = _unread(_transfer([*ours, *named, *more]))
        return [*ours, *(setting for setting in named if setting.partition("=")[0].strip() not in unread), *more]

    def transfer_config(self, way: str, more: Sequence[str] = ()) -> "Transfer":
        """These settings, resolved."""
        return _transfer(self.transfer(way, more))

    @property
    def task_settings(self) -> list[str]:
        """The user's settings of the task."""
        return [setting for setting in self.config.settings if setting.startswith("task.")]

    def made_task(self) -> Task:
        """The task with these settings."""
        source = ("compare", parse_settings(self.task_settings))
        return make_task(self.task, resolve({"task": task_config(self.task)}, source)["task"])

    def posed(self) -> "Posed":
        """How the task is put to runs that have not learnt it."""
        from stemma.evaluation.measures.posed import Posed

        config = self.config
        return Posed.of(config.template, config.verbalise, config.normalise)

    def _tokens_of(self, other: str) -> list[str]:
        """Byte-level tokens, as many as the other generation has: nothing is out of vocabulary."""
        size = find(other).presets().get(self.config.preset, {}).get("tokenizer", {}).get("vocab_size")
        return ['tokenizer.kind="bpe"', f"tokenizer.vocab_size={size or 8192}"]

    @property
    def shared(self) -> list[str]:
        """The user's settings of pre-training that name no generation, and apply to those that read them."""
        names = {row.name for row in TABLE} | {"transfer", "task"}
        return [setting for setting in self.config.settings if setting.partition(".")[0] not in names]

    def unread_by(self, generation: str) -> list[str]:
        """The shared settings that this generation does not read."""
        from stemma.training.request import unread_by

        shared = self._meant_for(generation)
        return unread_by(generation, self.config.preset, [*self._given(generation), *self._own(generation, shared)], shared)

    def readers(self, setting: str) -> list[str]:
        """The generations compared that read the shared setting."""
        return [name for name in self.generations if setting in self._meant_for(name) and setting not in self.unread_by(name)]

    def _meant_for(self, generation: str) -> list[str]:
        """The shared settings, for a student those of tokens aside: it has its teacher's."""
        aside = "tokenizer." if find(generation).teacher else None
        return [setting for setting in self.shared if aside is None or not setting.startswith(aside)]

    def _own(self, generation: str, shared: Sequence[str]) -> list[str]:
        """The user's settings that fall to this generation, in their order: its own, and such of the shared ones."""
        own = []
        for setting in self.config.settings:
            first, _, rest = setting.partition(".")
            own += [rest] if first == generation else [setting] if setting in shared else []
        return own

    def refusals(self) -> dict[str, str]:
        """Of each generation that can learn the task in no way: why not."""
        return refusals(self.made_task(), self.generations)

    def save(self) -> None:
        """Writes `plan.json`, which the worker processes read."""
        from stemma.tokens.files import write_sealed

        self.root.mkdir(parents=True, exist_ok=True)
        write_sealed(self.root / "plan.json", to_plain(self))

    @classmethod
    def load(cls, out: Path) -> "Comparison":
        """The comparison that is planned in this folder."""
        from stemma.tokens.files import read_sealed

        plain = read_sealed(out / "plan.json", "repeat the command: it writes the plan anew")
        config = Config(**{name: _frozen(value) for name, value in plain.pop("config").items()})
        return cls(**{name: _frozen(value) for name, value in plain.items()}, config=config)


def _budgets(row: Generation) -> set[str]:
    """The settings that say how many tokens the generation reads; what reads it once has others, of how often it goes over that."""
    return {"objective.tokens"} if row.reads_once else {*BUDGETS, *(f"training.{name}" for name in BUDGETS)}


def _sense(row: Generation) -> list[str]:
    """Equal seconds, but not passes without sense over a small text: at most so many, and the weights that predict held-out text best."""
    if row.reads_once:
        return []
    waits = [f"training.patience={PATIENCE}"] if row.updates == "backprop" else []
    return [f"training.most_passes={MOST_PASSES}", *waits]


def _transfer(settings: Sequence[str]) -> "Transfer":
    """The section `transfer` of these settings."""
    from stemma.transfer.settings import Config as Transfer

    resolved: Transfer = resolve({"transfer": Transfer}, ("compare", parse_settings(settings)))["transfer"]
    return resolved


def _unread(config: "Transfer") -> set[str]:
    """The keys that the config sets to what nothing reads in its mode: `stemma finetune` would refuse them."""
    read = to_plain(as_read(config))
    return {f"transfer.{key}" for key, value in to_plain(config).items() if value != read[key]}


def generations_for(task: str) -> tuple[str, ...]:
    """The generations that can be pre-trained and learn the task: what is compared unless named."""
    refused = refusals(make_task(task), READY)
    return tuple(name for name in READY if name not in refused)


def refusals(task: Task, generations: Sequence[str]) -> dict[str, str]:
    """Of each of the generations that can learn the task in no way: why not."""
    from stemma.transfer.recipe import refusal

    return {name: reason for name in generations if (reason := refusal(find(name), task))}


def key_of(*parts: Any) -> str:
    """A short digest of what a stage depends on, the version of Stemma and the schema of its results included."""
    text = json.dumps([VERSION, SCHEMA, *parts], sort_keys=True, ensure_ascii=False)
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
