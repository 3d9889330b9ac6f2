"""Progress as it looks on a terminal and in a pipe, and libraries that say nothing."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Callable, Iterator

import pytest

from aebert import terminal
from aebert.console import PrintableConsole
from aebert.progress import Progress
from aebert.terminal import Terminal, quiet_libraries

Screen = Callable[[int], tuple[Progress, Callable[[], list[str]]]]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """`screen(width)`: progress on a terminal of that width, and the lines that it has shown so far."""

    def make(width: int) -> tuple[Progress, Callable[[], list[str]]]:
        shown = io.StringIO()
        console = PrintableConsole(
            file=shown, width=width, force_terminal=True, color_system=None, legacy_windows=False
        )
        monkeypatch.setattr(terminal, "PrintableConsole", lambda stderr: console)
        return Terminal(), lambda: _lines(shown.getvalue())

    return make


def _lines(shown: str) -> list[str]:
    """What was drawn, line by line, every state of a bar its own line."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def test_a_bar_shows_title_count_times_and_the_last_note(screen: Screen) -> None:
    progress, lines = screen(80)
    with progress.bar("search", 3) as bar:
        bar.advance(1, "best 77.9")
        bar.advance(2)
    assert (
        lines()[0] == f"search {' ' * 10} 0/3 0:00:00 left -:--:--"
    )  # what is left is a grey line, without colours none
    assert re.fullmatch(r"search ━{10} 3/3 0:00:0\d left 0:00:00 best 77\.9", lines()[-1])
    progress, lines = screen(120)
    with progress.bar("search", 3):
        pass
    assert lines()[-1].startswith(f"search {' ' * 24} 0/3 ")


@pytest.mark.parametrize("width", [80, 100])
def test_a_long_title_and_note_leave_room_for_the_bar(width: int, screen: Screen) -> None:
    progress, lines = screen(width)
    with progress.bar("quantize trial-17 of a study whose name is long, dynamic-int8-per-matrix", 100) as bar:
        bar.advance(100, "loses 1.6 points (limit 1.0), after layers 0, 3 and 7 have been left in float32")
    assert max(map(len, lines())) <= width
    assert re.fullmatch(r"quantize trial-1.*… ━+ 100/100 0:00:0\d left 0:00:00 loses 1\.6 point.*…", lines()[-1])


def test_words_are_not_read_as_markup(screen: Screen) -> None:
    progress, lines = screen(100)
    with progress.bar("dev[:60%] [bold]", 1) as bar:
        bar.advance(1, "keys a[0] [/red]")
        progress.say("a line of [red]its own[/red]")
    assert "a line of [red]its own[/red]" in lines()
    assert lines()[-1].startswith("dev[:60%] [bold] ━")
    assert lines()[-1].endswith("keys a[0] [/red]")


def test_a_bar_within_a_bar(screen: Screen) -> None:
    progress, lines = screen(80)
    with progress.bar("search", 2) as outer:
        with progress.bar("score", 5) as inner:
            inner.advance(5, "done")
        outer.advance(2, "best 80.0")
    assert re.fullmatch(r"search ━+ 2/2 .* best 80\.0", [line for line in lines() if line.startswith("search")][-1])
    assert any(re.fullmatch(r"score ━+ 5/5 .* done", line) for line in lines())


def test_a_line_above_the_bars_is_whole(screen: Screen) -> None:
    progress, lines = screen(80)
    with progress.bar("search", 2):
        progress.say("word " * 30)
    assert ("word " * 30).rstrip() in lines()


def test_in_a_pipe_a_piece_of_work_is_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Terminal()
    with progress.bar("search [x]", 3) as bar:
        bar.advance(1, "first")
        progress.say("said")
        bar.advance(2, "best 77.9")
    with progress.bar("copy", 3) as bar:
        bar.advance(3)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == ["search [x] …", "said", "search [x]: best 77.9", "copy …"]


def test_in_a_pipe_lines_are_as_long_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().bar("a" * 100, 1) as bar:
        bar.advance(1, "b" * 100)
    assert capsys.readouterr().err.splitlines() == [f"{'a' * 100} …", f"{'a' * 100}: {'b' * 100}"]


def test_a_piece_of_work_that_fails_ends_its_bar(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    progress, _ = screen(80)
    with pytest.raises(ValueError, match="broken"), progress.bar("search", 3):
        raise ValueError("broken")
    with progress.bar("again", 1):  # the terminal is free for the next one
        pass


@pytest.fixture
def loud() -> Iterator[None]:
    """Libraries as they are when nobody asked them to be quiet; put back afterwards as they were."""
    import datasets
    import optuna
    import transformers

    levels = transformers.utils.logging.get_verbosity(), optuna.logging.get_verbosity()
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "torchao", "torch.utils._pytree")]
    before = [logger.level for logger in loggers]
    transformers.utils.logging.set_verbosity_info()
    transformers.utils.logging.enable_progress_bar()
    datasets.enable_progress_bars()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    for logger in loggers:
        logger.setLevel(logging.INFO)
    yield
    transformers.utils.logging.set_verbosity(levels[0])
    optuna.logging.set_verbosity(levels[1])
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("loud")
def test_libraries_keep_their_lines_and_bars_to_themselves(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import datasets
    import optuna
    import transformers

    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    quiet_libraries()
    transformers.utils.logging.get_logger("transformers").warning("heard")
    optuna.logging.get_logger("optuna").warning("heard")
    optuna.create_study().optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    for _ in transformers.utils.logging.tqdm(range(2)):
        pass
    assert datasets.Dataset.from_dict({"x": [1, 2]}).map(lambda row: row).num_rows == 2
    for name in ("huggingface_hub", "torchao", "torch.utils._pytree"):
        assert not logging.getLogger(name).isEnabledFor(logging.WARNING)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.usefixtures("loud")
def test_what_a_user_set_for_tokenizers_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    quiet_libraries()
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
