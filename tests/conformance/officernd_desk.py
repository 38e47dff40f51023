"""A desk in front of the OfficeRnD simulator, in process: what the conformance tests ask and see."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from tests.simulators.officernd.app import build
from tests.simulators.officernd.seed import SCOPES, fixed_id

BASE = "/api/v2/organizations/acme-spaces"
LONDON = fixed_id(1)
SHOREDITCH = fixed_id(2)
OPEN, TOUR, WON, LOST, NEGOTIATION = (fixed_id(0x400 + n) for n in range(1, 6))
UNKNOWN = "64b0c0ffee00000000009999"
FORM = {
    "client_id": "officernd-client",
    "client_secret": "officernd-secret",
    "grant_type": "client_credentials",
    "scope": " ".join(sorted(SCOPES)),
}
MEMBER = {"name": "Ada Example", "location": LONDON, "startDate": "2026-11-01"}
COMPANY = {"name": "Acme Robotics", "location": LONDON, "startDate": "2026-11-01"}


class Desk:
    """One simulator and one token for it."""

    def __init__(self, **options: Any) -> None:
        self._transport = httpx.ASGITransport(build(**options))
        self.token = self.new_token()

    def request(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One request to anywhere on the server."""

        async def send() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self._transport, base_url="http://officernd.example", trust_env=False
            ) as client:
                return await client.request(method, path, **request)

        return asyncio.run(send())

    def new_token(self, **changes: str) -> str:
        """A token for every scope, or with other fields in the form."""
        answer = self.request("POST", "/oauth/token", data={**FORM, **changes})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """One request below the organisation, with the token."""
        headers = {"Authorization": f"Bearer {self.token}", **request.pop("headers", {})}
        return self.request(method, BASE + path, headers=headers, **request)

    def get(self, path: str, expect: int = 200) -> Any:
        """The document of a GET that is answered with this status."""
        answer = self.ask("GET", path)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def post(self, path: str, body: object, expect: int = 201) -> Any:
        """The document of a POST."""
        answer = self.ask("POST", path, json=body)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def put(self, path: str, body: object, expect: int = 200) -> Any:
        """The document of a PUT; None without one."""
        answer = self.ask("PUT", path, json=body)
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    def control(self, method: str, path: str, document: object = None, expect: int = 200) -> Any:
        """One order or question under /_control/."""
        answer = self.request(method, f"/_control/{path}", json=document)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def switch(self, **positions: str) -> None:
        """Set switches."""
        self.control("POST", "switches", positions)

    def limit(self, **numbers: float) -> None:
        """Set limits."""
        self.control("POST", "limits", numbers)

    def advance(self, seconds: float) -> None:
        """Move the simulator's clock."""
        self.control("POST", "clock", {"advance": seconds})

    def seed(self, **documents: list[dict[str, Any]]) -> Any:
        """Place records."""
        return self.control("POST", "seed", documents)

    def members(self, count: int, **fields: Any) -> list[str]:
        """Place this many members; their ids in order."""
        seeded = self.seed(members=[{"name": f"Member {n}", **fields} for n in range(count)])
        return [row["_id"] for row in seeded["members"]]

    def faults_of(self, method: str, path: str, body: object) -> set[str]:
        """The messages of a request that is answered 400."""
        answer = self.ask(method, path, json=body)
        assert answer.status_code == 400, answer.text
        document = answer.json()
        assert document["statusCode"] == 400
        assert document["error"] == "Bad Request"
        return set(document["message"])

    def failure(self, method: str, path: str, body: object) -> str:
        """The sentence of a request that is answered 500."""
        answer = self.ask(method, path, json=body)
        assert answer.status_code == 500, answer.text
        assert answer.json()["error"] == "Internal Server Error"
        return str(answer.json()["message"])
