"""How a server begins, says that it is ready, and ends without losing a call."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue as Text
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from structlog.testing import capture_logs

from intertie_chassis import errors
from intertie_chassis.clients import connect
from intertie_chassis.identity import FixedToken, KeyRing, Verifier
from intertie_chassis.server import Server
from waiting import eventually

SERVICE = "intertie.chassis_test.v1.EchoService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def _health(channel: grpc.aio.Channel, service: str = "") -> Any:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    return answer.status


async def test_health_needs_no_token_and_knows_each_service(echo: Any) -> None:
    channel = echo.raw_channel()
    for service in ("", SERVICE):
        await eventually(lambda service=service: _is(channel, service, SERVING), timeout=10)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _health(channel, "no.such.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def _is(channel: grpc.aio.Channel, service: str, status: Any) -> bool:
    return bool(await _health(channel, service) == status)


async def test_health_follows_the_ready_checks(new_echo: Any) -> None:
    echo = new_echo()
    why: str | None = "the tables are missing"

    async def check() -> str | None:
        if why == "raise":
            raise ConnectionError("away")
        return why

    echo.server.ready_when("schema", check)
    with capture_logs() as logged:
        echo.port = await echo.server.start()
        channel = echo.raw_channel()
        assert await _health(channel) == NOT_SERVING
        assert await _health(channel, SERVICE) == NOT_SERVING
        assert await _health(channel, "live") == SERVING
        await eventually(lambda: [line for line in logged if line.get("why_schema") == why], timeout=10)
        why = None
        await eventually(lambda: _is(channel, SERVICE, SERVING), timeout=10)
        why = "raise"
        await eventually(lambda: _is(channel, "", NOT_SERVING), timeout=10)
        assert await _health(channel, "live") == SERVING
        why = None
        await eventually(lambda: _is(channel, "", SERVING), timeout=10)


async def test_a_stopping_server_lets_its_calls_end(new_echo: Any) -> None:
    echo = new_echo()
    echo.port = await echo.server.start()
    began, release = asyncio.Event(), asyncio.Event()
    closed: list[str] = []

    async def wait(request: Any, _context: Any) -> Any:
        began.set()
        await release.wait()
        assert closed == []  # resources outlive the last call
        return request

    async def close() -> None:
        closed.append("closed")

    echo.server.resources.push_async_callback(close)
    echo.servicer.answer = wait
    call = asyncio.create_task(echo.method("Say")(Text(value="kept"), timeout=30))
    await began.wait()
    stop = asyncio.create_task(echo.server.stop())
    await echo.server.stopping.wait()
    late = echo.method("Say")
    with pytest.raises(errors.Unavailable):
        await late(Text(), timeout=1)
    release.set()
    assert (await call).value == "kept"
    await stop
    assert closed == ["closed"]


async def test_open_streams_do_not_hold_up_a_stopping_server(new_echo: Any) -> None:
    echo = new_echo(drain_seconds=60)
    echo.port = await echo.server.start()
    cleaned = asyncio.Event()

    async def forever(_request: Any, _context: Any) -> AsyncIterator[Any]:
        try:
            yield Text(value="first")
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    echo.servicer.answers = forever
    stream = echo.method("Count")(Text())
    watch = health_pb2_grpc.HealthStub(echo.raw_channel()).Watch(health_pb2.HealthCheckRequest())
    assert (await anext(stream)).value == "first"
    await eventually(lambda: _read_serving(watch), timeout=10)
    async with asyncio.timeout(30):  # half of its drain
        await echo.server.stop()
    with pytest.raises(errors.Unavailable):
        await anext(stream)
    assert cleaned.is_set()


async def _read_serving(watch: Any) -> bool:
    answer = await watch.read()
    return bool(answer.status == SERVING)


async def test_background_work_is_begun_again(new_echo: Any) -> None:
    echo = new_echo()
    runs: list[int] = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise RuntimeError("first run")
        if len(runs) > 2:
            await asyncio.Event().wait()

    echo.server.run_in_background("work", work)
    with capture_logs() as logged:
        echo.port = await echo.server.start()
        await eventually(lambda: len(runs) == 3, timeout=10)
    assert [line["work"] for line in logged if line["log_level"] == "error"] == ["work"]


async def test_names_are_taken_once(new_echo: Any) -> None:
    echo = new_echo()

    async def nothing() -> None:
        return None

    echo.server.ready_when("store", nothing)
    echo.server.run_in_background("work", nothing)
    with pytest.raises(ValueError, match="store"):
        echo.server.ready_when("store", nothing)
    with pytest.raises(ValueError, match="work"):
        echo.server.run_in_background("work", nothing)


async def test_a_taken_port_is_said_in_words(echo: Any, new_echo: Any, keys: KeyRing) -> None:
    second = Server("second", f"127.0.0.1:{echo.port}", Verifier(keys.jwks_path))
    with pytest.raises(errors.StartupError, match=f"cannot listen on 127.0.0.1:{echo.port}"):
        await second.start()
    await second.stop()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_tells_the_contracts_to_any_token(echo: Any, version: str) -> None:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    codecs = {
        "request_serializer": reflection_pb2.ServerReflectionRequest.SerializeToString,
        "response_deserializer": reflection_pb2.ServerReflectionResponse.FromString,
    }

    async def requests() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async for answer in echo.channel("module:events").stream_stream(path, **codecs)(requests()):
        names = {service.name for service in answer.list_services_response.service}
        assert {SERVICE, "grpc.health.v1.Health"} <= names
    refused = echo.raw_channel().stream_stream(path, **codecs)(requests())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await refused.read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_callers_find_a_restarted_server_by_themselves(new_echo: Any, free_port: int, keys: KeyRing) -> None:
    channel = connect(f"127.0.0.1:{free_port}", FixedToken(keys.issue("viewer")))
    first = new_echo()
    with pytest.raises(errors.Unavailable) as caught:
        await first.method("Say", channel)(Text())
    assert caught.value.reason == "SERVICE_UNAVAILABLE"
    assert "127.0.0.1" not in caught.value.message
    for _ in range(2):
        echo = new_echo()
        echo.server._listen = f"127.0.0.1:{free_port}"
        echo.port = await echo.server.start()

        async def answered(echo: Any = echo) -> bool:
            try:
                return bool(await echo.method("Say", channel)(Text(value="back")))
            except errors.Unavailable:
                return False

        await eventually(answered, timeout=5)
        await echo.server.stop()
    await channel.close()


async def test_a_closed_channel_is_unavailable_and_not_a_cancellation(echo: Any) -> None:
    began = asyncio.Event()

    async def wait(_request: Any, _context: Any) -> Any:
        began.set()
        await asyncio.Event().wait()

    echo.servicer.answer = wait
    channel = echo.channel()
    call = asyncio.create_task(echo.method("Say", channel)(Text(), timeout=30))
    await began.wait()
    await channel.close()
    with pytest.raises(errors.Unavailable):
        await call
    with pytest.raises(errors.Unavailable):
        await echo.method("Say", channel)(Text())


_PROCESS = """
import asyncio, sys
from pathlib import Path
from intertie_chassis import logs
from intertie_chassis.program import main
from intertie_chassis.identity import Verifier
from intertie_chassis.server import Server
from intertie_chassis.settings import Settings

async def serve(settings):
    server = Server("probe", "127.0.0.1:0", Verifier.from_settings(settings))
    async def close():
        await asyncio.sleep(0.3)
        print("closed", flush=True)
    server.resources.push_async_callback(close)
    async def tell():
        return print("ready", flush=True)
    server.ready_when("told", tell)
    await server.run()

sys.exit(main("probe", serve, Settings))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_process_cleanly_and_a_second_one_changes_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROCESS,
        env={**os.environ, "INTERTIE_DATA_DIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        await asyncio.sleep(0)
        process.send_signal(number)
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.splitlines()[-1] == b"closed"
    assert b"Traceback" not in err
