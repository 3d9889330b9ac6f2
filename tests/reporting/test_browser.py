"""The page in a real browser: no error, nothing wider than a phone, and usable by the keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aebert.reporting.page import write_front_html
from aebert.reporting.report import Report
from aebert.studies.opening import open_report

api = pytest.importorskip("playwright.sync_api", reason="needs a browser: pip install 'aebert[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path (apt-get install chromium)"),
]
SCREENSHOTS = os.environ.get("AEBERT_SCREENSHOTS")  # a folder that CI keeps
COMMITTED = Path(__file__).parents[2] / "results"
SCREENS = {"wide": (1280, 900, "light"), "dark": (1280, 900, "dark"), "phone": (360, 760, "light")}

# Elements that stick out of the window, other than what scrolls in a box of its own, and what is hidden
TOO_WIDE = """() => [...document.body.querySelectorAll("*")]
  .filter((node) => !node.closest(".scroll, pre, svg, .js-plotly-plot") && !node.closest("dialog:not([open])"))
  .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
  .map((node) => node.tagName + "." + node.className)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Shown:
    """page: as opened. said: everything on the console, and errors of scripts."""

    def __init__(self, browser: Any, path: Path, screen: str) -> None:
        width, height, scheme = SCREENS[screen]
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page, self.said = context.new_page(), list[str]()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.said.append(request.url) if "file://" not in request.url else None)
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#chart .main-svg")

    def axis_title(self) -> str:
        return str(self.page.text_content("#files-chart .xtitle"))


@pytest.fixture(params=["held_against", "raced", "trials_only", "sst2-minilm"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The name and the page of a study: finished, searched, begun, and of an older version."""
    name = request.param
    of_old = COMMITTED / name
    report: Report = open_report(str(of_old), of_old)[0] if of_old.is_dir() else request.getfixturevalue(name)
    write_front_html(report, tmp_path / "front.html")
    return name, tmp_path / "front.html"


@pytest.mark.parametrize("screen", list(SCREENS))
def test_the_page_opens_without_an_error_and_fits_the_window(
    browser: Any, study: tuple[str, Path], screen: str
) -> None:
    name, path = study
    shown = Shown(browser, path, screen)
    for one in shown.page.query_selector_all("details:not([open]) summary"):
        one.click()
    assert shown.said == []
    assert shown.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.page.evaluate(TOO_WIDE) == []
    paper = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (screen != "dark")
    if SCREENSHOTS:
        shown.page.screenshot(path=f"{SCREENSHOTS}/{name}-{screen}.png", full_page=True)


def test_what_is_too_wide_or_said_would_be_seen(browser: Any, report: Report, tmp_path: Path) -> None:
    write_front_html(replace(report), tmp_path / "front.html")
    text = (tmp_path / "front.html").read_text(encoding="utf-8")
    wide = '<div class="mine" style="width:500px">x</div><script>console.warn("oh")</script></body>'
    (tmp_path / "broken.html").write_text(text.replace("</body>", wide), encoding="utf-8")
    shown = Shown(browser, tmp_path / "broken.html", "phone")
    assert shown.page.evaluate(TOO_WIDE) == ["DIV.mine"]
    assert shown.said == ["oh"]


def test_axes_models_and_tables_work_by_the_keyboard(browser: Any, held_against: Report, tmp_path: Path) -> None:
    write_front_html(held_against, tmp_path / "front.html")
    shown = Shown(browser, tmp_path / "front.html", "wide")
    assert shown.axis_title() == "median time of a call (ms)"
    shown.page.focus("input[name=axis]:checked")
    shown.page.keyboard.press("ArrowRight")
    assert shown.axis_title() == "size of the file (MB of 10^6 bytes)"

    pick = "#files .pick[data-key='finalist:trial-2']"
    shown.page.focus(pick)
    shown.page.keyboard.press("Enter")
    assert shown.page.is_visible("#model")
    assert shown.page.text_content("#model-title") == "trial-2 (fine-tuned, chosen)"
    assert shown.page.text_content("#layers .count:nth-of-type(2)") is not None
    shown.page.keyboard.press("Escape")
    assert not shown.page.is_visible("#model")

    header = "#files thead th:nth-child(6) button"
    column = "#files tbody td:nth-child(6)"
    shown.page.focus(header)
    shown.page.keyboard.press("Enter")
    up = [float(one.text_content()) for one in shown.page.query_selector_all(column)]
    shown.page.keyboard.press("Enter")
    down = [float(one.text_content()) for one in shown.page.query_selector_all(column)]
    assert (up, down) == (sorted(up), sorted(up, reverse=True))
    assert len(set(up)) == 3
    assert shown.said == []


def test_a_click_on_a_point_shows_its_model(browser: Any, held_against: Report, tmp_path: Path) -> None:
    write_front_html(held_against, tmp_path / "front.html")
    shown = Shown(browser, tmp_path / "front.html", "wide")
    shown.page.locator("#files-chart .points path").first.click(force=True)
    assert shown.page.is_visible("#model")
    assert str(shown.page.text_content("#model-title")).startswith("dense (dense model")
    assert shown.said == []
