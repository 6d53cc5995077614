"""How kernels read memory where Numba has no word for it: fetching ahead, and eight bytes at once from anywhere."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def prefetch(typingctx, array, place):
    """`prefetch(array, place)`: starts to fetch the cache line of the array's element `place`, counted flat; does not wait."""

    def write(context, builder, signature, arguments):
        items = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(items.data, [arguments[1]])
        pointer, number = address.type, ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(hint, [address, number(0), number(3), number(1)])  # for reading, to be kept, data
        return context.get_dummy_value()

    return types.void(array, types.uintp), write


@intrinsic
def eight_bytes(typingctx, data, place):
    """`eight_bytes(data, place)`: the bytes of `data` from `place` on as one uint64, aligned or not."""

    def write(context, builder, signature, arguments):
        items = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(items.data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(address, align=1)

    return types.uint64(data, types.uintp), write
