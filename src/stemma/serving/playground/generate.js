// A text written on as it comes, and after it the tokens that could come next; each can be pressed to choose it.

import { ask, written } from "./api.js";
import { alertOf, bars, el, field, form, visible } from "./elements.js";
import { example, text } from "./language.js";

const SPACED = ["bpe", "unigram"]; // tokenizers whose tokens bring their own white space
const NEXT = 10;

export const generate = {
  name: "generate",
  models: (all) => all.filter((model) => model.abilities.includes("generate")),
  build(place) {
    const fields = [
      field(place, "prompt", { label: text("generate.prompt"), initial: example("example.prompt", [place.model]), rows: 3 }),
      field(place, "length", { label: text("generate.length"), initial: "40", type: "number", min: 1, max: 500, required: true }),
      field(place, "temperature", { label: text("generate.temperature"), initial: "0.8", type: "number", min: 0, max: 2, step: 0.1, required: true }),
      field(place, "seed", { label: text("generate.seed"), initial: "1", type: "number", min: 0, required: true }),
    ];
    const stop = el("button", { type: "button", disabled: true }, text("generate.stop"));
    const asked = form(place, fields, text("generate.do"), async (values, output, signal) => {
      const stopping = new AbortController();
      const prompt = values.prompt;
      const [own, next] = [el("span", {}), el("div", {})];
      output.replaceChildren(el("p", { class: "written" }, el("span", { class: "soft" }, prompt), own), next);
      stop.disabled = false;
      stop.onclick = () => stopping.abort();
      const options = { length: Number(values.length), temperature: Number(values.temperature), seed: Number(values.seed) };
      try {
        for await (const piece of written({ model: place.model.id, inputs: prompt, ...options }, AbortSignal.any([signal, stopping.signal]))) {
          own.append(piece);
        }
      } catch (error) {
        if (error.name !== "AbortError" || signal.aborted) throw error;
      } finally {
        stop.disabled = true;
      }
      await showNext(place, prompt, own, next);
    }, stop);
    asked.element.querySelector(".field").after(el("div", { class: "fields" }, fields.slice(1).map((one) => one.element)));
    return asked.nodes;
  },
};

/** Bars of what could follow `prompt` and the text of `own`; a choice goes to the end of `own`. */
async function showNext(place, prompt, own, output) {
  const [row] = await ask("generate", { model: place.model.id, inputs: [prompt + own.textContent], next: NEXT }, place.signal);
  const choose = (token) => async () => {
    own.append(joined(place.model, prompt + own.textContent, token));
    try {
      await showNext(place, prompt, own, output);
    } catch (error) {
      if (error.name !== "AbortError") output.replaceChildren(alertOf(error));
    }
  };
  const rows = row.next.map(({ token, probability }) => ({
    name: visible(token),
    share: probability,
    pick: writable(token) ? choose(token) : null,
  }));
  output.replaceChildren(el("h3", {}, text("generate.next")), bars(rows));
}

/** False for the text's end and for parts of a character, which no prompt can hold. */
const writable = (token) => !/^<.*>$|\\x/.test(token);

function joined(model, before, token) {
  const apart = !SPACED.includes(model.tokenizer) && /[\p{Script=Latin}\d.,;:!?)]$/u.test(before) && /^[\p{Script=Latin}\d]/u.test(token);
  return apart ? ` ${token}` : token;
}
