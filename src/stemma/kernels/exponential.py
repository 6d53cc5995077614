"""The exponential as a polynomial in float32, so that loops which need it are vectorised."""

import numpy as np

from stemma.kernels.compiling import inlined


@inlined
def exp2(t):
    """2 to the power of a float32 from -126 to 0, with a relative error of 2e-9 beside its roundings."""
    whole = np.int32(t - np.float32(0.5))
    f = t - np.float32(whole)
    power = np.float32(1.54697320e-04)
    power = power * f + np.float32(1.34004322e-03)
    power = power * f + np.float32(9.61802560e-03)
    power = power * f + np.float32(5.55032721e-02)
    power = power * f + np.float32(2.40226512e-01)
    power = power * f + np.float32(6.93147207e-01)
    power = power * f + np.float32(1)
    return power * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)
