"""All choosing, on networks small enough to try every text, and on random ones of each kind."""

import subprocess
import sys
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from stemma.errors import UsageError
from stemma.layers.recent import Recent
from stemma.lineage import gpt, nnlm
from stemma.lineage.ngram import Config as NgramConfig
from stemma.lineage.ngram import Ngram
from stemma.objectives.counts import Config as CountsConfig
from stemma.objectives.counts import Counts
from stemma.objectives.spool import Room
from stemma.runs.decoding import NO_DRAWS, Decoding, Draft, _longer, choose, draw, next_tokens, search, stream, write
from stemma.tokens.byte_level import BYTES
from stemma.tokens.settings import Config as TokensConfig
from stemma.tokens.tokenizer import train

LINES = ["the cat sat on the mat", "the dog ran home to the cat", "今天天气很好", "天气好我们就去看花 🌸"] * 3
GREEDY = Decoding(temperature=0)


class Table:
    """Log-probabilities drawn anew for every history: what comes next depends on all that came before. Token 0 is the end."""

    end = 0

    def __init__(self, size: int, seed: int = 0, scale: float = 1.5) -> None:
        self.size, self.seed, self.scale = size, seed, scale
        self.most = 0  # rows that were read at once

    def frame(self, ids, other=None):
        return [*ids], [0] * len(ids)

    def after(self, history):
        scores = np.random.default_rng([self.seed, *history]).normal(0, self.scale, self.size)
        return scores - np.logaddexp.reduce(scores)

    def advance(self, prompts, memory=None):
        self.most = max(self.most, len(prompts))
        memory = Recent.after(prompts, memory, 1000)
        return np.stack([self.after(history) for history in memory.last]), memory


def never(new):
    return False


def drawn(network, prompt, length, options, seed=0):
    draft = Draft(list(prompt), np.random.default_rng(seed))
    for _ in draw(network, [[draft]], [never], length, options):
        pass
    return draft


def searched(network, prompt, length, options):
    return search(network, [Draft(list(prompt), np.random.default_rng(0))], [never], [length], options)[0]


@pytest.mark.parametrize("seed", range(5))
def test_greedy_is_the_loop_over_the_likeliest(seed):
    network, history = Table(7, seed), [3]
    for _ in range(12):
        token = int(network.after(history).argmax())
        if token == 0:
            break
        history.append(token)
    greedy = drawn(network, [3], 12, GREEDY)
    assert greedy.new == history[1:]
    assert greedy.new == drawn(network, [3], 12, Decoding(top_k=1)).new == drawn(network, [3], 12, Decoding(top_p=1e-9)).new
    for alpha in (0.0, 0.6, 2.0):
        (only,) = searched(network, [3], 12, Decoding(beams=1, length_penalty=alpha))
        assert only.new == greedy.new and only.log_prob == pytest.approx(greedy.log_prob)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_wide_beam_finds_the_best_of_all_texts(seed, alpha):
    """Three tokens, four steps: every text is tried."""
    network, scores = Table(3, seed), {}
    for length in range(5):
        for text in product((1, 2), repeat=length):
            ended = length < 4
            whole = [*text, 0] if ended else list(text)
            log_prob = sum(network.after([2, *whole[:n]])[token] for n, token in enumerate(whole))
            scores[text] = log_prob / ((5 + len(whole)) / 6) ** alpha
    best = sorted(scores.items(), key=lambda item: -item[1])
    found = searched(network, [2], 4, Decoding(beams=40, length_penalty=alpha))
    assert [tuple(draft.new) for draft in found] == [text for text, _ in best]
    assert [draft.score(alpha) for draft in found] == pytest.approx([score for _, score in best])


def test_a_narrow_beam_is_seldom_worse_than_greedy_and_often_better():
    greedy = np.array([drawn(Table(9, seed, 0.7), [1], 6, GREEDY).log_prob for seed in range(40)])
    options = Decoding(beams=4, length_penalty=0)
    beam = np.array([searched(Table(9, seed, 0.7), [1], 6, options)[0].log_prob for seed in range(40)])
    assert (beam >= greedy - 1e-9).mean() > 0.9 and (beam > greedy + 1e-9).mean() > 0.3


