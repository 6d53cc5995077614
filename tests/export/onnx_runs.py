"""Runs of tiny networks that have learnt nothing, kept in memory: what a file must agree with needs no sense."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from stemma.corpus.choices import Choice
from stemma.corpus.columns import Tagged
from stemma.corpus.questions import Question
from stemma.corpus.task import Example
from stemma.layers.weights import torch_uniform
from stemma.lineage.table import TABLE, Generation
from stemma.runs.assignment import Assignment
from stemma.runs.fitted import FittedRun
from stemma.runs.fixed import FixedNetwork, HeadOnStates, Networked, Probed
from stemma.runs.linear_head import LinearHead
from stemma.runs.moved import HeadedNetwork, Moved, frames_of
from stemma.runs.run import Run
from stemma.runs.settings import WAYS, InUse, chosen_layers
from stemma.tasks.table import make_task
from stemma.tasks.tag import Sentence
from stemma.tasks.task import Seat
from stemma.tokens.settings import Config
from stemma.tokens.tokenizer import Tokenizer, train

ENGLISH = ["the old sailor told the young sailor a story of the sea", "the cat of the old sailor sat in the rain 🌧"]
CHINESE = ["老水手给年轻的水手讲了一个故事", "大海的故事就是雨的故事"]
NETWORKS = [row for row in TABLE if row.learns == "descend"]
VOCABULARY = {"wordpiece": 96, "unigram": 96, "bpe": 300}


def tokenizer_of(row: Generation) -> Tokenizer:
    size = VOCABULARY.get(row.tokenizer, 60)

    def texts() -> Iterator[str]:
        yield from (ENGLISH + CHINESE) * 3

    return train(texts(), Config(kind=row.tokenizer, vocab_size=size))


def made(row: Generation, **sizes) -> Run:
    """A run of the row's tiny preset, with these settings of its model."""
    tokenizer = tokenizer_of(row)
    config = replace(row.model_config()(**row.presets()["tiny"].get("model", {})), **sizes)
    facts = tokenizer.facts(np.arange(1, tokenizer.vocab_size + 1))
    torch.manual_seed(5)
    if row.updates == "by hand":
        return Run(None, row, tokenizer, row.load_network().drawn(config, facts, torch_uniform))
    network = row.new_module(row.load_network().settle(config, torch.device("cpu")), facts).eval()
    for parameter in network.parameters():  # what begins at zero would hide what is wrong
        parameter.data.add_(0.05 * torch.randn(parameter.shape))
    return Run(None, row, tokenizer, network)


TAGS = Tagged(("Ann", "saw", "张三", "🌧"), ("B-PER", "O", "B-PER", "O"))
SPOKEN = [Sentence("Ann saw 张三 🌧", ((0, 3), (4, 7), (8, 10), (11, 12)), TAGS)]
EXAMPLES: dict[str, list] = {
    "classify": [Example("the old sailor", "sea"), Example("老水手的猫", "猫"), Example("a story", "story")],
    "pair": [Example("the old sailor", "same", "the young sailor"), Example("大海", "other", "雨")],
    "regress": [Example("the sea", "1.5", "the rain"), Example("大海的故事", "4", "雨的故事")],
    "choice": [Choice("the old sailor told", ("a story", "the rain", "雨"), 0)],
    "span": [Question("who told a story ?", "the old sailor told a story .", ((0, "the old sailor"),)), Question("谁？", "老水手在雨里。")],
    "tag": SPOKEN,
}
UNSEEN = {
    "classify": ["the cat of the sea", "雨的故事", "", "🌧", "x"],
    "pair": ["the cat\tthe old cat of the sailor", "雨\t大海的故事", "🌧\tx"],
    "regress": ["the cat\tthe old cat of the sailor", "雨\t大海的故事"],
    "choice": ["the sailor\tsat in the rain\ta cat\t故事", "雨\t大海\t猫"],
    "span": ["where is the cat ?\tthe cat of the old sailor sat in the rain", "谁？\t老水手给年轻的水手讲了一个故事"],
    "tag": ["Ann sat in the rain", "张三", "🌧 x", " "],
}


def fitted(row: Generation, task_name: str, way: str = "finetune", **sizes) -> FittedRun:
    """A run that would have learnt the task, had its head not been drawn."""
    run, task = made(row, **sizes), make_task(task_name)
    mode, head = WAYS[way]
    targets = task.targets(EXAMPLES[task_name])
    settings = InUse(mode=mode, head=head, precision="fp32", max_length=64)
    network = run.module()
    assignment = Assignment(row, run.tokenizer, network, task, targets, settings)
    torch.manual_seed(7)
    if mode == "finetune":
        frames = frames_of(assignment)
        model: Any = Moved(assignment, HeadedNetwork(network, task, targets, 0.0), frames, "fp32", {})
        drawn_anew(model.model.head)
        return FittedRun(assignment, model, {})
    fixed = FixedNetwork(assignment, network)
    if head == "network":
        empty = torch.zeros(fixed.depth, network.width)
        on_states = HeadOnStates(task.network(Seat(network.width, fixed.depth), targets), empty + 0.1, empty + 1.5).eval()
        drawn_anew(on_states.head)
        return FittedRun(assignment, Networked(fixed, on_states, {}), {})
    layers = chosen_layers((), fixed.depth)
    features = fixed.features(fixed.prepare(task.texts(EXAMPLES[task_name])), layers).shape[1]
    outputs = 2 if task_name == "span" else max(1, len(targets["labels"]))
    weights, biases = torch.randn(features, outputs).numpy(), torch.randn(outputs).numpy()
    linear = LinearHead(weights, biases, task.link(targets))
    return FittedRun(assignment, Probed(fixed, linear, torch.full((features,), 0.1), torch.full((features,), 1.5), {}, layers), {})


def drawn_anew(head: torch.nn.Module) -> None:
    for parameter in head.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape))
