// Where each head of each layer looks in a text or in a pair.

import { ask } from "./api.js";
import { attention } from "./drawings.js";
import { field, form } from "./elements.js";
import { example, text } from "./language.js";

export const attend = {
  name: "attend",
  models: (all) => all.filter((model) => model.abilities.includes("attend")),
  build(place) {
    const pairs = place.model.abilities.includes("translate");
    const [first, second] = pairs ? ["example.source", "example.target"] : ["example.look", null];
    const initial = pairs ? text(first, {}, "en") : example(first, [place.model]);
    const fields = [
      field(place, pairs ? "source" : "text", { label: text(pairs ? "translate.source" : "part.text"), initial, rows: 2 }),
      field(place, pairs ? "target" : "other", {
        label: text(pairs ? "attend.target" : "attend.other"),
        initial: second ? text(second, {}, place.model.scripts.includes("Han") ? "zh" : "en") : "",
        rows: 2,
        required: pairs,
      }),
    ];
    const asked = form(place, fields, text("attend.do"), async (values, output, signal) => {
      const [one, other] = fields.map(({ name }) => values[name]);
      const [row] = await ask("attend", { model: place.model.id, inputs: [other.trim() ? [one, other] : one] }, signal);
      output.replaceChildren(attention("attend", row.heads));
    });
    return asked.nodes;
  },
};
