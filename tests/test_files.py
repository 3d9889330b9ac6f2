from __future__ import annotations

from pathlib import Path

import pytest

import aebert
from aebert.errors import ConfigError, OutputError
from aebert.files import expand_user, replacing


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file"
    with replacing(target) as written:
        written.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_crash_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as written:
        written.write_text(f"half {1 // 0}")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_refusing_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(OutputError, match=r"model\.onnx can't be written: "),
        replacing(tmp_path / "file" / "model.onnx"),
    ):
        pytest.fail("not reached")


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("path", "expanded"), [("~/x", "/home/me/x"), ("~", "/home/me"), (Path("a/~/x"), "a/~/x"), ("/x/~me", "/x/~me")]
)
def test_a_path_may_start_at_home(path: str | Path, expanded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_user(path) == Path(expanded)


def test_the_home_of_an_unknown_user_is_one_line() -> None:
    rule = (
        r"path ~nobody-such/x must begin with a home folder that this machine knows, but it has none for ~nobody-such;"
    )
    with pytest.raises(ConfigError, match=f"^{rule} write the folder's whole path$"):
        expand_user("~nobody-such/x")


def test_only_one_place_expands_home_folders() -> None:
    package = Path(aebert.__file__).parent
    places = [path.name for path in package.rglob("*.py") if ".expanduser(" in path.read_text(encoding="utf-8")]
    assert places == ["files.py"]
