"""Accepting deliveries: each is judged by itself, those that pass are committed together, a bad one harms no other."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from intertie_chassis.errors import Internal, IntertieError, Unauthenticated, Unavailable
from intertie_chassis.ids import new_ulid
from intertie_chassis.metrics import PAGE
from intertie_chassis.outbox import Outbox
from intertie_chassis.principals import Principal
from intertie_ingest import metrics
from intertie_ingest.accept_spans import accept_traced
from intertie_ingest.configuration import CompiledSystem, Configuration
from intertie_ingest.delivery import Desk
from intertie_ingest.errors import (
    GrantExpired,
    GrantMissing,
    MappingNotFound,
    NoSnapshot,
    Overloaded,
    SystemNotFound,
    WrongSecret,
)
from intertie_ingest.folding import Fold
from intertie_ingest.greetings import Greetings
from intertie_ingest.group_commits import Committed, GroupCommits
from intertie_ingest.model import Accepted, Delivery, Greeting, RawDelivery
from intertie_ingest.old_secrets import OldSecrets
from intertie_ingest.pressure import Pressure
from intertie_ingest.pushes import Pushed
from intertie_ingest.rejections import Rejections
from intertie_ingest.snapshot import Snapshot
from intertie_ingest.spool import Spool
from intertie_ingest.store import Store
from intertie_ingest.turnstile import Turnstile
from intertie_ingest.wakeup import Wakeup

Result = Committed | Greeting

_LARGE_BYTES = 128 * 1024
_SLOW_SECONDS = 0.1
_BY_CONFIGURATION = (WrongSecret, SystemNotFound, MappingNotFound, GrantMissing, GrantExpired)
"""Refusals that another configuration would not make."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken at once."""

    #: groups that are committed at the same time
    groups: int = 8
    #: groups that may wait for that
    waiting: int = 64
    max_body_bytes: int = 7 * 1024 * 1024


