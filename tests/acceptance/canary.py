"""Secrets and personal data that must not be seen again, a story that takes them through everything, and where to look."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import time
import urllib.parse
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from mapping.keys import signed_path
from tests.acceptance.harness import EVENTS, NAME, until
from tests.acceptance.signing_in import OAuthSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNING_KEY: Final = b"CanarySigningSecret0123456789"
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
PERSONAL: Final = {
    "first name": "Canaryfirst",
    "last name": "Canarylast",
    "e-mail": "canary.mail@canary-domain.example",
    "phone": "+44 20 7946 0777",
    "note": "canarynote: allergic to nuts",
    "custom field": "canarycustom",
    "organisation": "Canaryorg Holdings",
    "deal": "Canarydeal for the top floor",
    "street": "Canarystreet 7",
    "twitter": "canarytwitter",
    "web site": "canaryweb.example",
}
SECRETS: Final = {
    "secret key": "canary-secret-key-0123456789-abcdefghij",
    "signing secret": base64.b64encode(SIGNING_KEY).decode(),
    "Capsule's client secret": "capsule-secret",
    "OfficeRnD's client secret": "officernd-secret",
    "password in a query": "canaryquerypassword",
    "console's password": "canary console password",
    "password that is not it": "canary wrong password",
    "metrics token": "canary-metrics-token-0123456789",
}
OWN_FIELD: Final = """
[connections.acme.fields.person]
"properties.plan" = "abs(about)"
"""


class Canaries(OAuthSystem):
    """The whole system with planted settings. `form` and `level` are those of the log."""

    def __init__(self, directory: Path, *, form: str, level: str, **environment: str) -> None:
        settings = {
            "RELAY_LOG_FORMAT": form,
            "RELAY_LOG_LEVEL": level,
            "RELAY_CALL_DEADLINE": "0.6",
            "RELAY_STRAY": "0.5",
            "RELAY_ACME_SIGNING_SECRET": "whsec_" + SECRETS["signing secret"],
            "RELAY_CONSOLE_PASSWORD": SECRETS["console's password"],
            "RELAY_METRICS_TOKEN": SECRETS["metrics token"],
        }
        super().__init__(directory, environment=settings | environment)
        self.secret = SECRETS["secret key"]
        self.extra = OWN_FIELD
        self.said: dict[str, str] = {}

    def rules(self) -> str:
        """One milestone has no status, so that its deals are held."""
        return super().rules().replace('"Lost" = "lost"\n', "")

    # ------------------------------------------------------------------ records
    def person(self, number: int, **changed: Any) -> int:
        """A person whose every field is planted; the number keeps several of them apart."""
        fields: dict[str, Any] = {
            "type": "person",
            "firstName": PERSONAL["first name"],
            "lastName": f"{PERSONAL['last name']}{number}",
            "about": PERSONAL["note"],
            "emailAddresses": [{"type": "Work", "address": f"{number}{PERSONAL['e-mail']}"}],
            "phoneNumbers": [{"type": "Work", "number": PERSONAL["phone"]}],
            "websites": [{"service": "TWITTER", "address": PERSONAL["twitter"]}],
            "addresses": [{"type": "Office", "street": PERSONAL["street"]}],
            "tags": [{"name": "member"}],
        }
        return int(self.party(**fields | changed)["id"])

    def organisation(self) -> int:
        fields = {
            "name": PERSONAL["organisation"],
            "about": PERSONAL["note"],
            "emailAddresses": [{"address": f"org{PERSONAL['e-mail']}"}],
            "websites": [{"service": "URL", "address": f"https://{PERSONAL['web site']}"}],
            "tags": [{"name": "member"}],
        }
        return int(self.party(type="organisation", **fields)["id"])

    def deal(self, party: int, milestone: str) -> int:
        """An opportunity in the first milestone of that name."""
        found = self.capsule.control("GET", "state")
        rows = [row for pipeline in found["pipelines"] for row in pipeline.get("milestones", [])] or found.get("milestones", [])
        number = next(row["id"] for row in rows if row["name"] == milestone)
        fields = {"name": PERSONAL["deal"], "description": PERSONAL["note"], "party": {"id": party}, "milestone": {"id": number}}
        answer = self.api.post("opportunities", json={"opportunity": fields})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["opportunity"]["id"])

    # ------------------------------------------------------------------ deliveries
    def post(self, body: bytes, **headers: str) -> int:
        return httpx.post(self.hook_url(), content=body, headers=headers, timeout=10, trust_env=False).status_code

    def post_signed(self, body: bytes, *, key: bytes = SIGNING_KEY, **headers: str) -> int:
        stamp = str(int(time.time()))
        mac = base64.b64encode(hmac.digest(key, f"msg_1.{stamp}.".encode() + body, hashlib.sha256)).decode()
        signed = {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{mac}"}
        url = f"http://127.0.0.1:{self.web_port}{signed_path(NAME)}?password={SECRETS['password in a query']}"
        return httpx.post(url, content=body, headers=signed | headers, timeout=10, trust_env=False).status_code

    # ------------------------------------------------------------------ what happens
    def command(self, *words: str) -> None:
        """A command whose output is looked at."""
        done = self.run(*words)
        self.said[" ".join(words)] = done.stdout + done.stderr

    def lettered(self, kind: str, number: int) -> bool:
        with self.store() as store:
            return bool(store.hexists("relay:letters", f"{NAME}|{kind}|{number}"))

    def outcome(self, kind: str, number: int) -> str:
        """How the ledger says that the last run of a record ended."""
        with self.store() as store:
            held = store.hget(f"relay:ledger:{NAME}", f"{kind}|{number}") or b"1\n"
        return held.split(b"\n", 1)[0][1:].decode()

    def in_step(self, number: int) -> bool:
        """Whether the last run of a party ended so."""
        return self.outcome("party", number) == "in_step"

    def story(self) -> None:
        """Success and every kind of failure that writes text somewhere. Faults are ended by name, so that none is left."""
        assert "Connected to Capsule" in self.connect()
        until(lambda: len(self.hook_events()) == len(EVENTS), "the hooks")
        with self.store() as store:
            until(lambda: store.hexists("relay:synced", NAME), "the first sync")
        self._succeeds()
        self._fails()
        self._is_held_and_killed()
        self._is_told_nonsense()
        self._is_looked_at()
        until(self.idle, "nothing is open", seconds=60)

    def _succeeds(self) -> None:
        organisation = self.organisation()
        person = self.person(1, organisation={"id": organisation})
        deal = self.deal(person, "Bid")
        until(lambda: self.outcome("opportunity", deal) == "in_step", "the deal is in step", seconds=60)
        until(lambda: self.outcome("party", person) == "in_step", "the person is in step", seconds=60)
        self.edit(person, lastName=f"{PERSONAL['last name']}changed")

    def _fails(self) -> None:
        words = [f"{name} {value} is not good" for name, value in PERSONAL.items()]
        echo: dict[str, Any] = {"statusCode": 400, "message": words, "error": "Bad Request"}
        page = f"<html><body>{' '.join(words)}</body></html>"
        kinds: list[tuple[dict[str, Any], bool]] = [
            ({"kind": "status", "status": 400, "body": echo}, True),
            ({"kind": "status", "status": 500, "body": {"statusCode": 500, "message": " ".join(words)}}, False),
            ({"kind": "status", "status": 503, "body": {"statusCode": 503, "message": " ".join(words)}}, False),
            ({"kind": "html", "status": 502, "body": page}, False),
            ({"kind": "html", "status": 200, "body": page}, False),
            ({"kind": "status", "status": 401, "body": {"message": words}}, False),
            ({"kind": "slow", "seconds": 1.0}, False),
            ({"kind": "cut"}, False),
        ]
        for number, (fault, lettered) in enumerate(kinds, start=10):
            self.officernd.control("POST", "faults", {"route": "POST /members", "count": 1, **fault})
            person = self.person(number)
            if lettered:
                until(partial(self.lettered, "party", person), "a dead letter", seconds=60)
            else:
                until(partial(self.in_step, person), f"in step after {fault}", seconds=90)
        number = self.person(20)
        until(partial(self.in_step, number), "in step", seconds=60)
        refusal = {"kind": "status", "status": 400, "body": {"message": page}, "path": f"/parties/{number}"}
        self.capsule.control("POST", "faults", {"route": "GET *", "count": 1, **refusal})
        self.edit(number, about="canarynote")
        until(partial(self.lettered, "party", number), "Capsule refused", seconds=60)

    def _is_held_and_killed(self) -> None:
        person = self.person(30)
        held = self.deal(person, "Lost")
        until(lambda: self.outcome("opportunity", held) == "held", "a deal is held", seconds=60)
        self.officernd.control("POST", "faults", {"route": "POST /members", "count": 1, "kind": "slow", "seconds": 0.5})
        killed = self.person(31)
        with self.store() as store:
            until(lambda: store.hexists("relay:intent", f"{NAME}|party|{killed}"), "a write is noted", seconds=30, every=0.002)
        os.kill(self.worker(), signal.SIGKILL)
        until(lambda: self.outcome("party", killed) == "in_step", "the killed worker's record", seconds=90)

    def _is_told_nonsense(self) -> None:
        nonsense = json.dumps({"event": "party/updated", "payload": [{"id": "x", **PERSONAL}]})
        for text in (nonsense, nonsense[:-3], json.dumps(list(PERSONAL.values())), json.dumps({"event": PERSONAL["deal"]})):
            assert self.post(text.encode()) == 202
        assert self.post(b"x", **{"content-encoding": PERSONAL["e-mail"]}) == 202
        wrong = self.hook_url()[:-4] + "canary-token-that-is-wrong"
        assert httpx.post(wrong, content=nonsense, trust_env=False).status_code == 404
        assert self.post_signed(nonsense.encode(), key=b"another secret of thirty bytes") == 401
        person = self.person(40)
        body = json.dumps({"event": "party/updated", "payload": [{"id": person}]}).encode()
        until(self.idle, "nothing is open", seconds=60)
        assert self.post_signed(body, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01") == 202
        until(self.idle, "nothing is open", seconds=60)

    def _is_looked_at(self) -> None:
        for words in (
            ("sync", NAME, "--full", "--dry-run"),
            ("sync", NAME, "--full"),
            ("sync", NAME, "--json"),
            ("status",),
            ("status", "--json"),
            ("check", "--live"),
            ("hooks", NAME, "ensure"),
            ("sync", "nobody"),
        ):
            self.command(*words)
        pages = ("/", f"/connections/{NAME}", "/connections/nobody", "/connect/canary-ticket", "/metrics")
        looked = (
            *pages,
            f"/oauth/callback?code={SECRETS['password in a query']}&state=x",
            "/letters",
            f"/connections/{NAME}/records",
        )
        with httpx.Client(base_url=self.console, trust_env=False, timeout=20, follow_redirects=True) as browser:
            for who in ("nobody", "signed in"):
                for path in looked:
                    answer = browser.get(path)
                    self.said[f"console, {who}, {path}"] = f"{answer.text} {dict(answer.headers)}"
                if who == "nobody":
                    self._signs_in(browser)
            self._looks_at_a_letter(browser)
            token = {"authorization": f"Bearer {SECRETS['metrics token']}", "x-forwarded-for": "192.0.2.1"}
            scraped = httpx.get(f"{self.console}/metrics", headers=token, trust_env=False, timeout=20)
            assert scraped.status_code == 200
            self.said["scraped with the token"] = scraped.text

    def _signs_in(self, browser: httpx.Client) -> None:
        """First with a password that is not it."""
        for password, title in (("password that is not it", "Sign in"), ("console's password", "Status")):
            page = browser.get("/login").text
            token = page.split('name="token" value="', 1)[1].split('"', 1)[0]
            answer = browser.post("/login", data={"password": SECRETS[password], "token": token, "next": ""})
            assert f"<title>{title}" in answer.text
            self.said[f"signing in, {password}"] = answer.text

    def _looks_at_a_letter(self, browser: httpx.Client) -> None:
        """A letter, whose values are hidden, and the record, whose page shows them to who has signed in: that is not searched."""
        # What is said of a letter without its values is what can be known to be one: what we had sent.
        sent = (f"{PERSONAL['first name']} {PERSONAL['last name']}50", f"50{PERSONAL['e-mail']}", PERSONAL["phone"])
        words = [f"{value} is not good" for value in sent]
        fault = {"route": "POST /members", "count": 1, "kind": "status", "status": 400, "body": {"message": words}}
        self.officernd.control("POST", "faults", fault)
        number = self.person(50)
        until(partial(self.lettered, "party", number), "a dead letter", seconds=60)
        (letter,) = set(re.findall(r"letters/(r[0-9a-f]+)", browser.get("/letters").text))
        for path in ("/letters", f"/letters/{letter}", f"/letters/ask?action=replay&id={letter}"):
            answer = browser.get(path)
            assert answer.status_code == 200
            self.said[f"console, signed in, {path}"] = answer.text
        assert PERSONAL["first name"] in browser.get(f"/connections/{NAME}/records/person/{number}").text
        form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text.split("letters/do", 1)[1]))
        self.said["console, a replay"] = browser.post("/letters/do", data=form).text
        until(partial(self.in_step, number), "the letter's record is in step", seconds=60)

    # ------------------------------------------------------------------ where to look
    def processes(self) -> dict[int, list[bytes]]:
        """The command line of each process of this system."""
        found = {}
        mine = f"RELAY_DATA_DIR={self.directory / 'data'}".encode()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mine in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
        return found

    def worker(self) -> int:
        """The process that does the work of the lanes live and bulk: the child of Dramatiq's first."""
        serving = [pid for pid, words in self.processes().items() if b"workers.main:setup" in words and b"live" in words]
        return max(serving)

    def secrets_given(self) -> Iterator[str]:
        """Tokens, codes and verifiers that either simulator was shown."""
        for simulator in (self.capsule, self.officernd):
            for one in simulator.control("GET", "requests")["requests"]:
                yield (one["headers"].get("authorization") or "").removeprefix("Bearer ")
                body = one["body"] if isinstance(one["body"], dict) else dict(urllib.parse.parse_qsl(str(one["body"] or "")))
                for name in ("refresh_token", "code", "code_verifier", "client_secret", "token"):
                    yield str(body.get(name) or "")


