"""Counted nouns: `1 document`, `1,200 documents`."""


def counted(amount: int, singular: str, plural: str = "") -> str:
    """The number with its noun; `plural`, where an s does not make it, may carry the verb too.

    >>> counted(1, "training example"), counted(1200, "document"), counted(1, "word is", "words are")
    ('1 training example', '1,200 documents', '1 word is')
    """
    return f"{amount:,} {noun(amount, singular, plural)}"


def noun(amount: float, singular: str, plural: str = "") -> str:
    """The noun for so many, where the number itself is worded otherwise.

    >>> noun(1, "pass", "passes"), noun(0, "seed")
    ('pass', 'seeds')
    """
    return singular if amount == 1 else plural or f"{singular}s"
