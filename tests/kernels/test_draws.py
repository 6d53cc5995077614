"""The one set of draws: SplitMix64's published outputs, the same however they are drawn."""

import numpy as np
import pytest

from stemma.kernels.draws import STEP, alias_tables, below, draw_word, mix, next_below, next_share, scrambled, shares_at

# The outputs of Vigna's splitmix64.c from the seed 1234567.
GOLDEN = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
SEED = np.uint64(1234567)


def test_the_outputs_are_splitmix64_s():
    states = SEED + STEP * np.arange(1, 6, dtype=np.uint64)
    assert scrambled(states).tolist() == GOLDEN


def test_a_counter_gives_what_a_walk_from_seed_zero_gives():
    walk = scrambled(STEP * np.arange(1, 8, dtype=np.uint64))
    assert [int(mix(np.uint64(n))) for n in range(7)] == walk.tolist()
    assert int(mix(np.uint64(0))) == 0xE220A8397B1DCDAF


def test_a_moving_state_gives_the_upper_53_bits_as_shares():
    state = np.array([SEED])
    assert [next_share(state) for _ in GOLDEN] == [(bits >> 11) / 2**53 for bits in GOLDEN]


@pytest.mark.parametrize("bound", [1, 7, 30])
def test_whole_numbers_stay_below_their_bound_and_reach_all(bound):
    state = np.array([SEED])
    assert {next_below(state, bound) for _ in range(400)} == set(range(bound))
    assert {below(np.uint64(mix(np.uint64(n))), bound) for n in range(400)} == set(range(bound))


def test_words_are_drawn_by_their_weight_and_never_without():
    tables = alias_tables(np.array([0.0, 3.0, 1.0, 0.0, 6.0]))
    drawn = np.bincount([draw_word(np.uint64(mix(np.uint64(n))), *tables) for n in range(20_000)], minlength=5) / 20_000
    np.testing.assert_allclose(drawn, [0, 0.3, 0.1, 0, 0.6], atol=0.02)  # six standard deviations
    assert drawn[0] == drawn[3] == 0


def test_shares_at_places_are_those_of_a_walk_from_the_seed():
    state = np.array([2**63 + 5], np.uint64)
    walked = [next_share(state) for _ in range(6)]
    assert shares_at(2**63 + 5, np.arange(6).reshape(2, 3)).ravel().tolist() == walked
