"""Memory that kernels keep."""

import os
import subprocess
import sys

import pytest

GROWTH = """
import os, sys
import torch
from stemma.layers.allocator import forget_old_shapes
if sys.argv[1] == "bounded":
    forget_old_shapes()
torch.set_num_threads(1)
def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
weight = torch.randn(512, 128, dtype=torch.bfloat16)
for n in range(1200):
    rows, width = 1 + n % 35, 128 - n // 35
    torch.nn.functional.linear(torch.ones(rows, width, dtype=torch.bfloat16), weight[:, :width])
    if n == 200:
        start = held()
print(held() - start)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_shapes_that_do_not_come_again_are_forgotten():
    """A thousand shapes, each seen once: memory hardly grows; unbounded it does, where oneDNN multiplies bfloat16."""
    env = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}  # another test may have set them
    free, bounded = (
        int(subprocess.run([sys.executable, "-c", GROWTH, kind], env=env, capture_output=True, text=True, check=True).stdout)
        for kind in ("free", "bounded")
    )
    assert bounded < max(free / 3, 50_000_000), (free, bounded)
