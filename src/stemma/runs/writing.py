# ruff: noqa: F722 (axis names stand in annotations)
"""A network that writes a target for each source, put to the tasks of targets: how pairs become tokens, and sources targets.

Axes: N pairs, B batch, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float

from stemma.layers.weights import load_weights, to_tensors, weights
from stemma.objectives.batch import IGNORE, Batch
from stemma.objectives.translation import Marks, paired
from stemma.runs import decoding
from stemma.runs.assignment import Assignment
from stemma.runs.decoding import Decoding, Wanted, Written, always
from stemma.runs.framing import under_budget
from stemma.runs.moved import new_tokens
from stemma.runs.prefixed import Prefixed
from stemma.tasks.task import Text
from stemma.tasks.translate import Target
from stemma.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TokenPairs:
    """Sources and targets as ids without specials, cut to what the network reads and writes of each."""

    ids: tuple[np.ndarray, ...]  # of each source
    targets: tuple[np.ndarray, ...]  # empty where the target is to be written
    cut_targets: np.ndarray  # (N) True where no end is to be learnt, the target being cut
    lost: tuple[int, ...]  # tokens that were cut off both sides
    known: np.ndarray  # (N) True for each source that had a token of the vocabulary
    marks: Marks
    unread: int = 0  # units without a token, of which a pair has none

    @property
    def cut(self) -> int:
        """Pairs shortened to fit."""
        return sum(map(bool, self.lost))

    @property
    def tokens_cut(self) -> int:
        """And the tokens that cost."""
        return sum(self.lost)

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each pair (N): of the source and its end, of the target and its begin."""
        return np.array([len(source) + len(target) + 2 for source, target in zip(self.ids, self.targets, strict=True)], dtype=np.int64)

    def batch(self, rows: np.ndarray, sources: np.ndarray | None = None) -> Batch:
        """These pairs as a network that translates learns them; `sources` names pairs that each one's source comes from instead."""
        sides = [self.ids[row] for row in (rows if sources is None else sources)], [self.targets[row] for row in rows]
        lengths = np.array([[len(text) for text in side] for side in sides], dtype=np.int64)  # (2 B)
        first = np.concatenate([[0], np.cumsum(lengths.ravel())[:-1]]).reshape(lengths.shape)
        batch = paired(np.concatenate([*sides[0], *sides[1]]), first.T, lengths.T, self.marks)
        cut = self.cut_targets[rows]
        batch["labels"][cut, lengths[1][cut]] = IGNORE  # a target goes on where it was cut
        return batch


def writes(assignment: Assignment, network: Any) -> Any:
    """What the network writes targets by (`lineage.network.Translates`): itself, or an input transformation, for which it grows."""
    return Prefixed(network, assignment.tokenizer.vocab_size) if new_tokens(network, assignment.task) else network


def token_pairs(assignment: Assignment, texts: Sequence[Text]) -> TokenPairs:
    """Tokenises the pairs; of a side with more than `max_length` positions, its end or begin among them, the rest is cut.

    A network that reads source and target in one row has half of its positions for each.
    """
    network, tokenizer, max_length = assignment.network, assignment.tokenizer, assignment.settings.max_length
    one_row = bool(new_tokens(network, assignment.task))
    window = network.max_length // 2 if one_row else network.max_length
    room = min(max_length, window or max_length) - 1
    sources, targets = (tokenizer.encode_batch(side) for side in ([text.text for text in texts], [text.other for text in texts]))
    long_by = [[max(0, len(ids) - room) for ids in side] for side in (sources, targets)]
    return TokenPairs(
        tuple(ids[:room] for ids in sources),
        tuple(ids[:room] for ids in targets),
        np.array(long_by[1], bool),
        tuple(map(sum, zip(*long_by, strict=True))),
        tokenizer.knows([text.text for text in texts]),
        Prefixed.marks(tokenizer.vocab_size) if one_row else Marks.of(tokenizer.facts()),
    )


def side_lengths(tokenizer: Tokenizer, texts: Sequence[Text]) -> np.ndarray:
    """Positions of each pair's longer side (N), its end or begin among them, if nothing were cut."""
    sides = (tokenizer.encode_flat(side)[1] for side in ([text.text for text in texts], [text.other for text in texts]))
    longer: np.ndarray = np.maximum(*sides) + 1
    return longer


@dataclass
class Writer:
    """A network that translates, ready to write as the task's settings say."""

    assignment: Assignment
    network: Any  # an `nn.Module`
    facts: dict[str, Any]

    @classmethod
    def restore(cls, assignment: Assignment, arrays: Mapping[str, np.ndarray], facts: dict[str, Any]) -> Self:
        """The network from its saved tensors; the assignment's gives the shape alone."""
        writes(assignment, assignment.network)
        load_weights(assignment.network, arrays)
        return cls(assignment, assignment.network, facts)

    @property
    def writes(self) -> Any:
        """What the network writes by."""
        return writes(self.assignment, self.network)

    def prepare(self, texts: Sequence[Text]) -> TokenPairs:
        """Tokenises."""
        return token_pairs(self.assignment, texts)

    def together(self, several: Sequence[TokenPairs]) -> list[TokenPairs]:
        """Each by itself."""
        return list(several)

    def answers(self, pairs: TokenPairs) -> list[Target]:
        """The target of each source."""
        return [Target(best.text, best.log_prob) for best, *_ in self.translations(pairs, self.decoding)]

    @property
    def decoding(self) -> Decoding:
        """How the task's settings have targets written."""
        task = self.assignment.task.config
        return Decoding(temperature=1.0 if task.beams > 1 else 0.0, beams=task.beams, length_penalty=task.length_penalty)

    @torch.inference_mode()
    def translations(self, pairs: TokenPairs, options: Decoding, samples: int = 1, wanted: Wanted = always) -> list[list[Written]]:
        """The `samples` best targets of each source, best first; each is what it would be alone."""
        self.network.eval()
        sources = [ids.tolist() for ids in pairs.ids]
        return decoding.translate(self.writes, self.assignment.tokenizer, sources, options, samples, wanted)

    @torch.inference_mode()
    def vectors(self, pairs: TokenPairs) -> Float[np.ndarray, "N D"]:
        """The network's own summary of each source."""
        self.network.eval()
        device, by = next(self.network.parameters()).device, self.writes
        found = np.zeros((len(pairs.ids), self.network.width), np.float32)
        for rows in under_budget(pairs.lengths, np.arange(len(pairs.ids)), self.assignment.settings.batch_tokens):
            batch = to_tensors(pairs.batch(rows), device)
            found[rows] = by.summary(by.encode(batch), batch).float().cpu().numpy()
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """The network's tensors."""
        return weights(self.network)
