"""GPT, `openai-gpt` of transformers."""

from typing import Any

from stemma.export.huggingface_in.layout import Layout, Settings, must


def sizes(settings: Settings, max_length: int = 512) -> dict[str, Any]:
    """GPT's sizes, of a config that names a length or has this one."""
    width = settings.get("n_embd", 768)
    found = {"width": width, "depth": settings.get("n_layer", 12), "heads": settings.get("n_head", 12)}
    found["inner"] = settings.get("n_inner") or 4 * width
    return {**found, "max_length": settings.get("n_positions", max_length), "dropout": float(settings.get("resid_pdrop", 0.1))}


def _settings(settings: Settings) -> dict[str, Any]:
    must(settings, layer_norm_epsilon=1e-5, afn="gelu")
    return sizes({key: value for key, value in settings.items() if key != "n_inner"})  # which it does not have


LAYOUT = Layout(
    name="gpt",
    generation="gpt",
    model_type="openai-gpt",
    settings=_settings,
    prefix="transformer.",
    tied=(("lm_head.weight", "transformer.tokens_embed.weight", False),),
    tokenizers=("BPE",),
)
