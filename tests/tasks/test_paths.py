from collections.abc import Callable
from pathlib import Path

import pytest

from aebert.errors import DataError
from aebert.tasks.paths import find_files

Write = Callable[[str, str | bytes], Path]


def names(root: Path, path: str) -> list[str]:
    return [found.relative_to(root).as_posix() for found in find_files(root, Path(path))]


def test_a_path_that_exists_is_itself_whatever_its_name(write: Write, tmp_path: Path) -> None:
    for name in ("a.csv", "[a].csv", "a*?.csv"):
        write(name, "")
    assert [names(tmp_path, name) for name in ("a.csv", "[a].csv", "a*?.csv")] == [["a.csv"], ["[a].csv"], ["a*?.csv"]]


def test_a_pattern_is_all_that_it_matches_sorted(write: Write, tmp_path: Path) -> None:
    for name in ("b-2.csv", "b-1.csv", "a-1.csv", "below/b-3.csv"):
        write(name, "")
    assert names(tmp_path, "b-*.csv") == ["b-1.csv", "b-2.csv"]
    assert names(tmp_path, "**/b-*.csv") == ["b-1.csv", "b-2.csv", "below/b-3.csv"]
    assert names(tmp_path, str(tmp_path / "b-?.csv")) == ["b-1.csv", "b-2.csv"]


def test_the_root_is_no_pattern(write: Write, tmp_path: Path) -> None:
    write("[x]*/b-1.csv", "")
    assert names(tmp_path / "[x]*", "b-*.csv") == ["b-1.csv"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"data file \S*no\.csv must exist; check data\.files, data\.root and AEBERT_DATA"
    ):
        find_files(tmp_path, Path("no.csv"))
    with pytest.raises(DataError, match=r"data file \S*no-\*\.csv must exist or match files as a pattern; check"):
        find_files(tmp_path, Path("no-*.csv"))


def test_one_part_of_several_is_refused(write: Write, tmp_path: Path) -> None:
    for number in (0, 2):
        write(f"train-{number:05}-of-00003.parquet", "")
    missing = (
        r"train-00000-of-00003\.parquet is one of 3 parts, all of which must be read, but not train-00001-of-00003\.p"
    )
    for path in ("train-00000-of-00003.parquet", "train-*.parquet"):
        with pytest.raises(DataError, match=missing + r".*; give the pattern train-\*\.parquet in data\.files"):
            find_files(tmp_path, Path(path))
    write("train-00001-of-00003.parquet", "")
    assert len(find_files(tmp_path, Path("train-*.parquet"))) == 3
    write("dev-00000-of-00001.parquet", "")
    assert len(find_files(tmp_path, Path("dev-00000-of-00001.parquet"))) == 1
