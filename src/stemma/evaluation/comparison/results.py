"""The results of a comparison as plain frozen data: what a stage keeps, and what `report.json` holds.

One class a stage (`TextRead`, `Baselines`, `Pretraining`, `Scoring`, `Transferred`, `LabelCurves`, `LayerCurve`, `UpdatesSaved`,
`TokenCurves`, `WordTests`, `SenseTests`, `MinimalTests`, `ProbeTests`, `WordMaps`), and `Results` for all of them together. `read` and
`config.to_plain` are the only way from and to JSON: a missing or unknown key is an error.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from stemma.config import to_plain
from stemma.errors import DataError
from stemma.evaluation.comparison.plan import SCHEMA
from stemma.evaluation.measures.intervals import Interval, proportion
from stemma.evaluation.measures.probes import LayerProbes
from stemma.tasks.task import Metric
from stemma.transfer.loss_curves import LossPoint, Saved

T = TypeVar("T")
Rows = tuple[Any, ...]  # one entry an example, in the form of the task's gold: a number, a text, a list


class _Strict:
    """What refuses a key that it has no field for, in the classes inside it too."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}


@dataclass(frozen=True)
class Failure(_Strict):
    """A stage that broke, and how."""

    stage: str  # "gpt.finetune"
    error: str  # the error's class
    message: str
    exit_code: int = 1  # that a command which it ends would leave with


@dataclass(frozen=True)
class LedgerTotals(_Strict):
    """What became of every character of the text (`corpus.document.Ledger`)."""

    characters_in: int
    characters_used: int
    rejected: dict[str, int]  # reason -> characters
    documents: int
    sentences: int
    notes: dict[str, int]
    balances: bool


@dataclass(frozen=True)
class ScoredPart(_Strict):
    """The part of the held-out text that is scored."""

    blocks: int
    characters: int


@dataclass(frozen=True)
class HeldOut(_Strict):
    """Text that no generation has seen."""

    how: str  # it was chosen
    documents: int
    characters: int
    scored: ScoredPart


@dataclass(frozen=True)
class TextRead(_Strict):
    """The stage `ingest`: the held-out text, and the ledger of the whole where it was read whole."""

    key: str  # of the text that generations learn from
    held_out: HeldOut
    ledger: LedgerTotals | None


@dataclass(frozen=True)
class Point(_Strict):
    """One step of a learning curve."""

    step: int
    tokens: int
    seconds: float
    loss: float


@dataclass(frozen=True)
class Cost(_Strict):
    """What one part of the work took."""

    seconds: float = 0.0  # by the clock
    cpu_seconds: float = 0.0  # of all threads and child processes


@dataclass(frozen=True)
class Circumstances(_Strict):
    """What a cost was measured under."""

    threads: int  # that computed
    asked_threads: int  # by the user; 0: by nobody, the faster number was taken
    cores: int | None  # that the process was allowed to use
    cpu: str
    others: float | None  # share of all the machine's cores that other programs took meanwhile; None: not known, or too short to tell
    load: float | None  # processes that ran or waited, over the last minute of it


@dataclass(frozen=True)
class Costs(_Strict):
    """What a stage took, in parts.

    Reading and tokenizing are counted for each that needs them, also when they were `found` ready, made for another.
    """

    reading: Cost = Cost()
    tokenizing: Cost = Cost()  # the tokenizer learnt, the text encoded
    training: Cost = Cost()  # pre-training; or fitting and fine-tuning, its choice of settings included
    measuring: Cost = Cost()  # all the rest: held-out losses, scores, saving
    compiling: Cost = Cost()  # of kernels: once a machine, so in no total
    lost: Cost = Cost()  # to earlier attempts that were stopped, as far as nothing of them was kept: in no total either
    found: bool = False
    made: Circumstances | None = None

    @property
    def total(self) -> Cost:
        """What everybody pays who needs the result."""
        paid = (self.reading, self.tokenizing, self.training, self.measuring)
        return Cost(sum(part.seconds for part in paid), sum(part.cpu_seconds for part in paid))


