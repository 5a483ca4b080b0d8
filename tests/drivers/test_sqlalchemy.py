# SPDX-License-Identifier: ISC
"""SQLAlchemy over psycopg2, as its documentation shows it: pools, the ORM, savepoints, server-side cursors, reflection; eight threads on two servers."""

import concurrent.futures

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import postgresql

from harness.cluster import USERS

Base = orm.declarative_base()


class Author(Base):
    __tablename__ = "sa_authors"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.String, nullable=False, unique=True)
    books = orm.relationship("Book", back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "sa_books"
    id = sa.Column(sa.Integer, primary_key=True)
    title = sa.Column(sa.String)
    data = sa.Column(postgresql.JSONB)
    author_id = sa.Column(sa.ForeignKey("sa_authors.id"))
    author = orm.relationship("Author", back_populates="books")


@pytest.fixture
def engine(start):
    proxy = start(lanes={"default": 2}, sections={"lane:default": {"max_pinned": 2}})
    engine = sa.create_engine(f"postgresql+psycopg2://app:{USERS['app'][0]}@{proxy.host}:{proxy.port}/app", pool_size=8, max_overflow=0, future=True)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    yield engine
    Base.metadata.drop_all(engine)
    engine.dispose()


def test_orm(engine):
    Session = orm.sessionmaker(engine, future=True)
    with Session.begin() as session:
        session.add_all([Author(name=f"author {n}", books=[Book(title=f"book {n}.{i}", data={"n": n, "i": i}) for i in range(5)]) for n in range(20)])
    with Session() as session:
        author = session.execute(sa.select(Author).where(Author.name == "author 3").options(orm.selectinload(Author.books))).scalar_one()
        assert [book.data["i"] for book in sorted(author.books, key=lambda book: book.title)] == [0, 1, 2, 3, 4]
        session.delete(author)
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 95


def test_savepoints_and_errors(engine):
    with orm.Session(engine, future=True) as session:
        session.add(Author(id=1, name="one"))
        session.flush()
        for _ in range(3):
            with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
                session.add(Author(id=1, name="again"))
                session.flush()
        with session.begin_nested():
            session.add(Author(id=2, name="two"))
        session.commit()
        assert session.scalars(sa.select(Author.name).order_by(Author.id)).all() == ["one", "two"]


def test_server_side_cursor(engine):
    with engine.connect() as connection:
        result = connection.execution_options(stream_results=True, max_row_buffer=100).execute(sa.text("SELECT generate_series(1, 5000)"))
        assert sum(row[0] for row in result) == 5000 * 5001 // 2


def test_isolation_levels(engine):
    """By engine and by connection: psycopg2 sets them for the session."""
    with engine.execution_options(isolation_level="SERIALIZABLE").connect() as connection:
        assert connection.execute(sa.text("SHOW transaction_isolation")).scalar() == "serializable"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM sa_authors"))
    with engine.connect() as connection:
        assert connection.execute(sa.text("SHOW transaction_isolation")).scalar() == "read committed"


def test_reflection(engine):
    inspector = sa.inspect(engine)
    assert {"sa_authors", "sa_books"} <= set(inspector.get_table_names())
    assert [column["name"] for column in inspector.get_columns("sa_books")] == ["id", "title", "data", "author_id"]
    assert inspector.get_foreign_keys("sa_books")[0]["referred_table"] == "sa_authors"
    assert inspector.get_unique_constraints("sa_authors")[0]["column_names"] == ["name"]


def test_eight_threads_on_two_servers(engine):
    with orm.Session(engine, future=True) as session:
        session.add(Author(id=1, name="counter"))
        session.add(Book(id=1, title="0", author_id=1))
        session.commit()

    def work(_):
        for _ in range(25):
            with orm.Session(engine, future=True) as session, session.begin():
                book = session.execute(sa.select(Book).where(Book.id == 1).with_for_update()).scalar_one()
                book.title = str(int(book.title) + 1)
        return True

    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        assert all(executor.map(work, range(8)))
    with orm.Session(engine, future=True) as session:
        assert session.get(Book, 1).title == "200"


def test_temporary_table_and_search_path(engine):
    with engine.connect() as connection:
        connection.execute(sa.text("SET search_path TO pg_catalog, public"))
        connection.execute(sa.text("CREATE TEMPORARY TABLE sa_mine (n int)"))
        connection.commit()
        connection.execute(sa.text("INSERT INTO sa_mine VALUES (1), (2)"))
        connection.commit()
        assert connection.execute(sa.text("SELECT count(*) FROM sa_mine")).scalar() == 2
        assert connection.execute(sa.text("SHOW search_path")).scalar() == "pg_catalog, public"
