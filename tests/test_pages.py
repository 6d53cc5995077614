"""Runs every command on every page of the documentation, in the order of its navigation; holds what pages name to the code.

The commands run among the slow tests (`-m slow`); that they are commands, and what they name, is held always.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stemma.cli import docs
from stemma.cli.main import main
from stemma.corpus.formats import Config as Corpus
from stemma.lineage.table import TABLE
from stemma.tasks.table import TASKS, task_config
from stemma.training.request import section_types
from stemma.transfer.settings import Config as Transfer
from stemma.transfer.settings import Distilling

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs/site"
FENCED = re.compile(r"^```(\w+)( setup)?\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LANGUAGES = sorted(path.parent.name for path in SITE.glob("*/index.md"))


def in_order(language: str) -> list[str]:
    """The pages as the navigation has them."""
    return re.findall(r"[\w/-]+\.md", (SITE / f"mkdocs.{language}.yml").read_text(encoding="utf-8").partition("nav:")[2])


def text_of(language: str, page: str) -> str:
    return (SITE / language / page).read_text(encoding="utf-8")


def runnable(language: str) -> list[str]:
    found = [page for page in in_order(language) if (SITE / language / page).is_file()]
    return [page for page in found if any(kind != "text" and not setup for kind, setup, _ in FENCED.findall(text_of(language, page)))]


PAGES = [
    (language, path.relative_to(SITE / language).as_posix()) for language in LANGUAGES for path in sorted((SITE / language).rglob("*.md"))
]


def run(newcomer, name, page):
    """The page's commands, in a folder of that name: each language has texts and runs of its own, which go by the same names."""
    folder, environment = newcomer[0] / name, newcomer[1]
    folder.mkdir(exist_ok=True)
    for kind, setup, text in FENCED.findall(page):
        if setup or kind == "text":
            continue
        command = {"bash": ["bash", "-euo", "pipefail", "-c", text], "python": [sys.executable, "-c", text]}[kind]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=850)
        assert done.returncode == 0, text + done.stdout + done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("language", "page"), [(language, page) for language in LANGUAGES for page in runnable(language)])
def test_the_page_s_commands_run(newcomer, language, page):
    run(newcomer, language, text_of(language, page))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_of_the_chinese_readme_run(newcomer):
    run(newcomer, "readme", (ROOT / "README.zh.md").read_text(encoding="utf-8"))


def test_the_links_of_the_chinese_readme_lead_somewhere():
    text = (ROOT / "README.zh.md").read_text(encoding="utf-8")
    assert [target for target in re.findall(r"\]\(([^):]+)\)", text) if not (ROOT / target).is_file()] == []
    assert {row.name for row in TABLE} <= set(re.findall(r"^\| `([\w-]+)` \|", text, flags=re.MULTILINE))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_navigation_leads_to_every_page(language):
    found = {page for known, page in PAGES if known == language}
    guides = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert found <= set(in_order(language)) and set(in_order(language)) - found <= guides | {"api.md"}


def test_every_generation_and_every_task_has_its_page():
    assert {f"generations/{row.name}.md" for row in TABLE} | {f"tasks/{name}.md" for name in TASKS} <= set(in_order("en"))


@pytest.mark.parametrize(("language", "page"), PAGES)
def test_the_blocks_say_what_they_are(language, page):
    text = text_of(language, page)
    assert len(FENCED.findall(text)) == len(re.findall(r"^```\w", text, flags=re.MULTILINE)) == text.count("```") / 2
    assert {kind for kind, _, _ in FENCED.findall(text)} <= {"bash", "python", "text"}


@pytest.mark.parametrize(("language", "page"), PAGES)
def test_code_that_a_page_names_is_there(language, page):
    for path, names in re.findall(
        r"`((?:[a-z_]+/)+[a-z0-9_]+\.py)`(?:[:：] ?((?:`[^`]+`(?:, | 与 |、| and |, and )?)+))?", text_of(language, page)
    ):
        file = next((root / path for root in (ROOT / "src/stemma", ROOT) if (root / path).is_file()), None)
        assert file is not None, path
        code = file.read_text(encoding="utf-8")
        for name in re.findall(r"`([A-Za-z_][\w.]*)", names):
            assert all(re.search(rf"\b(class |def |self\.){part}\b", code) for part in name.split(".")), f"{path}: {name}"


@pytest.fixture(scope="module")
def settings():
    """section.key of every setting that there is."""
    sections = [("corpus", Corpus), ("transfer", Transfer), ("distill", Distilling), *(("task", task_config(name)) for name in TASKS)]
    sections += [pair for row in TABLE for pair in section_types(row).items()]
    return {f"{section}.{field}" for section, cls in sections for field in cls.__dataclass_fields__}


@pytest.mark.parametrize(("language", "page"), PAGES)
def test_settings_that_a_page_names_exist(settings, language, page):
    prose = FENCED.sub("", text_of(language, page))
    named = set(re.findall(r"\b((?:corpus|tokenizer|model|objective|training|transfer|task|distill)\.[a-z_]+)\b(?!\.)(?!/)", prose))
    suffixes = {name for name in named if name.rpartition(".")[2] in ("py", "md", "txt", "tsv", "arpa", "toml", "json", "safetensors")}
    assert named - suffixes <= settings


def test_docs_tells_where_its_first_page_is_or_how_to_build_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs, "SITE", tmp_path)
    assert main(["docs"]) == 1
    assert "make docs" in capsys.readouterr().err
    (tmp_path / "zh").mkdir()
    (tmp_path / "zh/index.html").write_text("<!doctype html>", encoding="utf-8")
    opened = []
    monkeypatch.setattr(docs.webbrowser, "open", lambda address: not opened.append(address))
    assert main(["docs", "--language", "zh", "--open"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "zh/index.html")
    assert opened == [(tmp_path / "zh/index.html").as_uri()]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the extra `docs` is not installed")
def test_the_site_is_built_asks_nothing_of_another_host_and_searches_chinese_words(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/build.py"), "--out", str(tmp_path / "site")], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert {path.parent.name for path in pages if path.name == "index.html"} >= {"site", *LANGUAGES}
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert not re.findall(
            r"<(?:script|img|iframe)[^>]*src=\"?https?:|<link[^>]*rel=\"?(?:stylesheet|icon|preconnect)[^>]*href=\"?https?:", text
        )
        assert 'class="arithmatex"' not in text
    assert "<math" in (tmp_path / "site/en/generations/word2vec.html").read_text(encoding="utf-8")
    if "zh" in LANGUAGES:
        assert "\\u200b" in (tmp_path / "site/zh/search/search_index.json").read_text(encoding="utf-8")