@dataclass(frozen=True)
class TokenizerUsed(_Strict):
    """How a generation cuts text into tokens."""

    kind: str
    vocab_size: int


@dataclass(frozen=True)
class DrawnPart(_Strict):
    """How much of the text a budget of less than a pass read, drawn by lot: the same for every generation (`tokens.drawn`)."""

    documents: int  # those of which something was drawn
    of_documents: int
    passages: int
    of_passages: int
    tokens: int
    of_tokens: int


@dataclass(frozen=True)
class Taught(_Strict):
    """Whom a student imitated, and what that run's own pre-training took, its reading included."""

    generation: str
    imitates: str  # what of it, in words
    cost: Cost


@dataclass(frozen=True)
class Pretraining(_Strict):
    """The stage `pretrain`: what it cost and how the loss fell. Seconds are of training alone; `costs` tells all parts."""

    seconds: float
    reading_seconds: float | None  # reading and tokenizing, also when found ready; None where nobody knows
    cpu_seconds: float | None  # of the whole: `costs.total`
    peak_bytes: int
    bytes: int  # of the model on disk
    parameters: int
    tokens: int  # read, over all passes
    passes: float  # over the text
    held_out_loss: float | None
    tokenizer: TokenizerUsed
    curve: tuple[Point, ...]
    ledger: LedgerTotals
    model: dict[str, Any]  # its config
    command: str
    notes: tuple[str, ...]
    most_passes: float | None = None  # where the budget was cut to so many passes
    kept_step: int | None = None  # where training waited for a better held-out loss: whose weights were kept
    drawn: DrawnPart | None = None  # None: the whole text was there to read
    baseline_loss: float | None = None  # held-out, of answering by word frequencies alone; None where no loss is held out
    reading_flops_per_token: float | None = None  # products of matrices, to read a text; None: its vectors are looked up
    reading_ms: float | None = None  # measured, of one text of `reading_tokens`
    reading_tokens: int | None = None
    left_baseline: bool | None = None  # False: the budget was too small to learn anything else
    costs: Costs = Costs()
    teacher: Taught | None = None  # None: it imitates nobody. Its cost is in none of the figures above

    @property
    def too_small(self) -> bool:
        """True where the budget was too small: the held-out loss has not left that of word frequencies."""
        return self.left_baseline is False


@dataclass(frozen=True)
class Surprise(_Strict):
    """How well the held-out text is predicted (`measures.perplexity`)."""

    bits_per_character: Interval | None  # None where `why_not_bits` says why
    perplexity_per_token: float | None
    perplexity_per_token_without_oov: float | None
    perplexity_per_word: float | None
    nats: float
    tokens: int
    words: int
    characters: int
    oov: int
    blocks: int
    spelling_share: float | None  # of the bits; the rest is what predicting the tokens costs
    why_not_bits: str | None
    spacing_nats: float | None  # of white space that the tokens do not tell; None where they do not tell the text at all
    each: tuple[tuple[float, int], ...]  # nats and characters of every block; none where there are no bits
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    costs: Costs = Costs()


@dataclass(frozen=True)
class Scoring(_Strict):
    """The stage `score`: `found`, or why there is nothing."""

    why_not: str = ""
    found: Surprise | None = None


@dataclass(frozen=True)
class CutOff(_Strict):
    """What was cut off because it is longer than the generation's window, and what would make room for it."""

    examples: int
    tokens: int
    units: int  # words or characters to be tagged that no token stood for
    crossing: int = 0  # training answers of which a part stands in another window than the rest
    dev_units: int = 0  # and of the dev file, where their tags were guessed; all else is of the training file
    share: float = 0.0  # of the training examples
    dev_share: float = 0.0  # of the dev examples, which the figures are of
    reads: int = 0  # tokens of a text that are read, specials included; 0 where nothing was cut
    fits: int = 0  # tokens that 99 of 100 texts would fit in
    settings: tuple[str, ...] = ()  # that make so much room, each to be given with --set


