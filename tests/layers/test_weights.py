"""What a network weighs is known before it has weights, and without PyTorch's compiler, which takes as long to load as PyTorch."""

import subprocess
import sys

CODE = """
import sys
import numpy as np
import torch
from stemma.config import resolve
from stemma.layers.weights import check_memory
from stemma.lineage.table import TABLE
from stemma.tokens.facts import TokenFacts

specials = {"pad": 0, "cls": 1, "sep": 2, "mask": 3, "eos": 4, "unk": 5, "bos": 6}
facts = TokenFacts(40, specials, np.arange(40, 0, -1), list(map(str, range(40))))
for row in TABLE:
    if row.updates == "backprop":
        model = resolve({"model": row.model_config()}, ("tiny", {"model": row.presets()["tiny"].get("model", {})}))["model"]
        before = torch.get_rng_state()
        check_memory(lambda: row.new_module(row.load_network().settle(model, torch.device("cpu")), facts), copies=1)
        assert torch.equal(torch.get_rng_state(), before), row.name
        assert "torch._dynamo" not in sys.modules, row.name
        print(row.name)
"""


def test_no_generation_s_size_takes_the_compiler_or_a_draw() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"lstm", "gpt", "bert", "transformer", "xlnet"} <= set(done.stdout.split())
