"""The paths of tag and custom field definitions (reference/capsule.md §4.6, §5.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from tests.simulators.capsule.account import PLURALS, TAGGED
from tests.simulators.capsule.calls import BASE, Call, Desk, no_content
from tests.simulators.capsule.errors import NotFound, invalid, required
from tests.simulators.capsule.filter_fields import SORT_OF_TYPE
from tests.simulators.capsule.merge import tag_named
from tests.simulators.capsule.paging import page_of
from tests.simulators.capsule.routes_records import queued
from tests.simulators.capsule.values import Body, choice, id_of, text
from tests.simulators.control import Json

if TYPE_CHECKING:
    from starlette.responses import Response

    from tests.simulators.capsule.account import Record
    from tests.simulators.capsule.shapes import Document


def definition_routes(desk: Desk) -> list[Route]:
    """The routes of every kind that has tags and fields."""
    return [route for kind in TAGGED for route in _Definitions(kind).routes(desk)]


class _Definitions:
    """The tags and field definitions of one kind of record."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def routes(self, desk: Desk) -> list[Route]:
        root, read = f"{BASE}/{PLURALS[self.kind]}", desk.endpoint
        return [
            Route(f"{root}/tags", read(self.list_tags), methods=["GET"]),
            Route(f"{root}/tags", read(self.create_tag, scope="write"), methods=["POST"]),
            Route(f"{root}/tags/{{id}}", read(self.show_tag), methods=["GET"]),
            Route(f"{root}/tags/{{id}}", read(self.delete_tag, scope="write"), methods=["DELETE"]),
            Route(f"{root}/tags/{{id}}/definitions", read(self.definitions_of_tag), methods=["GET"]),
            Route(f"{root}/fields/definitions", read(self.list), methods=["GET"]),
            Route(f"{root}/fields/definitions", read(self.create, scope="write"), methods=["POST"]),
            Route(f"{root}/fields/definitions/{{id}}", read(self.show), methods=["GET"]),
            Route(f"{root}/fields/definitions/{{id}}", read(self.update, scope="write"), methods=["PUT"]),
            Route(f"{root}/fields/definitions/{{id}}", read(self.delete, scope="write"), methods=["DELETE"]),
        ]

    def list_tags(self, call: Call) -> Response:
        table = call.account.tags[self.kind]
        page = page_of(call.request, call.desk.control, sorted(table))
        return Json({"tags": [_shown(table[number]) for number in page.ids]}, headers=page.headers)

    def create_tag(self, call: Call) -> Response:
        body = call.wrapped("tag")
        table, name = call.account.tags[self.kind], text(body.get("name"), "name")
        if name is None:
            raise required("name", resource="tag")
        if any(tag["name"].casefold() == name.strip().casefold() for tag in table.values()):
            raise invalid("name already exists", resource="tag", field="name")
        number = tag_named(call.account, self.kind, name)
        table[number] |= {"description": text(body.get("description"), "description"), "dataTag": body.get("dataTag") is True}
        return call.created(f"{PLURALS[self.kind]}/tags/{number}", {"tag": _shown(table[number])})

    def show_tag(self, call: Call) -> Response:
        return Json({"tag": _shown(self._tag(call))})

    def delete_tag(self, call: Call) -> Response:
        """The tag goes from every record, whose updatedAt and hooks stay still: no event for tags exists (§1.4)."""
        number = self._tag(call)["id"]
        for record in call.account.records[self.kind].values():
            if number in record["tags"]:
                record["tags"] = [tag for tag in record["tags"] if tag != number]
        del call.account.tags[self.kind][number]
        return no_content() if call.desk.control.switches["tag_delete"] == "204" else queued(call, "Deleting Tag")

    def definitions_of_tag(self, call: Call) -> Response:
        number = self._tag(call)["id"]
        rows = [row for row in call.account.definitions[self.kind].values() if row["tag"] == number]
        return Json({"definitions": [self._document(call, row) for row in rows]})

    def list(self, call: Call) -> Response:
        table = call.account.definitions[self.kind]
        without = call.request.query_params.get("includeDataTagFields") == "false"
        ids = sorted(number for number, row in table.items() if not (without and row["tag"] is not None))
        page = page_of(call.request, call.desk.control, ids)
        return Json({"definitions": [self._document(call, table[number]) for number in page.ids]}, headers=page.headers)

    def create(self, call: Call) -> Response:
        call.need_administrator()
        body, table = call.wrapped("definition"), call.account.definitions[self.kind]
        sort = choice(body.get("type"), "type", SORT_OF_TYPE, resource="definition")
        if sort is None:
            raise required("type", resource="definition")
        row: Record = {"id": 0, "type": sort, "displayOrder": len(table), "name": None, "captureRule": None}
        row |= {"options": [], "description": None, "important": False, "tag": id_of(body.get("tag"), "tag")}
        if row["tag"] is not None and row["tag"] not in call.account.tags[self.kind]:
            raise invalid("tag not found", resource="definition", field="tag")
        if self.kind == "party":
            row["captureRule"] = choice(body.get("captureRule"), "captureRule", {"person", "organisation"}, resource="definition")
        self._apply(row, body)
        row["id"] = call.account.next_id(f"{self.kind} definition")
        table[row["id"]] = row
        return call.created(f"{PLURALS[self.kind]}/fields/definitions/{row['id']}", {"definition": self._document(call, row)})

    def show(self, call: Call) -> Response:
        return Json({"definition": self._document(call, self._row(call))})

    def update(self, call: Call) -> Response:
        call.need_administrator()
        row = self._row(call)
        self._apply(row, call.wrapped("definition"))
        return Json({"definition": self._document(call, row)})

    def delete(self, call: Call) -> Response:
        """The definition goes, and its value on every record."""
        call.need_administrator()
        number = self._row(call)["id"]
        for record in call.account.records[self.kind].values():
            record["fields"].pop(number, None)
        del call.account.definitions[self.kind][number]
        return no_content()

    def _tag(self, call: Call) -> Record:
        table, number = call.account.tags[self.kind], call.number("id")
        if number not in table:
            raise NotFound("tag")
        return table[number]

    def _row(self, call: Call) -> Record:
        table, number = call.account.definitions[self.kind], call.number("id")
        if number not in table:
            raise NotFound("definition")
        return table[number]

    def _apply(self, row: Record, body: Body) -> None:
        """The keys that can be written."""
        for key in ("name", "description"):
            if key in body:
                row[key] = text(body[key], key)
        if row["name"] is None:
            raise required("name", resource="definition")
        if "important" in body:
            row["important"] = body["important"] is True
        if "options" in body and row["type"] == "list":
            options = body["options"]
            if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
                raise invalid("options: invalid value", resource="definition", field="options")
            row["options"] = options

    def _document(self, call: Call, row: Record) -> Document:
        """A definition as the server prints it: options only for lists, a nested tag for a data tag's field."""
        shown = {key: value for key, value in row.items() if key != "options" or row["type"] == "list"}
        tag = None if row["tag"] is None else call.account.tags[self.kind][row["tag"]]
        shown["tag"] = None if tag is None else {"id": tag["id"], "name": tag["name"], "dataTag": tag["dataTag"]}
        return shown


def _shown(tag: Record) -> Document:
    """A tag definition as the server prints it."""
    return dict(tag)
