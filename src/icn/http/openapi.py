"""The API's document, OpenAPI 3.1, made of the route table: requests by pydantic, answers by the renderer."""

from typing import Any

from pydantic import BaseModel

from icn.http.bodies import PageQuery
from icn.http.operations import Operation
from icn.http.rendering import schema_of

OPENAPI_VERSION = "3.1.0"
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. Programs match on `code`; docs/errors.md lists them.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "correlation_id": {"type": "string"},
        "error": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "code", "correlation_id", "error"],
}


def document(operations: tuple[Operation, ...], version: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "ICN node", "version": version},
        "servers": [{"url": "/"}, {"url": "/api/v1"}],
        "security": [{"api_key": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _described(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {str(int(operation.status)): _answer(operation)}
    for status, meaning in operation.also.items():
        responses[str(status)] = {"description": meaning}
    responses["default"] = {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    described: dict[str, Any] = {
        "operationId": f"{operation.method.lower()}_{operation.path.strip('/').replace('/', '_')}".replace(
            "{", ""
        ).replace("}", ""),
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1]],
        "parameters": _parameters(operation),
        "responses": responses,
    }
    if operation.is_open:
        described["security"] = []
    if operation.body is not None:
        schemas[operation.body.__name__] = _schema(operation.body)
        reference = {"$ref": f"#/components/schemas/{operation.body.__name__}"}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    if operation.streams:
        binary = {"type": "string", "format": "binary"}
        described["requestBody"] = {"required": True, "content": {operation.body_media_type: {"schema": binary}}}
    return described


def _answer(operation: Operation) -> dict[str, Any]:
    schema = operation.answer if isinstance(operation.answer, dict) else schema_of(operation.answer)
    if operation.query is not None and issubclass(operation.query, PageQuery):
        schema = {
            "type": "object",
            "properties": {
                "items": {"type": "array", "items": schema},
                "next_cursor": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["items", "next_cursor"],
        }
    return {"description": operation.summary, "content": {operation.media_type: {"schema": schema}}}


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parts = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parts
    ]
    if operation.query is not None:
        schema = _schema(operation.query)
        required = schema.get("required", [])
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": inner}
            for name, inner in schema["properties"].items()
        ]
    if operation.writes:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 128},
            }
        )
    return parameters


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's schema with what it refers to in place."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    inlined: dict[str, Any] = _inlined(schema, definitions)
    return inlined


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$ref" in value:
            return _inlined(definitions[value["$ref"].rpartition("/")[2]], definitions)
        return {key: _inlined(inner, definitions) for key, inner in value.items()}
    if isinstance(value, list):
        return [_inlined(inner, definitions) for inner in value]
    return value
