"""Counting and static vectors side by side with their peers: one command, one table, one JSON line.

    python bench/static.py [CORPUS] [--only PART] [--quick]

Each part (`static_*.py`) takes the same plain text (.xz too), lets Stemma and its peer work in turns, and gives rows of
speed and of quality; a ratio of speeds is the median of the rounds' ratios. The last line printed is JSON. `--quick`
ends in 10 minutes on two cores.
"""

import argparse
import importlib
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

PARTS = ("words", "word2vec", "glove", "ngram", "scoring")
CORPUS = Path(__file__).resolve().parents[2] / "shared" / "data" / "text-en-novels" / "train.txt.xz"


def main() -> None:
    """Measures part after part, prints their rows as they come, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", type=Path, default=CORPUS)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part alone (may be given again)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, one seed")
    options = parser.parse_args()
    if not options.corpus.is_file():
        parser.error(f"{options.corpus} is not a file. A plain text of some ten megabytes is measured on. Name one: bench/static.py CORPUS")
    result: dict = {"bench": "static", "quick": options.quick, "seconds": {}}
    print(f"{'':54}{'stemma':>14}{'peer':>14}{'ratio':>8}")
    for name in options.only or PARTS:
        start = time.perf_counter()
        result[name] = apart(name, options.corpus.resolve(), options.quick)
        result["seconds"][name] = round(time.perf_counter() - start)
        for row, figures in result[name].items():
            label = f"{name}: {row}" + (f" ({figures['unit']})" if "unit" in figures else "")
            print(f"{label:54}{number(figures['ours']):>14}{number(figures['peer']):>14}{number(figures['ratio']):>8}", flush=True)
            if "note" in figures:
                print(f"  {figures['note']}")
    print(json.dumps(result))


def apart(name: str, corpus: Path, quick: bool) -> dict:
    """The rows of a part, measured in a process of its own: what one part holds in memory is not charged to the next."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measured, name, corpus, quick).result()


def measured(name: str, corpus: Path, quick: bool) -> dict:
    """The rows of a part."""
    return importlib.import_module(f"static_{name}").measure(corpus, quick)


def number(value: float | None) -> str:
    """Thousands with commas, smaller ones with three figures; a dash for a ratio to nothing."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
