"""Commits the deliveries of a call: groups that the database takes, as many at once as it should, a bad one alone.

Bounded, so that who floods waits by himself: what is beyond is refused at once and comes again. What the database
refuses is halved until it stands alone; what comes while the database is away goes to the spool, where there is one.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import structlog

from intertie_chassis.errors import Internal, IntertieError, StoreBusy, Unavailable
from intertie_chassis.ids import new_ulid
from intertie_chassis.metrics import PAGE
from intertie_chassis.outbox import Outbox
from intertie_ingest import metrics
from intertie_ingest.errors import Clash, Overloaded, RateLimited, Refused
from intertie_ingest.folding import Fold
from intertie_ingest.model import Accepted, Delivery
from intertie_ingest.spool import Spool
from intertie_ingest.store import Store
from intertie_ingest.wakeup import Wakeup

Committed = Accepted | IntertieError

_MOST_CLASHES = 5
_MOST_IN_GROUP = 1000
_MOST_GROUP_BYTES = 8 * 1024 * 1024
"""Together with the outbox's message far below the server's max_allowed_packet (16 MiB)."""
_STORE = "STORE_UNAVAILABLE"

_log = structlog.get_logger()


class GroupCommits:
    """The commits of one process."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        wakeup: Wakeup,
        entries: Callable[[Fold], bytes | None],
        spool: Spool | None,
        *,
        at_once: int,
        most_waiting: int,
    ) -> None:
        """`entries` makes the audit's message of a group, `spool` keeps what comes while the database is away;
        `at_once`: calls whose groups are committed at the same time, `most_waiting`: those that may wait for that.
        """
        self._store = store
        self._outbox = outbox
        self._wakeup = wakeup
        self._entries = entries
        self._spool = spool
        self._slots = asyncio.Semaphore(at_once)
        self._most_waiting = most_waiting
        self._waiting = 0
        self._waiting_of: Counter[int] = Counter()
        """By system, how many of the calls that wait hold deliveries of it."""

    async def commit_all(self, deliveries: list[Delivery]) -> list[Committed]:
        """One result a delivery. A system whose groups fill half of the places that wait gets no further one, so that
        one that floods keeps no other out.
        """
        if not deliveries:
            return []
        if self._waiting >= self._most_waiting:
            return [Overloaded(retry_after=1)] * len(deliveries)
        share = max(1, self._most_waiting // 2)
        flooding = {system for system, groups in self._waiting_of.items() if groups >= share}
        if flooding and any(delivery.system_id in flooding for delivery in deliveries):
            others = iter(await self.commit_all([one for one in deliveries if one.system_id not in flooding]))
            refused = RateLimited("too many deliveries of the system are waiting; send fewer at once", retry_after=1)
            return [refused if one.system_id in flooding else next(others) for one in deliveries]
        systems = {delivery.system_id for delivery in deliveries}
        self._waiting += 1
        self._waiting_of.update(systems)
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
            self._waiting_of -= Counter(systems)
        try:
            return [result for group in _groups(deliveries) for result in await self._commit(group)]
        finally:
            self._slots.release()

    async def _commit(self, group: Sequence[Delivery]) -> list[Committed]:
        """Commits a group; if the database refuses it, its halves, until what is refused stands alone. If the database
        is away, the spool keeps it.
        """
        spool = self._spool
        if spool is not None and spool.is_spooling and (kept := await spool.join(group)) is not None:
            return list(kept)
        for _ in range(_MOST_CLASHES):
            try:
                folded = await self._store.commit(group, self._entries)
            except Clash:
                continue
            except StoreBusy as error:
                # Somebody holds a row of it: no reason to send everybody else through the spool.
                return [error] * len(group)
            except Unavailable as error:
                if spool is not None and error.reason == _STORE:
                    # It may be committed all the same: what is kept has the attempt's name, by which that is seen.
                    return list(await spool.keep(group, new_ulid()))
                return [error] * len(group)
            except Refused as error:
                _log.warning("the database refuses a group; halving it", deliveries=len(group), cause=str(error))
                if len(group) == 1 and not error.is_certain:
                    # An error that nobody knows may be the database's own: then the same delivery is taken later.
                    return [Unavailable("the database does not take it now", reason=_STORE, retry_after=5)]
                break
            self._outbox.wake()
            if PAGE.is_shown:
                metrics.GROUP_DELIVERIES.observe(len(group))
            released = folded.released
            if released:
                self._wakeup.ring(released, folded.leased)
            return list(folded.outcomes)
        else:
            return [Unavailable("others keep writing the same records; try again", retry_after=1)] * len(group)
        if len(group) == 1:
            delivery = group[0]
            _log.error("a delivery cannot be stored", system=delivery.system, delivery_id=delivery.delivery_id)
            return [Internal(metadata={"delivery_id": delivery.delivery_id})]
        middle = len(group) // 2
        return [*await self._commit(group[:middle]), *await self._commit(group[middle:])]


def _groups(deliveries: list[Delivery]) -> Iterable[list[Delivery]]:
    group: list[Delivery] = []
    size = 0
    for delivery in deliveries:
        # A body is written twice: whole, and by its records.
        bytes_written = len(delivery.body) * (2 if delivery.records else 1)
        if group and (len(group) >= _MOST_IN_GROUP or size + bytes_written > _MOST_GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append(delivery)
        size += bytes_written
    if group:
        yield group
