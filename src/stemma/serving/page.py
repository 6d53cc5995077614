"""The page at / with its files, and the page of routes at /docs: neither asks anything of another host."""

from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

from stemma.runs.json_text import dumps

ALWAYS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
NOBODY = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PLAYGROUND = ALWAYS | {
    "Content-Security-Policy": f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; {NOBODY}"
}
ROUTES = ALWAYS | {"Content-Security-Policy": f"default-src 'none'; style-src 'unsafe-inline'; {NOBODY}"}
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "json": "application/json", "svg": "image/svg+xml"}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "code,pre{font-family:ui-monospace,monospace}pre{overflow:auto;padding:.5rem 1rem;border:1px solid #8884;border-radius:6px}"
    "h2{font-size:1rem;margin:2rem 0 0}p{margin:.3rem 0}"
)


@dataclass(frozen=True)
class Part:
    """A file of the page at /."""

    content: bytes
    kind: str  # the media type


def playground() -> dict[str, Part]:
    """The files of the page to try models on, by name; `index.html` is the page."""
    files = [file for file in (resources.files("stemma.serving") / "playground").iterdir() if file.is_file()]
    return {file.name: Part(file.read_bytes(), KINDS[file.name.rpartition(".")[2]]) for file in files}


def routes_page(document: dict[str, Any]) -> str:
    """The routes of an OpenAPI document, with what each takes."""
    parts = [f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(document['info']['title'])}</title>"]
    parts += [f"<style>{STYLE}</style><h1>{escape(document['info']['title'])}</h1>"]
    parts += ["<p>The same as an OpenAPI document: <a href='openapi.json'>openapi.json</a>.</p>"]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(route.get('description', ''))}</p>")
            if "requestBody" in route:
                parts.append(f"<pre>{escape(_keys(route, document))}</pre>")
    return "\n".join([*parts, "</html>"])


def _keys(route: dict[str, Any], document: dict[str, Any]) -> str:
    """The keys of a body with their defaults, a line each."""
    name = route["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]
    lines = []
    for key, facts in schema["properties"].items():
        default = f" = {dumps(facts['default'])}" if "default" in facts else " (required)" if key in schema.get("required", ()) else ""
        lines.append(f"{key}{default}" + (f"  # {facts['description']}" if "description" in facts else ""))
    return "\n".join(lines)
