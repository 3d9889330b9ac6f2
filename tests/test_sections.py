from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aebert.config import BudgetConfig, DataConfig, RunConfig
from aebert.errors import AebertError, ConfigError
from aebert.latency.devices import Device
from aebert.search.space import SearchSpace
from aebert.sections import Section, check, digest, parse_yaml, read_yaml


def test_a_digest_is_of_the_values_and_not_of_their_order() -> None:
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert len({digest({"a": 1}), digest({"a": 2}), digest({"b": 1}), digest({"a": 1}, None), digest({"a": "1"})}) == 5
    # sha256sum of `[{"a": 1}]`
    assert digest({"a": 1}) == "2696610e78752a9e"


KINDS: dict[str, type[Section]] = {"config": RunConfig, "space": SearchSpace, "device": Device}
NAMED = {"config": {"name": "x"}, "device": {"name": "x"}}
HUGE = "0x" + "f" * 5000  # Python reads it, but refuses to write it as a decimal number


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("config", "'a[0]': 1", "x.yaml: unknown key 'a[0]'; known here: name, "),
        ("config", "search: {'trials[0]': 1}", "unknown key 'search.trials[0]' (did you mean 'trials'?); known here"),
        ("config", "constrained-int: {}", "unknown key 'constrained-int'; known here: name, "),
        ("config", "'': 1", "unknown key ''; known here: name, "),
        ("config", '"a\\nb": 1', r"unknown key 'a\nb'; known here: name, "),
        ("config", "1: 2", "1: keys should be strings, got 1"),
        ("config", "null: 2", "None: keys should be strings, got None"),
        ("config", "? 2024-01-01\n: 2", "keys should be strings, got datetime.date(2024, 1, 1)"),
        ("config", "? [a]\n: 2", "x.yaml line 1 must be YAML: found unhashable key"),
        ("config", "data: {files: {1: a.csv}}", "data.files.1: input should be a valid string, got 1"),
        ("config", 'data: {files: {"a\\nb": []}}', r"'data.files.a\nb': must be a path as text, got []"),
        ("config", "results: 5", "x.yaml: results: must be a path as text, got 5"),
        ("config", "data: {root: [a]}", "x.yaml: data.root: must be a path as text, got ['a']"),
        ("config", "search: 5", "x.yaml: search: must be a section, that is keys with values, got 5"),
        (
            "config",
            "finalists: {distill: [1]}",
            "finalists.distill: must be a section, that is keys with values, got [1]",
        ),
        ("config", "data: {files: a.csv}", "x.yaml: data.files: must be keys with values, got 'a.csv'"),
        ("config", "task: {labels: bad}", "x.yaml: task.labels: must be a list, got 'bad'"),
        ("config", "data: {limits: {dev: 1}}", "data.limits.dev: input should be 'train', 'search', 'select' or 'rep"),
        (
            "config",
            "&a {name: x, search: *a}",
            "x.yaml line 1 must be YAML: an alias must not stand inside of what it na",
        ),
        ("config", "name: &a [*a]", "x.yaml line 1 must be YAML: an alias must not stand inside of what it names"),
        ("config", f"name: {HUGE}", "name: input should be a valid string, got a number with thousands of digits"),
        ("config", f"name: [{'x' * 5000}]", "xxxx"),
        ("config", "[" * 5000, "x.yaml line 1 must be YAML: values must not be nested in more than 100 levels"),
        ("config", "name: 2024-13-45", "x.yaml must be YAML: a value can't be read (month must be in 1..12)"),
        (
            "config",
            "name: !!int x",
            "x.yaml must be YAML: a value can't be read (invalid literal for int() with base 10: 'x')",
        ),
        ("config", "name: !!bool x", "x.yaml must be YAML: a value can't be read ('x')"),
        ("config", "name: !!timestamp x", "x.yaml must be YAML: a value can't be read ('NoneType' object has no"),
        ("space", "{source: x, 'a[0]': 1}", "unknown key 'a[0]'; known here: source, heads, ffn, weights, per"),
        ("space", "{source: x, heads: {'min[': 1}}", "unknown key 'heads.min[' (did you mean 'min'?); known here: min"),
        ("space", "{source: x, heads: {min: some}}", "heads.min: input should be a valid integer"),
        ("device", "{this: true, 'a[0]': 1}", "unknown key 'a[0]'; known here: name, description"),
        ("device", "{this: true, published: [{'a[0]': 1}]}", "published.0.model: field required (and 5 more)"),
        (
            "device",
            "{this: true, published: [{model: bert-base, milliseconds: 1, is: stated, length: 1, source: x, "
            "'a[0]': 1}]}",
            "unknown key 'published.0.a[0]'; known here: model, milliseconds, is, length",
        ),
        ("device", "{source: x, estimate: {kind: roofline, 'a[0]': 1}}", "kind roofline: "),
    ],
)
def test_an_odd_key_or_value_is_one_line(kind: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        check(KINDS[kind], NAMED.get(kind, {}) | parse_yaml(text, "x.yaml"), "x.yaml")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "seed: 1\nname: y\nseed: 2",
            "x.yaml line 3 must be YAML: key 'seed' stands on line 1 and on line 3; keep one",
        ),
        ("search: {trials: 5}\n'search': {race: no}", "key 'search' stands on line 1 and on line 2; keep one of them"),
        ("search:\n  budget:\n    macs: 0.5\n    macs: 0.6", "line 4 must be YAML: key 'macs' stands on line 3 and"),
        ("dense: {epochs: 1, epochs: 1}", "key 'epochs' stands on line 1 and on line 1"),
        ("finalists: [{&a count: 1, *a : 2}]", "key 'count' stands on line 1 and on line 1"),
        ("data: {header: {1: a, 0x1: b}}", "key 1 stands on line 1 and on line 1"),  # one key to Python
        ("? [a]\n: {b: 1, b: 2}", "key 'b' stands on line 2 and on line 2"),
        ('"\\ud800": 1\n"\\ud800": 2', r"key '\ud800' stands on line 1 and on line 2"),
    ],
)
def test_a_key_that_stands_twice_is_one_line_with_both_lines(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        parse_yaml(text, "x.yaml")
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).encode()


