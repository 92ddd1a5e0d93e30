"""Questions and their answers between the contract and the model."""

from intertie.ingest.v1 import query_pb2
from intertie_ingest.apis.apis import ApiAnswer
from intertie_ingest.databases.databases import Result
from intertie_ingest.field_convert import fill_time
from intertie_ingest.pull.questions import ApiQuestion, DatabaseQuestion, Trial


def database_question(request: query_pb2.QueryDatabaseRequest, *, is_stream: bool = False) -> DatabaseQuestion:
    """The question as it was asked: what is wrong with it is found where it is taken down."""
    return DatabaseQuestion(
        request.system,
        request.query,
        request.params,
        request.module,
        request.connection_id,
        request.max_rows,
        is_stream,
    )


def database_answer(request: query_pb2.QueryDatabaseRequest, result: Result) -> query_pb2.QueryDatabaseResponse:
    """The answer to a question."""
    return query_pb2.QueryDatabaseResponse(
        system=request.system,
        query=request.query,
        results=result.rows_json,
        count=result.count,
        truncated=result.truncated,
    )


def stream_part(result: Result, is_last: bool) -> query_pb2.StreamDatabaseResponse:
    """A part of a stream."""
    return query_pb2.StreamDatabaseResponse(
        results=result.rows_json, count=result.count, truncated=is_last and result.truncated, complete=is_last
    )


def api_question(request: query_pb2.QueryApiRequest) -> ApiQuestion:
    """The question as it was asked: what is wrong with it is found where it is taken down."""
    return ApiQuestion(
        request.system, request.endpoint, request.method, request.data, request.module, request.connection_id
    )


def api_answer(request: query_pb2.QueryApiRequest, answer: ApiAnswer) -> query_pb2.QueryApiResponse:
    """The answer to a question."""
    return query_pb2.QueryApiResponse(
        system=request.system,
        endpoint=request.endpoint,
        method=request.method.upper() or "GET",
        data=answer.data,
        status=answer.status,
    )


def trial_answer(trial: Trial) -> query_pb2.TestConnectionResponse:
    """What came of a trial."""
    response = query_pb2.TestConnectionResponse(
        id=trial.connection_id,
        connection_status=trial.status,
        connection_error=trial.error,
        duration_ms=trial.milliseconds,
    )
    fill_time(response.last_connection_test, trial.tried_at)
    return response
