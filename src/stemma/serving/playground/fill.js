// The likeliest tokens in place of each [MASK].

import { ask } from "./api.js";
import { bars, el, field, form, visible } from "./elements.js";
import { example, text } from "./language.js";

const MASK = "[MASK]";

export const fill = {
  name: "fill",
  models: (all) => all.filter((model) => model.abilities.includes("fill")),
  build(place) {
    const input = field(place, "text", { label: text("fill.text"), initial: example("example.fill", [place.model]), rows: 3 });
    const insert = () => {
      const { input: area } = input;
      area.setRangeText(MASK, area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input"));
      area.focus();
    };
    const button = el("button", { type: "button", onclick: insert }, text("fill.insert"));
    const asked = form(place, [input], text("fill.do"), async (values, output, signal) => {
      const [row] = await ask("fill", { model: place.model.id, inputs: [values.text], k: 8 }, signal);
      const best = row.masks.map((tokens) => tokens[0].token);
      const chosen = el("p", { class: "marked" });
      const write = () => chosen.replaceChildren(...values.text.split(MASK).flatMap((part, at) => (at ? [el("mark", {}, best[at - 1]), part] : [part])));
      const lists = row.masks.map((tokens, at) => {
        const pick = ({ token }) => () => {
          best[at] = token;
          write();
        };
        const rows = tokens.map((one) => ({ name: visible(one.token), share: one.probability, pick: pick(one) }));
        return el("section", {}, el("h3", {}, text("fill.mask", { number: at + 1 })), bars(rows));
      });
      write();
      output.replaceChildren(chosen, el("div", { class: "grid" }, lists));
    }, button);
    return asked.nodes;
  },
};
