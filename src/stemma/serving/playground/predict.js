// Labels, numbers and choices: what a run answers that has learnt to tell texts, pairs or candidates apart.

import { ask } from "./api.js";
import { bars, el, field, form } from "./elements.js";
import { example, number, text } from "./language.js";

const TASKS = ["classify", "pair", "regress", "choice"];

export const predict = {
  name: "predict",
  models: (all) => all.filter((model) => TASKS.includes(model.task)),
  build(place) {
    const fields = place.model.parts.map((part, at) => partOf(place, part, at));
    const filled = [...fields];
    const asked = form(place, filled, text("predict.do"), async (values, output, signal) => {
      const input = filled.map(({ name }) => values[name]).filter((value, at) => value.trim() || at < fields.length);
      const [row] = await ask("predict", { model: place.model.id, inputs: [input] }, signal);
      output.replaceChildren(...shown(row, input));
    }, place.model.more_parts ? el("button", { type: "button", onclick: () => more() }, text("predict.more")) : null);
    const more = () => {
      const next = partOf(place, `candidate ${filled.length}`, filled.length);
      filled.at(-1).element.after(next.element);
      filled.push(next);
      next.input.focus();
    };
    return asked.nodes;
  },
};

function partOf(place, part, at) {
  const [, name, count] = part.match(/^(\w+?)(?: (\d+))?$/);
  const key = `${place.model.task}.${at}`;
  const initial = { "pair.0": "example.first", "pair.1": "example.second", "regress.1": "example.second", "choice.0": "example.context" };
  const candidates = ["", "example.candidate1", "example.candidate2"];
  const shown = initial[key] ?? (count ? candidates[at] : at === 0 ? (place.model.parts.length > 1 ? "example.first" : "example.news") : null);
  const label = `${text(`part.${name}`)}${count ? ` ${count}` : ""}`;
  return field(place, `${place.model.task}-${at}`, { label, initial: shown ? example(shown, [place.model]) : "", rows: 3 });
}

function shown(row, input) {
  const notes = [row.no_known_word ? text("note.unknown") : null, row.tokens_cut ? text("note.cut") : null].filter(Boolean);
  return [answer(row, input), ...notes.map((note) => el("p", { class: "doubt" }, note))];
}

function answer(row, input) {
  if (!("probabilities" in row)) return el("p", { class: "figure-large" }, number(row.number, 2));
  if (Array.isArray(row.probabilities)) {
    return bars(row.probabilities.map((share, at) => ({ name: input[at + 1], share, strong: at + 1 === row.number })));
  }
  const given = row.labels ?? [row.label];
  const sorted = Object.entries(row.probabilities).sort((a, b) => b[1] - a[1]);
  return bars(sorted.map(([name, share]) => ({ name, share, strong: given.includes(name) })));
}
