"""Name → value tables, one per extension point."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from aebert.errors import ConfigError

T = TypeVar("T")


def nearest(name: str, names: list[str]) -> str:
    """` (did you mean 'x'?)` for the closest of `names`, or an empty string."""
    close = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


class Registry(Generic[T]):
    """Values by name, in order of registration; an unknown name is an error that lists the known ones."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._values: dict[str, T] = {}

    def add(self, name: str, value: T) -> T:
        """Register `value`; a name can be taken once."""
        if name in self._values:
            raise ValueError(f"{self.what} {name!r} is registered twice")
        self._values[name] = value
        return value

    def register(self, name: str) -> Callable[[T], T]:
        """Return the decorator form of `add`."""
        return lambda value: self.add(name, value)

    def __getitem__(self, name: str) -> T:
        if name not in self._values:
            known = list(self._values)
            raise ConfigError(f"unknown {self.what} {name!r}{nearest(name, known)}; known: {', '.join(sorted(known))}")
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
