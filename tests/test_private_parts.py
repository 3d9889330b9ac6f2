"""The private and undocumented parts of libraries that the package rests on, so that an upgrade fails here.

pyproject.toml bounds the versions of these libraries. Whoever raises a bound runs this file first: each failure names
the module of ours that has to change.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from packaging.requirements import Requirement
from packaging.version import Version

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "aebert"


@dataclass(frozen=True)
class Part:
    """theirs: what the module `ours` rests on. check: fails when that is not as the module needs it."""

    ours: str
    library: str
    theirs: str
    check: Callable[[], None]


PARTS: list[Part] = []


def part(ours: str, library: str, theirs: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def add(check: Callable[[], None]) -> Callable[[], None]:
        PARTS.append(Part(ours, library, theirs, check))
        return check

    return add


# --- optuna -----------------------------------------------------------------------------------------------------------


@part("search/rows.py", "optuna", "optuna.storages._rdb.models: the tables of a study database")
def _tables() -> None:
    from optuna.storages._rdb import models

    tables = {
        "StudyModel": ("study_id", "study_name"),
        "StudyDirectionModel": ("study_id", "direction", "objective"),
        "StudyUserAttributeModel": ("study_id", "key", "value_json"),
        "StudySystemAttributeModel": ("study_id", "key", "value_json"),
        "TrialModel": ("study_id", "number", "state", "datetime_start", "datetime_complete"),
        "TrialValueModel": ("objective", "value", "value_type"),
        "TrialParamModel": ("param_name", "param_value", "distribution_json"),
        "TrialUserAttributeModel": ("key", "value_json"),
        "TrialSystemAttributeModel": ("key", "value_json"),
    }
    for name, columns in tables.items():
        assert set(columns) <= set(getattr(models, name).__table__.columns.keys())
    parts = {"values", "params", "user_attributes", "system_attributes"}
    assert parts <= set(models.TrialModel.__mapper__.relationships.keys())
    stored, kind = models.TrialValueModel.value_to_stored_repr(0.5)
    assert (stored, kind.name) == (0.5, "FINITE")


@part("search/reading.py", "optuna", "the tables of a study database, by their names in SQL")
def _names_of_tables() -> None:
    from optuna.storages._rdb import models

    tables = {
        "studies": ("study_id", "study_name"),
        "study_user_attributes": ("study_id", "key", "value_json"),
        "trials": ("trial_id", "study_id", "number"),
        "trial_user_attributes": ("trial_id", "key", "value_json"),
    }
    for name, columns in tables.items():
        assert set(columns) <= set(models.BaseModel.metadata.tables[name].columns.keys())


@part("search/samplers.py", "optuna", "NSGAIISampler._get_generation_key: where a trial says its generation")
def _generations() -> None:
    from aebert.search.samplers import _OrderedNSGAII

    # study databases hold this key
    assert _OrderedNSGAII._get_generation_key() == "_OrderedNSGAII:generation"
    sampler = _OrderedNSGAII(seed=0, population_size=4)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=9)
    assert [sampler.generation(trial) for trial in study.trials] == [*[0] * 4, *[1] * 4, 2]


@part("search/samplers.py", "optuna", "NSGAIISampler.select_parent and get_parent_population: who the parents are")
def _parents() -> None:
    for name in ("select_parent", "get_parent_population"):
        assert list(inspect.signature(getattr(optuna.samplers.NSGAIISampler, name)).parameters)[1:] == [
            "study",
            "generation",
        ]


@part("search/local.py", "optuna", "system attribute fixed_params: the parameters that a trial was enqueued with")
def _enqueued() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.25})
    study.ask()
    assert study.trials[0].system_attrs["fixed_params"] == {"x": 0.25}


@part("search/history.py", "optuna", "InMemoryStorage.get_trial: gives the trial itself, whose number can be set")
def _stored_trial() -> None:
    from aebert.search.history import ShownStudies

    study = ShownStudies((0.5,)).study([], 7)
    assert (study.ask().number, study.trials[0].number) == (7, 7)


# --- transformers -----------------------------------------------------------------------------------------------------


@part("training/finetune.py", "transformers", "Trainer._get_train_sampler: the order of the rows")
def _train_sampler() -> None:
    from transformers import Trainer
    from transformers.trainer_pt_utils import LengthGroupedSampler

    assert "_get_train_sampler" in inspect.getsource(Trainer.get_train_dataloader)
    assert list(inspect.signature(Trainer._get_train_sampler).parameters) == ["self", "train_dataset"]
    sampler = LengthGroupedSampler(2, lengths=list(range(1, 9)))
    draws = []
    for seed in (0, 0, 1):
        sampler.generator = torch.Generator().manual_seed(seed)
        draws.append(list(sampler))
    assert draws[0] == draws[1] != draws[2]


@part("training/finetune.py", "transformers", "transformers.trainer_callback.PrinterCallback: prints unless removed")
def _printer() -> None:
    from transformers.trainer_callback import PrinterCallback, TrainerCallback

    assert issubclass(PrinterCallback, TrainerCallback)


def _uses_attention_of_config() -> None:
    from transformers import BertConfig, BertModel
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    model = BertModel(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)).eval()
    seen: list[tuple[int, ...]] = []

    def attend(module: Any, query: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, None]:
        seen.append(tuple(query.shape))
        return query.transpose(1, 2), None

    ALL_ATTENTION_FUNCTIONS.register("toy_attention", attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register("toy_attention", lambda *_, attention_mask=None, **__: attention_mask)
    model.config._attn_implementation = "toy_attention"
    model(input_ids=torch.ones(1, 3, dtype=torch.long))
    assert seen == [(1, 2, 3, 4)]  # [batch, heads, seq, head_size]


for _ours in ("deployment/modes.py", "deployment/fusion.py", "pruning/subnetwork.py"):
    part(_ours, "transformers", "config._attn_implementation: the attention function, by its name in a registry")(
        _uses_attention_of_config
    )


@part("models/settings.py", "transformers", "GenerationConfig._get_default_generation_params: keys that generate reads")
def _generation_keys() -> None:
    from transformers import GenerationConfig

    assert {"temperature", "num_beams", "top_k"} <= GenerationConfig._get_default_generation_params().keys()


# --- evaluate, torch, onnx, onnxruntime -------------------------------------------------------------------------------


@part("tasks/offline_metric.py", "evaluate", "Metric._build_data_dir: makes a folder below the home folder")
def _no_folder() -> None:
    from evaluate import EvaluationModule

    assert "self._build_data_dir()" in inspect.getsource(EvaluationModule.__init__)
    assert list(inspect.signature(EvaluationModule._build_data_dir).parameters) == ["self"]


@part("tasks/metric_scripts.py", "evaluate", "EvaluationModule._hash: of a metric's script")
def _hash_of_a_script() -> None:
    from evaluate import EvaluationModule

    assert "self._hash = hash" in inspect.getsource(EvaluationModule.__init__)


@part("terminal.py", "torch", "torch.utils._pytree: the name of its logger")
def _pytree_logger() -> None:
    module = importlib.import_module("torch.utils._pytree")
    assert "logging.getLogger(__name__)" in inspect.getsource(module)


@part("deployment/onnx_export.py", "torch", "torch.onnx._internal.exporter._registration: the name of its logger")
def _exporter_logger() -> None:
    module = importlib.import_module("torch.onnx._internal.exporter._registration")
    assert module.logger.name == module.__name__


@part("models/int8.py", "torch", "torch.ops.quantized: linear_prepack, and linear_dynamic with all 8 bits")
def _int8_products() -> None:
    weight = torch.full((1, 2), 64.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        whole = torch.quantize_per_channel(weight, torch.ones(1), torch.zeros(1, dtype=torch.int64), 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(whole, None)
    found = torch.ops.quantized.linear_dynamic(torch.tensor([[255.0, 100.4]]), packed, reduce_range=False)
    assert found.tolist() == [[64.0 * 355]]


@part("compare/targets.py", "onnx", "onnx.external_data_helper._get_all_tensors: all that may lie in another file")
def _all_tensors() -> None:
    from onnx.external_data_helper import _get_all_tensors

    weight, constant = (numpy_helper.from_array(np.zeros(1, np.float32), name) for name in ("weight", "constant"))
    node = helper.make_node("Constant", [], ["c"], value=constant)
    output = helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([node], "toy", [], [output], [weight]))
    assert sorted(tensor.name for tensor in _get_all_tensors(model)) == ["constant", "weight"]


@part("deployment/fusion.py", "onnxruntime", "onnxruntime.transformers: optimize_by_fusion and its options")
def _fusion() -> None:
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_by_fusion

    options = FusionOptions("bert")
    assert (options.enable_attention, options.enable_embed_layer_norm, options.enable_gelu) == (True, True, True)
    assert {"model", "model_type", "optimization_options"} <= set(inspect.signature(optimize_by_fusion).parameters)


@part("deployment/quantize.py", "onnxruntime", "onnxruntime.quantization: what its two public functions are made of")
def _quantizer() -> None:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    options = {"bits", "block_size", "is_symmetric", "accuracy_level", "nodes_to_exclude", "op_types_to_quantize"}
    assert options <= set(inspect.signature(MatMulNBitsQuantizer).parameters)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])
    weight = numpy_helper.from_array(np.ones((1, 1), np.float32), "w")
    graph = helper.make_graph([helper.make_node("Gemm", ["x", "w"], ["y"])], "toy", [value], [result], [weight])
    whole = ONNXModel(helper.make_model(graph))
    whole.replace_gemm_with_matmul()
    add_pre_process_metadata(whole.model)
    assert [node.op_type for node in whole.model.graph.node] == ["MatMul"]
    assert [entry.key for entry in whole.model.metadata_props] == ["onnx.quant.pre_process"]


@pytest.mark.parametrize("one", PARTS, ids=lambda one: f"{one.ours}: {one.theirs.partition(':')[0]}")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_private_part_is_as_we_need_it(one: Part) -> None:
    _check(one)


def _check(one: Part) -> None:
    try:
        one.check()
    except Exception as error:
        pytest.fail(
            f"aebert/{one.ours} rests on {one.theirs}; {one.library} {version(one.library)} has changed it "
            f"({type(error).__name__}: {error}): mend that module, or bound {one.library} below this version in "
            "pyproject.toml"
        )


def test_a_part_that_changed_names_our_module() -> None:
    def check() -> None:
        raise ImportError("cannot import name '_rows'")

    changed = Part("search/rows.py", "optuna", "optuna._rows: the rows", check)
    with pytest.raises(pytest.fail.Exception, match=r"^aebert/search/rows\.py rests on optuna\._rows: .* optuna \d"):
        _check(changed)


# --- the list is whole, and the versions are bounded ------------------------------------------------------------------

# Not private, whatever their names: documented by the standard library, and by `evaluate` for own metrics.
_DOCUMENTED = {"_exit", "_replace", "_info", "_compute"}


def private_uses(source: str) -> Iterator[str]:
    """Names of private parts of libraries in the source of a module: imported, read off a value, or in a string."""
    tree = ast.parse(source)
    own = set(_defined(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not str(node.module).startswith(("aebert", "__")):
            yield from (part for part in str(node.module).split(".") if _private(part))
            yield from (alias.name for alias in node.names if _private(alias.name))
        elif isinstance(node, ast.Attribute) and _private(node.attr) and node.attr not in own | _DOCUMENTED:
            yield node.attr
        elif isinstance(node, ast.Constant) and re.fullmatch(r"[a-z]\w+(\.\w+)*\._\w+(\.\w+)*", str(node.value)):
            yield str(node.value)


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                yield node.attr


def private_overrides(module: Any) -> Iterator[str]:
    """Names of a library's private methods that a class of the module replaces."""
    for made in vars(module).values():
        if inspect.isclass(made) and made.__module__ == module.__name__:
            bases = [base for base in made.__mro__ if not base.__module__.startswith("aebert")]
            private = [name for name, value in vars(made).items() if _private(name) and inspect.isfunction(value)]
            yield from (name for name in private if any(name in vars(base) for base in bases))


