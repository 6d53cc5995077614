"""A run that is killed at random moments and given again ends as the one that nobody killed."""

from pathlib import Path

import pytest
from tests.faults.kills import KINDS, texts, tried


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_kills_change_nothing(kind: str, tmp_path: Path) -> None:
    texts(tmp_path)
    row = tried(kind, 2, tmp_path)
    assert row.equal == row.runs, row.differences
