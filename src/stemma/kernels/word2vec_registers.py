"""The register kernels of `word2vec_blocks`: small products of matrices, written as vector instructions.

Numba's own loops over rows cannot keep sums in registers, as it cannot know that the row they are added to is none of
those read; these can, and run at the processor's peak. All work on flat buffers of float32, row after row of
`pitch(lanes)` floats from a cache line's border; a row is named by the place of its first float. `lanes` is a tuple
of length width / FLOATS: its type tells the compiler the width.

Wider or narrower registers than LANES floats are the compiler's business: results are right on any processor.
"""

from functools import reduce

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from stemma.kernels.compiling import inlined

LANES = 16  # float32 in a register of AVX-512; rows of the buffers are whole registers
FLOATS = 4  # the width that kernels are compiled for is a multiple of this many
SUMS = 24 if binding.get_host_cpu_features().get("avx512f") else 6  # registers' worth of sums that a processor can hold
PLACE, VECTOR = ir.IntType(64), ir.VectorType(ir.FloatType(), LANES)


@inlined
def pitch(lanes):
    """Floats from one row of a buffer to the next: the width in whole registers."""
    return np.uint64((FLOATS * len(lanes) + LANES - 1) // LANES * LANES)


@inlined
def aligned(size):
    """Zeros (size,) float32 that start at a cache line: a register's load never needs two."""
    room = np.zeros(size + 15, np.float32)
    start = np.int64(-(room.ctypes.data // 4) % 16)
    return room[start : start + size]


def _register(builder, data, *places):
    """The address of the register at the sum of `places` of an array, some of them known now."""
    places = [PLACE(place) if isinstance(place, int) else place for place in places]
    return builder.bitcast(builder.gep(data, [reduce(builder.add, places)]), VECTOR.as_pointer())


def _load(builder, data, *places):
    """The register at the sum of `places`, wherever that is in memory."""
    return builder.load(_register(builder, data, *places), align=4)


def _mix(builder, one, other, picks):
    """Lanes of two registers: pick n < LANES from the first, others from the second."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(picks)), picks))


def _combine(height):
    """The register kernel that all sums of rows go through, for a number of rows that are summed at once."""

    @intrinsic
    def combine(typing, lanes, factors, at, across, along, count, rows, start, into, first, onto):
        """Row r of `into` = sum over n < count of factors[at + r * across + n * along] x row n of `rows` (+= if `onto`).

        Rows begin at rows[start] and into[first]. Sums stay in registers until they are whole, which no loop that
        Numba compiles would do, as it cannot know that `into` is not one of the other arrays.
        """
        registers = -(-FLOATS * len(lanes) // LANES)
        parts = min(-(-registers * height // SUMS), registers)
        columns = [part.tolist() for part in np.array_split(np.arange(registers), parts)]

        def generate(context, builder, signature, arguments):
            _, factors, at, across, along, count, rows, start, into, first, onto = arguments
            factors, rows, into = (context.make_array(signature.args[n])(context, builder, arguments[n]).data for n in (1, 6, 8))
            empty = ir.Constant(VECTOR, ir.Undefined)
            for part in columns:
                sums = {(r, c): cgutils.alloca_once(builder, VECTOR) for r in range(height) for c in part}
                for (r, c), total in sums.items():
                    old = _load(builder, into, first, (r * registers + c) * LANES)
                    builder.store(builder.select(onto, old, ir.Constant(VECTOR, [0.0] * LANES)), total)
                with cgutils.for_range(builder, count, intp=PLACE) as loop:
                    begin = builder.mul(loop.index, PLACE(registers * LANES))
                    row = {c: _load(builder, rows, start, begin, c * LANES) for c in part}
                    for r in range(height):
                        spot = builder.add(builder.mul(PLACE(r), across), builder.mul(loop.index, along))
                        alone = builder.insert_element(empty, builder.load(builder.gep(factors, [builder.add(at, spot)])), PLACE(0))
                        factor = _mix(builder, alone, alone, [0] * LANES)
                        for c in part:
                            product = builder.fmul(factor, row[c], flags=["fast"])
                            builder.store(builder.fadd(builder.load(sums[r, c]), product, flags=["fast"]), sums[r, c])
                for (r, c), total in sums.items():
                    builder.store(builder.load(total), _register(builder, into, first, (r * registers + c) * LANES), align=4)
            return context.get_dummy_value()

        kind = types.int64
        return types.none(lanes, factors, kind, kind, kind, kind, rows, kind, into, kind, types.boolean), generate

    return combine


combine_2, combine_4, combine_8 = _combine(2), _combine(4), _combine(8)


@intrinsic
def score_2x4(typing, lanes, ones, first, rows, start, scores, at, apart):
    """Scores of two rows of `ones` with four of `rows`: scores[at..at+3], and of the second row `apart` further."""
    registers = -(-FLOATS * len(lanes) // LANES)

    def generate(context, builder, signature, arguments):
        _, _, first, _, start, _, at, apart = arguments
        ones, rows, scores = (context.make_array(signature.args[n])(context, builder, arguments[n]).data for n in (1, 3, 5))
        sums = [[cgutils.alloca_once(builder, VECTOR) for _ in range(4)] for _ in range(2)]
        for total in (*sums[0], *sums[1]):
            builder.store(ir.Constant(VECTOR, [0.0] * LANES), total)
        with cgutils.for_range(builder, PLACE(registers), intp=PLACE) as loop:
            d = builder.mul(loop.index, PLACE(LANES))
            pair = [_load(builder, ones, first, r * registers * LANES, d) for r in range(2)]
            for c in range(4):
                row = _load(builder, rows, start, c * registers * LANES, d)
                for r in range(2):
                    product = builder.fmul(pair[r], row, flags=["fast"])
                    builder.store(builder.fadd(builder.load(sums[r][c]), product, flags=["fast"]), sums[r][c])
        totals = [builder.load(total) for total in (*sums[0], *sums[1])]
        for half in (8, 4, 2):  # halves of two registers become one: lanes with the bit `half` belong to the second
            near = [n if not n & half else LANES + n - half for n in range(LANES)]
            far = [n + half if not n & half else LANES + n for n in range(LANES)]
            pairs = zip(totals[: len(totals) // 2], totals[len(totals) // 2 :], strict=True)
            totals = [builder.fadd(_mix(builder, a, b, near), _mix(builder, a, b, far), flags=["fast"]) for a, b in pairs]
        whole = builder.fadd(totals[0], _mix(builder, totals[0], totals[0], [n ^ 1 for n in range(LANES)]), flags=["fast"])
        for r, place in enumerate((at, builder.add(at, apart))):
            four = _mix(builder, whole, whole, [8 * r, 8 * r + 2, 8 * r + 4, 8 * r + 6])
            builder.store(four, builder.bitcast(builder.gep(scores, [place]), four.type.as_pointer()), align=4)
        return context.get_dummy_value()

    kind = types.int64
    return types.none(lanes, ones, kind, rows, kind, scores, kind, kind), generate


@intrinsic
def turn(typing, lanes, rows, into):
    """Writes the first LANES rows of `rows` into `into` column after column."""
    registers = -(-FLOATS * len(lanes) // LANES)

    def generate(context, builder, signature, arguments):
        rows, into = (context.make_array(signature.args[n])(context, builder, arguments[n]).data for n in (1, 2))
        for c in range(0, registers * LANES, LANES):
            square = [_load(builder, rows, k * registers * LANES + c) for k in range(LANES)]
            for half in (8, 4, 2, 1):  # swaps the off-diagonal quarters of ever smaller squares
                near = [n if not n & half else LANES + n - half for n in range(LANES)]
                far = [n + half if not n & half else LANES + n for n in range(LANES)]
                for r in (r for r in range(LANES) if not r & half):
                    one, other = square[r], square[r + half]
                    square[r], square[r + half] = _mix(builder, one, other, near), _mix(builder, one, other, far)
            for d in range(LANES):
                builder.store(square[d], _register(builder, into, (c + d) * LANES), align=4)
        return context.get_dummy_value()

    return types.none(lanes, rows, into), generate