@dataclass(frozen=True)
class Transferred(_Strict):
    """The stage of a mode of transfer: how well the task is done, and at what cost."""

    measures: dict[str, Interval]  # by the metrics' names
    answers: tuple[Rows, ...]  # of each seed, to every dev example
    seeds: tuple[float, ...]  # the primary metric of each
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    head: str  # in words
    settings: dict[str, float]  # the knob that was chosen
    trials: int
    deterministic: bool
    trained_parameters: int
    parameters: int
    examples: dict[str, int]
    cut: CutOff
    command: str
    layers: tuple[float, ...] = ()  # of a task network: the share of each layer in what it read, the embeddings first
    costs: Costs = Costs()


@dataclass(frozen=True)
class Agreement(_Strict):
    """How well cosines of word vectors agree with people (`measures.similarity`)."""

    rho: Interval
    pairs: int
    used: int
    missing: tuple[str, ...]
    each: tuple[tuple[float, float] | None, ...]  # of every pair its cosine and people's score; None where it was not used


@dataclass(frozen=True)
class PairsFile(_Strict):
    """What a file of word pairs says: `found`, or why it says nothing."""

    file: str
    why_not: str = ""
    found: Agreement | None = None


@dataclass(frozen=True)
class Answered(_Strict):
    """Analogies answered, by both methods (`measures.similarity`)."""

    asked: int
    covered: int
    add: int
    mul: int
    add_accuracy: float | None
    mul_accuracy: float | None
    coverage: float

    def accuracies(self) -> tuple[float | None, float | None]:
        """Of both methods, in the order of `METHODS`."""
        return self.add_accuracy, self.mul_accuracy

    def intervals(self) -> tuple[Interval | None, Interval | None]:
        """The accuracies with Wilson's intervals, in that order; None where no question is covered."""
        return (proportion(self.add, self.covered), proportion(self.mul, self.covered)) if self.covered else (None, None)


@dataclass(frozen=True)
class AnalogiesFile(_Strict):
    """What a file of analogies says."""

    file: str
    sections: dict[str, Answered]
    total: Answered


@dataclass(frozen=True)
class WordTests(_Strict):
    """The stage `words`: what files say of the word vectors."""

    similarity: tuple[PairsFile, ...]
    analogies: tuple[AnalogiesFile, ...]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    costs: Costs = Costs()


@dataclass(frozen=True)
class Probe(_Strict):
    """How well one kind of vector tells senses apart."""

    kind: str  # "static", "in-context", "context-average"
    title: str
    short: str
    shown: bool  # in the chart
    accuracy: Interval
    hits: tuple[int | None, ...]  # of every test occurrence 1 right, 0 wrong; None where it was not judged
    words: dict[str, float]  # the accuracy of each
    within: float | None  # mean cosine of pairs of one sense
    across: float | None  # and of pairs of two

    @property
    def gap(self) -> float | None:
        """How much nearer occurrences of one sense are than those of two."""
        return None if self.within is None or self.across is None else self.within - self.across


@dataclass(frozen=True)
class SenseTests(_Strict):
    """The stage `senses`: the probes, or why there are none."""

    why_not: str = ""
    probes: tuple[Probe, ...] = ()
    layers: tuple[Interval, ...] = ()
    best_layer: int | None = None
    without_vector: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    costs: Costs = Costs()


@dataclass(frozen=True)
class PairsJudged(_Strict):
    """How many minimal pairs were judged right (`measures.minimal_pairs.Part`)."""

    pairs: int
    right: int
    ties: int
    share: Interval


@dataclass(frozen=True)
class SentencesScored(_Strict):
    """In which share of minimal pairs the good sentence is likelier (`measures.minimal_pairs.MinimalPairs`)."""

    way: str
    given: int
    total: PairsJudged
    mean: Interval
    phenomena: dict[str, PairsJudged]
    paradigms: dict[str, PairsJudged]
    same: int
    unknown: int


@dataclass(frozen=True)
class MinimalTests(_Strict):
    """The stage `minimal-pairs`: `found`, or why there is nothing."""

    why_not: str = ""
    found: SentencesScored | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    costs: Costs = Costs()


