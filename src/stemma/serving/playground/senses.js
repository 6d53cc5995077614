// One word in two sentences: how alike its two vectors are, in every layer of every model.

import { ask } from "./api.js";
import { about, bars, characters, el, field, form } from "./elements.js";
import { example, number, text } from "./language.js";
import { cosine } from "./projection.js";

export const senses = {
  name: "senses",
  several: true,
  models: (all) => all.filter((model) => model.layers !== null),
  build(place) {
    const fields = [
      field(place, "word", { label: text("senses.word"), initial: example("example.sense", place.models), required: true }),
      field(place, "first", { label: text("senses.first"), initial: example("example.sense1", place.models), rows: 2 }),
      field(place, "second", { label: text("senses.second"), initial: example("example.sense2", place.models), rows: 2 }),
    ];
    const asked = form(place, fields, text("senses.do"), async ({ word, first, second }, output, signal) => {
      const spans = [first, second].map((sentence) => spanOf(word.trim(), sentence));
      output.replaceChildren();
      for (const model of place.models) {
        const cosines = [];
        for (let layer = 0; layer < model.layers; layer++) {
          const rows = await ask("embed", { model: model.id, inputs: [first, second], layer, tokens: true }, signal);
          cosines.push(alike(rows.map((row, at) => vectorOf(row.by_token, spans[at]))));
        }
        output.append(section(model, cosines));
      }
    });
    return asked.nodes;
  },
};

/** Where the word first stands in the sentence, in code points. */
function spanOf(word, sentence) {
  const at = sentence.toLowerCase().indexOf(word.toLowerCase());
  if (at < 0) throw new Error(text("senses.missing", { word, sentence }));
  const start = characters(sentence.slice(0, at)).length;
  return { start, end: start + characters(word).length };
}

/** The mean of the vectors of the tokens that the span touches; none where a token is read as nothing. */
function vectorOf(tokens, { start, end }) {
  const own = tokens.filter((token) => token.start < end && start < token.end).map((token) => token.vector);
  return own.length ? own[0].map((_, column) => own.reduce((sum, vector) => sum + vector[column], 0) / own.length) : null;
}

const alike = ([a, b]) => (a && b && a.some(Boolean) && b.some(Boolean) ? cosine(a, b) : null);

function section(model, cosines) {
  const names = cosines.map((_, layer) => (layer ? text("senses.layer", { layer }) : text("senses.embeddings")));
  const rows = cosines.map((value, layer) => ({ name: names[layer], share: value ?? 0, figure: value === null ? "–" : number(value, 2) }));
  const unmoved = cosines.every((value) => value !== null && value > 0.9999);
  const said = cosines.includes(null) ? "senses.unknown" : unmoved ? "senses.static" : "senses.context";
  return el("section", { class: "model", "--colour": model.colour }, el("h3", {}, model.id), bars(rows), el("p", {}, text(said)), about(model));
}
