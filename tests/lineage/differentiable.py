"""The objectives of word2vec and GloVe as PyTorch differentiates them: what their kernels are held against.

P predictions, C words of a context, K negatives, D width, N tokens, L nodes of a path.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stemma.layers.loss import Loss
from stemma.layers.weights import torch_uniform
from stemma.objectives.cooccurrence import entries


class Differentiable(nn.Module):
    """Tables as parameters in the same memory: what descends by hand moves these too."""

    def __init__(self, kind, config, facts):
        super().__init__()
        self.config, self.tables = config, kind.drawn(config, facts, torch_uniform)
        for name, table in self.tables.tables.items():
            if name != "counts":
                self.register_parameter(name, nn.Parameter(torch.from_numpy(table)))

    def word_vectors(self):
        return self.tables.word_vectors()


class GloVeLoss(Differentiable):
    def loss(self, batch):
        """The mean cost of an entry of X."""
        rows, columns, values = (torch.from_numpy(array) for array in entries({name: np.asarray(array) for name, array in batch.items()}))
        score = (self.words[rows] * self.contexts[columns]).sum(1) + self.word_biases[rows] + self.context_biases[columns]  # (P)
        weight = (values / self.config.x_max).clamp(max=1) ** self.config.alpha
        return Loss((weight * (score - values.log()) ** 2 / 2).mean(), len(values))


class Word2VecLoss(Differentiable):
    def loss(self, batch):
        """The mean loss of a prediction, on `inputs`, `targets`, `negatives` of the batch or on fresh draws."""
        drawn = batch if "targets" in batch else self.draw(batch)
        inputs, targets, negatives = drawn["inputs"], drawn["targets"], drawn["negatives"]
        x = self.composed_inputs(inputs) if self.config.subwords else self.mean_inputs(inputs)  # (P D)
        total = x.new_zeros(())
        if self.config.output != "hierarchical":
            positive = (x * self.output[targets]).sum(-1)  # (P)
            negative = torch.einsum("pd,pkd->pk", x, self.output[negatives])  # (P K)
            skipped = negatives == targets[:, None]
            total = total + F.softplus(-positive).sum() + F.softplus(negative).masked_fill(skipped, 0).sum()
        if self.config.output != "negative":
            owner, nodes, signs = self.turns(targets)
            total = total + F.softplus(-signs * (x[owner] * self.nodes[nodes]).sum(-1)).sum()
        return Loss(total / max(len(targets), 1), len(targets))

    def mean_inputs(self, inputs):
        real = (inputs >= 0)[:, :, None]  # (P C 1)
        return (self.input[inputs.clamp(min=0)] * real).sum(1) / real.sum(1)

    def composed_inputs(self, inputs):
        """The mean (P D) of all rows of each prediction's words."""
        starts, rows = self.tables.grams
        groups = [[word for word in group if word >= 0] for group in inputs.tolist()]
        bags = [np.concatenate([rows[starts[word] : starts[word + 1]] for word in group]) for group in groups]
        offsets = np.cumsum([0, *map(len, bags)])[:-1]
        return F.embedding_bag(torch.from_numpy(np.concatenate([*bags, rows[:0]])).long(), self.subwords, torch.from_numpy(offsets))

    def turns(self, targets):
        """All nodes (sum of L) on the targets' paths: whose they are, their rows, and +1 or -1 for the turn."""
        tree, ids = self.tables.tree, targets.numpy()
        owner = np.repeat(np.arange(len(ids)), tree.lengths[ids])
        places = np.concatenate([np.arange(tree.starts[i], tree.starts[i + 1]) for i in ids] or [np.zeros(0, np.int64)])
        nodes, signs = tree.nodes[places].astype(np.int64), 1 - 2 * tree.bits[places].astype(np.float32)
        return torch.from_numpy(owner), torch.from_numpy(nodes), torch.from_numpy(signs)

    def draw(self, batch):
        """Predictions of a chunk from torch's generator: `inputs` (P C), -1 where empty; `targets` (P); `negatives` (P K)."""
        words, starts, window = batch["words"].long(), batch["starts"], self.config.window
        sentence = torch.searchsorted(starts, torch.arange(len(words)), right=True)
        radius = torch.randint(1, window + 1, (len(words),))
        offsets = torch.tensor([o for o in range(-window, window + 1) if o])
        near = torch.arange(len(words))[:, None] + offsets  # (N 2*window)
        inside = (near >= 0) & (near < len(words)) & (offsets.abs() <= radius[:, None])
        near = near.clamp(0, max(len(words) - 1, 0))
        inside &= sentence[near] == sentence[:, None]
        if self.config.architecture == "skipgram":
            inputs, targets = words[near[inside]][:, None], words[:, None].expand_as(near)[inside]
        else:
            some = inside.any(1)
            inputs, targets = words[near].masked_fill(~inside, -1)[some], words[some]
        size = (len(targets), self.config.negatives)
        negatives = torch.multinomial(torch.from_numpy(self.tables.weights), max(len(targets), 1) * size[1], replacement=True)
        return {"inputs": inputs, "targets": targets, "negatives": negatives[: size[0] * size[1]].view(size)}
