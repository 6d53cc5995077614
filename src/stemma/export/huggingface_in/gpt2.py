"""GPT-2."""

from typing import Any

from stemma.errors import DataError
from stemma.export.huggingface_in import gpt
from stemma.export.huggingface_in.layout import ACTIVATIONS, Layout, Settings, must


def _settings(settings: Settings) -> dict[str, Any]:
    must(settings, layer_norm_epsilon=1e-5, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    if ACTIVATIONS.get(activation := settings.get("activation_function", "gelu_new")) != "gelu_tanh":
        wrong = f"config.json: activation_function = {activation!r}"
        raise DataError(wrong, "gelu_new: nothing else is computed here", "choose another model")
    return gpt.sizes(settings, max_length=1024)


LAYOUT = Layout(
    name="gpt2",
    generation="gpt2",
    model_type="gpt2",
    settings=_settings,
    prefix="transformer.",
    tied=(("lm_head.weight", "transformer.wte.weight", False),),
    tokenizers=("BPE",),
    merges=True,
)
