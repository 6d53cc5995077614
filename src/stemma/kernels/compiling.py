"""How Python functions become machine code: two decorators, and one rule for where the code is kept.

Numba keeps machine code by the date of the function's own file alone: after a change to a kernel that others have compiled
into themselves, touch their files too.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal

import numba
from numba.np import linalg


def _look_for_no_blas() -> None:
    """Loads Numba's mathematics of arrays without SciPy, which it would import to see whether there is a BLAS.

    That takes 0.3 s and 40 MB before the first kernel runs, and none of ours multiplies matrices. What others compile in this
    process finds the BLAS as ever: Numba looks once more where it uses it.
    """
    look = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = look
    arraymath._HAVE_BLAS = find_spec("scipy") is not None


_look_for_no_blas()


def compiled(
    function: Callable | None = None,
    /,
    *,
    fastmath: bool = False,
    error_model: Literal["python", "numpy"] = "python",
    nogil: bool = True,
    inline: Literal["never", "always"] = "never",
) -> Any:
    """Compile to machine code at the first call, kept on disk where Numba finds a writable place.

    Bare, or with Numba's options: `fastmath` lets sums be reordered, error model `numpy` divides by zero as NumPy does,
    `nogil` lets other threads run meanwhile, `inline` = "always" copies the source into its callers.
    """

    def decorate(function: Callable) -> Any:
        try:
            return numba.njit(cache=True, fastmath=fastmath, error_model=error_model, nogil=nogil, inline=inline)(function)
        except RuntimeError:  # "no locator available": read-only install and no cache folder
            return numba.njit(fastmath=fastmath, error_model=error_model, nogil=nogil, inline=inline)(function)

    return decorate if function is None else decorate(function)


def inlined(function: Callable) -> Any:
    """Compile into its callers: loops over d see the width as a constant, and a kernel is one piece of machine
    code that calls nothing, so that its roundings cannot depend on what else the process has compiled.
    """
    return numba.njit(forceinline=True, nogil=True, fastmath=True, error_model="numpy")(function)
