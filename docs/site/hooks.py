"""What the site asks of its generator beyond settings: formulae as MathML, the guides of `docs/` as pages, the other language's page.

Formulae become MathML while the site is built, so that a page needs no script and no font from elsewhere to show them. Guides that
stand in `docs/` for whoever reads the repository become pages too: NAME.zh.md in Chinese, where there is one.
"""

import logging
import os
import re
from html import unescape
from pathlib import Path

import jieba
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

jieba.setLogLevel(logging.WARNING)
ROOT = Path(__file__).resolve().parents[2]
ENGLISH = ROOT / "docs/site/en"
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', flags=re.DOTALL)
SETUP = re.compile(r"^(```\w+) setup$", flags=re.MULTILINE)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:]+)(#[^)]*)?\)")
AT_THE_ROOT = (ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md")
OF_THE_SITE = ("cluster.md", "ship.md")  # guides that stand beside the site's own pages; the others are in the folder `more`
FOLDED = {"en": "Reference", "zh": "参考"}  # the last section of the navigation, which the guides stand in
BOTH = ("api.md",)  # pages in English that stand in each language


def place_of(guide: Path) -> str:
    """Where a page that stands outside of the site's own folders is in the site."""
    return guide.name if guide.parent == ROOT or guide.name in OF_THE_SITE else f"more/{guide.name}"


def guides(language: str) -> dict[str, Path]:
    """Those pages by their places, but for those that the language has of its own."""
    found = {}
    for path in [*sorted(path for path in (ROOT / "docs").glob("*.md") if not path.stem.endswith(".zh")), *AT_THE_ROOT]:
        translated = path.with_name(f"{path.stem}.{language}.md")
        if not (ROOT / "docs/site" / language / place_of(path)).is_file():
            found[place_of(path)] = translated if translated.is_file() else path
    return found


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the guides to the navigation's last section; their titles are their first headings."""
    for section in config.nav or ():
        if FOLDED[config.extra["language"]] in section:
            section[FOLDED[config.extra["language"]]] += [place for place in guides(config.extra["language"]) if place not in OF_THE_SITE]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the guides, the pictures that they show, and the English pages that stand in each language."""
    places = guides(config.extra["language"]) | {f"more/{path.name}": path for path in (ROOT / "docs").glob("*.png")}
    if config.extra["language"] != "en":
        places |= {name: ENGLISH / name for name in BOTH}
        places |= {path.relative_to(ENGLISH).as_posix(): path for path in ENGLISH.glob("figures/*")}
    for place, path in places.items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links of the guides to where their pages stand in the site; takes off the mark `setup`, which is the tests'."""
    guide = guides(config.extra["language"]).get(page.file.src_uri)
    return SETUP.sub(r"\1", LINK.sub(lambda found: _led(found, guide, page), markdown) if guide else markdown)


def _led(link: re.Match[str], guide: Path, page: Page) -> str:
    """A link between guides as one between pages; of one to what is no page here its words alone."""
    target = (guide.parent / link[2]).resolve()
    place = "index.md" if target == ROOT / "README.md" else place_of(target)
    if target.suffix != ".md" or target.stem.endswith(".zh") or place == page.file.src_uri:
        return link[1]
    return f"[{link[1]}]({os.path.relpath(place, Path(page.file.src_uri).parent)}{link[3] or ''})"


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulae as MathML."""
    return FORMULA.sub(lambda found: convert(unescape(found[3]), display="inline" if found[2] == "(" else "block"), html)


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Tells each page where its namesake in the other language is, or that language's first page where it has none."""
    other = config.extra["other"]["language"]
    for page in nav.pages:
        place = page.file.src_uri
        there = (ROOT / "docs/site" / other / place).is_file() or place in guides(other) or place in BOTH
        page.other_language = f"{'../' * (page.url.count('/') + 1)}{other}/{page.url if there else 'index.html'}"  # type: ignore[attr-defined]
    return nav
