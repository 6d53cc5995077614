// What the page asks of its server. Faults come as errors that say in words what was wrong.

import { known, language, text } from "./language.js";

const KEY = "stemma.key"; // of this tab alone

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const keepKey = (key) => sessionStorage.setItem(KEY, key);

export class Fault extends Error {
  constructor(kind, said) {
    const title = text(known(`fault.${kind}`) ? `fault.${kind}` : "fault.backend");
    super(said ? `${title}${language === "zh" ? "" : " "}${said}` : title);
    this.kind = kind;
  }
}

async function reply(route, options) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...(options.body ? { "Content-Type": "application/json" } : {}), ...(key ? { "X-API-Key": key } : {}) };
  let found;
  try {
    found = await fetch(route, { ...options, headers });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Fault("gone");
  }
  if (!found.ok) {
    const told = await found.json().catch(() => ({}));
    throw new Fault(told.error_type ?? "backend", told.error);
  }
  return found;
}

export const get = async (route) => (await reply(route, {})).json();

const post = (route, body, signal) => reply(route, { method: "POST", body: JSON.stringify(body), signal });

/** The rows that a route under /v1 answers. */
export async function ask(route, body, signal) {
  const { outputs } = await (await post(`v1/${route}`, body, signal)).json();
  const wrong = outputs.find((row) => row.error);
  if (wrong) throw new Fault("validation", Object.values(wrong.error).join(" "));
  return outputs;
}

/** The pieces of a text that is being written, as they come: server-sent events of /v1/generate. */
export async function* written(body, signal) {
  const { body: stream } = await post("v1/generate", { ...body, stream: true }, signal);
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (waiting + value).split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      const [, name = "message", data] = event.match(/^(?:event: (\w+)\n)?data: (.*)$/s);
      if (name === "error") {
        const told = JSON.parse(data);
        throw new Fault(told.error_type, told.error);
      }
      if (name === "message") yield JSON.parse(data).text;
    }
  }
}
