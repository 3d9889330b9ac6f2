"""Options that take several numbers, with commas between them: `--lengths 16,32`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aebert.errors import ConfigError

OPTIONS = ("--lengths", "--batches", "--threads")
COMMANDS = ("profile", "latency-table")  # where each of the options takes several numbers


def numbers(given: Sequence[str], option: str) -> tuple[int, ...]:
    """The numbers of an option, which may be given more than once. Raises: ConfigError that states the rule."""
    text = ",".join(given)
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts) or len(set(map(int, parts))) < len(parts):
        raise ConfigError(
            f"{option} takes different whole numbers above 0 with commas between them, such as 16,32, got {text!r}"
        )
    return tuple(map(int, parts))


def check_spelling(arguments: Sequence[str]) -> None:
    """Refuse `--lengths 16 32` on a command line: the 32 would be taken for a file."""
    if not arguments or arguments[0] not in COMMANDS:
        return
    for place, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        rest = [*([value] if equals else []), *arguments[place + 1 :]]
        behind = next((count for count, one in enumerate(rest) if not re.fullmatch(r"[\d,]+", one)), len(rest))
        if option in OPTIONS and behind > 1:
            meant = ",".join(re.findall(r"\d+", " ".join(rest[:behind])))
            raise ConfigError(f"{option} takes numbers with commas between them: write {option} {meant}")
