"""The compiler's door: one place that knows it, and machine code that needs no place on disk."""

import re
from pathlib import Path

import numpy as np
import pytest
from numba.core import caching

import stemma.kernels
from stemma.kernels.compiling import compiled, inlined

SOURCE = Path(stemma.kernels.__file__).resolve().parents[1]


def doubled(x):
    return x + x


@pytest.fixture
def nowhere_to_write(monkeypatch):
    """As on a read-only install, of a user without a home: none of Numba's places for machine code can be written."""
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])


def kept_on_disk(kernel):
    return isinstance(kernel._cache, caching.FunctionCache)


@pytest.mark.usefixtures("nowhere_to_write")
@pytest.mark.parametrize("options", [{}, {"fastmath": True, "error_model": "numpy"}, {"inline": "always"}])
def test_a_kernel_compiles_where_nothing_can_be_written(options):
    kernel = compiled(**options)(doubled)
    assert not kept_on_disk(kernel)
    assert kernel(3) == 6


def test_machine_code_is_kept_where_it_can_be():
    assert kept_on_disk(compiled(doubled))


@pytest.mark.usefixtures("nowhere_to_write")  # on disk, machine code is told apart by its source and not by its options
def test_a_division_by_zero_follows_the_error_model():
    def share(x, total):
        return x / total

    with pytest.raises(ZeroDivisionError):
        compiled(share)(1.0, 0.0)
    assert compiled(error_model="numpy")(share)(1.0, 0.0) == np.inf


def test_an_inlined_function_leaves_no_call_behind():
    double = inlined(doubled)

    @compiled(fastmath=True, error_model="numpy")
    def caller(x):
        return double(x) + 1.0

    assert caller(2.0) == 5.0
    assert not re.search("call.*doubled", caller.inspect_asm(caller.signatures[0]))


def files_with(pattern):
    return [path for path in SOURCE.rglob("*.py") if re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)]


def test_machine_code_is_asked_for_in_one_place_alone():
    assert [path.name for path in files_with("njit")] == ["compiling.py"]


def test_numba_is_known_to_kernels_alone():
    assert {path.parent.name for path in files_with("^ *(import|from) (numba|llvmlite)")} == {"kernels"}
