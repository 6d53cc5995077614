"""Random draws that are a function of a seed and a place: SplitMix64 (Steele, Lea & Flood 2014), and words drawn by weight.

A generator is a counter that goes up by STEP, whose values are scrambled. `mix` gives its output at any place at once;
`next_share` walks from a state. V vocabulary.
"""

import numpy as np

from stemma.kernels.compiling import compiled, inlined

STEP = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio


def scrambled(z):
    """A bijection of 64 bits, each input bit moving about half of the output bits: for a uint64, or an array of them."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def shares_at(seed, places):
    """Numbers in [0, 1), one for each of the places (an array of whole numbers): SplitMix64's outputs there, begun at the seed."""
    counters = np.uint64(seed) + (places.astype(np.uint64) + np.uint64(1)) * STEP
    return (scrambled(counters) >> np.uint64(11)) * 2.0**-53


_scramble = inlined(scrambled)


@inlined
def mix(counter):
    """SplitMix64's output for a counter: 64 well-mixed bits."""
    return _scramble((np.uint64(counter) + np.uint64(1)) * STEP)


@inlined
def below(bits, bound):
    """An integer in 0..bound-1 from the upper 32 of 64 random bits."""
    return np.int64(((bits >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@compiled
def next_share(state):
    """SplitMix64's next output as a number in [0, 1), from a one-element state that it moves."""
    state[0] += STEP
    return np.float64(_scramble(state[0]) >> np.uint64(11)) * (1.0 / 9007199254740992.0)  # 2^53


@compiled
def next_below(state, bound):
    """A whole number drawn evenly from 0..bound-1."""
    return min(np.int64(next_share(state) * bound), bound - 1)


@inlined
def draw_word(bits, threshold, other):
    """A word drawn with Walker's alias method from the tables of `alias_tables`."""
    slot = below(bits, len(threshold))
    return slot if (bits & np.uint64(0xFFFFFFFF)) < threshold[slot] else np.int64(other[slot])


@compiled(fastmath=True, error_model="numpy")
def alias_tables(weights):
    """Walker's alias tables (V,) of unnormalised `weights`: slot -> threshold of 2^32, other word."""
    share = weights * (len(weights) / weights.sum())
    threshold, other = np.full(len(weights), 0xFFFFFFFF, np.uint32), np.arange(len(weights)).astype(np.int32)
    small, large = list(np.nonzero(share < 1)[0]), list(np.nonzero(share >= 1)[0])
    while len(small) and len(large):
        low, high = small.pop(), large[-1]
        threshold[low], other[low] = np.uint32(min(share[low] * 4294967296.0, 4294967295.0)), high
        share[high] -= 1 - share[low]
        if share[high] < 1:
            small.append(large.pop())
    return threshold, other
