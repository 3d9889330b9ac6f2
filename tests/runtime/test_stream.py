from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aebert import errors, runtime
from aebert.errors import ConfigError, DataError
from aebert.runtime import inputs
from aebert.runtime.__main__ import main
from aebert.runtime.stream import PredictOptions, predict_rows

Predict = Callable[..., tuple[list[str], str]]


@pytest.fixture
def predict(made: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Predict:
    """`predict(kind, input, **options)`: lines of standard output, and standard error."""

    def run(kind: str, content: bytes, **options: Any) -> tuple[list[str], str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        predict_rows(PredictOptions(made[kind], **options))
        printed = capfd.readouterr()
        return printed.out.split("\n")[:-1], printed.err

    return run


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_one_object_per_line_in_their_order(batch: int, predict: Predict) -> None:
    texts = ["bad" if index % 3 else "the film is good" for index in range(70)]
    out, err = predict("classification", "\n".join(texts).encode(), batch=batch)
    assert [json.loads(line)["label"] for line in out] == [text.split()[-1] for text in texts]
    assert err == ""


def test_empty_lines_keep_their_place(predict: Predict) -> None:
    out, err = predict("classification", b"\xef\xbb\xbfgood\r\n\n  \t\nbad")
    assert [line == "null" for line in out] == [False, True, True, False]
    assert json.loads(out[0])["label"] == "good"
    assert err == "aebert: warning: 2 lines were empty and without a prediction: 2, 3\n"
    out, _ = predict("classification", b"good\n\nbad\n", format="tsv")
    assert out == ["good\t0.880797", "", "bad\t0.731059"]
    assert predict("classification", b"") == ([], "")


def test_only_line_feeds_end_lines(predict: Predict) -> None:
    out, _ = predict("classification", "good\u2028film\x0cbad\u0085\n".encode())
    assert len(out) == 1


def test_what_was_cut_is_warned_of_in_one_line(predict: Predict) -> None:
    long = b"the " * 30 + b"\n"
    out, err = predict("classification", b"good\n" + long * 7, max_length=8, batch=1)
    assert [json.loads(line)["truncated"] for line in out] == [False] + [True] * 7
    assert err == "aebert: warning: 7 lines were longer than the length limit and cut: 2, 3, 4, 5, 6, …\n"


def test_pairs_and_entities(predict: Predict) -> None:
    out, _ = predict("regression", b"good\tthe film\nthe\tbad\n", format="tsv")
    assert out == ["1.75", "-0.25"]
    out, _ = predict("ner", b"it is good.\nno\n\nnice film, good\n", format="tsv")
    assert out == ["1\t6\t10\tPRAISE\tgood", "4\t0\t4\tPRAISE\tnice", "4\t11\t15\tPRAISE\tgood"]
    out, _ = predict("ner", "naïve good".encode())
    (entity,) = json.loads(out[0])["entities"]
    assert (entity["start"], entity["end"], entity["text"]) == (6, 10, "good")


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("classification", b"good\nx\xffy\n", "standard input:2 must be UTF-8 text, byte 2 of the line is not"),
        ("regression", b"a\tb\na\n", "standard input:2 must be two texts with a tab between them, got 0 tabs"),
        ("regression", b"a\tb\tc\n", "standard input:1 must be two texts with a tab between them, got 2 tabs"),
    ],
)
def test_a_line_that_cannot_be_read(kind: str, content: bytes, message: str, predict: Predict) -> None:
    with pytest.raises(DataError, match=message):
        predict(kind, content)


