"""Read what the runner prints, here or through ssh."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aebert.progress import Progress


@dataclass
class Outcome:
    """What a runner has printed so far. stage: what it is doing. code, last: its exit code and last line of errors."""

    result: dict[str, Any] | None = None
    error: str | None = None
    stage: str = "starting"
    code: int = 0
    last: str = ""


def follow(lines: Iterable[str], outcome: Outcome, progress: Progress, runs: float) -> None:
    """Show a runner's progress on a bar of `runs`, and keep in `outcome` what it found or why it failed."""
    with progress.bar("measure", runs) as bar:
        for text in lines:
            line = _parsed(text)
            if "stage" in line:
                outcome.stage = line["stage"]
                bar.advance(0, outcome.stage)
            bar.advance(line.get("advance", 0))
            outcome.result = line.get("result", outcome.result)
            outcome.error = line.get("error", outcome.error)


def _parsed(text: str) -> dict[str, Any]:
    """The object in a line; empty for a line that is not the runner's (a library's warning)."""
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}
