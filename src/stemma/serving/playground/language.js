// The page's texts in English and Chinese, from texts.json; the language that was chosen, or else the browser's.

const KEPT = "stemma.language";
const texts = await (await fetch(new URL("texts.json", import.meta.url))).json();

export let language = remembered() ?? (navigator.language.startsWith("zh") ? "zh" : "en");

function remembered() {
  const kept = localStorage.getItem(KEPT);
  return kept === "zh" || kept === "en" ? kept : null;
}

export function speak(chosen) {
  language = chosen;
  localStorage.setItem(KEPT, chosen);
}

/** The text called `key`, in `spoken`, with each {name} replaced by its value. */
export function text(key, values = {}, spoken = language) {
  return texts[key][spoken].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export const known = (key) => key in texts;
export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
export const percent = (share) => (share > 0 && share < 0.0005 ? `< ${number(0.1, 1)} %` : `${number(100 * share, 1)} %`);

/** The example of a panel in a language that the models can read: the page's own where they can, the other where they cannot. */
export function example(key, models) {
  const reads = { en: "Latin", zh: "Han" };
  const other = language === "zh" ? "en" : "zh";
  const can = (spoken) => models.every((model) => model.scripts.includes(reads[spoken]));
  return text(key, {}, !can(language) && can(other) ? other : language);
}
