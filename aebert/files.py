"""Files that appear whole or not at all, and paths as users write them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aebert.errors import ConfigError, OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a place in a new folder beside `path` to write to; on success the file there becomes `path`.

    When the block raises, `path` is as it was, and nothing is left beside it. Folders are made as needed.
    Raises: OutputError when the disk refuses (full, read-only).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            written = Path(folder) / path.name
            yield written
            written.replace(path)
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror or error}; what was finished is kept") from error


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    with replacing(path) as written:
        written.write_text(json.dumps(values, indent=1, default=str) + "\n", encoding="utf-8")


def expand_user(path: Path | str) -> Path:
    """The path with the home folder that a leading `~` or `~user` stands for.

    Raises: ConfigError when this machine knows no such folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # an unknown user, or no HOME
        raise ConfigError(
            f"path {path} must begin with a home folder that this machine knows, but it has none for "
            f"{Path(path).parts[0]}; write the folder's whole path"
        ) from None
