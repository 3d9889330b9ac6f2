from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import aebert
from aebert.compare import courier
from aebert.compare.archive import RUNNER, needed_modules, runner_archive

OLDEST = (3, 9)  # Python of the boards
THERE = {"numpy", "onnxruntime", "psutil"}  # psutil only if it is there


def outside(source: str) -> set[str]:
    """Packages that a source imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def test_what_goes_to_boards_needs_numpy_and_onnxruntime_only() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in needed_modules(RUNNER).values()}
    assert {name for source in sources.values() for name in outside(source)} <= {*THERE, "aebert"}
    assert outside(Path(courier.__file__).read_text(encoding="utf-8")) == set()


def test_what_goes_to_boards_is_python_39() -> None:
    for path in [*needed_modules(RUNNER).values(), Path(courier.__file__)]:
        source = path.read_text(encoding="utf-8")
        ast.parse(source, feature_version=OLDEST)
        # what the parser lets pass: evaluated at run time only where it is not an annotation
        assert "from __future__ import annotations" in source or "|" not in source
        assert "strict=" not in source


def test_newer_python_is_seen() -> None:
    with pytest.raises(SyntaxError):
        ast.parse("match 1:\n    case 1: pass", feature_version=OLDEST)


def test_the_archive_has_all_that_it_imports_and_runs_alone(tmp_path: Path) -> None:
    path = tmp_path / "runner.zip"
    path.write_bytes(runner_archive())
    code = (
        f"import sys; sys.path.insert(0, {str(path)!r}); import aebert, aebert.compare.runner as r; "
        "print(aebert.__file__, r.__file__, sorted(n for n in sys.modules if n in ('torch', 'transformers', 'onnx')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == [f"{path}/aebert/__init__.py", f"{path}/aebert/compare/runner.py", "[]"]


def test_the_archive_is_small_and_names_no_folder_of_this_machine() -> None:
    packed = runner_archive()
    assert len(packed) < 100_000
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert all(name.startswith("aebert/") for name in archive.namelist())
        assert str(Path(aebert.__file__).parent) not in "".join(map(str, archive.namelist()))
