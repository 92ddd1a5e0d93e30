"""QueryService: asks external systems on behalf of modules, and tries connections."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from intertie.ingest.v1 import query_pb2, query_pb2_grpc
from intertie_ingest.pull import query_convert
from intertie_ingest.pull.queries import Queries
from intertie_ingest.pull.trials import Trials

DESCRIPTOR = query_pb2.DESCRIPTOR.services_by_name["QueryService"]
add_to_server = query_pb2_grpc.add_QueryServiceServicer_to_server


class QueryService(query_pb2_grpc.QueryServiceServicer):
    """The service's methods."""

    def __init__(self, queries: Queries, trials: Trials) -> None:
        self._queries = queries
        self._trials = trials

    async def QueryDatabase(
        self, request: query_pb2.QueryDatabaseRequest, context: Any
    ) -> query_pb2.QueryDatabaseResponse:
        """Runs one statement in an external database."""
        result = await self._queries.ask_database(query_convert.database_question(request))
        return query_convert.database_answer(request, result)

    async def StreamDatabase(
        self, request: query_pb2.StreamDatabaseRequest, context: Any
    ) -> AsyncIterator[query_pb2.StreamDatabaseResponse]:
        """Runs one statement, and gives its rows in parts."""
        question = query_convert.database_question(request.query, is_stream=True)
        async with aclosing(self._queries.stream_database(question)) as parts:
            async for result, is_last in parts:
                yield query_convert.stream_part(result, is_last)

    async def QueryApi(self, request: query_pb2.QueryApiRequest, context: Any) -> query_pb2.QueryApiResponse:
        """Calls an endpoint of an external API."""
        answer = await self._queries.call_api(query_convert.api_question(request))
        return query_convert.api_answer(request, answer)

    async def TestConnection(
        self, request: query_pb2.TestConnectionRequest, context: Any
    ) -> query_pb2.TestConnectionResponse:
        """Tries whether a connection works."""
        return query_convert.trial_answer(await self._trials.try_connection(request.id))
