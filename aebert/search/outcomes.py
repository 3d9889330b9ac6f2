"""What a candidate did on every search row."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outcomes:
    """losses [rows] and marks [rows, marks] (see `row_marks`), float32, in the order in which rows are scored.

    Where candidates are ranked by their divergence from the dense model, losses are these divergences. Rows without
    labels have NaN for marks.
    """

    losses: np.ndarray
    marks: np.ndarray

    def __len__(self) -> int:
        return len(self.losses)

    def take(self, rows: np.ndarray | slice) -> Outcomes:
        """Outcomes on some rows, repeated where `rows` repeats."""
        return Outcomes(self.losses[rows], self.marks[rows])

    def first(self, rows: int) -> Outcomes:
        """Outcomes on the first rows."""
        return self.take(slice(rows))

    def encode(self) -> str:
        """Text for the study database: zlib and base64 of the float32 values."""
        values = np.column_stack([self.losses, self.marks]).astype("<f4")
        packed = base64.b64encode(zlib.compress(np.ascontiguousarray(values.T).tobytes(), 6)).decode()
        return f"{values.shape[1]}:{packed}"

    @classmethod
    def decode(cls, text: str) -> Outcomes:
        """Inverse of `encode`."""
        columns, _, packed = text.partition(":")
        values = np.frombuffer(zlib.decompress(base64.b64decode(packed)), dtype="<f4").reshape(int(columns), -1).T
        return cls(values[:, 0].copy(), values[:, 1:].copy())
