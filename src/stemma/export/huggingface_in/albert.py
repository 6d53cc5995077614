"""ALBERT, as transformers and Google have it."""

from typing import Any

from stemma.export.huggingface_in import bert
from stemma.export.huggingface_in.layout import Layout, Settings, must


def sizes(settings: Settings) -> dict[str, Any]:
    """BERT's sizes, the width of the factorised table, and what the layers share."""
    must(settings, ln_type="postln", share_type="all")
    shared = {"groups": settings.get("num_hidden_groups", 1), "blocks_in_layer": settings.get("inner_group_num", 1)}
    return {**bert.sizes(settings, "gelu_new", 0.0), "embedding": settings.get("embedding_size", 128), **shared}


def blocks(config: Any) -> tuple[int, int]:
    """Those of all groups, and those of a layer."""
    return config.groups * config.blocks_in_layer, config.blocks_in_layer


def embedding(config: Any) -> int:
    """The width of the factorised table."""
    width: int = config.embedding
    return width


LAYOUT = Layout(
    name="albert",
    generation="albert",
    model_type="albert",
    settings=sizes,
    prefix="albert.",
    heads=("predictions.", "sop_classifier."),
    tied=(("predictions.decoder.weight", "albert.embeddings.word_embeddings.weight", False),),
    tokenizers=("Unigram", "WordPiece"),
    blocks=blocks,
    row=embedding,
    compared=embedding,
)
