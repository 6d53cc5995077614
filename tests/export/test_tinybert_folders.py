"""TinyBERT in transformers: a BERT, with the head for masked tokens where there is one, and back as a BERT."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stemma.checkpoint import RunFolder
from stemma.config import to_plain
from stemma.errors import UsageError
from stemma.export.formats import convert
from stemma.export.opened import load
from stemma.layers.weights import weights
from stemma.lineage.table import find
from stemma.runs.run import Run
from stemma.tokens.tokenizer import Config, train


def student(path: Path, masked_loss: float) -> Run:
    """A drawn student as a finished run."""
    row = find("tinybert")
    tokenizer = train(iter(["the old sailor told a story"] * 3), Config(kind="wordpiece", vocab_size=60))
    model = row.model_config()(width=12, depth=2, heads=3, inner=20, max_length=16, teacher_width=7, masked_loss=masked_loss)
    torch.manual_seed(2)
    network = row.load_network()(model, tokenizer.facts())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    sections = {"model": to_plain(model), "tokenizer": to_plain(tokenizer.config)}
    folder = RunFolder.create(path, {"stemma": "0", "identity": {"generation": "tinybert", "corpus": []}, "sections": sections})
    tokenizer.save(folder.tokenizer_path)
    folder.finish("", {}, weights(network))
    return Run.open(path)


@pytest.mark.parametrize("masked_loss", [0.0, 1.0])
def test_transformers_reads_it_as_bert(tmp_path: Path, masked_loss: float) -> None:
    import transformers

    run = student(tmp_path / "run", masked_loss)
    convert(run.path, tmp_path / "hf", "huggingface")
    theirs = (transformers.BertForMaskedLM if masked_loss else transformers.BertModel).from_pretrained(tmp_path / "hf").eval()
    assert theirs.config.architectures == [type(theirs).__name__]
    framed, _ = run.network.frame(run.tokenizer.encode("the old story").tolist())
    ids = torch.tensor([[*framed[:2], run.tokenizer.specials["mask"], *framed[3:]]])
    with torch.no_grad():
        if masked_loss:
            torch.testing.assert_close(run.network.fill({"ids": ids}), theirs(ids).logits[:, 2], atol=1e-5, rtol=0)
        else:
            found = theirs(ids)
            states = run.network.encode({"ids": ids})
            torch.testing.assert_close(states[-1], found.last_hidden_state, atol=1e-5, rtol=0)
            torch.testing.assert_close(run.network.summary(states, {}), found.pooler_output, atol=1e-5, rtol=0)
    again = load(tmp_path / "hf", Run)
    assert again.row.name == "bert" and np.allclose(again.embed(["an old sailor"]), run.embed(["an old sailor"]), atol=1e-6)
    if not masked_loss:
        with pytest.raises(UsageError, match="without its head"):
            again.fill("the old [MASK]")
