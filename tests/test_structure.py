"""What holds for the code as a whole: import direction, a light `--help`, names in the README."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from aebert.cli import app
from aebert.models.families import FAMILIES
from aebert.pruning.pruners import method_names, pruning_method
from aebert.search.first import FIRST_TRIALS
from aebert.search.samplers import SAMPLERS
from aebert.search.space import space_folder
from aebert.tasks.catalog import TASKS
from aebert.tasks.metrics import METRICS

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "aebert"

# A module may import from its own line and from those below it.
LAYERS = (
    "cli",
    "run",
    "studies",
    "terminal",
    "reporting",
    "explain",
    "compare",
    "latency",
    "profiling",
    "deployment",
    "training",
    "search",
    "pruning",
    "models",
    "tasks",
    "runtime",
    "__init__ config errors registry progress files digests",
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names.split()}


def _imported(source: str) -> Iterator[str]:
    """Top-level parts of `aebert` that a module imports, wherever in the file; `aebert` itself is `__init__`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from aebert import run` imports a module, `from aebert import __version__` does not
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for parts in (module.split(".") for module in modules):
            if parts[0] == "aebert":
                yield parts[1] if len(parts) > 1 and parts[1] in LEVEL else "__init__"


def upward_imports(files: dict[str, str]) -> list[str]:
    """`a -> b` for each import against the direction; `files`: path relative to the package → source."""
    found = []
    for path, source in files.items():
        mine = path.removesuffix(".py").split("/")[0]
        found += [f"{path} -> {other}" for other in _imported(source) if LEVEL[other] < LEVEL[mine]]
    return found


def _sources() -> dict[str, str]:
    return {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def test_imports_point_down() -> None:
    assert upward_imports(_sources()) == []


def test_every_part_has_a_level() -> None:
    parts = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert parts - {"py"} == set(LEVEL)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("pruning/slicing.py", "from aebert.search.space import Grid"),
        ("models/shape.py", "import aebert.pruning.cost"),
        ("config.py", "def late():\n    from aebert import tasks"),
        ("terminal.py", "if TYPE_CHECKING:\n    from aebert.run.run import Run"),
    ],
)
def test_an_import_upwards_is_found(path: str, source: str) -> None:
    other = re.search(r"search|pruning|tasks|run", source)
    assert other is not None
    assert upward_imports({path: source}) == [f"{path} -> {other[0]}"]


def test_imports_downwards_are_fine() -> None:
    allowed = "from aebert import __version__\nfrom aebert.models.shape import ModelShape\nimport torch"
    assert upward_imports({"pruning/cost.py": allowed, "cli.py": allowed}) == []


HEAVY = ("torch", "transformers", "datasets", "optuna", "pydantic", "onnxruntime", "pandas", "numpy", "yaml")


def _loaded_by(code: str) -> list[str]:
    script = f"import sys\n{code}\nprint('loaded:', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    return done.stdout.rpartition("loaded:")[2].split()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "sys.argv = ['aebert', '--help']\nfrom aebert.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert _loaded_by(code) == []


def test_what_is_heavy_is_seen() -> None:
    assert _loaded_by("import aebert.config, numpy") == ["pydantic", "numpy", "yaml"]


def _shadowing(names: list[str]) -> list[str]:
    return [name for name in names if name in sys.stdlib_module_names]


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    assert _shadowing([path.stem for path in PACKAGE.rglob("*.py") if path.stem != "__init__"]) == []
    assert _shadowing(["slicing", "copy", "profile"]) == ["copy", "profile"]


def _missing(names: list[str], text: str) -> list[str]:
    """Names that no inline code or code block of the text holds as a word of its own."""
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", code)]


NAMES = {
    "command": list(typer.main.get_command(app).commands),  # type: ignore[attr-defined]
    "pruning method": method_names(),
    "first trial": list(FIRST_TRIALS),
    "sampler": list(SAMPLERS),
    "task": list(TASKS),
    "family": list(FAMILIES),
    "metric": list(METRICS),
    "search space": sorted(path.stem for path in space_folder().glob("*.yaml")),
}


@pytest.mark.parametrize("kind", list(NAMES))
def test_the_readme_names_everything_that_can_be_asked_for(kind: str) -> None:
    assert NAMES[kind]
    assert _missing(NAMES[kind], (REPOSITORY / "README.md").read_text(encoding="utf-8")) == []


def test_the_readme_says_which_pruning_methods_use_labels() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = re.search(r"`pruning\.calibration_rows`.*labels are used by (.*) only", text)
    assert found is not None
    using = {name for name in method_names() if pruning_method(name).uses_labels}
    assert set(re.findall(r"`(\w+)`", found[1])) == using


def test_a_name_that_the_readme_lacks_is_found() -> None:
    text = "Run `aebert run x.yaml`, task `sst2`, not gp.\n```\naebert studies\n```\nor `fine-grid`"
    assert _missing(["run", "studies", "sst2", "gp", "grid", "fine-grid"], text) == ["gp", "grid"]
