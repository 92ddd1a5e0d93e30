"""What audit asks registry: which system has which number.

The rows that the PHP application writes have the number only, and audit may not read registry's tables.
"""

import time

import structlog

from intertie.registry.v1 import registry_pb2, registry_pb2_grpc
from intertie_audit.model import SystemFilter
from intertie_chassis.clients import Channel
from intertie_chassis.errors import IntertieError

_log = structlog.get_logger()
_FRESH_SECONDS = 5.0
_ASK_SECONDS = 1.0
_PAGE_SIZE = 1000


class Systems:
    """Names and numbers of the systems, asked for when needed and remembered for some seconds.

    While registry is away what was known last is used: a filter then finds at least the entries that name their system.
    """

    def __init__(self, channel: Channel) -> None:
        self._registry = registry_pb2_grpc.RegistryServiceStub(channel)
        self._names: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._asked_at = float("-inf")

    async def filter(self, name: str) -> SystemFilter:
        """What chooses the entries of the system of this name."""
        await self._refresh()
        return SystemFilter(name, self._ids.get(name))

    async def names(self) -> dict[int, str]:
        """The names by number, as far as they are known."""
        await self._refresh()
        return self._names

    async def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._asked_at < _FRESH_SECONDS:
            return
        # Also after a failure: while registry is away only one call in five seconds waits for it.
        self._asked_at = now
        names: dict[int, str] = {}
        request = registry_pb2.ListSystemsRequest(page_size=_PAGE_SIZE)
        try:
            while True:
                answer = await self._registry.ListSystems(request, timeout=_ASK_SECONDS)
                names.update((system.id, system.system_name) for system in answer.systems)
                if not answer.next_page_token:
                    break
                request.page_token = answer.next_page_token
        except IntertieError as error:
            _log.warning("registry cannot be asked for its systems; using what is known", cause=error.message)
            return
        self._names, self._ids = names, {name: number for number, name in names.items()}
