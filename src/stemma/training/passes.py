"""Passes over the text: how many a run has made, and how many are sensible."""

from dataclasses import dataclass

from stemma.objectives.objective import Objective
from stemma.training.settings import MOST_PASSES, HandConfig


@dataclass(frozen=True)
class Passes:
    """Counts passes over the whole text, of which an epoch reads `share`.

    A pass shows every document once. Its tokens read may be more than the text has: separators, and the sentences that BERT's
    pairs show again as another one's second half.
    """

    objective: Objective
    share: float
    accumulate: int  # micro-batches an update
    reads_once: bool  # in preparation: its steps are no passes

    def after(self, steps: int) -> float:
        """Passes made in so many updates."""
        if self.reads_once or not steps:
            return self.share if self.reads_once else 0.0
        epoch, within = self.objective.epoch_of(steps * self.accumulate - 1)
        return self.share * (epoch + (within + 1) / self.objective.steps_in_epoch(epoch))

    def steps_for(self, passes: float) -> int:
        """About how many updates make so many passes; one at least."""
        return max(1, round(passes / self.share * self.objective.steps_in_epoch(0) / self.accumulate))


def sensible_steps(steps: int, training: HandConfig, passes: Passes) -> tuple[int, str]:
    """The updates of the budget, at most those that `most_passes` allow; and what a reader is to hear of it, if anything."""
    if passes.reads_once or 0 < training.epochs <= training.most_passes:
        return steps, ""
    about = steps * training.accumulate * passes.share / passes.objective.steps_in_epoch(0)
    if training.most_passes and (most := passes.steps_for(training.most_passes)) < steps:
        less = f"the budget is {about:,.0f} passes over the text: cut to {training.most_passes:,.4g} (training.most_passes)"
        return most, less
    if not training.most_passes and not training.epochs and about > 1.05 * MOST_PASSES:
        much = f"the budget is {about:,.0f} passes over the text, and more than {MOST_PASSES} teach next to nothing"
        return steps, f"{much}: give it more text, or set training.most_passes={MOST_PASSES}"
    return steps, ""
