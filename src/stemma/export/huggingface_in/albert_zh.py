"""The Chinese ALBERTs of brightmart/albert_zh: the token table alone is factorised, and config.json has no model_type."""

from dataclasses import replace
from typing import Any

from stemma.export.huggingface_in import albert, bert
from stemma.export.huggingface_in.layout import Layout, Settings

PROJECTION = "bert.embeddings.word_embeddings_2.weight"


def sizes(settings: Settings) -> dict[str, Any]:
    """ALBERT's, of one block that all layers share."""
    return {**albert.sizes(settings), "groups": 1, "blocks_in_layer": 1, "factorised": "tokens"}


LAYOUT: Layout = replace(
    albert.LAYOUT,
    name="albert_zh",
    settings=sizes,
    prefix=bert.LAYOUT.prefix,
    heads=bert.LAYOUT.heads,
    tied=(*bert.LAYOUT.tied, ("cls.predictions.project_layer.weight", PROJECTION, True)),
    known_by="word_embeddings_2.weight",
    compared=bert.LAYOUT.compared,
)