def test_a_line_without_an_end(predict: Predict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MOST_BYTES", 100)
    out, _ = predict("classification", b"x" * 99 + b"\n" + b"x" * 100)
    assert len(out) == 2
    with pytest.raises(DataError, match="standard input:2 must be a line of at most 100 bytes; split it"):
        predict("classification", b"good\n" + b"x" * 101)


def test_options_out_of_range(predict: Predict, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="format must be one of json, tsv, npy, got 'xml'"):
        predict("ner", b"", format="xml")
    with pytest.raises(ConfigError, match="batch must be at least 1, got 0"):
        predict("ner", b"", batch=0)
    with pytest.raises(DataError, match=r"nothing.txt can't be read: No such file or directory"):
        predict("ner", b"", input=tmp_path / "nothing.txt")
    with pytest.raises(DataError, match=r"can't be read: Is a directory"):
        predict("ner", b"", input=tmp_path)


def test_the_module_predicts_and_verifies(
    made: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lines.txt").write_text("good film\n", encoding="utf-8")
    assert main([str(made["zip"]), "--input", str(tmp_path / "lines.txt"), "--format", "tsv"]) == 0
    assert capfd.readouterr().out == "good\t0.880797\n"
    assert main([str(made["zip"]), "--verify"]) == 0
    names = [line.partition(":")[0] for line in capfd.readouterr().out.splitlines()]
    assert names == ["format", "parts", "container", "tokenizer", "graph", "labels", "parity"]
    assert main([str(tmp_path / "nothing")]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("aebert.runtime: error: bundle ")
    assert printed.err.count("\n") == 1


BLOCKED = (
    "torch transformers datasets optuna pandas onnx scipy sklearn safetensors psutil typer rich click pydantic yaml "
    "filelock plotly matplotlib evaluate"
).split()
RUN = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
"""


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], input="good\n", capture_output=True, text=True, check=False
    )


def test_it_runs_where_nothing_else_is_installed(made: dict[str, Path]) -> None:
    code = RUN + "from aebert.runtime.__main__ import main\nsys.exit(main())"
    for kind in ("zip", "ner"):
        done = _run(code, str(made[kind]))
        assert done.stderr == ""
        assert json.loads(done.stdout)
    assert _run(code, str(made["zip"]), "--verify").returncode == 0


def test_what_is_blocked_can_not_be_imported() -> None:
    done = _run(RUN + "import aebert.sections")
    assert "blocked: yaml" in done.stderr


def too_new(source: str) -> list[str]:
    """What Python 3.9 doesn't have: newer syntax, unions that are evaluated, newer arguments and functions."""
    tree = ast.parse(source, feature_version=(3, 9))
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    unions = [
        ast.unparse(value) for value in values if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr)
    ]
    return unions + re.findall(r"\bzip\(.*strict=|file_digest|slots=True|kw_only=True", source)


def test_it_is_python_39() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in Path(runtime.__file__).parent.glob("*.py")}
    sources["errors.py"] = Path(errors.__file__).read_text(encoding="utf-8")
    for name, source in sources.items():
        assert "from __future__ import annotations" in source, name
        assert too_new(source) == [], name
    assert too_new("a = int | None\ndict(zip(b, c, strict=True))") == ["int | None", "zip(b, c, strict="]


@pytest.mark.parametrize(
    "code",
    [
        "import aebert.runtime",
        "sys.argv[0] = 'aebert'\nfrom aebert.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass",
    ],
    ids=["import", "aebert predict"],
)
def test_nothing_heavy_is_loaded(code: str, made: dict[str, Path]) -> None:
    heavy = ("torch", "transformers", "datasets", "optuna", "pandas", "onnx", "yaml", "scipy")
    arguments = ["predict", str(made["zip"])] if "argv" in code else []
    done = _run(f"import sys\n{code}\nprint(*[name for name in {heavy!r} if name in sys.modules])", *arguments)
    assert done.stdout.splitlines()[-1] == "", done.stderr
    assert len(done.stdout.splitlines()) == (2 if arguments else 1), done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs a shell with pipes")
def test_a_reader_that_has_seen_enough(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("good film\n" * 5000, encoding="utf-8")
    command = f"{sys.executable} -m aebert.runtime {made['zip']} --batch 1 < {tmp_path / 'lines'} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["label"] == "good"
    assert done.stderr == ""