@dataclass
class Seen:
    """Everything that somebody else could read, by place, and what must not be found in it."""

    places: dict[str, bytes] = field(default_factory=dict)
    canaries: dict[str, str] = field(default_factory=dict)

    def leaks(self) -> list[str]:
        """Which canary was found where, in any of the forms in which a text is written."""
        found = []
        for place, raw in self.places.items():
            low = raw.lower()
            for what, canary in self.canaries.items():
                found += [f"{what} in {place}: {around(low, form)!r}" for form in forms(canary) if form in low]
        return found


def forms(text: str) -> set[bytes]:
    """A text as it may be written, in lower case: plain, in JSON, in an address, in a form, in base64."""
    plain = text.encode()
    ways = {plain, json.dumps(text)[1:-1].encode(), urllib.parse.quote(text).encode(), urllib.parse.quote_plus(text).encode()}
    for shift in range(3):
        # What stands before it moves the boundaries of base64; the first and the last group depend on the neighbours.
        encoded = base64.b64encode(b"x" * shift + plain)
        ways.add(encoded[4 if shift else 0 : -4])
    return {way.lower() for way in ways if len(way) > 6}


def around(text: bytes, form: bytes) -> str:
    """What stands around the first place where a form was found."""
    at = text.index(form)
    return text[max(0, at - 80) : at + len(form) + 40].decode(errors="replace")


