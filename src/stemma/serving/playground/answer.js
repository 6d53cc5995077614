// An answer marked in its passage, and the next best ones.

import { ask } from "./api.js";
import { bars, el, field, form, marked } from "./elements.js";
import { example, text } from "./language.js";

export const answer = {
  name: "answer",
  models: (all) => all.filter((model) => model.task === "span"),
  build(place) {
    const fields = [
      field(place, "question", { label: text("part.question"), initial: example("example.question", [place.model]) }),
      field(place, "passage", { label: text("part.passage"), initial: example("example.passage", [place.model]), rows: 6 }),
    ];
    const asked = form(place, fields, text("answer.do"), async ({ question, passage }, output, signal) => {
      const [row] = await ask("predict", { model: place.model.id, inputs: [[question, passage]] }, signal);
      const show = (chosen) => {
        const shown = chosen ? marked(passage, [{ ...chosen, colour: place.model.colour }]) : el("p", {}, text("answer.none"));
        const rows = row.best.map((one) => ({
          name: one.answer,
          share: Math.exp(one.log_prob),
          strong: chosen?.start === one.start && chosen?.end === one.end,
          pick: () => show(one),
        }));
        const none = row.no_answer === undefined ? [] : [{ name: text("answer.none"), share: Math.exp(row.no_answer), strong: !chosen }];
        output.replaceChildren(shown, el("h3", {}, text("answer.best")), bars([...rows, ...none]));
      };
      show(row.answer ? row : null);
    });
    return asked.nodes;
  },
};
