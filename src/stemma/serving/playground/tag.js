// A text with its words or its names marked.

import { ask } from "./api.js";
import { colourOf, el, field, form, marked } from "./elements.js";
import { example, text } from "./language.js";

export const tag = {
  name: "tag",
  models: (all) => all.filter((model) => model.task === "tag"),
  build(place) {
    const fields = [field(place, "text", { label: text("part.text"), initial: example("example.tagged", [place.model]), rows: 3 })];
    const asked = form(place, fields, text("tag.do"), async (values, output, signal) => {
      const [row] = await ask("predict", { model: place.model.id, inputs: [values.text] }, signal);
      const found = (row.entities ?? row.words).map((one) => ({ start: one.start, end: one.end, label: one.type ?? one.tag }));
      const labels = [...new Set(found.map((mark) => mark.label))].sort();
      const shown = marked(values.text, found.map((mark) => ({ ...mark, colour: colourOf(mark.label, labels) })));
      output.replaceChildren(shown, found.length ? "" : el("p", { class: "soft" }, text("tag.none")));
    });
    return asked.nodes;
  },
};
