"""Our check of signatures beside the official package `standardwebhooks`, and the specification's own test vector."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from receiver.verify import signed, timely

IDS = st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)
KEYS = st.binary(min_size=24, max_size=64)
BODIES = st.text().map(str.encode)


def ours(key: bytes, *, identity: str, stamp: int, listed: str, body: bytes, now: datetime) -> bool:
    stamped = str(stamp).encode()
    return timely(stamped, now=now.timestamp()) and signed(
        [key], identity=identity.encode(), stamp=stamped, listed=listed.encode(), body=body
    )


def theirs(key: bytes, *, identity: str, stamp: int, listed: str, body: bytes) -> bool:
    headers = {"webhook-id": identity, "webhook-timestamp": str(stamp), "webhook-signature": listed}
    try:
        Webhook(key).verify(body, headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def test_the_specifications_own_vector() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    listed = b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    vector = {"identity": b"msg_p5jXN8AQM9LWM0D4loKWxJek", "stamp": b"1614265330", "body": b'{"test": 2432232314}'}
    assert signed([secret], listed=listed, **vector)
    assert not signed([secret], listed=listed, **{**vector, "body": b'{"test":2432232314}'})


@given(key=KEYS, identity=IDS, body=BODIES, offset=st.integers(-200, 200))
def test_what_the_official_package_signs_we_accept(key: bytes, identity: str, body: bytes, offset: int) -> None:
    at = datetime.now(UTC) + timedelta(seconds=offset)
    listed = Webhook(key).sign(msg_id=identity, timestamp=at, data=body.decode())
    assert ours(key, identity=identity, stamp=int(at.timestamp()), listed=listed, body=body, now=datetime.now(UTC))


@given(
    key=KEYS,
    other=KEYS,
    identity=IDS,
    body=BODIES,
    changed=BODIES,
    offset=st.sampled_from([0, 290, -290, 310, -310, 86_400]),
    extra=st.lists(st.sampled_from(["v2,abc", "v1a,abc", "v1,AAAA"])),
)
def test_we_and_the_official_package_agree(  # noqa: PLR0917 - hypothesis passes them by name
    key: bytes, other: bytes, identity: str, body: bytes, changed: bytes, offset: int, extra: list[str]
) -> None:
    now = datetime.now(UTC)
    stamp = int(now.timestamp()) + offset
    at = datetime.fromtimestamp(stamp, UTC)
    for signing in (key, other):
        for said in (body, changed):
            listed = " ".join([*extra, Webhook(signing).sign(msg_id=identity, timestamp=at, data=said.decode())])
            mine = ours(key, identity=identity, stamp=stamp, listed=listed, body=body, now=now)
            assert mine == theirs(key, identity=identity, stamp=stamp, listed=listed, body=body)


def test_a_malformed_item_is_skipped_where_the_official_package_gives_up() -> None:
    key, at = bytes(24), datetime.now(UTC)
    good = Webhook(key).sign(msg_id="m", timestamp=at, data="{}")
    for bad in ("nonsense", "v1,a,b", "v1,%"):
        assert ours(key, identity="m", stamp=int(at.timestamp()), listed=f"{bad} {good}", body=b"{}", now=at)
