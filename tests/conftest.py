"""Fixtures shared by all rooms."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("stemma", deadline=None, derandomize=True)  # the first example may compile a kernel
settings.load_profile("stemma")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora that stands beside the checkout in development; skips when absent."""
    if not SHARED.is_dir():
        pytest.skip("real corpora are not beside this checkout")
    return SHARED
