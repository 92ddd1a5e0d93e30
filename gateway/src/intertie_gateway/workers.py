"""Several processes on one port: the kernel shares out the connections, one that dies is started again."""

import asyncio
import contextlib
import os
import signal
import sys

import structlog

from intertie_gateway.composition import serve
from intertie_gateway.settings import GatewaySettings

_LONGEST_PAUSE = 5.0
WORKER = "--worker"
"""On the command line of a worker process, which then does not start others."""


async def run(settings: GatewaySettings) -> None:
    """Serves in this process, or with more than one worker watches over processes that do.

    Raises StartupError when the settings do not allow it.
    """
    if WORKER in sys.argv:
        _end_with_parent()
    if settings.gateway_workers == 1 or WORKER in sys.argv:
        await serve(settings)
        return
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    await asyncio.gather(
        *(
            _keep_running(number, stop, settings.environment_of_worker(number))
            for number in range(1, settings.gateway_workers + 1)
        )
    )


def _end_with_parent() -> None:
    """Stops this worker when its standard input ends, which the parent holds open and never writes to: so a parent that
    was killed leaves no worker behind that keeps the port.
    """
    loop = asyncio.get_running_loop()

    def parent_is_gone() -> None:
        loop.remove_reader(sys.stdin.fileno())
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sys.stdin.fileno(), parent_is_gone)


async def _keep_running(number: int, stop: asyncio.Event, environment: dict[str, str]) -> None:
    """Runs one worker until `stop`. A process of its own, never a fork: gRPC does not survive one."""
    log = structlog.get_logger()
    pause = 0.2
    while not stop.is_set():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "intertie_gateway", WORKER, stdin=asyncio.subprocess.PIPE, env=environment
        )
        log.info("worker started", worker=number, pid=process.pid)
        ended = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(stop.wait())
        started_at = asyncio.get_running_loop().time()
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await ended
            return
        if asyncio.get_running_loop().time() - started_at > 60:
            pause = 0.2
        log.error("worker ended", worker=number, code=ended.result(), restart_in_seconds=pause)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
