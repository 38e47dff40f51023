"""The OpenAPI document of the unified API and the proxy, made of the shapes that the mapping answers and accepts.

It is served without a token: it says nothing of any account.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from mapping.agenda import CONNECTION_NAME
from mapping.unified.sent import REQUIRED, SENT
from mapping.unified.shapes import SHAPES, DirectoryUser
from workers.console.unified import keeping, queries, sources
from workers.console.unified.filters import FILTERS, IDENT, MOMENT, NUMBER
from workers.version import VERSION

if TYPE_CHECKING:
    from pydantic import BaseModel

TEMPLATE: Final = "#/components/schemas/{model}"
DIRECTORY: Final = "directory_users"
NAME: Final = f"^{CONNECTION_NAME.pattern}$"
_ID: Final[dict[str, str]] = {
    "pipelines": r"^(opportunity|project):[1-9][0-9]{0,17}$",
    "stages": r"^(opportunity|project):[1-9][0-9]{0,17}$",
    "fields": r"^(party|opportunity|kase|contact|account|project):[a-z0-9_]{1,60}$",
    "engagement_types": r"^-?[1-9][0-9]{0,17}$",
}
_PLAIN_ID: Final = r"^[1-9][0-9]{0,17}$"
_MOMENT: Final = r"^(19|20|21)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z)?$"
_WORDS: Final = {
    400: "The question cannot be served; `details.failures` names each fault.",
    401: "No good token, or the connection's sign-in at Capsule is not accepted.",
    403: "The token, or the connection's sign-in, may not do this.",
    404: "No such record, or it is of another model.",
    405: "Capsule does not have this method there.",
    409: "Not now: the same key is under way, or no copy is kept, or none in that form.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "What was sent or asked cannot be: `details.failures` names each fault, or `raw_response` is Capsule's refusal.",
    429: "Capsule's hourly limit is used up; come again after Retry-After.",
    500: "Something went wrong here.",
    502: "Capsule did not give an answer that can be used.",
    503: "The data store is away, or the connection is not set up.",
    504: "Sent, and the answer was lost: it may have had its effect.",
}
_READ: Final = (400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504)
_WRITE: Final = (400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 502, 503, 504)


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The whole document."""
    shown: dict[str, type[BaseModel]] = {**SHAPES, DIRECTORY: DirectoryUser}
    models = [*((one, "serialization") for one in shown.values()), *((one, "validation") for one in SENT.values())]
    _, definitions = models_json_schema(models, ref_template=TEMPLATE)  # type: ignore[arg-type] # modes are literals
    schemas: dict[str, Any] = definitions["$defs"]
    schemas |= {"Problem": _problem(), "Deleted": _object({"id": {"type": "string"}})}
    paths: dict[str, Any] = {}
    for model, shape in shown.items():
        schemas[f"{shape.__name__}Answer"] = _answer(shape.__name__, schemas[shape.__name__]["required"])
        schemas[f"{shape.__name__}List"] = _list_of(f"{shape.__name__}Answer")
        paths |= _paths(model, shape.__name__, schemas)
    paths["/proxy/capsule/{connection}/{path}"] = _proxy()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Capsule Relay: unified CRM API",
            "version": VERSION,
            "description": "One shape for CRM records, live from Capsule. A token of `capsule-relay token NAME create` opens it.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": {
                str(status): {"description": words, "content": _json({"$ref": "#/components/schemas/Problem"})}
                for status, words in _WORDS.items()
            },
        },
        "security": [{"token": []}],
    }


def path_of(model: str) -> str:
    """The path of a model's list."""
    return "/unified/user-directory/users" if model == DIRECTORY else f"/unified/crm/{model}"


