"""The parts of a bundle and their digests, in a folder or in one zip file that is never unpacked to disk."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aebert.errors import BundleError

MANIFEST, TOKENIZER = "bundle.json", "tokenizer.json"
GRAPH, QUANTIZED = "onnx/model.onnx", "onnx/model_quantized.onnx"  # as optimum and transformers.js look for them
OLD_GRAPH = "model.onnx"  # of bundles before format 3
PARTS = (MANIFEST, GRAPH, TOKENIZER)  # that every bundle has; others have their names in SUMS
SUMS = "SHA256SUMS"  # of the parts, as `sha256sum --check` reads it
_FIX = "copy it again"
_LINE = re.compile(r"^[0-9a-f]{64}  (\S[^\n]*)\n", re.MULTILINE)
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can state, so that equal parts make equal files


@dataclass(frozen=True)
class Digest:
    """Size and SHA-256 (hex) of a part."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Digest:
        """Digest of bytes in memory."""
        return cls(len(content), hashlib.sha256(content).hexdigest())

    def to_dict(self) -> dict[str, int | str]:
        """Plain values, for JSON."""
        return {"bytes": self.size, "sha256": self.sha256}


class Container(ABC):
    """A bundle's files by name. Every method raises BundleError, one line that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Content of a file."""

    @abstractmethod
    def graph(self, name: str) -> str | bytes:
        """A graph as ONNX Runtime loads: a path where there is one, since bytes need twice the memory while loading."""

    def digest(self, name: str) -> Digest:
        """Size and SHA-256 of a file."""
        return Digest.of(self.read(name))

    @abstractmethod
    def check_whole(self) -> None:
        """Raise unless the container is as it was written; its files are checked by their digests."""


class _Folder(Container):
    def check_whole(self) -> None:
        """Do nothing: a folder has nothing besides its files."""

    def read(self, name: str) -> bytes:
        with self._reading(name):
            return (self.path / name).read_bytes()

    def graph(self, name: str) -> str | bytes:
        return str(self.path / name)

    def digest(self, name: str) -> Digest:
        with self._reading(name), (self.path / name).open("rb") as file:
            sha256 = hashlib.sha256()
            while chunk := file.read(1 << 20):
                sha256.update(chunk)
            return Digest(file.tell(), sha256.hexdigest())

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise BundleError(f"bundle {self.path} must hold {name}; it does not ({_FIX})") from None
        except OSError as error:
            raise BundleError(f"bundle {self.path}: {name} can't be read: {error.strerror}") from None


class _Zip(Container):
    def read(self, name: str) -> bytes:
        try:
            with zipfile.ZipFile(self.path) as archive:
                self._check_stored(archive, name)
                return archive.read(name)
        except BundleError:
            raise
        except KeyError:
            raise BundleError(f"bundle {self.path} must hold {name} at its top; it does not ({_FIX})") from None
        except OSError as error:
            raise BundleError(f"bundle {self.path} can't be read: {error.strerror or error}") from None
        except Exception as error:  # damaged bytes lead to many kinds of errors
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BundleError(f"bundle {self.path} must be a whole zip file: {reason} ({_FIX})") from None

    def _check_stored(self, archive: zipfile.ZipFile, name: str) -> None:
        """Raise before anything is read that could be larger than the file itself."""
        entry = archive.getinfo(name)
        if sum(one.filename == name for one in archive.infolist()) > 1:
            raise BundleError(f"bundle {self.path} must hold {name} once, it holds it several times ({_FIX})")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise BundleError(
                f"bundle {self.path} must hold its files as they are, {name} is compressed: another program packed it; "
                "unpack it and give the folder"
            )

    def graph(self, name: str) -> str | bytes:
        return self.read(name)

    def check_whole(self) -> None:
        packed = io.BytesIO()
        write_zip({name: self.read(name) for name in (*part_names(self), SUMS)}, packed)
        if packed.getvalue() != self.path.read_bytes():
            raise BundleError(
                f"bundle {self.path} must be byte for byte the zip file that its parts make; it is damaged outside of "
                "them, or another program packed it (unpack it and verify the folder)"
            )


def open_container(path: Path) -> Container:
    """The container at `path`, whose files are read when needed. Raises: BundleError when there is none."""
    try:
        if path.is_dir():
            list(path.iterdir())
            return _Folder(path)
        if not path.exists():
            raise BundleError(f"bundle {path} does not exist; give the folder or zip file that `aebert run` made")
        if zipfile.is_zipfile(path):
            return _Zip(path)
    except OSError as error:
        raise BundleError(f"bundle {path} can't be read: {error.strerror}") from None
    raise BundleError(f"bundle {path} must be a folder or a zip file; it is neither, or it was cut short ({_FIX})")


def write_zip(contents: Mapping[str, bytes], file: BinaryIO) -> None:
    """Write files uncompressed, for fast reading; equal contents make equal bytes on every system."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, content)


def sums(digests: Mapping[str, Digest]) -> bytes:
    """Content of `SHA256SUMS`."""
    return "".join(f"{digest.sha256}  {name}\n" for name, digest in digests.items()).encode()


def part_names(container: Container) -> tuple[str, ...]:
    """Names of all parts, as `SHA256SUMS` lists them. Raises: BundleError where that is no such list."""
    names = tuple(_LINE.findall(container.read(SUMS).decode("utf-8", "replace")))
    rest = _LINE.sub("", container.read(SUMS).decode("utf-8", "replace"))
    if rest.strip() or len(set(names)) < len(names) or any(_leaves(name) for name in names):
        raise BundleError(f"bundle {container.path}: {SUMS} must name the parts and nothing else; damaged ({_FIX})")
    return names


def _leaves(name: str) -> bool:
    """Whether a name may be that of a file outside of the bundle."""
    return name.startswith("/") or "\\" in name or ".." in name.split("/")


def check_digests(container: Container) -> dict[str, Digest]:
    """Digests of all parts. Raises: BundleError naming the first part that is not the one that was written."""
    stated = container.read(SUMS)
    listed = part_names(container)
    missing = [name for name in (MANIFEST, TOKENIZER) if name not in listed]
    found = {name: container.digest(name) for name in (*listed, *missing)}
    for name in found:
        if f"{found[name].sha256}  {name}\n".encode() not in stated:
            raise BundleError(
                f"bundle {container.path}: {name} must have the SHA-256 that {SUMS} states, got "
                f"{found[name].sha256[:12]}… of {found[name].size} bytes: one of the two is damaged ({_FIX})"
            )
    if stated != sums(found):
        raise BundleError(f"bundle {container.path}: {SUMS} must name the parts and nothing else; damaged ({_FIX})")
    return found
