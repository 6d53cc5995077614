"""Distinct words of UTF-8 text, found by hash: the fast path from bytes to numbers, compiled with Numba.

`scan` takes a text's bytes to the numbers of its words in one pass, by the rules that `stemma.kernels.word_scan` states for
code points; `WordTable.add` and `find` take words whose places are known. A word is the same when its bytes are:
the hash only says where to look. Shapes: S slots, a power of two; W words.
"""

import numpy as np

from stemma.kernels.compiling import compiled
from stemma.kernels.fetching import eight_bytes, letters_from, prefetch
from stemma.kernels.numbers import APOSTROPHE, HAN, MARK, SEPARATOR, SYMBOL, WORD

_PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: multiplicative hashing (Knuth, vol. 3, 6.4)
_HIGH, _LOW = np.uint64(0xFFFFFFF000000000), np.uint64(0xFFFFFFFF)
_ALL, _32, _1 = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(32), np.uint64(1)
WIDE = 16  # bytes looked at together
SHORT = 8  # bytes: words up to this length are held in their slot
AHEAD = 64  # words whose slots are fetched from memory at once


class WordTable:
    """Words numbered in the order they were added, with how often each was."""

    def __init__(self) -> None:
        self.size = 0
        # (S, 2): a word's first 8 bytes; 28 bits of its hash, 4 of its length, 32 of its number + 1 (0: a free slot).
        self._slots = np.zeros((1 << 12, 2), dtype=np.uint64)
        self._hashes = np.empty(1 << 11, dtype=np.uint64)
        self._places = np.zeros((1 << 11) + 1, dtype=np.int64)  # word w is arena[places[w] : places[w + 1]]
        self._arena = np.empty(1 << 14, dtype=np.uint8)
        self._counts = np.zeros(1 << 11, dtype=np.int64)

    @property
    def counts(self) -> np.ndarray:
        """How often each word was added."""
        return self._counts[: self.size]

    def bytes(self) -> tuple[np.ndarray, np.ndarray]:
        """The bytes of all words one after the other, and the place where each begins, with the end."""
        return self._arena[: self._places[self.size]], self._places[: self.size + 1]

    def words(self, numbers: np.ndarray) -> list[str]:
        """The words of these numbers."""
        data, places = self.bytes()
        text = data.tobytes().decode("utf-8", "surrogatepass")
        begins = np.append(0, np.cumsum(data & 0xC0 != 0x80))[places]  # in characters
        return [text[start:end] for start, end in zip(begins[numbers].tolist(), begins[numbers + 1].tolist(), strict=True)]

    def add(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
        """Counts words, slices of `data`, once or so many `times` each; new ones go to the end. Gives their numbers."""
        done, numbers = 0, np.empty(len(starts), np.uint32)
        times = np.ones(len(starts), np.int64) if times is None else times
        while True:
            done, self.size = _add(data, starts, ends, times, numbers, done, self.size, *self._state)
            if done == len(starts):
                return numbers
            self._grow(int(ends[done] - starts[done]))

    def find(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """The number of each word, -1 where it is not in the table."""
        numbers = np.empty(len(starts), np.int64)
        _find(data, starts, ends, numbers, self._slots, self._places, self._arena)
        return numbers

    def count_texts(self, data: np.ndarray, stops: np.ndarray, classes: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Counts the words of texts and gives their numbers as `number_texts` does, the new words' too."""
        numbers, lengths = np.empty(len(data), np.uint32), np.zeros(len(stops), np.int64)
        at = filled = 0
        while True:
            at, filled, self.size, needed = scan(data, stops, classes, cuts, True, at, filled, numbers, lengths, self.size, *self._state)
            if not needed:
                return numbers[:filled], lengths
            self._grow(needed)

    def number_texts(self, data: np.ndarray, stops: np.ndarray, classes: np.ndarray, cuts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number + 1 of every word of the texts, 0 for a word that is not in the table; and how many words each text has.

        Text t of `data` ends before `stops[t]`, where a separator or the next text stands. `classes` gives the class of
        each code point; `cuts` (empty, or one for each byte) is true where the segmenter starts a word.
        """
        numbers, lengths = np.empty(len(data), np.uint32), np.zeros(len(stops), np.int64)
        _, filled, _, _ = scan(data, stops, classes, cuts, False, 0, 0, numbers, lengths, self.size, *self._state)
        return numbers[:filled], lengths

    @property
    def _state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self._slots, self._hashes, self._places, self._arena, self._counts

    def _grow(self, needed: int) -> None:
        if 2 * self.size >= len(self._slots):
            old, self._slots = self._slots, np.zeros((4 * len(self._slots), 2), dtype=np.uint64)
            _reseat(old, self._slots, self._hashes)
            room = len(self._slots) // 2
            self._hashes, self._counts = _longer(self._hashes, room), _longer(self._counts, room)
            self._places = _longer(self._places, room + 1)
        if self._places[self.size] + needed > len(self._arena):
            self._arena = _longer(self._arena, 2 * len(self._arena) + needed)


def _longer(array: np.ndarray, size: int) -> np.ndarray:
    longer = np.zeros(size, dtype=array.dtype)
    longer[: len(array)] = array
    return longer


@compiled
def scan(data, stops, classes, cuts, learning, at, filled, numbers, lengths, size, slots, hashes, places, arena, counts):
    """Numbers the words of texts from the byte `at` on, as number + 1; `learning` adds those that are new, and counts all.

    Gives (where it stopped, how many `numbers` are filled, the table's size, and 0, or the bytes of the word for which
    the table has no room: to be called again from there with a bigger one).
    """
    starts, ends = np.empty(AHEAD, np.int64), np.empty(AHEAD, np.int64)
    firsts, hashed = np.empty(AHEAD, np.uint64), np.empty(AHEAD, np.uint64)
    text = np.searchsorted(stops, at, side="right")
    mask = np.uint64(len(slots) - 1)
    while at < len(data):
        words = 0
        while words < AHEAD and at < len(data):
            code, i = _decode(data, at)
            kind = classes[code]
            if kind == SEPARATOR:
                at = i
                continue
            if kind in (WORD, MARK):
                i = _end_of_word(data, i, classes)
            elif kind == HAN:
                i = _end_of_chinese(data, i, classes, cuts)
            else:
                i = _end_of_symbol(data, i, classes)
            starts[words], ends[words] = at, i
            firsts[words], hashed[words] = _hash(data, at, i)
            prefetch(slots, np.uintp(hashed[words] & mask) * np.uintp(2))
            words += 1
            at = i
        for word in range(words):
            start, end, first, h = starts[word], ends[word], firsts[word], hashed[word]
            slot = _seat(data, start, end, first, h, slots, places, arena)
            number = slots[slot, 1] & _LOW
            if learning:
                if number == 0:
                    if 2 * size >= len(slots) or places[size] + end - start > len(arena):
                        return start, filled, size, end - start
                    _seal(data, start, end, first, h, slot, size, slots, hashes, places, arena)
                    size += 1
                    number = np.uint64(size)
                counts[number - _1] += 1
            numbers[filled] = number
            filled += 1
            while stops[text] <= start:
                text += 1
            lengths[text] += 1
    return at, filled, size, 0


@compiled
def lower(data, table, lowered):
    """Fills `lowered` with the text in lower case; False where a letter takes other bytes than its own: see `lower_codes`."""
    i = 0
    while i < len(data):
        code, after = _decode(data, i)
        small = np.int64(table[code])
        if code < 0x80:
            lowered[i] = small
        elif small == code:
            lowered[i:after] = data[i:after]
        elif small == 0:
            return False
        else:
            for k in range(after - 1, i, -1):  # as many bytes as before, so the first one's mark is the same
                lowered[k] = 0x80 | (small & 0x3F)
                small >>= 6
            lowered[i] = (data[i] & (0xFF << (8 - (after - i)) & 0xFF)) | small
        i = after
    return True


@compiled(inline="always")
def _decode(data, i):
    """The code point of the UTF-8 sequence at `i`, and where the next one begins."""
    byte = np.int64(data[i])
    if byte < 0x80:
        return byte, i + 1
    if byte < 0xE0:
        return (byte & 0x1F) << 6 | np.int64(data[i + 1] & 0x3F), i + 2
    if byte < 0xF0:
        return (byte & 0x0F) << 12 | np.int64(data[i + 1] & 0x3F) << 6 | np.int64(data[i + 2] & 0x3F), i + 3
    high = (byte & 0x07) << 18 | np.int64(data[i + 1] & 0x3F) << 12
    return high | np.int64(data[i + 2] & 0x3F) << 6 | np.int64(data[i + 3] & 0x3F), i + 4


@compiled
def _end_of_word(data, i, classes):
    while i < len(data):
        if i + WIDE <= len(data):
            letters = letters_from(data, np.uintp(i))
            i += letters
            if letters == WIDE:
                continue
        code, after = _decode(data, i)
        kind = classes[code]
        if kind == APOSTROPHE and after < len(data):
            code, after = _decode(data, after)
            kind = classes[code]
        if kind != WORD and kind != MARK:
            return i
        i = after
    return i


@compiled
def _end_of_chinese(data, i, classes, cuts):
    while i < len(data):
        code, after = _decode(data, i)
        kind = classes[code]
        if kind != MARK and (kind != HAN or (len(cuts) > 0 and cuts[i])):
            return i
        i = after
    return i


@compiled
def _end_of_symbol(data, i, classes):
    joined = False  # a mark or joiner stands before: one more symbol may follow
    while i < len(data):
        code, after = _decode(data, i)
        kind = classes[code]
        if kind == MARK:
            joined = True
        elif joined and kind in (SYMBOL, APOSTROPHE):
            joined = False
        else:
            return i
        i = after
    return i


@compiled
def _hash(data, start, stop):
    """The word's first 8 bytes as a number, shorter words filled up with zeros, and its hash."""
    first = chunk = _chunk(data, start, stop)
    h = (np.uint64(stop - start) ^ chunk) * _PRIME
    i = start + SHORT
    while i < stop:
        h = (h ^ (h >> _32) ^ _chunk(data, i, stop)) * _PRIME
        i += SHORT
    return first, h ^ (h >> _32)


@compiled(inline="always")
def _chunk(data, start, stop):
    """The 8 bytes from `start` on, those from `stop` on as zeros."""
    over = start + SHORT - stop
    if start + SHORT <= len(data):
        chunk = eight_bytes(data, np.uintp(start))
        return chunk & (_ALL >> np.uint64(8 * max(over, 0)))
    chunk = np.uint64(0)
    for i in range(start, stop):
        chunk |= np.uint64(data[i]) << np.uint64(8 * (i - start))
    return chunk


@compiled
def _tag(start, stop, h):
    """The upper half of a slot's second number: 28 bits of the hash, and the length, 9 and more being one."""
    return (h & _HIGH) | (np.uint64(min(stop - start, SHORT + 1)) << _32)


@compiled
def _seat(data, start, stop, first, h, slots, places, arena):
    """The slot that holds the word, or the free one where it belongs."""
    mask, tag = np.uint64(len(slots) - 1), _tag(start, stop, h)
    slot = h & mask
    while True:
        held = slots[slot, 1]
        if held == 0:
            return slot
        if held & ~_LOW == tag and slots[slot, 0] == first:
            if stop - start <= SHORT:
                return slot
            word = np.int64(held & _LOW) - 1
            if places[word + 1] - places[word] == stop - start:
                i = SHORT
                while i < stop - start and arena[places[word] + i] == data[start + i]:
                    i += 1
                if i == stop - start:
                    return slot
        slot = (slot + _1) & mask


@compiled
def _seal(data, start, stop, first, h, slot, word, slots, hashes, places, arena):
    """Puts the word into the free slot, as number `word`."""
    slots[slot, 0] = first
    slots[slot, 1] = _tag(start, stop, h) | np.uint64(word + 1)
    hashes[word] = h
    arena[places[word] : places[word] + stop - start] = data[start:stop]
    places[word + 1] = places[word] + stop - start


@compiled
def _add(data, starts, ends, times, numbers, done, size, slots, hashes, places, arena, counts):
    for k in range(done, len(starts)):
        first, h = _hash(data, starts[k], ends[k])
        slot = _seat(data, starts[k], ends[k], first, h, slots, places, arena)
        word = np.int64(slots[slot, 1] & _LOW) - 1
        if word < 0:
            if 2 * size >= len(slots) or places[size] + ends[k] - starts[k] > len(arena):
                return k, size
            word = size
            _seal(data, starts[k], ends[k], first, h, slot, word, slots, hashes, places, arena)
            size += 1
        counts[word] += times[k]
        numbers[k] = word
    return len(starts), size


@compiled
def _find(data, starts, ends, numbers, slots, places, arena):
    for k in range(len(starts)):
        first, h = _hash(data, starts[k], ends[k])
        slot = _seat(data, starts[k], ends[k], first, h, slots, places, arena)
        numbers[k] = np.int64(slots[slot, 1] & _LOW) - 1


@compiled
def _reseat(old, slots, hashes):
    mask = np.uint64(len(slots) - 1)
    for place in range(len(old)):
        if old[place, 1]:
            slot = hashes[np.int64(old[place, 1] & _LOW) - 1] & mask
            while slots[slot, 1]:
                slot = (slot + _1) & mask
            slots[slot, 0], slots[slot, 1] = old[place, 0], old[place, 1]
