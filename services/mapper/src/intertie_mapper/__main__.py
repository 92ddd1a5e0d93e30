"""`python -m intertie_mapper`: applies mappings and serves, or migrates, adopts and describes mapper's tables."""

import sys

from intertie.mapper.v1 import mapper_pb2_grpc
from intertie_chassis import command
from intertie_chassis.database import Database
from intertie_chassis.metrics import PAGE
from intertie_chassis.process import Process
from intertie_mapper import metrics
from intertie_mapper.adopt import plan
from intertie_mapper.composition import Mapper
from intertie_mapper.migrations import MIGRATIONS
from intertie_mapper.service import DESCRIPTOR
from intertie_mapper.settings import MapperSettings


async def serve(settings: MapperSettings) -> None:
    """Builds the server and its worker, and runs them until told to stop."""
    process = Process("mapper", settings, settings.mapper_listen)
    server = process.server
    url = settings.database_url_for("target")
    database = await Database.open(url, table_prefix=settings.table_prefix, name="target")
    server.resources.push_async_callback(database.close)

    mapper = Mapper(
        settings,
        database,
        registry=process.connect("registry"),
        ingest=process.connect("ingest"),
        audit=process.connect("audit"),
    )
    server.add(mapper_pb2_grpc.add_MapperServiceServicer_to_server, mapper.service, DESCRIPTOR)
    server.ready_when("schema", MIGRATIONS.readiness(database, settings.table_prefix))
    server.run_in_background("configuration", mapper.feed.watch)
    server.run_in_background("records", mapper.work)
    server.run_in_background("audit outbox", mapper.drain)
    if PAGE.is_shown:
        metrics.watch_snapshot(lambda: mapper.configuration.heard_at)
        server.run_in_background("metrics of the outbox", mapper.look)
    server.tell_denials(mapper.keep_denials)
    await process.run()


if __name__ == "__main__":
    sys.exit(command.main("mapper", serve, MapperSettings, MIGRATIONS, plan))
