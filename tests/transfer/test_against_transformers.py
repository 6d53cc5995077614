"""Fine-tuning against an independent one: transformers' BERT, its own optimiser groups, five updates (spec 00)."""

import re

import numpy as np
import pytest
import torch
from tests.transfer.conftest import CLASSIFY, assigned, lesson_of, make_run

from stemma.export.huggingface import huggingface_config, to_huggingface
from stemma.layers.weights import to_tensors
from stemma.objectives.batch import seed_for
from stemma.tasks.task import Seat
from stemma.transfer.moving import Descent
from stemma.transfer.settings import Config

RATE, DECAY, STEPS, LAYERS = 1e-3, 0.05, 5, 3


@pytest.fixture(scope="module")
def uneven_bert():
    """Larger, uneven weights: AdamW makes steps of float32's noise where a gradient is nearly nothing."""
    run = make_run("bert", dropout=0.0)
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in run.network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return run


def theirs_of(run, seed):
    """transformers' network with the run's weights, and the head that our seed draws."""
    from transformers import BertConfig, BertModel

    settings = huggingface_config("bert", run.network.config, run.tokenizer.vocab_size, run.network.specials)
    body = BertModel(BertConfig(**settings)).train()
    state = {name: tensor.detach().clone() for name, tensor in to_huggingface("bert", LAYERS, run.network.state_dict()).items()}
    body.load_state_dict({name.removeprefix("bert."): tensor for name, tensor in state.items() if name.startswith("bert.")}, strict=False)
    torch.manual_seed(seed_for(seed, "head"))
    head = CLASSIFY.head(Seat(run.network.width, dropout=0.0), {"labels": ["neg", "pos"], "several": False})
    return body, head


def depth_of(name):
    """ELECTRA's depth of a tensor of transformers' BERT; the pooler goes with the head."""
    block = re.match(r"encoder\.layer\.(\d+)\.", name)
    return int(block[1]) + 1 if block else 0 if name.startswith("embeddings") else LAYERS + 2


@pytest.mark.parametrize(("layer_decay", "lower"), [(1.0, ""), (0.8, ""), (0.8, "0-2")])
def test_five_updates_equal_transformers(uneven_bert, train_examples, layer_decay, lower):
    still = {
        "precision": "fp32",
        "dropout": 0.0,
        "standardise": False,
        "batch_size": 16,
        "epochs": 1,
        "updates": STEPS,
        "warmup": 1 / STEPS,
    }
    config = Config(**still, weight_decay=DECAY, layer_decay=layer_decay, freeze_layers=lower)
    recipe = Descent(assigned(uneven_bert, config), config)
    examples = train_examples[: 16 * STEPS]
    lesson, rows = lesson_of(recipe, examples), np.arange(len(examples))
    ours = recipe.fit(lesson, rows, RATE, 1)

    body, head = theirs_of(uneven_bert, 1)
    fixed = {name for name, _ in body.named_parameters() if lower and depth_of(name) <= 2}
    groups = [
        {
            "params": [parameter],
            "scale": layer_decay ** (LAYERS + 2 - depth_of(name)),
            "weight_decay": 0.0 if name.endswith("bias") or "LayerNorm" in name else DECAY,
        }
        for name, parameter in body.named_parameters()
        if name not in fixed
    ]
    groups += [{"params": [head.weight], "scale": 1.0, "weight_decay": DECAY}, {"params": [head.bias], "scale": 1.0, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    batches, moved = recipe.batches(lesson, rows, 1), [p for group in groups for p in group["params"]]
    for step in range(STEPS):
        batch = to_tensors(batches.batch(step), torch.device("cpu"))
        out = body(batch["ids"], attention_mask=batch["segments"].clamp(max=1), token_type_ids=batch["types"])
        torch.nn.functional.cross_entropy(head(out.pooler_output), batch["labels"]).backward()
        torch.nn.utils.clip_grad_norm_(moved, config.clip)
        for group in optimiser.param_groups:
            group["lr"] = RATE * group["scale"] * ((STEPS - step) / (STEPS - 1) if step else 0.0)  # one step of warm-up, then down
        optimiser.step()
        optimiser.zero_grad()

    expected = {**{f"bert.{name}": p for name, p in body.named_parameters()}, "head.weight": head.weight, "head.bias": head.bias}
    found = to_huggingface("bert", LAYERS, ours.model.backbone.state_dict()) | {
        "head.weight": ours.model.head.weight,
        "head.bias": ours.model.head.bias,
    }
    start = to_huggingface("bert", LAYERS, uneven_bert.network.state_dict())
    for name, tensor in expected.items():
        if name.endswith("key.bias"):  # softmax does not see it: its gradient is rounding alone
            continue
        apart = (found[name] - tensor).abs().detach()
        assert (apart > 1e-6).float().mean() < 0.005, name  # AdamW magnifies rounding where a gradient is nearly nothing
        assert apart.max() < 1e-4, name
        if name.removeprefix("bert.") in fixed:
            assert torch.equal(found[name], start[name])