@pytest.mark.parametrize("penalty", [1.0, 1.7])
@pytest.mark.parametrize(("words", "seed"), [(3, 0), (97, 1), (200, 2), (640, 3), (641, 4)])
def test_a_search_goes_on_with_the_best_of_all_pairs_of_draft_and_token(words, seed, penalty):
    """Many of them equal, where the first draft and the lowest id come first, and many that never come."""
    draws = np.random.default_rng(seed)
    scores = draws.integers(-9, 0, (6, words)).astype(np.float32) / 4
    scores[draws.random(scores.shape) < 0.3] = -np.inf
    scores[5, 2:] = -np.inf  # fewer than there is room for
    beams = [[Draft([1], NO_DRAWS, new=[0], log_prob=-float(n)) for n in range(count)] for count in (3, 0, 2, 1)]
    rooms, options = [3, 0, 1, 4], Decoding(beams=4, repetition_penalty=penalty)
    first = 0
    for beam, room, found in zip(beams, rooms, _longer(beams, scores, rooms, 2, options), strict=True):
        lowered = scores[first : first + len(beam)].astype(np.float64)
        lowered[:, [0, 1]] = (scores[first : first + len(beam), [0, 1]] * np.float32(penalty)).astype(np.float64)
        pairs = [(-(lowered[row, token] + draft.log_prob), row, token) for row, draft in enumerate(beam) for token in range(words)]
        best = [(row, token) for cost, row, token in sorted(pairs)[:room] if np.isfinite(cost)]
        assert [row for row, _ in found] == [row for row, _ in best]
        assert [draft.new for _, draft in found] == [[0] if token == 2 else [0, token] for _, token in best]
        for (row, token), (_, draft) in zip(best, found, strict=True):
            assert draft.log_prob == pytest.approx(beam[row].log_prob + scores[first + row, token])
            assert draft.ranked == pytest.approx(beam[row].log_prob + lowered[row, token])
        first += len(beam)


def test_a_higher_length_penalty_ranks_longer_texts_higher():
    lengths = [len(searched(Table(5, 1), [1], 8, Decoding(beams=30, length_penalty=alpha))[0].new) for alpha in (0.0, 1.0, 5.0)]
    assert lengths == sorted(lengths) and lengths[0] < lengths[-1]


def test_prompts_of_a_search_do_not_see_each_other():
    network, prompts = Table(6, 3), [[1], [2, 3, 4], [5, 5], [1]]
    options = Decoding(beams=3)
    together = search(network, [Draft(prompt, np.random.default_rng(0)) for prompt in prompts], [never] * 4, [7] * 4, options)
    for prompt, found in zip(prompts, together, strict=True):
        assert [draft.new for draft in found] == [draft.new for draft in searched(network, prompt, 7, options)]


@pytest.mark.parametrize(
    "options",
    [Decoding(), Decoding(temperature=0.5), Decoding(temperature=2, top_k=4), Decoding(top_p=0.7), Decoding(0.8, 5, 0.8)],
    ids=["plain", "sharper", "top-k", "top-p", "all three"],
)
def test_draws_follow_the_distribution_that_the_options_leave(options):
    log_probs = Table(9).after([4])
    log_probs[2] = -np.inf
    chances = np.exp(log_probs / options.temperature)
    order = np.argsort(-chances)
    kept = order[: options.top_k or 8]
    share = chances[kept] / chances[kept].sum()
    kept = kept[: 1 + int((np.cumsum(share) < options.top_p).sum())][:8]
    expected = np.zeros(9)
    expected[kept] = chances[kept] / chances[kept].sum()
    draws = np.random.default_rng(5)
    counts = np.bincount([choose(log_probs, options, draws) for _ in range(6000)], minlength=9)
    assert set(np.flatnonzero(counts)) <= set(kept.tolist())
    np.testing.assert_allclose(counts / 6000, expected, atol=0.026)  # four sigma of the most uncertain token


def test_equal_tokens_at_the_edge_of_top_k_keep_the_lower_ids():
    log_probs = np.log(np.array([0.1, 0.2, 0.2, 0.2, 0.2, 0.1]))
    assert {choose(log_probs, Decoding(top_k=2), np.random.default_rng(seed)) for seed in range(50)} == {1, 2}
    assert choose(log_probs, GREEDY, np.random.default_rng(0)) == 1


