"""Capsule's OAuth on the wire: the address, the forms, and what an answer means."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from workers.answers import Answer
from workers.capsule import oauth
from workers.errors import CredentialsRefused, RateLimited, ReconnectNeeded, SystemDown

GOOD = {
    "access_token": "access-123",
    "refresh_token": "refresh-123",
    "token_type": "bearer",
    "expires_in": 604799,
    "scope": "read write",
    "subdomain": "exampleco",
}


def answer(document: object, status: int = 200, kind: str = "application/json") -> Answer:
    return Answer(status, {"content-type": kind}, orjson.dumps(document))


def test_the_challenge_is_that_of_rfc_7636() -> None:
    """The example of RFC 7636, appendix B."""
    assert oauth.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_authorise_address_asks_for_a_code_with_the_least_scope_and_no_secret() -> None:
    url = oauth.authorise_url(
        "https://api.capsulecrm.com/oauth",
        client_id="id",
        redirect_uri="https://console.example/oauth/callback",
        state="s.t",
        verifier="v" * 43,
    )
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (parts.netloc, parts.path) == ("api.capsulecrm.com", "/oauth/authorise")
    assert query == {
        "response_type": "code",
        "client_id": "id",
        "redirect_uri": "https://console.example/oauth/callback",
        "scope": "read write",
        "state": "s.t",
        "code_challenge": oauth.challenge("v" * 43),
        "code_challenge_method": "S256",
    }


def test_tokens_are_read() -> None:
    granted = oauth.decipher(answer(GOOD), route="POST token")
    assert (granted.access, granted.refresh, granted.lifetime_s) == ("access-123", "refresh-123", 604799)
    assert granted.subdomain == "exampleco"
    assert "access-123" not in repr(granted)


@pytest.mark.parametrize(
    ("changes", "refresh", "lifetime"),
    [
        pytest.param({"refresh_token": None}, None, 604799.0, id="no new refresh token: the old one stays good"),
        pytest.param({"expires_in": "soon"}, "refresh-123", oauth.DEFAULT_LIFETIME_S, id="an unreadable lifetime"),
        pytest.param({"expires_in": -1}, "refresh-123", oauth.DEFAULT_LIFETIME_S, id="a lifetime that is over"),
        pytest.param({"expires_in": True}, "refresh-123", oauth.DEFAULT_LIFETIME_S, id="no number"),
        pytest.param({"subdomain": "<b>"}, "refresh-123", 604799.0, id="no subdomain"),
    ],
)
def test_what_may_be_missing_is(changes: dict[str, object], refresh: str | None, lifetime: float) -> None:
    granted = oauth.decipher(answer(GOOD | changes), route="POST token")
    assert (granted.refresh, granted.lifetime_s) == (refresh, lifetime)
    assert granted.subdomain in {"exampleco", ""}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        pytest.param(answer({"error": "invalid_grant"}, 400), ReconnectNeeded, id="refused"),
        pytest.param(answer({"error": "invalid_grant"}, 401), ReconnectNeeded, id="refused with 401"),
        pytest.param(answer({"error": "invalid_client"}, 401), CredentialsRefused, id="the application is wrong"),
        pytest.param(answer({"error": "invalid_scope"}, 400), CredentialsRefused, id="the scope is wrong"),
        pytest.param(answer({"error": "invalid_grant"}, 500), SystemDown, id="a fault of the server's"),
        pytest.param(answer({"error": "who knows <token>"}, 400), SystemDown, id="a word of no standard"),
        pytest.param(answer({"message": "x"}, 403, "text/html"), SystemDown, id="a proxy's page"),
        pytest.param(answer({}, 429), RateLimited, id="too many"),
        pytest.param(answer([]), SystemDown, id="no object"),
        pytest.param(answer({"access_token": "short"}), SystemDown, id="no token"),
        pytest.param(answer({"access_token": "with\nline-break"}), SystemDown, id="a token that is none"),
        pytest.param(answer(GOOD, 302), SystemDown, id="a redirect"),
    ],
)
def test_what_is_no_token_is_an_error_that_repeats_nothing(given: Answer, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        oauth.decipher(given, route="POST token")
    assert type(raised.value) is error
    assert "who knows" not in str(raised.value)
