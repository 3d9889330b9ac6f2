from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import DataError
from aebert.tasks.conll import Sentence, entity_names, entity_types, find_scheme, read_conll, tagged_rows, to_bio
from aebert.tasks.task import TaskSpec

Write = Callable[[str, str | bytes], Path]


def sentence(tags: str, line: int = 1) -> Sentence:
    return Sentence(tuple("w" for _ in tags.split()), tuple(tags.split()), line, "a.conll")


def converted(*sentences: str) -> list[str]:
    return [" ".join(s.tags) for s in to_bio({"train": [sentence(tags) for tags in sentences]})["train"]]


def test_tab_separated_with_tab_only_lines_between_sentences(write: Write) -> None:
    path = write("a.conll", "\ufeffin\tO\r\nNew York\tB-LOC\r\n\t\r\n#\tO\r\n# 1\tO\r\n\r\n\r\nend\tO")
    assert [(s.words, s.tags, s.line) for s in read_conll(path)] == [
        (("in", "New York"), ("O", "B-LOC"), 1),
        (("#", "# 1"), ("O", "O"), 4),
        (("end",), ("O",), 8),
    ]


def test_conll_2003_columns_and_document_lines(write: Write) -> None:
    path = write(
        "a.txt", "-DOCSTART- -X- -X- O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n-DOCSTART- -X- O O\nEnd NN O O\n"
    )
    assert [(s.words, s.tags, s.line) for s in read_conll(path)] == [
        (("EU", "rejects"), ("I-ORG", "O"), 3),
        (("End",), ("O",), 6),
    ]


def test_comments_before_a_sentence_are_not_words(write: Write) -> None:
    path = write("a.conll", "# id = 1\n# text = # 1 is O\nOne O\n# O\n\n# O\n#x B-TAG\n")
    assert [(s.words, s.tags) for s in read_conll(path)] == [
        (("One", "#"), ("O", "O")),
        (("#", "#x"), ("O", "B-TAG")),
    ]


def test_comments_in_tab_separated_files(write: Write) -> None:
    path = write("a.conll", "# a comment\n# sent_id = 2\nOne\tO\n")
    assert [s.line for s in read_conll(path)] == [3]


def test_another_encoding(write: Write) -> None:
    path = write("a.conll", "naïve\tO\n".encode("cp1252"))
    assert read_conll(path, "cp1252")[0].words == ("naïve",)
    with pytest.raises(DataError, match=r"a\.conll:1 must be UTF-8 text"):
        read_conll(path)


def test_words_may_be_numbers(write: Write) -> None:
    assert read_conll(write("a.conll", "1 O\n\n1 O\n"))[0].words == ("1",)
    assert read_conll(write("a.conll", "1 O\n2 O\n\n2 O\n"))[0].words == ("1", "2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "# a\n1\tIn\tO\n2\tRome\tB-LOC\n\n1\tEnd\tO\n",
            r"a\.conll: the first column must hold the words, but it numbers them \(got 1 2 \.\.\.\); delete",
        ),
        ("", r"a\.conll must have at least one sentence"),
        ("\n\n-DOCSTART- O\n\n", r"a\.conll must have at least one sentence"),
        ("in O\nRome\n", r"a\.conll:2 must have a word and a tag, separated by a tab or blanks, got 'Rome'"),
        ("in\tO\nRome B-LOC\n", r"a\.conll:2 must have a word and a tag"),
        ("in\tO\nRome\tNN\tB-LOC\n", r"a\.conll:2 must have 2 columns as line 1 has, got 3"),
        ("in O\n# no comment here\n", r"a\.conll:2 must have 2 columns as line 1 has, got 4"),
        ("in\tO\n\tO\n", r"a\.conll:2 must have a word and a tag, got '' and 'O'"),
        ("in\t\n", r"a\.conll:1 must have a word and a tag, got 'in' and ''"),
    ],
)
def test_bad_lines_are_named(write: Write, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_conll(write("a.conll", content))


@pytest.mark.parametrize(
    ("scheme", "tags", "bio"),
    [
        ("IOB2", "B-X I-X B-X O B-Y", "B-X I-X B-X O B-Y"),
        ("IOB1", "I-X I-X B-X O I-Y I-X", "B-X I-X B-X O B-Y B-X"),
        ("IOB1", "O I-X", "O B-X"),
        ("IOBES", "B-X I-X E-X S-X O B-Y E-Y", "B-X I-X I-X B-X O B-Y I-Y"),
        ("BILOU", "B-X I-X L-X U-X O B-Y L-Y", "B-X I-X I-X B-X O B-Y I-Y"),
        ("BILOU", "U-X U-X", "B-X B-X"),
        ("IOB2", "O O", "O O"),
    ],
)
def test_schemes(scheme: str, tags: str, bio: str) -> None:
    assert find_scheme([sentence(tags)]) == scheme
    assert converted(tags) == [bio]


def test_the_scheme_is_that_of_all_splits() -> None:
    splits = {"train": [sentence("I-X B-X")], "dev": [sentence("O I-X")], "test": [sentence("O O")]}
    assert {name: rows[0].tags for name, rows in to_bio(splits).items()} == {
        "train": ("B-X", "B-X"),
        "dev": ("O", "B-X"),
        "test": ("O", "O"),
    }


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("B-X O I-X", r"a\.conll:3: tag 'I-X' can't follow 'O' in IOB2, and the files are not IOB1"),
        ("B-X I-Y", r"a\.conll:2: tag 'I-Y' can't follow 'B-X' in IOB2"),
        ("I-X O B-X", r"a\.conll:1: tag 'I-X' can't follow the start of the sentence"),
        ("S-X B-X O", r"a\.conll:3: tag 'O' can't follow 'B-X' in IOBES"),
        ("S-X B-X", r"a\.conll:2: a sentence can't end with 'B-X' in IOBES"),
        ("O E-X", r"a\.conll:2: tag 'E-X' can't follow 'O' in IOBES"),
        ("B-X E-Y", r"a\.conll:2: tag 'E-Y' can't follow 'B-X' in IOBES"),
        (
            "U-X B-X O",
            r"a\.conll:3: tag 'O' can't follow 'B-X' in BILOU \(which the files are, by 'U-X' at a\.conll:1\)",
        ),
        ("U-X B-X", r"a\.conll:2: a sentence can't end with 'B-X' in BILOU"),
        ("B-X L-Y", r"a\.conll:2: tag 'L-Y' can't follow 'B-X' in BILOU"),
        ("I-X L-X", r"a\.conll:1: tag 'I-X' can't follow the start of the sentence in BILOU"),
        (
            "B-X L-X O B-X E-X",
            r"tags must be of one scheme, got 'E-X' at a\.conll:5 \(IOBES\) and 'L-X' at a\.conll:2 \(BILOU\); convert",
        ),
        ("U-X S-X", r"tags must be of one scheme"),
        ("O Q-X", r"a\.conll:2: tag must be O or B-, I-, E-, S-, L- or U- and an entity type, got 'Q-X'"),
        ("O LOC", r"a\.conll:2: tag must be O or .*got 'LOC'"),
        ("B-", r"a\.conll:1: tag must be O or .*got 'B-'"),
    ],
)
def test_illegal_tags_are_named(tags: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        converted(tags)


spans = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["", "X", "Y"])), min_size=1, max_size=6)


