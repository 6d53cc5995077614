"""The report's section on word vectors: maps of the same words side by side, their neighbours, and what files say of them."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from stemma.evaluation.measures.similarity import METHODS
from stemma.evaluation.report import map_drawing, tables
from stemma.evaluation.report.charts import colour
from stemma.evaluation.report.word_map import FREQUENT
from stemma.evaluation.report.wording import listed, percent, title

_NAMED = 5  # words without a vector that a cell names
_PLACED = {
    "t-SNE": ("by t-SNE: words with alike vectors stand close together, while the distance between groups that lie apart means little"),
    "PCA": (
        "by PCA, on the two directions in which the vectors differ most; with the extra eval "
        '(pip install "stemma-nlp[eval]") t-SNE would keep neighbours together better'
    ),
}


def words(report: dict) -> str:
    """The section's HTML; empty when no generation of the comparison has word vectors."""
    maps = report.get("words")
    judged = [g for g in report["generations"] if g.get("words")]
    if not maps:
        return ""
    parts = [_maps(maps), _neighbours(maps), _similarity(judged), _analogies(judged)]
    return "".join(parts)


def _maps(maps: dict) -> str:
    if not maps["maps"]:
        told = "Too few of the words have a vector for a map."
        return f'<p class="note">{told}{_missing(maps)}</p>'
    first = np.array(next(iter(maps["maps"].values())))
    hues = map_drawing.hues(first)
    drawn = []
    for name, places in maps["maps"].items():
        picture = map_drawing.draw(maps["words"], np.array(places), hues, f"Map of words by {title(name)}")
        box = f'<div class="scroll" role="region" tabindex="0" aria-label="Word map of {escape(title(name))}">{picture}</div>'
        drawn.append(f"<div><h3>{_dot(name)}{escape(title(name))}</h3>{box}</div>")
    asked = "The words you named" if maps["asked"] else f"The {len(maps['words'])} most frequent words that tell of a subject"
    several = len(drawn) > 1
    caption = f"{asked}{', in every generation with word vectors' * several}, placed {_PLACED[maps['method']]}. "
    caption += "Each map is turned to match the first. " * several
    caption += (
        f"A word's colour is its direction from the middle{' of the first map: words that stay together keep one colour' * several}. "
    )
    caption += "Labels are pushed aside a little, so that none covers another." + _missing(maps)
    return f'<figure><div class="maps">{"".join(drawn)}</div><figcaption>{escape(caption)}</figcaption></figure>'


def _missing(maps: dict) -> str:
    return f" Without a vector in one of them: {', '.join(maps['missing'])}." if maps["missing"] else ""


def _neighbours(maps: dict) -> str:
    names = list(next(iter(maps["neighbours"].values()), {}))
    if not names:
        return ""
    rows = []
    for word, near in maps["neighbours"].items():
        cells = (f'<td class="long">{", ".join(_near(*pair) for pair in near[name])}</td>' for name in names)
        rows.append(f'<tr><th scope="row">{escape(word)}</th>{"".join(cells)}</tr>')
    head = ["Word", *(title(name) for name in names)]
    lead = f"The words of highest cosine, the nearest first, among the {FREQUENT:,} most frequent ones."
    return f'<h3>Nearest neighbours</h3><p class="lead">{lead}</p>{tables.table(head, rows, "Nearest neighbours")}'


def _near(word: str, cosine: float) -> str:
    return f'<span title="cosine {cosine:.2f}">{escape(word)}</span>'


def _similarity(judged: Sequence[dict]) -> str:
    rows = []
    for g in judged:
        files = g["words"]["similarity"]
        for place, found in enumerate(files):
            name = tables.name_cell(g["name"], len(files)) if place == 0 else ""
            cells = f"<td>{escape(Path(found['file']).name)}</td>"
            if "why_not" in found:
                cells += f'<td colspan="3" class="none">{escape(found["why_not"])}</td>'
            else:
                rho = tables.measure(found["rho"], lambda r: f"{r:.3f}")
                pairs = f"{tables.figure(found['used'], _whole)} of {tables.figure(found['pairs'], _whole)}"
                cells += f'{tables.number_cell(rho)}{tables.number_cell(pairs)}<td class="long">{_lacking(found["missing"])}</td>'
            rows.append(f"<tr>{name}{cells}</tr>")
    if not rows:
        return ""
    lead = (
        "Rank correlation (Spearman's rho) of the words' cosines with people's scores. Pairs with a word that has no vector are left out: "
        "where generations know different words, each is judged on its own pairs."
    )
    head = ["Representation", "File", "#Rho", "#Pairs", "Words without a vector"]
    return f'<h3>Similarity as people see it</h3><p class="lead">{lead}</p>{tables.table(head, rows, "Word similarity")}'


def _lacking(missing: Sequence[str]) -> str:
    if not missing:
        return tables.DASH
    rest = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
    return f'<span class="none">{escape(", ".join(missing[:_NAMED]))}{rest}</span>'


def _analogies(judged: Sequence[dict]) -> str:
    rows, sections = [], []
    for g in judged:
        files = g["words"]["analogies"]
        for place, found in enumerate(files):
            name = tables.name_cell(g["name"], len(files)) if place == 0 else ""
            rows.append(f"<tr>{name}<td>{escape(Path(found['file']).name)}</td>{_answers(found['total'])}</tr>")
            for k, (section, told) in enumerate(found["sections"].items()):
                whose = tables.name_cell(g["name"], len(found["sections"])) if k == 0 else ""
                sections.append(f"<tr>{whose}<td>{escape(section)}</td>{_answers(told)}</tr>")
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


def _answers(told: dict) -> str:
    shares = "".join(tables.number_cell(tables.figure(told[f"{method}_accuracy"], percent)) for method in METHODS)
    return shares + tables.number_cell(f"{tables.figure(told['covered'], _whole)} of {tables.figure(told['asked'], _whole)}")


def _dot(name: str) -> str:
    return f'<span class="dot" style="background:{colour(name)}"></span>'


def _whole(value: float) -> str:
    return f"{value:,.0f}"
