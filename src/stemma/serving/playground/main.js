// The page: which models there are, which panels they allow, and the one that is open. Its address is #PANEL/MODEL.

import { get, hasKey, keepKey } from "./api.js";
import { about, alertOf, el, select } from "./elements.js";
import { language, speak, text } from "./language.js";
import { PANELS } from "./panels.js";

const kept = new Map(); // what was typed, by field
let models = [];
let open = new AbortController(); // of what the open panel has asked

const part = (id) => document.getElementById(id);

function head() {
  const other = language === "zh" ? "en" : "zh";
  const change = () => {
    speak(other);
    draw();
    part("language").focus();
  };
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = text("page.title");
  part("head").replaceChildren(
    el("div", {}, el("h1", {}, "Stemma"), el("p", { class: "soft" }, text("page.lead"))),
    el("button", { id: "language", type: "button", lang: other === "zh" ? "zh-CN" : "en", onclick: change }, text("page.language")),
  );
  part("foot").replaceChildren(el("p", { class: "soft" }, text("page.foot"), " ", el("a", { href: "docs" }, text("page.routes"))));
}

/** The panels that some model allows, and the one of the address, or else the first. */
function draw() {
  open.abort();
  open = new AbortController();
  head();
  const [asked = "", named = ""] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const offered = PANELS.filter((panel) => panel.models(models).length);
  const panel = offered.find(({ name }) => name === asked) ?? offered[0];
  if (!panel) {
    part("panels").replaceChildren();
    return;
  }
  const able = panel.models(models);
  const model = able.find(({ id }) => id === named) ?? able[0];
  part("panels").setAttribute("aria-label", text("page.panels"));
  part("panels").replaceChildren(...offered.map(({ name }) => link(name, named, name === panel.name)));
  part("panels").querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  const place = { panel: panel.name, models: able, model, kept, signal: open.signal };
  const choose = (id) => {
    location.hash = address(panel.name, id);
  };
  const choice = panel.several
    ? el("p", { class: "soft" }, text("page.several"))
    : select("model", text("page.model"), able.map(({ id, short }) => [id, id === short ? id : `${id} (${short})`]), model.id, choose);
  part("main").style.setProperty("--colour", panel.several ? "var(--accent)" : model.colour);
  part("main").replaceChildren(
    el("h2", { tabindex: -1 }, text(`${panel.name}.title`)),
    el("p", { class: "lead" }, text(`${panel.name}.lead`)),
    choice,
    ...(panel.several ? [] : [about(model)]),
    ...panel.build(place),
  );
}

const address = (panel, model) => `#${panel}${model ? `/${encodeURIComponent(model)}` : ""}`;

function link(name, model, current) {
  return el("a", { href: address(name, model), "aria-current": current ? "page" : null }, text(`${name}.title`));
}

/** Asks for a key, which a server may want. */
function askKey(error) {
  const field = el("input", { id: "key", type: "password", autocomplete: "off", required: true });
  const submit = (event) => {
    event.preventDefault();
    keepKey(field.value);
    start();
  };
  const form = el("form", { onsubmit: submit }, el("div", { class: "field" }, el("label", { for: "key" }, text("page.key")), field));
  form.append(el("div", { class: "buttons" }, el("button", { type: "submit", class: "primary" }, text("page.enter"))));
  part("main").replaceChildren(el("h2", {}, text("page.locked")), hasKey() ? alertOf(error) : "", form);
  field.focus();
}

async function start() {
  head();
  try {
    models = (await get("v1/models")).data;
    draw();
  } catch (error) {
    if (error.kind === "unauthorized") askKey(error);
    else part("main").replaceChildren(alertOf(error));
  }
}

window.addEventListener("hashchange", () => {
  draw();
  part("main").querySelector("h2")?.focus({ preventScroll: true });
});
await start();