def test_merge_keys_still_bring_in_keys_that_a_mapping_may_override() -> None:
    text = """
    base: &base {epochs: 1, batch_size: 8}
    more: &more {<<: *base, epochs: 2}
    finalists: {<<: *more, epochs: 3, count: 1}
    dense: {<<: [*more, *base], weight_decay: 0}
    both: {<<: *more, <<: {warmup_ratio: 0}}
    """
    found = parse_yaml(text, "x.yaml")
    assert found["more"] == {"epochs": 2, "batch_size": 8}
    assert found["finalists"] == {"epochs": 3, "batch_size": 8, "count": 1}
    assert found["dense"] == {"epochs": 2, "batch_size": 8, "weight_decay": 0}
    assert found["both"] == {"epochs": 2, "batch_size": 8, "warmup_ratio": 0}


def test_the_same_key_in_several_mappings_is_no_repetition() -> None:
    assert parse_yaml("a: {n: 1}\nb: {n: 1}\nn: [{n: 1}, {n: 2}]\n1: x\n'1': y", "x.yaml") == {
        "a": {"n": 1},
        "b": {"n": 1},
        "n": [{"n": 1}, {"n": 2}],
        1: "x",
        "1": "y",
    }


SECTIONS: list[type[Section]] = [*KINDS.values(), BudgetConfig, DataConfig]
FIELDS = sorted({name for section in SECTIONS for name in section.model_fields})
ODD = [
    *("a[0]", "[a]", "''", "'a.b'", "constrained-int", "null", "true", "1", "1.5", ".inf", ".nan", "1e999", HUGE),
    *('"a\\nb"', '"\\0"', '"\\ud800"', "\u2028", "2024-13-45", "1:20", "=", "<<", "&a x", "*a", "~", "- x", "? [a]\n"),
    *("!!int x", "!!float x", "!!bool x", "!!timestamp x", "!!binary x", "!!set {a}", "!!omap [a: 1]", "!!python/x y"),
]
words = st.sampled_from([*FIELDS, *ODD]) | st.text(max_size=4)


def _collections(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(words, items).map(": ".join)
    lists = st.lists(items, max_size=3).map(lambda texts: f"[{', '.join(texts)}]")
    return lists | st.lists(pairs, max_size=3).map(lambda texts: f"{{{', '.join(texts)}}}")


trees = st.recursive(words, _collections, max_leaves=8)
texts = trees | st.lists(st.tuples(words, trees).map(": ".join), max_size=4).map("\n".join)


def _complaint(kind: type[Section], text: str) -> str:
    try:
        check(kind, parse_yaml(text, "x.yaml"), "x.yaml")
    except AebertError as error:
        return str(error)
    return "fine"


@settings(max_examples=300)
@given(texts)
def test_whatever_a_yaml_file_holds_is_a_value_or_one_line(text: str) -> None:
    complaints = [_complaint(kind, text) for kind in KINDS.values()]
    assert [len(complaint.splitlines()) for complaint in complaints] == [1, 1, 1]
    assert "".join(complaints).encode()


def _ninefold(line: str) -> str:
    """Nine lines, each of which stands for nine times the values of the line before."""
    names = "abcdefghi"
    return "\n".join(line.format(name=name, many=", ".join([f"*{old}"] * 9)) for old, name in pairwise(names))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\n" + _ninefold("{name}: &{name} [{many}]"),
        "a: &a {x: 1}\n" + _ninefold("{name}: &{name} {{<<: [{many}]}}"),
        "a: &a {x: 1}\n" + _ninefold("{name}: &{name} {{k: [{many}]}}"),
    ],
    ids=["lists", "merge keys", "mappings"],
)
def test_few_aliases_can_not_stand_for_billions_of_values(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"x.yaml line 1 must be YAML: the text and its aliases must stand for at most"
    ):
        parse_yaml(text, "x.yaml")


def test_aliases_of_what_is_written_once_are_read() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: 1}, e: *a}", "x") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": 1, "e": [1, 2]},
    }


def test_a_file_that_is_no_config_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_bytes(b"a: 1\n" * 250_000)
    with pytest.raises(ConfigError, match=r"config .*model.yaml must have at most 1,000,000 bytes, it has more"):
        read_yaml(path, "config")
