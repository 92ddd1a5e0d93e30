"""A port of the loopback that leads to another one, for tests that slow a server down or take it away."""

import contextlib
import select
import socket
import threading
import time

from processes import free_port

_CHUNK = 4096


class Passage:
    """A way to a server on another port, for whoever connects to `passage.port`. `with Passage(to) as passage:`.

    Open at first. Bytes from the server are counted, so that a test can let a part of an answer through, and no more.
    """

    def __init__(self, to: int) -> None:
        self.port = free_port()
        self._to = to
        self._changed = threading.Condition()
        self._left: int | None = None
        self._delay = 0.0
        self._listening: socket.socket | None = None
        self._joined: set[socket.socket] = set()

    def __enter__(self) -> "Passage":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()

    def slow(self, seconds: float) -> None:
        """Holds each piece of the server's up for so long from now on; 0: not at all."""
        self._delay = seconds

    def narrow(self, to: int) -> None:
        """Lets so many bytes of the server's through from now on, then none, until `widen`."""
        with self._changed:
            self._left = to

    @property
    def is_used_up(self) -> bool:
        """Whether all has come through that may, so that whoever reads waits."""
        return self._left == 0

    def widen(self) -> None:
        """Lets everything through."""
        with self._changed:
            self._left = None
            self._changed.notify_all()

    def open(self) -> None:
        """Takes connections, again after `shut`."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def shut(self) -> None:
        """Takes no connections any more, and breaks off those that there are."""
        with self._changed:
            listening, self._listening = self._listening, None
            joined, self._joined = self._joined, set()
            self._changed.notify_all()
        if listening is not None:
            # Closing alone would leave the thread that accepts with it.
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        for end in joined:
            _break(end)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            with self._changed:
                is_open = self._listening is listening
                if is_open:
                    self._joined |= {near, far}
            if not is_open:  # it came while somebody shut the passage
                near.close()
                far.close()
                return
            threading.Thread(target=self._join, args=(near, far), daemon=True).start()

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        """Carries bytes both ways until one side has gone."""
        with near, far, contextlib.suppress(OSError, ValueError):
            while True:
                for source in select.select([near, far], [], [])[0]:
                    chunk = source.recv(_CHUNK if source is near else self._allowed())
                    if not chunk:
                        return
                    if source is far and self._delay:
                        time.sleep(self._delay)
                    (far if source is near else near).sendall(chunk)
                    if source is far:
                        self._count(len(chunk))

    def _allowed(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._left != 0 or self._listening is None)
            if self._listening is None:
                raise OSError("shut")
            return _CHUNK if self._left is None else min(_CHUNK, self._left)

    def _count(self, size: int) -> None:
        with self._changed:
            if self._left is not None:
                self._left = max(0, self._left - size)


def _break(end: socket.socket) -> None:
    """Ends a connection, whoever is reading from it."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
