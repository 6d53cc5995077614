"""The batch: named arrays that an objective makes and a generation's `loss` reads.

Names in use. Of rows of text, with B rows, T positions and I sentence pairs:
`ids` (B T) int64 · `positions` (B T) place within its segment · `segments` (B T) 0 padding, 1.. the
segment of its row that a token belongs to: attention never crosses from one to another ·
`types` (B T) sentence A or B · `labels` (B T) with IGNORE where nothing is predicted ·
`begins` (B) True where a row's carried state starts anew ·
`turns` (B T) when each token becomes visible to the others of its row, the smaller the sooner · `backward` (B) True for rows that are
read from right to left, which come last · `kept` () how many of a row's first positions the next batch may attend to ·
`cls` (I) the place among the B T, row after row, of the first token of each pair · `next` (I) 1 where B does not follow A ·
`order` (I) 1 where A and B are swapped: B stands before A in their document.

Of a source and the target that is predicted from it, with B rows, S source positions and T target positions:
`ids`, `segments` (B S) the source and its end, 1 at tokens and 0 at padding · `target_ids`, `target_segments` (B T) the same of what
the decoder reads, which begins with a begin · `labels` (B T) what it predicts, which ends with an end.

Of flat text, for word2vec, with N words and S sentences:
`words` (N) int32 ids · `starts` (S+1) the sentences' borders among them.

Of the table X of co-occurrences, for GloVe, with P pairs of words, G tiles and R rounds:
`rows`, `columns` (P) uint16 a word's place in its block · `values` (P) float64 X_ij · `tiles` (G+1) borders among the pairs ·
`blocks` (G 2) the blocks that a tile's rows and columns stand for · `rounds` (R+1) borders among the tiles ·
`members` (blocks, places) int32 the id at each place of a block, -1 where there is none · `lone` ids of the words without a pair ·
`symmetric` (1) True where a pair stands for both of its orders.
"""

import hashlib

import numpy as np

Batch = dict[str, np.ndarray]
IGNORE = -100  # a label that carries no loss (PyTorch's own convention)


def seed_for(*parts: int | str) -> int:
    """The one seed function: 63 bits that depend on all parts and on nothing else."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: int | str) -> "np.random.Generator":
    """A NumPy generator seeded by `seed_for(*parts)`."""
    return np.random.Generator(np.random.PCG64(seed_for(*parts)))
