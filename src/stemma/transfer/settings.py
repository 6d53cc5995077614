"""The sections `transfer`, how a run is carried over to a task, the same for all, and `distill`, how a student learns it from a teacher."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, MinLen

from stemma.bounds import Natural, NonNegative, Positive, PositiveFloat, Seed, Share
from stemma.config import ReadIf
from stemma.runs.settings import InUse, Mode

__all__ = ["Config", "Distilling", "Mode"]

MOVES, CARRIED = ReadIf("mode", "finetune", "scratch"), ReadIf("mode", "finetune")  # all of the network, and from what it had learnt


@dataclass(frozen=True)
class Config(InUse):
    """One switch, `mode`, and for a fixed network its `head`; the rest has defaults for every generation."""

    train_limit: Natural = 0  # labelled examples to learn from at most, drawn by lot, the same ones for every run and seed; 0: all
    grid: tuple[PositiveFloat, ...] = ()  # values tried of the head's one knob (a rate, a C, a prior's weight); empty: the head's own
    budget: Positive = 3  # trials at most; a longer grid is thinned evenly: every generation has equally many
    seeds: Annotated[tuple[Seed, ...], MinLen(1)] = (1, 2, 3)  # of dropout, order and new tensors; the first one makes the trials
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
    auxiliary: Annotated[NonNegative, MOVES] = 0.0  # weight of the language-model loss beside the task's (Radford 2018: 0.5)
    layer_decay: Annotated[float, Gt(0), Le(1), MOVES] = 1.0  # rate of a layer over that of the one above
    moving: Annotated[int, Ge(-1), CARRIED] = -1  # top layers that move when fine-tuning; -1: all of them and the embeddings
    unfreeze: Annotated[NonNegative, CARRIED] = 0.0  # epochs from one layer's start to the next, the head first (Howard 2018); 0: at once
    redraw: Annotated[Natural, CARRIED] = 0  # top layers drawn anew before fine-tuning (Zhang 2021: helps on few examples)


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
