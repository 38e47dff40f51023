"""Definitions of custom fields -> fields (reference/unified-crm.md §5), and their keys in `custom_fields`.

Capsule's custom fields have no key of their own: the name is it. Two of one entity that share a name (those of two data
tags) get the name of their tag behind it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from mapping.body import as_table, number_of, optional_table, text, truth
from mapping.unified import parts
from mapping.unified.parts import Definition, Definitions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mapping.unified.parts import Body
    from mapping.values import Json

# Capsule's path word for an entity's definitions -> the models whose records carry such fields.
MODELS: Final = {"parties": ("contact", "account"), "opportunities": ("opportunity",), "kases": ("project",)}
PREFIX: Final = {"parties": "party", "opportunities": "opportunity", "kases": "kase"}
TYPES: Final = {"text": "string", "number": "number", "date": "date", "list": "enum", "boolean": "boolean", "link": "string"}
CAPTURE: Final = {"person": ("contact",), "organisation": ("account",)}


def definitions(bodies: Sequence[object]) -> Definitions:
    """The custom fields of one entity, each with its key.

    Raises:
        UnreadableRecord: one of them is no definition.
    """
    tables = [as_table(one, "a custom field") for one in bodies]
    names = Counter(text(one, "name", "a custom field") for one in tables)
    found: dict[int, Definition] = {}
    for one in tables:
        number = number_of(one, "a custom field")
        where = f"custom field {number}"
        tag, name = optional_table(one, "tag", where), text(one, "name", where)
        key = name
        if names[name] > 1 and tag is not None:
            key = f"{name} ({text(tag, 'name', where)})"
        if any(other.key == key for other in found.values()):
            key = f"{name} ({number})"
        tag_id = None if tag is None else number_of(tag, where)
        found[number] = Definition(number, key, kind=text(one, "type", where).lower(), tag_id=tag_id)
    return Definitions(found)


def field(body: object, known: Definitions, *, entity: str, model: str) -> dict[str, Json]:
    """A custom field. `entity` is Capsule's word for the definitions (`parties`), `model` the one it is listed under.

    Raises:
        UnreadableRecord: it is no definition.
    """
    table = as_table(body, "a custom field")
    number = number_of(table, "a custom field")
    where = f"custom field {number}"
    kind, tag = text(table, "type", where).lower(), optional_table(table, "tag", where)
    options = table.get("options")
    definition = known.by_id.get(number)
    return {
        "id": f"{PREFIX[entity]}:{number}",
        "remote_id": str(number),
        "name": definition.key if definition is not None else text(table, "name", where),
        "label": parts.some(text(table, "name", where)),
        "description": parts.some(text(table, "description", where)),
        "type": TYPES.get(kind, parts.some(kind)),
        "format": "url" if kind == "link" else None,
        "is_hidden": None,
        "is_unique": None,
        "is_required": False,
        "is_editable": True,
        "is_important": truth(table, "important", where),
        "options": [
            {"label": one, "value": one, "description": None, "is_hidden": None}
            for one in (options if isinstance(options, list) else [])
        ],
        "is_user_defined": True,
        "entity_type": model,
        "reference_entity": None,
        "field_groups": [] if tag is None else [parts.named(tag, where)],
        "created_at": None,
        "updated_at": None,
        "urls": [],
    }


def applies(body: Body, entity: str) -> tuple[str, ...]:
    """The models whose records may carry this field: a party's field may be kept for persons or for organisations alone."""
    return CAPTURE.get(text(body, "captureRule", "a custom field"), MODELS[entity]) if entity == "parties" else MODELS[entity]


def built_in(name: str, kind: str, model: str) -> dict[str, Json]:
    """An attribute that every record of a model has, in the same shape."""
    return {
        "id": f"{model}:{name}",
        "remote_id": None,
        "name": name,
        "label": name.replace("_", " "),
        "description": None,
        "type": kind,
        "format": None,
        "is_hidden": None,
        "is_unique": name == "id",
        "is_required": None,
        "is_editable": None,
        "is_important": None,
        "options": [],
        "is_user_defined": False,
        "entity_type": model,
        "reference_entity": None,
        "field_groups": [],
        "created_at": None,
        "updated_at": None,
        "urls": [],
    }
