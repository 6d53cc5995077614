"""The batch: named arrays that an objective makes and a generation's `loss` reads.

Names in use, with B rows and T positions:
`ids` (B T) int64 · `positions` (B T) place within its segment · `segments` (B T) 0 padding, 1.. the
segment of its row that a token belongs to: attention never crosses from one to another ·
`types` (B T) sentence A or B · `labels` (B T) with IGNORE where nothing is asked ·
`words` (N) flat ids and `starts` (S+1) their sentence borders, for the static generations.
"""

import hashlib

import numpy as np

Batch = dict[str, np.ndarray]
IGNORE = -100  # a label that carries no loss (PyTorch's own convention)


def seed_for(*parts: int | str) -> int:
    """The one seed function: 63 bits that depend on all parts and on nothing else."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """A NumPy generator seeded by `seed_for(*parts)`."""
    return np.random.Generator(np.random.PCG64(seed_for(*parts)))