def look(system: Canaries) -> Seen:
    """Gathers everything while the system still runs; `look_again` adds what is written at the end."""
    seen = Seen(canaries={**PERSONAL, **SECRETS, "hook token": system.hook_url().rsplit("/", 1)[1]})
    given = {one for one in system.secrets_given() if len(one) > 8}
    seen.canaries |= {f"token {number}": one for number, one in enumerate(sorted(given))}
    for name, said in system.said.items():
        seen.places[name] = said.encode()
    for pid, words in system.processes().items():
        seen.places[f"command line of {pid}"] = b" ".join(words)
    with system.store() as store:
        for key in store.scan_iter(count=1000):
            seen.places[f"Redis {key.decode()}"] = key + b" " + repr(_value(store, key)).encode() + (store.dump(key) or b"")
    return seen


def look_again(system: Canaries, seen: Seen) -> None:
    """What is on disk, the log among it, once everything has ended."""
    for path in system.directory.rglob("*"):
        if path.is_file() and path.name != "relay.toml":
            seen.places[str(path.relative_to(system.directory))] = path.read_bytes()


def _value(store: Any, key: bytes) -> object:
    kind = store.type(key)
    readers = {
        b"string": lambda: store.get(key),
        b"hash": lambda: store.hgetall(key),
        b"zset": lambda: store.zrange(key, 0, -1, withscores=True),
        b"set": lambda: store.smembers(key),
        b"list": lambda: store.lrange(key, 0, -1),
        b"stream": lambda: store.xrange(key),
    }
    return readers[kind]() if kind in readers else b""