def written(chunks: list[tuple[int, str]], scheme: str) -> str:
    """Tags of (length, type) chunks; an empty type is O."""
    tags: list[str] = []
    before = ""
    for length, kind in chunks:
        if not kind:
            tags += ["O"] * length
        elif scheme in ("IOBES", "BILOU"):
            last, only = "ES" if scheme == "IOBES" else "LU"
            inner = ["B", *["I"] * (length - 2), last] if length > 1 else [only]
            tags += [f"{prefix}-{kind}" for prefix in inner]
        else:
            first = "B" if scheme == "IOB2" or before == kind else "I"
            tags += [f"{first}-{kind}", *[f"I-{kind}"] * (length - 1)]
        before = kind
    return " ".join(tags)


@given(chunks=spans, scheme=st.sampled_from(["IOB1", "IOBES", "BILOU"]))
def test_all_schemes_give_the_same_tags(chunks: list[tuple[int, str]], scheme: str) -> None:
    bio = written(chunks, "IOB2")
    # a single-word and a two-word entity make the scheme certain
    marker = written([(1, "X"), (2, "X")], scheme)
    assert converted(written(chunks, scheme), marker)[0] == bio
    assert converted(bio) == [bio]


def test_rows_of_tags(write: Write) -> None:
    spec = TaskSpec(
        name="ner",
        kind="ner",
        columns=("tokens",),
        label_column="tags",
        labels=("LOC", "PER"),
        metric="seqeval",
        headline="f1",
    )
    (row,) = tagged_rows([Sentence(("in", "Rome"), ("O", "B-LOC"), 5, "a")], spec)
    assert (row.text, row.label, row.source) == (("in", "Rome"), (0, 1), "a:5")
    with pytest.raises(DataError, match=r"a:6: entity type must be known .*got 'LOK' \(did you mean 'LOC'\?\)"):
        list(tagged_rows([Sentence(("in", "Rome"), ("O", "B-LOK"), 5, "a")], spec))


def test_rows_keep_their_document() -> None:
    spec = TaskSpec(
        name="ner",
        kind="ner",
        columns=("tokens",),
        label_column="tags",
        labels=("LOC",),
        metric="seqeval",
        headline="f1",
    )
    (row,) = tagged_rows([Sentence(("Rome",), ("B-LOC",), 5, "a", document="d")], spec)
    assert row.document == "d"


def test_entities_are_named_where_they_start() -> None:
    assert list(entity_names([sentence("B-Y I-Y B-A O")])) == [("Y", "a.conll:1"), ("A", "a.conll:3")]


def test_entity_types_are_sorted() -> None:
    assert entity_types([sentence("B-Y I-Y O"), sentence("B-A-b")]) == ("A-b", "Y")


REAL = {
    "wnut17": (("wnut17/wnut17train.conll", "wnut17/emerging.dev.conll", "wnut17/emerging.test.annotated"), 6),
    **{
        name: (tuple(f"bio/{name}-IOB/{split}.tsv" for split in ("train", "devel", "test")), types)
        for name, types in (("NCBI-disease", 1), ("BC5CDR", 2), ("BioNLP13CG", 16))
    },
}


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("wnut17", [3394, 1009, 1287]),
        ("NCBI-disease", [5424, 923, 940]),
        ("BC5CDR", [4560, 4581, 4797]),
        ("BioNLP13CG", [3033, 1003, 1906]),
    ],
)
def test_sizes_of_the_real_corpora(corpora: Path, name: str, sizes: list[int]) -> None:
    paths, types = REAL[name]
    splits = to_bio({path: read_conll(corpora / "ner" / path) for path in paths})
    assert [len(sentences) for sentences in splits.values()] == sizes
    assert len(entity_types([sentence for split in splits.values() for sentence in split])) == types
    assert find_scheme([sentence for split in splits.values() for sentence in split]) == "IOB2"
