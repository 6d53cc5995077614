"""Which text is predicted: that of the pair, or what was hidden; the text decides unless a setting does."""

from types import SimpleNamespace

import numpy as np
import pytest
from tests.objectives.conftest import made_store

from stemma.errors import DataError, UsageError
from stemma.objectives.denoising import Config as Spans
from stemma.objectives.denoising import Denoising
from stemma.objectives.target_text import Config, TargetText
from stemma.objectives.translation import Config as Direction
from stemma.objectives.translation import Translation

FACTS = SimpleNamespace(vocab_size=1000, specials={"eos": 0, "bos": 0})
SIZES = {"seed": 3, "batch_tokens": 60, "max_length": 20}


def made(pairs: int, documents: int = 12) -> SimpleNamespace:
    store = made_store([[at % 5 + 1, at % 4 + 2] for at in range(documents)])
    counts = np.bincount(store.ids, minlength=1000)
    return SimpleNamespace(**vars(store), documents=documents, sentences=2 * documents, pairs=pairs, counts=counts)


def same(one, other, store) -> bool:
    assert (one.ledger(), one.used_by(2), one.steps_in_epoch(1), one.epoch_of(9)) == (
        other.ledger(), other.used_by(2), other.steps_in_epoch(1), other.epoch_of(9),
    )  # fmt: skip
    assert one.constant_losses(store) == other.constant_losses(store)
    assert one.real_tokens(one.batch(1)) == other.real_tokens(other.batch(1))
    batches = one.batch(2, 1, 2), other.batch(2, 1, 2)
    return batches[0].keys() == batches[1].keys() and all(np.array_equal(batches[0][name], batches[1][name]) for name in batches[0])


def test_pairs_are_translated_and_plain_text_is_restored() -> None:
    pairs, plain = made(12), made(0)
    assert same(TargetText(pairs, FACTS, Config(), **SIZES), Translation(pairs, FACTS, Direction(), **SIZES), pairs)
    assert same(TargetText(pairs, FACTS, Config(reverse=True), **SIZES), Translation(pairs, FACTS, Direction(True), **SIZES), pairs)
    assert same(TargetText(plain, FACTS, Config(share=0.4), **SIZES), Denoising(plain, FACTS, Spans(0.4), **SIZES), plain)
    assert same(TargetText(pairs, FACTS, Config("denoising"), **SIZES), Denoising(pairs, FACTS, Spans(), **SIZES), pairs)


def test_both_kinds_have_batches_of_the_same_names() -> None:
    kinds = [TargetText(store, FACTS, Config(), **SIZES) for store in (made(12), made(0))]
    assert [kind.kind for kind in kinds] == ["translation", "denoising"]
    assert len({tuple(sorted(kind.batch(0))) for kind in kinds}) == 1


def test_what_the_text_does_not_allow_is_refused() -> None:
    with pytest.raises(DataError, match=r"5 pairs .* beside 7 plain documents.*objective\.kind = denoising"):
        TargetText(made(5), FACTS, Config(), **SIZES)
    with pytest.raises(DataError, match="--source and --target"):
        TargetText(made(0), FACTS, Config("translation"), **SIZES)
    with pytest.raises(UsageError, match=r"reverse = true with objective\.kind = denoising.*drop objective\.reverse"):
        TargetText(made(0), FACTS, Config(reverse=True), **SIZES)
    with pytest.raises(UsageError, match=r"share = 0\.3 with objective\.kind = translation.*drop objective\.share"):
        TargetText(made(12), FACTS, Config(share=0.3), **SIZES)
    with pytest.raises(DataError, match="corpus check"):
        TargetText(made(0, documents=0), FACTS, Config(), **SIZES)
