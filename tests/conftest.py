"""Fixtures shared by all rooms."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("stemma", deadline=None, derandomize=True)  # the first example may compile a kernel
settings.load_profile("stemma")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", params=["made up", "real"])
def kenlm_models(request: pytest.FixtureRequest) -> Path:
    """A folder of texts with the models that lmplz made of them: our own, and real text where it stands beside this checkout."""
    if request.param == "made up":
        return Path(__file__).parent / "fixtures" / "kenlm"
    return request.getfixturevalue("shared_data") / "fixtures" / "kenlm"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora that stands beside the checkout in development; skips when absent."""
    if not SHARED.is_dir():
        pytest.skip("real corpora are not beside this checkout")
    return SHARED
