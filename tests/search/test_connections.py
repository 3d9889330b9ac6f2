from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from aebert.errors import StudyError
from aebert.search.connections import database_errors, kept_url, sqlite_url


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgresql://me:s%40cret@host:5432/db?sslmode=require", "postgresql://me@host:5432/db?sslmode=require"),
        ("postgresql+psycopg2://host/db?password=secret&user=me", "postgresql+psycopg2://host/db?user=me"),
        ("postgresql:///db", "postgresql:///db"),
        ("mysql+pymysql://me:secret@host/db", "mysql+pymysql://me@host/db"),
    ],
)
def test_a_url_is_kept_without_its_password(url: str, kept: str) -> None:
    assert kept_url(url) == kept


def test_the_path_of_a_file_is_kept_as_it_is(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "a?b #c%20" / "study.db")
    assert kept_url(url) == url


def test_a_missing_password_says_where_it_may_stand() -> None:
    reason = Exception('connection to server at "host" failed: fe_sendauth: no password supplied')
    with pytest.raises(StudyError) as caught, database_errors("postgresql://me@host/db"):
        raise OperationalError("connect", {}, reason)
    assert str(caught.value) == (
        "study database postgresql://me@host/db needs a password, which is not kept with a run: set PGPASSWORD, or "
        "write it into ~/.pgpass"
    )
