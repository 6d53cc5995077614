"""Minimal pairs: files of every form, shares that were planted, ties, unknown words, intervals; English and Chinese."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest

from stemma.errors import DataError, UsageError
from stemma.evaluation.measures.intervals import mean_of_shares, proportion
from stemma.evaluation.measures.minimal_files import MinimalPair, read_minimal_pairs
from stemma.evaluation.measures.minimal_pairs import drawn, minimal_pairs
from stemma.lineage.table import find
from stemma.tokens.settings import Config
from stemma.tokens.tokenizer import train

TWO = [MinimalPair("agreement", "the cat sits .", "the cat sit .", "third person"), MinimalPair("语序", "我看花", "我花看", "动宾")]
BLIMP = [
    {
        "sentence_good": pair.good,
        "sentence_bad": pair.bad,
        "linguistics_term": pair.phenomenon,
        "UID": pair.paradigm,
        "field": "x",
        "pairID": "0",
    }
    for pair in TWO
]
FORMS = {
    "ours": "phenomenon\tgood\tbad\tparadigm\nagreement\tthe cat sits .\tthe cat sit .\tthird person\n语序\t我看花\t我花看\t动宾\n\n",
    "other order": "paradigm\tPhenomenon\tgood\tbad\r\n"
    "third person\tagreement\tthe cat sits .\tthe cat sit .\r\n动宾\t语序\t我看花\t我花看\r\n",
    "BLiMP": "\n".join(json.dumps(row, ensure_ascii=False) for row in BLIMP),
}


def written(folder, text, name="pairs.tsv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_pairs_are_read_in_every_form(tmp_path, text):
    assert read_minimal_pairs([written(tmp_path, text)]) == TWO
    assert read_minimal_pairs([written(tmp_path, text), written(tmp_path, text, "b")]) == TWO * 2


@pytest.mark.parametrize(
    ("text", "wrong", "mend"),
    [
        ("", "pairs.tsv: the file is empty", "check the file"),
        ("phenomenon\tgood\nx\ty\n", "line 1: no column 'bad'", "rename the columns"),
        ("phenomenon\tgood\tbad\n\n", "no pair follows", "below line 1"),
        ("phenomenon\tgood\tbad\nx\ta\tb\nx\ta\n", "line 3: 2 cells", "one tab each"),
        ("phenomenon\tgood\tbad\nx\t \tb\n", "line 2: the value of 'good' is ' '", "fill it in"),
        ('{"sentence_good": "a", "sentence_bad": "b", "field": "x"}\n\n{"sentence_good": "a"\n', "line 3: ", "mend the line"),
        ('{"sentence_good": "a", "sentence_bad": "b"}\n', "line 1: the value of 'phenomenon' is ''", "fill it in"),
        ('{"sentence_good": "a", "sentence_bad": 3, "field": "x"}', "line 1: the value of 'bad' is 3", "fill it in"),
    ],
)
def test_a_bad_line_is_named(tmp_path, text, wrong, mend):
    with pytest.raises(DataError) as error:
        read_minimal_pairs([written(tmp_path, text)])
    assert wrong in str(error.value) and mend in str(error.value)


@pytest.mark.parametrize(("right", "number"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 11), (50, 100), (1, 1000)])
def test_wilsons_interval_is_scipys(right, number):
    found = proportion(right, number)
    expected = binomtest(right, number).proportion_ci(method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((right / number, expected.low, expected.high), abs=1e-4)


@pytest.mark.parametrize("chances", [(0.5, 0.8, 0.6), (0.97, 0.99, 0.5, 0.02), (0.98,)], ids=len)
def test_the_interval_of_a_mean_of_shares_keeps_its_level(chances):
    """At the edges too, where a bootstrap's, which draws the same 12 of 12 again, is a point."""
    rng, held, drawn_again, rounds = np.random.default_rng(3), 0, 0, 1500
    sizes = [30, 12, 50, 20][: len(chances)]
    for hits in rng.binomial(sizes, chances, (rounds, len(chances))).tolist():
        found = mean_of_shares(np.array(hits), np.array(sizes), np.full(len(sizes), 1 / len(sizes)))
        held += found.low <= np.mean(chances) <= found.high
        again = (rng.binomial(sizes, np.divide(hits, sizes), (200, len(sizes))) / sizes).mean(1)
        drawn_again += np.quantile(again, 0.025) <= np.mean(chances) <= np.quantile(again, 0.975)
    assert drawn_again / rounds < 0.935 < held / rounds


class Planted:
    """A run of words whose nats per sentence are given."""

    def __init__(self, costs, words):
        self.row, self.network = find("ngram"), None
        self.tokenizer = train(iter([" ".join(words)]), Config(kind="whitespace", min_count=1))
        self.costs = costs

    def lacks(self, ids):
        return ids == self.tokenizer.specials["unk"]

    def score(self, texts):
        return [SimpleNamespace(nats=self.costs(text), spelling=None) for text in texts]


def planted_pairs(sizes, hits):
    """Pairs of each phenomenon, of which the first so many are judged right by a run that counts the word `bad`."""
    pairs = []
    for name, size in sizes.items():
        for n in range(size):
            good, bad = (f"fine {name} {n}", f"bad {name} {n}")
            pairs.append(MinimalPair(name, *((good, bad) if n < hits[name] else (bad, good)), paradigm=f"{name} {n % 2}"))
    return pairs


