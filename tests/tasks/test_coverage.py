from __future__ import annotations

from aebert.tasks.coverage import coverage_notes
from aebert.tasks.task import ROLES, Role, Row, TaskSpec

CLASSES = TaskSpec(
    name="t",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("a", "b", "c"),
    metric="accuracy",
    headline="accuracy",
)
NER = TaskSpec(
    name="n", kind="ner", columns=("tokens",), label_column="tags", labels=("X", "Y"), metric="seqeval", headline="f1"
)
SCORES = TaskSpec(
    name="s",
    kind="regression",
    columns=("text",),
    label_column="label",
    labels=(),
    metric="pearson_spearman",
    headline="spearman",
)


def roles(*labels: list[object]) -> dict[Role, list[Row]]:
    return {role: [Row(("x",), label) for label in found] for role, found in zip(ROLES, labels, strict=True)}  # type: ignore[arg-type]


def test_classes_that_some_rows_lack() -> None:
    assert coverage_notes(CLASSES, roles([0, 1, 2], [0, 1, 2], [2, 1, 0], [0, 1, 2, 2])) == ()
    assert coverage_notes(CLASSES, roles([0, 1, 2], [0], [0], [0, 1])) == (
        "class 'b' occurs in train and report rows only",
        "class 'c' occurs in train rows only",
    )
    assert coverage_notes(CLASSES, roles([0], [0], [0], [0])) == ("classes 'b' and 'c' occur in no row",)
    assert coverage_notes(CLASSES, roles([0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2])) == (
        "class 'c' occurs in search, select and report rows only",
    )


def test_entity_types_that_some_rows_lack() -> None:
    assert coverage_notes(NER, roles([(1, 2, 3)], [(0, 3)], [(1, 3)], [(2,), (4,)])) == (
        "entity type 'X' occurs in train, select and report rows only",
    )


def test_long_lists_are_cut() -> None:
    many = CLASSES.with_labels([f"c{i}" for i in range(9)])
    (note,) = coverage_notes(many, roles([*range(9)], [0], [*range(9)], [*range(9)]))
    assert note == "classes 'c1', 'c2', 'c3', 'c4', 'c5', 'c6' and 2 more occur in train, select and report rows only"


def test_scores_have_no_classes() -> None:
    assert coverage_notes(SCORES, roles([1.0], [2.0], [3.0], [4.0])) == ()
