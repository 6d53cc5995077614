"""How kernels read memory where Numba has no word for it: fetching ahead, and many bytes or numbers at once."""

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


@intrinsic
def count_below(typingctx, numbers, place, room, limit):
    """`count_below(numbers, place, room, limit)`: how many of the first `room` of 16 uint32 from `place` on are below
    `limit`. All 16 are read.
    """

    def write(context, builder, signature, arguments):
        items = context.make_array(signature.args[0])(context, builder, arguments[0])
        number, sixteen, wide = ir.IntType(32), ir.VectorType(ir.IntType(32), 16), ir.IntType(64)
        address = builder.bitcast(builder.gep(items.data, [arguments[1]]), sixteen.as_pointer())
        limits = builder.insert_element(ir.Constant(sixteen, ir.Undefined), arguments[3], number(0))
        limits = builder.shuffle_vector(limits, ir.Constant(sixteen, ir.Undefined), ir.Constant(sixteen, [0] * 16))
        below = builder.icmp_unsigned("<", builder.load(address, align=4), limits)
        first = builder.sub(builder.shl(wide(1), arguments[2]), wide(1))  # a bit for each of the first `room`
        return builder.ctpop(builder.and_(builder.zext(builder.bitcast(below, ir.IntType(16)), wide), first))

    return types.uintp(numbers, types.uintp, types.uintp, types.uint32), write


@intrinsic
def letters_from(typingctx, data, place):
    """`letters_from(data, place)`: how many of the 16 bytes from `place` on are ASCII letters or digits, up to the first
    that is not. All 16 are read.
    """

    def write(context, builder, signature, arguments):
        items = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, sixteen, bits = ir.IntType(8), ir.VectorType(ir.IntType(8), 16), ir.IntType(32)
        address = builder.bitcast(builder.gep(items.data, [arguments[1]]), sixteen.as_pointer())
        found = builder.load(address, align=1)

        def all_are(value):
            return ir.Constant(sixteen, [byte(value)] * 16)

        small = builder.or_(found, all_are(0x20))
        letter = builder.icmp_unsigned("<", builder.sub(small, all_are(ord("a"))), all_are(26))
        digit = builder.icmp_unsigned("<", builder.sub(found, all_are(ord("0"))), all_are(10))
        others = builder.not_(builder.bitcast(builder.or_(letter, digit), ir.IntType(16)))
        others = builder.or_(builder.zext(others, bits), bits(1 << 16))
        return builder.zext(builder.cttz(others, ir.IntType(1)(1)), ir.IntType(64))

    return types.intp(data, types.uintp), write
