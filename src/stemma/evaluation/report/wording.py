"""How the report words things: modes, metrics, and numbers with their units."""

from collections.abc import Sequence

from stemma.evaluation.measures.intervals import Interval
from stemma.tasks.task import Metric

MODES = ("frozen", "random", "frozen-network", "random-network", "finetune", "scratch")
CONTROLS = {"frozen": "random", "frozen-network": "random-network", "finetune": "scratch"}  # the same without pre-training
_MODES = {  # round the name of a generation
    "frozen": "frozen {}",
    "random": "random but frozen {}",
    "frozen-network": "frozen {} under a task network",
    "random-network": "random {} under a task network",
    "finetune": "fine-tuned {}",
    "scratch": "{} from scratch",
}
BASELINE_COLOUR = "#7f8792"  # generations have their own in the table


def mode_title(mode: str) -> str:
    """A mode of transfer in words: `finetune` -> `fine-tuned`."""
    return " ".join(in_mode(mode, "").split())


def in_mode(mode: str, name: str) -> str:
    """A generation in a mode of transfer: `fine-tuned BERT`, `frozen BERT under a task network`."""
    return _MODES.get(mode, mode).format(name)


def percent(share: float) -> str:
    """A share as a figure of per cent with one decimal: 0.8412 -> `84.1`."""
    return f"{share * 100:.1f}"


def metric_title(metric: Metric) -> str:
    """A metric as the head of a column or an axis: `accuracy, %`, `perplexity (less is better)`."""
    return f"{metric.title}{', %' * metric.share}{' (less is better)' * (not metric.higher_is_better)}"


def metric_value(metric: Metric, value: float) -> str:
    """A metric's value as a bare figure: `84.1` of an accuracy of 0.8412, `27.3` of a BLEU, `0.412` of a correlation."""
    return f"{value * metric_scale(metric):.{metric.digits}f}"


def metric_scale(metric: Metric) -> int:
    """What a metric's values are multiplied by to be shown."""
    return 100 if metric.share else 1


def metric_unit(metric: Metric) -> str:
    """What stands behind a metric's figure in a sentence: ` %`, or nothing."""
    return " %" if metric.share else ""


def gap(metric: Metric, between: Interval) -> str:
    """The size of a difference in words: `7.3 ± 1.4 points`."""
    return f"{metric_value(metric, abs(between.value))} ± {metric_value(metric, between.half)} points"


def capital(text: str) -> str:
    """The text with its first letter as a capital, unless its first word has capitals of its own.

    >>> capital("macro-F1"), capital("accuracy"), capital("chrF")
    ('Macro-F1', 'Accuracy', 'chrF')
    """
    first = text.split(" ")[0]
    own = first[:1].islower() and first.isalpha() and not first.islower()
    return text if own else text[:1].upper() + text[1:]


def whole(value: float) -> str:
    """A count to its last digit: 12,345."""
    return f"{value:,.0f}"


def duration(amount: float, *, exact: bool = True) -> str:
    """A duration for reading: 0.4 s, 48 s, 3 min 20 s, 2 h 5 min; round ones, not `exact`, as 3 s, 1 min, 10 h."""
    if not exact and amount >= 60:
        return f"{amount / 3600:.0f}\u00a0h" if amount >= 3600 else f"{amount / 60:.0f}\u00a0min"
    if amount < 10:
        return f"{amount:{'.1f' if exact else 'g'}}\u00a0s"
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


def listed_few(items: Sequence[str], most: int = 4) -> str:
    """Words as a list that stays short: `a, b, c and 7 others`."""
    if len(items) <= most:
        return listed(list(items))
    return f"{', '.join(items[: most - 1])} and {len(items) - most + 1} others"


def agreeing(items: Sequence[object], singular: str, plural: str) -> str:
    """The verb's form for one or for several."""
    return singular if len(items) == 1 else plural
