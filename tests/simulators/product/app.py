"""A product's small receiver: verifies each message with the official library, and keeps the newest version of each record.

`POST /webhooks` takes messages; everything under `/_control/` is as in the other simulators, so it can be told to fail: a status
such as 500, 410 or 429 with `Retry-After`, a slow answer, one that never comes (`lost`, `cut`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.responses import Response
from starlette.routing import Route

from tests.simulators.control import Control, ControlRefused, Switch, control_routes, guarded, read_json
from tests.simulators.stage import SimulatorApp

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

    from tests.simulators.control import Document

SECRET = "whsec_" + "cHJvZHVjdC1zaW11bGF0b3Itc2VjcmV0LTEyMzQ1Ng=="
SWITCHES = (Switch("answer", ("204", "200"), "unified-crm.md §7", "the status of an accepted message: any 2xx is success"),)
MOST_MESSAGES = 100_000


class Product:
    """What the product keeps: records by model and id, the ids of messages that it has seen, and every message in order."""

    def __init__(self, control: Control, secrets: list[str]) -> None:
        self.control = control
        self.secrets = secrets
        self.clear()

    def clear(self) -> None:
        """Forget everything but the secrets."""
        self.records: dict[str, dict[str, dict[str, Any]]] = {}
        self.seen: set[str] = set()
        self.messages: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()

    async def take(self, request: Request) -> Response:
        """One message."""
        body = await request.body()
        headers = dict(request.headers)
        if not self._is_signed(body, headers):
            self.counts["refused"] += 1
            return Response(status_code=401)
        document = orjson.loads(body)
        self.counts["accepted"] += 1
        if len(self.messages) < MOST_MESSAGES:
            self.messages.append({"id": headers["webhook-id"], "timestamp": int(headers["webhook-timestamp"]), **document})
        if headers["webhook-id"] in self.seen:
            self.counts["repeated"] += 1
        else:
            self.seen.add(headers["webhook-id"])
            self._keep(document)
        return Response(status_code=int(self.control.switches["answer"]))

    def _is_signed(self, body: bytes, headers: dict[str, str]) -> bool:
        for secret in self.secrets:
            try:
                Webhook(secret).verify(body, headers)
            except WebhookVerificationError:
                continue
            return True
        return False

    def _keep(self, document: dict[str, Any]) -> None:
        data = document["data"]
        if not data["event"].startswith("record:"):
            self.counts["triggers"] += 1
            return
        kept = self.records.setdefault(data["model"], {})
        known = kept.get(data["id"])
        if known is not None and data["version"] <= known["version"]:
            self.counts["older"] += 1
            return
        gone = data["event"] == "record:deleted"
        kept[data["id"]] = {
            "version": data["version"],
            "record": None if gone else data["record"],
            "delete_reason": data.get("delete_reason"),
        }

    def state(self) -> object:
        """The records that it holds, how many messages came, and what was dropped."""
        held = {
            model: {number: one["record"] for number, one in kept.items() if one["record"] is not None}
            for model, kept in self.records.items()
        }
        gone = {
            model: {number: one["delete_reason"] for number, one in kept.items() if one["record"] is None}
            for model, kept in self.records.items()
        }
        return {"records": held, "gone": gone, "counts": dict(self.counts), "versions": self._versions()}

    def _versions(self) -> dict[str, int]:
        return {f"{model}|{number}": one["version"] for model, kept in self.records.items() for number, one in kept.items()}

    async def log(self, request: Request) -> object:
        """Every accepted message with its id and the time of its attempt, from the place `since` on."""
        return {"messages": self.messages[int(request.query_params.get("since", "0")) :]}

    async def set_secrets(self, request: Request) -> object:
        """The secrets that it accepts from now on."""
        document = await read_json(request)
        self.secrets = [str(one) for one in document["secrets"]]
        return {"secrets": len(self.secrets)}

    def reset(self, _options: Document) -> object:
        """Begin again."""
        self.clear()
        return "done"

    def seed(self, _options: Document) -> object:
        """A product has nothing of its own."""
        raise ControlRefused("a product is only filled by messages")


def build(*, secrets: str = SECRET) -> Starlette:
    """The simulator. `secrets` is a comma list of those that it accepts."""
    control = Control(switches=SWITCHES, limits={})
    product = Product(control, secrets.split(","))
    routes = [
        Route("/webhooks", product.take, methods=["POST"]),
        Route("/_control/messages", guarded(product.log), methods=["GET"]),
        Route("/_control/secrets", guarded(product.set_secrets), methods=["POST"]),
        *control_routes(control, reset=product.reset, state=product.state, seed=product.seed),
    ]
    return SimulatorApp(control=control, base="", routes=routes)
