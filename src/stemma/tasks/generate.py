# ruff: noqa: F722 (axis names stand in annotations)
"""The task `generate`: a target text for each source that is no translation of it: a summary, a headline, a plainer wording.

It is `translate` judged by ROUGE. Encoder-decoders write as they translate; GPT and GPT-2 by an input transformation (`runs.prefixed`).

Axes: N examples, C terms; *R any axes.
"""

import numpy as np
from jaxtyping import Float

from stemma.tasks.rouge import rouge
from stemma.tasks.task import Metric, Targets
from stemma.tasks.translate import Config as Config
from stemma.tasks.translate import Translate

_ROUGE = ("rouge_l", "rouge_1", "rouge_2")


class Generate(Translate):
    """Targets for sources, judged by ROUGE-L first."""

    name = "generate"

    def metrics(self, targets: Targets) -> tuple[Metric, ...]:
        """ROUGE-L, ROUGE-1 and ROUGE-2, then BLEU and chrF."""
        return (*(Metric(name, name.upper().replace("_", "-")) for name in _ROUGE), *super().metrics(targets))

    def terms(self, gold: np.ndarray, decoded: np.ndarray, targets: Targets) -> Float[np.ndarray, "N C"]:
        """1 and the ROUGE of each text, then what BLEU and chrF are made of."""
        each = np.array([(1.0, *rouge(said, right)) for said, right in zip(decoded.tolist(), gold.tolist(), strict=True)])
        return np.concatenate([each.reshape(len(gold), -1), super().terms(gold, decoded, targets)], 1)

    def measures(self, sums: Float[np.ndarray, "*R C"], targets: Targets) -> dict[str, np.ndarray]:
        """The metrics of sums of terms: of ROUGE the mean over texts."""
        count = np.maximum(sums[..., 0], 1)
        means = {name: sums[..., 1 + place] / count for place, name in enumerate(_ROUGE)}
        return means | super().measures(sums[..., 1 + len(_ROUGE) :], targets)
