"""How long work tells its watcher where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Bar(Protocol):
    """One piece of long work."""

    def advance(self, steps: float = 1, note: str = "") -> None:
        """Move on by `steps`; `note` (the current best, the loss) replaces the last one unless empty."""


class Progress(Protocol):
    """Where stages report to: a terminal, or nowhere."""

    def bar(self, title: str, total: float | None) -> AbstractContextManager[Bar]:
        """Context manager that yields a `Bar` over `total` steps; None where nobody knows how many there will be."""

    def say(self, line: str) -> None:
        """Print one line above the bars."""


class _SilentBar:
    def advance(self, steps: float = 1, note: str = "") -> None:
        pass


class Silent:
    """Reports nothing; the default of every Python function that takes a `progress`."""

    @contextmanager
    def bar(self, title: str, total: float | None) -> Iterator[Bar]:
        """Yield a bar that shows nothing."""
        yield _SilentBar()

    def say(self, line: str) -> None:
        """Drop the line."""


SILENT: Progress = Silent()
