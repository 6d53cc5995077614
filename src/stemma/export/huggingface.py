"""Our GPT, GPT-2, BERT (BERT-wwm and TinyBERT are BERT), ALBERT and XLNet as transformers' models with the heads of pre-training, and back.

Weights are mapped by one table a generation: our name, their names, and how the one becomes the
others. Works on NumPy arrays and on tensors alike; imports neither transformers nor torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stemma.errors import UsageError

# `thirds`: our fused rows are their query, key and value. `heads`: our last axis is their heads and the width of one; `into heads`: so
# is our first, which stands last there.
How = Literal["same", "transposed", "thirds", "heads", "into heads"]


@dataclass(frozen=True)
class Name:
    """A weight: our name, theirs, and how to get from ours to theirs."""

    ours: str
    theirs: tuple[str, ...]
    how: How = "same"


OPTIONAL = ("pooler.", "masked_head.", "next_head.", "bias")  # ours: what a network may come without

# Our generation -> whose network it is.
COUNTERPART = {name: name for name in ("gpt", "gpt2", "bert", "albert", "xlnet")} | {"bert-wwm": "bert", "tinybert": "bert"}
NAMED = "stemma_generation"  # the key of config.json by which a folder of ours says which generation it is


def names(generation: str, depth: int, inner: int = 1) -> list[Name]:
    """The table of all weights of a generation with `depth` different blocks, of which each of ALBERT's layers has `inner`.

    `albert_zh` is ALBERT as brightmart/albert_zh has it, with the token table alone factorised.
    """
    if generation not in _FIXED:
        raise UsageError(f"{generation} has no Hugging Face counterpart here", f"one of {', '.join(_FIXED)}", "choose one of these")
    own, other = _PLACES[generation]
    blocks = [
        Name(
            f"{own}{name.ours}".format(n=n),
            tuple(f"{other}{theirs}".format(n=n, group=n // inner, place=n % inner) for theirs in name.theirs),
            name.how,
        )
        for n in range(depth)
        for name in _BLOCK[generation]
    ]
    return [*_FIXED[generation], *blocks]


def to_huggingface(generation: str, depth: int, ours: Mapping[str, Any], inner: int = 1) -> dict[str, Any]:
    """Our tensors under transformers' names and in its layout; tied weights stand once, and parts that ours lack not at all."""
    theirs: dict[str, Any] = {}
    for name in names(generation, depth, inner):
        if name.ours not in ours and name.ours.startswith(OPTIONAL):
            continue
        tensor = ours[name.ours]
        if name.how == "thirds":
            third = len(tensor) // 3
            theirs |= {their: tensor[i * third : (i + 1) * third] for i, their in enumerate(name.theirs)}
        elif name.how in ("heads", "into heads"):
            whole = tensor.T if name.how == "into heads" else tensor
            theirs[name.theirs[0]] = whole.reshape(*whole.shape[:-1], *ours["blocks.0.attention.segments"].shape[1:])
        else:
            theirs[name.theirs[0]] = tensor.T if name.how == "transposed" else tensor
    return theirs


def from_huggingface(generation: str, depth: int, theirs: Mapping[str, Any], inner: int = 1) -> dict[str, np.ndarray]:
    """The tensors of transformers (NumPy arrays, or tensors on the CPU) as our arrays."""
    ours = {}
    for name in names(generation, depth, inner):
        parts = [np.asarray(theirs[their]) for their in name.theirs]
        whole = np.concatenate(parts) if name.how == "thirds" else parts[0]
        whole = whole.reshape(*whole.shape[:-2], -1) if name.how in ("heads", "into heads") else whole
        ours[name.ours] = np.ascontiguousarray(whole.T if name.how in ("transposed", "into heads") else whole)
    return ours


