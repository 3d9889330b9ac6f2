from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aebert import cli
from aebert.errors import AebertError, ConfigError, DataError
from aebert.runtime import Model, columns
from aebert.runtime.__main__ import main as runtime_main
from aebert.runtime.encoding import Text
from aebert.runtime.inputs import Input, open_inputs
from aebert.runtime.stream import PredictOptions, predict_rows
from aebert.tasks.tabular import read_table

Read = Callable[..., list[Input]]


@pytest.fixture
def read(made: dict[str, Path], tmp_path: Path) -> Read:
    """`read(kind, name, content, *columns)`: the rows of a file for a bundle of that kind."""

    def rows(kind: str, name: str, content: str, *named: str) -> list[Input]:
        path = tmp_path / name
        path.write_bytes(content.encode())
        with open_inputs(path, Model.load(made[kind]).manifest, named) as found:
            return list(found)

    return rows


@pytest.fixture
def read_bytes(made: dict[str, Path], tmp_path: Path) -> Callable[..., list[Input]]:
    """`read_bytes(name, content, separator=None, encoding="utf-8")`: the rows of a file for a classifier's bundle."""

    def rows(name: str, content: bytes, **style: Any) -> list[Input]:
        path = tmp_path / name
        path.write_bytes(content)
        with open_inputs(path, Model.load(made["classification"]).manifest, **style) as found:
            return list(found)

    return rows


def texts(rows: list[Input]) -> list[Text]:
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    return [row.text for row in rows]


def test_a_table_is_read_by_the_column_of_the_training(read: Read) -> None:
    expected = ["a good, fine film", 'it was "bad"', "nice\nfilm", ""]
    csv = '\ufefftext,label\r\n"a good, fine film",good\r\n"it was ""bad""",bad\r\n\r\n"nice\nfilm",good\r\n" ",bad\r\n'
    assert texts(read("classification", "x.csv", csv))[:3] == expected[:3]
    assert texts(read("classification", "X.CSV", csv))[3] == ""
    for separator in ";\t|":
        assert (
            texts(
                read("classification", "x.csv", csv.replace('",', f'"{separator}').replace("text,", f"text{separator}"))
            )
            == expected
        )
    assert texts(read("classification", "x.csv", "sep=|\r\na|text\r\n1|x, y;z\r\n")) == ["x, y;z"]
    assert texts(read("classification", "x.csv", "text\ngood; film\n")) == ["good; film"]
    assert texts(read("classification", "x.csv", f"text,b\n{'x' * 300_000},1\n")) == ["x" * 300_000]
    tsv = 'label\ttext\ngood\ta good, fine film\n\nbad\tit was "bad"\n'
    assert texts(read("classification", "x.tsv", tsv)) == expected[:2]
    jsonl = "\n".join(json.dumps({"label": 1, "text": text}) + "\n" for text in expected)
    assert texts(read("classification", "x.jsonl", jsonl)) == expected


def test_columns_can_be_named(read: Read) -> None:
    csv = "text,title\nlong,good\nlonger,bad\n"
    assert texts(read("classification", "x.csv", csv, "title")) == ["good", "bad"]
    assert texts(read("classification", "x.csv", 'a,"b, c"\n1,good\n', "b, c")) == ["good"]
    pairs = "one,two,three\na,b,c\n,,c\na,,\n"
    assert texts(read("regression", "x.csv", pairs)) == [["a", "b"], "", ["a", ""]]
    assert texts(read("regression", "x.csv", pairs, "three,one")) == [["c", "a"], ["c", ""], ["", "a"]]
    assert texts(read("regression", "x.csv", pairs, "three", "one"))[0] == ["c", "a"]


