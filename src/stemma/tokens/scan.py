"""The fast path from characters to words: borders by character class, words by hash, compiled with Numba.

Text is an array of code points, `classes` the table of `scripts`. A word is one of

- letters, digits and marks, joined by single apostrophes where the table has them: `[WM]+(A[WM]+)*`;
- Chinese characters up to the segmenter's next cut: `[H][HM]*`;
- a symbol with the marks and joiners that follow it, ❤️ or a family of emoji: `[SA]([M]+[SA]?)*`.
"""

import numba
import numpy as np

from stemma.tokens.scripts import APOSTROPHE, HAN, MARK, SEPARATOR, WORD

_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a, over code points
_LOW = np.uint64(0xFFFFFFFF)


@numba.njit(cache=True, nogil=True)
def borders(codes: np.ndarray, cuts: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the words start and end. `cuts` is true where the segmenter starts a word, or empty."""
    starts = np.empty(len(codes), np.int64)
    ends = np.empty(len(codes), np.int64)
    n = i = 0
    while i < len(codes):
        kind = classes[codes[i]]
        if kind == SEPARATOR:
            i += 1
            continue
        starts[n] = i
        i += 1
        if kind in (WORD, MARK):
            i = _end_of_word(codes, i, classes)
        elif kind == HAN:
            while i < len(codes) and (classes[codes[i]] == MARK or (classes[codes[i]] == HAN and not (len(cuts) and cuts[i]))):
                i += 1
        else:
            i = _end_of_symbol(codes, i, classes)
        ends[n] = i
        n += 1
    return starts[:n].copy(), ends[:n].copy()


@numba.njit(cache=True, nogil=True)
def _end_of_word(codes, i, classes):
    while i < len(codes):
        kind = classes[codes[i]]
        if kind == APOSTROPHE and i + 1 < len(codes) and (classes[codes[i + 1]] == WORD or classes[codes[i + 1]] == MARK):
            i += 2
        elif kind in (WORD, MARK):
            i += 1
        else:
            break
    return i


@numba.njit(cache=True, nogil=True)
def _end_of_symbol(codes, i, classes):
    while i < len(codes) and classes[codes[i]] == MARK:
        i += 1
        if i < len(codes) and classes[codes[i]] >= 4 and classes[codes[i - 1]] == MARK:
            i += 1
    return i


class WordTable:
    """Distinct words in the order they were added, found by hash; a word is a slice of code points."""

    def __init__(self) -> None:
        self.size = 0
        self._slots = np.zeros(1 << 12, dtype=np.uint64)  # upper half of the hash, and index + 1; 0 is free
        self._hashes = np.empty(1 << 11, dtype=np.uint64)
        self._places = np.zeros((1 << 11) + 1, dtype=np.int64)  # the i-th word is arena[places[i] : places[i + 1]]
        self._arena = np.empty(1 << 14, dtype=np.uint32)
        self._counts = np.zeros(1 << 11, dtype=np.int64)

    @property
    def counts(self) -> np.ndarray:
        """How often each word was added."""
        return self._counts[: self.size]

    def text(self) -> tuple[np.ndarray, np.ndarray]:
        """The code points of all words one after the other, and the place where each begins, with the end."""
        return self._arena[: self._places[self.size]], self._places[: self.size + 1]

    def words(self, indices: np.ndarray) -> list[str]:
        """The words of these indices."""
        text = self._arena[: self._places[self.size]].tobytes().decode("utf-32-le", "surrogatepass")
        spans = zip(self._places[indices].tolist(), self._places[indices + 1].tolist(), strict=True)
        return [text[start:end] for start, end in spans]

    def add(self, codes: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
        """Counts the words, the new ones at the end of the table."""
        done, hashes = 0, _hashes(codes, starts, ends)
        while True:
            state = (self._slots, self._hashes, self._places, self._arena, self._counts)
            done, self.size = _add(codes, starts, ends, hashes, done, self.size, *state)
            if done == len(starts):
                return
            self._grow(int(ends[done] - starts[done]))

    def find(self, codes: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """The index of each word, -1 where it is not in the table."""
        return _find(codes, starts, ends, _hashes(codes, starts, ends), self._slots, self._places, self._arena)

    def _grow(self, wanted: int) -> None:
        if 2 * self.size >= len(self._slots):
            self._slots = np.zeros(4 * len(self._slots), dtype=np.uint64)
            _reseat(self._slots, self._hashes[: self.size])
            room = len(self._slots) // 2
            self._hashes, self._counts = _longer(self._hashes, room), _longer(self._counts, room)
            self._places = _longer(self._places, room + 1)
        if self._places[self.size] + wanted > len(self._arena):
            self._arena = _longer(self._arena, 2 * len(self._arena) + wanted)


def _longer(array: np.ndarray, size: int) -> np.ndarray:
    longer = np.zeros(size, dtype=array.dtype)
    longer[: len(array)] = array
    return longer


@numba.njit(cache=True, nogil=True)
def _hashes(codes, starts, ends):
    hashes = np.empty(len(starts), np.uint64)
    for k in range(len(starts)):
        h = _OFFSET
        for i in range(starts[k], ends[k]):
            h = (h ^ np.uint64(codes[i])) * _PRIME
        hashes[k] = h ^ (h >> np.uint64(29))
    return hashes


@numba.njit(cache=True, nogil=True)
def _seat(codes, start, length, h, slots, places, arena):
    """The slot that holds the word, or the free one where it belongs."""
    mask = np.uint64(len(slots) - 1)
    slot = h & mask
    while slots[slot]:
        if (slots[slot] ^ h) >> np.uint64(32) == 0:
            word = np.int64(slots[slot] & _LOW) - 1
            if places[word + 1] - places[word] == length:
                i = 0
                while i < length and arena[places[word] + i] == codes[start + i]:
                    i += 1
                if i == length:
                    return slot
        slot = (slot + np.uint64(1)) & mask
    return slot


@numba.njit(cache=True, nogil=True)
def _add(codes, starts, ends, new, done, size, slots, hashes, places, arena, counts):
    for k in range(done, len(starts)):
        length = ends[k] - starts[k]
        slot = _seat(codes, starts[k], length, new[k], slots, places, arena)
        word = np.int64(slots[slot] & _LOW) - 1
        if word < 0:
            if 2 * size >= len(slots) or places[size] + length > len(arena):
                return k, size
            word = size
            slots[slot] = (new[k] & ~_LOW) | np.uint64(word + 1)
            hashes[word] = new[k]
            arena[places[word] : places[word] + length] = codes[starts[k] : ends[k]]
            places[word + 1] = places[word] + length
            size += 1
        counts[word] += 1
    return len(starts), size


@numba.njit(cache=True, nogil=True)
def _find(codes, starts, ends, hashes, slots, places, arena):
    found = np.empty(len(starts), np.int64)
    for k in range(len(starts)):
        slot = _seat(codes, starts[k], ends[k] - starts[k], hashes[k], slots, places, arena)
        found[k] = np.int64(slots[slot] & _LOW) - 1
    return found


@numba.njit(cache=True, nogil=True)
def _reseat(slots, hashes):
    mask = np.uint64(len(slots) - 1)
    for word in range(len(hashes)):
        slot = hashes[word] & mask
        while slots[slot]:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = (hashes[word] & ~_LOW) | np.uint64(word + 1)
