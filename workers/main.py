"""The door of the worker processes: `dramatiq workers.main:setup` (Procfile: `worker` and `solo`)."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.middleware import CurrentMessage

from workers import tracing
from workers.actors import register
from workers.agenda import connect
from workers.broker import BellBroker
from workers.log import configure
from workers.process import ProcessLife
from workers.rules_watch import RulesWatch
from workers.services import build
from workers.settings import load


def setup() -> None:
    """Builds everything that a worker process needs and makes its broker known to Dramatiq's command line.

    Raises:
        SettingsInvalid: the environment or `relay.toml` is wrong; every fault is named.
    """
    settings = load(os.environ)
    configure(settings.log_format, settings.log_level, process="worker")
    tracing.start(os.environ, process="worker")
    services = build(settings)
    broker = BellBroker(
        connect(services.redis_url), middleware=[CurrentMessage(), ProcessLife(services, RulesWatch(services).look)]
    )
    register(broker, services)
    dramatiq.set_broker(broker)
