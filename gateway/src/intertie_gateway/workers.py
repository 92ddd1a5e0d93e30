"""Several processes on one port: the kernel shares out the connections, one that dies is started again."""

import asyncio
import contextlib
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
    if settings.gateway_workers == 1 or WORKER in sys.argv:
        await serve(settings)
        return
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    await asyncio.gather(*(_keep_running(number, stop) for number in range(1, settings.gateway_workers + 1)))


async def _keep_running(number: int, stop: asyncio.Event) -> None:
    """Runs one worker until `stop`. A process of its own, never a fork: gRPC does not survive one."""
    log = structlog.get_logger()
    pause = 0.2
    while not stop.is_set():
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "intertie_gateway", WORKER)
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
