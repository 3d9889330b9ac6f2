"""How near the embeddings of each file are to the dense model's, as a report keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aebert.reporting.checked import pair


@dataclass(frozen=True)
class EmbeddingRow:
    """One file on the report rows; name and kind are those of its `ProfileRow`.

    agreement: mean cosine similarity with the embeddings of the checkpoint that the run started from. overlap: mean
      share of that model's first hits that are among the file's, when each report text is searched in a corpus. Both
      with 95 % bootstrap intervals, of the rows and of the queries.
    queries, texts, hits: how many texts were searched, among how many, and how many hits were compared.
    corpus: name of the file with the texts; None where these are the report texts themselves.
    """

    name: str
    kind: str
    agreement: float
    agreement_interval: tuple[float, float] | None
    overlap: float
    overlap_interval: tuple[float, float] | None
    queries: int
    texts: int
    hits: int
    corpus: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EmbeddingRow:
        """Inverse of `to_dict`."""
        pairs = {name: pair(values[name]) for name in ("agreement_interval", "overlap_interval")}
        return cls(**{**values, **pairs})
