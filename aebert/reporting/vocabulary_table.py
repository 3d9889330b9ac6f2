"""The table of how a smaller vocabulary reads the rows of a study."""

from __future__ import annotations

from collections.abc import Iterator

from aebert.pruning.reading import Read
from aebert.reporting.tables import Cell, Column, Table, number_columns
from aebert.reporting.vocabulary import SmallVocabulary, cost_line, saved_line


def vocabulary_table(found: SmallVocabulary) -> Table:
    """How the smaller vocabulary reads the rows of each role and the held-out texts."""
    numbers = ("rows", "words", "fall apart", "tokens a row", "before", "growth", "rows cut", "before")
    columns = (Column("texts", "text"), *number_columns(*numbers))
    return Table("Vocabulary", columns, tuple(map(_row, found.read)), "\n".join(_note(found)))


def _row(one: Read) -> tuple[Cell, ...]:
    small, whole = (tokens / one.rows if one.rows else 0.0 for tokens in (one.small_tokens, one.whole_tokens))
    return (
        Cell(one.name, one.name),
        Cell(f"{one.rows:,}", one.rows),
        Cell(f"{one.words:,}", one.words),
        Cell(f"{100 * one.broken_share:.1f} %", one.broken_share),
        Cell(f"{small:.1f}", small),
        Cell(f"{whole:.1f}", whole),
        Cell(f"{100 * one.growth:+.1f} %", one.growth),
        Cell(f"{one.small_cut:,}", one.small_cut),
        Cell(f"{one.whole_cut:,}", one.whole_cut),
    )


def _note(found: SmallVocabulary) -> Iterator[str]:
    yield f"{saved_line(found)}."
    if found.cost is not None:
        yield f"{cost_line(found.cost)}, by the vocabulary alone."
    yield (
        "Words fall apart where a piece of theirs is not kept; they are then read in smaller pieces. Longer rows take "
        "longer, and may be cut at data.max_length; before is with all pieces. Tokens are counted before rows are cut."
    )
    unknown = [one for one in found.read if one.small_unknown > one.whole_unknown]
    if unknown:
        rows = ", ".join(f"{one.small_unknown - one.whole_unknown:,} in {one.name}" for one in unknown)
        yield f"Tokens that have become unknown: {rows}."
