"""How the report words things: names of generations and modes, and numbers with their units."""

MODES = ("frozen", "random", "finetune", "scratch")
CONTROLS = {"frozen": "random", "finetune": "scratch"}  # the same without pre-training
_MODES = {"frozen": "frozen", "random": "random, frozen", "finetune": "fine-tuned", "scratch": "from scratch"}
_TITLES = {
    "ngram": "n-gram",
    "nnlm": "NNLM",
    "glove": "GloVe",
    "lstm": "LSTM",
    "elmo": "ELMo",
    "transformer": "Transformer",
    "gpt": "GPT",
    "gpt2": "GPT-2",
    "bert": "BERT",
    "bert-wwm": "BERT-wwm",
    "albert": "ALBERT",
    "tinybert": "TinyBERT",
    "xlnet": "XLNet",
}
_LOSS_UNITS = {"glove": "weighted squared error"}  # of a training loss; nats a prediction for all others


def title(name: str) -> str:
    """A generation's name as people write it: `gpt` -> `GPT`."""
    return _TITLES.get(name, name)


def mode_title(mode: str) -> str:
    """A mode of transfer in words: `finetune` -> `fine-tuned`."""
    return _MODES.get(mode, mode)


def loss_unit(name: str) -> str:
    """What a generation's training loss is counted in."""
    return _LOSS_UNITS.get(name, "nats")


def percent(share: float) -> str:
    """A share as a figure of per cent with one decimal: 0.8412 -> `84.1`."""
    return f"{share * 100:.1f}"


def half_width(measure: dict) -> float:
    """Half the length of a measure's interval."""
    return (measure["high"] - measure["low"]) / 2


def duration(amount: float) -> str:
    """A duration for reading: 0.4 s, 48 s, 3 min 20 s, 2 h 5 min."""
    if amount < 10:
        return f"{amount:.1f}\u00a0s"
    if amount < 120:
        return f"{amount:.0f}\u00a0s"
    minutes, rest = divmod(round(amount), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest}\u00a0s" if rest else f"{minutes}\u00a0min"
    return f"{minutes // 60}\u00a0h {minutes % 60}\u00a0min"


def size(amount: float) -> str:
    """Bytes for reading, in powers of 1000: 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5 or unit == "GB":
            return f"{amount:.0f}\u00a0{unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f}\u00a0{unit}"
        amount /= 1000
    raise AssertionError("unreachable")


def count(amount: float) -> str:
    """A count for reading: 950, 12.3 k, 4.5 M."""
    for unit in ("", "\u00a0k", "\u00a0M", "\u00a0G"):
        if amount < 999.5 or unit == "\u00a0G":
            return f"{amount:.0f}{unit}" if not unit or amount >= 99.5 else f"{amount:.1f}{unit}"
        amount /= 1000
    raise AssertionError("unreachable")


def times(ratio: float) -> str:
    """A ratio for reading: 0.04, 0.5, 1.4, 12, 350."""
    if ratio < 0.095:
        return f"{ratio:.2g}"
    return f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:,.0f}"


def listed(items: list[str]) -> str:
    """Words as a list in a sentence: `a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else ""