@dataclass(frozen=True)
class LabelPoint(_Strict):
    """What a way of transfer gives with a part of the labels."""

    share: float  # of the training examples
    examples: int
    quality: Interval  # in the primary metric
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class LabelCurves(_Strict):
    """The stage `labels`: by ways of transfer, from the fewest labels to all."""

    ways: dict[str, tuple[LabelPoint, ...]]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    costs: Costs = Costs()


@dataclass(frozen=True)
class LayerPoint(_Strict):
    """What fine-tuning gives with so many of the lower layers loaded, the others drawn anew (Yosinski 2014)."""

    loaded: int
    layer: str  # the highest of them; empty: none
    quality: Interval
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class LayerCurve(_Strict):
    """The stage `layers`: from none, which is learning from scratch, to all, which is fine-tuning."""

    points: tuple[LayerPoint, ...]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    costs: Costs = Costs()


@dataclass(frozen=True)
class TokenBudget(_Strict):
    """A pre-training on some of the tokens of the ordinary one, or that itself."""

    share: float  # of the tokens that the ordinary one read
    tokens: int  # read, over all passes
    held_out_loss: float | None


@dataclass(frozen=True)
class TokenPoint(_Strict):
    """What a way of transfer gives after one of these pre-trainings."""

    quality: Interval  # in the primary metric
    seeds: tuple[float, ...]


@dataclass(frozen=True)
class TokenCurves(_Strict):
    """The stage `tokens`: from the fewest tokens of pre-training to all of them."""

    budgets: tuple[TokenBudget, ...]
    ways: dict[str, tuple[TokenPoint, ...]]  # by ways of transfer, a point for each of the budgets
    without: dict[str, Interval]  # what the ways that have a control give without pre-training
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    costs: Costs = Costs()


@dataclass(frozen=True)
class Watched(_Strict):
    """How the loss on the dev examples fell in one way of transfer with one seed."""

    points: tuple[LossPoint, ...]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    costs: Costs = Costs()


@dataclass(frozen=True)
class SeedUpdates(_Strict):
    """Both curves of a seed, and what pre-training saved."""

    seed: int
    finetuned: tuple[LossPoint, ...]
    scratch: tuple[LossPoint, ...]
    saved: Saved


@dataclass(frozen=True)
class UpdatesSaved(_Strict):
    """The stage `updates`: how many fine-tuning needs to come down to the lowest loss from scratch."""

    seeds: tuple[SeedUpdates, ...]
    times: Interval | None  # fewer than from scratch, the geometric mean over seeds; None where a seed never reached it
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    costs: Costs = Costs()

    @property
    def reached(self) -> int:
        """Seeds that came down to it."""
        return sum(seed.saved.finetuned is not None for seed in self.seeds)


@dataclass(frozen=True)
class ProbeTests(_Strict):
    """The stage `probes`: what each file says of every layer."""

    files: tuple[LayerProbes, ...]
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    costs: Costs = Costs()


@dataclass(frozen=True)
class Chance(_Strict):
    """What needs no language model: how it answers, and its value of a measure."""

    how: str
    measure: str
    title: str  # the measure in words
    share: bool  # it is shown in percent
    value: float
    by_lot: float | None = None  # of choosing a label by lot


@dataclass(frozen=True)
class Untaught(_Strict):
    """What a run gets on the task before it has learnt it (`measures.zero_shot`)."""

    task: str
    way: str
    examples: int
    measures: dict[str, Interval]
    chance: Chance
    above_chance: Interval
    doubt: str
    template: str = ""
    words: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    alike: str = ""
    in_blanks: int = 0
    shown: int = 0
    empty: int = 0


@dataclass(frozen=True)
class ZeroShotTests(_Strict):
    """The stage `zero-shot`: `found`, or why there is nothing."""

    why_not: str = ""
    found: Untaught | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    costs: Costs = Costs()


