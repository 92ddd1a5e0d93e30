"""One gateway and one set of scripted services for the ring; each test starts with a fresh script."""

from collections.abc import Iterator

import pytest

import processes
from gateway_rig import GatewayProcess, Script, Services, running_gateway


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """The services behind the gateway."""
    served = Services(processes.free_port())
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="session")
def _gateway(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(services.address, tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture
def script(services: Services) -> Script:
    """What the services do in this test."""
    services.start()
    services.script = Script()
    return services.script


@pytest.fixture
def gateway(_gateway: GatewayProcess, script: Script) -> GatewayProcess:
    """The running gateway."""
    return _gateway
