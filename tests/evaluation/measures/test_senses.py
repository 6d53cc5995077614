"""The senses probe: planted senses are found, a static vector can only name one, and the files are read strictly."""

import numpy as np
import pytest

from stemma.errors import DataError
from stemma.evaluation.measures.senses import effects_of, majority, majority_hits, probe, read_senses, split_half, thinned
from stemma.runs.run import Vectors

HEADER = "word\tindex\tsense\tsentence\n"


def rows(n: int, word: str = "bank") -> str:
    river = [f"{word}\t1\triver\tthe {word} of stream {k} was wet" for k in range(n)]
    money = [f"{word}\t3\tmoney\ti asked the {word} for loan {k}" for k in range(2 * n)]
    return HEADER + "\n".join([*river, *money]) + "\n"


class Planted:
    """Word vectors drawn by spelling; in context (layer 1) each word also holds a little of its sentence."""

    def __init__(self, context: float, tokens=lambda word: [word]) -> None:
        self.context, self.tokens = context, tokens

    def vector(self, word):
        return np.random.default_rng(abs(hash(word)) % 2**32).normal(size=20)

    def vectors(self, texts):
        found = []
        for text in texts:
            spans, vectors, at = [], [], 0
            for word in text.split(" "):
                inner = at
                for piece in self.tokens(word):
                    spans.append((inner, inner + len(piece)))
                    vectors.append(self.vector(piece))
                    inner += len(piece)
                at += len(word) + 1
            static = np.array(vectors)
            found.append(Vectors(np.zeros(len(spans), int), spans, np.stack([static, static + self.context * static.mean(0)])))
        return found


@pytest.fixture
def occurrences(tmp_path):
    path = tmp_path / "senses.tsv"
    path.write_text(rows(12) + rows(8, "银行").removeprefix(HEADER), encoding="utf-8")
    return read_senses(path)


def test_reads_the_place_of_the_word(occurrences):
    assert {o.sentence[o.first : o.last] for o in occurrences} == {"bank", "银行"}
    assert len(occurrences) == 60


def test_halves_keep_senses_and_share_no_sentence(occurrences):
    train, test = split_half(occurrences)
    assert len(train) == len(test) == 30
    assert not {o.sentence for o in train} & {o.sentence for o in test}
    assert {(o.word, o.sense) for o in train} == {(o.word, o.sense) for o in test}
    assert len(thinned(occurrences, 5)) == 10


def test_vectors_in_context_tell_planted_senses_apart_and_static_ones_do_not(occurrences):
    train, test = split_half(occurrences)
    found = probe(Planted(0.8), train, test, in_context=True)
    by_kind = {p["kind"]: p for p in found["probes"]}
    assert by_kind["in-context"]["accuracy"]["value"] == 1.0 and found["best_layer"] == 1
    assert by_kind["static"]["accuracy"]["value"] == pytest.approx(majority(train, test)["value"]) == pytest.approx(1 / 2)
    assert by_kind["context-average"]["accuracy"]["value"] > 0.9
    assert by_kind["in-context"]["within"] > by_kind["in-context"]["across"]
    assert by_kind["static"]["within"] == pytest.approx(by_kind["static"]["across"])
    assert set(by_kind["static"]["words"]) == {"bank", "银行"}
    assert by_kind["in-context"]["hits"] == [1] * len(test) and by_kind["static"]["hits"] == majority_hits(train, test)


def test_cases_are_weighted_so_that_senses_count_equally_and_lost_ones_are_in_neither(occurrences):
    train, test = split_half(occurrences)
    places, planted = [(o.word, o.sense) for o in test], Planted(0.8)
    probes = probe(planted, train, test, in_context=True)["probes"]
    for found in probes:
        (ours, theirs) = effects_of(found["hits"], majority_hits(train, test), places)
        assert ours.value == pytest.approx(found["accuracy"]["value"]) and theirs.value == pytest.approx(majority(train, test)["value"])
    lost = [None, *probes[0]["hits"][1:]]
    ours, theirs = effects_of(lost, probes[0]["hits"], places)
    assert ours.value == theirs.value and ours.moves.shape == (1, len(test) - 1)
    assert effects_of([None] * len(test), lost, places) is None


def test_the_vector_of_a_word_is_the_mean_of_its_pieces(occurrences):
    train, test = split_half(occurrences)
    pieces = Planted(0.8, tokens=lambda word: [word[:2], word[2:]] if len(word) > 2 else [word])
    assert probe(pieces, train, test, in_context=True)["probes"][1]["accuracy"]["value"] == 1.0


def test_static_generations_have_no_layers(occurrences):
    found = probe(Planted(0.0), *split_half(occurrences), in_context=False)
    assert found["layers"] == [] and [p["kind"] for p in found["probes"]] == ["static", "context-average"]
    assert all(p["accuracy"]["low"] <= p["accuracy"]["value"] <= p["accuracy"]["high"] for p in found["probes"])


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("word\tsense\tsentence\nx\ty\tz\n", "rename the columns"),
        (HEADER + "bank\t0\triver\n", "separate the cells"),
        (HEADER + "bank\t9\triver\tthe bank\n", "mend the index"),
        (HEADER + "bank\t-1\triver\tthe bank\n", "mend the index"),
    ],
)
def test_a_wrong_file_is_reported_with_its_line(tmp_path, text, cure):
    path = tmp_path / "senses.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=cure) as caught:
        read_senses(path)
    assert "senses.tsv, line" in str(caught.value)


def test_real_senses_file(shared_data):
    found = read_senses(shared_data / "wsd-en-coarsewsd" / "train.tsv")
    assert len(found) == 5391 and len({o.word for o in found}) == 10
    assert np.mean([o.sentence[o.first : o.last].lower().startswith(o.word[:3]) for o in found]) > 0.99
