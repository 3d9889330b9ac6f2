"""Sections of settings: immutable values, read from YAML and checked; the first broken rule is one line."""

from __future__ import annotations

import hashlib
import json
import reprlib
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from aebert.errors import ConfigError
from aebert.registry import nearest

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]


def as_name(value: object) -> object:
    """A name in YAML: a text, or an integer as its digits; what YAML reads as something else must be in quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    read_as = _YAML_READS.get(type(value))
    quote = f"; put it in quotes, since YAML reads it as {read_as}" if read_as else ""
    raise ValueError(f"must be a text or an integer{quote}")


_YAML_READS = {bool: "true or false", type(None): "null", float: "a number", date: "a date", datetime: "a time"}
Name = Annotated[str, BeforeValidator(as_name)]


class Section(BaseModel):
    """A part of the config: immutable, no unknown keys, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# Far above any config, space or device. Aliases count as what they stand for: a few lines can stand for billions.
MOST_BYTES, MOST_LEVELS, MOST_VALUES = 1_000_000, 100, 100_000


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; `what` it is begins the error of one that can't be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{what} {path} must have at most {MOST_BYTES:,} bytes, it has more; is it another file?")
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{what} {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} {path} must be UTF-8 text: byte {error.start} is not") from None
    return parse_yaml(text, str(path))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with limits, and a key that a mapping states twice is an error, not the last one's value."""

    _level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The node at this place of the text, unless it lies too deep."""
        self._level += 1
        if self._level > MOST_LEVELS:
            problem = f"values must not be nested in more than {MOST_LEVELS} levels"
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, problem, mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def get_single_node(self) -> Any:
        """The root of the text, once it is known how many values it stands for."""
        root = super().get_single_node()
        if root is not None and _values(root, {}) > MOST_VALUES:
            problem = f"the text and its aliases must stand for at most {MOST_VALUES:,} values, they stand for more"
            raise yaml.constructor.ConstructorError(None, None, problem, root.start_mark)
        return root

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The mapping at this place of the text, before merge keys (`<<`) bring in keys that it may override."""
        node = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag not in _NO_KEYS):
            value, line = self.construct_object(key), key.start_mark.line + 1
            if value in lines:
                problem = f"key {_shown(value)} stands on line {lines[value]} and on line {line}; keep one of them"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[value] = line
        return node


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, itself included. known: those of nodes met before, 0 while one is counted."""
    if id(node) not in known:
        known[id(node)] = 0
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        below = [part for each in parts for part in (each if isinstance(each, tuple) else (each,))]
        known[id(node)] = 1 + sum(_values(part, known) for part in below)
    elif not known[id(node)]:
        problem = "an alias must not stand inside of what it names"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return known[id(node)]


_NO_KEYS = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")  # `<<` and `=`, which can't be constructed


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """Parse a YAML mapping; `source` is named in errors."""
    try:
        values = _loaded(text)
    except Exception as error:  # a value that doesn't fit its tag (2024-13-45, !!int x) raises all kinds of errors
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{source}{where} must be YAML: {_yaml_problem(error)}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{source} must be a mapping of keys to values, got {type(values).__name__}")
    return values


def _loaded(text: str) -> Any:
    return yaml.load(text, _Loader)


def _yaml_problem(error: Exception) -> str:
    return getattr(error, "problem", None) or f"a value can't be read ({' '.join(str(error).split())})"


def parse_scalar(value: str, key: str) -> Any:
    """Parse the value of a `--set key=value`."""
    try:
        return _loaded(value)
    except Exception as error:  # see `parse_yaml`
        raise ConfigError(f"value of {key} must be YAML, got {value!r}: {_yaml_problem(error)}") from None


SectionT = TypeVar("SectionT", bound=BaseModel)


def check(section: type[SectionT], values: Mapping[str, Any], source: str) -> SectionT:
    """Build a section from plain values; `ConfigError` on the first broken rule, in one line."""
    try:
        return section.model_validate(values)
    except ValidationError as error:
        problems = list({_problem(section, values, detail): None for detail in error.errors()})
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(f"{source}: {problems[0]}{more}") from None


# What pydantic says with names of Python's classes, by the type of its error
_IN_YAML = {
    "path_type": "must be a path as text",
    "model_type": "must be a section, that is keys with values",
    "dict_type": "must be keys with values",
    "tuple_type": "must be a list",
}


def _problem(section: type[BaseModel], values: Mapping[str, Any], detail: Any) -> str:
    """One pydantic error as `key: rule, got value`."""
    location = _location(values, detail)
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        known = _keys_at(section, location[:-1])
        return f"unknown key {key!r}{nearest(location[-1], known)}; known here: {', '.join(known)}"
    message = _IN_YAML.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    value = detail.get("input")
    shown = "" if isinstance(value, dict | BaseModel) or detail["type"] == "missing" else f", got {_shown(value)}"
    name = "config" if not location else key if key.isprintable() and key else repr(key)
    return f"{name}: {message}{shown}"


def _location(values: Any, detail: Any) -> list[str]:
    """Keys and indices that lead to an error's value, without the names of types that pydantic puts among them."""
    found = []
    for part in detail["loc"]:
        is_key = isinstance(values, Mapping) and (part in values or detail["type"] in ("missing", "invalid_key"))
        if is_key or isinstance(part, int):
            found.append(str(part))
            values = values.get(part) if is_key else values[part] if _has(values, part) else None
    return found


def _has(values: Any, index: int) -> bool:
    return isinstance(values, list) and index < len(values)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 80, 80, 80


def _shown(value: Any) -> str:
    """A value as Python writes it, without the middle of what is long."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return "a number with thousands of digits"


def _keys_at(section: type[BaseModel], location: list[str]) -> list[str]:
    """Keys that a section takes at a place below it."""
    for part in location:
        field = section.model_fields.get(part)
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else [section]
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not inner:
            return []
        section = inner[0]  # of a list's index, the section itself: its items have one kind
    return [field.alias or name for name, field in section.model_fields.items()]


def plain(section: BaseModel) -> dict[str, Any]:
    """Plain JSON values of a section."""
    return section.model_dump(mode="json")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one mapping of dotted keys."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        result |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return result


def digest(*values: Any) -> str:
    """SHA-256 (16 hex digits) of plain values, for knowing whether a stage's inputs changed."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]
