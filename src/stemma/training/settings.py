"""The section `training`, for each manner of learning, and the facts that training tells."""

from dataclasses import dataclass, field
from typing import Literal

from stemma.config import Natural, NonNegative, Positive, PositiveFloat, Share

Schedule = Literal["linear", "cosine", "constant"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class HandConfig:
    """The section `training` of a generation that writes its own gradients: how long and how fast."""

    steps: Natural = 0  # updates; one of steps, epochs, tokens, seconds says how long
    epochs: NonNegative = 0  # passes over the corpus
    tokens: Natural = 0  # real tokens, padding never counts
    seconds: NonNegative = 0  # turned into steps by timing the first ones
    batch_tokens: Positive = 4096  # positions an update
    accumulate: Positive = 1  # micro-batches an update
    rate: PositiveFloat = 5e-4  # peak learning rate
    schedule: Schedule = "linear"
    warmup: Share = 0.1  # share of the steps
    floor: Share = 0.0  # the last rate as a share of the peak
    seed: Natural = 0
    threads: Natural = 0  # 0: as many as torch chooses
    held_out: Share = 0.01  # share of the corpus kept unread, when no dev text is given
    save_seconds: PositiveFloat = 120.0  # between states that resume can start from


@dataclass(frozen=True)
class Config(HandConfig):
    """The section `training` of a generation that learns by backpropagation."""

    weight_decay: NonNegative = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: PositiveFloat = 1e-8
    clip: NonNegative = 1.0  # global gradient norm; 0: off
    device: Device = "auto"
    precision: Precision = "auto"
    compile: bool = False  # torch.compile; on a CPU it seldom pays for its minute of compiling
    evaluations: Natural = 5  # held-out losses on the way, evenly spaced
    evaluation_tokens: Positive = 50_000  # of the held-out text at most


@dataclass(frozen=True)
class CountConfig:
    """The section `training` of a generation that counts: it reads the corpus once."""

    tokens: Natural = 0  # tokens read at most, from the start of the store; 0: all
    seed: Natural = 0
    held_out: Share = 0.01  # share of the corpus kept unread, when no dev text is given


SETTINGS = {"counts": CountConfig, "by hand": HandConfig, "backprop": Config}  # the section `training` by who makes the steps
BUDGETS = ("steps", "epochs", "tokens", "seconds")


@dataclass(frozen=True)
class Fact:
    """Something that happened in training."""

    kind: Literal["step", "epoch", "eval", "save", "note"]
    step: int  # updates made
    steps: int  # updates in all
    tokens: int = 0  # real tokens read so far
    loss: float = float("nan")  # nats per prediction, unless the generation says otherwise (a squared error)
    rate: float = 0.0
    seconds: float = 0.0  # of training so far, earlier sessions of the run included
    tokens_per_second: float = 0.0
    seconds_left: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    message: str = ""
    of: str = ""  # whose it is, where several train at once
    count: int = 0  # predictions that `loss` is the mean of
    epoch: float = 0.0  # passes over the text so far; a whole number where an epoch has ended
