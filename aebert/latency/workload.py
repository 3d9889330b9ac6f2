"""What is timed: how files are run, and in which form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FileForm = Literal["float32", "int8"]


@dataclass(frozen=True, order=True)
class Workload:
    """How files are run: tokens per row, rows per request, threads."""

    length: int
    batch: int = 1
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.length} tokens, batch {self.batch}, {self.threads} thread(s)"
