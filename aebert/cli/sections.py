"""`aebert --help`: the commands in the order of the work."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

SECTIONS = {
    "Run and its stages": ("check", "run", "dense", "library", "search", "finalists", "export"),
    "Look at studies, tasks and spaces": (
        "studies",
        "show",
        "pareto",
        "compare",
        "dashboard",
        "copy",
        "tasks",
        "spaces",
    ),
    "Measure": ("profile", "explain", "latency-table", "devices"),
    "Ship": ("best", "bundle", "predict"),
}
_WIDTH = max(len(name) for names in SECTIONS.values() for name in names)


class Sections(TyperGroup):
    """The commands of `SECTIONS`, each section with its title."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in order."""
        return [name for names in SECTIONS.values() for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections, with the first sentence of each command's help."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(f"{name:{_WIDTH}}", self.commands[name].get_short_help_str(200)) for name in names]
                )
