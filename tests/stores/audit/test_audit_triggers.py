"""Where a server allows no triggers all else is made, and an operator is told."""

import io

from chain_rig import PREFIX
from existing_deployment import build
from intertie_audit.adopt import plan
from intertie_audit.migrations import MIGRATIONS
from intertie_audit.migrations.triggers import triggers
from intertie_audit.trigger_store import warnings
from intertie_chassis.adoption import adopt_database
from intertie_chassis.database import Database
from mariadb import MariaDBServer

RIGHTS = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, DROP, REFERENCES"


async def test_a_server_that_refuses_triggers(mariadb_server: MariaDBServer) -> None:
    """Migrating and adopting both end; the status says what is missing, and nothing once it is there."""
    user = "no_triggers"
    names = [mariadb_server.create_database() for _ in range(2)]
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'only-here'")
        for name in names:
            cursor.execute(f"GRANT {RIGHTS} ON `{name}`.* TO '{user}'@'127.0.0.1'")
    build(mariadb_server.url(names[1]))
    out = io.StringIO()
    for name in names:
        url = f"mysql://{user}:only-here@127.0.0.1:{mariadb_server.port}/{name}"
        database = await Database.open(url, table_prefix=PREFIX)
        if name == names[0]:
            await MIGRATIONS.upgrade(database, PREFIX)
        else:
            await adopt_database(database, PREFIX, MIGRATIONS, plan, dry_run=False, out=out)
        assert await MIGRATIONS.at_head(database, PREFIX)
        (told,) = await warnings(database)
        assert all(trigger in told for trigger in triggers(PREFIX, "mysql"))
        await database.close()
    assert out.getvalue().count("-- LOOK AT THIS: the server refused this") == len(triggers(PREFIX, "mysql"))
    whole = await Database.open(mariadb_server.url(names[1]), table_prefix=PREFIX)
    await adopt_database(whole, PREFIX, MIGRATIONS, plan, dry_run=False, out=io.StringIO())
    assert await warnings(whole) == []
    await whole.close()
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP USER '{user}'@'127.0.0.1'")
    for name in names:
        mariadb_server.drop_database(name)
