"""The arrays of an n-gram model are held to be one before compiled code follows them."""

import math

import numpy as np
import pytest
from tests.lineage.test_ngram import SPECIALS, learnt, novel

from stemma.errors import DamagedError
from stemma.kernels.numbers import ABSENT
from stemma.lineage.ngram import Config, Ngram
from stemma.tokens.facts import TokenFacts

TEXT = novel(np.random.default_rng(5), 40)


def opened(network: Ngram, arrays: dict, **options) -> Ngram:
    config = Config(**{"order": network.config.order} | options)
    return Ngram.from_arrays(config, TokenFacts(len(network.words), SPECIALS), arrays)


def arrays_of(network: Ngram) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in network.arrays().items()}


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "kn", "precision": "double"},
        {"prune": (0, 1)},
        {"unknown": "dropped"},
        {"method": "katz"},
        {"method": "add-k"},
        {"method": "mle"},
    ],
)
def test_what_was_estimated_is_a_model(order, options):
    options = {**options, "prune": options.get("prune", ())[:order]}
    network, _ = learnt(TEXT, order=order, **options)
    again = opened(network, arrays_of(network))
    np.testing.assert_array_equal(again.score([[3, 4, 7], []]).log_probs, network.score([[3, 4, 7], []]).log_probs)


def changed(name: str, place: int, value: float):
    def change(arrays: dict) -> None:
        arrays[name][place] = value

    return change


def put(name: str, make):
    def change(arrays: dict) -> None:
        arrays[name] = make(arrays[name])

    return change


def swap_words(arrays: dict) -> None:
    first, second = np.flatnonzero(np.diff(arrays["successors"].astype(np.int64)) > 1)[0], arrays["successors"]
    row = second[first]
    arrays["last_words"][[row, row + 1]] = arrays["last_words"][[row + 1, row]]


DAMAGE = [
    (changed("last_words", 4, 3), "row 4"),
    (changed("last_words", -1, 1 << 31), "row"),
    (changed("successors", 2, 1 << 30), "row"),
    (changed("successors", -1, 0), "row"),
    (changed("successors", 0, 0), "row 0"),
    (changed("suffixes", -1, 0), "row"),
    (changed("suffixes", -1, 0xFFFFFFFF), "row"),
    (changed("log10_probs", 7, math.nan), "row 7"),
    (changed("log10_probs", 7, 1.0), "row 7"),
    (changed("log10_backoffs", 7, math.nan), "row 7"),
    (changed("log10_backoffs", 7, math.inf), "row 7"),
    (swap_words, "row"),
    (put("successors", lambda a: a[::-1].copy()), "row"),
    (put("suffixes", np.zeros_like), "row"),
    (put("last_words", lambda a: a[:-1]), "last_words"),
    (put("log10_probs", lambda a: a.astype(np.float16)), "log10_probs"),
    (put("log10_probs", lambda a: a[:, None]), "log10_probs"),
    (put("log10_backoffs", lambda a: a.astype(np.float64)), "log10_backoffs"),
    (put("successors", lambda a: a.astype(np.int32)), "successors"),
    (put("sizes", lambda a: -a), "sizes"),
    (put("sizes", lambda a: a[:-1]), "sizes of 2 orders"),
    (put("sizes", lambda a: a.astype(np.float64)), "sizes"),
    (put("sizes", lambda a: a + (1 << 62)), "last_words"),
    (put("sizes", lambda a: np.array([2, 0, 0])), "sizes"),
    (put("words", lambda a: a[:-1]), "words"),
    (put("words", lambda a: np.full_like(a, 5)), "numbering"),
    (changed("words", -1, 1 << 20), "numbering"),
    (put("implied", lambda a: np.array([1 << 30], np.uint32)), "implied"),
    (put("uniform", lambda a: np.zeros(2)), "uniform"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), DAMAGE)
def test_what_is_no_model_is_refused(change, message):
    network, _ = learnt(TEXT, order=3)
    arrays = arrays_of(network)
    change(arrays)
    with pytest.raises(DamagedError, match=f"arrays of the n-gram model: .*{message}.*restore the run"):
        opened(network, arrays)


def test_what_is_lacking_is_named():
    network, _ = learnt(TEXT, order=3)
    for name in Ngram.ARRAYS:
        arrays = arrays_of(network)
        del arrays[name]
        with pytest.raises(DamagedError, match=f"there is no {name}"):
            opened(network, arrays)
    with pytest.raises(DamagedError, match=r"sizes of 3 orders, where model\.order = 4"):
        opened(network, arrays_of(network), order=4)


def test_random_links_are_refused_or_followed_within_the_model():
    network, _ = learnt(TEXT, order=3)
    whole, draws, refused = arrays_of(network), np.random.default_rng(1), 0
    for _ in range(300):
        arrays = {name: array.copy() for name, array in whole.items()}
        name = draws.choice(["last_words", "successors", "suffixes", "words", "log10_probs", "log10_backoffs"])
        bits = arrays[name].view(np.uint32)
        bits[draws.integers(len(bits))] ^= np.uint32(1 << draws.integers(32))
        try:
            found = opened(network, arrays)
        except DamagedError:
            refused += 1
            continue
        assert len(found.score([[3, 4, 7, 9], [5, 3]]).log_probs) == 8
        found.probs([3, 4])
    assert refused > 150 and (whole["words"] != ABSENT).any()
