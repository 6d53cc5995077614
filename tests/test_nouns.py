"""Counted nouns: the helper, and that no message of the package writes a plural by hand where it may be one."""

import ast
from itertools import pairwise
from pathlib import Path

import pytest

import stemma
from stemma.nouns import counted, noun

SOURCE = Path(stemma.__file__).parent
COUNTED = {"documents", "sentences", "tokens", "steps", "seeds", "blocks", "examples", "labels", "threads", "cores", "cells", "layers"}
NEVER_ONE = {  # lengths, sizes and shares of which several stand in the message, or which are never one
    ("evaluation/report/page.py", "count(budget.tokens)"),  # each generation's budget, rounded
    ("objectives/cooccurrence.py", "self.text_tokens"),
    ("objectives/cooccurrence.py", "len(store.ids)"),
    ("objectives/windows.py", "len(store.ids)"),
    ("objectives/cooccurrence_count.py", "threads"),
    ("tokens/store.py", "len(store.ids)"),
    ("export/spelling.py", "times"),
    ("training/ingest.py", "tokenizer.kind"),
    ("layers/cores.py", "cores"),
    ("lineage/lstm.py", "self.sizes[-1]"),
    ("corpus/task.py", "len(examples)"),
    ("cli/progress.py", "fact.tokens_per_second"),
    ("corpus/check.py", "config.max_sentence"),
    ("evaluation/measures/prompted.py", "LENGTH"),  # constants of the paper
    ("evaluation/measures/prompted.py", "SENTENCES"),
    ("evaluation/report/heat_maps.py", "head.spread"),  # a mean, with a decimal
}


@pytest.mark.parametrize(
    ("amount", "words", "expected"),
    [
        (0, ("seed",), "0 seeds"),
        (1, ("seed",), "1 seed"),
        (1, ("word is", "words are"), "1 word is"),
        (12345, ("process", "processes"), "12,345 processes"),
    ],
)
def test_one_of_a_thing_is_no_plural(amount: int, words: tuple[str, ...], expected: str) -> None:
    assert counted(amount, *words) == expected and expected.endswith(noun(amount, *words))


def plurals_after_numbers(path: Path) -> set[tuple[str, str]]:
    """The values in f-strings of the file that one of the counted nouns follows, as it is written."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for value, text in pairwise(parts):
            if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                before, *words = str(text.value).split(" ")
                if before == "" and words and words[0].rstrip(".,;:()") in COUNTED:
                    found.add((str(path.relative_to(SOURCE)), ast.unparse(value.value)))
    return found


def test_messages_count_their_nouns() -> None:
    written = set[tuple[str, str]]().union(*map(plurals_after_numbers, SOURCE.rglob("*.py")))
    assert written <= NEVER_ONE, sorted(written - NEVER_ONE)