@dataclass(frozen=True)
class GenerationResults(_Strict):
    """One generation: what it is, and what its stages gave; None where a stage failed or is not made for it."""

    name: str
    title: str
    short: str
    colour: str
    year: int
    paper: str
    learns: str
    asks: str
    loss_unit: str
    abilities: tuple[str, ...]
    failures: tuple[Failure, ...]
    pretrain: Pretraining | None
    score: Scoring | None
    modes: dict[str, Transferred]
    words: WordTests | None
    senses: SenseTests | None
    refusal: str = ""  # why it can learn the task in no mode
    minimal: MinimalTests | None = None
    labels: LabelCurves | None = None
    layers: LayerCurve | None = None
    updates: UpdatesSaved | None = None
    tokens: TokenCurves | None = None
    probes: ProbeTests | None = None
    zero_shot: ZeroShotTests | None = None

    @property
    def failed(self) -> bool:
        """True when a stage failed."""
        return bool(self.failures)

    @property
    def cut(self) -> CutOff | None:
        """The cut of the mode that cut most; None where every text was read whole."""
        cuts = [mode.cut for mode in self.modes.values() if mode.cut.examples]
        return max(cuts, key=lambda cut: cut.examples, default=None)

    @property
    def surprise(self) -> Surprise | None:
        """How well it predicts the text, if it can."""
        return self.score.found if self.score else None

    @property
    def pretrain_cost(self) -> float:
        """CPU seconds of reading and pre-training, a teacher's too; by the clock where an earlier session did not count them, or 0."""
        if not self.pretrain:
            return 0.0
        known, teacher = self.pretrain.cpu_seconds, self.pretrain.teacher
        own = known if known is not None else self.pretrain.seconds + (self.pretrain.reading_seconds or 0.0)
        return own + (teacher.cost.cpu_seconds if teacher else 0.0)

    @property
    def bits(self) -> Interval | None:
        """Bits per character of the held-out text, if they are known."""
        return self.surprise.bits_per_character if self.surprise else None

    @property
    def minimal_share(self) -> Interval | None:
        """The share of minimal pairs judged right, the mean over phenomena, if it is known."""
        return self.minimal.found.mean if self.minimal and self.minimal.found else None


@dataclass(frozen=True)
class Baseline(_Strict):
    """A row that needs no pre-training; `missing` says which extra it lacks, and then it has no measures."""

    name: str
    title: str
    short: str
    head: str
    measures: dict[str, Interval]
    answers: tuple[Rows, ...]
    seconds: float
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    costs: Costs = Costs()
    settings: dict[str, float] = field(default_factory=dict)  # those that were chosen
    trials: int = 1  # values that they were chosen from
    blind: bool = False  # it answers without reading: a floor, which pictures may leave out
    missing: str = ""


@dataclass(frozen=True)
class Baselines(_Strict):
    """The stage `baselines`."""

    rows: tuple[Baseline, ...]


@dataclass(frozen=True)
class WordMaps(_Strict):
    """The stage `word-maps`: the same words in every generation that has word vectors."""

    words: tuple[str, ...]
    asked: bool  # they were named by the user
    missing: tuple[str, ...]
    maps: dict[str, tuple[tuple[float, float], ...]]  # by generation, a place for each word
    method: str
    neighbours: dict[str, dict[str, tuple[tuple[str, float], ...]]]  # word -> generation -> (word, cosine) of the nearest


@dataclass(frozen=True)
class Made(_Strict):
    """Which Stemma made the report, and when."""

    stemma: str
    commit: str | None
    date: str


@dataclass(frozen=True)
class TextFiles(_Strict):
    """The text that generations were pre-trained on."""

    paths: tuple[str, ...]
    documents: int
    sentences: int
    characters: int
    ledger: LedgerTotals
    held_out: HeldOut


