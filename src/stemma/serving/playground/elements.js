// Elements and the few shapes that all panels are made of. Texts become text nodes: nothing that was typed or answered is read as HTML.

import { language, number, percent, text } from "./language.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element with its attributes; `on…` are listeners, `value`, `checked` and `disabled` properties, `--…` custom properties of its style. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.startsWith("--")) element.style.setProperty(key, value);
    else if (key === "value" || key === "checked" || key === "disabled") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A text's characters as the server counts them: Unicode code points. */
export const characters = (value) => Array.from(value);

/** White space that can be seen. */
export const visible = (token) => token.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥");

/** Bars of `rows`: name, share (0 to 1), figure; `strong` stands out, and what `pick` does is done when the name is pressed. */
export function bars(rows) {
  const shown = rows.map(({ name, share, figure = percent(share), strong = false, pick = null }) =>
    el(
      "li",
      { class: strong ? "strong" : null },
      pick ? el("button", { type: "button", class: "name", onclick: pick }, name) : el("span", { class: "name" }, name),
      el("span", { class: "track" }, el("span", { class: "bar", "--share": Math.max(0, Math.min(1, share)) })),
      el("span", { class: "figure" }, figure),
    ),
  );
  return el("ol", { class: "bars" }, shown);
}

/** The text with marks on stretches of code points: {start, end, label, colour}, in order and apart from each other. */
export function marked(value, marks) {
  const points = characters(value);
  const parts = [];
  let end = 0;
  for (const mark of marks) {
    parts.push(points.slice(end, mark.start).join(""));
    const label = mark.label ? el("small", {}, mark.label) : null;
    parts.push(el("mark", { "--colour": mark.colour ?? null }, points.slice(mark.start, mark.end).join(""), label));
    end = mark.end;
  }
  return el("p", { class: "marked" }, parts, points.slice(end).join(""));
}

const PALETTE = ["#7165e3", "#0f9687", "#cc6a00", "#c2457f", "#2f7fd1", "#5c8a1e", "#a8763e", "#d1495b"];

/** A colour of its own for each label, as far as there are any. */
export const colourOf = (label, labels) => PALETTE[labels.indexOf(label) % PALETTE.length];

/** Tokens as chips; `strength` (0 to 1) is how strongly each is coloured. */
export function chips(tokens) {
  const shown = tokens.map(({ name, strength = 0, title = null, below = null }) =>
    el("span", { class: "chip", "--strength": Math.max(0, Math.min(1, strength)), title }, visible(name), below ? el("small", {}, below) : null),
  );
  return el("p", { class: "chips" }, shown);
}

/** A labelled field. What is typed into it is kept in `place` until the page is left. */
export function field(place, name, { label, initial, rows = 1, ...attributes }) {
  const id = `${place.panel}-${name}`;
  const kept = place.kept.get(id) ?? initial;
  const input = rows > 1 ? el("textarea", { id, rows, ...attributes }) : el("input", { id, type: "text", ...attributes });
  input.value = kept;
  input.addEventListener("input", () => place.kept.set(id, input.value));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) input.form.requestSubmit();
  });
  return { name, input, element: el("div", { class: "field" }, el("label", { for: id }, label), input) };
}

/** A choice among `options`, [value, name] each. */
export function select(id, label, options, chosen, onchange) {
  const shown = options.map(([value, name]) => el("option", { value }, name));
  const input = el("select", { id, onchange: () => onchange(input.value) }, shown);
  input.value = chosen;
  return el("div", { class: "field small" }, el("label", { for: id }, label), input);
}

/** A form whose button runs `run(values, output, signal)`; what goes wrong is said where the answer would stand. */
export function form(place, fields, action, run, ...more) {
  const output = el("div", { class: "output", "aria-live": "polite" });
  const button = el("button", { type: "submit", class: "primary" }, action);
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    output.setAttribute("aria-busy", "true");
    try {
      await run(Object.fromEntries(fields.map(({ name, input }) => [name, input.value])), output, place.signal);
    } catch (error) {
      if (error.name !== "AbortError") output.replaceChildren(alertOf(error));
    } finally {
      button.disabled = false;
      output.removeAttribute("aria-busy");
    }
  };
  const element = el("form", { onsubmit: submit }, fields.map((one) => one.element), el("div", { class: "buttons" }, button, more));
  return { element, output, nodes: [element, output] };
}

export const alertOf = (error) => el("p", { class: "fault", role: "alert", lang: language }, error.message);

/** What a model's generation added and lost, and what is known of the model. */
export function about(model) {
  const told = model.about[language];
  const learnt = model.task ? text("about.task", { task: text(`task.${model.task}`) }) : null;
  const facts = [`${number(model.parameters)} ${text("about.parameters")}`, `${text("about.vocabulary")} ${number(model.vocabulary)}`, learnt];
  return el(
    "aside",
    { class: "about", "--colour": model.colour },
    el("h3", {}, model.short, el("span", { class: "soft" }, ` ${model.year} · ${told.title}`)),
    el("p", {}, el("b", {}, text("about.added")), told.added),
    el("p", {}, el("b", {}, text("about.lost")), told.lost),
    el("p", { class: "soft" }, `${model.id} · ${facts.filter(Boolean).join(" · ")} · ${model.paper}`),
    model.doubts.map((doubt) => el("p", { class: "doubt" }, text("about.doubts"), text(`doubt.${doubt.kind}`, doubt))),
  );
}
