"""How threads of one kernel wait for one another: a counter in memory that all of them raise."""

import platform
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from stemma.kernels.compiling import inlined


@intrinsic
def _add_atomically(typing, counter, value):
    """counter[0] += value, seen by all threads at once; gives the new value."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        old = builder.atomic_rmw("add", array.data, arguments[1], "seq_cst")
        return builder.add(old, arguments[1])

    return types.int64(counter, types.int64), generate


@intrinsic
def _look_up(typing, counter):
    """counter[0] as other threads have left it."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load_atomic(array.data, "acquire", 8)

    return types.int64(counter), generate


@intrinsic
def _pause(typing):
    """Tells the processor that this thread only waits, so that one that shares its core gets on faster."""

    def generate(context, builder, signature, arguments):
        if platform.machine().lower() in ("x86_64", "amd64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


_give_way = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32())


@inlined
def wait(arrived, goal):
    """Returns when `arrived` has been raised to `goal`, counting this thread in."""
    spins = 0
    reached = _add_atomically(arrived, 1)
    while reached < goal:
        spins += 1
        _pause()
        if spins % 1024 == 0:
            _give_way()
        reached = _look_up(arrived)
