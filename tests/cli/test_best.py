from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from aebert import cli

GOLDEN = Path(__file__).parent.parent / "golden" / "results" / "e605a85"
Best = Callable[..., tuple[int, str, str]]


@pytest.fixture
def best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Best:
    """`best("--size-mb=2")` on a study whose files all score alike: exit code and what was printed."""
    folder = Path(shutil.copytree(GOLDEN, tmp_path / "toy"))
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    files = [f"{row['name']} {row['kind']}" for row in summary["profiles"]]
    same = {"value": 0.0, "low": -0.005, "high": 0.005}
    summary["differences"] = [{"file": file, "than": than, **same} for than, file in combinations(files, 2)]
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")

    def call(*options: str, study: Path = folder) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aebert", "best", str(study), *options])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_the_answer_comes_first(best: Best) -> None:
    code, out, err = best("--results=elsewhere")
    assert (code, err) == (0, "")
    first, *_, last = out.splitlines()
    assert first.startswith("Ship ")
    assert first.split()[1] in last
    assert last.startswith("Write its bundle with: aebert bundle make ")
    assert "/toy --model " in last, "the folder, since the name alone would be looked for in ./results"


def test_a_gate_fails_where_no_file_will_do(best: Best) -> None:
    code, out, _ = best("--size-mb=0.000001", "--gate")
    assert len(out.splitlines()) == 3
    assert code == 3
    assert out.startswith("No file of toy that ships keeps what was asked (at most 1e-06 MB and ")
    assert best("--size-mb=0.000001")[0] == 0
    assert best("--gate")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--latency-ms=0",), "--latency-ms must be a positive number, got 0"),
        (("--size-mb=nan",), "--size-mb must be a positive number, got nan"),
        (("--size-mb=inf",), "--size-mb must be a positive number, got inf"),
        (("--max-loss=-1",), "--max-loss must be a positive number, got -1"),
        (("--min-score=86",), "--min-score must be a share such as 0.86, got 86"),
        (("--min-score=nan",), "--min-score must be a share such as 0.86, got nan"),
        (("--threads=2",), "--length, --batch and --threads go with --device; times here are those of the run's end"),
        (("--device=this", "--length=0"), "--length must be a whole number above 0, got 0"),
    ],
)
def test_a_wish_that_means_nothing_is_one_line(best: Best, options: tuple[str, ...], message: str) -> None:
    assert best(*options) == (2, "", f"aebert: error: {message}\n")


def test_results_of_older_versions_say_what_to_do(best: Best) -> None:
    code, _, err = best(study=GOLDEN)
    assert code == 2
    assert err.startswith("aebert: error: study 'toy' has no files that were measured and compared: run `aebert run`")


def test_a_baseline_is_the_answer_only_where_that_is_asked_for(best: Best, tmp_path: Path) -> None:
    path = tmp_path / "toy" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    fastest = best("--max-loss=100")[1].split()[1]
    for row in summary["finalists"]:
        row["layers"] = 1 if row["name"] == fastest else None
        row["trial"] = None if row["name"] == fastest else row["trial"]
    path.write_text(json.dumps(summary), encoding="utf-8")
    assert best("--max-loss=100")[1].split()[1] != fastest
    assert best("--max-loss=100", "--baselines")[1].split()[1] == fastest