def test_planted_shares_are_found_by_phenomenon_paradigm_and_overall():
    sizes, hits = {"agreement": 40, "语序": 10, "all": 7, "none": 5}, {"agreement": 30, "语序": 2, "all": 7, "none": 0}
    pairs = planted_pairs(sizes, hits)
    run = Planted(lambda text: 10.0 + ("bad" in text), {word for pair in pairs for word in pair.good.split() + pair.bad.split()})
    found = minimal_pairs(run, pairs)
    assert {name: (part.right, part.pairs) for name, part in found.phenomena.items()} == {name: (hits[name], sizes[name]) for name in sizes}
    assert found.total.share == proportion(39, 62) and found.total.ties == found.same == found.unknown == 0
    assert found.mean.value == pytest.approx(np.mean([hits[name] / sizes[name] for name in sizes]))
    assert found.mean == mean_of_shares(np.array(list(hits.values())), np.array(list(sizes.values())), np.full(4, 0.25))
    assert sum(part.pairs for part in found.paradigms.values()) == 62 and len(found.paradigms) == 8
    assert (found.paradigms["agreement 0"].right, found.paradigms["agreement 0"].pairs) == (15, 20)


def test_ties_are_not_right_and_unknown_words_are_reported():
    pairs = [
        MinimalPair("a", "the cat", "cat the"),  # equally likely
        MinimalPair("a", "the zebra", "the gnu"),  # both unknown: the same tokens
        MinimalPair("a", "the cat", "the gnu"),  # an unknown word decides
        MinimalPair("a", "红 帽 the", "红 马 the"),  # the same tokens
        MinimalPair("a", "zebra the cat", "zebra cat the"),  # unknown, but in both alike
    ]
    run = Planted(
        lambda text: {"the cat": 3.0, "cat the": 3.0 + 1e-7, "the gnu": 4.0, "the zebra": 4.0}.get(text, float(len(text))), ["the", "cat"]
    )
    found = minimal_pairs(run, pairs)
    assert (found.total.pairs, found.total.right, found.total.ties) == (5, 1, 4)
    assert (found.same, found.unknown) == (2, 3)


def test_spelling_decides_where_it_has_a_price():
    run = Planted(lambda text: 10.0, {"the", "sat"})
    run.score = lambda texts: [SimpleNamespace(nats=10.0, spelling=float(len(text))) for text in texts]
    found = minimal_pairs(
        run, [MinimalPair("length", "the cat sat", "the catch sat"), MinimalPair("length", "the catch sat", "the cat sat")]
    )
    assert (found.total.right, found.total.ties, found.same, found.unknown) == (1, 0, 2, 2)


def test_words_that_the_model_alone_lacks_are_unknown_too():
    """A closed model may have left out words of its tokenizer: it reads them as one and the same."""
    run = Planted(lambda text: 10.0, ["the", "cat", "gnu", "sat"])
    left_out = [run.tokenizer.id(word) for word in ("cat", "gnu")]
    run.lacks = lambda ids: np.isin(ids, [*left_out, run.tokenizer.specials["unk"]])
    pairs = [MinimalPair("a", "the cat", "the gnu"), MinimalPair("a", "the zebra", "the cat"), MinimalPair("a", "the sat", "the gnu")]
    found = minimal_pairs(run, pairs)
    assert (found.same, found.unknown) == (2, 3)


def test_what_fills_masks_pays_for_spelling_too(monkeypatch):
    monkeypatch.setattr("stemma.evaluation.measures.minimal_pairs.pseudo_nats", lambda network, tokenizer, texts: [10.0] * len(texts))
    run = Planted(None, {"the", "sat"})
    run.row, run.spelling = find("bert"), lambda texts: [float(len(text)) for text in texts]
    pairs = [MinimalPair("length", "the cat sat", "the catch sat"), MinimalPair("length", "the catch sat", "the cat sat")]
    found = minimal_pairs(run, pairs)
    assert (found.total.right, found.total.ties, found.same, found.unknown) == (1, 0, 2, 2)
    run.spelling = lambda texts: [None] * len(texts)  # of a run that knows nothing of it
    assert minimal_pairs(run, pairs).total.ties == 2


def test_a_limit_draws_the_same_pairs_of_each_phenomenon_for_all():
    pairs = planted_pairs({"agreement": 40, "语序": 3}, {"agreement": 20, "语序": 1})
    some = drawn(pairs, 7)
    assert some == drawn(pairs, 7) and drawn(pairs, 0) == pairs
    assert [pair.phenomenon for pair in some] == ["agreement"] * 7 + ["语序"] * 3
    assert some[:7] != pairs[:7] and set(drawn(pairs, 5)) < set(some)
    run = Planted(lambda text: float("bad" in text), ["bad"])
    assert (minimal_pairs(run, pairs, 7).given, minimal_pairs(run, pairs, 7).total.pairs) == (43, 10)


@pytest.mark.parametrize("name", ["word2vec", "glove"])
def test_word_vectors_cannot(name):
    with pytest.raises(UsageError, match="gives no likelihood to a sentence"):
        minimal_pairs(SimpleNamespace(row=find(name)), TWO)


def test_real_files_are_read_whole(shared_data):
    english, chinese = (read_minimal_pairs([shared_data / name / "dev.tsv"]) for name in ("minimal-en-blimp", "minimal-zh-sling"))
    assert (len(english), len({pair.paradigm for pair in english}), len({pair.phenomenon for pair in english})) == (6700, 67, 13)
    assert len({pair.paradigm for pair in chinese}) == 54
