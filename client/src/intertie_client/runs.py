"""A run that was started and is watched from here."""

from intertie_client import waits
from intertie_client.aio import AsyncCarrier
from intertie_client.blocking import Carrier
from intertie_client.models import SyncRun


class Run:
    """A run of a sync; `latest` is how it was when it was last looked at."""

    def __init__(self, carrier: Carrier, latest: SyncRun) -> None:
        self._carrier = carrier
        self.latest = latest

    @property
    def run_id(self) -> str:
        """The run's id, by which `get_run` finds it from anywhere."""
        return self.latest.run_id

    def refresh(self, *, timeout: float | None = None) -> SyncRun:
        """Looks at the run. Raises IntertieError."""
        self.latest = self._carrier.run(waits.get_run(self._carrier.setup.terms, self.run_id, timeout))
        return self.latest

    def wait(self, *, timeout: float = waits.RUN_TIMEOUT) -> SyncRun:
        """Waits until the run has ended. Raises DeadlineExceeded when it has not by then; it goes on all the same."""
        self.latest = self._carrier.run(waits.wait_for_run(self._carrier.setup.terms, self.run_id, timeout))
        return self.latest


class AsyncRun:
    """A run of a sync; `latest` is how it was when it was last looked at."""

    def __init__(self, carrier: AsyncCarrier, latest: SyncRun) -> None:
        self._carrier = carrier
        self.latest = latest

    @property
    def run_id(self) -> str:
        """The run's id, by which `get_run` finds it from anywhere."""
        return self.latest.run_id

    async def refresh(self, *, timeout: float | None = None) -> SyncRun:
        """Looks at the run. Raises IntertieError."""
        self.latest = await self._carrier.run(waits.get_run(self._carrier.setup.terms, self.run_id, timeout))
        return self.latest

    async def wait(self, *, timeout: float = waits.RUN_TIMEOUT) -> SyncRun:
        """Waits until the run has ended. Raises DeadlineExceeded when it has not by then; it goes on all the same."""
        self.latest = await self._carrier.run(waits.wait_for_run(self._carrier.setup.terms, self.run_id, timeout))
        return self.latest
