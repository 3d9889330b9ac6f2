"""What holds for the code as a whole: import direction, what is light to load, names in the documents."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
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
    "__init__ config sections console errors registry progress files digests",
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


# Libraries that take a second and more to load, and what reads a config and computes
SLOW = (
    *("torch", "transformers", "datasets", "evaluate", "onnx", "onnxruntime"),
    *("optuna", "alembic", "scipy", "sklearn", "pandas", "matplotlib"),
)
HEAVY = (*SLOW, "sqlalchemy", "pydantic", "numpy", "yaml")


def _loaded_by(code: str, names: Sequence[str]) -> list[str]:
    """Those of the names that are loaded after some code has run in a process of its own."""
    script = f"import sys\n{code}\nprint('loaded:', *[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    return done.stdout.rpartition("loaded:")[2].split()


def _command(*arguments: str) -> str:
    """Code that runs a command which must succeed."""
    return (
        f"sys.argv = ['aebert', *{arguments!r}]\nfrom aebert.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    )


def test_help_loads_nothing_heavy() -> None:
    assert _loaded_by(_command("--help"), HEAVY) == []


def test_kinds_of_budgets_and_fronts_load_nothing_heavier_than_numpy() -> None:
    """Whoever lists studies on disk needs them."""
    assert _loaded_by("import aebert.search.kinds, aebert.search.front", HEAVY) == ["pydantic", "numpy", "yaml"]


def test_what_is_heavy_is_seen() -> None:
    assert _loaded_by("import aebert.config, numpy", HEAVY) == ["pydantic", "numpy", "yaml"]


@pytest.fixture
def results(tmp_path: Path) -> str:
    """A folder with a study that has a database and a summary."""
    golden = REPOSITORY / "tests" / "golden"
    folder = Path(shutil.copytree(golden / "results" / "17290b0", tmp_path / "toy"))
    shutil.copy(golden / "study-0.2.db", folder / "study.db")
    return str(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("studies",),
        ("show", "toy"),
        ("show", "toy", "3"),
        ("compare", "toy", "tests/golden/results/e605a85"),
        ("pareto", "toy", "--budget", "params=11000", "--budget", "macs=0.5"),
        ("devices",),
        ("devices", "show", "raspberry-pi-5"),
        ("tasks",),
        ("spaces",),
        ("bundle", "show", "tests/golden/bundle"),
    ],
    ids=" ".join,
)
def test_what_only_looks_loads_nothing_slow(arguments: tuple[str, ...], results: str) -> None:
    of_studies = ["--results", results] if arguments[0] in ("studies", "show", "compare", "pareto") else []
    assert _loaded_by(_command(*arguments, *of_studies), SLOW) == []


def test_a_front_is_printed_before_the_library_that_draws_it_is_loaded(results: str) -> None:
    code = (
        "import aebert.cli.studies as studies\nprint_search = studies.print_search\n"
        f"def printed(found):\n    print_search(found)\n    print('then:', [n for n in {SLOW!r} if n in sys.modules])\n"
        "studies.print_search = printed\n"
    )
    script = f"import sys\n{code}{_command('pareto', 'toy', '--results', results)}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert "then: []" in done.stdout
    assert _loaded_by(_command("pareto", "toy", "--results", results), SLOW) == ["matplotlib"]


def test_a_command_that_loads_something_slow_is_seen(results: str) -> None:
    """The twin of the two tests above: sizes are counted from the dense model, which takes torch."""
    tiny = Path(results) / "toy" / "dense"
    tiny.mkdir()
    (tiny / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    loaded = _loaded_by(_command("pareto", "toy", "--results", results, "--budget", "size_mb=400"), SLOW)
    assert {"torch", "transformers"} <= set(loaded)


def test_reading_studies_loads_neither_torch_nor_transformers() -> None:
    modules = [f"aebert.studies.{path.stem}" for path in (PACKAGE / "studies").glob("[!_]*.py")]
    assert len(modules) >= 3
    assert _loaded_by("\n".join(f"import {module}" for module in modules), SLOW) == []
    assert _loaded_by("import aebert.models.stored", ("torch", "transformers")) == ["torch", "transformers"]


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


def _documents() -> str:
    """The README and the pages that it leads to."""
    pages = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md")))
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


@pytest.mark.parametrize("kind", list(NAMES))
def test_the_documents_name_everything_that_can_be_asked_for(kind: str) -> None:
    assert NAMES[kind]
    assert _missing(NAMES[kind], _documents()) == []


def test_the_documents_say_which_pruning_methods_use_labels() -> None:
    text = _documents()
    found = re.search(r"`pruning\.calibration_rows`.*labels are used by (.*) only", text)
    assert found is not None
    using = {name for name in method_names() if pruning_method(name).uses_labels}
    assert set(re.findall(r"`(\w+)`", found[1])) == using


def test_a_name_that_the_readme_lacks_is_found() -> None:
    text = "Run `aebert run x.yaml`, task `sst2`, not gp.\n```\naebert studies\n```\nor `fine-grid`"
    assert _missing(["run", "studies", "sst2", "gp", "grid", "fine-grid"], text) == ["gp", "grid"]


def test_links_between_documents_lead_somewhere() -> None:
    pages = [REPOSITORY / "README.md", REPOSITORY / "experiments" / "README.md", *(REPOSITORY / "docs").glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))]
    assert len(links) > 10
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


def test_the_readme_stays_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
