"""The sections `transfer`, how a run is carried over to a task, the same for all, and `distill`, how a student learns it from a teacher."""

import re
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, MinLen

from stemma.bounds import Natural, NonNegative, Positive, PositiveFloat, Seed, Share
from stemma.config import ReadIf
from stemma.errors import UsageError
from stemma.nouns import counted
from stemma.runs.settings import InUse, Mode

__all__ = ["Config", "Distilling", "Mode"]

MOVES, CARRIED = ReadIf("mode", "finetune", "scratch"), ReadIf("mode", "finetune")  # all of the network, and from what it had learnt
PRETRAINED = ReadIf("mode", "finetune", "frozen")


@dataclass(frozen=True)
class Config(InUse):
    """One switch, `mode`, and for a fixed network its `head`; the rest has defaults for every generation."""

    train_limit: Natural = 0  # labelled examples to learn from at most, drawn by lot, the same ones for every run and seed; 0: all
    grid: tuple[PositiveFloat, ...] = ()  # values tried of the head's one knob (a rate, a C, a prior's weight); empty: the head's own
    budget: Positive = 3  # trials at most; a longer grid is thinned evenly: every generation has equally many
    budget_seconds: NonNegative = 0.0  # for trials and seeds, by the time of the first; the middle of the grid comes first then; 0: any
    seeds: Annotated[tuple[Seed, ...], MinLen(1)] = (1, 2, 3)  # of dropout, order and new tensors; the first one makes the trials
    crossed: bool = False  # each value with each seed, and the value of the best mean; else further seeds of the first one's best alone
    selection_share: Annotated[float, Gt(0), Le(0.5)] = 0.1  # of the training examples, held out to choose from the grid
    selection_limit: Positive = 1000  # examples held out at most
    epochs: Positive = 3  # passes over the learning part; more where they come to fewer updates than `updates`
    updates: Natural = 300  # fewest updates, no limit: few examples are read more often than `epochs` (Mosbach 2021); 0: epochs alone
    batch_size: Positive = 32  # examples an update
    threads: Natural = 0  # 0: one or all, whichever is faster when it begins
    warmup: Share = 0.1  # share of the updates
    weight_decay: NonNegative = 0.01  # on matrices only
    clip: NonNegative = 1.0  # global gradient norm
    dropout: Annotated[float, Ge(0), Le(0.9)] = 0.1  # before the head
    standardise: Annotated[bool, MOVES] = True  # the head reads standardised states while it learns, and takes that into itself at the end
    first_on_text: Annotated[Natural, PRETRAINED] = 0  # tokens of the training texts that the network reads first, without labels
    patience: Annotated[Natural, MOVES] = 0  # measurements on held-out examples without a better one, after which learning ends; 0: none
    evaluations: Annotated[Positive, ReadIf("patience")] = 10  # such measurements at most, evenly spaced; the best one's weights are kept
    auxiliary: Annotated[NonNegative, MOVES] = 0.0  # weight of the language-model loss beside the task's (Radford 2018: 0.5)
    layer_decay: Annotated[float, Gt(0), Le(1), MOVES] = 1.0  # rate of a layer over that of the one above (Howard 2018: 1/2.6)
    load_layers: Annotated[str, CARRIED] = ""  # the lower layers that are loaded, as 0-3 (0: the embeddings); the others are drawn anew
    freeze_layers: Annotated[str, CARRIED] = ""  # the lower layers that stand still, as 0-1
    lora: Annotated[Natural, CARRIED] = 0  # rank of adapters beside attention's matrices, which alone learn with what is new (Hu 2021)
    lora_alpha: Annotated[PositiveFloat, ReadIf("lora")] = 16.0  # what an adapter adds is multiplied by this over the rank
    lora_feedforward: Annotated[bool, ReadIf("lora")] = False  # adapters beside the feed-forward matrices too
    unfreeze: Annotated[NonNegative, CARRIED] = 0.0  # epochs from one layer's start to the next, the head first (Howard 2018); 0: at once

    def __post_init__(self) -> None:
        for name, text in (("load_layers", self.load_layers), ("freeze_layers", self.freeze_layers)):
            lowest(name, text)
        for name, values in (("seeds", self.seeds), ("grid", self.grid)):
            if len({*values}) < len(values):
                wrong = f"{name} = {list(values)}, in which one stands twice"
                raise UsageError(wrong, "different ones: the same again makes the same model again", "name each once")


def in_words(config: Config) -> list[str]:
    """What the settings do beside the mode, for the card; nothing of those that are left as they are."""
    loaded, still, decay = config.load_layers, config.freeze_layers, config.layer_decay
    every = "epoch" if config.unfreeze == 1 else f"{config.unfreeze:g} epochs"
    adapted = "attention and feed-forward" if config.lora_feedforward else "attention"
    found = {
        f"{_named(loaded)} {'were' if '-' in loaded else 'was'} loaded, the layers above drawn anew": loaded,
        f"{_named(still)} stood still": still,
        f"only adapters of rank {config.lora} beside matrices of {adapted} learnt with what was new, and were added to them": config.lora,
        f"one layer more began to move every {every}, from the top": config.unfreeze,
        f"each layer's rate was {decay:g} of that of the one above": decay < 1,
        f"of every model the weights are kept that were best of {config.evaluations} measurements on the held-out examples; "
        f"learning ended after {counted(config.patience, 'measurement')} without a better one": config.patience,
        f"the language-model loss counted {config.auxiliary:g} beside the task's": config.auxiliary,
    }
    return [words for words, holds in found.items() if holds]


def _named(layers: str) -> str:
    return f"layer{'s' * ('-' in layers)} {layers}"


def lowest(setting: str, text: str) -> int:
    """How many of the lowest layers a setting of layers names; 0 where it is empty.

    >>> lowest("freeze_layers", "0-3"), lowest("freeze_layers", "0")
    (4, 1)
    """
    if not text:
        return 0
    if not (found := re.fullmatch(r"0(?:-(\d{1,4}))?", str(text), re.ASCII)):
        wrong = f"{setting} = {text!r}"
        raise UsageError(wrong, "layers from the bottom up, of which 0 is the embeddings", f"write it like transfer.{setting}=0-3")
    return int(found[1] or 0) + 1


@dataclass(frozen=True)
class Distilling:
    """How a student learns a task from a teacher, in two steps (`transfer.distill`)."""

    epochs: Positive = 10  # passes of the first step; more where they come to fewer updates than `updates` (the authors' README)
    updates: Natural = 300  # fewest updates of the first step
    rate: NonNegative = 0.0  # of the first step, constant; 0: the middle one of those tried in the second
    temperature: PositiveFloat = 1.0  # that the teacher's and the student's scores are divided by
    augment: Natural = 0  # further texts made of each example, in which words are replaced; 0: none
    share: Share = 0.4  # of a text's words that are replaced (p)
    candidates: Positive = 15  # words that may stand for a word (M)