def huggingface_config(generation: str, model: Any, vocab_size: int, specials: Mapping[str, int]) -> dict[str, Any]:
    """The contents of transformers' config.json for our model config."""
    if generation in ("gpt", "gpt2"):
        own: dict[str, Any] = {
            "gpt": {"model_type": "openai-gpt", "architectures": ["OpenAIGPTLMHeadModel"], "afn": "gelu"},  # the tanh form, there
            "gpt2": {
                "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new", "n_inner": model.inner
            },
        }[generation]  # fmt: skip
        return {
            **own, "vocab_size": vocab_size,
            "n_embd": model.width, "n_layer": model.depth, "n_head": model.heads, "n_positions": model.max_length,
            "layer_norm_epsilon": 1e-5, "initializer_range": 0.02,
            "embd_pdrop": model.dropout, "attn_pdrop": model.dropout, "resid_pdrop": model.dropout,
            "bos_token_id": specials.get("eos"), "eos_token_id": specials.get("eos"),
        }  # fmt: skip
    if generation == "xlnet":
        return {
            "model_type": "xlnet", "architectures": ["XLNetLMHeadModel"], "vocab_size": vocab_size,
            "d_model": model.width, "n_layer": model.depth, "n_head": model.heads, "d_inner": model.inner,
            "ff_activation": "gelu" if model.activation == "gelu" else "gelu_new", "layer_norm_eps": 1e-12, "initializer_range": 0.02,
            "dropout": model.dropout, "untie_r": True, "attn_type": "bi", "bi_data": False, "clamp_len": -1, "same_length": False,
            "mem_len": None, "reuse_len": None, "bos_token_id": specials.get("bos"), "eos_token_id": specials.get("eos"),
            "pad_token_id": specials.get("pad", 0),
        }  # fmt: skip
    shared = {
        "vocab_size": vocab_size, "hidden_size": model.width, "num_hidden_layers": model.depth, "num_attention_heads": model.heads,
        "intermediate_size": model.inner, "max_position_embeddings": model.max_length, "type_vocab_size": 2,
        "hidden_act": "gelu" if model.activation == "gelu" else "gelu_new", "layer_norm_eps": 1e-12, "initializer_range": 0.02,
        "hidden_dropout_prob": model.dropout, "attention_probs_dropout_prob": model.dropout, "pad_token_id": specials.get("pad", 0),
    }  # fmt: skip
    if generation == "albert":
        factors = {"embedding_size": model.embedding, "num_hidden_groups": model.different, "inner_group_num": model.blocks_in_layer}
        frame = {"bos_token_id": specials.get("cls"), "eos_token_id": specials.get("sep")}
        return {"model_type": "albert", "architectures": ["AlbertForPreTraining"], **shared, **factors, **frame}
    return {"model_type": "bert", "architectures": ["BertForPreTraining"], **shared}


_PLACES = {  # what stands before the names of a block's weights: ours, theirs
    "gpt": ("blocks.{n}.", "transformer.h.{n}."),
    "gpt2": ("blocks.{n}.", "transformer.h.{n}."),
    "bert": ("blocks.{n}.", "bert.encoder.layer.{n}."),
    "albert": ("", "albert.encoder.albert_layer_groups.{group}.albert_layers.{place}."),
    "albert_zh": ("", "bert.encoder.layer_shared."),
    "xlnet": ("blocks.{n}.", "transformer.layer.{n}."),
}


def _both(ours: str, *theirs: str, how: How = "same") -> list[Name]:
    """The weight and the bias of a layer; a bias is never transposed."""
    return [
        Name(f"{ours}.weight", tuple(f"{their}.weight" for their in theirs), how),
        Name(f"{ours}.bias", tuple(f"{their}.bias" for their in theirs), "same" if how == "transposed" else how),
    ]


