"""XLNet."""

from typing import Any

from stemma.export.huggingface_in.layout import Layout, Settings, activation_of, must


def _settings(settings: Settings) -> dict[str, Any]:
    """Memory is a matter of training; a window of 512 is read where the config has none."""
    must(settings, layer_norm_eps=1e-12, untie_r=True, attn_type="bi", clamp_len=-1, same_length=False)
    return {
        "width": settings.get("d_model", 1024), "depth": settings.get("n_layer", 24), "heads": settings.get("n_head", 16),
        "inner": settings.get("d_inner", 4096), "memory": settings.get("mem_len") or 0,
        "dropout": float(settings.get("dropout", 0.1)), "activation": activation_of(settings, "ff_activation"),
    }  # fmt: skip


LAYOUT = Layout(
    name="xlnet",
    generation="xlnet",
    model_type="xlnet",
    settings=_settings,
    prefix="transformer.",
    heads=("lm_loss.",),
    tied=(("lm_loss.weight", "transformer.word_embedding.weight", False),),
    tokenizers=("Unigram",),
)
