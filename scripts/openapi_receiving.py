"""What openapi.json says of the routes that no contract annotates: the two that receive, health, and itself."""

from typing import Any

_PREFIX = "/api/v1/integrations"
_SYSTEM_NAME = r"^[^/\\\x00-\x1f\x7f-\x9f]+$"


def _json(name: str, description: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": description}


PROBLEMS = {"4XX": {"$ref": "#/components/responses/Problem"}, "5XX": {"$ref": "#/components/responses/Problem"}}

TAGS = [
    {"name": "Receiving", "description": "Where external systems and modules deliver"},
    {"name": "Health", "description": "For those who run it"},
]

SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "`intertie token issue --role ROLE` prints one.",
    },
    "webhookSecret": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Webhook-Secret",
        "description": "The secret of the system's connection. Systems that sign instead (Standard Webhooks, GitHub, "
        "Stripe, …) send their own headers.",
    },
}

_KEY = _header(
    "Idempotency-Key",
    "Key of the delivery, unique in its system: again with the same bytes it is a duplicate, with others it is 409.",
)

_DELIVERY = {
    "delivery_id": {"type": "string", "description": "Sortable id of the delivery; of the first one for a duplicate."},
    "duplicate": {"type": "boolean", "description": "Whether the same delivery had come before."},
    "external_id": {
        "type": ["string", "null"],
        "description": "The record's id in its system; null when no mapping names one. Not there for an array.",
    },
    "records": {"type": "integer", "description": "Number of records, when the body is an array."},
}

SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "google.rpc.Status: what every error looks like.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {"type": "integer", "description": "The gRPC code; the nearest one where HTTP tells more apart."},
            "message": {"type": "string", "description": "For a person; may change."},
            "details": {
                "type": "array",
                "description": "The first is google.rpc.ErrorInfo with the stable `reason`; BadRequest names fields at "
                "fault, RetryInfo says when trying again helps.",
                "items": {
                    "type": "object",
                    "required": ["@type"],
                    "properties": {
                        "@type": {"type": "string"},
                        "reason": {"type": "string"},
                        "domain": {"type": "string"},
                        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                        "field_violations": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["field", "description"],
                                "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                            },
                        },
                        "retry_delay": {"type": "string"},
                    },
                },
            },
        },
    },
    "Received": {
        "type": "object",
        "description": "A webhook that is stored.",
        "required": ["status", "system", "delivery_id", "duplicate"],
        "properties": {"status": {"const": "received"}, "system": {"type": "string"}, **_DELIVERY},
    },
    "Pushed": {
        "type": "object",
        "description": "A push that is stored.",
        "required": ["status", "system", "mapping", "message", "delivery_id", "duplicate"],
        "properties": {
            "status": {"const": "success"},
            "system": {"type": "string"},
            "mapping": {"type": "string"},
            "message": {"type": "string", "description": "For a person."},
            **_DELIVERY,
        },
    },
    "Push": {
        "type": "object",
        "required": ["system", "mapping", "data"],
        "properties": {
            "system": {"type": "string", "description": "Name of the system."},
            "mapping": {"type": "string", "description": "Name of one of its mappings."},
            "data": {"type": ["object", "array"], "description": "The record, or an array of them."},
        },
    },
    "Ready": {
        "type": "object",
        "required": ["status", "services"],
        "properties": {
            "status": {"enum": ["ready", "degraded"]},
            "services": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
    "Alive": {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}},
}

PATHS: dict[str, Any] = {
    f"{_PREFIX}/webhook/{{system}}": {
        "post": {
            "operationId": "webhook",
            "tags": ["Receiving"],
            "summary": "Delivers a webhook of an external system",
            "description": "The body is stored as it came before this is answered; each active mapping of the system "
            "whose filter it passes takes it. An array is a record per element. Further headers and query parameters "
            "are tolerated.",
            "security": [{"webhookSecret": []}, {}],
            "parameters": [
                {
                    "name": "system",
                    "in": "path",
                    "required": True,
                    "schema": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": 100,
                        "pattern": r"^[^/\\\x00-\x1f\x7f-\x9f]+$",
                    },
                    "description": "Name of the system.",
                },
                _KEY,
            ],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {}},
                    "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
                },
            },
            "responses": {"202": _json("Received", "It is committed; it is mapped next."), **PROBLEMS},
        }
    },
    f"{_PREFIX}/push": {
        "post": {
            "operationId": "push",
            "tags": ["Receiving"],
            "summary": "Pushes a record, or an array of them, into one mapping",
            "description": "With the system's secret or a bearer token. Further fields of the body are tolerated.",
            "security": [{"webhookSecret": []}, {"bearer": []}, {}],
            "parameters": [_KEY],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Push"}}},
            },
            "responses": {"202": _json("Pushed", "It is committed; it is mapped next."), **PROBLEMS},
        }
    },
    "/healthz": {
        "get": {
            "operationId": "alive",
            "tags": ["Health"],
            "summary": "Whether the gateway lives",
            "security": [],
            "responses": {"200": _json("Alive", "It does.")},
        }
    },
    "/readyz": {
        "get": {
            "operationId": "ready",
            "tags": ["Health"],
            "summary": "Whether deliveries are taken",
            "security": [],
            "responses": {
                "200": _json("Ready", "They are; degraded: another service than ingest does not serve."),
                "503": {"$ref": "#/components/responses/Problem"},
            },
        }
    },
}
