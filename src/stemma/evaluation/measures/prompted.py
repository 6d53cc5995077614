"""Tasks of targets posed as prompts, after which the run writes (Radford 2019, sections 3.6 and 3.7).

- `generate`: `{text}`, a line end and `TL;DR:`; 100 tokens are drawn from the two likeliest each time, and the first three sentences kept.
- `translate`: some lines `source = target`, then `source =`; the likeliest token each time, and the first sentence kept. The pairs
  that are shown are the file's first ones, and are not judged.

Beside them stands what needs no language model: the source's own first three sentences, and the source copied.
"""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from stemma.corpus.sentences import borders
from stemma.evaluation.measures.chance import Found, judged
from stemma.evaluation.measures.choosing import Normalise
from stemma.evaluation.measures.posed import Posed
from stemma.evaluation.measures.templates import with_fields
from stemma.runs.decoding import Decoding
from stemma.runs.run import Run
from stemma.tasks.task import Task
from stemma.tasks.translate import Translated

PROMPTS = {"generate": "{text}\nTL;DR:", "translate": "{text} ="}
LENGTH = 100  # tokens written at most
SENTENCES = 3  # of a summary
SHOWN = 4  # pairs before the first source, at most half of the file's
SEEN = 3  # texts written that are shown to a reader
DRAWN, LIKELIEST = Decoding(top_k=2), Decoding(temperature=0.0, stop=("\n",))


def prompt(task: Task, examples: Sequence[Translated], posed: Posed) -> str:
    """What stands before what is written, with the field {text}."""
    posed.check(task, "template")
    return with_fields(posed.template or PROMPTS[task.name], ["text"])


def summaries(run: Run, task: Task, examples: Sequence[Translated], form: str, normalise: Normalise) -> Found:
    """What is written after `TL;DR:`, beside the first sentences of each source."""
    written = _written(run, [_put(form, example.source) for example in examples], DRAWN)
    said = [first_sentences(text, SENTENCES) for text in written]
    lead = [first_sentences(example.source, SENTENCES) for example in examples]
    way = f"{LENGTH} tokens drawn from the {DRAWN.top_k} likeliest, of which the first {SENTENCES} sentences are kept"
    return {"way": way, "template": form, **_beside(task, examples, said, lead, f"the source's first {SENTENCES} sentences")}


def translations(run: Run, task: Task, examples: Sequence[Translated], form: str, normalise: Normalise) -> Found:
    """What is written after pairs `source = target` and a source, beside the source itself."""
    number = min(SHOWN, len(examples) // 2)
    shown, judged_ones = examples[:number], examples[number:]
    lines = "".join(f"{_put(form, example.source)} {example.target}\n" for example in shown)
    written = _written(run, [lines + _put(form, example.source) for example in judged_ones], LIKELIEST)
    said = [first_sentences(text.partition("\n")[0], 1) for text in written]
    copied = [example.source for example in judged_ones]
    way = "the likeliest token each time, of which the first sentence is kept"
    return {"way": way, "template": form, "shown": number, **_beside(task, judged_ones, said, copied, "the source, copied")}


def first_sentences(text: str, number: int) -> str:
    """The text up to the end of that sentence of it.

    >>> first_sentences("One. Two. Three.", 2), first_sentences("他来了。他走了。", 1), first_sentences("One.", 3)
    ('One. Two.', '他来了。', 'One.')
    """
    text = text.strip()
    ends = [stop for stop, _ in islice(borders(text), number)]
    return text[: ends[-1]] if len(ends) == number else text


def _put(form: str, text: str) -> str:
    return form.replace("{text}", text)


def _written(run: Run, prompts: Sequence[str], options: Decoding) -> list[str]:
    """What the run writes after each prompt."""
    rows = run.write(prompts, length=LENGTH, options=options)
    return [best.text[len(prompt) :] for prompt, (best, *_) in zip(prompts, rows, strict=True)]


def _beside(task: Task, examples: Sequence[Translated], said: Sequence[str], plain: Sequence[str], how: str) -> Found:
    """The metrics of what was said, beside those of the plain texts, and the first few for a reader."""
    targets = task.targets(examples)
    given, beside = np.array(said, dtype=object), np.array(plain, dtype=object)
    found = judged(task, targets, task.gold(examples, targets), given, beside, how)
    seen = [{"source": example.source, "written": text} for example, text in zip(examples[:SEEN], said, strict=False)]
    return {**found, "empty": sum(not text for text in said), "seen": seen}