_FIXED = {
    "gpt": [
        Name("tokens.weight", ("transformer.tokens_embed.weight",)),
        Name("positions.weight", ("transformer.positions_embed.weight",)),
    ],
    "gpt2": [
        Name("tokens.weight", ("transformer.wte.weight",)),
        Name("positions.weight", ("transformer.wpe.weight",)),
        *_both("norm", "transformer.ln_f"),
    ],
    "bert": [
        Name("tokens.weight", ("bert.embeddings.word_embeddings.weight",)),
        Name("positions.weight", ("bert.embeddings.position_embeddings.weight",)),
        Name("types.weight", ("bert.embeddings.token_type_embeddings.weight",)),
        *_both("norm", "bert.embeddings.LayerNorm"),
        *_both("pooler", "bert.pooler.dense"),
        *_both("masked_head.dense", "cls.predictions.transform.dense"),
        *_both("masked_head.norm", "cls.predictions.transform.LayerNorm"),
        Name("masked_head.bias", ("cls.predictions.bias",)),
        *_both("next_head", "cls.seq_relationship"),
    ],
    "albert": [
        Name("tokens.weight", ("albert.embeddings.word_embeddings.weight",)),
        Name("positions.weight", ("albert.embeddings.position_embeddings.weight",)),
        Name("types.weight", ("albert.embeddings.token_type_embeddings.weight",)),
        *_both("norm", "albert.embeddings.LayerNorm"),
        *_both("widen", "albert.encoder.embedding_hidden_mapping_in"),
        *_both("pooler", "albert.pooler"),
        *_both("masked_head.dense", "predictions.dense"),
        *_both("masked_head.norm", "predictions.LayerNorm"),
        Name("masked_head.bias", ("predictions.bias",)),
        *_both("next_head", "sop_classifier.classifier"),
    ],
    "xlnet": [
        Name("tokens.weight", ("transformer.word_embedding.weight",)),
        Name("query", ("transformer.mask_emb",)),
        Name("bias", ("lm_loss.bias",)),
    ],
}
_FIXED["albert_zh"] = [*_FIXED["bert"], Name("widen.weight", ("bert.embeddings.word_embeddings_2.weight",))]

_CAUSAL_BLOCK = [  # their projections keep weights as (in, out)
    *_both("attention.qkv", "attn.c_attn", how="transposed"),
    *_both("attention.out", "attn.c_proj", how="transposed"),
    *_both("attention_norm", "ln_1"),
    *_both("feedforward.up", "mlp.c_fc", how="transposed"),
    *_both("feedforward.down", "mlp.c_proj", how="transposed"),
    *_both("feedforward_norm", "ln_2"),
]

_BLOCK = {
    "gpt": _CAUSAL_BLOCK,
    "gpt2": _CAUSAL_BLOCK,
    "bert": [
        *_both("attention.qkv", *(f"attention.self.{part}" for part in ("query", "key", "value")), how="thirds"),
        *_both("attention.out", "attention.output.dense"),
        *_both("attention_norm", "attention.output.LayerNorm"),
        *_both("feedforward.up", "intermediate.dense"),
        *_both("feedforward.down", "output.dense"),
        *_both("feedforward_norm", "output.LayerNorm"),
    ],
    "albert": [
        *_both("attentions.{n}.attention.qkv", *(f"attention.{part}" for part in ("query", "key", "value")), how="thirds"),
        *_both("attentions.{n}.attention.out", "attention.dense"),
        *_both("attentions.{n}.norm", "attention.LayerNorm"),
        *_both("feedforwards.{n}.feedforward.up", "ffn"),
        *_both("feedforwards.{n}.feedforward.down", "ffn_output"),
        *_both("feedforwards.{n}.norm", "full_layer_layer_norm"),
    ],
    "albert_zh": [
        *_both("attentions.{n}.attention.qkv", *(f"attention.self.{part}" for part in ("query", "key", "value")), how="thirds"),
        *_both("attentions.{n}.attention.out", "attention.output.dense"),
        *_both("attentions.{n}.norm", "attention.output.LayerNorm"),
        *_both("feedforwards.{n}.feedforward.up", "intermediate.dense"),
        *_both("feedforwards.{n}.feedforward.down", "output.dense"),
        *_both("feedforwards.{n}.norm", "output.LayerNorm"),
    ],
    "xlnet": [
        *(Name(f"attention.{ours}.weight", (f"rel_attn.{ours[0]}",), "into heads") for ours in ("query", "key", "value")),
        Name("attention.distance.weight", ("rel_attn.r",), "into heads"),
        Name("attention.out.weight", ("rel_attn.o",), "heads"),
        Name("attention.by_content", ("rel_attn.r_w_bias",), "heads"),
        Name("attention.by_distance", ("rel_attn.r_r_bias",), "heads"),
        Name("attention.by_segment", ("rel_attn.r_s_bias",), "heads"),
        Name("attention.segments", ("rel_attn.seg_embed",)),
        *_both("attention_norm", "rel_attn.layer_norm"),
        *_both("feedforward.up", "ff.layer_1"),
        *_both("feedforward.down", "ff.layer_2"),
        *_both("feedforward_norm", "ff.layer_norm"),
    ],
}
