"""The webhook: a FastAPI route that queues one task for each record of a delivery and answers 202 once that is done."""

from __future__ import annotations

import importlib
import os

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel

queue = importlib.import_module(os.environ["PEER"]).queue
app = FastAPI()


class Item(BaseModel):
    """One record."""

    id: int


class Hook(BaseModel):
    """A delivery of Capsule's."""

    event: str
    payload: list[Item]


def hook(delivery: Hook) -> Response:
    """Queues, then answers."""
    try:
        for item in delivery.payload:
            queue(delivery.event.partition("/")[0], item.id)
    except Exception as problem:
        raise HTTPException(503) from problem
    return Response(status_code=202)


def ready() -> Response:
    """It runs."""
    return Response(status_code=200)


app.add_api_route("/hook", hook, methods=["POST"])
app.add_api_route("/ready", ready, methods=["GET"])
