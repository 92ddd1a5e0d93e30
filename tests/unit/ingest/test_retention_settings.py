"""How long ingest keeps things: what cannot be meant is refused at start."""

import pytest

from intertie_chassis.errors import StartupError
from intertie_ingest.settings import IngestSettings


def test_keys_outlive_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of days is fine; a body that outlives its delivery is not, and both variables are named."""
    monkeypatch.setenv("INTERTIE_INGEST_BODY_DAYS", "90")
    monkeypatch.setenv("INTERTIE_INGEST_DELIVERY_DAYS", "90")
    settings = IngestSettings.load()
    assert (settings.ingest_body_days, settings.ingest_delivery_days) == (90, 90)
    monkeypatch.setenv("INTERTIE_INGEST_DELIVERY_DAYS", "89")
    with pytest.raises(StartupError, match=r"INTERTIE_INGEST_BODY_DAYS.*INTERTIE_INGEST_DELIVERY_DAYS"):
        IngestSettings.load()


def test_what_is_kept_when_nothing_is_said() -> None:
    """Bodies for a month, keys for more than a year."""
    settings = IngestSettings()
    assert (settings.ingest_body_days, settings.ingest_delivery_days) == (30, 400)


@pytest.mark.parametrize("days", ["0", "-1", "36501", "many"])
def test_days_are_a_number_of_days(monkeypatch: pytest.MonkeyPatch, days: str) -> None:
    """0 would drop a body before it is mapped."""
    monkeypatch.setenv("INTERTIE_INGEST_BODY_DAYS", days)
    with pytest.raises(StartupError, match="INTERTIE_INGEST_BODY_DAYS"):
        IngestSettings.load()
