"""The database of history and audit log: SQLite as it is, PostgreSQL by its URL, brought up to date when it is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from core.errors import HistoryError

_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x46495645  # one number a program, for PostgreSQL's advisory locks
_WAIT_S = 30  # for another process that writes
KNOWN = ("sqlite", "postgresql")


class Store:
    """One database; threads may share it, and any number of processes may have it open.

    SQLite keeps it in one file, readable by its owner alone, and overwrites what is deleted. PostgreSQL needs the package
    `psycopg` (LGPL, not installed with this program) and a URL such as postgresql+psycopg://USER@HOST/DATABASE.

    Args:
        url: SQLAlchemy URL. It may hold a password, so no error quotes it.
        may_be_new: Whether a file that is not there is made.

    Raises:
        HistoryError: It cannot be opened, or a newer version of this program made it.
    """

    def __init__(self, url: str, may_be_new: bool = True) -> None:
        try:
            # Opened for each use: a file that is deleted or put back meanwhile is no trouble.
            self._engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=_connect_args(url))
        except (sa.exc.SQLAlchemyError, ImportError, ValueError) as error:
            raise HistoryError(type(error).__name__) from None
        if self._engine.dialect.name not in KNOWN:
            raise HistoryError(f"a database of the kind {self._engine.dialect.name}; known: {', '.join(KNOWN)}")
        if self._is_sqlite:
            _prepare_sqlite(self._engine, may_be_new)
        self.migrate()

    @property
    def _is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the database.

        Raises:
            HistoryError: The database cannot be read.
        """
        with _told(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """One transaction while which nobody else writes; nothing of it stays when it raises.

        Raises:
            HistoryError: The database cannot be written to.
        """
        with _told(), self._engine.connect().execution_options(is_writing=True) as connection, connection.begin():
            if not self._is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            yield connection

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to a revision, up or down; two processes that start at once wait for each other.

        Raises:
            HistoryError: See `Store`.
        """
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        try:
            with self.writing() as connection:
                config.attributes["connection"] = connection
                is_down = revision == "base" or revision < (_revision(connection) or "")
                (command.downgrade if is_down else command.upgrade)(config, revision)
        except CommandError as error:
            raise HistoryError("the database was made by a newer version of this program") from error


def _revision(connection: sa.Connection) -> str | None:
    """Of the tables as they are."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def _connect_args(url: str) -> dict[str, Any]:
    return {"timeout": _WAIT_S} if url.startswith("sqlite") else {"connect_timeout": _WAIT_S}


def _prepare_sqlite(engine: sa.Engine, may_be_new: bool) -> None:
    """A file of its owner, deleted rows overwritten, and transactions that this program begins itself."""
    file = engine.url.database
    if not file or file == ":memory:":
        raise HistoryError("a history in memory would be gone with each connection")
    if not may_be_new and not Path(file).is_file():
        raise HistoryError("no such file")
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch(mode=0o600)
    except OSError as error:
        raise HistoryError(type(error).__name__) from error

    @sa.event.listens_for(engine, "connect")
    def connected(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # else the driver commits before it changes a table
        raw.execute("PRAGMA secure_delete = ON")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        # Whoever reads first and writes later would find the file locked by another that did the same.
        is_writing = connection.get_execution_options().get("is_writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise HistoryError(type(error).__name__) from None  # its text quotes values and the URL
