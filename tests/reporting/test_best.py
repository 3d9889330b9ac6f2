from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from aebert.errors import StudyError
from aebert.reporting.answer import best_file
from aebert.reporting.best import Times, Wish
from aebert.reporting.report import Report
from aebert.reporting.rows import FileDifference, ProfileRow


def profile(name: str, kind: str, ms: float, mb: float, score: float) -> ProfileRow:
    return ProfileRow(
        name=name,
        kind=kind,
        size_bytes=round(1e6 * mb),
        p50_ms=ms,
        p90_ms=ms,
        p99_ms=ms,
        throughput_per_s=1000 / ms,
        report_score=score,
    )


PROFILES = (
    profile("dense", "float32", 10.0, 80.0, 0.80),
    profile("dense", "int8", 5.0, 20.0, 0.79),
    profile("trial-1", "float32", 6.0, 60.0, 0.81),
    profile("trial-1", "int8", 3.0, 15.0, 0.805),
    profile("trial-2", "float32", 4.0, 40.0, 0.78),
    profile("trial-2", "int8", 2.0, 10.0, 0.77),
    profile("trial-1", "LiteRT int8, 32 tokens", 1.0, 1.0, 0.9),
)


def difference(file: str, than: str, value: float, half: float) -> FileDifference:
    return FileDifference(file=file, than=than, value=value, low=value - half, high=value + half)


DIFFERENCES = (
    difference("dense int8", "dense float32", -0.01, 0.004),
    difference("trial-1 int8", "dense float32", 0.005, 0.012),
    difference("trial-2 int8", "dense float32", -0.03, 0.012),
    difference("trial-1 int8", "dense int8", 0.015, 0.012),
    difference("trial-2 int8", "dense int8", -0.02, 0.03),
    difference("trial-2 int8", "trial-1 int8", -0.035, 0.01),
)


@pytest.fixture
def measured(report: Report) -> Report:
    return replace(report, profiles=PROFILES, differences=DIFFERENCES, rows={"report": 1821})


def chosen(report: Report, wish: Wish) -> str | None:
    found = best_file(report, wish).file
    return None if found is None else found.file


def test_the_fastest_that_surely_loses_little_ships(measured: Report) -> None:
    assert chosen(measured, Wish()) == "trial-1 int8"
    assert chosen(measured, Wish(max_loss=4.3)) == "trial-2 int8"


def test_the_answer_is_three_lines_with_what_it_costs_and_beats(measured: Report) -> None:
    first, *others = best_file(measured, Wish()).lines
    assert first.startswith("Ship trial-1 int8: accuracy 80.5")
    assert first.endswith(" on 1,821 report rows, 3.00 ms, 15.0 MB.")
    assert others == [
        "Against dense int8: +1.5 points (+0.3 to +2.7), 1.67 times as fast, 1.3 times smaller; against dense float32: "
        "+0.5 points (-0.7 to +1.7), 3.33 times as fast, 5.3 times smaller.",
        "It is the only file that keeps what was asked (at most 1 point lost by the whole 95 % interval).",
    ]


def test_files_that_score_alike_are_named(measured: Report) -> None:
    assert (
        best_file(measured, Wish(max_loss=5))
        .lines[-1]
        .endswith(" The report rows can't tell its score from that of dense int8.")
    )


def test_where_only_the_dense_model_will_do_that_is_said(measured: Report) -> None:
    bad = tuple(difference(one.file, one.than, -0.2, 0.01) if "trial" in one.file else one for one in DIFFERENCES)
    answer = best_file(replace(measured, differences=bad), Wish(max_loss=2))
    assert answer.file is not None
    assert answer.file.file == "dense int8"
    assert answer.lines[-1].endswith(" No smaller model does.")


def test_limits_are_kept(measured: Report) -> None:
    assert chosen(measured, Wish(min_score=0.75)) == "trial-2 int8"
    assert chosen(measured, Wish(min_score=0.80)) == "trial-1 int8"
    assert chosen(measured, Wish(max_loss=5, size_mb=12)) == "trial-2 int8"
    assert chosen(measured, Wish(size_mb=12)) is None
    assert chosen(measured, Wish(latency_ms=2.5)) is None
    assert chosen(measured, Wish(latency_ms=2.5, max_loss=5)) == "trial-2 int8"
    assert chosen(measured, Wish(min_score=0.95)) is None


def test_a_score_and_a_loss_may_both_be_asked_for(measured: Report) -> None:
    assert chosen(measured, Wish(min_score=0.75, max_loss=2)) == "trial-1 int8"
    assert chosen(measured, Wish(min_score=0.75, max_loss=5)) == "trial-2 int8"


def test_where_nothing_fits_the_nearest_on_each_side_are_named(measured: Report) -> None:
    wish = Wish(latency_ms=2.5, max_loss=1)
    assert best_file(measured, wish).lines == (
        "No file of toy that ships keeps what was asked (at most 2.5 ms and at most 1 point lost by the whole 95 % "
        "interval).",
        "With at most 2.5 ms the nearest is trial-2 int8, which may lose up to 4.2 points. --max-loss 4.2 is enough "
        "for it.",
        "With at most 1 point lost by the whole 95 % interval the nearest is trial-1 int8, which takes 3.00 ms.",
    )
    assert best_file(measured, Wish(size_mb=12, latency_ms=2.5, min_score=0.78)).lines[1:] == (
        "With at most 2.5 ms and at most 12 MB the nearest is trial-2 int8, which scores 77.0.",
        "With a score of at least 78.0 the nearest is trial-1 int8, which takes 3.00 ms and has 15.0 MB.",
    )


