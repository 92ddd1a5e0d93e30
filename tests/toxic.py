"""A network between processes that can be made bad: late, slow, cut or silent, for all clients of a server or one.

Like `passage`, a way leads from a port of its own to a server's; unlike it, it knows which program is calling, carries
bytes as fast as they come, and stays up while connections break.
"""

import asyncio
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import processes

_CHUNK = 16 * 1024
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST
_MODULE = re.compile(rb"\x00-m\x00(intertie_\w+(?:\.\w+)*)\x00")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to connections."""

    name: str
    #: seconds that bytes travel each way, and at most how much longer some take
    latency: float = 0.0
    jitter: float = 0.0
    #: bytes a second each way; 0: as many as come
    bandwidth: int = 0
    #: connections are answered by RST, those that are there and those that come
    resets: bool = False
    #: nothing travels, and nobody is told; what was sent arrives when the fault is over
    swallows: bool = False


LATENCY = Fault("latency", latency=0.2, jitter=0.3)
SLOW = Fault("bandwidth", bandwidth=20_000)
RESET = Fault("reset", resets=True)
BLACKHOLE = Fault("blackhole", swallows=True)
_NONE = Fault("none")


class Network:
    """The ways of one test, in a thread of their own. `with Network() as network:`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._ways: list[Way] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for way in self._ways:
            self.run(way.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def way(self, to: int) -> "Way":
        """A way to a port of the loopback."""
        way = Way(self, to)
        self.run(way.open())
        self._ways.append(way)
        return way

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs something in the network's thread."""
        done: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(30)


@dataclass(eq=False)
class _Joint:
    """One connection."""

    #: the module that the client runs; empty where that cannot be told
    client: str
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def abort(self) -> None:
        for writer in self.writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            writer.transport.abort()


class Way:
    """Leads from `port` to a server."""

    def __init__(self, network: Network, to: int) -> None:
        """For `Network.way`."""
        self.port = processes.free_port()
        self.met = 0
        """Connections that the present fault has met, or the last one."""
        self._network, self._to = network, to
        self._fault, self._of = _NONE, ""
        self._changed = asyncio.Event()
        self._joints: set[_Joint] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    def harm(self, fault: Fault, of: str = "") -> None:
        """Do this to the connections of clients that run a module of this name; empty: to all."""
        self._network.run(self._set(fault, of))

    def heal(self) -> None:
        """Let everything through."""
        self._network.run(self._set(_NONE, ""))

    async def open(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Take none any more, and break off those that there are."""
        self._server.close()
        for joint in self._joints:
            joint.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _set(self, fault: Fault, of: str) -> None:
        self._fault, self._of = fault, of
        self._changed.set()
        self._changed = asyncio.Event()
        if fault is _NONE:
            return
        met = [joint for joint in self._joints if self._fault_of(joint) is fault]
        self.met = len(met)
        if fault.resets:
            for joint in met:
                joint.abort()

    def _fault_of(self, joint: _Joint) -> Fault:
        return self._fault if not self._of or joint.client == self._of else _NONE

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")[1]
        joint = _Joint(await asyncio.to_thread(_program, peer, self.port), [writer])
        fault = self._fault_of(joint)
        self.met += fault is not _NONE
        if fault.resets:
            joint.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            joint.abort()
            return
        joint.writers.append(far_writer)
        self._joints.add(joint)
        carrying = [
            asyncio.create_task(self._carry(joint, reader, far_writer)),
            asyncio.create_task(self._carry(joint, far_reader, writer)),
        ]
        self._tasks.update(carrying)
        try:
            await asyncio.wait(carrying)
        finally:
            self._tasks.difference_update(carrying)
            self._joints.discard(joint)
            for end in joint.writers:
                end.close()

    async def _carry(self, joint: _Joint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carries bytes one way; what is under way when the sender ends still arrives."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)
        arriving = asyncio.create_task(self._arrive(joint, under_way, writer))
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                fault = self._fault_of(joint)
                await under_way.put((time.monotonic() + fault.latency + random.uniform(0, fault.jitter), chunk))
        await under_way.put((0.0, b""))
        await arriving

    async def _arrive(
        self, joint: _Joint, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter
    ) -> None:
        is_whole = True
        while (item := await under_way.get())[1]:
            due, chunk = item
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            while (fault := self._fault_of(joint)).swallows:
                await self._changed.wait()
            if fault.bandwidth:
                await asyncio.sleep(len(chunk) / fault.bandwidth)
            try:
                if is_whole:  # what comes for an end that has gone is taken and left, so that its sender can end
                    writer.write(chunk)
                    await writer.drain()
            except OSError:
                is_whole = False
        with suppress(OSError):
            writer.write_eof()


def _program(port: int, to: int) -> str:
    """The module that the process runs which has connected from one port of the loopback to another."""
    inode = _inode(port, to)
    if inode is None:
        return ""
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if not entry.name.isdigit() or (module := _MODULE.search((entry / "cmdline").read_bytes())) is None:
                continue
            if any(_is_socket(handle, inode) for handle in (entry / "fd").iterdir()):
                return module[1].decode()
    return ""


def _inode(port: int, to: int) -> str | None:
    ends = f":{port:04X}", f":{to:04X}"
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if (columns[1][-5:], columns[2][-5:]) == ends:
                return columns[9]
    return None


def _is_socket(handle: Path, inode: str) -> bool:
    with suppress(OSError):
        return str(handle.readlink()) == f"socket:[{inode}]"
    return False
