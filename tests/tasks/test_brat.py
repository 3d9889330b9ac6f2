from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import DataError
from aebert.runtime.words import find_entities, split_words
from aebert.tasks.brat import WORDS, Corpus, corpus_notes, read_brat
from aebert.tasks.conll import entity_types

Write = Callable[[str, str | bytes], Path]

TEXT = "Ann Lee won. Bo-Li lost 5% in\nNew York."


def spans(*annotations: tuple[str, int, int], text: str = TEXT) -> str:
    lines = (f"T{i}\t{kind} {start} {end}\t{text[start:end]}\n" for i, (kind, start, end) in enumerate(annotations, 1))
    return "".join(line.replace("\n", " ", line.count("\n") - 1) for line in lines)


def read(write: Write, annotations: str, text: str = TEXT) -> Corpus:
    path = write("docs/1.txt", text)
    write("docs/1.ann", annotations)
    return read_brat([path.parent])


def tagged(corpus: Corpus) -> list[str]:
    return [
        " ".join(word if tag == "O" else f"{word}/{tag}" for word, tag in zip(one.words, one.tags, strict=True))
        for one in corpus.sentences
    ]


def test_documents_become_sentences_of_tagged_words(write: Write) -> None:
    corpus = read(write, spans(("PER", 0, 7), ("PER", 13, 18), ("NUM", 24, 26)))
    assert tagged(corpus) == [
        "Ann/B-PER Lee/I-PER won .",
        "Bo/B-PER -/I-PER Li/I-PER lost 5/B-NUM %/I-NUM in",
        "New York .",
    ]
    first, second, third = corpus.sentences
    assert (first.line, second.line, third.line) == (1, 1, 2)
    assert third.at(1) == f"{first.file}:2"
    assert {one.document for one in corpus.sentences} == {first.file}
    assert corpus.counts["spans"] == 3
    assert corpus_notes([corpus]) == ("BRAT: documents 1, spans 3, tagged 3",)


def test_no_sentence_ends_inside_a_span(write: Write) -> None:
    assert tagged(read(write, spans(("X", 8, 15))))[0].startswith("Ann Lee won/B-X ./I-X Bo/I-X - Li")
    # across a line break, BRAT writes two pieces: there is no gap
    corpus = read(write, "T1\tLOC 27 29;30 38\tin New York\n")
    assert tagged(corpus)[-1] == "Bo - Li lost 5 % in/B-LOC New/I-LOC York/I-LOC ."
    assert corpus.counts["with gaps"] == 0


@pytest.mark.parametrize(
    ("annotations", "first", "note"),
    [
        (
            spans(("A", 0, 3), ("B", 0, 7), ("C", 4, 11)),
            "Ann/B-B Lee/I-B won .",
            "BRAT spans that are lost because a longer one overlaps them: 2",
        ),
        (
            spans(("A", 0, 3), ("B", 0, 3)),
            "Ann/B-A Lee won .",
            "BRAT spans that are lost because a longer one overlaps them: 1",
        ),
        (spans(("A", 0, 3), ("A", 0, 3)), "Ann/B-A Lee won .", "BRAT spans that are annotated twice: 1"),
        (
            "T1\tA 0 3;8 11\tAnn won\n",
            "Ann/B-A Lee/I-A won/I-A .",
            "BRAT spans that have gaps and are read as one from first to last character: 1",
        ),
        (
            spans(("A", 1, 6)),
            "Ann/B-A Lee/I-A won .",
            "BRAT spans that start or end inside a word and are extended to all of it: 1",
        ),
        (
            "T1\tA 3 6\tLee\n",
            "Ann Lee/B-A won .",
            "BRAT spans that stand a few characters from their offsets and are read where their text is: 1",
        ),
        (
            spans(("A", 3, 8)) + "R1\tBefore Arg1:T1 Arg2:T1\t\n#1\tAnnotatorNotes T1\tsure?\nE1\tA:T1\n*\tSame T1 T1\n"
            "A1\tNegated T1\nM2\tSpeculated T1\nN1\tReference T1 Wiki:1\tLee\n",
            "Ann Lee/B-A won .",
            "BRAT annotations that are not read: relations 2, events 1, attributes 2, normalizations 1, notes 1",
        ),
    ],
)
def test_what_tags_cannot_express_is_counted(write: Write, annotations: str, first: str, note: str) -> None:
    corpus = read(write, annotations)
    assert tagged(corpus)[0] == first
    assert corpus_notes([corpus])[1:] == (note,)


def test_two_spans_in_one_word_are_one(write: Write) -> None:
    corpus = read(write, spans(("A", 0, 2), ("B", 2, 3)))
    assert tagged(corpus)[0] == "Ann/B-A Lee won ."
    assert corpus_notes([corpus]) == (
        "BRAT: documents 1, spans 2, tagged 1",
        "BRAT spans that are lost because another one has their word: 1",
        "BRAT spans that start or end inside a word and are extended to all of it: 1",
    )


