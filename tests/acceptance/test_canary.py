"""The canary test: what was planted in settings and records is found in no log, no store, no page and no metric."""

from __future__ import annotations

import base64
import urllib.parse

import orjson
import pytest

from tests.acceptance.canary import SECRETS, TRACE, Canaries, Seen, forms, look, look_again
from tests.unit.logs_document import EVENTS, everywhere

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["json", "text"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Seen]:
    """One whole story at the most talkative level; then everything is gathered."""
    system = Canaries(tmp_path_factory.mktemp("canary"), form=request.param, level="DEBUG")
    with system:
        system.story()
        found = look(system)
        system.down()
        look_again(system, found)
    return request.param, found


def lines(seen: Seen) -> list[dict[str, object]]:
    """The JSON lines of all processes."""
    said = (line.partition(b"| ")[2] for line in seen.places["up.log"].splitlines())
    return [orjson.loads(one) for one in said if one.startswith(b"{")]


def test_no_secret_and_nothing_personal_is_written_anywhere(seen: tuple[str, Seen]) -> None:
    form, found = seen
    print(f"{form}: {len(found.places)} places, {sum(map(len, found.places.values()))} bytes, {len(found.canaries)} canaries")
    assert len(found.canaries) > 20
    assert not found.leaks(), "\n".join(found.leaks()[:20])


def test_the_story_has_left_what_it_was_meant_to(seen: tuple[str, Seen]) -> None:
    """So that the test above does not pass because nothing happened."""
    form, found = seen
    log = found.places["up.log"].decode()
    words = ("Refused", "NoAnswer", "SystemDown", "held", "delivery.unreadable", "delivery.refused_404", "delivery.refused_401")
    for word in words:
        assert word in log, word
    assert "Redis relay:deliveries:acme" in found.places
    # Letters are closed again by the full sync; what they held is in the file of the store all the same.
    assert any("appendonly" in place and b"relay:letters" in raw for place, raw in found.places.items())
    assert any(line.get("event") == "record" for line in lines(found)) == (form == "json")


def test_a_signed_relay_s_trace_is_on_its_delivery_and_on_the_run(seen: tuple[str, Seen]) -> None:
    form, found = seen
    if form == "text":
        assert found.places["up.log"].count(TRACE.encode()) >= 2
        return
    events = [line["event"] for line in lines(found) if line.get("trace") == TRACE]
    assert "delivery.admitted" in events
    assert "record" in events


def test_every_run_of_an_event_can_be_followed_back_to_a_delivery(seen: tuple[str, Seen]) -> None:
    form, found = seen
    if form == "text":
        pytest.skip("the lines of the other form are compared")
    said = lines(found)
    begun = {line.get("trace") for line in said if line["event"] in {"delivery.admitted", "delivery.unreadable", "page"}}
    runs = [line for line in said if line["event"] == "record" and line["lane"] == "live"]
    assert len(runs) > 20
    lost = [line for line in runs if line["trace"] not in begun]
    assert not lost, lost[:3]


def test_each_line_is_as_the_document_says(seen: tuple[str, Seen]) -> None:
    form, found = seen
    if form == "text":
        pytest.skip("the lines of the other form are compared")
    wrong = []
    met = set()
    for line in lines(found):
        event, level = str(line["event"]), str(line["level"])
        if line.get("logger", "relay") != "relay" and event != "server":
            continue
        met.add(event)
        known = EVENTS.get(event)
        if known is None or level not in known.levels:
            wrong.append(f"{event} at level {level}")
        elif strange := line.keys() - known.fields - everywhere():
            wrong.append(f"{event} with {sorted(strange)}")
    assert not wrong, sorted(set(wrong))
    assert met >= {
        "delivery.admitted",
        "delivery.unreadable",
        "delivery.refused_404",
        "record",
        "note",
        "connected",
        "sign-in",
        "replay",
    }
    print(f"{len(lines(found))} lines, {len(met)} events: {sorted(met)}")


@pytest.mark.parametrize("text", ["canary.mail@canary-domain.example", "Canaryorg Holdings", SECRETS["secret key"]])
def test_the_search_finds_a_canary_in_every_form(text: str) -> None:
    for written in (
        text.upper(),
        orjson.dumps({"x": text}).decode(),
        urllib.parse.quote(text),
        base64.b64encode(text.encode()).decode(),
        base64.b64encode(b"..,," + text.encode() + b"..").decode(),
        base64.b64encode(b"a" + text.encode()).decode(),
    ):
        seen = Seen({"place": written.encode()}, {"what": text})
        assert seen.leaks(), written
    assert forms(text)
