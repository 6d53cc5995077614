"""Attention as pictures: what is drawn is what was computed, every kind has its place, and nothing asks the network."""

import json
import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from stemma.errors import MissingExtra, UsageError
from stemma.evaluation.report import heat_maps
from stemma.evaluation.report.heat_maps import COLOURS, Attended, page, picture, png
from stemma.runs.attention_heads import MEANING, AttentionHead

ROWS, COLUMNS = ("[CLS]", " the", "红¹", "<b>&", "a very long token indeed"), ("王", "\n", "ab")


def head(kind="encoder-decoder", layer=1, number=1, rows=ROWS, columns=COLUMNS, seed=3):
    weights = np.random.default_rng(seed).dirichlet(np.full(len(columns), 0.4), len(rows)).astype(np.float32)
    if kind == "decoder causal self":
        weights = np.tril(weights) / np.tril(weights).sum(1, keepdims=True)
    return AttentionHead(kind, layer, number, rows, columns, weights, None)


def square(kind, layer=1, number=1, size=4):
    tokens = tuple("abcdefghij"[:size])
    return head(kind, layer, number, tokens, tokens)


def maps(html):
    """The pictures of heads on a page."""
    return re.findall(r"<svg viewBox[^>]*data-shares.*?</svg>", html, flags=re.DOTALL)


def painted(svg):
    """The opacity of each cell that has one: {(row, column): opacity}."""
    found = {}
    for path, opacity in re.findall(r'<path d="((?:M\d+ \d+h\d+v1h-\d+z)+)" fill-opacity="([\d.]+)"/>', svg):
        for x, y, size in re.findall(r"M(\d+) (\d+)h(\d+)v1", path):
            found.update({(int(y), column): float(opacity) for column in range(int(x), int(x) + int(size))})
    return found


@pytest.mark.parametrize("kind", COLOURS)
def test_cells_are_as_strong_as_their_weights(kind):
    one = square(kind) if "self" in kind else head(kind)
    (svg,) = maps(page("Where it looks", [Attended("a text", [one])]))
    cells = painted(svg.partition("crispEdges")[2])
    for place, weight in np.ndenumerate(one.weights):
        assert cells.get(place, 0.0) == pytest.approx(np.sqrt(weight), abs=0.03)
    shares = re.search(r'data-shares="([^"]*)"', svg)[1]
    np.testing.assert_allclose([list(map(int, row.split(","))) for row in shares.split(";")], one.weights * 1000, atol=0.51)
    assert COLOURS[kind] in svg and ET.fromstring(svg.replace("&nbsp;", " ")) is not None


def test_the_ground_of_a_causal_map_ends_at_the_diagonal():
    (svg,) = maps(page("", [Attended("", [square("decoder causal self", size=3)])]))
    assert 'd="M0 0h1v1h1v1h1v1h-3z"' in svg


def test_kinds_layers_and_texts_have_places_of_their_own():
    heads = [square("encoder self", layer, number) for layer in (1, 2) for number in (1, 2, 3)]
    heads += [square("decoder causal self"), square("relative self"), head("encoder-decoder"), head("soft")]
    html = page("Where Transformer looks", [Attended("first text", heads), Attended("第二", heads[:1])])
    assert len(maps(html)) == 11 and html.count("<section>") == 6
    for kind in COLOURS:
        assert f"{kind[0].upper()}{kind[1:]} attention" in html and MEANING[kind][1:] in html
    held = [json.loads(text) for text in re.findall(r'id="tokens-\d+">(.*?)</script>', html)]
    assert [len(one["rows"]) for one in held] == [4, 4, 4, 5, 5, 4]
    assert held[3] == {"rows": list(ROWS), "columns": list(COLUMNS)}
    assert sorted(set(re.findall(r'data-tokens="(\d+)"', html))) == ["0", "1", "2", "3", "4", "5"]


def test_of_many_heads_the_layers_above_the_lowest_are_folded():
    few, many = ([square("encoder self", layer, number) for layer in (1, 2) for number in range(1, most)] for most in (3, 20))
    assert [page("", [Attended("", heads)]).count("<details open>") for heads in (few, many)] == [2, 1]


def test_the_page_is_one_offline_file_and_escapes_what_a_text_says():
    html = page("Where <GPT> looks", [Attended("<script>alert(1)</script>", [head()])])
    assert not re.search(r"(src|href)=\"(?!data:)", html) and "http" not in html.replace("http://www.w3.org", "")
    assert "<script>alert" not in html and "&lt;b&gt;&amp;" in html
    for shown in ("␣the", "红¹", "⏎", "a␣very␣long␣t…"):
        assert shown in html
    assert 'name="viewport"' in html and "prefers-color-scheme: dark" in html


def test_the_picture_holds_every_map_inside_its_borders():
    heads = [square("encoder self", layer, number, 10) for layer in (1, 2) for number in range(1, 13)]
    svg, width, height = picture([Attended("text", heads), Attended("另", [head()])])
    corners = []  # where the cells of each map begin

    def walk(node, x, y):
        moved = re.match(r"translate\(([\d.]+) ([\d.]+)\)( scale)?", node.get("transform", ""))
        x, y = (x + float(moved[1]), y + float(moved[2])) if moved else (x, y)
        corners.extend([(x, y)] if moved and moved[3] else [])
        for child in node:
            walk(child, x, y)

    walk(ET.fromstring(svg), 0.0, 0.0)
    assert len(corners) == len(set(corners)) == 25
    assert max(x for x, _ in corners) + 10 * 15 <= width <= 1700
    assert max(y for _, y in corners[:24]) + 10 * 15 <= corners[24][1] <= height - 5 * 15


def test_a_png_is_drawn_and_missing_letters_are_reported(monkeypatch):
    vl_convert = pytest.importorskip("vl_convert")
    with pytest.warns(UserWarning, match="no font of this machine has .*\u0379.*, or write a page"):
        drawn = png([Attended("text", [head(columns=("a", "\u0379"))])])
    assert drawn.startswith(b"\x89PNG") and vl_convert
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtra, match=r"pip install .*report"):
        png([Attended("text", [head()])])


def test_more_than_can_be_drawn_is_refused(monkeypatch):
    monkeypatch.setattr(heat_maps, "MOST_CELLS", 20)
    with pytest.raises(UsageError, match="one --layer or --head"):
        page("", [Attended("", [head(), head()])])
    pytest.importorskip("vl_convert")
    monkeypatch.setattr(heat_maps, "MOST_AREA", 1e5)
    with pytest.raises(UsageError, match="or write a page"):
        png([Attended("", [square("encoder self"), square("encoder self")])])
