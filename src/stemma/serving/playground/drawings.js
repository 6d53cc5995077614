// The two pictures: a map of words, and where a head of attention looks.

import { chips, el, select, svg, visible } from "./elements.js";
import { number, percent, text } from "./language.js";

const CELL = 19;
const LETTER = 7.4; // the width of a Latin letter at the labels' size; Han are nearly twice as wide
const MOST = 14; // characters of a label
const CAUSAL = "decoder causal self";

const width = (label) => Array.from(label).reduce((sum, one) => sum + (one.codePointAt(0) > 0x2e7f ? 1.8 : 1), 0) * LETTER;
const short = (label) => (Array.from(label).length > MOST ? `${Array.from(label).slice(0, MOST - 1).join("")}…` : label);

/** Words at their points, each with its label where there is room. `across` is the width in pixels; `groups` give colours. */
export function wordMap(points, across, label) {
  const height = Math.round(Math.max(300, Math.min(520, across * 0.62)));
  const edge = 46;
  const scale = (axis, size) => {
    const values = points.map((point) => point.at[axis]);
    const low = Math.min(...values);
    const span = Math.max(...values) - low || 1;
    return (value) => edge + ((value - low) / span) * (size - 2 * edge);
  };
  const [x, y] = [scale(0, across), scale(1, height)];
  const taken = points.map(({ at }) => [x(at[0]) - 4, y(at[1]) - 4, x(at[0]) + 4, y(at[1]) + 4]);
  const drawn = points.map(({ name, at, strong }) => {
    const [left, top] = [x(at[0]), y(at[1])];
    const wide = width(name);
    const places = [[7, 4], [-7 - wide, 4], [-wide / 2, -9], [-wide / 2, 18], [7, 16], [-7 - wide, 16]];
    const boxes = places.map(([right, down]) => [left + right, top + down - 11, left + right + wide, top + down + 3]);
    const fits = boxes.findIndex((box) => box[0] > 0 && box[2] < across && !taken.some((other) => meet(box, other)));
    const place = Math.max(0, fits);
    taken.push(boxes[place]);
    return svg(
      "g",
      { class: strong ? "strong" : null },
      svg("circle", { cx: left, cy: top, r: 4 }),
      svg("text", { x: left + places[place][0], y: top + places[place][1] }, name),
    );
  });
  return svg("svg", { class: "map", viewBox: `0 0 ${across} ${height}`, width: across, height, role: "img", "aria-label": label }, drawn);
}

const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** Heads of attention: which layer and which head, one token that looks as chips, and all of them as a picture. `first` kinds come first. */
export function attention(id, heads, first = []) {
  const kinds = [...new Set(heads.map((head) => head.kind))].sort((a, b) => first.includes(b) - first.includes(a));
  const chosen = { kind: kinds[0], layer: 0, head: 0, row: kinds[0] === CAUSAL ? Infinity : 0 }; // a first token sees itself alone
  const place = el("div", { class: "attention" });
  const numbers = (key, of) => [...new Set(of.map((head) => head[key]))].sort((a, b) => a - b);
  const draw = () => {
    const own = heads.filter((head) => head.kind === chosen.kind);
    const layers = numbers("layer", own);
    if (!layers.includes(chosen.layer)) chosen.layer = layers.at(-1);
    const of = own.filter((head) => head.layer === chosen.layer);
    if (!of.some((head) => head.head === chosen.head)) chosen.head = of.length > 1 ? 0 : of[0].head;
    const used = chosen.head ? of.find((head) => head.head === chosen.head) : mean(of);
    const row = Math.min(chosen.row, used.rows.length - 1);
    const change = (key) => (value) => {
      chosen[key] = key === "kind" ? value : Number(value);
      draw();
      document.getElementById(`${id}-${key}`)?.focus();
    };
    const names = numbers("head", of).map((head) => [String(head), text("attention.number", { number: head })]);
    place.replaceChildren(
      el(
        "div",
        { class: "fields" },
        kinds.length > 1 ? select(`${id}-kind`, text("attention.kind"), kinds.map((kind) => [kind, text(`kind.${kind}`)]), chosen.kind, change("kind")) : "",
        select(`${id}-layer`, text("attention.layer"), layers.map((layer) => [String(layer), String(layer)]), String(chosen.layer), change("layer")),
        select(`${id}-head`, text("attention.head"), names.length > 1 ? [["0", text("attention.mean")], ...names] : names, String(chosen.head), change("head")),
        select(`${id}-row`, text("attention.row"), used.rows.map((token, at) => [String(at), `${at + 1} ${visible(token)}`]), String(row), change("row")),
      ),
      el("p", { class: "soft" }, text("attention.meaning", { meaning: text(`kind.${chosen.kind}`), spread: number(used.spread, 1) })),
      chips(used.columns.map((name, column) => {
        const weight = used.weights[row][column];
        return { name, strength: Math.sqrt(weight), below: percent(weight) };
      })),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": text("attention.map") }, heatMap(used, row, change("row"))),
    );
  };
  draw();
  return place;
}

function mean(heads) {
  const average = (of) => heads.reduce((sum, head) => sum + of(head), 0) / heads.length;
  const weights = heads[0].weights.map((row, at) => row.map((_, column) => average((head) => head.weights[at][column])));
  return { ...heads[0], weights, spread: average((head) => head.spread) };
}

/** Every row a token that looks, every column one that it looks at; opacity is the root of the weight. A press on a row chooses it. */
function heatMap({ rows, columns, weights }, strong, choose) {
  const left = Math.max(...rows.map((token) => width(short(visible(token))))) + 8;
  const top = Math.max(...columns.map((token) => width(short(visible(token))))) * 0.87 + 16;
  const slant = columns.length ? 40 : 0;
  const [across, down] = [left + columns.length * CELL + slant + 4, top + rows.length * CELL + 4];
  const labels = [
    ...rows.map((token, row) =>
      svg("text", { x: left - 6, y: top + row * CELL + 14, "text-anchor": "end", class: row === strong ? "strong" : null }, short(visible(token))),
    ),
    ...columns.map((token, column) => {
      const [x, y] = [left + column * CELL + 12, top - 6];
      return svg("text", { x, y, transform: `rotate(-60 ${x} ${y})` }, short(visible(token)));
    }),
  ];
  const cells = weights.flatMap((row, at) =>
    row.map((weight, column) =>
      svg(
        "rect",
        {
          x: left + column * CELL, y: top + at * CELL, width: CELL - 1, height: CELL - 1,
          "fill-opacity": Math.sqrt(weight).toFixed(3), onclick: () => choose(at),
        },
        svg("title", {}, `${visible(rows[at])} → ${visible(columns[column])}: ${percent(weight)}`),
      ),
    ),
  );
  const frame = svg("rect", { class: "frame", x: left - 0.5, y: top + strong * CELL - 0.5, width: columns.length * CELL, height: CELL });
  const size = { viewBox: `0 0 ${across} ${down}`, width: across, height: down };
  return svg("svg", { class: "heat", role: "img", "aria-label": text("attention.map"), ...size }, labels, cells, frame);
}
