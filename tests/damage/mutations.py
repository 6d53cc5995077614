"""Ways in which files go wrong: by chance, as disks and copies do it, and by design, as a stranger might."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stemma.tokens.files import write_sealed
from stemma.tokens.sums import file_sum

DEEP: list = []
for _ in range(90):
    DEEP = [DEEP]
STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 255, 1 << 31, -(1 << 31), 1 << 63, 1 << 70, 10**9, 0.5, -0.0, 1e308, float("inf"), float("nan"),
    "", "x", "../../x", "\u0000", "\ud800", "词", [], [None], [[]], {}, {"x": 1}, DEEP,
)  # fmt: skip
Mutation = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, draw: random.Random) -> bytes:
    """One bit turned over."""
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]


def cut(data: bytes, draw: random.Random) -> bytes:
    """The end lost."""
    return data[: draw.randrange(len(data))]


def grown(data: bytes, draw: random.Random) -> bytes:
    """Bytes added at the end."""
    return data + draw.randbytes(draw.randrange(1, 64))


def zeroed(data: bytes, draw: random.Random) -> bytes:
    """A sector of zeros."""
    place = draw.randrange(len(data))
    size = min(draw.choice((1, 8, 512)), len(data) - place)
    return data[:place] + bytes(size) + data[place + size :]


def drawn(data: bytes, draw: random.Random) -> bytes:
    """A sector of another file."""
    place = draw.randrange(len(data))
    size = min(draw.choice((2, 16, 512)), len(data) - place)
    return data[:place] + draw.randbytes(size) + data[place + size :]


def swapped(data: bytes, draw: random.Random) -> bytes:
    """Two sectors that changed places."""
    size = draw.choice((4, 64, 512))
    places = sorted(draw.randrange(max(1, len(data) - size)) for _ in range(2))
    first, second = places[0], max(places[1], places[0] + size)
    return data[:first] + data[second : second + size] + data[first + size : second] + data[first : first + size] + data[second + size :]


CHANCE: tuple[Mutation, ...] = (flip, flip, flip, cut, grown, zeroed, drawn, swapped)


def strange_json(data: bytes, draw: random.Random) -> bytes:
    """A value somewhere inside replaced by a strange one, or taken out; sometimes text that is no JSON."""
    if draw.random() < 0.06:
        return draw.choice((b"null", b"[]", b"[" * 5000, b"9" * 4301, b'{"a":' * 3000, b"\xff\xfe", b"", b"NaN"))
    value = json.loads(data)
    places = list(_places(value))
    if not places:
        return b"null"
    for _ in range(draw.choice((1, 1, 1, 3))):
        parent, key = draw.choice(places)
        if draw.random() < 0.2 and isinstance(parent, dict):
            parent.pop(key, None)
        else:
            parent[key] = draw.choice(STRANGE)
    return json.dumps(value).encode()


def strange_lines(data: bytes, draw: random.Random) -> bytes:
    """The same in one line of JSON lines."""
    lines = data.splitlines()
    place = draw.randrange(len(lines))
    return b"\n".join([*lines[:place], strange_json(lines[place], draw), *lines[place + 1 :]]) + b"\n"


def strange_tensors(data: bytes, draw: random.Random) -> bytes:
    """A safetensors file whose header or numbers are strange, but whose header is JSON of the right length."""
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    names = [name for name in header if name != "__metadata__"]
    entry = header[draw.choice(names)]
    first, last = entry["data_offsets"]
    way = draw.randrange(6)
    if way == 0:
        encoded = strange_json(json.dumps(header).encode(), draw)
    else:
        if way == 1 and last > first:  # numbers drawn by lot
            body[first:last] = draw.randbytes(last - first)
        elif way == 2 and last - first >= 8:  # a few of them far out of range
            for _ in range(draw.choice((1, 5))):
                place = draw.randrange(first, last - 3) // 4 * 4
                body[place : place + 4] = draw.choice(
                    (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\xc0\x7f", bytes(4), draw.randbytes(4))
                )
        elif way == 3:  # two tensors of one place
            other = header[draw.choice(names)]
            if other["data_offsets"][1] - other["data_offsets"][0] == last - first:
                entry["data_offsets"] = other["data_offsets"]
        elif way == 4:  # another shape of as many numbers
            entry["shape"] = draw.choice(([*entry["shape"], 1], entry["shape"][::-1], [last - first, 0], entry["shape"][:-1]))
        else:  # in another order
            size = draw.choice((1, 2, 4, 8))
            parts = [bytes(body[at : at + size]) for at in range(first, last, size)]
            draw.shuffle(parts)
            body[first:last] = b"".join(parts)
        encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + bytes(body)


def by_design(name: str) -> Mutation:
    """How a stranger would change a file of this name."""
    if name.endswith(".safetensors"):
        return strange_tensors
    return strange_lines if name.endswith(".jsonl") else strange_json


def sealed_again(folder: Path) -> None:
    """Makes the manifest fit the files as they are now, as whoever made them by design would."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest.pop("seal", None)
    for name, entry in manifest["files"].items():
        if (folder / name).exists():
            entry |= {"bytes": (folder / name).stat().st_size, "sum": file_sum(folder / name)}
    metrics = folder / "metrics.jsonl"
    manifest |= {"metrics_bytes": metrics.stat().st_size, "metrics_sum": file_sum(metrics)} if metrics.exists() else {}
    write_sealed(folder / "manifest.json", manifest)


def _places(value: Any) -> "list[tuple[Any, Any]]":
    found = []
    for key, inner in list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []:
        found.append((value, key))
        if isinstance(inner, (dict, list)):
            deeper = _places(inner)
            found += deeper if len(deeper) < 400 else deeper[:: len(deeper) // 200]
    return found
