// A target text, and where each of its tokens looked in the source.

import { ask } from "./api.js";
import { attention } from "./drawings.js";
import { el, field, form } from "./elements.js";
import { text } from "./language.js";

const ACROSS = ["encoder-decoder", "soft"]; // kinds of attention from the target to the source

export const translate = {
  name: "translate",
  models: (all) => all.filter((model) => model.abilities.includes("translate")),
  build(place) {
    const initial = text("example.source", {}, place.model.scripts.includes("Latin") ? "en" : "zh"); // a run does not know what its sources are written in
    const fields = [field(place, "source", { label: text("translate.source"), initial, rows: 3 })];
    const asked = form(place, fields, text("translate.do"), async ({ source }, output, signal) => {
      const [{ translation }] = await ask("translate", { model: place.model.id, inputs: [source] }, signal);
      output.replaceChildren(el("p", { class: "written" }, translation || text("translate.nothing")));
      if (translation && place.model.abilities.includes("attend")) {
        const [{ heads }] = await ask("attend", { model: place.model.id, inputs: [[source, translation]] }, signal);
        output.append(el("h3", {}, text("translate.looks")), attention("translate", heads.filter((head) => ACROSS.includes(head.kind))));
      }
    });
    return asked.nodes;
  },
};
