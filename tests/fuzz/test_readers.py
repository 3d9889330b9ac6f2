"""Every kind of file that a user can hand over, broken at random: it is read, or refused in one line, and soon.

`AEBERT_FUZZ=100000 pytest tests/fuzz -m slow` tries more inputs than CI does.
"""

from __future__ import annotations

import os
import resource
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pytest

from aebert.config import DataConfig, TaskConfig, load_config
from aebert.errors import AebertError
from aebert.latency.curves import Blocks, Curve
from aebert.latency.devices import load_device
from aebert.latency.table import LatencyTable, Measurement, TableShape
from aebert.latency.table_files import read_table, write_table
from aebert.latency.workload import Workload
from aebert.pruning.architecture import Architecture
from aebert.reporting.documents import read_summary_json
from aebert.reporting.overview import model_tables, search_tables
from aebert.runtime.container import MANIFEST, PARTS, SUMS, check_digests, open_container
from aebert.runtime.manifest import parse_manifest
from aebert.search.space import load_space
from aebert.sections import check
from aebert.tasks.load import load_task

from .mutations import broken, broken_json

TESTS = Path(__file__).parent.parent
SECONDS, MEGABYTES = 10, 1000  # that no input, and all of them, may take at most
COUNT = int(os.environ.get("AEBERT_FUZZ", "1000"))


@dataclass(frozen=True)
class Reader:
    """name: of the file that is broken. seeds: good contents. read: what is done with the file."""

    name: str
    seeds: Callable[[Path], list[bytes]]
    read: Callable[[Path], object]

    @property
    def is_json(self) -> bool:
        """Whether its values can be replaced too."""
        return self.name.endswith(".json")


def _texts(*paths: Path) -> Callable[[Path], list[bytes]]:
    return lambda folder: [path.read_bytes() for path in paths]


def _table(folder: Path) -> list[bytes]:
    prices = {Workload(16): Blocks(1.0, heads=Curve((1, 4), (0.5, 2.0)), ffn=Curve((16, 64), (0.25, 1.0)))}
    held_out = Measurement(Workload(16), Architecture((1, 0), (0, 0)), 1.65, 1.6, 1.7, 5)
    shape = TableShape(family="bert", hidden=32, head_size=8, heads=(4, 4), ffn=(64, 64))
    table = LatencyTable(machine={"cpu": "Toy"}, form="int8", shape=shape, prices=prices, held_out=(held_out,))
    return [write_table(replace(table, seconds=9.5), folder / "seed.json").read_bytes()]


def _rows(kind: str, **task: object) -> Callable[[Path], object]:
    """What reads a file as the train and the report rows of a task."""
    spec = check(TaskConfig, {"name": "own", "kind": kind, **task}, "test")

    def read(path: Path) -> object:
        files = dict.fromkeys(("train", "dev", "test"), str(path))  # it is refused in the end, for a text in two roles
        return load_task(spec, check(DataConfig, {"files": files, "format": _FORMATS[path.suffix]}, "test"), None, 0)

    return read


_FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".conll": "conll", "": "brat"}
_CLASSES = {"text": ["text"], "label": "label"}
_ROWS = [("a good film", "good"), ('a "bad" film, really', "bad"), ("dull\tand long", "bad"), ("fine", "good")] * 3


def _csv(folder: Path) -> list[bytes]:
    quoted = ["text,label", *('"' + text.replace('"', '""') + f'",{label}' for text, label in _ROWS)]
    return ["\n".join(quoted).encode(), "\r\n".join(line.replace(",", ";") for line in quoted).encode("utf-8-sig")]


def _tsv(folder: Path) -> list[bytes]:
    return ["\n".join(["text\tlabel", *(f"{text.split(chr(9))[0]}\t{label}" for text, label in _ROWS)]).encode()]


def _jsonl(folder: Path) -> list[bytes]:
    rows = (f'{{"text": "film {n}", "label": "{label}", "n": 1.5}}' for n, (_, label) in enumerate(_ROWS))
    return ["\n".join(rows).encode()]


