"""Holds the shapes written in the annotations of `layers` against what the tests pass (jaxtyping, beartype)."""

import importlib.util

if importlib.util.find_spec("beartype"):
    from jaxtyping import install_import_hook

    # Before the first import of these modules: the test modules below this folder come after.
    install_import_hook(["stemma.layers", "stemma.lineage.gpt", "stemma.lineage.bert"], "shape_checks.checked")
