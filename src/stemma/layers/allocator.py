"""Memory that is freed and allocated again at every step, and memory that nobody allocated."""

import ctypes
import os
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of <malloc.h>
_ABOVE_ALL_TENSORS = 1 << 30


def keep_freed_memory(most: int = _ABOVE_ALL_TENSORS) -> bool:
    """Lets this process keep freed blocks of up to `most` bytes, and give larger ones back; True where the C library can be set so.

    Left alone, glibc gives blocks over 32 MB, and the top of its heap, back to the system at once. A training step frees
    and allocates the same blocks again and again, and each page of them faults: 4 % of BERT small's time. Where memory is
    counted instead, 32 MB is too much: what was such a block remains, as a gap that nothing else fits.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not in musl
    return bool(mallopt and mallopt(_MMAP_THRESHOLD, most) and mallopt(_TRIM_THRESHOLD, 2 * most - 1))


def forget_old_shapes() -> None:
    """Bounds the kernels that oneDNN and its wrapper keep for shapes they have seen; to be called before the first product.

    They keep 1,024 each, about half a MB apiece in bfloat16. Batches whose number of predictions differs from step to step fill
    that with shapes that seldom come again: over a gigabyte. Making a kernel anew takes a fifth of a millisecond.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "128")
