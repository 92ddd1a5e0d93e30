"""The pages of a source, each prepared as soon as it is read: all that can be done for a page before it is stored."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from intertie_chassis.errors import InvalidArgument
from intertie_ingest.configuration import CompiledMapping
from intertie_ingest.external import ExternalConnection
from intertie_ingest.pull.configuration import PullConfiguration, PullMapping
from intertie_ingest.syncs.model import Mode, Run
from intertie_ingest.syncs.preparation import Prepared, prepare
from intertie_ingest.syncs.source import Page, Range, Source
from intertie_ingest.syncs.sources import connection_of, fingerprint, mapping_of
from intertie_mapping.synchronisation import Synchronisation


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read, and how, by the configuration of a moment."""

    mapping: PullMapping
    synchronisation: Synchronisation
    connection: ExternalConnection

    @classmethod
    def of(cls, configuration: PullConfiguration, run: Run) -> "Reading":
        """What a run reads. Raises why it can read nothing, for people."""
        system, mapping = mapping_of(configuration, run)
        if mapping.synchronisation is None or mapping.plan is None:
            raise InvalidArgument(mapping.problem or None, reason="INVALID_MAPPING")
        connection = connection_of(system, mapping, mapping.synchronisation)
        return cls(mapping, mapping.synchronisation, connection)

    @property
    def source(self) -> str:
        """Tells this source from others."""
        return fingerprint(self.connection, self.mapping, self.synchronisation)

    @property
    def route(self) -> CompiledMapping:
        """Where its records go."""
        return self.mapping.route


@dataclass(frozen=True, slots=True)
class ReadyPage:
    """A page, and what it comes to by the mapping as it was when the page was read."""

    page: Page
    prepared: Prepared
    mapping: PullMapping

    @property
    def is_last(self) -> bool:
        """Whether nothing comes behind it."""
        return self.page.is_last


class ReadyPages:
    """Pages of one source, prepared for one run."""

    def __init__(self, source: Source, run: Run, reading: Callable[[], Reading]) -> None:
        """`reading` gives what is read by the configuration of now, and raises why nothing is any more."""
        self._source, self._run, self._reading = source, run, reading

    async def pages(self, wanted: Range, position: bytes | None) -> AsyncGenerator[ReadyPage, None]:
        """The pages of the range, as `Source.pages`. Raises what the source raises, and CursorMismatch."""
        async with aclosing(self._source.pages(wanted, position)) as pages:
            async for page in pages:
                yield await self.ready(page, self._reading())

    async def ready(self, page: Page, reading: Reading) -> ReadyPage:
        """The page, prepared."""
        field = cursor_field(self._run, reading)
        # The values in the records count only where the source does not say itself what may be kept.
        looked_at = None if self._source.is_ordered else field
        prepared = await prepare(page, reading.route, self._run.system_id, looked_at)
        return ReadyPage(page, prepared, reading.mapping)


def cursor_field(run: Run, reading: Reading) -> str | None:
    """The field whose values the run keeps, if any."""
    return None if run.mode is Mode.BACKFILL else reading.synchronisation.cursor_field
