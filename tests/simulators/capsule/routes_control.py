"""Control paths that only this simulator has: hooks, deliveries, hidden records, tokens, users, reference data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from tests.simulators.capsule.account import KINDS, PLURALS, TAGGED
from tests.simulators.capsule.errors import Refusal
from tests.simulators.capsule.oauth import DEFAULT_SCOPE, Token
from tests.simulators.capsule.seed import new_user
from tests.simulators.capsule.shapes import moment, whole
from tests.simulators.control import ControlRefused, Document, guarded, read_json

if TYPE_CHECKING:
    from starlette.requests import Request

    from tests.simulators.capsule.calls import Desk


class CapsuleControl:
    """The endpoints; see `routes` for their paths."""

    def __init__(self, desk: Desk, *, client_id: str, user: int) -> None:
        self._desk = desk
        self._client_id = client_id
        self._user = user

    def routes(self) -> list[Route]:
        """The routes under `/_control/`.

        POST hooks        one hook or a list: event, targetUrl, embed; "application" for another's (default: the OAuth client's)
        GET hooks         every hook of every application
        GET deliveries    attempts (from `since`), how many deliveries are on their way, the hooks that were dropped
        POST restrict     {"kind", "id"}: hide a record;  POST unrestrict shows it again
        POST tokens       {"token", "user", "scope", "application", "seconds"}: add one; without "token" OAuth tokens are made
        POST users        {"name", "username", "admin"} adds a user, with "id" changes or ("deleted": true) deletes one; fires
        POST reference    {"sort": "milestone", "id", "changes"}: change a row of the reference data
        """
        return [
            Route("/_control/hooks", guarded(self.add_hooks), methods=["POST"]),
            Route("/_control/hooks", guarded(self.hooks), methods=["GET"]),
            Route("/_control/deliveries", guarded(self.deliveries), methods=["GET"]),
            Route("/_control/restrict", guarded(self.restrict), methods=["POST"]),
            Route("/_control/unrestrict", guarded(self.unrestrict), methods=["POST"]),
            Route("/_control/tokens", guarded(self.tokens), methods=["POST"]),
            Route("/_control/users", guarded(self.users), methods=["POST"]),
            Route("/_control/reference", guarded(self.reference), methods=["POST"]),
        ]

    def state(self) -> Document:
        """Every record in full shape, hidden ones too, and what is around them."""
        account, shapes = self._desk.account, self._desk.shapes
        found: Document = {
            PLURALS[kind]: [shapes.record(kind, record, whole(kind)) for record in account.records[kind].values()]
            for kind in KINDS
        }
        found["users"] = [shapes.user(row) for row in account.reference["user"].values() if not row["deleted"]]
        found["pipelines"] = [shapes.timed(row) for row in account.reference["pipeline"].values()]
        found["milestones"] = [shapes.milestone(row) for row in account.reference["milestone"].values()]
        found["tags"] = {kind: list(account.tags[kind].values()) for kind in TAGGED}
        found["definitions"] = {kind: list(account.definitions[kind].values()) for kind in TAGGED}
        found["deleted"] = {
            kind: [{"id": number, "deletedAt": moment(at)} for number, at in account.deleted[kind].items()] for kind in TAGGED
        }
        found["restricted"] = [{"kind": kind, "id": number} for kind, number in account.restricted]
        found["restHooks"] = self._hooks()
        return found

    async def add_hooks(self, request: Request) -> object:
        """Subscribe as an application would."""
        wanted = await read_json(request)
        made = []
        for body in wanted if isinstance(wanted, list) else [wanted]:
            client = body.get("application", self._client_id)
            try:
                hook = self._desk.hooks.subscribe(body, client=client, user=self._user)
            except Refusal as refusal:
                raise ControlRefused(str(refusal.document)) from refusal
            made.append(self._desk.hooks.document(hook))
        return {"restHooks": made}

    async def hooks(self, _request: Request) -> object:
        """Every hook."""
        return {"restHooks": self._hooks()}

    async def deliveries(self, request: Request) -> object:
        """What was delivered and what waits."""
        since = int(request.query_params.get("since", "0"))
        hooks = self._desk.hooks
        return {"deliveries": hooks.attempts[since:], "pending": hooks.pending(), "dropped": hooks.dropped}

    async def restrict(self, request: Request) -> object:
        """Hide a record."""
        kind, number = _named(await read_json(request))
        try:
            self._desk.account.restrict(kind, number)
        except Refusal as refusal:
            raise ControlRefused(f"there is no {kind} {number}") from refusal
        return {"kind": kind, "id": number}

    async def unrestrict(self, request: Request) -> object:
        """Show a record again."""
        kind, number = _named(await read_json(request))
        self._desk.account.unrestrict(kind, number)
        return {"kind": kind, "id": number}

    async def tokens(self, request: Request) -> object:
        """Add a token."""
        body = await read_json(request)
        scopes = tuple(str(body["scope"]).split()) if "scope" in body else DEFAULT_SCOPE
        tokens = self._desk.tokens
        if "token" not in body:
            client = str(body.get("application", self._client_id))
            tokens.applications.setdefault(client, None)
            return tokens.issue(client, scopes)
        user = int(body.get("user", self._user))
        if user not in self._desk.account.reference["user"]:
            raise ControlRefused(f"there is no user {user}")
        ends = self._desk.control.now() + float(body["seconds"]) if "seconds" in body else None
        tokens.tokens[body["token"]] = Token(body["token"], user, scopes, body.get("application"), ends)
        return {"token": body["token"], "user": user}

    async def users(self, request: Request) -> object:
        """Add, change or delete a user, as an administrator does in the web pages."""
        body = await read_json(request)
        account = self._desk.account
        if "id" not in body:
            row = new_user(
                account, body.get("name", "New User"), username=body.get("username", "new.user"), admin=bool(body.get("admin"))
            )
            account.fire("user", "created", row)
            return self._desk.shapes.user(row)
        if body["id"] not in account.reference["user"]:
            raise ControlRefused(f"there is no user {body['id']}")
        row = account.reference["user"][body["id"]]
        row |= {key: body[key] for key in ("name", "username", "admin", "deleted", "party") if key in body}
        account.fire("user", "deleted" if body.get("deleted") else "updated", row)
        return self._desk.shapes.user(row)

    async def reference(self, request: Request) -> object:
        """Change a row of the reference data, as an administrator does in the web pages."""
        body = await read_json(request)
        rows = self._desk.account.reference.get(body.get("sort"), {})
        row, changes = rows.get(body.get("id")), body.get("changes")
        if row is None or not isinstance(changes, dict) or not changes.keys() <= row.keys():
            raise ControlRefused("sort, id and changes must name a row and its keys")
        row |= {**changes, "updatedAt": self._desk.account.now()}
        return self._desk.shapes.timed(row)

    def _hooks(self) -> list[Document]:
        """Every hook, with its application."""
        hooks = self._desk.hooks
        return [{**hooks.document(hook), "application": hook.client} for hook in hooks.hooks.values()]


def _named(body: Document) -> tuple[str, int]:
    """A record's kind and id. Raises ControlRefused."""
    kind, number = body.get("kind"), body.get("id")
    if kind not in TAGGED or not isinstance(number, int):
        raise ControlRefused(f"kind must be one of {', '.join(TAGGED)}, id a number")
    return kind, number
