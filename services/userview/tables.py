"""The tables of the read side, and the index of words that each kind of database has in its own way.

`words` holds what a view is found by, cut and folded by us (`domain.words`), so that both databases index the same:
SQLite by an FTS5 table over it, kept by triggers; PostgreSQL by an expression index that takes the words as they are,
without its parser. FTS5's tokenizer is `ascii`, which cuts at spaces and leaves all letters beyond ASCII alone:
`unicode61` takes those for spaces that Unicode did not have in 2012. A word has letters and digits only, and can be no
syntax of either's queries.
"""

from __future__ import annotations

import sqlalchemy as sa

from services.common.storage.columns import UtcDateTime

metadata = sa.MetaData()

CURRENT, BUILDING, RETIRED = "current", "building", "retired"

generations = sa.Table(
    "generations",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String(16), nullable=False),
)
sa.Index(
    "one_current_one_building",
    generations.c.state,
    unique=True,
    sqlite_where=generations.c.state != RETIRED,
    postgresql_where=generations.c.state != RETIRED,
)

places = sa.Table(
    "places",
    metadata,
    sa.Column("generation", sa.BigInteger, primary_key=True),
    sa.Column("source", sa.String(32), primary_key=True),
    sa.Column("place", sa.BigInteger, nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
)

views = sa.Table(
    "views",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("id", sa.String(64), nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("email", sa.String, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("balance_cents", sa.BigInteger, nullable=False),
    sa.Column("last_activity", UtcDateTime),
    sa.Column("total_orders", sa.Integer, nullable=False),
    sa.Column("phone", sa.String, nullable=False),
    sa.Column("known", sa.Boolean, nullable=False),
    sa.Column("words", sa.String, nullable=False),
    sa.UniqueConstraint("generation", "id"),
)

_SQLITE = (
    "CREATE VIRTUAL TABLE view_words USING fts5("
    "words, content='views', content_rowid='number', tokenize='ascii', prefix='2 3')",
    "CREATE TRIGGER views_in AFTER INSERT ON views BEGIN"
    " INSERT INTO view_words(rowid, words) VALUES (new.number, new.words); END",
    "CREATE TRIGGER views_out AFTER DELETE ON views BEGIN"
    " INSERT INTO view_words(view_words, rowid, words) VALUES ('delete', old.number, old.words); END",
    "CREATE TRIGGER views_changed AFTER UPDATE OF words ON views WHEN old.words IS NOT new.words BEGIN"
    " INSERT INTO view_words(view_words, rowid, words) VALUES ('delete', old.number, old.words);"
    " INSERT INTO view_words(rowid, words) VALUES (new.number, new.words); END",
)
_POSTGRESQL = "CREATE INDEX views_words ON views USING gin (array_to_tsvector(string_to_array(words, ' ')))"

for statement in _SQLITE:
    sa.event.listen(views, "after_create", sa.DDL(statement).execute_if(dialect="sqlite"))  # type: ignore[no-untyped-call]
sa.event.listen(views, "after_create", sa.DDL(_POSTGRESQL).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]

_IN_SQLITE = sa.text("number IN (SELECT rowid FROM view_words WHERE view_words MATCH :query)")
_IN_POSTGRESQL = sa.text("array_to_tsvector(string_to_array(words, ' ')) @@ CAST(:query AS tsquery)")


def with_words(dialect: str, terms: list[str]) -> sa.TextClause:
    """The condition that a row has, for each term, a word that begins with it."""
    if dialect == "sqlite":
        return _IN_SQLITE.bindparams(query=" ".join(f'"{term}"*' for term in terms))
    return _IN_POSTGRESQL.bindparams(query=" & ".join(f"'{term}':*" for term in terms))