def _paths(model: str, name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    whole = {"$ref": f"#/components/schemas/{name}Answer"}
    identity = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": _ID.get(model, _PLAIN_ID)}}
    alike = [_connection_header(), _connection_query()]
    formed = [*alike, *_forms()]
    listed = {"get": _operation(model, "list", _ok(f"{name}List"), _READ, [*formed, _cached(), *_asking(model)])}
    one = {"get": _operation(model, "get", _ok(f"{name}Answer"), _READ, [identity, *formed, _cached()])}
    if model in SENT:
        sent = SENT[model].__name__
        schemas[f"{sent}New"] = _new(model, sent)
        key = _key()
        made = {"201": {"description": "Made.", "content": _json(whole)}}
        listed["post"] = _operation(model, "create", made, _WRITE, [*formed, key], body=f"{sent}New")
        one["patch"] = _operation(model, "update", _ok(f"{name}Answer"), _WRITE, [identity, *formed, key], body=sent)
        one["delete"] = _operation(model, "delete", _ok("Deleted"), _WRITE, [identity, *formed, key])
    return {path_of(model): listed, f"{path_of(model)}/{{id}}": one}


def _operation(
    model: str, verb: str, good: dict[str, Any], bad: tuple[int, ...], parameters: list[dict[str, Any]], *, body: str = ""
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": f"{verb}_{model}",
        "tags": [model],
        "parameters": parameters,
        "responses": {**good, **{str(status): {"$ref": f"#/components/responses/{status}"} for status in bad}},
    }
    if body:
        found["requestBody"] = {"required": True, "content": _json({"$ref": f"#/components/schemas/{body}"})}
    return found


def _asking(model: str) -> list[dict[str, Any]]:
    """The parameters of a list."""
    found = [
        _query("limit", {"type": "integer", "minimum": 1, "maximum": queries.MOST, "default": queries.USUAL}, "Records a page."),
        _query("next_cursor", {"type": "string"}, "From the page before; empty = from the start."),
        _query("prev_cursor", {"type": "string"}, "The same, back."),
        _query("truto_ignore_limit", {"type": "boolean"}, "The largest page."),
    ]
    if sources.KIND_OF.get(model) in ("party", "opportunity", "kase"):
        words = {"type": "string", "minLength": 1, "maxLength": queries.LONGEST_VALUE, "pattern": r"\S"}
        found.append(_query("search_term", words, "Capsule's own search; it may lag behind a write."))
    if model in sources.ORDER:
        name, direction = sources.ORDER[model]
        found.append(_query(f"sort_by[{name}]", {"const": direction}, "The only order that Capsule documents."))
    for name, one in FILTERS[model].items():
        if name == "custom_fields":
            values = {
                "type": "object",
                "additionalProperties": {"type": "string", "maxLength": queries.LONGEST_VALUE},
                "propertyNames": {"pattern": r"^[^\[\]]{1,200}$"},
            }
            found.append({**_query(name, values, one.says), "style": "deepObject", "explode": True})
            continue
        bracketed = _bracketed(name)
        schema: dict[str, Any] = {"type": "string", "maxLength": queries.LONGEST_VALUE}
        if one.says == MOMENT:
            schema = {"type": "string", "pattern": _MOMENT}
            found += [_query(f"{bracketed}[{operator}]", schema, one.says) for operator in queries.OPERATORS]
        elif one.says == NUMBER:
            schema = {"type": "string", "pattern": f"^{IDENT.pattern}$"}
        found.append(_query(bracketed, schema, one.says))
    return found


def _bracketed(name: str) -> str:
    """`tags.name` as the query writes it: a list's element has empty brackets before its field."""
    first, _, rest = name.partition(".")
    if not rest:
        return name
    several = "[]" if first in ("tags", "email_addresses", "phone_numbers", "emails") else ""
    return f"{first}{several}[{rest}]"


def _forms() -> list[dict[str, Any]]:
    return [
        _query("truto_response_format", {"enum": list(queries.FORMATS)}, "raw = Capsule's own bodies."),
        _query("truto_ignore_remote_data", {"type": "boolean", "default": True}, "false = with Capsule's body in remote_data."),
        _query(
            "truto_exclude_fields", {"type": "string", "maxLength": queries.LONGEST_VALUE}, "Fields to leave out, with commas."
        ),
    ]


def _cached() -> dict[str, Any]:
    return _query("read", {"enum": ["live", "cache"]}, "cache = from the copy that the relay keeps, where it keeps one.")


def _connection_header() -> dict[str, Any]:
    return {
        "name": "X-Connection",
        "in": "header",
        "schema": {"type": "string", "pattern": NAME},
        "description": "Where a token opens several.",
    }


def _connection_query() -> dict[str, Any]:
    return _query("integrated_account_id", {"type": "string", "pattern": NAME}, "The same, as a parameter.")


def _key() -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{keeping.KEY.pattern}$"}
    said = "The answer is kept for 24 hours, and given again for the same request with the same key."
    return {"name": "Idempotency-Key", "in": "header", "schema": schema, "description": said}


def _proxy() -> dict[str, Any]:
    parameters = [
        {"name": "connection", "in": "path", "required": True, "schema": {"type": "string", "pattern": NAME}},
        {"name": "path", "in": "path", "required": True, "schema": {"type": "string"}, "description": "As Capsule's API has it."},
    ]
    found: dict[str, Any] = {"parameters": parameters}
    for method in ("get", "post", "put", "delete"):
        found[method] = {
            "operationId": f"proxy_{method}",
            "tags": ["proxy"],
            "responses": {"default": {"description": "Capsule's answer."}},
        }
        if method in ("post", "put"):
            found[method]["requestBody"] = {"content": _json({"type": "object"})}
    return found


def _query(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": words}


def _new(model: str, sent: str) -> dict[str, Any]:
    """What may be sent to make a record: one field of each group must be there."""
    nothing: dict[str, Any] = {"not": {"enum": [None, "", []]}}
    groups = [{"anyOf": [{"required": [name], "properties": {name: nothing}} for name in group]} for group in REQUIRED[model]]
    return {"allOf": [{"$ref": f"#/components/schemas/{sent}"}, *groups]}


def _answer(name: str, fields: list[str]) -> dict[str, Any]:
    """A record as it is answered: whole, or less of it, or Capsule's own body."""
    less = {"type": "object", "not": {"required": fields}}
    less["description"] = "With truto_exclude_fields; or Capsule's own body, with truto_response_format=raw."
    return {"anyOf": [{"$ref": f"#/components/schemas/{name}"}, less]}


def _list_of(name: str) -> dict[str, Any]:
    cursor = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    return _object(
        {
            "result": {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}},
            "next_cursor": cursor,
            "prev_cursor": cursor,
            "result_count": {"type": "integer"},
            "is_partial_response": {"type": "boolean"},
        }
    )


def _problem() -> dict[str, Any]:
    found = _object(
        {
            "statusCode": {"type": "integer"},
            "error": {"type": "string"},
            "message": {"type": "string"},
            "details": {"type": "object"},
        }
    )
    found["properties"] |= {
        "truto_is_remote_error": {"type": "boolean"},
        "raw_response": {},
        "truto_error_insight": {"type": "object"},
    }
    return found


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _ok(name: str) -> dict[str, Any]:
    return {"200": {"description": "Good.", "content": _json({"$ref": f"#/components/schemas/{name}"})}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
