"""What `corpus check` finds in pairs: planted faults are found with their lines, whatever the blocks and workers."""

import json
from pathlib import Path

import numpy as np
import pytest

from stemma.corpus import blocks as cutting
from stemma.corpus.check import check
from stemma.corpus.formats import Config
from stemma.corpus.parallel import looks_parallel
from stemma.errors import DataError

WORDS = np.array(["mill", "river", "old", "stone", "night", "bread"])
SIMPLIFIED, TRADITIONAL = "们这说时会来个国为学", "們這說時會來個國為學"
RNG = np.random.default_rng(11)


def english(count: int) -> str:
    return " ".join(RNG.choice(WORDS, count))


def chinese(count: int, letters: str = SIMPLIFIED) -> str:
    return "".join(RNG.choice(list(letters), 2 * count))


CLEAN = [(english(n), chinese(n)) for n in RNG.integers(5, 20, 400)]


def written(folder: Path, rows: list[tuple[str, str]]) -> Path:
    path = folder / "p.tsv"
    path.write_text("en\tzh\n" + "".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    return path


def faulty() -> dict[int, tuple[str, str]]:
    """Line -> a pair that is not as the others."""
    return {
        50: (english(20), chinese(2)),
        60: (english(3), chinese(20)),
        70: (english(9), english(9)),
        80: (english(9),) * 2,
        90: (english(9), chinese(9, TRADITIONAL)),
        91: (english(9), chinese(9, TRADITIONAL)),
        92: (english(9), chinese(9, TRADITIONAL)),
        93: (english(9), chinese(9, TRADITIONAL)),
        94: (english(9), chinese(9, TRADITIONAL)),
        95: ("Hi.", "您好，先生！"),
    }


@pytest.mark.parametrize(("size", "workers"), [(1 << 20, 1), (700, 1), (700, 2)])
def test_planted_faults_are_found_by_their_lines(tmp_path, monkeypatch, size, workers) -> None:
    monkeypatch.setattr(cutting.blocks, "__defaults__", (size, ()))
    planted = faulty()
    rows = [planted.get(line, pair) for line, pair in enumerate(CLEAN, start=2)]
    report = check([written(tmp_path, rows)], workers=workers)
    assert report.ok and report.pairs and report.pairs.pairs == 400
    found = report.pairs
    assert found.characters == (sum(len(a) for a, _ in rows), sum(len(b) for _, b in rows))
    longer = sorted(len(b) / len(a) for a, b in rows)
    assert found.median_ratio == pytest.approx(longer[200], rel=0.03)
    far = found.out_of_line
    assert far.count == 2 and sorted(place.at.split("line ")[1] for place in far.examples) == ["50", "60"]
    others = {(side, script): [place.at.split("line ")[1] for place in kind.examples] for side, _, script, kind in found.in_other_scripts}
    assert others == {("target", "Latin"): ["70", "80"]}
    assert found.identical.count == 1 and found.identical.examples[0].at.endswith("p.tsv, line 80")
    ((side, simplified, traditional),) = found.mixed_chinese
    assert side == "target" and traditional.count == 5 and simplified.count == 400 - 5 - 2 - 1  # one is neither
    assert [place.at.split("line ")[1] for place in traditional.examples] == ["90", "91", "92"]
    hints = "\n".join(report.hints)
    for part in ("2 pairs are beyond 3 times", "2 targets are in Latin script", "5 in traditional Chinese", "1 target is its source"):
        assert part in hints
    assert json.loads(json.dumps(report.as_dict()))["pairs"]["identical"] == {"pairs": 1, "examples": [str(found.identical.examples[0])]}


def test_clean_pairs_have_no_hint(tmp_path) -> None:
    report = check([written(tmp_path, CLEAN)])
    assert report.ok and not report.hints and report.pairs and not report.pairs.out_of_line.count


def test_pairs_that_stand_again_are_reported(tmp_path) -> None:
    report = check([written(tmp_path, CLEAN + CLEAN[:100])])
    assert report.repeated_pairs == pytest.approx(0.2) and "20% of the pairs have stood before" in "\n".join(report.hints)


def test_lines_that_are_no_pairs_make_a_corpus_that_would_be_refused(tmp_path) -> None:
    rows = [*CLEAN[:5], ("alone", ""), ("", "孤"), ("a\tb", "c"), (english(4), "长" * 99)]
    report = check([written(tmp_path, rows)], Config(max_sentence=90))
    assert not report.ok and report.num_problems == 3
    assert [problem.split(": ")[0].rsplit(" ", 1)[1] for problem in report.problems] == ["7", "8", "9"]
    pairs = report.as_dict()["pairs"]
    assert (pairs["pairs"], pairs["empty_side"], pairs["no_pair"], pairs["side_too_long"]) == (5, 2, 1, 1)
    assert "Left out, a side being longer than 90 characters (max_sentence): 1 pair." in report.hints


def test_two_files_are_checked_as_one_table(tmp_path) -> None:
    paths = [tmp_path / "s", tmp_path / "t"]
    for path, column in zip(paths, zip(*CLEAN, strict=True), strict=True):
        path.write_text("\n".join(column) + "\n", encoding="utf-8")
    report, table = check(paths[:1], targets=paths[1:]), check([written(tmp_path, CLEAN)])
    assert report.pairs and table.pairs and report.pairs.characters == table.pairs.characters and report.pairs.ratios == table.pairs.ratios
    assert (report.longest_line, report.scripts["Han"]) == (max(len(a) for a, _ in CLEAN), table.scripts["Han"])
    paths[1].write_text("孤\n", encoding="utf-8")
    report = check(paths[:1], targets=paths[1:])
    assert not report.ok and "400 lines" in report.problems[0] and "goes on after line 1" in report.problems[0]


def test_a_table_that_is_read_as_text_is_reported(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in CLEAN), encoding="utf-8")
    report = check([path])
    assert not report.pairs and [count for note, count in report.ledger.notes.items() if 'corpus.format = "pairs"' in note] == [400]
    assert looks_parallel([f"{a}\t{b}" for a, b in CLEAN])


def test_real_pairs_show_what_is_known_of_them(shared_data: Path) -> None:
    tatoeba, classical = (check([shared_data / name / "dev.tsv"]).pairs for name in ("mt-en-zh-tatoeba", "mt-lzh-zh"))
    assert tatoeba and classical
    ((side, simplified, traditional),) = tatoeba.mixed_chinese
    assert side == "target" and min(simplified.count, traditional.count) > 500
    assert not list(classical.mixed_chinese) and classical.identical.count > 50


def test_a_missing_target_file_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match="none: no such file"):
        check([written(tmp_path, CLEAN)], targets=[tmp_path / "none"])
