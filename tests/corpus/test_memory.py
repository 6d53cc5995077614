"""Memory stays flat: ten times the corpus, or one endless line, takes no more of it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource")
MEASURE = """
import resource, sys
from stemma.corpus.document import Ledger
from stemma.corpus.read import Config, read
from stemma.corpus import split
split.LOOK_AHEAD = 300_000
ledger = Ledger()
for _ in split.split(read(sys.argv[1:], Config(max_document=300_000), ledger), 0.05, 0):
    pass
assert ledger.balances
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
PARAGRAPH = "It was late. The cat slept, and Mr. Fox ran. 天黑了。他走了！ "


def peak_mb(*files: Path) -> int:
    return int(subprocess.run([sys.executable, "-c", MEASURE, *map(str, files)], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("line", [PARAGRAPH + "\n", PARAGRAPH, PARAGRAPH * 8 + "\n\n"])
def test_ten_times_the_text_takes_no_more_memory(tmp_path: Path, line: str) -> None:
    small, big = tmp_path / "small.txt", tmp_path / "big.txt"
    text = (line * (1_000_000 // len(line))).encode()
    small.write_bytes(text * 3)
    with big.open("wb") as file:
        for _ in range(15):
            file.write(text)
    assert peak_mb(big) < peak_mb(small) + 12  # MB; the big file is 12 MB longer, and its sentences would take 40
