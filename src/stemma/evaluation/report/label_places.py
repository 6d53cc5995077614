"""Where the names of points stand in a picture: beside their points, so that no name covers another, a point or the border.

All lengths are units of the picture, y grows downwards.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stemma.tokens.scripts import is_han

_ADVANCE = 0.66  # of a bold Latin letter, in the height of the font, in the widest of the page's fonts; Han are square
_REACH = 7.0  # from a point's middle to what may stand beside it
_DISTANCES = (3.0, 9.0, 16.0, 25.0, 36.0, 50.0, 68.0, 90.0, 120.0)
_ANGLES = [math.radians(degrees) for degrees in (0, 180, -90, 90, -45, 45, -135, 135, -20, 20, -160, 160, -70, 70, -110, 110)]
_ROUNDS = 12  # of moving each name once more, now that the others stand
_COVERS, _CROSSES, _OUTSIDE = 1000.0, 25.0, 1e6  # what a place costs, beside a unit for each unit of distance


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def round(cls, x: float, y: float, width: float, height: float) -> "Box":
        """The box with its middle at (x, y)."""
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def overlaps(self, other: "Box") -> bool:
        """True when the two share more than a border."""
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom

    def holds(self, other: "Box") -> bool:
        """True when the other lies inside."""
        return self.left <= other.left and other.right <= self.right and self.top <= other.top and other.bottom <= self.bottom


def text_width(text: str, font: float) -> float:
    """About how wide a text is drawn in a font of this height."""
    return sum(font if is_han(character) else _ADVANCE * font for character in text)


def label_places(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Box, soft: Sequence[Box] = ()
) -> list[Box]:
    """A box of each size, near its point and inside the frame, free of the points and of the other boxes while there is room.

    `soft` boxes are kept free too where that is cheap.
    """
    marks = [Box.round(x, y, 2 * _REACH, 2 * _REACH) for x, y in points]
    chosen: list[Box | None] = [None] * len(points)
    crowded = sorted(range(len(points)), key=lambda k: -sum(math.dist(points[k], other) < 100 for other in points))
    for _ in range(_ROUNDS):
        before = list(chosen)
        for k in crowded:
            others = [box for j, box in enumerate(chosen) if j != k and box]
            chosen[k] = min(_candidates(points[k], sizes[k]), key=lambda pair: pair[0] + _cost(pair[1], marks, others, frame, soft))[1]
        if chosen == before:
            break
    return [box for box in chosen if box]


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> Iterator[tuple[float, Box]]:
    """Places for a box round a point, with what they cost by themselves: the near ones less, to the right least."""
    (x, y), (width, height) = point, size
    for distance in _DISTANCES:
        for rank, angle in enumerate(_ANGLES):
            across, down = math.cos(angle), math.sin(angle)
            middle = x + across * (_REACH + distance + width / 2), y + down * (_REACH + distance + height / 2)
            yield distance + 0.3 * rank, Box.round(*middle, width, height)


def _cost(box: Box, marks: Sequence[Box], others: Sequence[Box], frame: Box, soft: Sequence[Box]) -> float:
    covered = sum(map(box.overlaps, marks)) + sum(map(box.overlaps, others))
    return _COVERS * covered + _CROSSES * sum(map(box.overlaps, soft)) + (0 if frame.holds(box) else _OUTSIDE)
