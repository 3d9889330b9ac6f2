"""Which columns of a table fit into a terminal, and how wide each is: fewer columns, never broken numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from aebert.reporting.tables import Column, Table

GAPS = (3, 2)  # blanks between two columns: where everything fits, and where it does not
EDGES = 2  # blanks at both ends of a line
_TEXT = 24  # a column of text is not made narrower than this, where its texts are longer


@dataclass(frozen=True)
class Fitted:
    """table: with the columns that fit. widths: of these, in signs. tight: whether there is less room between them."""

    table: Table
    widths: tuple[int, ...]
    tight: bool


def fitted(table: Table, room: int | None) -> Fitted:
    """A table for a terminal of `room` signs, or as it is where that is None.

    Titles are broken between words first; then the columns of the highest rank are left out, those on the right before
    others, and the note names them. Numbers and bars are never broken; texts are, between words.
    """
    natural = [_natural(table, place) for place in range(len(table.columns))]
    if room is None or _total(natural, GAPS[0]) <= room:
        return Fitted(table, tuple(natural), tight=False)
    least = [_least(table, place) for place in range(len(table.columns))]
    stay = list(range(len(table.columns)))
    for place in _first_to_go(table.columns):
        if _total([least[each] for each in stay], GAPS[1]) <= room:
            break
        stay.remove(place)
    spare = room - _total([least[each] for each in stay], GAPS[1])
    widths = _widened([least[each] for each in stay], [natural[each] for each in stay], spare)
    return Fitted(_only(table, stay), widths, tight=True)


def _natural(table: Table, place: int) -> int:
    cells = (cell_len(line) for row in table.rows for line in row[place].text.splitlines())
    return max(cell_len(table.columns[place].title), *cells, 1)


def _least(table: Table, place: int) -> int:
    column = table.columns[place]
    title = max((cell_len(word) for word in column.title.split()), default=1)
    longest = max((cell_len(row[place].text) for row in table.rows), default=1)
    return max(title, min(longest, _TEXT) if column.kind == "text" else longest)


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1) + EDGES


def _first_to_go(columns: Sequence[Column]) -> Iterator[int]:
    """Places of the columns that may be left out, in that order; the first one says what a row is about."""
    places = [place for place, column in enumerate(columns) if column.rank > 0 and place > 0]
    yield from sorted(places, key=lambda place: (-columns[place].rank, -place))


def _widened(widths: list[int], natural: Sequence[int], spare: int) -> tuple[int, ...]:
    """Widths with the spare room given, sign by sign, to the columns that lack most."""
    while spare > 0:
        most = max(range(len(widths)), key=lambda place: natural[place] - widths[place])
        if widths[most] >= natural[most]:
            break
        widths[most] += 1
        spare -= 1
    return tuple(widths)


def _only(table: Table, stay: Sequence[int]) -> Table:
    gone = [column.title for place, column in enumerate(table.columns) if place not in stay]
    if not gone:
        return table
    line = f"Not shown for lack of room: {', '.join(gone)}; a wider window shows them, and so does a pipe (| cat)."
    return replace(
        table,
        columns=tuple(table.columns[place] for place in stay),
        rows=tuple(tuple(row[place] for place in stay) for row in table.rows),
        note="\n".join(filter(None, (table.note, line))),
    )
