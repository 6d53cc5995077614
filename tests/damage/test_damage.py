"""Files that went wrong, by chance or by design, are refused or change nothing: no wrong answer, no traceback, no crash."""

from pathlib import Path

import pytest
from tests.damage.trials import COMMANDS, FILES, files_of, made, tried

BAD = ("wrong", "traceback", "crash", "hung")
DESIGNED = tuple(name for name in FILES if name not in ("README.md", "ledger.json"))  # nobody's input
KINDS = (*COMMANDS, "ngram-classify", "word2vec-classify", "bert-classify", "bert-wwm-classify", "xlnet-classify")


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, made(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("way", ["chance", "design"])
def test_no_file_of_a_run_can_make_it_err(run: tuple[str, Path], way: str) -> None:
    for name in FILES if way == "chance" else DESIGNED:
        found, lines = tried(*run, name, way == "design", count=60)
        assert not any(found[outcome] for outcome in BAD), lines
        assert found["tried"] == 60


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", ["ngram-store", "word2vec-store", "word2vec-state", "gpt-state", "lstm-state"])
def test_no_damage_is_trained_on(kind: str, tmp_path: Path) -> None:
    whole = made(kind, tmp_path)
    for name in files_of(kind, whole):
        found, lines = tried(kind, whole, name, designed=False, count=20)
        assert not any(found[outcome] for outcome in BAD), lines
        assert found["tried"] == 20
