"""Records: the lines of a table as read, before they are rows of a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aebert.errors import DataError
from aebert.registry import nearest


@dataclass(frozen=True)
class Record:
    """One line of a table as read: column → value; `source` is `file:line`."""

    values: Mapping[str, object]
    source: str

    @property
    def file(self) -> str:
        """The file, without the line."""
        return self.source.rpartition(":")[0]

    @property
    def is_empty(self) -> bool:
        """Whether it has no value at all; spreadsheets write rows of separators only."""
        return all(isinstance(value, str) and not value.strip() for value in self.values.values())


def pick(records: Iterable[Record], columns: Sequence[str]) -> Iterator[Record]:
    """Yield records with these columns only; `DataError` on the first that lacks one."""
    for record in records:
        for column in columns:
            if column not in record.values:
                raise DataError(_no_column(record, column))
        yield Record({column: record.values[column] for column in columns}, record.source)


def _no_column(record: Record, column: str) -> str:
    there = list(record.values)
    shown = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in there)
    hint = "set task.text and task.label, or data.header if the file has no header line"
    return f"{record.source} has no column {column!r}{nearest(column, there)}; columns: {shown}; {hint}"
