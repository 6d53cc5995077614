"""The peer of translation: transformers' MarianMT of our shape, trained in a plain loop, or with our weights."""

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from transformers import MarianConfig, MarianMTModel, get_scheduler
from transformers.trainer_pt_utils import LabelSmoother

from stemma.layers.loss import Loss
from stemma.layers.positions import sinusoids
from stemma.objectives.batch import IGNORE
from stemma.runs.decoding import LONGER
from stemma.runs.run import Run
from stemma.tokens.facts import TokenFacts
from stemma.training.backprop import to_tensors
from stemma.training.precision import autocast

logging.getLogger("transformers").setLevel(logging.ERROR)
Ids = list[int]
NEVER = -1e4  # the score of what is never written


class Marian(nn.Module):
    """A MarianMT with one token more than ours, for padding, which its embeddings hold at zero."""

    def __init__(self, model: Any, tokens: TokenFacts) -> None:
        super().__init__()
        self.config, self.end, self.pad = model, tokens.specials["eos"], tokens.vocab_size
        self.begin = tokens.specials.get("bos", self.end)
        settings = {"vocab_size": tokens.vocab_size + 1, "d_model": model.width, "max_position_embeddings": model.max_length}
        settings |= {"encoder_layers": model.depth, "decoder_layers": model.decoder_depth or model.depth}
        settings |= {f"{side}_attention_heads": model.heads for side in ("encoder", "decoder")}
        settings |= {f"{side}_ffn_dim": model.inner for side in ("encoder", "decoder")}
        settings |= {"dropout": model.dropout, "attention_dropout": model.dropout, "activation_dropout": 0.0, "activation_function": "relu"}
        settings |= {"pad_token_id": self.pad, "eos_token_id": self.end, "bos_token_id": self.begin, "decoder_start_token_id": self.begin}
        more = {"scale_embedding": True, "tie_word_embeddings": True, "forced_eos_token_id": None, "init_std": model.width**-0.5}
        self.network = MarianMTModel(MarianConfig(**settings, **more))
        waves = sinusoids(model.max_length, model.width, model.positions)
        for side in (self.network.model.encoder, self.network.model.decoder):
            side.embed_positions.weight.data[: len(waves)] = waves

    def logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Scores of each target token (B T V+1)."""
        return self.network(batch["ids"], attention_mask=batch["segments"], decoder_input_ids=batch["target_ids"], use_cache=False).logits

    def loss(self, batch: dict[str, torch.Tensor]) -> Loss:
        """The plain loss of a batch of ours."""
        logits, labels = self.logits(batch), batch["labels"]
        total = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, reduction="sum")
        return Loss.of({"tokens": (total, int((labels != IGNORE).sum()))})

    def steps(self, objective: Any, settings: Any, steps: int, precision: str) -> Iterator[int]:
        """Trains on the objective's batches, as transformers' Trainer does it, and yields the real tokens of each step."""
        adam = torch.optim.AdamW(
            self.parameters(), settings.rate, settings.betas, settings.epsilon, weight_decay=settings.weight_decay, fused=True
        )
        schedule = get_scheduler(settings.schedule.replace("-", "_"), adam, round(settings.warmup * steps), steps)
        smoother = LabelSmoother(self.config.smoothing)
        for step in range(steps):
            self.train()
            batch = objective.batch(step)
            tensors = to_tensors(batch, torch.device("cpu"))
            with autocast(torch.device("cpu"), precision):
                logits = self.logits(tensors)
                loss = smoother({"logits": logits}, tensors["labels"])
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters(), settings.clip or float("inf"))
            adam.step()
            schedule.step()
            adam.zero_grad()
            yield objective.real_tokens(batch)

    @torch.no_grad()
    def translate(self, sources: list[Ids], beams: int) -> list[Ids]:
        """What `generate` writes for each source, ranked by probability alone."""
        longest = max(map(len, sources)) + 1
        ids = torch.tensor([[*row, self.end, *[self.pad] * (longest - len(row) - 1)] for row in sources])
        most = min(longest - 1 + LONGER, self.config.max_length - 1)
        settings = {"num_beams": beams, "max_new_tokens": most, "do_sample": False, "length_penalty": 0.0, "max_length": None}
        network: Any = self.network
        found = network.generate(ids, attention_mask=(ids != self.pad).long(), **settings)
        return [list(itertools.takewhile(lambda i: i not in (self.end, self.pad), row)) for row in found[:, 1:].tolist()]


def marian_of(run: Run) -> Marian:
    """A MarianMT with the weights of a run of transformer whose norms stand after the sums and whose tables are one."""
    network = run.network
    assert network.config.norm == "post" and network.config.tie == "all", "Marian knows no norms before the sub-layers, and one table"
    made = Marian(network.config, run.tokenizer.facts()).eval()
    table = torch.cat([network.tokens.weight.detach(), torch.zeros(1, network.width)])
    weights = {f"model.{side}embed_tokens.weight": table for side in ("encoder.", "decoder.")}
    weights |= {"model.shared.weight": table, "lm_head.weight": table}
    bias = torch.zeros(1, len(table))
    bias[0, [*network.unwritten, made.pad]] = NEVER
    weights["final_logits_bias"] = bias
    for side, blocks in (("encoder", network.blocks), ("decoder", network.decoder_blocks)):
        for number, block in enumerate(blocks):
            for name, (weight, other) in _linears(block, side).items():
                weights |= {f"model.{side}.layers.{number}.{name}.weight": weight, f"model.{side}.layers.{number}.{name}.bias": other}
    known = made.network.state_dict()
    made.network.load_state_dict({**known, **{name: tensor.detach() for name, tensor in weights.items() if name in known}})
    return made


def _linears(block: Any, side: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Marian's names of a block's maps and norms, and their weights and biases."""
    found = {f"self_attn.{name}": part for name, part in zip(("q_proj", "k_proj", "v_proj"), _parts(block.attention.qkv, 3), strict=True)}
    whole = {"self_attn.out_proj": block.attention.out, "fc1": block.feedforward.up, "fc2": block.feedforward.down}
    whole |= {"self_attn_layer_norm": block.attention_sum.norm, "final_layer_norm": block.feedforward_sum.norm}
    if side == "decoder":
        cross = block.source_attention
        found |= {f"encoder_attn.{name}": part for name, part in zip(("k_proj", "v_proj"), _parts(cross.key_value, 2), strict=True)}
        whole |= {"encoder_attn.q_proj": cross.query, "encoder_attn.out_proj": cross.out, "encoder_attn_layer_norm": block.source_sum.norm}
    return found | {name: (part.weight, part.bias) for name, part in whole.items()}


def _parts(linear: Any, parts: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(linear.weight.chunk(parts), linear.bias.chunk(parts), strict=True))
