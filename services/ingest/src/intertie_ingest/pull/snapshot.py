"""Pull's live configuration: what registry's feed says, compiled for those who ask and for syncs."""

from intertie_ingest.pull.configuration import PullConfiguration, PullSystem, closed_pull_system, compile_pull_system
from intertie_ingest.snapshot import LiveSnapshot


class PullSnapshot(LiveSnapshot[PullSystem, PullConfiguration]):
    """The configuration by which external systems are asked."""

    def __init__(self) -> None:
        super().__init__(compile_pull_system, closed_pull_system, PullConfiguration.of)
