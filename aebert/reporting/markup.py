"""HTML that the sections of the page are made of. Whatever comes from a study is escaped here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from aebert.reporting.tables import Cell, Column, Table


def table_section(table: Table, level: int = 3) -> str:
    """A table with its title and note."""
    title = f"<h{level}>{escape(table.title)}</h{level}>"
    return f"<section>{title}{table_html(table)}{note_html(table.note.splitlines())}</section>\n"


def table_html(table: Table) -> str:
    """A table whose columns can be sorted, in a box that scrolls sideways."""
    heads = "".join(
        f'<th scope="col" class="{column.kind}"><button type="button">{escape(column.title)}</button></th>'
        for column in table.columns
    )
    body = "".join(
        "<tr>" + "".join(_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)) + "</tr>"
        for row in table.rows
    )
    # what scrolls can be reached and scrolled by the keyboard
    box = f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
    return f"{box}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(cell: Cell, column: Column) -> str:
    text = escape(cell.text) if cell.key is None else pick_html(cell.key, cell.text)
    value = "" if cell.value is None else escape(str(cell.value))
    return f'<td data-value="{value}" class="{column.kind}">{text}</td>'


def pick_html(key: str, text: str) -> str:
    """A button that shows what the model of a key keeps of each layer."""
    return f'<button type="button" class="pick" data-key="{escape(key)}">{escape(text)}</button>'


def note_html(lines: Iterable[str]) -> str:
    """Lines of small print."""
    return f'<p class="note">{"<br>".join(map(escape, lines))}</p>'


def card(title: str, value: str, text: str) -> str:
    """A large figure with what it is."""
    inner = f"<span>{escape(title)}</span><strong>{escape(value)}</strong><small>{escape(text)}</small>"
    return f'<div class="card">{inner}</div>'


def command_html(*lines: str) -> str:
    """Commands with a button that copies them."""
    text = escape("\n".join(lines))
    return f'<div class="command"><pre tabindex="0">{text}</pre><button type="button" class="copy">copy</button></div>'


def definitions(values: Mapping[str, Any]) -> str:
    """Names and what they stand for."""
    return "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(_plain(value))}</dd>" for name, value in values.items())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def listed(lines: Sequence[str]) -> str:
    """A list; nothing where it would be empty."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""