def test_the_repetition_penalty_lowers_repeats_and_spares_the_end():
    def repeats(penalty):
        options = Decoding(repetition_penalty=penalty)
        texts = [drawn(Table(30, seed, 2.0), [1], 25, options, seed).new for seed in range(30)]
        return sum(len(text) - len(set(text)) for text in texts) / sum(map(len, texts))

    rates = [repeats(penalty) for penalty in (0.8, 1.0, 1.3, 100.0)]
    assert rates == sorted(rates, reverse=True) and rates[1] > 1.2 * rates[2] and rates[3] == 0

    ended = [drawn(Table(4, seed), [0, 1], 1, Decoding(0, repetition_penalty=1e9)).closed for seed in range(20)]
    assert any(ended)  # though the framed prompt holds token 0


def test_probabilities_of_a_text_are_those_of_its_tokens_before_any_penalty():
    network = Table(8, 2)
    draft = drawn(network, [1, 2], 6, Decoding(temperature=2.0, top_k=5, repetition_penalty=1.5), seed=3)
    whole = [*draft.new, *([0] if draft.closed else [])]
    expected = sum(network.after([1, 2, *whole[:n]])[token] for n, token in enumerate(whole))
    assert (draft.log_prob, draft.priced) == (pytest.approx(expected), len(whole))


def test_a_search_ranks_by_the_penalty_and_tells_the_probability_before_it():
    network, penalty, alpha = Table(3, 4), 1.7, 0.6
    found = searched(network, [1], 3, Decoding(beams=20, repetition_penalty=penalty, length_penalty=alpha))
    repeats = 0
    for draft in found:
        whole = [*draft.new, *([0] if draft.closed else [])]
        nats = [network.after([1, *whole[:n]])[token] for n, token in enumerate(whole)]
        times = [penalty if token in {1, *whole[:n]} - {0} else 1.0 for n, token in enumerate(whole)]
        repeats += max(times) > 1
        assert draft.log_prob == pytest.approx(sum(nats))
        assert draft.score(alpha) == pytest.approx(np.dot(nats, times) / ((5 + len(whole)) / 6) ** alpha)
    assert repeats and [draft.score(alpha) for draft in found] == sorted((draft.score(alpha) for draft in found), reverse=True)


def test_next_tokens_are_the_likeliest_with_their_probabilities():
    network = Table(6)
    best = next_tokens(network, [2, 3], 4)
    order = np.argsort(-network.after([2, 3]))[:4]
    assert best == [(int(token), pytest.approx(float(np.exp(network.after([2, 3])[token])))) for token in order]


# With tokenizers: stop strings, characters, streams


@pytest.fixture(scope="module", params=["char", "word", "bpe", "unigram"])
def tokenizer(request):
    return train(iter(LINES), TokensConfig(kind=request.param, vocab_size=300))


@pytest.fixture(scope="module")
def pieces():
    return train(iter(LINES), TokensConfig(kind="bpe", vocab_size=257))


class Endless(Table):
    """Never ends, never writes a special."""

    def __init__(self, tokenizer, seed=0):
        super().__init__(tokenizer.vocab_size, seed, 3.0)
        self.specials = sorted(set(tokenizer.specials.values()))
        self.end = tokenizer.specials["eos"]

    def after(self, history):
        scores = super().after(history)
        scores[self.specials] = -np.inf
        return scores


@pytest.mark.parametrize("prompt", ["the cat", "天气", "", "🌸"])
def test_a_stop_string_cuts_what_was_written_and_the_prompt_never(tokenizer, prompt):
    network = Endless(tokenizer)
    ((whole,),) = write(network, tokenizer, [prompt], 30, GREEDY)
    lead = tokenizer.decode(tokenizer.encode(prompt))
    assert whole.text.startswith(lead) and len(whole.ids) == 30
    new = whole.text[len(lead) :]
    stop = next(new[n : n + 2] for n in range(4, len(new)) if new[n : n + 2].isprintable() and "\ufffd" not in new[n : n + 2])
    for stops in ((stop,), ("not there", stop)):
        ((cut,),) = write(network, tokenizer, [prompt], 30, Decoding(temperature=0, stop=stops))
        assert cut.text == lead + new[: new.index(stop)] and len(cut.ids) < 30
    ((searched_text,),) = write(network, tokenizer, [prompt], 12, Decoding(beams=2, stop=(stop,)))
    assert stop not in searched_text.text[len(lead) :]


