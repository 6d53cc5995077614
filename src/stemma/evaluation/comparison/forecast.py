"""What a comparison takes: reckoned before it (`--dry-run`), and compared with what is done while it goes.

Before it, every generation is rehearsed on a sample of the text; while it goes, rough guesses are corrected by what the finished
stages really took.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from stemma.evaluation.comparison.curve_stages import CURVES, TOKEN_SHARES
from stemma.evaluation.comparison.environment import Meter
from stemma.evaluation.comparison.plan import Comparison
from stemma.evaluation.comparison.results import TextRead
from stemma.evaluation.comparison.stages import Stages, sense_examples, stage_result, task_examples
from stemma.evaluation.measures.minimal_files import read_minimal_pairs
from stemma.evaluation.measures.minimal_pairs import ability_for, drawn
from stemma.evaluation.measures.word_files import read_analogies, read_pairs
from stemma.evaluation.report.wording import CONTROLS
from stemma.lineage.table import Generation, find
from stemma.training.facts import Ahead, Fact, Note, Report, StageEnd
from stemma.training.rehearse import Plan, rehearse

Seconds = dict[tuple[str, str], float]  # of a generation's stage
ROUGHLY = (0.5, 2.0)  # times a forecast is what comparisons really took: steps of another length, a machine busier or less so
CHARACTERS_A_TOKEN = 3.5  # roughly, of any tokenizer: for guesses alone
TOKEN_SECONDS = {"counts": 2e-6, "by hand": 4e-6}  # of training, roughly
BACKPROP_SECONDS = {"tiny": 1e-4, "small": 3e-4, "base": 3e-3}  # by preset
FORWARD = 1 / 3  # of a training step's time
A_STAGE = 0.5  # seconds of any stage: its files
AN_EXAMPLE = 1.5e-3  # seconds that one labelled example adds to the fit of a linear head
A_QUESTION = 1e-3  # seconds of a word pair or an analogy among the words of a vocabulary
DRAWN_ANEW = 4  # times a probed text is read: by the run, and by networks newly drawn
LAYERS = 4  # that are loaded, roughly, in as many ways
WITHOUT_BUDGET = 120.0  # seconds of pre-training where a preset's own budget holds


@dataclass(frozen=True)
class Speed:
    """What a generation takes to read the text, to be pre-trained, and for each token of training, in seconds."""

    reading: float
    training: float
    a_token: float
    characters_a_token: float = CHARACTERS_A_TOKEN


def guessed_speed(comparison: Comparison, row: Generation) -> Speed:
    """Without trying anything."""
    config = comparison.config
    a_token = TOKEN_SECONDS.get(row.updates, BACKPROP_SECONDS.get(config.preset, 3e-4))
    budget = config.budget_tokens * a_token or (config.budget_seconds if row.updates != "counts" else 0.0)
    return Speed(5.0, budget or (10.0 if row.updates == "counts" else WITHOUT_BUDGET), a_token)


def rehearsed_speed(plan: Plan) -> Speed:
    """As the rehearsal measured it."""
    cut = plan.corpus_characters / max(1, plan.corpus_tokens)
    return Speed(plan.reading_seconds, plan.training_seconds, plan.training_seconds / max(1, plan.tokens), cut)


def expected(comparison: Comparison, speed_of: Callable[[Generation], Speed]) -> Seconds:
    """Seconds of every stage of every generation, as long as it has one core or more to itself."""
    amounts = Amounts.of(comparison)
    found: Seconds = {}
    for name in comparison.generations:
        row = find(name)
        speed = speed_of(row)
        for stage in Stages(comparison, name, "", _silent).names():
            found[name, stage] = A_STAGE + _stage_seconds(comparison, row, stage, amounts, speed)
    return found


@dataclass(frozen=True)
class Amounts:
    """How much each stage has to read; lengths are the mean of a text's characters."""

    train: int  # labelled examples
    dev: int
    length: float  # of an example
    questions: int  # of word pairs and analogies
    occurrences: int  # of words whose senses are told apart
    sentence: float  # length of an occurrence's
    pairs: int  # minimal ones
    good: float  # length of one's sentence
    answers: int  # dev texts with each answer that a run is asked for before it has learnt the task; 0 where none is

    @classmethod
    def of(cls, comparison: Comparison) -> "Amounts":
        """Read off the files."""
        config, task = comparison.config, comparison.made_task()
        train, dev = task_examples(comparison)
        sides = sense_examples(comparison) if config.senses else ([], [])
        occurrences = [occurrence.sentence for side in sides for occurrence in side]
        pairs = drawn(read_minimal_pairs(config.minimal_pairs), config.minimal_limit) if config.minimal_pairs else []
        questions = sum(len(read_pairs(path)) for path in config.similarity) + sum(len(read_analogies(path)) for path in config.analogies)
        written = [task.written(example) for example in train[:: max(1, len(train) // 200)]]
        figures = (_mean_length(written), questions, len(occurrences), _mean_length(occurrences))
        answers = len(dev) * max(2, len(task.targets(dev)["labels"])) if config.zero_shot else 0
        return cls(len(train), len(dev), *figures, len(pairs), _mean_length([pair.good for pair in pairs]), answers)


def _mean_length(texts: Sequence[str]) -> float:
    return sum(map(len, texts)) / len(texts) if texts else 0.0


def _stage_seconds(comparison: Comparison, row: Generation, stage: str, amounts: Amounts, speed: Speed) -> float:
    """Texts x their tokens x the time of one, as often as the stage reads them."""
    forward = FORWARD * speed.a_token / speed.characters_a_token  # of a character
    if stage == "pretrain":
        return speed.reading + speed.training
    if stage == "score":
        return comparison.config.held_out_characters * forward
    if stage == "words":
        return amounts.questions * A_QUESTION
    if stage == "senses":
        return amounts.occurrences * amounts.sentence * forward
    if stage == "minimal-pairs":
        masked = amounts.good / speed.characters_a_token if ability_for(row) == "fill" else 1.0  # each token by itself
        return 2 * amounts.pairs * amounts.good * forward * max(1.0, masked)
    if stage == "probes":
        return len(comparison.config.probes) * comparison.config.probe_limit * (DRAWN_ANEW * amounts.length * forward + AN_EXAMPLE)
    if stage in CURVES:
        trained = sum(TOKEN_SHARES) * speed.training if stage == "tokens" else 0.0
        carried = [(times, _transfer_seconds(comparison, row, way, amounts, speed)) for way, times in _transfers(comparison, row, stage)]
        return trained + sum(times * seconds for times, seconds in carried)
    if stage == "zero-shot":
        return amounts.answers * amounts.length * forward
    return _transfer_seconds(comparison, row, stage, amounts, speed)


def _transfers(comparison: Comparison, row: Generation, stage: str) -> list[tuple[str, float]]:
    """The transfers that a curve is made of beyond the ordinary ones, and how many of each."""
    config = comparison.config
    if stage == "labels":
        shares = sum(share for share in config.label_shares if share < 1)
        return [(way, shares) for way in Stages(comparison, row.name, "", _silent).modes()]
    if stage == "layers":
        return [("finetune", LAYERS)]
    if stage == "tokens":
        modes = Stages(comparison, row.name, "", _silent).modes()
        return [(way, len(TOKEN_SHARES)) for way in modes if way not in CONTROLS.values()]
    trials_too = config.seeds / (config.trials + config.seeds - 1)
    return [(way, trials_too) for way in ("finetune", "scratch")]


def _transfer_seconds(comparison: Comparison, row: Generation, way: str, amounts: Amounts, speed: Speed) -> float:
    """Of one way to carry a run over: as many fits as trials and further seeds, and reading the texts."""
    settings = comparison.transfer_config(way)
    length = min(amounts.length / speed.characters_a_token, settings.max_length)  # tokens that are read of an example
    a_head = amounts.train * AN_EXAMPLE
    if row.learns == "count":  # no steps: each trial reads the texts once, and fits a head or counts
        return settings.budget * (a_head + amounts.train * length * speed.a_token)
    fits = settings.budget + len(settings.seeds) - 1
    examples = max(settings.epochs * amounts.train, settings.updates * settings.batch_size)
    reading = (amounts.train + amounts.dev) * length * FORWARD * speed.a_token
    drawn_anew = len(settings.seeds) if way.startswith("random") else 1
    moving = way in ("finetune", "scratch")
    found = reading * fits + fits * examples * length * speed.a_token if moving else reading * drawn_anew + fits * a_head
    return settings.first_on_text * speed.a_token + min(found, settings.budget_seconds or math.inf)


class Whole:
    """Follows a comparison by its facts, and reports after every stage how much is done and how long the rest may take.

    A `Report` itself: what it hears it hands on to `report`.
    """

    def __init__(self, comparison: Comparison, report: Report, seconds: Seconds | None = None) -> None:
        self._report, self._parallel = report, comparison.config.parallel
        self._left = dict(seconds or expected(comparison, lambda row: guessed_speed(comparison, row)))
        self._all, self._stages, self._done = sum(self._left.values()), len(self._left), 0
        self._reckoned = self._took = 0.0  # of the stages that were made since: what was expected, what they took

    def __call__(self, fact: Fact) -> None:
        """Hands the fact on; after the end of a stage, how far all has come."""
        self._report(fact)
        if isinstance(fact, StageEnd):
            self._end(fact)
            self._report(self.ahead())

    def ahead(self) -> Ahead:
        """How far all has come."""
        pace = self._took / self._reckoned if self._reckoned else 1.0
        left = sum(self._left.values())
        at_once = max(1, min(self._parallel, len({name for name, _ in self._left})))
        return Ahead(self._done, self._stages, 1.0 - left / self._all if self._all else 1.0, left * pace / at_once)

    def _end(self, fact: StageEnd) -> None:
        over = [place for place in self._left if place == (fact.of, fact.stage)]
        if fact.how == "failed" and fact.stage == "pretrain":  # nothing else of it is tried
            over = [place for place in self._left if place[0] == fact.of]
        for place in over:
            reckoned = self._left.pop(place)
            self._done += 1
            if fact.how == "made":
                self._reckoned, self._took = self._reckoned + reckoned, self._took + fact.seconds


@dataclass(frozen=True)
class Forecast:
    """What a comparison would compute, of which nothing was kept."""

    title: str
    generations: tuple["GenerationForecast", ...]
    parallel: int
    seconds: float  # in all, by the clock
    memory_mib: float  # of the most demanding that are computed at once
    disk_mib: float
    roughly: tuple[float, float] = ROUGHLY  # times `seconds` it may really take


@dataclass(frozen=True)
class GenerationForecast:
    """One generation: its rehearsal, and the seconds of the stages that are still to be made."""

    plan: Plan
    stages: dict[str, float]
    finished: tuple[str, ...] = field(default=())  # stages that an earlier call has made


def forecast(comparison: Comparison, report: Report) -> Forecast:
    """Rehearses every generation on a sample of the text; trains no more than a few steps aside, and writes nothing that stays."""
    plans: dict[str, Plan] = {}
    for name in comparison.generations:
        report(Note("a rehearsal", of=name))
        with Meter():  # each one's memory is its own
            teacher = find(name).teacher
            plans[name] = rehearse(comparison.request(name), comparison.request(teacher) if teacher else None)
    seconds = expected(comparison, lambda row: rehearsed_speed(plans[row.name]))
    rows = tuple(_of_generation(comparison, name, plans[name], seconds) for name in comparison.generations)
    at_once = comparison.config.parallel
    whole = [sum(row.stages.values()) for row in rows]
    memory = sorted((row.plan.memory_mib for row in rows), reverse=True)[:at_once]
    return Forecast(
        comparison.title,
        rows,
        at_once,
        max(sum(whole) / at_once, *whole, 0.0),
        sum(memory),
        sum(_disk_mib(comparison, row) for row in rows),
    )


def _of_generation(comparison: Comparison, name: str, plan: Plan, seconds: Mapping[tuple[str, str], float]) -> GenerationForecast:
    read = stage_result(comparison.root, "ingest", TextRead)
    stages = Stages(comparison, name, read.key if read else "", _silent)
    finished = tuple(stage for stage in stages.names() if read and (comparison.root / "held-out.json").exists() and stages.kept(stage))
    return GenerationForecast(plan, {stage: seconds[name, stage] for stage in stages.names() if stage not in finished}, finished)


def _disk_mib(comparison: Comparison, row: GenerationForecast) -> float:
    """The run, its token store, and a model of the same size for each way of transfer that keeps one, and for each run on fewer tokens."""
    kept = [way for way in row.stages if way in ("finetune", "frozen", "frozen-network")] + [*TOKEN_SHARES] * ("tokens" in row.stages)
    return row.plan.disk_mib + len(kept) * row.plan.parameters * 4 / 2**20


def _silent(_: Fact) -> None:
    """Progress that nobody watches."""
