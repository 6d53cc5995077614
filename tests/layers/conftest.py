"""Holds the shapes written in the annotations of `layers` against what the tests pass (jaxtyping, beartype)."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("beartype"):
    from jaxtyping import install_import_hook

    sys.path.insert(0, str(Path(__file__).parent))  # where the hook finds its checker
    # Before the first import of these modules: the test modules below this folder come after.
    checked = [f"stemma.lineage.{name}" for name in ("gpt", "gpt2", "bert", "nnlm", "lstm", "xlnet")]
    install_import_hook(["stemma.layers", *checked], "shape_checks.checked")