class Acceptor:
    """Takes groups of deliveries."""

    def __init__(
        self,
        store: Store,
        snapshot: Snapshot,
        rejections: Rejections,
        outbox: Outbox,
        wakeup: Wakeup,
        principal_of: Callable[[str], Principal],
        entries: Callable[[Fold], bytes | None],
        limits: Limits,
        turnstile: Turnstile | None = None,
        greetings: Greetings | None = None,
        spool: Spool | None = None,
        pressure: Pressure | None = None,
    ) -> None:
        """`principal_of` tells whom a bearer token speaks for, `entries` makes the audit's message of a group, `spool`
        keeps what comes while the database is away, `pressure` is told of each group.
        """
        self._snapshot = snapshot
        self._rejections = rejections
        self._principal_of = principal_of
        self._max_body_bytes = limits.max_body_bytes
        self._commits = GroupCommits(
            store, outbox, wakeup, entries, spool, at_once=limits.groups, most_waiting=limits.waiting
        )
        self._turnstile = turnstile or Turnstile()
        self._greetings = greetings
        self._pressure = pressure or Pressure()
        self._old_secrets = OldSecrets()
        self._slow: set[str] = set()
        """Systems of which a small delivery took long: their filters are heavy."""

    async def accept(self, raws: Sequence[RawDelivery]) -> list[Result]:
        """One result a delivery, in order; one that is no error is committed."""
        with self._pressure.accepting(len(raws)):
            results = await accept_traced(self._accept, raws)
        if PAGE.is_shown:
            metrics.count(results)
        return results

    async def _accept(self, raws: Sequence[RawDelivery]) -> list[Result]:
        desk, began = self._desk(), time.thread_time()
        results: list[Result | None] = [None] * len(raws)
        passed: list[tuple[int, Delivery]] = []
        try:
            for index, raw in enumerate(raws):
                try:
                    taken = await self._taken(desk, raw, began)
                    if isinstance(taken, Greeting):
                        results[index] = self._greeted(raw, taken)
                        continue
                    self._enter(desk, taken)
                    passed.append((index, taken))
                except IntertieError as error:
                    results[index] = self._told(error)
                except Exception:
                    # Whatever it is that nobody thought of: it is this delivery's alone.
                    _log.exception("a delivery cannot be judged", system=raw.system, request_id=raw.request_id)
                    results[index] = Internal(metadata={"request_id": raw.request_id})
            committed = await self._commits.commit_all([delivery for _, delivery in passed])
        finally:
            for _, delivery in passed:
                self._turnstile.leave(delivery.system_id)
        for (index, _), result in zip(passed, committed, strict=True):
            results[index] = result
        done = [result for result in results if result is not None]
        self._tell(raws, done, desk.configuration)
        return done

    async def push(self, raw: RawDelivery, pushed: Pushed, principal: Principal, key: str | None) -> Accepted:
        """Accepts what a known caller pushes. Raises IntertieError that says why not."""
        desk = self._desk()
        try:
            delivery = desk.take_pushed(raw, pushed, principal, key)
            self._enter(desk, delivery)
        except IntertieError as refused:
            error = self._told(refused)
            self._reject(raw, pushed.system if pushed.system in desk.configuration.by_name else "", error)
            if PAGE.is_shown:
                metrics.count((error,))
            raise error from refused
        try:
            (result,) = await self._commits.commit_all([delivery])
        finally:
            self._turnstile.leave(delivery.system_id)
        if PAGE.is_shown:
            metrics.count((result,))
        if isinstance(result, IntertieError):
            self._reject(raw, delivery.system, result)
            raise result
        return result

    async def _taken(self, desk: Desk, raw: RawDelivery, began: float) -> Delivery | Greeting:
        """Takes a delivery, unless its address has failed too often; counts it when it fails to be verified.

        `began`: the thread's time when its group began.
        """
        self._turnstile.require_few_failures(raw.peer)
        try:
            return await self._judged(desk, raw, began)
        except Unauthenticated:
            self._turnstile.failed(raw.peer)
            raise

    def _told(self, error: IntertieError) -> IntertieError:
        """What the sender is told. Registry may know better than a configuration from disk who may deliver what: then
        it is to come again, since a refusal would make senders give up.
        """
        if self._snapshot.confirmed_at is None and isinstance(error, _BY_CONFIGURATION):
            return NoSnapshot(retry_after=1)
        return error

    def _enter(self, desk: Desk, delivery: Delivery) -> None:
        self._turnstile.enter(delivery.system_id, desk.configuration.by_id[delivery.system_id].terms)

    def _greeted(self, raw: RawDelivery, greeting: Greeting) -> Greeting:
        if self._greetings is not None:
            self._greetings.add(raw, greeting)
        return greeting

    async def _judged(self, desk: Desk, raw: RawDelivery, began: float) -> Delivery | Greeting:
        """Takes a delivery; in a thread if that may last, so that others are answered meanwhile."""
        is_large = len(raw.body) > _LARGE_BYTES
        # Whom it comes from is found for all alike: that a system's filters are heavy is not for strangers to measure.
        admitted = await asyncio.to_thread(desk.admitted, raw) if is_large else desk.admitted(raw)
        self._old_secrets.note(admitted.system, admitted.verified, desk.now)
        if is_large or raw.system in self._slow:
            return await asyncio.to_thread(desk.routed, admitted)
        started = time.perf_counter()
        try:
            return desk.routed(admitted)
        finally:
            # The thread's own clock costs as much as verifying: it is asked for a group, and where one took long.
            took_long = time.perf_counter() - started > _SLOW_SECONDS and time.thread_time() - began > _SLOW_SECONDS
            if took_long and raw.system in desk.configuration.by_name:
                self._slow.add(raw.system)

    def _desk(self) -> Desk:
        return Desk(
            self._snapshot.configuration(),
            self._principal_of,
            new_ulid,
            time.time(),
            self._max_body_bytes,
            admit=self._admit,
        )

    def _admit(self, system: CompiledSystem) -> None:
        self._turnstile.admit(system.id, system.terms)

    def _tell(self, raws: Sequence[RawDelivery], results: Iterable[Result], configuration: Configuration) -> None:
        for raw, result in zip(raws, results, strict=True):
            if isinstance(result, IntertieError):
                self._reject(raw, raw.system if raw.system in configuration.by_name else "", result)

    def _reject(self, raw: RawDelivery, system: str, error: IntertieError) -> None:
        # What we could not take is no fault of the sender's, and it will come again.
        if not isinstance(error, Unavailable | Overloaded | Internal):
            self._rejections.add(raw, system, error)