@pytest.mark.parametrize("seed", range(6))
def test_a_stream_gives_the_text_of_write_piece_by_piece(tokenizer, seed):
    network = Endless(tokenizer, seed)
    for prompt in ("the cat", "", "天气"):
        ((whole,),) = write(network, tokenizer, [prompt], 25, Decoding(), seed)
        lead = tokenizer.decode(tokenizer.encode(prompt))
        stop = whole.text[len(lead) :][8:10] or "x"
        for options in (Decoding(), Decoding(stop=(stop,)), Decoding(beams=2)):
            ((expected,),) = write(network, tokenizer, [prompt], 25, options, seed)
            parts = list(stream(network, tokenizer, prompt, 25, options, seed))
            assert lead + "".join(parts) == expected.text and all(parts)
        assert len(list(stream(network, tokenizer, prompt, 25, Decoding(), seed))) > 3


@pytest.mark.parametrize("prompt", ["the zebra  Sat\ton", "zebra", "the cat ", "天气 zebra", "\u200b", "  the"])
def test_the_prompt_comes_back_as_it_was_given(tokenizer, prompt):
    """Its unknown words, white space and letters; what is written after it is what its tokens lead to."""
    network = Endless(tokenizer)
    ((written,),) = write(network, tokenizer, [prompt], 9, Decoding(), 2)
    ids = list(map(int, tokenizer.encode(prompt)))
    known = tokenizer.decode(ids)
    new = tokenizer.decode([*ids, *written.ids])[len(known) :].replace("\ufffd", "")
    lost = prompt.endswith(" ") and not known.endswith(" ")
    assert written.ids and written.text == prompt + (new.removeprefix(" ") if lost else new)
    assert prompt + "".join(stream(network, tokenizer, prompt, 9, Decoding(), 2)) == written.text


