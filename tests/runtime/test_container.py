from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path

import pytest

from aebert.errors import BundleError
from aebert.runtime.container import PARTS, SUMS, check_digests, open_container, part_names, write_zip


def test_folder_and_zip_hold_the_same(made: dict[str, Path]) -> None:
    folder, packed = open_container(made["classification"]), open_container(made["zip"])
    for name in (*PARTS, SUMS):
        assert folder.read(name) == packed.read(name)
        assert folder.digest(name) == packed.digest(name)


def test_sums_are_what_sha256sum_reads(made: dict[str, Path]) -> None:
    lines = (made["ner"] / SUMS).read_text().splitlines()
    names = ["bundle.json", "README.md", "config.json", "onnx/model.onnx", "tokenizer.json", "tokenizer_config.json"]
    assert [line.split("  ")[1] for line in lines] == names
    for line in lines:
        sha, name = line.split("  ")
        assert hashlib.sha256((made["ner"] / name).read_bytes()).hexdigest() == sha


def test_the_same_contents_make_the_same_zip_on_every_python() -> None:
    file = io.BytesIO()
    write_zip({"bundle.json": b"{}\n", "model.onnx": bytes(9)}, file)
    assert hashlib.sha256(file.getvalue()).hexdigest()[:16] == "fba53a2340a0ee1b"
    assert zipfile.ZipFile(file).testzip() is None


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("name", PARTS)
def test_a_truncated_part(name: str, keep: float, made: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(made["classification"], folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BundleError, match=rf"b: {name} must have the SHA-256 that SHA256SUMS states, got ") as caught:
        check_digests(open_container(folder))
    assert f"of {int(keep * len(content))} bytes" in str(caught.value)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_zip(keep: float, made: dict[str, Path], tmp_path: Path) -> None:
    content = made["zip"].read_bytes()
    (tmp_path / "x.zip").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BundleError, match=r"x.zip must be a folder or a zip file; it is neither, or it was cut short"):
        open_container(tmp_path / "x.zip")


def test_a_missing_part(made: dict[str, Path], tmp_path: Path) -> None:
    for name in (*PARTS, SUMS):
        folder = tmp_path / name.replace("/", "-")
        shutil.copytree(made["ner"], folder)
        (folder / name).unlink()
        with pytest.raises(BundleError, match=rf"must hold {name}; it does not \(copy it again\)$"):
            check_digests(open_container(folder))


def test_a_zip_that_lacks_a_part(made: dict[str, Path], tmp_path: Path) -> None:
    with (tmp_path / "x.zip").open("wb") as file:
        write_zip({"deep/bundle.json": b"{}"}, file)
    with pytest.raises(BundleError, match=r"x.zip must hold bundle.json at its top; it does not"):
        open_container(tmp_path / "x.zip").read("bundle.json")


def test_a_zip_with_a_damaged_part(made: dict[str, Path], tmp_path: Path) -> None:
    content = bytearray(made["zip"].read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(BundleError, match=r"x.zip must be a whole zip file: Bad CRC-32 for file"):
        check_digests(open_container(tmp_path / "x.zip"))


def test_a_zip_packed_by_another_program_is_read_but_not_taken_for_ours(made: dict[str, Path], tmp_path: Path) -> None:
    _pack(made["ner"], tmp_path / "x.zip", zipfile.ZIP_STORED)
    container = open_container(tmp_path / "x.zip")
    check_digests(container)
    with pytest.raises(BundleError, match=r"damaged outside of them, or another program packed it"):
        container.check_whole()
    open_container(made["zip"]).check_whole()


def _pack(folder: Path, path: Path, compression: int) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in (*part_names(open_container(folder)), SUMS):
            archive.write(folder / name, name)


def test_no_part_is_unpacked_to_more_than_the_file_holds(made: dict[str, Path], tmp_path: Path) -> None:
    _pack(made["ner"], tmp_path / "x.zip", zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match=r"x.zip must hold its files as they are, bundle.json is compressed: another"):
        open_container(tmp_path / "x.zip").read("bundle.json")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", bytes(50_000_000))
    with pytest.raises(BundleError, match=r"bomb.zip must hold its files as they are, bundle.json is compressed"):
        open_container(tmp_path / "bomb.zip").read("bundle.json")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_part_that_is_there_twice(made: dict[str, Path], tmp_path: Path) -> None:
    _pack(made["ner"], tmp_path / "x.zip", zipfile.ZIP_STORED)
    with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        archive.writestr("bundle.json", b"{}")
    with pytest.raises(BundleError, match=r"x.zip must hold bundle.json once, it holds it several times"):
        open_container(tmp_path / "x.zip").read("bundle.json")


def test_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BundleError, match=r"text must be a folder or a zip file; it is neither"):
        open_container(tmp_path / "text")
    with pytest.raises(BundleError, match=r"nothing does not exist; give the folder or zip file"):
        open_container(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"must hold bundle.json; it does not"):
        open_container(tmp_path).read("bundle.json")


def test_a_part_that_is_a_folder(made: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(BundleError, match=r"model.onnx can't be read: Is a directory"):
        open_container(tmp_path).digest("model.onnx")


@pytest.mark.parametrize("name", ["/etc/passwd", "../b/bundle.json", "onnx/../../x", "a\\\\b"])
def test_a_part_outside_of_the_bundle_is_refused(name: str, made: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(made["ner"], folder)
    (folder / SUMS).write_text((folder / SUMS).read_text() + f"{'0' * 64}  {name}\n")
    with pytest.raises(BundleError, match=r"SHA256SUMS must name the parts and nothing else"):
        check_digests(open_container(folder))


def test_a_sum_of_another_file_is_refused(made: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(made["ner"], folder)
    (folder / SUMS).write_bytes((folder / SUMS).read_bytes() + b"0  more\n")
    with pytest.raises(BundleError, match=r"SHA256SUMS must name the parts and nothing else"):
        check_digests(open_container(folder))