@dataclass(frozen=True)
class TaskFiles(_Strict):
    """The task: its files, its label space, what is right on the dev file, and what it is judged by."""

    kind: str
    train: str
    dev: str
    targets: dict[str, Any]
    metrics: tuple[Metric, ...]  # the primary one first
    train_examples: int
    dev_examples: int
    gold: Rows
    texts: tuple[str, ...] = ()  # the beginning of each dev example

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of what may be answered; empty where answers are free."""
        return tuple(self.targets["labels"])

    @property
    def signatures(self) -> dict[str, str]:
        """Of metrics that others share a name with, by their names, what tells them apart."""
        return self.targets.get("signatures", {})

    @property
    def metric(self) -> Metric:
        """The primary metric."""
        return self.metrics[0]


@dataclass(frozen=True)
class Budget(_Strict):
    """What each generation could spend."""

    preset: str
    tokens: int
    seconds: float
    seeds: tuple[int, ...]
    modes: tuple[str, ...]


@dataclass(frozen=True)
class Machine(_Strict):
    """The machine and the software."""

    cpu: str
    cores: int | None
    memory_bytes: int | None
    system: str
    python: str
    torch: str | None
    numpy: str | None
    threads: int
    wall_seconds: float  # of the whole comparison
    others: float | None = None  # share of the cores that other programs took while stages were made, on average
    busy: str = ""  # a sentence for the reader when that was too much; empty otherwise
    changed: str = ""  # a sentence for the reader when stages were made under different threads or cores; empty otherwise


@dataclass(frozen=True)
class SenseFiles(_Strict):
    """The occurrences that senses are told apart in."""

    file: str
    how: str  # they were parted
    words: int
    senses: int
    train: int
    test: int
    majority: Interval  # of always naming the commonest sense
    majority_hits: tuple[int | None, ...]
    occurrences: tuple[tuple[str, str], ...]  # of the test part, each a word and its sense


@dataclass(frozen=True)
class Lead(_Strict):
    """How much better the first row of all is than another, in the primary metric counted so that more is better.

    The first was chosen by its figures, and `by` pays for that: it is wider than the interval of two rows named beforehand, and
    excludes zero in 2.5 % of comparisons at most if the other is as good as any.
    """

    first: str  # the generation
    first_mode: str
    other: str  # another generation in its better mode, or a baseline, whose mode is empty
    other_mode: str
    by: Interval


@dataclass(frozen=True)
class Finding(_Strict):
    """A theme, one sentence on it, and whose rows are its evidence."""

    about: str
    text: str
    rows: tuple[str, ...] = ()  # names of generations and baselines


@dataclass(frozen=True)
class Headline(_Strict):
    """The answer in two sentences, what a reader must know before believing them, and what stands behind them."""

    title: str = ""
    second: str = ""
    cautions: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Results(_Strict):
    """Everything that `report.json` holds and the page shows."""

    schema: int
    made: Made
    title: str
    corpus: TextFiles
    task: TaskFiles
    budget: Budget
    environment: Machine
    generations: tuple[GenerationResults, ...]
    baselines: tuple[Baseline, ...]
    senses: SenseFiles | None
    words: WordMaps | None
    notes: tuple[str, ...]
    command: str
    leads: tuple[Lead, ...] = ()  # of the first over each other generation, then over each baseline
    cautions: tuple[str, ...] = ()  # what a reader must know before believing the figures, in sentences for the first screen
    lacks: tuple[str, ...] = ()  # what the page lacks for want of an extra, and how to get it
    headline: Headline = Headline()


def read(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """The values, as JSON gives them or as `to_plain` made them, as `kind`.

    Raises DataError for a missing or unknown key or a value of the wrong type, naming it and `where` it stood.
    """
    from pydantic import ValidationError

    try:
        return _reader(kind).validate_json(json.dumps(to_plain(values)), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        expected = f"{kind.__name__} of schema {SCHEMA}"
        raise DataError(f"{where}: {place}: {problem['msg'].lower()}", expected, "make it again with stemma compare") from None


_READERS: dict[type, Any] = {}  # made once a class


def _reader(kind: type) -> Any:
    from pydantic import TypeAdapter  # 0.1 s to import: only where a file is read

    if kind not in _READERS:
        _READERS[kind] = TypeAdapter(kind)
    return _READERS[kind]
