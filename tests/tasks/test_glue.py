from collections.abc import Callable
from pathlib import Path

import pytest

from aebert.errors import DataError
from aebert.tasks.catalog import TASKS
from aebert.tasks.glue import LAYOUTS, read_glue

Write = Callable[[str, str | bytes], Path]

# Header and one row of each official train file.
OFFICIAL = {
    "cola": ("CoLA/train.tsv", "gj04\t1\t\tOur friends.\n", ("Our friends.",), 1),
    "mnli": (
        "MNLI/train.tsv",
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
        "sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
        "0\t3\t3n\tgovernment\t( a )\t( b )\t(R a)\t(R b)\ta\tb\tneutral\tneutral\n",
        ("a", "b"),
        1,
    ),
    "mrpc": ("MRPC/train.tsv", '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\t"a\tb\n', ('"a', "b"), 1),
    "qnli": ("QNLI/train.tsv", "index\tquestion\tsentence\tlabel\n0\tq?\ts\tnot_entailment\n", ("q?", "s"), 1),
    "qqp": (
        "QQP/train.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n9\t1\t2\tq1\tq2\t0\n",
        ("q1", "q2"),
        0,
    ),
    "rte": ("RTE/train.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n", ("a", "b"), 0),
    "sst2": ("SST-2/train.tsv", "sentence\tlabel\nhide secretions \t0\n", ("hide secretions ",), 0),
    "stsb": (
        "STS-B/train.tsv",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tm\tf\t2012\t1\tnone\tnone\ta\tb\t3.800\n",
        ("a", "b"),
        3.8,
    ),
    "stsb-embedding": (
        "STS-B/train.tsv",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tm\tf\t2012\t1\tnone\tnone\ta\tb\t3.800\n",
        ("a", "b"),
        3.8,
    ),
    "wnli": ("WNLI/train.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n", ("a", "b"), 1),
}


@pytest.mark.parametrize("below", ["", "glue/"])
@pytest.mark.parametrize("name", list(OFFICIAL))
def test_official_layouts(write: Write, tmp_path: Path, name: str, below: str) -> None:
    file, content, text, label = OFFICIAL[name]
    write(below + file, content)
    splits = read_glue(TASKS[name], tmp_path).splits
    assert {split: [(row.text, row.label) for row in rows] for split, rows in splits.items()} == {
        "train": [(text, label)]
    }


def test_all_glue_tasks_have_a_layout() -> None:
    assert set(LAYOUTS) == set(OFFICIAL) == {name for name in TASKS if name != "endpoints-synthetic"}


def test_an_unlabelled_test_is_left_out_a_labelled_one_read(write: Write, tmp_path: Path) -> None:
    write("RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n")
    write("RTE/test.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n")
    assert list(read_glue(TASKS["rte"], tmp_path).splits) == ["dev"]
    write("RTE/test.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n")
    assert list(read_glue(TASKS["rte"], tmp_path).splits) == ["dev", "test"]