def test_entities_are_found_in_texts_and_in_lists_of_words(
    made: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [["it", "is", "good", "."], "so it is.", [], "nice film, good"]
    (tmp_path / "x.jsonl").write_text("\n".join(json.dumps({"words": row, "tags": []}) for row in rows))
    predict_rows(PredictOptions(made["ner"], tmp_path / "x.jsonl", format="tsv"))
    printed = capfd.readouterr()
    assert printed.out.splitlines() == ["1\t6\t10\tPRAISE\tgood", "4\t0\t4\tPRAISE\tnice", "4\t11\t15\tPRAISE\tgood"]
    assert printed.err == "aebert: warning: 1 row was empty and without a prediction: 3\n"


def test_one_prediction_per_row(made: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.csv").write_text("text,label\ngood,good\n\n,bad\nbad,bad\n", encoding="utf-8")
    predict_rows(PredictOptions(made["classification"], tmp_path / "x.csv", format="tsv"))
    printed = capfd.readouterr()
    assert printed.out.splitlines() == ["good\t0.880797", "", "bad\t0.731059"]
    assert printed.err == "aebert: warning: 1 row was empty and without a prediction: 2\n"


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-16-le", "utf-8-sig", "UTF8"])
def test_an_input_may_have_another_encoding(read_bytes: Callable[..., list[Input]], encoding: str) -> None:
    csv = "label;text\r\n1;naïve, fine\r\n2;née\r\n"
    assert texts(read_bytes("x.csv", csv.encode(encoding), encoding=encoding)) == ["naïve, fine", "née"]
    assert texts(read_bytes("x.txt", "naïve\n\nnée".encode(encoding), encoding=encoding)) == ["naïve", "", "née"]


def test_a_separator_can_be_given(read_bytes: Callable[..., list[Input]]) -> None:
    assert texts(read_bytes("x.csv", b"text\nfine, good film\n", separator=";")) == ["fine, good film"]
    assert texts(read_bytes("x.csv", b"a:text\n1:b, c\n", separator=":")) == ["b, c"]
    assert texts(read_bytes("x.csv", b'text,"x;text;y"\n1,2\n', separator=",")) == ["1"]
    assert texts(read_bytes("x.csv", b"sep=;\ntext,b\n1;2,3\n", separator=",")) == ["1;2"]


@pytest.mark.parametrize(
    ("name", "content", "style", "message"),
    [
        ("x.csv", b"text\nna\xefve\n", {}, "x.csv:2 must be UTF-8 text, byte 3 of the line is not: 0xEF; set --enc"),
        ("x.txt", b"na\xefve\n", {}, "such as cp1252 (which reads 'naïve' here) or latin-1"),
        ("x.csv", "text\n".encode("utf-16"), {}, "byte order mark of UTF-16; set --encoding to utf-16"),
        ("x.txt", "one\n".encode("utf-16-le"), {}, "x.txt:1 must be text without NUL characters; if it is UTF-16, set"),
        ("x.txt", b"PK\x03\x04\xff", {}, "it is a zip or Excel file; export it as CSV"),
        ("x.txt", "née".encode(), {"encoding": "cp1252"}, "x.txt must be cp1252 text as --encoding says, but it is"),
        ("x.txt", b"a\nb\x81\n", {"encoding": "cp1252"}, "x.txt:2 must be cp1252 text, byte 4 of the file is not"),
        ("x.txt", b"a", {"encoding": "base64"}, "--encoding must be one of Python's text encodings, such as utf-8,"),
        ("x.csv", b"text\n", {"separator": "::"}, "--separator must be one character other than a quote, got '::'"),
        ("x.csv", b"text\n", {"separator": ""}, "--separator must be one character other than a quote, got ''"),
        ("x.tsv", b"text\n", {"separator": ","}, "--separator is that of a file that ends in .csv, got it for "),
        ("x.csv", b"text\na, b\n", {}, "as the header has, got 2; if other characters separate them, give --separator"),
        ("x.csv", b"text:b\n1:2\n", {}, "columns: text:b; name the text's with --text, or what separates them with"),
        ("x.csv", b'text,"x;text;y"\n1\n', {}, "separators ',' and ';'; give the right one as --separator"),
    ],
)  # fmt: skip
def test_what_is_not_as_the_options_say_is_one_line(
    name: str, content: bytes, style: dict[str, str], message: str, read_bytes: Callable[..., list[Input]]
) -> None:
    with pytest.raises(AebertError, match=re.escape(message)) as caught:
        read_bytes(name, content, **style)
    assert "\n" not in str(caught.value)


def test_commands_take_separator_and_encoding(
    made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.csv").write_bytes("text:é\ngood:1\n".encode("cp1252"))
    asked = [
        str(made["classification"]),
        "--input",
        str(tmp_path / "x.csv"),
        "--separator",
        ":",
        "--encoding",
        "cp1252",
    ]
    assert runtime_main(asked) == 0
    monkeypatch.setattr(sys, "argv", ["aebert", "predict", *asked])
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main()
    first, second = capfd.readouterr().out.splitlines()
    assert json.loads(first)["label"] == "good"
    assert first == second


REFUSED: list[tuple[str, str, str, tuple[str, ...], str]] = [
    ("classification", "x.csv", "review,stars\na,b\n", (), "x.csv:1 has no column 'text'; its columns: review, stars;"),
    ("classification", "x.csv", "a film,good\n", ("text",), "its columns: a film, good; name the text's with --text"),
    ("classification", "x.jsonl", '{"text": "a"}\n{"txt": 1}\n', (), "x.jsonl:2 has no column 'text'; its columns: tx"),
    ("classification", "x.jsonl", "{}", (), "its columns: none;"),
    ("classification", "x.csv", f"{'a' * 50},{','.join(map(str, range(30)))}\n", (), f"{'a' * 37}..., 0, 1, "),
    ("classification", "x.csv", "", (), "x.csv must start with a header line that names its columns, it is empty"),
    ("classification", "x.csv", "text,text\na,b\n", (), "x.csv:1: column names must differ, got text, text"),
    ("classification", "x.csv", "text,label\na\n", (), "x.csv:2 must have 2 columns as the header has, got 1"),
    ("classification", "x.csv", "text,label\na,b\n text,label\n", (), "x.csv:3 must be a row, it is the header line"),
    ("classification", "x.tsv", "text\tlabel\na\tb\tc\n", (), "x.tsv:2 must have 2 columns as the header has, got 3"),
    ("classification", "x.csv", 'text\nfine\n"open\n\n', (), "x.csv:3 must be CSV with values quoted as in RFC 4180"),
    ("classification", "x.csv", 'text,"x;text;y"\n1\n', (), "x.csv can be read as CSV with the separators ',' and ';'"),
    ("classification", "x.csv", 'sep=;\ntext;b\na;"', (), "x.csv:3 must be CSV with values quoted"),
    ("classification", "x.jsonl", '{"text": "a", "text": "b"}', (), "x.jsonl:1 must be one JSON object: a key is"),
    ("classification", "x.parquet", "PAR1", (), "x.parquet must be lines of text or a table"),
    ("classification", "x.jsonl", "\n[1]", (), "x.jsonl:2 must be one JSON object, got list"),
    ("classification", "x.jsonl", "text", (), "x.jsonl:1 must be one JSON object: Expecting value"),
    ("classification", "x.jsonl", "[" * 100_000, (), "x.jsonl:1 must be one JSON object: maximum recursion depth"),
    ("classification", "x.jsonl", '{"text": 5}', (), "x.jsonl:1: text must be a text, got 5"),
    ("classification", "x.jsonl", '{"text": ["a", "b"]}', (), "x.jsonl:1: text must be a text, got ["),
    ("ner", "x.jsonl", '{"words": ["a", 5]}', (), "x.jsonl:1: words must be a text or a list of words, got ["),
    ("ner", "x.jsonl", '{"words": null}', (), "x.jsonl:1: words must be a text or a list of words, got null"),
    ("ner", "x.jsonl", '{"words": ["a", "b\\ud800"]}', (), "words must be Unicode, character 2 is half of a surrogate"),
    ("classification", "x.csv", "text\na\n", ("a", "b"), "--text must name one column for bundle toy, got 'a, b'"),
    ("regression", "x.csv", "one,two\na,b\n", ("one",), "--text must name two columns, such as one,two, for bundle"),
    ("regression", "x.csv", "one,two\na,b\n", ("one,one",), "got 'one,one'"),
    ("regression", "x.csv", "one,two\na,b\n", ("one", "two", "three"), "got 'one, two, three'"),
    ("classification", "x.txt", "good\n", ("text",), "--text names columns of a file that ends in .csv, .tsv, .json"),
    ("ner", "x.conll", "good\tO\n", (), "x.conll must be lines of text or a table (.csv, .tsv, .jsonl); convert it to"),
    ("classification", "x.json", "[]", (), "x.json must be lines of text or a table"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name", "content", "named", "message"), REFUSED)
def test_what_could_be_read_as_something_else_is_one_line(
    kind: str, name: str, content: str, named: tuple[str, ...], message: str, read: Read
) -> None:
    with pytest.raises(AebertError, match=re.escape(message)) as caught:
        read(kind, name, content, *named)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_columns_of_standard_input_are_refused(made: dict[str, Path]) -> None:
    with (
        pytest.raises(ConfigError, match="got it for standard input"),
        open_inputs(None, Model.load(made["zip"]).manifest, ["text"]),
    ):
        pass


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST_BYTES", 100)
    assert len(read("classification", "x.csv", "text\n" + "good\n" * 200)) == 200
    with pytest.raises(DataError, match=r"x\.csv:3 must be a row of at most 100 characters; close its quote"):
        read("classification", "x.csv", 'text\ngood\n"' + "good\n" * 200)


@pytest.mark.skipif(os.name == "nt", reason="needs named pipes")
def test_rows_are_answered_one_by_one(made: dict[str, Path], tmp_path: Path) -> None:
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "aebert.runtime", str(made["zip"]), "--input", str(pipe), "--batch", "1"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with pipe.open("w", encoding="utf-8") as rows, child.stdout as answers:
        rows.write("label,text\n")
        for word in ("good", "bad"):
            rows.write(f"x,{word}\n")
            rows.flush()
            assert json.loads(answers.readline())["label"] == word
    assert child.wait() == 0


def test_the_module_takes_columns(made: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.csv").write_text("a,b\nthe bad,good\n", encoding="utf-8")
    asked: Any = [str(made["regression"]), "--input", str(tmp_path / "x.csv"), "--format", "tsv"]
    assert runtime_main([*asked, "--text", "a,b"]) == 0
    assert runtime_main([*asked, "--text", "b", "--text", "a"]) == 0
    assert capfd.readouterr().out == "1.25\n1.25\n"
    assert runtime_main(asked) == 2
    assert "has no column 'one'; its columns: a, b" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", '\ufefftext,label\r\n"a, ""b""\nc",1\r\n\r\n d ,2\r\n'),
        ("x.csv", "label;text\n1;a, b\n2;c|d\n"),
        ("x.csv", 'sep=|\nlabel|text\n1|"a|b"\n'),
        ("x.csv", "text , label,\na,1,\nb,2\n"),
        ("x.tsv", 'text\tlabel\n"a" b\t1\n\n c\t2\r\n'),
        ("x.jsonl", '{"text": "a\\nb", "label": 1}\n\n{"label": 2, "text": " c"}'),
    ],
)
def test_a_table_is_read_as_in_training(name: str, content: str, read: Read, tmp_path: Path) -> None:
    table: Any = name.rpartition(".")[2]
    rows = texts(read("classification", name, content))
    columns = ("text", "label")
    assert rows == [record.values["text"] for record in read_table(tmp_path / name, table, wanted=columns)]
    assert len(rows) >= 1
