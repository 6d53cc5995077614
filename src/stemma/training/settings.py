"""The section `training`, for each manner of learning."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from stemma.bounds import BelowOne, Length, Natural, NonNegative, Positive, PositiveFloat, Seed, Share
from stemma.config import ReadIf
from stemma.errors import UsageError

# BERT made 40 passes over its text. A text read again teaches less each time: four passes are nearly as good as new text, and from
# about 40 on more teach nothing (Muennighoff 2023, "Scaling data-constrained language models", section 6); word2vec.c makes 5 to 15.
MOST_PASSES = 40

Schedule = Literal["linear", "cosine", "constant", "inverse-sqrt", "slanted", "steps"]
OptimiserName = Literal["adamw", "bert-adam", "lamb", "adagrad", "sgd", "asgd", "muon"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]
Sharding = Literal["none", "full"]


@dataclass(frozen=True)
class HandConfig:
    """The section `training` of a generation that writes its own gradients: how long and how fast."""

    steps: Natural = 0  # updates; one of steps, epochs, tokens, seconds says how long
    epochs: NonNegative = 0  # passes over the corpus
    tokens: Natural = 0  # read, padding never and what word2vec thins out too; fewer than the text has: drawn by lot, read once at most
    seconds: NonNegative = 0  # turned into steps by timing the first ones
    most_passes: NonNegative = MOST_PASSES  # over the text, to which a preset's budget is cut; 0, as where you name the budget: any number
    batch_tokens: Length = 4096  # positions an update
    accumulate: Length = 1  # micro-batches an update
    rate: PositiveFloat = 5e-4  # peak learning rate
    schedule: Schedule = "linear"
    warmup: Share = 0.1  # share of the steps
    floor: Annotated[Share, ReadIf("schedule", "linear", "cosine")] = 0.0  # the last rate as a share of the peak
    flat_epochs: Annotated[Natural, ReadIf("schedule", "steps")] = 0  # passes at the peak
    decay_epochs: Annotated[Positive, ReadIf("schedule", "steps")] = 1  # passes from one division to the next
    decay: Annotated[PositiveFloat, ReadIf("schedule", "steps")] = 1.0  # what the rate is divided by each time
    seed: Seed = 0  # of all that is drawn: order, masks, first weights, dropout
    threads: Natural = 0  # 0: one or all, whichever is faster when the run begins; the run keeps to it
    held_out: Share = 0.01  # share of the corpus kept unread, when no dev text is given
    save_seconds: PositiveFloat = 120.0  # between states that resume can start from

    def __post_init__(self) -> None:
        if self.schedule == "steps" and self.decay == 1.0:
            raise UsageError("schedule steps with decay = 1.0, which never lowers the rate", "a decay above 1", "set training.decay to 2")


OWN: dict[OptimiserName, dict[str, Any]] = {  # the options that each optimiser honours, and what they are unless set
    "adamw": {"betas": (0.9, 0.999), "epsilon": 1e-8},
    "bert-adam": {"betas": (0.9, 0.999), "epsilon": 1e-6},  # google-research/bert, optimization.py
    "lamb": {"betas": (0.9, 0.999), "epsilon": 1e-6},  # google-research/albert, lamb_optimizer.py
    "adagrad": {"epsilon": 1e-10},
    "sgd": {"momentum": 0.0},
    "asgd": {},
    "muon": {"betas": (0.9, 0.95), "epsilon": 1e-8, "momentum": 0.95, "muon_rate": 0.0},
}


OPTIONS = ("betas", "epsilon", "momentum", "muon_rate")  # that not every optimiser has
INTERVAL = 5  # evaluations that may go by without a new best before asgd averages weights (Merity 2017, algorithm 1: n)
FEWEST_EVALUATIONS = INTERVAL + 3  # with which asgd can average: the one after INTERVAL + 1 may begin, and the last ends the run


@dataclass(frozen=True)
class Config(HandConfig):
    """The section `training` of a generation that learns by backpropagation.

    An option that is left out becomes the optimiser's own (`OWN`); one that the optimiser cannot honour is refused.
    """

    optimiser: OptimiserName = "adamw"
    weight_decay: NonNegative = 0.01  # of matrices; apart from the slope, but in adagrad, sgd and asgd added to it
    betas: tuple[BelowOne, BelowOne] | None = None  # of the means of slopes and of their squares
    epsilon: PositiveFloat | None = None  # added to the root of the mean square
    momentum: BelowOne | None = None  # of sgd (0: none) and of muon
    muon_rate: NonNegative | None = None  # peak rate of the blocks' matrices under muon; `rate` is the others'; 0: as `rate`
    average: BelowOne = 0.0  # the weights of this last share of the steps: their mean is evaluated and kept; 0: the last ones
    clip: NonNegative = 1.0  # global gradient norm; 0: off
    device: Device = "auto"
    precision: Precision = "auto"
    compile: bool = False  # torch.compile; on a CPU it seldom pays for its minute of compiling
    sharding: Sharding = "none"  # full: each of several processes (torchrun) keeps a part of the weights and of the optimiser's state
    evaluations: Natural = 5  # held-out losses on the way, evenly spaced
    evaluation_tokens: Positive = 50_000  # of the held-out text at most
    patience: Natural = 0  # held-out losses without a new best after which training stops, and keeps the best's weights; 0: neither

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience and not self.evaluations:
            wrong = f"patience = {self.patience} without evaluations"
            raise UsageError(wrong, "held-out losses on the way", "set training.evaluations, or training.patience to 0")
        if self.sharding != "none":
            self._check_sharding()
        if self.average and self.optimiser == "asgd":
            wrong = f"average = {self.average} with the optimiser asgd, which finds out by itself when to average"
            raise UsageError(wrong, "one of the two", "drop training.average, or choose sgd")
        for option in OPTIONS:
            own = OWN[self.optimiser].get(option)
            given = getattr(self, option)
            if given is None:
                object.__setattr__(self, option, own)  # so that the run folder says what was used
            elif own is None:
                wrong = f"{option} = {given} with the optimiser {self.optimiser}, which has none"
                able = [name for name, options in OWN.items() if option in options]
                raise UsageError(wrong, f"one of {', '.join(able)} with it", f"drop training.{option}")

    def _check_sharding(self) -> None:
        """UsageError for what holds whole weights in one place."""
        rivals = {"compile": self.compile, "patience": self.patience, "average": self.average, "optimiser": self.optimiser == "asgd"}
        for option in (name for name, given in rivals.items() if given):
            wrong = f'{option} = {getattr(self, option)} with sharding = "{self.sharding}", under which no process holds whole weights'
            raise UsageError(wrong, "one of the two", f'drop training.{option}, or set training.sharding to "none"')


@dataclass(frozen=True)
class CountConfig:
    """The section `training` of a generation that counts: it reads the corpus once."""

    tokens: Natural = 0  # tokens read at most, drawn by lot from all of the text; 0: all
    seed: Seed = 0  # of all that is drawn: order, masks, first weights, dropout
    held_out: Share = 0.01  # share of the corpus kept unread, when no dev text is given


SETTINGS = {"counts": CountConfig, "by hand": HandConfig, "backprop": Config}  # the section `training` by who makes the steps
BUDGETS = ("steps", "epochs", "tokens", "seconds")