def test_blank_texts_of_the_official_files_stay(write: Write, tmp_path: Path) -> None:
    write("QQP/train.tsv", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n9\t1\t2\tq1\t\t0\n")
    assert read_glue(TASKS["qqp"], tmp_path).splits["train"][0].text == ("q1", "")


def test_mnli_has_two_devs(write: Write, tmp_path: Path) -> None:
    for name, text in (("matched", "m"), ("mismatched", "mm")):
        write(f"MNLI/dev_{name}.tsv", f"sentence1\tsentence2\tlabel1\tgold_label\n{text}\tb\tneutral\tcontradiction\n")
    splits = read_glue(TASKS["mnli"], tmp_path).splits
    assert {split: rows[0].text for split, rows in splits.items()} == {"dev": ("m", "b"), "dev_mismatched": ("mm", "b")}


def test_mrpc_trains_on_the_official_rows(write: Write, tmp_path: Path) -> None:
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
    write("MRPC/msr_paraphrase_train.txt", header + "1\t1\t2\ta\tb\n0\t2\t1\tc\td\n1\t3\t4\te\tf\n")
    write("MRPC/train.tsv", header + "1\t1\t2\ta\tb\n")
    write("MRPC/msr_paraphrase_test.txt", header + "0\t5\t6\tg\th\n")
    assert [row.text for row in read_glue(TASKS["mrpc"], tmp_path).splits["train"]] == [("a", "b")]
    write("MRPC/dev_ids.tsv", "2\t1\n")
    splits = read_glue(TASKS["mrpc"], tmp_path).splits
    assert [(row.text, row.label) for row in splits["train"]] == [(("a", "b"), 1), (("e", "f"), 1)]
    assert [(row.text, row.label) for row in splits["test"]] == [(("g", "h"), 0)]


def test_stsb_test_scores_are_in_the_original_file(write: Write, tmp_path: Path) -> None:
    rows = "main-captions\tMSRvid\t2012test\t0024\t2.500\tone\ttwo\nmain-news\tMSRpar\t2012\t1\t4\tx\ty\thttp://a\thttp://b\n"
    write("STS-B/original/sts-test.tsv", rows)
    (test,) = read_glue(TASKS["stsb"], tmp_path).splits.values()
    assert [(row.text, row.label) for row in test] == [(("one", "two"), 2.5), (("x", "y"), 4.0)]
    write("STS-B/original/sts-test.tsv", "a\tb\tc\td\t2.5\tone\ttwo\tlink\n")
    with pytest.raises(DataError, match=r"sts-test\.tsv:1 must have 9 columns .*got 8"):
        read_glue(TASKS["stsb"], tmp_path)


def test_broken_qqp_lines_are_left_out_and_noted(write: Write, tmp_path: Path) -> None:
    header, row, half = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n", "9\t1\t2\tq1\tq2\t0\n", "9\t1\tq1\n"
    write("QQP/train.tsv", header + row + half + row + half)
    read = read_glue(TASKS["qqp"], tmp_path)
    assert len(read.splits["train"]) == 2
    assert len(read.notes) == 1
    assert read.notes[0].startswith("2 broken lines left out: ")
    assert "train.tsv:3 must have 6 columns" in read.notes[0]
    write("QQP/train.tsv", header + row + half * 51 + row)
    with pytest.raises(DataError, match=r"train\.tsv:53 must have 6 columns .*50 lines before it break the rule too"):
        read_glue(TASKS["qqp"], tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a\tb\t1\n", r"dev\.tsv:2 must have 2 columns \(sentence, label\), got 3$"),
        ("a\n", r"dev\.tsv:2 must have 2 columns \(sentence, label\), got 1$"),
        ("a\t2\n", r"dev\.tsv:2: label must be a class of sst2, got '2'"),
        ("a\t\n", r"dev\.tsv:2: label must be a class name or id, got ''"),
    ],
)
def test_a_malformed_line_is_named(write: Write, tmp_path: Path, row: str, message: str) -> None:
    write("SST-2/dev.tsv", "sentence\tlabel\n" + row)
    with pytest.raises(DataError, match=message):
        read_glue(TASKS["sst2"], tmp_path)


def test_a_train_file_without_labels_is_an_error(write: Write, tmp_path: Path) -> None:
    write("SST-2/train.tsv", "index\tsentence\n0\ta\n")
    with pytest.raises(DataError, match=r"train\.tsv:2 has no column 'label'"):
        read_glue(TASKS["sst2"], tmp_path)


def test_a_missing_folder_names_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"looked for \S+/SST-2 and \S+/glue/SST-2; set data\.root or AEBERT_DATA"):
        read_glue(TASKS["sst2"], tmp_path)


def test_a_folder_without_labelled_rows_is_an_error(write: Write, tmp_path: Path) -> None:
    write("WNLI/test.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n")
    with pytest.raises(DataError, match=r"WNLI must have labelled rows in train\.tsv, dev\.tsv, test\.tsv, found none"):
        read_glue(TASKS["wnli"], tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("sst2", {"train": 67349, "dev": 872}),
        ("mrpc", {"train": 3668, "dev": 408, "test": 1725}),
        ("rte", {"train": 2490, "dev": 277}),
        ("cola", {"train": 8551, "dev": 1043}),
        ("stsb", {"train": 5749, "dev": 1500, "test": 1379}),
        ("qnli", {"dev": 5463}),
        ("wnli", {"train": 635, "dev": 71}),
    ],
)
def test_sizes_of_the_real_tasks(corpora: Path, name: str, sizes: dict[str, int]) -> None:
    splits = read_glue(TASKS[name], corpora).splits
    assert {split: len(rows) for split, rows in splits.items()} == sizes


@pytest.mark.data
def test_real_dev_rows_that_stand_in_train(corpora: Path) -> None:
    repeats = {}
    for name in ("cola", "stsb", "mrpc", "rte", "wnli"):
        splits = read_glue(TASKS[name], corpora).splits
        train = {row.text for row in splits["train"]}
        repeats[name] = sum(row.text in train for row in splits["dev"])
    assert repeats == {"cola": 16, "stsb": 6, "mrpc": 0, "rte": 0, "wnli": 0}
