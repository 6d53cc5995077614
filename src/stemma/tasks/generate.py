# ruff: noqa: F722 (axis names stand in annotations)
"""The task `generate`: a target text for each source that is no translation of it: a summary, a headline, a plainer wording.

A table whose second column is called `targets` may hold several that are right, with ` ||| ` between: the first is learnt from, and
what is written is judged by the one that it is nearest to (of ROUGE by each measure, Lin 2004, section 2.1; BLEU counts the n-grams
of all, Papineni 2002, section 2.1).

It is `translate` judged by ROUGE. Encoder-decoders write as they translate; GPT and GPT-2 by an input transformation (`runs.prefixed`).

Axes: N examples, C terms; *R any axes.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from stemma.corpus.files import opened
from stemma.tasks.rouge import rouge
from stemma.tasks.task import Metric, Targets
from stemma.tasks.translate import Config as Config
from stemma.tasks.translate import Translate, Translated

BETWEEN = "|||"  # targets of the column `targets`
_ROUGE = ("rouge_l", "rouge_1", "rouge_2")


class Generate(Translate):
    """Targets for sources, judged by ROUGE-L first."""

    name = "generate"

    def read(self, path: str | Path, learning: bool = True) -> list[Translated]:
        """The pairs of a table; of a column `targets` the several that are right."""
        pairs = super().read(path, learning)
        with opened(str(path)) as file:
            several = file.readline().split(b"\t")[-1].strip().strip(b'"').lower() == b"targets"
        return list(map(_parted, pairs)) if several else pairs

    def metrics(self, targets: Targets) -> tuple[Metric, ...]:
        """ROUGE-L, ROUGE-1 and ROUGE-2, then BLEU and chrF."""
        return (*(Metric(name, name.upper().replace("_", "-")) for name in _ROUGE), *super().metrics(targets))

    def terms(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> Float[np.ndarray, "N C"]:
        """1 and the ROUGE of each text, then what BLEU and chrF are made of."""
        texts = zip(decoded.tolist(), gold.tolist(), strict=True)
        each = np.array([(1.0, *np.max([rouge(said, right) for right in several.split("\n")], 0)) for said, several in texts])
        return np.concatenate([each.reshape(len(gold), -1), super().terms(gold, decoded, targets)], 1)

    def measures(self, sums: Float[np.ndarray, "*R C"], targets: Targets) -> dict[str, np.ndarray]:
        """The metrics of sums of terms: of ROUGE the mean over texts."""
        count = np.maximum(sums[..., 0], 1)
        means = {name: sums[..., 1 + place] / count for place, name in enumerate(_ROUGE)}
        return means | super().measures(sums[..., 1 + len(_ROUGE) :], targets)


def _parted(pair: Translated) -> Translated:
    target, *others = (text for part in pair.target.split(BETWEEN) if (text := part.strip()))
    return replace(pair, target=target, others=tuple(others))
