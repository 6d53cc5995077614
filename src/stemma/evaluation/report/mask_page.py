"""The masks of texts as an offline page: every word a box, its tokens above what the network reads in their places."""

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template

from stemma.nouns import counted
from stemma.runs.masks import MaskedText


def page(texts: Sequence[MaskedText]) -> str:
    """The page as text; it has no scripts."""
    template = (resources.files("stemma.evaluation.report") / "masks.html").read_text(encoding="utf-8")
    return Template(template).substitute(body="".join(map(_shown, texts)))


def _shown(text: MaskedText) -> str:
    """A text: a box a word, and below them what must be predicted."""
    words = "".join(f'<span class="word">{"".join(_token(text, place) for place in word)}</span>' for word in text.words)
    predicted = sum(token is not None for token in text.labels)
    share = f"{predicted} of {counted(len(text.labels), 'token')} to be predicted"
    return f'<section><p class="text">{words}</p><p>{share}</p></section>'


def _token(text: MaskedText, place: int) -> str:
    """A token as the text spells it, above what is read; where the vocabulary lacks what must be predicted, that is said too."""
    spelt, label, became = text.text[slice(*text.spans[place])], text.labels[place], text.became(place)
    title = f' title="to predict: {escape(label)}"' if label is not None else ""
    return f'<span class="token {became}"{title}><b>{escape(spelt)}</b><i>{escape(text.reads[place])}</i></span>'
