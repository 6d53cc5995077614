"""The memory of networks that look a fixed number of tokens back. Needs no torch, since n-grams have one too."""

from collections.abc import Sequence


class Recent:
    """Each row's last ids: the `network.Memory` of such a network."""

    def __init__(self, last: list[list[int]]) -> None:
        self.last = last

    def rows(self, chosen: Sequence[int]) -> "Recent":
        """These rows, in this order."""
        return Recent([self.last[row] for row in chosen])

    @classmethod
    def after(cls, prompts: Sequence[Sequence[int]], memory: "Recent | None", size: int) -> "Recent":
        """What is kept, `size` ids at most, once the prompts were read after what `memory` holds."""
        before = [[]] * len(prompts) if memory is None else memory.last
        joined = [[*old, *map(int, new)] for old, new in zip(before, prompts, strict=True)]
        return cls([ids[max(0, len(ids) - size) :] for ids in joined])
