// The words nearest to a word, or to a sum of words, and any words on a map.

import { ask } from "./api.js";
import { wordMap } from "./drawings.js";
import { bars, el, field, form } from "./elements.js";
import { example, number, text } from "./language.js";
import { principal } from "./projection.js";

export const nearest = {
  name: "nearest",
  models: (all) => all.filter((model) => model.abilities.includes("nearest")),
  build(place) {
    const model = place.model.id;
    const query = field(place, "word", { label: text("nearest.word"), initial: example("example.word", [place.model]) });
    const near = form(place, [query], text("nearest.do"), async ({ word }, output, signal) => {
      const [row] = await ask("nearest", { model, inputs: [word], k: 12 }, signal);
      output.replaceChildren(bars(row.nearest.map((one) => ({ name: one.word, share: one.cosine, figure: number(one.cosine, 2) }))));
    });
    const list = field(place, "words", { label: text("nearest.words"), initial: example("example.words", [place.model]), rows: 3 });
    const map = form(place, [list], text("nearest.map"), async ({ words }, output, signal) => {
      const names = [...new Set(words.split(/[\s,，、]+/).filter(Boolean))];
      const rows = await ask("embed", { model, inputs: names, normalise: true }, signal);
      const known = rows.filter((row) => !row.no_known_word);
      const lost = rows.filter((row) => row.no_known_word).map((row) => row.text);
      if (known.length < 3) throw new Error(text("nearest.few"));
      const points = principal(known.map((row) => row.vector)).map((at, place) => ({ at, name: known[place].text }));
      const across = Math.max(280, output.clientWidth);
      output.replaceChildren(wordMap(points, across, text("nearest.map")), el("p", { class: "soft" }, text("nearest.meaning")));
      if (lost.length) output.append(el("p", { class: "doubt" }, text("nearest.lost", { words: lost.join(", ") })));
    });
    return [...near.nodes, el("h3", {}, text("nearest.title-map")), ...map.nodes];
  },
};