def test_where_a_side_has_no_file_its_nearest_is_named_all_the_same(measured: Report) -> None:
    assert best_file(measured, Wish(latency_ms=1, min_score=0.9)).lines[1:] == (
        "With at most 1 ms there is none, whatever it scores: the nearest is trial-2 int8, which takes 2.00 ms.",
        "With a score of at least 90.0 there is none, whatever it costs: the nearest is trial-1 int8, which scores "
        "80.5.",
    )
    assert best_file(measured, Wish(max_loss=0.5)).lines[1:] == (
        "The nearest is trial-1 int8, which may lose up to 0.7 points. --max-loss 0.7 is enough for it. More report "
        "rows would narrow the interval.",
    )


def test_what_is_advised_is_enough(measured: Report) -> None:
    for wish in (Wish(max_loss=0), Wish(max_loss=0, latency_ms=2.5)):
        _, advice, *_ = best_file(measured, wish).lines
        most = float(advice.partition("--max-loss ")[2].split()[0])
        fits = chosen(measured, replace(wish, max_loss=most))
        assert fits is not None
        assert fits in advice
        assert chosen(measured, replace(wish, max_loss=most - 0.1)) is None


def test_times_of_a_busy_machine_are_called_so(measured: Report) -> None:
    for quiet, said in ((False, True), (True, False), (None, False)):
        machine = {} if quiet is None else {"all_runs_quiet": quiet}
        for wish in (Wish(), Wish(max_loss=0)):
            lines = best_file(replace(measured, machine=machine), wish).lines
            assert ("OTHER PROCESSES WERE BUSY" in " ".join(lines)) is said
    busy = replace(measured, machine={"all_runs_quiet": False})
    there = best_file(busy, Wish(max_loss=5), Times({"trial-2 int8": 7.0}, "a board"))
    assert "BUSY" not in " ".join(there.lines), "the times are not those"


def test_times_of_another_device_decide(measured: Report) -> None:
    there = Times({"dense int8": 9.0, "trial-1 int8": 8.0, "trial-2 int8": 7.0}, "a board")
    answer = best_file(measured, Wish(max_loss=5), there)
    assert answer.lines[0].endswith("7.00 ms, 10.0 MB.")
    assert "1.29 times as fast" in answer.lines[1]
    assert "against dense float32: -3.0 points (-4.2 to -1.8), 8.0 times smaller." in answer.lines[1]
    assert answer.lines[2].endswith(" Milliseconds are of a board.")
    assert best_file(measured, Wish(max_loss=5, latency_ms=6.5), there).file is None, "it takes 7 ms there, 2 ms here"
    slow = Times({"trial-1 int8": 8.0, "trial-2 int8": 80.0})
    found = best_file(measured, Wish(max_loss=5), slow).file
    assert found is not None
    assert found.file == "trial-1 int8"
    with pytest.raises(StudyError, match=r"^no file of study 'toy' that ships has a time on a board$"):
        best_file(measured, Wish(), Times({"other int8": 1.0}, "a board"))


def test_what_is_slower_or_larger_than_the_dense_files_is_said_so(measured: Report) -> None:
    slow = replace(PROFILES[3], p50_ms=12.0, size_bytes=90_000_000)
    lines = best_file(replace(measured, profiles=(*PROFILES[:3], slow)), Wish(max_loss=0.8)).lines
    assert "2.40 times SLOWER, 4.5 times LARGER; against" in lines[1]
    assert lines[1].endswith("1.20 times SLOWER, 1.1 times LARGER.")


def test_an_unknown_error_is_no_proof(measured: Report) -> None:
    unknown = tuple(replace(one, low=math.nan, high=math.nan) for one in DIFFERENCES)
    assert chosen(replace(measured, differences=unknown), Wish(max_loss=99)) is None


def test_a_dense_model_in_float32_alone_loses_nothing(measured: Report) -> None:
    only = replace(measured, profiles=(PROFILES[0], PROFILES[2]))
    only = replace(only, differences=(difference("trial-1 float32", "dense float32", -0.05, 0.01),))
    assert chosen(only, Wish()) == "dense float32"


def test_studies_without_comparisons_are_refused(measured: Report) -> None:
    for found in (replace(measured, differences=()), replace(measured, profiles=())):
        with pytest.raises(StudyError, match=r"^study 'toy' has no files that were measured and compared: run"):
            best_file(found, Wish())


def test_differences_come_back_and_turn_around(measured: Report) -> None:
    again = Report.from_dict(json.loads(json.dumps(measured.to_dict())))
    assert again.differences == DIFFERENCES
    turned = again.difference("dense float32", "trial-1 int8")
    assert turned is not None
    assert (turned.value, turned.low, turned.high) == pytest.approx((-0.005, -0.017, 0.007))
    assert again.difference("dense float32", "dense float32") is None
    unknown = FileDifference(file="a", than="b", value=0.1, low=math.nan, high=math.nan)
    assert math.isnan(FileDifference.from_dict(json.loads(json.dumps(unknown.to_dict()))).low)
