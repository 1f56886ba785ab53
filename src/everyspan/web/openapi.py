"""The description of the API as OpenAPI 3.1, made from the endpoints themselves so that it can not go stale."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

from everyspan.version import __version__
from everyspan.web.as_json import HOLDS_JSON
from everyspan.web.parameters import Kind, Parameter

if TYPE_CHECKING:
    from everyspan.web.endpoint import Endpoint

Schema = dict[str, Any]

_MONEY: Schema = {"type": "string", "format": "decimal", "description": "US dollars, exact"}
_KINDS: Mapping[Kind, Schema] = {
    Kind.TEXT: {"type": "string"},
    Kind.WHOLE: {"type": "integer", "minimum": 0},
    Kind.YES_OR_NO: {"type": "string", "enum": ["yes", "no"]},
    Kind.DOLLARS: _MONEY,
}
_ERROR: Schema = {
    "type": "object",
    "required": ["error", "message"],
    "properties": {"error": {"type": "string"}, "message": {"type": "string"}},
}
_REFUSALS = {
    "400": "The question is malformed; the text says which parameter and what it takes.",
    "401": "The key is missing or wrong.",
    "404": "There is no such thing, or this key does not open it.",
    "503": "The store can not answer now.",
}


def openapi(endpoints: Iterable[Endpoint]) -> Schema:
    """The whole description."""
    schemas: dict[str, Schema] = {"Error": _ERROR}
    paths = {each.path: {"get": _operation(each, schemas)} for each in endpoints}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "everyspan",
            "version": __version__,
            "description": "Money is a decimal string, times are whole nanoseconds since 1970. Version 1 only grows: "
            "fields and parameters may be added.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The secret of a key."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Public and secret part of a key.",
                },
            },
        },
        "security": [{}, {"bearer": []}, {"basic": []}],
    }


def _operation(endpoint: Endpoint, schemas: dict[str, Schema]) -> Schema:
    schema = schema_of(endpoint.gives, schemas) if endpoint.gives else {}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "summary": endpoint.about,
        "operationId": re.sub(r"\W+", "_", endpoint.path.removeprefix("/api/v1/")).strip("_"),
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in re.findall(r"{(\w+)}", endpoint.path)
            ),
            *map(_parameter, endpoint.parameters),
        ],
        "responses": {
            "200": {"description": "The answer.", "content": {endpoint.media_type: {"schema": schema}}},
            **{status: {"description": why, "content": error} for status, why in _REFUSALS.items()},
        },
    }


def _parameter(parameter: Parameter) -> Schema:
    schema = dict(_KINDS[parameter.kind])
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default:
        schema["default"] = int(parameter.default) if parameter.kind is Kind.WHOLE else parameter.default
    return {"name": parameter.name, "in": "query", "description": parameter.about, "schema": schema}


def schema_of(hint: Any, schemas: dict[str, Schema]) -> Schema:
    """JSON Schema of a type as `as_json` writes it; dataclasses are put into `schemas` under their names."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [schema_of(each, schemas) for each in arguments]}
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return {"type": "array", "items": schema_of(arguments[0], schemas)}
        return {"type": "array", "prefixItems": [schema_of(each, schemas) for each in arguments]}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1], schemas)}
    if isinstance(hint, typing.NewType):
        return schema_of(hint.__supertype__, schemas)
    if isinstance(hint, type) and is_dataclass(hint):
        return _object(hint, schemas)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"type": "string", "enum": [each.value for each in hint]}
    plain = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
    if hint is Decimal:
        return dict(_MONEY)
    return {"type": plain[hint]} if hint in plain else {}


def _object(made: type, schemas: dict[str, Schema]) -> Schema:
    if made.__name__ not in schemas:
        schemas[made.__name__] = {}  # its place, should it hold itself
        hints = typing.get_type_hints(made)
        schemas[made.__name__] = {
            "type": "object",
            "description": (made.__doc__ or "").strip().splitlines()[0],
            "properties": {
                field.name: {} if field.name in HOLDS_JSON else schema_of(hints[field.name], schemas)
                for field in fields(made)
            },
        }
    return {"$ref": f"#/components/schemas/{made.__name__}"}
