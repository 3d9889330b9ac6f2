"""The files that a path of `data.files` stands for."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from aebert.errors import DataError

_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<total>\d{5})(?P<ending>\..*)?")


def find_files(root: Path, path: Path) -> list[Path]:
    """The path below `root` itself if it exists; else the files that it matches as a pattern, sorted by name.

    Raises: DataError when there are none, or when they are some of the numbered parts of a data set but not all
    (`train-00000-of-00002.parquet`).
    """
    whole = root / path
    found = [whole] if whole.exists() else _matching(root, path)
    if not found:
        pattern = " or match files as a pattern" if glob.has_magic(str(path)) else ""
        raise DataError(f"data file {whole} must exist{pattern}; check data.files, data.root and AEBERT_DATA")
    for one in found:
        _check_whole(one, found)
    return found


def _matching(root: Path, path: Path) -> list[Path]:
    names = glob.glob(str(path), root_dir=root, recursive=True)  # noqa: PTH207  no magic in the root
    return [root / name for name in sorted(names)]


def _check_whole(path: Path, found: Sequence[Path]) -> None:
    shard = _SHARD.fullmatch(path.name)
    if shard is None:
        return
    names = {other.name for other in found if other.parent == path.parent}
    ending, total = shard["ending"] or "", int(shard["total"])
    for number in range(total):
        name = f"{shard['stem']}-{number:05}-of-{total:05}{ending}"
        if name not in names:
            fix = f"give the pattern {shard['stem']}-*{ending} in data.files, or another name to a part that is all"
            raise DataError(f"{path} is one of {total} parts, all of which must be read, but not {name}; {fix}")
