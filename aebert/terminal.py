"""Progress on the terminal, and libraries that keep quiet."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from aebert.console import PrintableConsole
from aebert.progress import Bar

# Loggers whose warnings a user can't act on. torchao comes with the extra `litert`, and transformers loads it with any
# model: it warns about each of its kernels that is not for this machine, and about a deprecated function that it calls.
_CHATTY = ("huggingface_hub", "torchao", "torch.utils._pytree")

_WIDE = 100  # columns of a terminal from which on bars are long


class _Words(ProgressColumn):
    """Plain text of a bar, shortened where the line is too long for it."""

    def __init__(self, words: Callable[[Task], str]) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Task) -> Text:
        return Text(self._words(task), no_wrap=True, overflow="ellipsis")


class _RichBar:
    def __init__(self, bars: RichProgress, task: TaskID) -> None:
        self._bars, self._task = bars, task
        self.note = ""

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.note = note or self.note
        self._bars.update(self._task, advance=steps, note=self.note)


class Terminal:
    """Progress on standard error: a live bar on a terminal, one line per finished piece of work elsewhere."""

    def __init__(self) -> None:
        self._console = PrintableConsole(stderr=True)

    @contextmanager
    def bar(self, title: str, total: float | None) -> Iterator[Bar]:
        """Show a bar with count, times and the last note while the block runs."""
        bar_width = 24 if self._console.width >= _WIDE else 10
        columns = (
            _Words(lambda task: task.description),
            BarColumn(bar_width, table_column=Column(no_wrap=True)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            TextColumn("left"),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            _Words(lambda task: str(task.fields["note"])),
        )
        with RichProgress(*columns, console=self._console, disable=not self._console.is_terminal) as bars:
            bar = _RichBar(bars, bars.add_task(title, total=total, note=""))
            if not self._console.is_terminal:
                self.say(f"{title} …")
            yield bar
        if not self._console.is_terminal and bar.note:
            self.say(f"{title}: {bar.note}")

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def quiet_loggers() -> None:
    """Keep what torch and its like log while they are imported off the terminal."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


def quiet_libraries() -> None:
    """Keep the libraries' own bars and log lines off the terminal; errors still come through as exceptions."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or it warns when a process is started later
    quiet_loggers()  # before the imports, which warn already
    import datasets
    import optuna
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
