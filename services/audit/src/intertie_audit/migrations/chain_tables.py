"""The tables of the chain: its links, its signed checkpoints, and up to where the log was there before it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

CHAIN = "integration_audit_chain"
CHECKPOINTS = "integration_audit_checkpoints"
ORIGIN = "integration_audit_origin"

_MYSQL = ("mysql", "mariadb")
# SQLite takes only INTEGER for a key that is the row's number.
_NUMBER = sa.BigInteger().with_variant(mysql.BIGINT(unsigned=True), *_MYSQL).with_variant(sa.Integer(), "sqlite")
_WORD = sa.String(16).with_variant(mysql.VARCHAR(16, charset="ascii", collation="ascii_bin"), *_MYSQL)
_DIGEST = sa.LargeBinary().with_variant(mysql.BINARY(32), *_MYSQL)
_SIGNATURE = sa.LargeBinary().with_variant(mysql.BINARY(64), *_MYSQL)
_CANONICAL = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), *_MYSQL)
_TEXT = sa.String(512).with_variant(mysql.VARCHAR(512, charset="ascii", collation="ascii_bin"), *_MYSQL)
_MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), *_MYSQL)
_INNODB: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}


class ChainTables:
    """The tables, with the prefix that all names begin with."""

    def __init__(self, prefix: str) -> None:
        self.metadata = sa.MetaData()
        self.chain = sa.Table(
            f"{prefix}{CHAIN}",
            self.metadata,
            sa.Column("sequence", _NUMBER, primary_key=True, autoincrement=False),
            # NULL where a link is about many rows; an entry is sealed once.
            sa.Column("entry_id", _NUMBER, nullable=True),
            sa.Column("kind", _WORD, nullable=False),
            sa.Column("canonical", _CANONICAL, nullable=False),
            sa.Column("head", _DIGEST, nullable=False),
            sa.Column("mac", _DIGEST, nullable=False),
            sa.Column("sealed_at", _MOMENT, nullable=False),
            **_INNODB,
        )
        # Index names are the table's on MySQL, the whole file's on SQLite.
        sa.Index(f"{prefix}intertie_sealed_entry", self.chain.c.entry_id, unique=True)
        self.checkpoints = sa.Table(
            f"{prefix}{CHECKPOINTS}",
            self.metadata,
            sa.Column("sequence", _NUMBER, primary_key=True, autoincrement=False),
            # The text says chain, place, head, time and key: no column repeats what is signed.
            sa.Column("signed_text", _TEXT, nullable=False),
            sa.Column("signature", _SIGNATURE, nullable=False),
            **_INNODB,
        )
        self.origin = sa.Table(
            f"{prefix}{ORIGIN}",
            self.metadata,
            # The highest number in the log when these tables were made; asked once, before the first link.
            sa.Column("found_up_to", _NUMBER, primary_key=True, autoincrement=False),
            **_INNODB,
        )
