"""One table of a database by its SQLAlchemy URL, as plain text. Nothing else loads SQLAlchemy."""

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from core.errors import TableError, UsageError
from core.io import vocabulary
from core.io.label_table import LabelTable

_URL = re.compile(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def is_url(source: str) -> bool:
    """Whether this is the URL of a database and no path."""
    return _URL.match(source) is not None


def read_database(url: str, table: str) -> LabelTable:
    """All rows of one table or view, in the order of its primary key where it has one.

    SQLite needs nothing more; other databases need their driver, such as `oracledb` for oracle+oracledb://USER@HOST/?service_name=X
    or `psycopg` for postgresql+psycopg://USER@HOST/DATABASE. The connection only reads.

    Args:
        url: SQLAlchemy URL. It may hold a password, so no error quotes it.
        table: Name, with the schema before a dot where it needs one.

    Raises:
        TableError: E_DATABASE when it cannot be opened or has no such table, E_LABEL_TABLE or E_HEAD when the table is too large
            or has no rows.
        UsageError: SQLAlchemy is not installed.
    """
    try:
        import sqlalchemy
    except ImportError as error:
        raise UsageError("a database needs the package sqlalchemy") from error
    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        if file and not file.startswith("file:") and not Path(file).is_file():
            raise TableError("E_DATABASE", "no such file")  # SQLite would make an empty one
        with engine.connect() as connection:
            schema, _, name = table.rpartition(".")
            found = sqlalchemy.Table(name, sqlalchemy.MetaData(), schema=schema or None, autoload_with=connection)
            rows = connection.execute(sqlalchemy.select(found).order_by(*found.primary_key.columns))
            lines = [[column.name for column in found.columns], *_bounded(rows)]
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, OSError, ValueError) as error:
        raise TableError("E_DATABASE", type(error).__name__) from None  # its text quotes the URL
    return LabelTable.of(lines)


def _bounded(rows: Any) -> Iterator[list[str]]:
    for number, row in enumerate(rows, 1):
        if number > vocabulary.MAX_TABLE_ROWS:
            raise TableError("E_LABEL_TABLE", f"more than {vocabulary.MAX_TABLE_ROWS} rows")
        yield _texts(row)


def _texts(row: Sequence[Any]) -> list[str]:
    return [_CONTROL.sub(" ", _text(value)).strip() for value in row]


def _text(value: object) -> str:
    if value is None or isinstance(value, bytes):
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, date) else str(value)
