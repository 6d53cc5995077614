"""The page at /: its files and texts, and what it does in a browser."""

import json
import re
import shutil
from collections.abc import Iterator
from importlib import resources
from typing import Any, get_args

import pytest
from tests.serving.conftest import fitted, pretrained, run_async, served
from tests.serving.test_process import running

from stemma.lineage.table import TABLE
from stemma.runs.attention_heads import MEANING
from stemma.runs.doubts import DoubtKind
from stemma.serving.page import playground
from stemma.serving.replies import BY_CODE
from stemma.tasks.table import TASKS

PARTS = playground()
TEXTS = json.loads(PARTS["texts.json"].content)
SCRIPTS = {name: part.content.decode() for name, part in PARTS.items() if name.endswith(".js")}
PANELS = re.search(r"PANELS = \[(.*)\]", SCRIPTS["panels.js"])[1].split(", ")
MADE = {  # keys that scripts put together
    *(f"{panel}.{text}" for panel in PANELS for text in ("title", "lead")),
    *(f"fault.{kind}" for kind in (*BY_CODE.values(), "gone")),
    *(f"task.{task}" for task in TASKS),
    *(f"kind.{kind}" for kind in MEANING),
    *(f"doubt.{kind}" for kind in get_args(DoubtKind)),
    *(f"part.{part}" for part in ("text", "text_a", "text_b", "context", "candidate", "question", "passage")),
    *(f"masks.{became}" for became in ("hidden", "drawn", "kept")),
}


def test_every_text_stands_in_both_languages():
    for key, text in TEXTS.items():
        assert set(text) == {"en", "zh"} and all(text.values()), key
        assert sorted(re.findall(r"\{\w+\}", text["en"])) == sorted(re.findall(r"\{\w+\}", text["zh"])), key
        assert re.search(r"[\u4e00-\u9fff]", text["zh"]) or key == "page.language", key


def test_the_texts_are_those_that_the_scripts_name():
    quoted = {key for script in SCRIPTS.values() for key in re.findall(r'"([a-z]+\.[\w-]+)"', script)}
    named = {key for key in quoted if not re.search(r"\.(json|js)$|^stemma\.|^(pair|regress|choice)\.\d$", key)}
    assert named | MADE == set(TEXTS)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_what_a_generation_added_and_lost_is_told_in_both_languages(row):
    about = row.about()
    assert set(about) == {"en", "zh"} and all(set(told) == {"title", "added", "lost"} for told in about.values())
    assert about["en"]["title"] == row.title
    for key in ("added", "lost"):
        assert about["en"][key].count(". ") == 0 and about["en"][key].endswith(".")
        assert about["zh"][key].count("。") == 1 and about["zh"][key].endswith("。")


def test_the_page_asks_nothing_of_another_host_and_writes_no_html():
    for name, part in PARTS.items():
        addresses = re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"(?m)(^|\s)//.*", "", part.content.decode()))
        assert set(addresses) <= {"http://www.w3.org"}, name  # a namespace's name, which nobody asks for
    writing = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function")
    assert [name for name, script in SCRIPTS.items() if writing.search(script)] == []
    page = PARTS["index.html"].content.decode()
    assert not re.search(r"<style|<script>|\son\w+=|style=", page)  # none of which the policy allows
    assert set(re.findall(r'"playground/([\w.]+)"', page)) <= set(PARTS)


def test_the_page_comes_whole_to_all_and_models_to_those_with_a_key(home):
    async def tried():
        async with served([str(pretrained("word2vec", home))], keys=("first",)) as client:
            for route in ("/", *(f"/playground/{name}" for name in PARTS)):
                reply = await client.get(route)
                assert reply.status_code == 200
                policy = reply.headers["content-security-policy"]
                assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'" in policy and "unsafe" not in policy
                assert reply.headers["x-content-type-options"] == "nosniff"
            assert (await client.get("/")).content == PARTS["index.html"].content
            assert (await client.get("/playground/main.js")).headers["content-type"].startswith("text/javascript")
            for route in ("/playground/nothing.js", "/playground/..%2fpage.py", "/playground/%2e%2e/page.py"):
                assert (await client.get(route)).status_code in (401, 404)
            assert (await client.get("/v1/models")).status_code == 401

    run_async(tried)


def test_every_file_goes_into_the_package():
    assert {file.name for file in (resources.files("stemma.serving") / "playground").iterdir()} == set(PARTS)


# In a browser.

RUNS = ["ngram", "word2vec", "bert", "gpt", "transformer"]
LEARNT = ["bert-topics", "bert-numbers", "bert-tags", "bert-answers"]
SHOWN = {  # what an answered panel holds
    "predict": ".bars li", "tag": ".marked", "answer": ".marked", "translate": ".written", "generate": ".bars li", "fill": ".bars li",
    "masks": ".word .token", "nearest": ".bars li", "senses": ".model .bars li", "minimal": ".model .bars li", "attend": ".heat rect",
    "tokens": ".chip",
}  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window: the one on this machine, or Playwright's own."""
    sync = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync.sync_playwright() as player:
        try:
            browser = player.chromium.launch(executable_path=found)
        except sync.Error:
            pytest.skip("needs a browser: apt-get install chromium, or playwright install chromium")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(home, tmp_path_factory) -> Iterator[Any]:
    """A server of runs that allow every panel."""
    places = [str(pretrained(name, home)) for name in RUNS] + [str(fitted(name, home)) for name in LEARNT]
    with running(tmp_path_factory.mktemp("playground"), *places, "--timeout", "600", within=600) as server:
        yield server


