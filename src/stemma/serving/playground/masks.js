// What the objective hid of a text: what the network reads, and what it must find.

import { ask } from "./api.js";
import { characters, el, field, form, visible } from "./elements.js";
import { example, text } from "./language.js";

const BECAME = ["hidden", "drawn", "kept"];

export const masks = {
  name: "masks",
  models: (all) => all.filter((model) => model.abilities.includes("masks")),
  build(place) {
    const fields = [field(place, "text", { label: text("part.text"), initial: example("example.masks", [place.model]), rows: 3 })];
    let seed = -1; // other masks with each press
    const asked = form(place, fields, text("masks.do"), async (values, output, signal) => {
      seed += 1;
      const [row] = await ask("masks", { model: place.model.id, inputs: [values.text], seed }, signal);
      const legend = BECAME.map((became) => el("span", { class: `token ${became}` }, text(`masks.${became}`)));
      const count = row.labels.filter((label) => label !== null).length;
      const said = text("masks.count", { count, all: row.labels.length });
      output.replaceChildren(el("p", { class: "words" }, words(row)), el("p", { class: "legend" }, legend), el("p", { class: "soft" }, said));
    });
    return asked.nodes;
  },
};

/** A box a word: its tokens above what is read in their places. */
function words(row) {
  const points = characters(row.text);
  const token = ([start, end], at) =>
    el(
      "span",
      { class: `token ${row.became[at]}`, title: row.labels[at] },
      el("b", {}, points.slice(start, end).join("") || visible(row.labels[at] ?? row.reads[at])),
      el("i", {}, visible(row.reads[at])),
    );
  const within = ([start, end]) => row.spans.map((span, at) => [span, at]).filter(([span]) => start <= span[0] && span[0] < end);
  return row.words.map((word) => el("span", { class: "word" }, within(word).map(([span, at]) => token(span, at))));
}
