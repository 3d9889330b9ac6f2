"""The runner and all it imports of `aebert`, as one file that Python can run."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import aebert

RUNNER = "aebert.compare.runner"

_ROOT = Path(aebert.__file__).parent.parent


def runner_archive() -> bytes:
    """A ZIP for `PYTHONPATH` with `aebert.compare.runner` and every module of `aebert` that it needs."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in needed_modules(RUNNER).values():
            archive.write(path, path.relative_to(_ROOT).as_posix())
    return packed.getvalue()


def needed_modules(module: str) -> dict[str, Path]:
    """Source files, by module name, of a module, its packages, and all that it imports of `aebert`, directly or not."""
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *_imports(path)]
    return found


def _source(module: str) -> Path | None:
    path = _ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if module and file.is_file():
            return file
    return None


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # what is imported may be a module itself
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "aebert")
