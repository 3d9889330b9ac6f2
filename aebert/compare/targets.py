"""What can be measured: ONNX files, bundles, checkpoint folders."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal

import onnx
from onnx import GraphProto, ModelProto, TensorProto
from onnx.external_data_helper import ExternalDataInfo, _get_all_tensors, uses_external_data

from aebert.errors import ConfigError, ExportError, ModelError

TargetKind = Literal["onnx", "checkpoint"]

OLD_GRAPH, BUNDLE = "model.onnx", "bundle.json"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")

# Operators that hand on token ids as they are; operators that look them up, and the index of the input with the table.
_HAND_ON = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Clip"})
_TABLE_INPUT = {"Gather": 0, "GatherBlockQuantized": 0, "EmbedLayerNormalization": 2, "QEmbedLayerNormalization": 2}


@dataclass(frozen=True)
class Target:
    """A model to measure.

    name: as the user gave it. form: what it is, for the table. path: what is opened. files: all that is then read
    (weights of a large graph lie beside it). vocabulary: rows of its embedding; None if they can't be found.
    """

    name: str
    form: str
    kind: TargetKind
    path: Path
    files: tuple[Path, ...]
    vocabulary: int | None

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(file.stat().st_size for file in self.files)


@contextmanager
def opened(paths: Sequence[Path]) -> Iterator[list[Target]]:
    """The targets that paths stand for. What is packed stays unpacked for as long as the block runs.

    Raises: ConfigError for paths that are no targets; ExportError and ModelError for damaged ones.
    """
    with TemporaryDirectory(prefix="aebert-") as folder:
        yield [_target(path, Path(folder) / str(index)) for index, path in enumerate(paths)]


def _target(path: Path, room: Path) -> Target:
    if not path.exists():
        raise ConfigError(f"{path} does not exist: a target is an ONNX file, a bundle, a checkpoint or a run's config")
    if path.is_dir():
        return _folder(path)
    if zipfile.is_zipfile(path):
        return _bundle(path, _unpacked(path, room))
    return onnx_target(path, str(path))


def _folder(path: Path) -> Target:
    if (path / BUNDLE).is_file():
        return _bundle(path, path)
    if (path / "config.json").is_file():
        return _checkpoint(path)
    found = sorted(path.glob("*.onnx"))
    hint = f"; measure its files: {path}/*.onnx" if found else ""
    raise ConfigError(f"folder {path} must hold {BUNDLE} (a bundle) or config.json (a checkpoint){hint}")


def _bundle(path: Path, folder: Path) -> Target:
    graph = _graph(folder)
    if not (folder / graph).is_file():
        raise ConfigError(f"bundle {path} must hold {graph}; it does not")
    return onnx_target(folder / graph, str(path), form="bundle", vocabulary=_tokenizer_size(folder / "tokenizer.json"))


def _graph(folder: Path) -> str:
    """Name of the graph that a bundle's runtime would run."""
    try:
        stated = json.loads((folder / BUNDLE).read_text(encoding="utf-8"))["graph"].get("file", OLD_GRAPH)
        return OLD_GRAPH if PurePosixPath(stated).is_absolute() or ".." in PurePosixPath(stated).parts else str(stated)
    except (ValueError, KeyError, TypeError, AttributeError):
        return OLD_GRAPH  # `aebert bundle verify` says what is wrong with it


def _unpacked(path: Path, room: Path) -> Path:
    """The folder, below `room`, with the parts of a packed bundle."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if PurePosixPath(name).name == BUNDLE]
        if not names:
            raise ConfigError(f"{path} must be an ONNX file or a packed bundle; it is a ZIP without {BUNDLE}")
        inside = PurePosixPath(min(names, key=len)).parent
        try:
            for name in archive.namelist():
                if PurePosixPath(name).is_relative_to(inside) and not name.endswith("/"):
                    archive.extract(name, room)  # extract keeps files below that folder, whatever their names
        except (zipfile.BadZipFile, OSError) as error:
            raise ExportError(f"bundle {path} is damaged: {error}; copy or build it again") from error
    return room / inside


def _tokenizer_size(path: Path) -> int | None:
    """The number of pieces that a `tokenizer.json` lists; None if it can't be read."""
    if not path.is_file():
        return None
    try:
        pieces: Mapping[str, int] | Sequence[Any] = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    except (ValueError, KeyError, TypeError):
        return None  # `aebert bundle verify` says what is wrong with it
    return len(pieces)


def _checkpoint(path: Path) -> Target:
    files = next((found for kind in _WEIGHTS if (found := sorted(path.glob(kind)))), [])
    if not files:
        raise ModelError(f"checkpoint {path} must hold weights ({' or '.join(_WEIGHTS)}); it does not")
    try:
        vocabulary = json.loads((path / "config.json").read_text(encoding="utf-8")).get("vocab_size")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"checkpoint {path} must have a config.json of JSON: {error}") from error
    return Target(str(path), "torch eager", "checkpoint", path, tuple(files), vocabulary)


def onnx_target(path: Path, name: str, *, form: str = "ONNX", vocabulary: int | None = None) -> Target:
    """An ONNX file. vocabulary: for graphs whose embedding can't be found."""
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, and others depending on its version
        reason = str(error).splitlines()[0]
        raise ExportError(f"{path} must be an ONNX file: {reason} (damaged, or of another format)") from None
    if not model.graph.node:
        raise ExportError(f"{path} must be an ONNX file with a graph; it has none")
    files = (path, *(path.parent / part for part in _external_files(model)))
    for file in files:
        if not file.is_file():
            raise ExportError(f"{path} keeps weights in {file.name} beside it; that file is missing")
    return Target(name, f"{form}{_precision(model)}", "onnx", path, files, vocabulary_of(model.graph) or vocabulary)


def _external_files(model: ModelProto) -> list[str]:
    tensors = (tensor for tensor in _get_all_tensors(model) if uses_external_data(tensor))
    names = sorted({ExternalDataInfo(tensor).location for tensor in tensors})
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ExportError(f"external weights must lie beside their graph, got {name}")
    return names


def _precision(model: ModelProto) -> str:
    types = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 2}
    if types & {TensorProto.INT4, TensorProto.UINT4}:
        return " int4"
    return " int8" if types & {TensorProto.INT8, TensorProto.UINT8} else ""


def vocabulary_of(graph: GraphProto) -> int | None:
    """Rows of the table that `input_ids` are looked up in; None when no such table is found."""
    tables = {tensor.name: tensor.dims[0] for tensor in graph.initializer if len(tensor.dims) == 2}
    ids = {"input_ids"}
    for node in graph.node:  # in the order of execution
        place = _TABLE_INPUT.get(node.op_type)
        if node.op_type in _HAND_ON and node.input[0] in ids:
            ids.add(node.output[0])
        elif place is not None and ids & set(node.input) and node.input[place] in tables:
            return int(tables[node.input[place]])
    return None
