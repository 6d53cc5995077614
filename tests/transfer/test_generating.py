"""The task `generate`: GPT writes targets by an input transformation, encoder-decoders as they translate."""

import numpy as np
import pytest
import torch
from tests.transfer.made_up_pairs import SIZES, encoder_decoder, pairs

import stemma
from stemma.errors import UsageError
from stemma.lineage.gpt import GPT
from stemma.lineage.gpt import Config as Model
from stemma.lineage.table import TABLE, find
from stemma.objectives.batch import IGNORE
from stemma.runs.prefixed import Prefixed
from stemma.runs.run import Run
from stemma.tasks.generate import Config as Greedy
from stemma.tasks.generate import Generate
from stemma.transfer.finetune import finetune
from stemma.transfer.settings import Config

pytest.importorskip("sacrebleu")
pytestmark = pytest.mark.filterwarnings("ignore::stemma.transfer.doubts.DevDoubt")

SETTINGS = {"precision": "fp32", "seeds": (1,), "budget": 1, "selection_limit": 20, "threads": 1}


@pytest.fixture(scope="module")
def gpt() -> Run:
    tokenizer = encoder_decoder("transformer").tokenizer
    torch.manual_seed(7)
    network = GPT(Model(width=48, depth=2, heads=2, inner=96, max_length=32, dropout=0.0), tokenizer.facts())
    return Run(None, find("gpt"), tokenizer, network.eval())


def test_gpt_learns_to_write_and_its_folder_does(gpt, tmp_path):
    size = gpt.network.vocab_size
    config = Config(**SETTINGS, grid=(6e-3,), updates=90)
    result = finetune(gpt, train=pairs(300, 1), dev=pairs(20, 2), task=Generate(Greedy(beams=1)), config=config, out=tmp_path / "run")
    assert [metric["name"] for metric in result.facts["metrics"]] == ["rouge_l", "rouge_1", "rouge_2", "bleu", "chrf"]
    assert result.facts["rouge_l"]["mean"] > 0.25 and result.facts["floor"]["how"] == "copying the source"
    assert gpt.network.vocab_size == size and "3 rows of the token table" in result.facts["new"]
    loaded = stemma.load(tmp_path / "run")
    sources = [pair.source for pair in pairs(9, 3)]
    written = loaded.translate(sources)
    assert written == result.translate(sources) == [loaded.translate(source) for source in sources]
    assert loaded.predict(sources)[0] == written and loaded.vectors(sources).shape == (9, 48)


def test_the_loss_is_that_of_the_target_alone_in_one_row(gpt):
    """Batches of pairs of any lengths: what is predicted, and from what, is as if each pair were read by itself."""
    config = Config(**SETTINGS, grid=(1e-3,), updates=1, epochs=1)
    run = finetune(gpt, train=pairs(30, 1), task="generate", config=config)
    made = run.model.prepare(run.task.texts([*pairs(3, 5), run.task.example(("one two three four red blue",), run.targets)]))
    batch = {name: torch.as_tensor(array) for name, array in made.batch(np.arange(4)).items()}
    by, network = run.model.writes, run.model.network
    found = by.loss(batch)
    total, count, size = 0.0, 0, run.assignment.tokenizer.vocab_size
    for source, target in zip(made.ids, made.targets, strict=True):
        row = torch.tensor([[size, *source.tolist(), size + 1, *target.tolist(), size + 2]])
        logits = network.logits(network.encode({"ids": row})[-1])[0, len(source) + 1 : -1]
        total += float(torch.nn.functional.cross_entropy(logits, row[0, len(source) + 2 :], reduction="sum"))
        count += len(target) + 1
    assert found.count == count == int((batch["labels"] != IGNORE).sum()) and float(found.mean) == pytest.approx(total / count, rel=1e-4)
    scores, _ = by.advance([[size, 5, size + 1]])
    assert torch.isinf(scores[0, [network.eos, size, size + 1]]).all() and torch.isfinite(scores[0, size + 2])


def test_an_encoder_decoder_writes_as_it_translates():
    run = encoder_decoder("transformer")
    result = finetune(run, train=pairs(40, 1), task="generate", config=Config(**SETTINGS, grid=(1e-2,), updates=2, epochs=1))
    assert result.model.writes is result.model.network and result.translate(["one two"]) == result.predict(["one two"])[0]


def test_who_puts_new_tokens_round_a_text_says_so_in_the_table():
    for row in TABLE:
        if row.ready and row.updates == "backprop":
            assert row.reshapes == bool(row.load_network().task_tokens), row.name


def test_what_cannot_write_says_so(gpt, bert):
    with pytest.raises(UsageError, match=r"writes no target for a source.*these can learn it: seq2seq, transformer, gpt, gpt2"):
        finetune(bert, train=pairs(30, 1), task="generate")
    with pytest.raises(UsageError, match=r"drop transfer\.auxiliary"):
        finetune(gpt, train=pairs(30, 1), task="generate", config=Config(auxiliary=0.5))
    assert Prefixed(encoder_decoder("transformer").network, 0).max_length == SIZES["transformer"]["max_length"] // 2
