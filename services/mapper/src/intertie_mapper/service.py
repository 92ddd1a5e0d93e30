"""MapperService: one method per call."""

from typing import Any

from intertie.mapper.v1 import mapper_pb2, mapper_pb2_grpc
from intertie_chassis.errors import InvalidArgument, NotFound, Unavailable
from intertie_chassis.identity import current_principal
from intertie_chassis.paging import decode_token, encode_token, page_size
from intertie_mapper import checkpoints, convert
from intertie_mapper.checkpoints import Checkpoints, Report
from intertie_mapper.clients import CachedRecords
from intertie_mapper.configuration import Configuration, MappingEntry
from intertie_mapper.preview import Previews
from intertie_mapper.target_tables import TargetTables

DESCRIPTOR = mapper_pb2.DESCRIPTOR.services_by_name["MapperService"]

_ROWS, _RECORDS = "rows", "records"


class MapperService(mapper_pb2_grpc.MapperServiceServicer):
    """Validates and previews mappings, describes targets, and keeps checkpoints."""

    def __init__(
        self,
        configuration: Configuration,
        targets: TargetTables,
        previews: Previews,
        checkpoints: Checkpoints,
        records: CachedRecords,
    ) -> None:
        self._configuration = configuration
        self._targets = targets
        self._previews = previews
        self._checkpoints = checkpoints
        self._records = records

    async def ValidateMapping(
        self, request: mapper_pb2.ValidateMappingRequest, context: Any
    ) -> mapper_pb2.ValidateMappingResponse:
        """Say everything that is wrong with a mapping."""
        convert.required(target_table=request.target_table, mapping_config=request.mapping_config)
        found = await self._previews.problems(request.target_table, request.mapping_config, strict=True)
        return mapper_pb2.ValidateMappingResponse(problems=convert.problems(found))

    async def PreviewMapping(
        self, request: mapper_pb2.PreviewMappingRequest, context: Any
    ) -> mapper_pb2.PreviewMappingResponse:
        """Say what a mapping would do with records."""
        most = convert.preview_size(request)
        mapping = self._mapping(request)
        records = list(request.records)
        if not records and request.mapping_id:
            records = await self._records.newest(mapping.system, mapping.name, most)
        is_draft = bool(request.mapping_config)
        previews, problems = await self._previews.preview(mapping, records, strict=is_draft)
        return mapper_pb2.PreviewMappingResponse(
            previews=[convert.preview(preview) for preview in previews], problems=convert.problems(problems)
        )

    async def GetTargetSchema(
        self, request: mapper_pb2.GetTargetSchemaRequest, context: Any
    ) -> mapper_pb2.TargetSchema:
        """Describe a table that mappings may write to."""
        convert.required(table=request.table)
        return convert.schema(await self._targets.describe(request.table))

    async def ListCheckpoints(
        self, request: mapper_pb2.ListCheckpointsRequest, context: Any
    ) -> mapper_pb2.ListCheckpointsResponse:
        """List the rows of the checkpoint tables, and then the records that failed before they had a row."""
        size = page_size(request.page_size)
        status = convert.state(request.integration_status, optional=True)
        phase, *parts = decode_token(request.page_token, request) or [_ROWS]
        if phase == _RECORDS:
            return await self._failed_records(request, size, str(parts[0]))
        after = checkpoints.read_position(parts or None)
        found = await self._checkpoints.page(
            size + 1, request.target_table, request.system, status, request.target_id, after
        )
        messages = [convert.checkpoint(name, row) for name, row in found[:size]]
        if len(found) > size:
            token = encode_token([_ROWS, *checkpoints.position(found[size - 1])], request)
        elif status in ("", "failed") and not request.target_id:
            token = encode_token([_RECORDS, ""], request)
            if len(found) < size:
                rest = await self._failed_records(request, size - len(found), "")
                return mapper_pb2.ListCheckpointsResponse(
                    checkpoints=[*messages, *rest.checkpoints], next_page_token=rest.next_page_token
                )
        else:
            token = ""
        return mapper_pb2.ListCheckpointsResponse(checkpoints=messages, next_page_token=token)

    async def GetCheckpoint(self, request: mapper_pb2.GetCheckpointRequest, context: Any) -> mapper_pb2.Checkpoint:
        """Get the checkpoint of a target row and a system."""
        convert.required(target_table=request.target_table, target_id=request.target_id, system=request.system)
        return convert.checkpoint(*await self._checkpoints.get(request.target_table, request.target_id, request.system))

    async def RecordCheckpoint(
        self, request: mapper_pb2.RecordCheckpointRequest, context: Any
    ) -> mapper_pb2.Checkpoint:
        """Keep a state that a module reports."""
        convert.required(target_table=request.target_table, target_id=request.target_id, system=request.system)
        report = Report(
            request.target_table,
            request.target_id,
            request.system,
            convert.state(request.integration_status),
            convert.document("sent_data", request.sent_data),
            convert.document("received_data", request.received_data),
            request.error_message,
        )
        return convert.checkpoint(*await self._checkpoints.record(current_principal(), report))

    async def _failed_records(
        self, request: mapper_pb2.ListCheckpointsRequest, size: int, page_token: str
    ) -> mapper_pb2.ListCheckpointsResponse:
        """Records that were set aside and have no row; a page may be short, an empty token is the end."""
        wanted = self._targets.full_name(request.target_table) if request.target_table else ""
        answer = await self._records.failed(request.system, size, page_token)
        messages = []
        for record in answer.records:
            target = self._configuration.target_of(record.system, record.mapping)
            if not record.local_key and not record.local_id and (not wanted or target == wanted):
                messages.append(convert.failed_record(target, record))
        token = encode_token([_RECORDS, answer.next_page_token], request) if answer.next_page_token else ""
        return mapper_pb2.ListCheckpointsResponse(checkpoints=messages, next_page_token=token)

    def _mapping(self, request: mapper_pb2.PreviewMappingRequest) -> MappingEntry:
        """The saved mapping, with the draft's configuration in its place if one came; or the draft."""
        if request.mapping_id:
            saved = self._configuration.mapping(request.mapping_id)
            if saved is None:
                if not self._configuration.is_known:
                    raise Unavailable(
                        "the configuration has not arrived from registry yet; try again",
                        reason="NO_SNAPSHOT",
                        retry_after=1,
                    )
                raise NotFound(
                    f"there is no mapping of number {request.mapping_id}",
                    reason="MAPPING_NOT_FOUND",
                    metadata={"mapping_id": str(request.mapping_id)},
                )
            config = request.mapping_config or saved.config
            target = request.target_table or saved.target_table
            return MappingEntry(saved.id, saved.name, saved.system_id, saved.system, target, config, saved.is_active)
        convert.required(target_table=request.target_table, mapping_config=request.mapping_config)
        if not request.records:
            raise InvalidArgument(
                "a draft is tried on records, and none came", violations=[("records", "is required without mapping_id")]
            )
        system = self._configuration.system_named(request.system)
        return MappingEntry(
            0, "draft", system.id if system else 0, request.system, request.target_table, request.mapping_config, True
        )
