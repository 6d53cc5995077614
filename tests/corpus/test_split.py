"""The held-out split: about the share asked for, the same every time, and nothing on both sides."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemma.corpus import split as splitting
from stemma.corpus.document import Document
from stemma.corpus.split import place, split


def documents(*texts: str) -> list[Document]:
    return [Document(tuple(text.split("|")), f"f:{at}") for at, text in enumerate(texts)]


def sides(found: list[Document], share: float = 0.05, seed: int = 0) -> dict[str, list[Document]]:
    parted: dict[str, list[Document]] = {"train": [], "dev": []}
    for side, document in split(found, share, seed):
        parted[side].append(document)
    return parted


def size(found: list[Document]) -> int:
    return sum(len(sentence) for document in found for sentence in document.sentences)


MANY = documents(*(f"Sentence {at} one.|第{at}句话。|Sentence {at} three." for at in range(400)))


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_many_documents_are_held_out_whole(share: float) -> None:
    parted = sides(MANY, share)
    assert all(len(document.sentences) == 3 for document in parted["dev"] + parted["train"])
    assert size(parted["dev"]) / size(MANY) == pytest.approx(share, rel=0.1)
    assert not set(parted["dev"]) & set(parted["train"])


def test_another_seed_gives_another_split_and_the_same_seed_the_same() -> None:
    assert sides(MANY, seed=1) == sides(MANY, seed=1) != sides(MANY, seed=2)
    assert place(MANY[0], -1) == place(MANY[0], -1) != place(MANY[0], 1)


@pytest.mark.parametrize("count", [2, 3, 20, 1000])
def test_one_document_holds_out_a_run_of_sentences(count: int) -> None:
    only = documents("|".join(f"第{at}句。" for at in range(count)))
    parted = sides(only)
    held = [sentence for document in parted["dev"] for sentence in document.sentences]
    assert len(held) == max(1, round(0.05 * count)) or abs(len(held) - 0.05 * count) < 1
    assert "".join(held) in "".join(only[0].sentences)
    kept = [sentence for document in parted["train"] for sentence in document.sentences]
    assert sorted(held + kept) == sorted(only[0].sentences)


def test_one_sentence_is_all_train() -> None:
    assert sides(documents("Only one."))["dev"] == []


def test_one_huge_document_among_small_ones_is_not_held_out_whole() -> None:
    found = documents("|".join(f"A long book, sentence {at}." for at in range(5000)), "One.|Two.", "Three.|Four.")
    parted = sides(found)
    assert size(parted["dev"]) / size(found) == pytest.approx(0.05, rel=0.2)


def test_copies_of_a_document_fall_on_the_same_side() -> None:
    found = [*MANY, *MANY[::-1]]
    parted = sides(found)
    assert not {d.sentences for d in parted["dev"]} & {d.sentences for d in parted["train"]}


def test_a_long_stream_is_split_as_it_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "LOOK_AHEAD", 4000)
    parted = sides(MANY)
    assert 0.02 < size(parted["dev"]) / size(MANY) < 0.1
    taken = 0

    def counted():
        nonlocal taken
        for document in MANY:
            taken += 1
            yield document

    next(iter(split(counted(), 0.05, 0)))
    assert taken < 150


def test_share_zero_holds_nothing_out() -> None:
    assert sides(MANY, 0.0)["dev"] == []


@given(
    st.lists(st.lists(st.sampled_from(["a", "b", "c d", "中", "国。"]), min_size=1, max_size=9), max_size=12),
    st.floats(0.01, 0.6),
    st.integers(-5, 5),
)
def test_no_sentence_is_lost_or_added(texts: list[list[str]], share: float, seed: int) -> None:
    found = documents(*("|".join(text) for text in texts))
    parted = sides(found, share, seed)
    given_sentences = sorted(sentence for document in found for sentence in document.sentences)
    assert sorted(s for side in parted.values() for document in side for s in document.sentences) == given_sentences
    if len(given_sentences) > 1 and any(len(text) > 1 for text in texts):
        assert parted["train"]


def test_the_side_does_not_depend_on_where_the_file_lies(tmp_path: Path) -> None:
    moved = [Document(document.sentences, f"{tmp_path}/x:1") for document in MANY]
    assert [side for side, _ in split(moved)] == [side for side, _ in split(MANY)]


def pairs(count: int, sources: int) -> list[Document]:
    return [Document((f"Source {at % sources}.", f"第{at}句。"), f"f:{at}", pair=True) for at in range(count)]


@pytest.mark.parametrize(("count", "sources"), [(3000, 1000), (400, 7), (20, 20), (2, 2), (1, 1)])
def test_pairs_stay_whole_and_so_do_the_translations_of_one_source(count: int, sources: int) -> None:
    found = sides(pairs(count, sources), share=0.01)
    assert all(len(document.sentences) == 2 for side in found.values() for document in side)
    assert len(found["train"]) + len(found["dev"]) == count
    held, learnt = ({document.sentences[0] for document in found[side]} for side in ("dev", "train"))
    assert not held & learnt and learnt and bool(held) == (sources > 1)


def test_pairs_behind_long_texts_stay_whole_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "LOOK_AHEAD", 10)
    found = sides([*documents("|".join(f"Sentence {at}." for at in range(200))), *pairs(30, 30)], share=0.5)
    assert all(len(document.sentences) == 2 for side in found.values() for document in side if document.pair)
    assert sum(document.pair for side in found.values() for document in side) == 30
