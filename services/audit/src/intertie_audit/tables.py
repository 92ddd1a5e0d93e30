"""The table of the log, as statements address it; its types for the database stand in the migration."""

from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, String, Table, Text


def query_logs(prefix: str) -> Table:
    """The table `<prefix>integration_query_logs`.

    JSON columns are text here: SQLAlchemy's JSON type would parse and print each document on its way.
    """
    return Table(
        f"{prefix}integration_query_logs",
        MetaData(),
        Column("id", BigInteger, primary_key=True),
        Column("entry_id", String(26)),
        Column("system_id", Integer),
        Column("system_name", String(100)),
        Column("query_type", String(32)),
        Column("query_string", Text),
        Column("request_payload", Text),
        Column("response_payload", Text),
        Column("response_status", Integer),
        Column("execution_time_ms", Integer),
        Column("status", String(16)),
        Column("error_message", Text),
        Column("requested_by", Integer),
        Column("module_name", String(100)),
        Column("actor", String(255)),
        Column("created_at", DateTime),
        Column("delivery_id", String(64)),
        Column("request_id", String(128)),
    )
