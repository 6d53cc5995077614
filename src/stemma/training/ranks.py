"""One process or several: what `torchrun` tells a process about its place among its like.

PyTorch, which moves what they exchange, is loaded where there are several.
"""

import atexit
import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
WAIT_SECONDS = 600.0  # that a process waits for another within a step before it fails: the other is gone, or the link to it
PATIENT_SECONDS = 2 * 86_400.0  # the same where one works and the others have nothing to do: reading, judging, writing


@dataclass(frozen=True)
class Ranks:
    """This process's place: `rank` of `count`, `local` on its machine."""

    rank: int = 0
    count: int = 1
    local: int = 0
    patient: Any = None  # the group of processes that wait for what may take hours

    @property
    def first(self) -> bool:
        """True for the one process that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Returns when every process has come here, however long one of them works before."""
        if self.count > 1:
            import torch.distributed as dist

            dist.barrier(self.patient)

    def agree(self, value: T, source: int = 0) -> T:
        """The value of one process, the first unless another is named, in every process."""
        if self.count == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=source)
        return box[0]

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Each of the numbers, summed over the processes, in every process."""
        if self.count == 1:
            return list(numbers)
        import torch
        import torch.distributed as dist

        sums = torch.tensor(numbers, dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(sums)
        return sums.tolist()

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in the order of the ranks, in the first process; nothing in the others."""
        if self.count == 1:
            return [value]
        import torch.distributed as dist

        box = [None] * self.count if self.first else None
        dist.gather_object(value, box)
        return box or []


@contextlib.contextmanager
def join() -> Iterator[Ranks]:
    """Joins the group that `torchrun` started, once and until the process ends; a process started alone is rank 0 of 1."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks()
        return
    import torch
    import torch.distributed as dist

    local = int(os.environ.get("LOCAL_RANK", "0"))
    if not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(local)
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(seconds=WAIT_SECONDS))
        atexit.register(dist.destroy_process_group)  # a group that was left cannot be joined again under the same address
    patient = dist.new_group(backend="gloo", timeout=timedelta(seconds=PATIENT_SECONDS))
    yield Ranks(dist.get_rank(), dist.get_world_size(), local, patient)
