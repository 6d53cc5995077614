"""The report's section on word vectors: maps of the same words side by side, their neighbours, and what files say of them."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from stemma.evaluation.comparison.results import Answered, GenerationResults, PairsFile, Results, WordMaps, WordTests
from stemma.evaluation.measures.similarity import METHODS
from stemma.evaluation.report import map_drawing, tables
from stemma.evaluation.report.wording import listed, percent, whole
from stemma.runs.word_vectors import FREQUENT

Generations = Mapping[str, GenerationResults]
Judged = Sequence[tuple[GenerationResults, WordTests]]

_NAMED = 5  # words without a vector that a cell names
_PLACED = {
    "t-SNE": ("by t-SNE: words with alike vectors stand close together, while the distance between groups that lie apart means little"),
    "PCA": (
        "by PCA, on the two directions in which the vectors differ most; with the extra eval "
        '(pip install "stemma-nlp[eval]") t-SNE would keep neighbours together better'
    ),
}


def words(results: Results) -> str:
    """The section's HTML; empty when no generation of the comparison has word vectors."""
    maps = results.words
    if not maps:
        return ""
    named = {generation.name: generation for generation in results.generations}
    judged = [(generation, generation.words) for generation in results.generations if generation.words]
    return "".join([_maps(maps, named), _neighbours(maps, named), _similarity(judged), _analogies(judged)])


def _maps(maps: WordMaps, named: Generations) -> str:
    if not maps.maps:
        note = "Too few of the words have a vector for a map."
        return f'<p class="note">{note}{_missing(maps)}</p>'
    first = np.array(next(iter(maps.maps.values())))
    hues = map_drawing.hues(first)
    drawn = []
    for name, places in maps.maps.items():
        short = named[name].short
        picture = map_drawing.draw(maps.words, np.array(places), hues, f"Map of words by {short}")
        box = f'<div class="scroll" role="region" tabindex="0" aria-label="Word map of {escape(short)}">{picture}</div>'
        drawn.append(f"<div><h3>{tables.dot(named[name].colour)}{escape(short)}</h3>{box}</div>")
    which = "The words you named" if maps.asked else f"The {len(maps.words)} most frequent words that tell of a subject"
    several = len(drawn) > 1
    caption = f"{which}{', in every generation with word vectors' * several}, placed {_PLACED[maps.method]}. "
    caption += "Each map is turned to match the first. " * several
    caption += (
        f"A word's colour is its direction from the middle{' of the first map: words that stay together keep one colour' * several}. "
    )
    caption += "Labels are pushed aside a little, so that none covers another." + _missing(maps)
    return f'<figure><div class="maps">{"".join(drawn)}</div><figcaption>{escape(caption)}</figcaption></figure>'


def _missing(maps: WordMaps) -> str:
    return f" Without a vector in one of them: {', '.join(maps.missing)}." if maps.missing else ""


def _neighbours(maps: WordMaps, named: Generations) -> str:
    names = list(next(iter(maps.neighbours.values()), {}))
    if not names:
        return ""
    rows = []
    for word, near in maps.neighbours.items():
        cells = (f'<td class="long">{", ".join(_near(*pair) for pair in near[name])}</td>' for name in names)
        rows.append(f'<tr><th scope="row">{escape(word)}</th>{"".join(cells)}</tr>')
    head = ["Word", *(named[name].short for name in names)]
    lead = f"The words of highest cosine, the nearest first, among the {FREQUENT:,} most frequent ones."
    return f'<h3>Nearest neighbours</h3><p class="lead">{lead}</p>{tables.table(head, rows, "Nearest neighbours")}'


def _near(word: str, cosine: float) -> str:
    return f'<span title="cosine {cosine:.2f}">{escape(word)}</span>'


def _similarity(judged: Judged) -> str:
    rows = []
    for generation, tests in judged:
        for place, file in enumerate(tests.similarity):
            name = tables.name_cell(generation, len(tests.similarity)) if place == 0 else ""
            rows.append(f"<tr>{name}<td>{escape(Path(file.file).name)}</td>{_agreement(file)}</tr>")
    if not rows:
        return ""
    lead = (
        "Rank correlation (Spearman's rho) of the words' cosines with people's scores. Pairs with a word that has no vector are left out: "
        "where generations know different words, each is judged on its own pairs."
    )
    head = ["Representation", "File", "#Rho", "#Pairs", "Words without a vector"]
    return f'<h3>Similarity as people see it</h3><p class="lead">{lead}</p>{tables.table(head, rows, "Word similarity")}'


def _agreement(file: PairsFile) -> str:
    found = file.found
    if not found:
        return f'<td colspan="3" class="none">{escape(file.why_not)}</td>'
    rho = tables.measure(found.rho, lambda r: f"{r:.3f}")
    pairs = f"{tables.figure(found.used, whole)} of {tables.figure(found.pairs, whole)}"
    return f'{tables.number_cell(rho)}{tables.number_cell(pairs)}<td class="long">{_lacking(found.missing)}</td>'


def _lacking(missing: Sequence[str]) -> str:
    if not missing:
        return tables.DASH
    rest = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
    return f'<span class="none">{escape(", ".join(missing[:_NAMED]))}{rest}</span>'


def _analogies(judged: Judged) -> str:
    rows, sections = [], []
    for generation, tests in judged:
        for place, file in enumerate(tests.analogies):
            name = tables.name_cell(generation, len(tests.analogies)) if place == 0 else ""
            rows.append(f"<tr>{name}<td>{escape(Path(file.file).name)}</td>{_answers(file.total)}</tr>")
            for k, (section, found) in enumerate(file.sections.items()):
                whose = tables.name_cell(generation, len(file.sections)) if k == 0 else ""
                sections.append(f"<tr>{whose}<td>{escape(section)}</td>{_answers(found)}</tr>")
    if not rows:
        return ""
    methods = [f"#{method}, %" for method in METHODS.values()]
    table = tables.table(["Representation", "File", *methods, "#Questions"], rows, "Analogies")
    by_section = tables.table(["Representation", "Section", *methods, "#Questions"], sections, "Analogies by section")
    lead = (
        f"a is to b as c is to …: right answers by {listed(list(METHODS.values()))} among the questions whose four words all have vectors."
    )
    details = f"<details><summary>Section by section</summary>{by_section}</details>"
    return f'<h3>Analogies</h3><p class="lead">{lead}</p>{table}{details}'


def _answers(found: Answered) -> str:
    shares = "".join(tables.number_cell(tables.figure(share, percent)) for share in found.accuracies())
    return shares + tables.number_cell(f"{tables.figure(found.covered, whole)} of {tables.figure(found.asked, whole)}")