def _conll(folder: Path) -> list[bytes]:
    sentence = "Ann\tB-PER\nLee\tI-PER\nof\tO\nRome\tB-LOC\n\n"
    return [(sentence * 4).encode(), b"-DOCSTART- -X- O\n\nAnn NNP B-PER\nruns VB O\n\nRome NNP I-LOC\n. . O\n"]


def _brat(folder: Path) -> list[bytes]:
    spans = b"T1\tDrug 0 7\tAspirin\nT2\tPlace 17 21\tRome\n#1\tNote T1\tsure\n"
    return [spans, b"T1\tDrug 0 4;5 7\tAspi in\nR1\tin Arg1:T1 Arg2:T2\n"]


def _read_brat(path: Path) -> object:
    path.with_suffix(".txt").write_text("Aspirin was sold in Rome. It was.\n" * 3, encoding="utf-8")
    return _rows("ner")(path.parent)


def _bundle(folder: Path) -> list[bytes]:
    return [(TESTS / "golden" / "bundle" / MANIFEST).read_bytes()]


def _zip(folder: Path) -> list[bytes]:
    contents = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = folder / "seed.zip"
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name in (*PARTS, SUMS):
                archive.writestr(name, name * 20)
        contents.append(path.read_bytes())
    return contents


def _read_zip(path: Path) -> object:
    container = open_container(path)
    return check_digests(container), container.check_whole()


def _summaries(folder: Path) -> list[bytes]:
    found = sorted((TESTS / "golden" / "results").glob("*/summary.json"), key=lambda path: path.stat().st_size)
    return [path.read_bytes() for path in found[:3]]


def _read_summary(path: Path) -> object:
    report = read_summary_json(path)
    return search_tables(report), model_tables(report)


_EXPERIMENTS = TESTS.parent / "experiments"
_SPACES = TESTS.parent / "search_spaces"
_BOARDS = TESTS.parent / "aebert" / "latency" / "boards"
READERS = {
    "config": Reader("run.yaml", _texts(*sorted(_EXPERIMENTS.glob("*.yaml"))), load_config),
    "space": Reader("s.yaml", _texts(*sorted(_SPACES.glob("*.yaml"))), lambda path: load_space(str(path))),
    "device": Reader("d.yaml", _texts(*sorted(_BOARDS.glob("*.yaml"))), lambda path: load_device(str(path))),
    "latency table": Reader("t.json", _table, read_table),
    "csv": Reader("rows.csv", _csv, _rows("classification", **_CLASSES)),
    "tsv": Reader("rows.tsv", _tsv, _rows("classification", **_CLASSES)),
    "jsonl": Reader("rows.jsonl", _jsonl, _rows("classification", **_CLASSES)),
    "conll": Reader("rows.conll", _conll, _rows("ner")),
    "brat": Reader("corpus/a.ann", _brat, _read_brat),
    "bundle": Reader(MANIFEST, _bundle, lambda path: parse_manifest(path.read_bytes(), path)),
    "zip": Reader("b.zip", _zip, _read_zip),
    "summary": Reader("summary.json", _summaries, _read_summary),
}


@pytest.mark.parametrize("kind", list(READERS))
def test_a_few_broken_files_are_read_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    _try(READERS[kind], tmp_path, count=60, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(READERS))
def test_broken_files_are_read_or_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    _try(READERS[kind], tmp_path, count=COUNT, seed=0)


def _try(reader: Reader, folder: Path, *, count: int, seed: int) -> None:
    path = folder / reader.name
    path.parent.mkdir(parents=True, exist_ok=True)
    seeds, before = reader.seeds(folder), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # one by one: all of them together would be the memory that is measured
    inputs = chain(broken(seeds, count, seed), broken_json(seeds, count, seed) if reader.is_json else ())
    for number, content in enumerate(inputs):
        path.write_bytes(content)
        began, message = time.thread_time(), ""
        try:
            reader.read(path)
        except AebertError as error:
            message = str(error)
        except Exception as error:
            raise AssertionError(f"input {number} must be refused in one line: {content[:2000]!r}") from error
        assert message.replace("\t", "").isprintable(), f"input {number} is refused by more than a line: {message!r}"
        assert time.thread_time() - began < SECONDS, f"input {number} took too long: {content[:2000]!r}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEGABYTES, f"the most memory grew by {grown:.0f} MB"
