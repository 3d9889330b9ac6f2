from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from aebert.reporting import chart
from aebert.reporting.page import _SIGNS, front_html, write_front_html
from aebert.reporting.report import Report
from aebert.reporting.rows import ClassRow
from aebert.studies.opening import open_report

HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(2)>&"{{data}}'


class Page(HTMLParser):
    """Elements, attributes, and the text inside each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, list[str]] = {}
        self.cells: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "br", "img", "input"):
            self._open.append(tag)
        if tag == "tr":
            self.cells.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} closes another element"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)
        if "td" in self._open:
            self.cells[-1].append(data)


def _data(page: Page) -> dict[str, Any]:
    found = [text for text in page.texts["script"] if text.startswith("{")]
    values = json.loads(found[0])
    assert isinstance(values, dict)
    return values


def _without_plotly(text: str) -> str:
    assert get_plotlyjs() in text
    return text.replace(get_plotlyjs(), "")


def external_references(text: str) -> list[str]:
    """What a browser would load or link to outside the page."""
    return re.findall(r"""(?:src|action)\s*=|href\s*=(?!"#)|url\(|@import|<link|<iframe|https?://""", text)


def test_the_page_refers_to_nothing_outside(report: Report) -> None:
    text = _without_plotly(front_html(report))
    assert external_references(text) == []
    assert not {"link", "iframe", "object", "embed", "img", "base"} & set(Page(text).tags)


def test_the_reference_search_would_find_one() -> None:
    assert external_references('<script src="x.js">') == ["src="]
    assert external_references("a{background:url(x)}") == ["url("]
    assert external_references('<a href="#cost"><a href="x">') == ["href="]


def test_the_browser_is_forbidden_to_load_anything(report: Report) -> None:
    page = Page(_without_plotly(front_html(report)))
    policies = [value for tag, name, value in page.attributes if name == "content" and "default-src" in value]
    assert policies == [
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
    ]


def test_hostile_names_stay_text(report: Report) -> None:
    row = replace(report.finalists[1], name=HOSTILE)
    info = replace(report.info, name=HOSTILE, task=HOSTILE, model=HOSTILE, notes=(HOSTILE,))
    hostile = replace(
        report,
        info=info,
        finalists=(report.finalists[0], row),
        profiles=(report.profiles[0], replace(report.profiles[1], name=HOSTILE)),
        machine={"threads": HOSTILE},
        provenance={HOSTILE: HOSTILE},
    )
    page, plain = Page(_without_plotly(front_html(hostile))), Page(_without_plotly(front_html(report)))
    assert page.tags == plain.tags  # not one element more
    assert not any(name == "onerror" for _, name, _ in page.attributes)
    assert page.texts["h1"] == [HOSTILE]
    assert HOSTILE in "".join(page.texts["li"])
    assert HOSTILE in page.texts["dd"]
    assert _data(page)["models"][f"finalist:{HOSTILE}"]["title"] == f"{HOSTILE} (fine-tuned, chosen)"


def test_tables_hold_files_front_finalists_and_profiles(report: Report, trials_only: Report) -> None:
    rows = [row for row in Page(_without_plotly(front_html(report))).cells if row]
    # the files, what was found, what was won, the front, heads and neurons kept, the finalists, the profiles
    files, found, won = ["dense float32", "trial-2 int8"], ["50 %", "75 %"], ["50 %", "75 %"]
    front, kept = ["0 dense", "2", "3"], ["4", "0", "4"]
    assert [row[0] for row in rows] == [
        *(*files, *found, *won, *front, *kept, *("4", "8", "4")),
        *("dense", "trial-2 *", "dense", "trial-2"),
    ]
    assert (rows[4][1], rows[5][1]) == ("+12.5", "–")
    assert rows[7][4] == "62.5"
    assert Page(_without_plotly(front_html(trials_only))).tags.count("table") == 5


def test_all_classes_have_a_row(report: Report) -> None:
    names = [f"{HOSTILE}{number}" for number in range(30)]
    classes = [
        ClassRow(name=file, kind="float32", label=name, precision=0.5, recall=0.5, f1=0.5, support=1)
        for file in ("dense", "trial-2")
        for name in names
    ]
    page = Page(_without_plotly(front_html(replace(report, classes=tuple(classes)))))
    assert [row[0] for row in page.cells if row and row[0].startswith(HOSTILE)] == names