def _unlisted() -> list[str]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        ours = path.relative_to(PACKAGE).as_posix()
        module = importlib.import_module(f"aebert.{ours.removesuffix('.py').replace('/', '.')}")
        names = {*private_uses(path.read_text(encoding="utf-8")), *private_overrides(module)} - _DOCUMENTED
        listed = " ".join(one.theirs for one in PARTS if one.ours == ours)
        found += [f"aebert/{ours}: {name}" for name in sorted(names) if name not in listed]
    return found


def test_every_private_part_that_the_package_uses_is_listed_here() -> None:
    assert _unlisted() == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from optuna.storages._rdb import models", ["_rdb"]),
        ("from onnx.helper import _make", ["_make"]),
        ("config._attn_implementation = 'eager'", ["_attn_implementation"]),
        ("class A(B):\n    def f(self):\n        self._mine = 1\n        return self._theirs()", ["_theirs"]),
        ("logging.getLogger('torch.onnx._internal.exporter')", ["torch.onnx._internal.exporter"]),
        ("from aebert.search import _mine\nfrom __future__ import annotations\n_x = a.b\nfor _ in c: d.__class__", []),
        ("def _f(): ...\n'a sentence. _emphasis_ in it'\nself._f()", []),
    ],
)
def test_private_uses_are_found(source: str, names: list[str]) -> None:
    assert list(private_uses(source)) == names


def _requirements() -> Mapping[str, Requirement]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {one.name: one for one in map(Requirement, project["dependencies"])}


# Of torch it is the names of loggers, without which a line more is shown, and int8 products, without which a run that
# asks for them is refused.
@pytest.mark.parametrize("library", sorted({one.library for one in PARTS} - {"torch"}))
def test_a_library_with_private_parts_is_bounded_behind_the_version_that_was_tested(library: str) -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text(encoding="utf-8"), re.M))
    tested, allowed = Version(pins[library]), _requirements()[library].specifier
    assert tested in allowed
    assert Version(f"{tested.major}.{tested.minor + 1}") not in allowed