class Visit:
    """A page of the browser, and what went wrong on it or left the machine."""

    def __init__(self, browser: Any, server: Any, locale: str, width: int, scheme: str = "light") -> None:
        context = browser.new_context(locale=locale, viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page, self.home, self.wrong = context.new_page(), f"http://127.0.0.1:{server.port}/", []
        self.page.set_default_timeout(300_000)
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: request.url.startswith(self.home) or self.wrong.append(request.url))

    def open(self, panel: str) -> None:
        """The panel, by its link where the page is there already."""
        if self.page.url.startswith(self.home):
            self.page.locator(f'nav a[href^="#{panel}"]').click()
        else:
            self.page.goto(f"{self.home}#{panel}")
        self.page.locator(f'nav a[aria-current="page"][href^="#{panel}"]').wait_for()

    def answer(self, number: int = 0) -> Any:
        """Presses the panel's button, and gives what is answered."""
        self.page.locator("main form button[type=submit]").nth(number).click()
        output = self.page.locator("main .output").nth(number)
        output.locator("> *").first.wait_for()
        self.page.locator("main form").nth(number).locator("button[type=submit]:enabled").wait_for()
        return output

    def overflows(self) -> bool:
        """Whether it must be scrolled sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("locale", "width", "scheme", "first"), [("en-GB", 1280, "light", "Classify"), ("zh-CN", 390, "dark", "分类")], ids=["wide", "narrow"]
)
def test_every_panel_answers_in_both_languages(browser, server, locale, width, scheme, first):
    visit = Visit(browser, server, locale, width, scheme)
    for panel in PANELS:
        visit.open(panel)
        assert visit.page.locator("main h2").inner_text() == TEXTS[f"{panel}.title"]["zh" if locale == "zh-CN" else "en"]
        if panel == "nearest":
            visit.page.locator("#nearest-word").fill("sea")  # the example is beyond these small vocabularies
        output = visit.answer()
        assert output.locator(SHOWN[panel]).count() > 0, (panel, output.inner_text())
        assert output.locator(".fault").count() == 0 and not visit.overflows(), panel
        assert visit.page.locator(".about p").count() >= 3
    assert visit.page.locator("nav a").first.inner_text() == first
    visit.page.locator("#language").click()
    other = "en" if locale == "zh-CN" else "zh"
    assert visit.page.locator("main h2").inner_text() == TEXTS[f"{PANELS[-1]}.title"][other]
    visit.page.reload()
    visit.page.locator("main h2").wait_for()
    assert visit.page.locator("main h2").inner_text() == TEXTS[f"{PANELS[-1]}.title"][other]  # it is remembered
    assert visit.wrong == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_can_be_pressed_in_an_answer_does_something(browser, server):
    visit = Visit(browser, server, "en", 1280)
    visit.open("fill")
    filled = visit.answer()
    pressed = filled.locator("button.name").nth(1)
    pressed.click()
    assert filled.locator("mark").first.inner_text() == pressed.inner_text().replace("␣", " ")
    visit.open("generate")
    visit.page.get_by_label("Tokens").fill("3")
    written = visit.answer()
    before = written.locator(".written").inner_text()
    written.locator("button.name").first.click()
    visit.page.wait_for_timeout(500)
    assert len(written.locator(".written").inner_text()) > len(before)
    visit.open("translate")
    looked = visit.answer()
    if looked.locator(".attention").count():
        looked.get_by_label("Layer").select_option("1")
        assert looked.get_by_label("Layer").input_value() == "1"
    visit.open("nearest")
    visit.page.locator("#nearest-words").fill("sea rain cat sailor, story zebra")
    assert visit.answer(1).locator("svg.map circle").count() > 2
    assert visit.wrong == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_is_typed_is_never_read_as_html_and_faults_are_told_in_words(browser, server):
    visit = Visit(browser, server, "en", 390)
    visit.open("generate")
    typed = "<img src=x onerror=alert(1)> <b>bold</b> & 𠮷"
    visit.page.get_by_label("Beginning").fill(typed)
    assert typed in visit.answer().locator(".written").inner_text()
    assert visit.page.locator("main img, main .output b").count() == 0
    assert visit.wrong == []
    visit.open("fill")
    visit.page.get_by_label("Text with [MASK]").fill("nothing is hidden")
    assert "no [MASK]" in visit.answer().locator("[role=alert]").inner_text()
    visit.open("senses")
    visit.page.get_by_label("Word", exact=True).fill("zebra")
    assert "does not stand in" in visit.answer().locator("[role=alert]").inner_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_key_is_asked_for_where_there_is_one(browser, home, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("first\n", encoding="utf-8")
    with running(tmp_path, str(pretrained("word2vec", home)), "--api-key-file", str(keys), "--timeout", "600", within=600) as server:
        visit = Visit(browser, server, "en", 390)
        visit.page.goto(visit.home)
        for key, found in (("wrong", "[role=alert]"), ("first", "nav a")):
            visit.page.get_by_label("API key").fill(key)
            visit.page.locator("button[type=submit]").click()
            visit.page.locator(found).first.wait_for()
        visit.open("nearest")
        assert visit.page.locator("nav a").count() == 3  # nearest, senses, tokens
