"""ConfigurationService: what would come of a configuration that is kept elsewhere."""

from typing import Any

from intertie.registry.v1 import check_pb2, check_pb2_grpc
from intertie_chassis.calls import current_request_id
from intertie_chassis.identity import current_principal
from intertie_registry import check_convert
from intertie_registry.configuration_check import ConfigurationCheck
from intertie_registry.model import Actor

DESCRIPTOR = check_pb2.DESCRIPTOR.services_by_name["ConfigurationService"]
add_to_server = check_pb2_grpc.add_ConfigurationServiceServicer_to_server


class ConfigurationService(check_pb2_grpc.ConfigurationServiceServicer):
    """Serves intertie.registry.v1.ConfigurationService."""

    def __init__(self, check: ConfigurationCheck) -> None:
        self._check = check

    async def CheckConfiguration(
        self, request: check_pb2.CheckConfigurationRequest, context: Any
    ) -> check_pb2.CheckConfigurationResponse:
        """Say what would be refused, and which credentials differ."""
        actor = Actor(current_principal().subject, current_request_id() or "")
        findings = await self._check.run(
            check_convert.proposals(request), actor, skip_target_validation=request.skip_target_validation
        )
        return check_convert.response(findings)
