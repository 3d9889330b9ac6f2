"""The commands of the README and of the pages in docs/, typed as they stand, on tiny models and short searches."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from aebert.config import RunConfig, load_config
from aebert.sections import check

from .conftest import Aebert, Workspace

ROOT = Path(__file__).parents[2]
# in the order in which a newcomer reads them, so that what one page makes is there for the next
PAGES = ("README.md", *(f"docs/{name}.md" for name in ("data", "jobs", "deploy", "config", "method", "workers")))
README = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
# what a reader can't see the result of in seconds is made short; the commands stay as they are
SHORT = {
    "trials: 100": "trials: 24",
    "budget: {": "space: fine-grid\n  budget: {",
    "data:\n": "data:\n  max_length: 32\n",  # of the tiny models' 64 positions
}
FEWER = {"150": "26"}
SERVER = ("postgresql+psycopg://me@host/studies", "sqlite:///others.db")  # tests/search has one that is real
TINY = "finalists: {count: 1, epochs: 1}\ndense: {epochs: 1}\nprofile: {runs: 10, warmup: 2}\n"
# set-up, which CI does by running `make test` on a bare machine
SETUP = ("git clone", "make ", "pip install")
ENDLESS = ("aebert dashboard",)  # serves until it is interrupted; tests/studies/test_dashboard.py asks it


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def _configs() -> dict[str, str]:
    """The YAML files that the README shows, by the name in their first line."""
    return {block.splitlines()[0][2:].strip(): block for block in _blocks("yaml") if block.startswith("# ")}


def _commands() -> list[list[str]]:
    lines = [line for block in _blocks("console") for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines if not line.startswith((*SETUP, *ENDLESS))]


def test_every_config_is_valid() -> None:
    configs = _configs()
    assert set(configs) == {"reviews.yaml", "entities.yaml", "embedder.yaml", "mrpc.yaml"}
    for name, text in configs.items():
        check(RunConfig, {"name": Path(name).stem, **yaml.safe_load(text)}, name)


def test_the_experiments_are_valid() -> None:
    names = {load_config(path).name for path in (ROOT / "experiments").glob("*.yaml")}
    assert {"quickstart", "sst2-minilm", "ncbi-disease-minilm"} <= names


@pytest.mark.slow
def test_every_command_and_python_block_works(aebert: Aebert, workspace: Workspace) -> None:
    for name, text in _configs().items():
        for old, new in SHORT.items():
            text = text.replace(old, new)
        (workspace / name).write_text(text + TINY, encoding="utf-8")
    commands = _commands()
    assert len(commands) >= 15
    for command in commands:
        assert command[0] == "aebert", command
        result = aebert(*(FEWER.get(word, word).replace(*SERVER) for word in command[1:]))
        assert result.code == 0, (command, result.err)
    names: dict[str, object] = {}
    blocks = _blocks("python")
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    assert (workspace / "results" / "entities" / "front.html").is_file()


def test_make_quickstart_runs_what_the_readme_says() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(BIN)/aebert run experiments/quickstart.yaml" in makefile
    assert "make quickstart\nmake test" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_page_is_read() -> None:
    assert sorted(PAGES[1:]) == sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
