"""BERT, as transformers has it."""

from typing import Any

from stemma.export.huggingface_in.layout import Layout, Settings, activation_of, must


def sizes(settings: Settings, activation: str = "gelu", dropout: float = 0.1) -> dict[str, Any]:
    """BERT's sizes; activation and dropout are those of a config that has none."""
    must(settings, layer_norm_eps=1e-12, type_vocab_size=2, position_embedding_type="absolute", is_decoder=False)
    return {
        "width": settings.get("hidden_size", 768), "depth": settings.get("num_hidden_layers", 12),
        "heads": settings.get("num_attention_heads", 12), "inner": settings.get("intermediate_size", 3072),
        "max_length": settings.get("max_position_embeddings", 512),
        "dropout": float(settings.get("hidden_dropout_prob", dropout)), "activation": activation_of(settings, "hidden_act", activation),
    }  # fmt: skip


LAYOUT = Layout(
    name="bert",
    generation="bert",
    model_type="bert",
    settings=sizes,
    prefix="bert.",
    heads=("cls.",),
    tied=(("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight", False),),
    tokenizers=("WordPiece",),
)