def test_offsets_are_characters(write: Write) -> None:
    text = "Ä 🙂 naïve Zoë won."
    assert tagged(read(write, spans(("PER", 10, 13), text=text), text)) == ["Ä 🙂 naïve Zoë/B-PER won ."]
    as_bytes = len("Ä 🙂 naïve ".encode())
    with pytest.raises(DataError, match=r"1\.ann:1: the text of a span must be at its offsets in characters"):
        read(write, f"T1\tPER {as_bytes + 9} {as_bytes + 13}\tZoë\n", text)


def test_line_ends_of_another_system(write: Write) -> None:
    corpus = read(write, spans(("LOC", 30, 38)), TEXT.replace("\n", "\r\n"))
    assert tagged(corpus)[-1] == "New/B-LOC York/I-LOC ."
    assert "moved" not in corpus.counts
    annotations = spans(("LOC", 31, 39), text=TEXT.replace("\n", "\r\n"))
    corpus = read(write, annotations.replace("\n", "\r\n"), TEXT.replace("\n", "\r\n"))
    assert tagged(corpus)[-1] == "New/B-LOC York/I-LOC ."
    assert "moved" not in corpus.counts


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ("T1\tA 0 3\tBob\n", r"1\.ann:1: the text .*, got 'Bob' at 0, where 'Ann' is; correct the line"),
        ("T1\tA 900 903\tAnn\n", r"1\.ann:1: the text .* got 'Ann' at 900, where '' is"),
        ("T1\tA 9 10\tn\n", r"1\.ann:1: the text of a span must be at its offsets"),
        ("T1\tA 3 4\t \n", r"1\.ann:1: a span must hold more than blanks, got ' '; delete it"),
        ("T1\tA 4 4\t\n", r"1\.ann:1: a span must hold more than blanks, got ''"),
        ("T1\tA 0 3\n", r"1\.ann:1 must be a span \(T1, a tab, .*\) or another annotation of BRAT, got 'T1\\tA 0 3'"),
        ("T1 A 0 3 Ann\n", r"1\.ann:1 must be a span"),
        ("\nX1\tA 0 3\tAnn\n", r"1\.ann:2 must be a span"),
    ],
)
def test_a_bad_annotation_is_named(write: Write, annotations: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write, annotations)


def test_documents_need_both_files(write: Write, tmp_path: Path) -> None:
    text = write("docs/1.txt", TEXT)
    with pytest.raises(
        DataError, match=r"1\.txt must have a file of the same name that ends in \.ann \(1 of 1 files la"
    ):
        read_brat([text.parent])
    with pytest.raises(DataError, match=r"1\.txt must have a file of the same name that ends in \.ann"):
        read_brat([text])
    write("docs/1.ann", "")
    write("docs/2.ann", "")
    write("docs/readme.md", "")
    with pytest.raises(DataError, match=r"2\.ann must have a file of the same name that ends in \.txt"):
        read_brat([text.parent])
    assert len(read_brat([text]).sentences) == 3
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"none must be a folder with \.txt and \.ann files"):
        read_brat([tmp_path / "none"])
    write("docs/2.txt", "\n")
    write("docs/1.txt", "")
    with pytest.raises(DataError, match=r"docs must have at least one sentence, all its documents are empty"):
        read_brat([text.parent])


@given(
    text=st.text("aB-5. \n", min_size=1, max_size=30),
    places=st.lists(st.tuples(st.integers(0, 29), st.integers(1, 9)), max_size=4),
)
def test_spans_of_whole_words_come_back(
    text: str, places: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    words = split_words(text, WORDS)
    if not words:
        return
    chosen: list[tuple[int, int]] = []
    for first, length in sorted(places):
        inside = words[first : first + length]
        if inside and (not chosen or chosen[-1][1] <= inside[0].start):
            chosen.append((inside[0].start, inside[-1].end))
    folder = tmp_path_factory.mktemp("docs")
    (folder / "1.txt").write_bytes(text.encode())
    lines = [f"T1\tX {start} {end}\t{' '.join(text[start:end].split(chr(10)))}\n" for start, end in chosen]
    (folder / "1.ann").write_text("".join(lines))
    corpus = read_brat([folder])
    assert [word for one in corpus.sentences for word in one.words] == [word.text for word in words]
    tags = [tag for one in corpus.sentences for tag in one.tags]
    found = find_entities(text, words, tags, [1.0] * len(words))
    assert [(one.start, one.end) for one in found] == chosen
    assert corpus_notes([corpus]) == (f"BRAT: documents 1, spans {len(chosen)}, tagged {len(chosen)}",)


@pytest.mark.data
def test_the_real_pico_corpus(corpora: Path) -> None:
    corpus = read_brat([corpora / "pico/PICO-Corpus-breast-cancer/pico_corpus_brat_annotated_files"])
    assert corpus_notes([corpus]) == (
        "BRAT: documents 1,011, spans 17,739, tagged 17,738",
        "BRAT spans that are annotated twice: 1",
        "BRAT spans that start or end inside a word and are extended to all of it: 38",
        "BRAT spans that stand a few characters from their offsets and are read where their text is: 1",
    )
    assert len(corpus.sentences) == 12915
    assert len(entity_types(corpus.sentences)) == 26
    assert sum(tag[0] == "B" for sentence in corpus.sentences for tag in sentence.tags) == 17738
    assert len({sentence.document for sentence in corpus.sentences}) == 1011
