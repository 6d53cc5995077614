"""The folders that `convert --to ctranslate2` writes say in CTranslate2 what the runs say here: tokens, and probabilities to 1e-4."""

import json
import random
import sys

import numpy as np
import pytest
import torch

from stemma.cli.main import main
from stemma.errors import MissingExtra, UsageError
from stemma.export.formats import convert
from stemma.runs.decoding import Decoding
from stemma.runs.run import Run
from stemma.tokens.tokenizer import Tokenizer
from stemma.training.pretrain import pretrain
from stemma.training.request import Request

ctranslate2 = pytest.importorskip("ctranslate2")

WORDS = {
    "dog": "狗", "cat": "猫", "man": "男人", "woman": "女人", "tree": "树", "house": "房子", "river": "河", "book": "书",
    "red": "红", "blue": "蓝", "old": "老", "young": "年轻", "sees": "看见", "likes": "喜欢", "finds": "找到", "paints": "画",
}  # fmt: skip
SIZES = ["model.width=24", "heads=2", "inner=40", "model.depth=1", "training.precision=fp32", "training.held_out=0", "vocab_size=320"]
SOURCES = ["dog sees old cat", "river red", "woman likes blue blue house tree", "x", "猫 and 书"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Trains a run on pairs of English words and the same in Chinese, turned round, or on the pairs' text; one a set of settings."""
    folder = tmp_path_factory.mktemp("runs")
    draws = random.Random(3)
    picks = [draws.choices(list(WORDS), k=draws.randrange(2, 7)) for _ in range(400)]
    pairs = [(" ".join(pick), " ".join(WORDS[word] for word in pick[::-1])) for pick in picks]
    (folder / "pairs.tsv").write_text("en\tzh\n" + "".join(f"{en}\t{zh}\n" for en, zh in pairs), encoding="utf-8")
    (folder / "text.txt").write_text("".join(f"{en} .\n{zh} 。\n\n" for en, zh in pairs), encoding="utf-8")
    found = {}

    def run(generation, *settings, steps=30, file="pairs.tsv"):
        key = generation, settings, steps, file
        if key not in found:
            out = folder / f"run-{len(found)}"
            request = Request.of(generation, folder / file, preset="tiny", settings=[*SIZES, f"training.steps={steps}", *settings])
            pretrain(request, out=out)
            found[key] = Run.open(out)
        return found[key]

    return run


@pytest.fixture(scope="module")
def trained(made):
    return made("transformer", steps=120)


def pieces(run, texts):
    return [[run.tokenizer.token(int(i)) for i in run.tokenizer.encode(text)] for text in texts]


def translator(run, folder, int8=False):
    convert(run.path, folder, "ctranslate2", int8=int8)
    return ctranslate2.Translator(str(folder), intra_threads=1)


@pytest.mark.parametrize("beams", [1, 4])
def test_a_trained_run_translates_alike(trained, tmp_path, beams):
    """Ranked by probability alone, for the two programs' length penalties are not the same; with no least length, as here."""
    theirs = translator(trained, tmp_path / "ct2").translate_batch(
        pieces(trained, SOURCES), beam_size=beams, length_penalty=0, min_decoding_length=0, return_scores=True, max_decoding_length=60
    )
    options = Decoding(beams=beams, temperature=1.0 if beams > 1 else 0.0, length_penalty=0.0)
    for (ours, *_), their in zip(trained.translations(SOURCES, options=options), theirs, strict=True):
        assert [trained.tokenizer.id(token) for token in their.hypotheses[0]] == ours.ids
        assert their.scores[0] == pytest.approx(ours.log_prob, abs=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("model.norm=post", "positions=halves", "tie=decoder"),
        ("model.norm=post", "tie=none", "decoder_depth=2"),
        ("tokenizer.kind=char", "tie=none"),
        ("tokenizer.kind=unigram",),
    ],
)
def test_every_shape_gives_each_token_its_probability(made, tmp_path, settings):
    run = made("transformer", *settings)
    net, pair = run.network, ("dog sees", "猫 河 x")
    source, target = (run.tokenizer.encode(text).tolist() for text in pair)
    batch = {"ids": torch.tensor([net.frame(source)[0]]), "target_ids": torch.tensor([[*net.opening, *target]])}
    with torch.no_grad():
        logits = torch.nn.functional.linear(net._decode(batch), net._table)
    logits[..., net.unwritten] = -1e4  # there the others share what specials would have had
    ours = logits.log_softmax(-1)[0].gather(1, torch.tensor([*target, net.end])[:, None])[:, 0]
    theirs = translator(run, tmp_path / "ct2").score_batch(*[pieces(run, [text]) for text in pair])[0].log_probs
    written = [token not in net.unwritten for token in (*target, net.end)]
    np.testing.assert_allclose(np.array(theirs)[written], ours.numpy()[written], atol=1e-4)


