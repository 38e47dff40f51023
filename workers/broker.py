"""Dramatiq's Redis broker, pared down to what a bell needs.

A bell is a message without content: one too many or too few does no harm, since the agenda knows what is ready
(reference/agenda.md §2). So nothing here retries, delays or stores a result. What is kept of Dramatiq: its processes and
threads, its queues, its acknowledgement, its reclaiming of what a dead process had fetched.

Private names of Dramatiq 2.2 that this module leans on are listed in `LEANS_ON`; a test fails when one is gone.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis
from dramatiq import Message
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers import redis as dramatiq_redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed, DecodeError

from mapping.agenda import DRAMATIQ_NAMESPACE, LANES, key
from workers.beat import until_beat

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dramatiq.middleware import Middleware

HEARTBEAT_TIMEOUT_MS: Final = 30_000
ALWAYS: Final = 1_000_000  # of a million commands: without dead processes, maintenance is one look at a sorted set
DEAD_MESSAGE_TTL_MS: Final = 24 * 3_600_000  # a dead bell is worth nothing
LEANS_ON: Final = ("_RedisConsumer", "RedisBroker")
SCRIPT: Final = "dispatch.lua"  # Dramatiq's own, which fetches, acknowledges and reclaims bells
REVIEWED: Final = "ba4d872e4fb204ebc3f73ca4719265a9946d70e847856c125314f01a8c90540c"  # its SHA-256 in 2.2.1, as we read it

log = logging.getLogger("relay.broker")


def script_hash() -> str:
    """The SHA-256 of Dramatiq's script as it is installed here, "" when there is none of that name."""
    path = Path(dramatiq_redis.__file__).parent / "redis" / SCRIPT
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


class BellConsumer(dramatiq_redis._RedisConsumer):  # noqa: SLF001 - overridable by design: `consumer_class`
    """Waits on Redis instead of sleeping, so that an idle worker begins within milliseconds of a bell."""

    def __init__(self, broker: BellBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        # Fetched are as many bells as there are threads. Bulk work has half of them, so that a live change finds one free even
        # when everything that a reconcile has opened waits for a slow or a busy side.
        allowed = max(1, prefetch // 2) if queue_name == "bulk" else prefetch
        super().__init__(broker, queue_name, allowed, timeout)
        self.room = threading.Event()  # set when a bell was acknowledged, so that another may be fetched

    def ack(self, message: MessageProxy) -> None:
        """Acknowledges; every failure of Redis is a lost connection, after which Dramatiq tries again."""
        try:
            super().ack(message)
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None
        finally:
            self.room.set()

    def nack(self, message: MessageProxy) -> None:
        """A bell whose actor raised: it is dropped like any other; what it was rung for stays in the agenda."""
        self.ack(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Gives back at shutdown what was fetched and not begun."""
        try:
            super().requeue(messages)
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None

    def __next__(self) -> MessageProxy | None:
        """The next bell, or None after `timeout` ms without one."""
        try:
            if not self.message_cache:
                self.room.clear()
                free = self.prefetch - self.outstanding_message_count
                if free <= 0:
                    self.room.wait(self.timeout / 1000)
                    return None
                self.message_cache = self.broker.do_fetch(self.queue_name, free)
                if not self.message_cache:
                    patience = until_beat(self.timeout / 1000)
                    if self.broker.client.blpop([key(f"wake:{self.queue_name}")], timeout=patience) is None:
                        return None  # the next call begins with a fetch: a bell whose wake was lost waits for no other
                    self.message_cache = self.broker.do_fetch(self.queue_name, free)
            while self.message_cache:
                data = self.message_cache.pop(0)
                if data is None:
                    continue  # its body is gone: a bell too few, which the sweep makes up for
                try:
                    message: Message[Any] = Message.decode(data)
                except DecodeError:
                    log.warning("queue %s: an undecodable message was dropped; the agenda does not depend on it", self.queue_name)
                    continue
                self.queued_message_ids.add(message.message_id)
                return MessageProxy(message)
        except redis.RedisError as error:
            raise ConnectionClosed(error) from None
        return None


class BellBroker(RedisBroker):
    """The broker of all lanes, without delay queues and without Dramatiq's default middleware."""

    def __init__(self, client: redis.Redis, *, middleware: list[Middleware]) -> None:
        super().__init__(
            client=client,
            middleware=middleware,
            namespace=DRAMATIQ_NAMESPACE,
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
            maintenance_chance=ALWAYS,
            dead_message_ttl=DEAD_MESSAGE_TTL_MS,
        )
        for lane in LANES:
            self.declare_queue(lane)

    @property
    def consumer_class(self) -> type[Consumer]:
        """The consumer that waits on Redis."""
        return BellConsumer

    def declare_queue(self, queue_name: str) -> None:
        """Declares a queue without its twin for delayed messages: nothing is ever delayed in Dramatiq (agenda.md §9.6)."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)
