// How each model cuts a text.

import { ask } from "./api.js";
import { chips, el, field, form } from "./elements.js";
import { example, number, text } from "./language.js";

export const tokens = {
  name: "tokens",
  models: (all) => all,
  build(place) {
    const fields = [field(place, "text", { label: text("part.text"), initial: example("example.cut", [place.model]), rows: 3 })];
    const asked = form(place, fields, text("tokens.do"), async (values, output, signal) => {
      const [row] = await ask("tokens", { model: place.model.id, inputs: [values.text] }, signal);
      const shown = chips(row.tokens.map((name, at) => ({ name, below: String(row.ids[at]) })));
      output.replaceChildren(shown, el("p", { class: "soft" }, text("tokens.count", { count: number(row.tokens.length) })));
    });
    return asked.nodes;
  },
};