def test_specials_are_never_written(made, tmp_path):
    run = made("transformer", "tokenizer.kind=char", "tie=none")
    found = translator(run, tmp_path / "ct2").translate_batch(pieces(run, SOURCES), beam_size=3, num_hypotheses=3, max_decoding_length=20)
    written = {run.tokenizer.id(token) for one in found for hypothesis in one.hypotheses for token in hypothesis}
    assert written and not written & set(run.network.unwritten)


def test_eight_bits_are_a_quarter_and_translate_nearly_alike(trained, tmp_path):
    whole, small = (translator(trained, tmp_path / str(int8), int8) for int8 in (False, True))
    size = {int8: (tmp_path / str(int8) / "model.bin").stat().st_size for int8 in (False, True)}
    assert size[True] < 0.5 * size[False]  # at this size, where norms, biases and waves count, which stay as they are
    targets = pieces(trained, trained.translate(SOURCES, options=Decoding(beams=4)))
    one, other = (np.concatenate([row.log_probs for row in each.score_batch(pieces(trained, SOURCES), targets)]) for each in (whole, small))
    assert 0 < np.abs(one - other).mean() < 0.1


@pytest.mark.parametrize("generation", ["gpt", "gpt2"])
def test_one_way_models_write_and_score_alike(made, tmp_path, generation, capsys):
    run = made(generation, file="text.txt")
    convert(run.path, tmp_path / "ct2", "ctranslate2")
    generator = ctranslate2.Generator(str(tmp_path / "ct2"), intra_threads=1)
    texts = ["dog sees old cat", "树 红 look"]
    prompts = [[run.tokenizer.token(i) for i in run.network.frame(run.tokenizer.encode(text).tolist())[0]] for text in texts]
    ours = run.generate(texts, length=12, options=Decoding(temperature=0))
    theirs = generator.generate_batch(prompts, beam_size=1, max_length=12, include_prompt_in_result=False, min_length=0)
    for text, our, their in zip(texts, ours, theirs, strict=True):
        ids = run.tokenizer.encode(text).tolist()
        assert run.tokenizer.decode([*ids, *their.sequences_ids[0]]) == our
    for engine in ("torch", "ctranslate2", str(tmp_path / "ct2")):
        assert (
            main(["generate", str(run.path), "--text", texts[0], "--length", "12", "--temperature", "0", "--engine", engine, "--json"]) == 0
        )
        assert json.loads(capsys.readouterr().out)[0]["text"] == ours[0]
    ours = [run.score([text])[0].nats for text in texts]
    ends = [run.tokenizer.token(run.network.end)]
    theirs = [-sum(row.log_probs) for row in generator.score_batch([[*prompt, *ends] for prompt in prompts])]
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_the_folder_is_all_that_is_needed(trained, tmp_path):
    """Stemma's tokenizer, or the `tokenizers` library alone."""
    from tokenizers import Tokenizer as Theirs

    engine = translator(trained, tmp_path / "ct2")
    ours, theirs = Tokenizer.load(tmp_path / "ct2/tokenizer.json"), Theirs.from_file(str(tmp_path / "ct2/tokenizer.json"))
    source = "dog sees old cat"
    assert theirs.encode(source, add_special_tokens=False).tokens == [ours.token(i) for i in ours.encode(source).tolist()]
    best = engine.translate_batch(pieces(trained, [source]), beam_size=4)[0].hypotheses[0]
    assert ours.decode(map(ours.id, best)) == theirs.decode([theirs.token_to_id(token) for token in best]).lstrip()
    assert json.loads((tmp_path / "ct2/config.json").read_text())["decoder_start_token"] == "<|endoftext|>"


def test_what_has_no_pairs_cannot_translate(made, tmp_path):
    with pytest.raises(UsageError, match="pre-train on pairs"):
        convert(made("transformer", file="text.txt", steps=2).path, tmp_path / "ct2", "ctranslate2")
    assert not list(tmp_path.iterdir())


def test_a_missing_library_names_the_extra(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ctranslate2.specs", None)
    with pytest.raises(MissingExtra, match=r'pip install "stemma-nlp\[ct2\]"'):
        convert(trained.path, tmp_path / "ct2", "ctranslate2")


def test_the_target_is_whole_or_as_it_was(trained, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="choose another target"):
        convert(trained.path, taken, "ctranslate2")
    assert [path.name for path in taken.iterdir()] == ["mine.txt"]
    (tmp_path / "link").symlink_to("behind")
    files = convert(trained.path, tmp_path / "link", "ctranslate2")
    assert (tmp_path / "link").is_symlink() and all(path.is_file() for path in files)
    assert [path.name for path in files] == sorted(path.name for path in (tmp_path / "behind").iterdir())


@pytest.mark.parametrize("to", ["huggingface", "run", "nothing"])
def test_eight_bits_are_refused_elsewhere(trained, tmp_path, to):
    with pytest.raises(UsageError, match="drop --int8"):
        convert(trained.path, tmp_path / "x", to, int8=True)
