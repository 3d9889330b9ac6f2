from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aebert.config import RunConfig, load_config
from aebert.errors import ConfigError
from aebert.sections import check, plain


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., RunConfig]:
    def read(text: str = "", **overrides: str) -> RunConfig:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, {key.replace("__", "."): value for key, value in overrides.items()})

    return read


def test_an_empty_file_is_the_default_run_under_the_file_s_name(load: Callable[..., RunConfig]) -> None:
    config = load()
    assert config == RunConfig(name="run")
    assert config.folder == Path("results/run")
    assert (config.model.path, config.task.name, config.search.trials) == ("minilm", "endpoints-synthetic", 60)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("serach: {}", r"unknown key 'serach' \(did you mean 'search'\?\); known here: name, seed, results, model, "),
        (
            "search: {trails: 3}",
            r"unknown key 'search\.trails' \(did you mean 'trials'\?\); known here: space, sampler",
        ),
        ("finalists: {distill: {temprature: 1}}", r"'finalists\.distill\.temprature' \(did you mean 'temperature'\?\)"),
        (
            "search: {budget: {flops: 0.5}}",
            r"unknown key 'search\.budget\.flops'; known here: sparsity, macs, zeros, params, size_mb, latency_ms, ",
        ),
        ("search: {trials: 0}", r"search\.trials: must be a whole number, at least 1, or auto, got 0"),
        ("search: {trials: many}", r"search\.trials: must be a whole number, at least 1, or auto, got 'many'"),
        ("search: {trials: 2.5}", r"search\.trials: must be a whole number, .*, got 2\.5"),
        ("seed: -1", r"seed: input should be greater than or equal to 0, got -1"),
        ("name: ../up", r"name: string should match pattern .*, got '\.\./up'"),
        ("name: 'a b'", r"name: string should match pattern .*, got 'a b'"),
        ("dense: {train: sometimes}", r"dense\.train: input should be 'auto', 'always' or 'never', got 'sometimes'"),
        ("dense: {warmup_ratio: 1}", r"dense\.warmup_ratio: input should be less than 1, got 1"),
        ("dense: {learning_rate: 0}", r"dense\.learning_rate: input should be greater than 0, got 0"),
        ("deploy: {opset: 17}", r"deploy\.opset: input should be greater than or equal to 18, got 17"),
        (
            "deploy: {variants: []}",
            r"deploy\.variants: give one or several different variants \(int8: false ships none\), got \[\]$",
        ),
        ("deploy: {variants: [a, b, a]}", r"deploy\.variants: give .* variants .*, got \['a', 'b', 'a'\]$"),
        ("deploy: {variants: [[a]]}", r"deploy\.variants\.0: input should be a valid string, got \['a'\]"),
        (
            "deploy: {variants: static-int8, per_channel: false}",
            r"deploy: per_channel is of the variant tried without variants; .* instead, got variants static-int8$",
        ),
        ("deploy: {max_loss: -1}", r"deploy\.max_loss: input should be greater than or equal to 0, got -1"),
        ("deploy: {fuse: yes}", r"deploy\.fuse: input should be 'auto', 'always' or 'never', got True"),
        ("deploy: {calibration_rows: 0}", r"deploy\.calibration_rows: .*greater than or equal to 1, got 0"),
        ("deploy: {litert: {lengths: [8, 8]}}", r"lengths must be one or several different ones, got \[8, 8\]$"),
        (
            "task: {labels: [no, maybe]}",
            r"task\.labels\.0: must be a text or .* quotes, since YAML reads it as true or false",
        ),
        (
            "model: {labels: [a, on]}",
            r"model\.labels\.1: .* put it in quotes, since YAML reads it as true or false, got",
        ),
        ("task: {labels: [null, a]}", r"task\.labels\.0: .* put it in quotes, since YAML reads it as null, got None"),
        (
            "task: {labels: [1.0, a]}",
            r"task\.labels\.0: .* put it in quotes, since YAML reads it as a number, got 1\.0",
        ),
        (
            "task: {labels: [a, 2024-01-31]}",
            r"task\.labels\.1: .* put it in quotes, since YAML reads it as a date, got",
        ),
        ("task: {label: yes}", r"task\.label: .* put it in quotes, since YAML reads it as true or false, got True"),
        ("task: {labels: [[a]]}", r"task\.labels\.0: must be a text or an integer, got \['a'\]"),
        (
            "data: {encoding: klingon}",
            r"data\.encoding: must be one of Python's text encodings, such .*, got 'klingon'",
        ),
        ("data: {encoding: base64}", r"data\.encoding: must be one of Python's text encodings.*, got 'base64'"),
        (
            r"data: {separator: \t}",
            r"data\.separator: must be one character other than a quote \(a tab is \"\\t\" in dou",
        ),
        ("data: {separator: '\"'}", r"data\.separator: must be one character other than a quote"),
        ('data: {header: {1: a, "1": b}}', r"data\.header: must rename each column once, got 1 and '1'"),
        ("data: {header: {no: a}}", r"data\.header: must be a text or an integer; put it in quotes, since YAML reads"),
        ("model:", r"model: .*, got None"),
        ("model: minilm", r"model: .*, got 'minilm'"),
        ("data: {roles: {train: 'train[60]'}}", r"data\.roles: role train must be a split or a part .*'dev\[:60%\]'"),
        ("data: {roles: {test: dev}}", r"data\.roles\.test: input should be 'train', 'search', 'select' or 'report'"),
        ("data: {limits: {train: 0}}", r"data\.limits\.train: input should be greater than or equal to 1, got 0"),
        ("data: {files: {train: a.csv}, hub: glue}", r"data: give files or hub, not both"),
        (
            "search: {budget: {}}",
            r"search\.budget: give exactly one of sparsity, macs, zeros, params, size_mb and latency_ms, got none",
        ),
        ("search: {budget: {sparsity: 0.5, macs: 0.5}}", r"exactly one of .* and latency_ms, got sparsity and macs"),
        ("search: {budget: {sparsity: 1.0}}", r"search\.budget\.sparsity\.0: input should be less than 1, got 1\.0"),
        ("search: {budget: {macs: [0.5, 0.5]}}", r"must be one or several different ones, got \[0\.5, 0\.5\]$"),
        (
            "search: {budget: {macs: []}}",
            r"search\.budget: budget values must be one or several different ones, got \[\]",
        ),
        ("search: {budget: {params: [11e6, 11000000]}}", r"several different ones, got \[11000000\.0, 11000000\.0\]$"),
        ("search: {budget: {params: 0.5}}", r"search\.budget\.params\.0: .*greater than or equal to 1, got 0\.5"),
        ("search: {budget: {params: 11M}}", r"search\.budget\.params\.0: .*valid number.*, got '11M'"),
        ("search: {budget: {size_mb: [20, 0]}}", r"search\.budget\.size_mb\.1: .*greater than 0, got 0"),
        ("search: {budget: {size_mb: .inf}}", r"search\.budget\.size_mb\.0: .*finite number, got inf"),
        ("search: {budget: {macs: half}}", r"search\.budget\.macs\.0: .*valid number.*, got 'half'"),
        ("dense: {epochs: .inf}", r"dense\.epochs: input should be a finite number, got inf"),
        ("dense: {learning_rate: .nan}", r"dense\.learning_rate: input should be .*, got nan"),
        ("a: [1", r"run\.yaml line 1 must be YAML: expected ',' or '\]'"),
        ("a: 1\nb: 'x", r"run\.yaml line 2 must be YAML: found unexpected end of stream"),
        ("- 1", r"run\.yaml must be a mapping of keys to values, got list"),
        ("hello", r"run\.yaml must be a mapping of keys to values, got str"),
        ("seed: -1\nsearch: {trials: 0}", r"seed: .*, got -1 \(and 1 more\)$"),
    ],
)
def test_a_broken_rule_is_one_line_with_file_key_rule_and_value(
    load: Callable[..., RunConfig], text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(text)
    assert "run.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_may_be_integers_and_quoted(load: Callable[..., RunConfig]) -> None:
    config = load("task: {labels: [0, 'no', \"1.0\", x], label: 1}\nmodel: {labels: ['null', -1]}")
    assert config.task.labels == ("0", "no", "1.0", "x")
    assert (config.task.label, config.model.labels) == ("1", ("null", "-1"))
    assert load("", task__labels="[0, 1]").task.labels == ("0", "1")


def test_a_header_is_a_list_or_a_mapping(load: Callable[..., RunConfig]) -> None:
    assert load("data: {header: [label, 2]}").data.header == ("label", "2")
    assert load('data: {header: {v1: label, 2: text}, separator: "\\t"}').data.header == {"v1": "label", "2": "text"}


def test_results_and_data_may_lie_at_home(load: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = load("results: ~/studies\nname: mine\ndata: {root: ~/data}")
    assert (config.folder, config.data_root) == (Path("/home/me/studies/mine"), Path("/home/me/data"))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml can't be read: No such file or directory"):
        load_config(tmp_path / "absent.yaml")


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match=r"binary\.yaml must be UTF-8 text: byte 6 is not"):
        load_config(tmp_path / "binary.yaml")


def test_yaml_builds_no_objects(load: Callable[..., RunConfig]) -> None:
    with pytest.raises(ConfigError, match=r"could not determine a constructor for the tag"):
        load("name: !!python/object/apply:os.getcwd []")


@pytest.mark.parametrize(
    ("budget", "kind", "targets"),
    [
        ("{sparsity: 0.3}", "sparsity", (0.3,)),
        ("{sparsity: '0.3'}", "sparsity", (0.3,)),
        ("{macs: [0.7, 0.3, 0.5]}", "macs", (0.3, 0.5, 0.7)),
        ("{macs: 0}", "macs", (0.0,)),
        ("{sparsity: null, macs: 0.2}", "macs", (0.2,)),
        ("{params: 11e6}", "params", (11_000_000.0,)),
        ("{params: [8000000, 11e6, 2.0e+7]}", "params", (20_000_000.0, 11_000_000.0, 8_000_000.0)),
        ("{size_mb: 20}", "size_mb", (20.0,)),
        ("{size_mb: [9.5, 20, 12]}", "size_mb", (20.0, 12.0, 9.5)),
    ],
)
def test_budget_forms(load: Callable[..., RunConfig], budget: str, kind: str, targets: tuple[float, ...]) -> None:
    found = load(f"search: {{budget: {budget}}}").search.budget
    assert (found.kind, found.targets) == (kind, targets)


def test_overrides_win_over_the_file_and_keep_their_neighbours(load: Callable[..., RunConfig]) -> None:
    config = load(
        "search: {trials: 5, sampler: random}",
        search__trials="17",
        search__budget__macs="[0.2, 0.4]",
        finalists__distill="null",
        dense__learning_rate="1e-3",
        model__path="./here",
    )
    assert (config.search.trials, config.search.sampler) == (17, "random")
    assert config.search.budget.targets == (0.2, 0.4)
    assert config.finalists.distill is None
    assert config.dense.learning_rate == 0.001
    assert config.model.path == "./here"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("search__trails", "1", r"unknown key 'search\.trails' \(did you mean 'trials'\?\)"),
        ("search__trials", "[1", r"value of search\.trials must be YAML, got '\[1'"),
        ("seed__x", "1", r"seed\.x can't be set: seed is 3, not a section"),
        ("search__trials__x", "1", r"search\.trials\.x can't be set: trials is 4, not a section"),
    ],
)
def test_overrides_are_checked_like_the_file(
    load: Callable[..., RunConfig], key: str, value: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load("seed: 3\nsearch: {trials: 4}", **{key: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("search: {precision: float64}", r"search\.precision: input should be 'float32', 'bfloat16' or 'float16'"),
        ("search: {race: maybe}", r"search\.race: .*boolean.*, got 'maybe'"),
        (
            "pruning: {vocabulary: {keep: 2000, share: 0.1}}",
            r"pruning\.vocabulary: give keep or share, not both, got keep 2000 and share 0\.1$",
        ),
        ("pruning: {vocabulary: {keep: 0}}", r"pruning\.vocabulary\.keep: .*greater than or equal to 1, got 0"),
        ("pruning: {vocabulary: {share: 20}}", r"pruning\.vocabulary\.share: .*less than 1, got 20"),
        ("pruning: {vocabulary: {share: 0}}", r"pruning\.vocabulary\.share: .*greater than 0, got 0"),
        ("pruning: {vocabulary: 2000}", r"pruning\.vocabulary: .*, got 2000"),
        (
            "pruning: {vocabulary: {pieces: 9}}",
            r"unknown key 'pruning\.vocabulary\.pieces'; known here: keep,",
        ),
        ("pruning: {calibration_rows: 0}", r"pruning\.calibration_rows: .*greater than or equal to 1, got 0"),
        ("finalists: {repair: twice}", r"finalists\.repair: input should be 'none' or 'sequential', got 'twice'"),
        ("finalists: {gradual: -1}", r"finalists\.gradual: input should be greater than or equal to 0, got -1"),
        ("finalists: {baselines: [layer]}", r"finalists\.baselines\.0: input should be 'layers', got 'layer'"),
        (
            "finalists: {baselines: [layers, layers]}",
            r"finalists\.baselines: give each baseline once, got \['layers', ",
        ),
        ("finalists: {baselines: null}", r"finalists\.baselines: must be a list, got None"),
    ],
)
def test_a_search_that_cannot_be_is_one_line(load: Callable[..., RunConfig], text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(text)
    assert "\n" not in str(caught.value)


def test_data_root_is_the_config_s_or_the_environment_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEBERT_DATA", "from/environment")
    assert RunConfig(name="x").data_root == Path("from/environment")
    assert check(RunConfig, {"name": "x", "data": {"root": "given"}}, "test").data_root == Path("given")
    monkeypatch.delenv("AEBERT_DATA")
    assert RunConfig(name="x").data_root is None


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig(name="x").search.trials = 3


shares = st.floats(0, 0.99)
configs = st.fixed_dictionaries(
    {"name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True), "seed": st.integers(0, 2**31)},
    optional={
        "results": st.just("some/where"),
        "model": st.fixed_dictionaries({"path": st.text(min_size=1)}, optional={"labels": st.lists(st.text())}),
        "data": st.fixed_dictionaries(
            {},
            optional={
                "root": st.just("data"),
                "files": st.just({"train": "a.csv"}),
                "roles": st.just({"search": "dev[:60%]", "select": "dev[60%:]"}),
                "limits": st.just({"train": 10}),
                "header": st.lists(st.text(), max_size=3),
            },
        ),
        "search": st.fixed_dictionaries(
            {"budget": st.fixed_dictionaries({"sparsity": st.lists(shares, min_size=1, max_size=14, unique=True)})}
        ),
        "finalists": st.fixed_dictionaries({"distill": st.none() | st.just({"hidden": 0.25})}),
    },
)


@given(configs)
def test_plain_values_make_the_same_config_again_through_json_and_yaml(values: dict[str, Any]) -> None:
    config = check(RunConfig, values, "test")
    assert check(RunConfig, json.loads(json.dumps(plain(config))), "test") == config
    assert check(RunConfig, yaml.safe_load(yaml.safe_dump(plain(config))), "test") == config


@pytest.mark.parametrize(
    ("text", "tried"),
    [
        ("", ("dynamic-int8",)),
        ("deploy: {per_channel: false}", ("dynamic-int8-per-matrix",)),
        ("deploy: {variants: static-int8}", ("static-int8",)),
        ("deploy: {variants: [weight-int8, dynamic-int8]}", ("weight-int8", "dynamic-int8")),
    ],
)
def test_ways_to_quantize_that_are_tried(load: Callable[..., RunConfig], text: str, tried: tuple[str, ...]) -> None:
    assert load(text).deploy.tried == tried


def test_an_odd_override_is_one_line(load: Callable[..., RunConfig]) -> None:
    with pytest.raises(
        ConfigError, match=r"value of search must be YAML, got .*: key 'trials' stands on line 1 and on"
    ):
        load("", search="{trials: 5, trials: 6}")
    with pytest.raises(ConfigError, match=r"value of name must be YAML, got '2024-13-45'"):
        load("", name="2024-13-45")


def test_a_config_without_a_vocabulary_has_the_values_of_older_versions() -> None:
    """Digests of stages and studies are made of them."""
    assert plain(check(RunConfig, {"name": "x"}, "x.yaml"))["pruning"] == {
        "method": "library",
        "calibration_rows": 1024,
        "weighted": True,
    }
    values = {"name": "x", "pruning": {"vocabulary": {}}}
    config = check(RunConfig, values, "x.yaml")
    assert plain(config)["pruning"]["vocabulary"] == {"keep": None, "share": None, "texts": [], "held_out": []}
    assert RunConfig.model_validate(plain(config)) == config