def test_no_text_ends_inside_a_character(pieces):
    """A network that writes one blossom, byte by byte, over and over: four tokens a character."""
    ids, lead = [int(token) for token in pieces.encode("🌸")][-4:], len(pieces.encode("x"))

    class Blossom(Endless):
        def after(self, history):
            scores = np.full(self.size, -20.0)
            scores[ids[(len(history) - lead) % 4]] = 0.0
            return scores

    for length in range(13):
        ((written,),) = write(Blossom(pieces), pieces, ["x"], length, GREEDY)
        assert written.text == "x" + "🌸" * (length // 4)
        assert list(stream(Blossom(pieces), pieces, "x", length, GREEDY)) == ["🌸"] * (length // 4)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("prompt", ["", "x", "天气", "the \ufffd"])
def test_bytes_that_make_up_no_character_are_left_out_wherever_they_stand(pieces, prompt, seed):
    """Bytes drawn at random: few of them are characters. What the prompt holds stays."""
    network, options = Endless(pieces, seed), Decoding(temperature=2.0)
    for length in (1, 2, 3, 30):
        ((written,),) = write(network, pieces, [prompt], length, options, seed)
        raw = b"".join(bytes([BYTES[c]]) for token in written.ids for c in pieces.token(token))
        new = raw.decode("utf-8", "ignore").replace("\ufffd", "")
        assert written.text == prompt + (new if prompt else new.removeprefix(" "))
        assert prompt + "".join(stream(network, pieces, prompt, length, options, seed)) == written.text


# Networks of each kind


def tiny_gpt(tokenizer):
    torch.manual_seed(3)
    network = gpt.GPT(gpt.Config(width=20, depth=2, heads=2, inner=40, max_length=24), tokenizer.facts()).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return network


def tiny_nnlm(tokenizer):
    torch.manual_seed(3)
    network = nnlm.NNLM(nnlm.Config(context=3, width=12, inner=9), tokenizer.facts()).eval()
    torch.nn.init.normal_(network.output.weight, std=0.5)
    return network


def tiny_ngram(tokenizer):
    encoded = [tokenizer.encode(line) for line in LINES]
    store = SimpleNamespace(ids=np.concatenate(encoded).astype(np.uint16), sentence_starts=np.cumsum([0, *map(len, encoded)]))
    config = NgramConfig(order=3)
    counts = Counts(CountsConfig(), config, store, tokenizer.facts(), Room(2**30))
    return Ngram.from_counts(config, tokenizer.facts(), counts.merge([counts.partial(*shard) for shard in counts.shards(1)]))


PROMPTS = [" ".join(LINES[n % 4].split()[: n % 5]) for n in range(64)]


@pytest.mark.parametrize(("kind", "make"), [("bpe", tiny_gpt), ("word", tiny_nnlm), ("char", tiny_ngram)], ids=["gpt", "nnlm", "ngram"])
@pytest.mark.parametrize(
    "options", [GREEDY, Decoding(top_k=20, top_p=0.95, repetition_penalty=1.2), Decoding(beams=3)], ids=["greedy", "drawn", "searched"]
)
def test_the_same_text_in_batches_of_1_8_and_64(kind, make, options):
    tokenizer = train(iter(LINES), TokensConfig(kind=kind, vocab_size=300))
    network, length = make(tokenizer), 30 if options.beams == 1 else 6
    texts = {size: [] for size in (1, 8, 64)}
    for size, found in texts.items():
        for first in range(0, 64, size):
            found += [one.text for (one,) in write(network, tokenizer, PROMPTS[first : first + size], length, options, seed=7)]
    assert texts[1] == texts[8] == texts[64]
    assert len(set(texts[1])) > 3


def test_samples_differ_and_the_first_is_that_of_one_alone(pieces):
    network = Endless(pieces)
    (many,), (one,) = (write(network, pieces, ["the"], 10, Decoding(), 4, samples) for samples in (5, 1))
    assert len({sample.text for sample in many}) == 5 and many[0] == one[0]
    assert network.most == 5
    (best,) = write(network, pieces, ["the"], 10, Decoding(beams=4), samples=3)
    assert [text.score for text in best] == sorted((text.score for text in best), reverse=True) and len(best) == 3
    assert best == write(network, pieces, ["the"], 10, Decoding(beams=4), seed=9, samples=3)[0]


def test_nothing_asked_nothing_written(pieces):
    network = Endless(pieces)
    assert write(network, pieces, [], 5, Decoding()) == []
    for options in (Decoding(), Decoding(beams=2)):
        ((written,),) = write(network, pieces, ["the cat"], 0, options)
        assert (written.text, written.ids, written.log_prob) == ("the cat", [], 0.0)


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"temperature": -0.1}, r"default, 1\.0"),
        ({"temperature": float("nan")}, "0 or more"),
        ({"temperature": float("inf")}, "0 or more"),
        ({"repetition_penalty": float("inf")}, "above 0"),
        ({"length_penalty": float("nan")}, "0 or more"),
        ({"top_k": -1}, "default, 0"),
        ({"top_p": 0.0}, "above 0, 1 at most"),
        ({"top_p": 1.1}, "above 0, 1 at most"),
        ({"repetition_penalty": 0.0}, "above 0"),
        ({"beams": 0}, "1 or more"),
        ({"length_penalty": -1.0}, "0 or more"),
        ({"length_penalty": 1e9}, "10 at most"),
        ({"stop": ("",)}, "one character or more"),
        ({"beams": 2, "top_k": 3}, "drop temperature"),
        ({"beams": 2, "temperature": 0.5}, "drop temperature"),
    ],
)
def test_options_out_of_range_are_refused(options, mend):
    with pytest.raises(UsageError, match=mend):
        Decoding(**options)


@pytest.mark.parametrize(
    ("length", "options", "samples", "mend"),
    [
        (-1, Decoding(), 1, "default, 50"),
        (1, Decoding(), 0, "1 or more"),
        (1, Decoding(beams=2), 3, "raise beams"),
        (1, GREEDY, 2, "set a temperature"),
    ],
)
def test_what_cannot_be_written_is_refused(pieces, length, options, samples, mend):
    with pytest.raises(UsageError, match=mend):
        write(Endless(pieces), pieces, ["the"], length, options, samples=samples)


def test_choosing_needs_no_torch():
    code = "import sys, stemma.runs.run, stemma.runs.decoding, stemma.lineage.ngram; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