def test_a_card_tells_the_closest_first_trial(raced: Report) -> None:
    def card(report: Report) -> str:
        return Page(_without_plotly(front_html(report))).texts["small"][-1]

    mild = tuple(trial for trial in raced.trials if trial.budget != 0.75)
    assert card(raced) == "accuracy, search rows, no fine-tuning"
    assert card(replace(raced, trials=mild)).endswith(", +6.2 points over knapsack, the best first trial")
    assert card(replace(raced, trials=mild[:3])).endswith("; it is the first trial knapsack")


def test_a_stopped_model_is_called_an_estimate(raced: Report) -> None:
    models = _data(Page(_without_plotly(front_html(raced))))["models"]
    assert models["trial:4"]["facts"] == "accuracy 37.5 estimated: a race stopped it after 2 of 8 search rows"
    assert models["trial:3"]["facts"] == "accuracy 62.5 on the search rows before fine-tuning"


def test_the_progress_of_a_search_that_recorded_it_is_drawn(raced: Report, report: Report) -> None:
    page, before = (Page(_without_plotly(front_html(each))) for each in (raced, report))
    (trace,) = _data(page)["progress"]["data"]
    assert (trace["x"][:4], trace["y"][3]) == ([0, 1, 2, 3], 0.3125)
    assert ("div", "id", "progress") in page.attributes
    assert _data(before)["progress"] is None
    assert ("div", "id", "progress") not in before.attributes


def test_every_picked_key_has_a_model_to_show(report: Report) -> None:
    page = Page(_without_plotly(front_html(report)))
    data = _data(page)
    keys = {value for _, name, value in page.attributes if name == "data-key"}
    points = {point[0] for trace in data["chart"]["data"] for point in trace["customdata"]}
    shipped = {point[0] for chart in data["files"].values() for trace in chart["data"] for point in trace["customdata"]}
    assert keys == {"trial:0", "trial:2", "trial:3", "finalist:dense", "finalist:trial-2"}
    assert shipped == {"finalist:dense", "finalist:trial-2"}
    assert keys | points | shipped == set(data["models"])
    assert data["models"]["trial:3"]["heads"] == [0, 1]
    assert data["full"] == {"heads": [4, 4], "ffn": [8, 8]}


def test_provenance_is_at_the_end(report: Report) -> None:
    found = replace(report, config="name: toy\n", provenance={"commit": "abc", "data": {"report": "f00"}})
    page = Page(_without_plotly(front_html(found)))
    assert page.texts["dt"][-4:] == ["seed", "commit", "data report", "report rows"]
    assert page.texts["dd"][-4:] == ["7", "abc", "f00", "100"]
    assert "name: toy\n" in page.texts["pre"]
    assert "The config is not at hand" in front_html(report)


@pytest.mark.parametrize("count", [0, 1])
def test_a_study_that_has_hardly_begun_has_a_page(report: Report, tmp_path: Path, count: int) -> None:
    path = tmp_path / "front.html"
    write_front_html(Report(report.info, report.trials[:count]), path)
    page = Page(_without_plotly(path.read_text(encoding="utf-8")))
    assert len(_data(page)["models"]) == count
    assert [file.name for file in tmp_path.iterdir()] == ["front.html"]


GOLDEN = Path(__file__).parents[1] / "golden" / "results"


@pytest.mark.parametrize("version", sorted(folder.name for folder in GOLDEN.iterdir()))
def test_studies_of_every_version_have_a_page(version: str) -> None:
    report, _ = open_report(str(GOLDEN / version), GOLDEN)
    page = Page(_without_plotly(front_html(report)))
    assert page.texts["h2"][0] == "No file can be named", "no version before kept how files differ"
    assert [row.file for row in report.profiles if row.name == "dense"] == ["dense float32", "dense int8"]
    assert {"dense float32", "dense int8"} <= {row[0] for row in page.cells if row}
    data = _data(page)
    assert set(data["files"]) == {"ms", "mb", "macs", "removed"}
    assert ("div", "id", "progress") in page.attributes or report.trials[0].hypervolume is None
    assert "What the stages took was not recorded" in "".join(page.texts["p"])


def test_every_mark_of_a_first_trial_has_a_sign_in_the_legend() -> None:
    assert all(f"{symbol}-open" in _SIGNS for symbol in chart._FIRST)
    assert len(set(_SIGNS.values())) == len(_SIGNS)


def test_the_picked_chart_buttons_upload_nothing() -> None:
    script = (Path(__file__).parents[2] / "aebert" / "reporting" / "page.js").read_text()
    # plotly.js 4 has a button that uploads the chart's data; both its switches are off
    assert "showSendToCloud: false" in script
    assert 'plotlyServerURL: ""' in script
