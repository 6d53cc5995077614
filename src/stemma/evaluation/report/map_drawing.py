"""A word map as a picture: every word stands as its own label, pushed aside just so far that none covers another.

The picture is plain SVG and takes its colours from the page, so that it is read without scripts, in light and in dark.
A word has the colour of its direction from the middle of the first map: in another map, words that have stayed together
show one colour. W words.
"""

from collections.abc import Sequence
from html import escape

import numpy as np

from stemma.tokens.scripts import is_han

WIDTH, HEIGHT = 480, 440  # of the places, in units of the picture; labels may stand out a little
FONT = 12
_ADVANCE = 0.58  # of a Latin letter, in the height of the font; Han are square
_LINE = 15  # from one label's base line to the next
_MARGIN = 8  # round the outermost labels: fonts differ in width
_ROUNDS = 400


def draw(words: Sequence[str], places: np.ndarray, hues: np.ndarray, label: str) -> str:
    """The SVG of `words` at `places` (W 2), each in its hue (W), in degrees."""
    wide = np.array([_wide(word) for word in words])
    middles = apart(_scaled(places), wide)
    half = np.stack([wide / 2, np.full(len(wide), _LINE / 2)], 1) + _MARGIN
    low, high = (middles - half).min(0), (middles + half).max(0)
    texts = "".join(
        f'<text x="{x:.0f}" y="{y + FONT / 3:.0f}" style="--hue:{hue:.0f}">{escape(word)}</text>'
        for word, (x, y), hue in zip(words, middles - low, hues, strict=True)
    )
    width, height = high - low
    return f'<svg class="map" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">{texts}</svg>'


def hues(places: np.ndarray) -> np.ndarray:
    """The direction of each place (W 2) from the middle, in degrees (W)."""
    centred = places - places.mean(0)
    return np.degrees(np.arctan2(centred[:, 1], centred[:, 0])) % 360


def apart(middles: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """The labels' middles (W 2) moved by little until no two labels, `wide` (W) and a line high, overlap."""
    middles = middles.copy()
    order = np.sign(np.arange(len(wide))[:, None] - np.arange(len(wide)))  # parts labels of one place
    reach = np.stack([(wide[:, None] + wide) / 2, np.full((len(wide), len(wide)), float(_LINE))], 2)
    for _ in range(_ROUNDS):
        gaps = middles[:, None] - middles  # (W W 2)
        over = reach - np.abs(gaps)
        hit = (over > 0.01).all(2) & (order != 0)
        if not hit.any():
            break
        sideways = over[..., 0] < over[..., 1]  # the shorter way out
        for axis, chosen in ((0, hit & sideways), (1, hit & ~sideways)):
            way = np.where(gaps[..., axis] == 0, order, np.sign(gaps[..., axis]))
            middles[:, axis] += np.where(chosen, way * over[..., axis] / 2, 0).sum(1)
    return middles


def _scaled(places: np.ndarray) -> np.ndarray:
    """The places spread over the picture."""
    low, spread = places.min(0), np.ptp(places, axis=0)
    return (places - low) / np.where(spread > 0, spread, 1) * (WIDTH, HEIGHT)


def _wide(word: str) -> float:
    return sum(FONT if is_han(character) else _ADVANCE * FONT for character in word) + FONT / 2
