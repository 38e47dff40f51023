"""Signs of life of this receiver, for `status` and metrics (`mapping/running.py`)."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from typing import TYPE_CHECKING, Final

from mapping.version import VERSION
from receiver.store import StoreAway

if TYPE_CHECKING:
    from receiver.store import Store

PART: Final = "web"


class Signs:
    """Says every SIGN_S seconds that this process runs, and at its end that it ends in good order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    async def give(self) -> None:
        """One sign of life. A Redis that is away is no matter: the others say so."""
        with contextlib.suppress(StoreAway):
            await self._store.script("sign", self._name, PART, VERSION)

    async def end(self) -> None:
        """Nobody is to wait for this process."""
        with contextlib.suppress(StoreAway):
            await self._store.script("sign", self._name, "", VERSION)
