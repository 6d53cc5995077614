"""How `embed` makes one vector of a text's states. Axes: T positions, D width, R states that count."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stemma.bounds import Natural


@dataclass(frozen=True)
class Pooling:
    """Whose states are averaged. The defaults are ours; a run made of a folder of sentence-transformers has the folder's."""

    over: Literal["tokens", "framed", "first", "last"] = "tokens"  # the text's tokens; specials too; the first or the last position alone
    normalise: bool = False  # to length 1
    max_length: Natural = 0  # positions read of a text, specials included, the rest being cut; 0: all of it, window by window

    @property
    def framed(self) -> bool:
        """Whether it looks at specials too."""
        return self.over != "tokens"

    def chosen(self, states: np.ndarray) -> np.ndarray:
        """Those (R D) that count of the states (T D) of a text, or, where it is `framed`, of the text in its specials."""
        return {"first": states[:1], "last": states[-1:]}.get(self.over, states)


TOKENS = Pooling()
