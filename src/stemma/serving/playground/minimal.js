// Two sentences that differ in one thing: which does each model take for the likelier one?

import { ask } from "./api.js";
import { about, bars, chips, el, field, form } from "./elements.js";
import { example, number, text } from "./language.js";

const MOST = 5; // log10 of a token's improbability at which its chip is fully coloured

export const minimal = {
  name: "minimal",
  several: true,
  models: (all) => all.filter((model) => model.abilities.includes("score")),
  build(place) {
    const fields = [
      field(place, "first", { label: text("minimal.first"), initial: example("example.good", place.models), rows: 2 }),
      field(place, "second", { label: text("minimal.second"), initial: example("example.bad", place.models), rows: 2 }),
    ];
    const asked = form(place, fields, text("minimal.do"), async ({ first, second }, output, signal) => {
      output.replaceChildren();
      for (const model of place.models) {
        const rows = await ask("score", { model: model.id, inputs: [first, second], tokens: true }, signal);
        output.append(section(model, rows));
      }
    });
    return asked.nodes;
  },
};

function section(model, rows) {
  const share = 1 / (1 + 10 ** (rows[1].log10 - rows[0].log10));
  const shares = [share, 1 - share];
  const names = [text("minimal.first"), text("minimal.second")];
  const shown = rows.map((row, at) => ({
    name: names[at],
    share: shares[at],
    figure: el("span", {}, "10", el("sup", {}, number(row.log10, 1))),
    strong: shares[at] > 0.5,
  }));
  const unknown = rows[0].unknown + rows[1].unknown;
  const tokens = rows.map((row) => chips(row.by_token.map((one) => ({ name: one.token, strength: -one.log10 / MOST, below: number(-one.log10, 1) }))));
  return el(
    "section",
    { class: "model", "--colour": model.colour },
    el("h3", {}, model.id),
    bars(shown),
    el("p", {}, share === 0.5 ? text("minimal.same") : text("minimal.likelier", { which: names[share > 0.5 ? 0 : 1] })),
    unknown ? el("p", { class: "doubt" }, text("minimal.unknown", { count: unknown })) : null,
    el("details", {}, el("summary", {}, text("minimal.tokens")), el("p", { class: "soft" }, text("minimal.meaning")), tokens),
    about(model),
  );
}
