"""Pages of a list: `page`, `perPage`, the Link header and X-Pagination-Has-More (reference/capsule.md §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulators.capsule.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from tests.simulators.control import Control

LARGEST = 100
LARGEST_ENTRIES = 50
USUAL = 50


@dataclass(frozen=True, slots=True)
class Page:
    """The ids of one page, the headers that go with it, and the number of all."""

    ids: Sequence[int]
    headers: dict[str, str]
    total: int


def page_of(request: Request, control: Control, ids: Sequence[int], *, largest: int = LARGEST) -> Page:
    """The page that a request asks for. Raises 400 for a page or size out of range."""
    number = _parameter(request, "page", 1)
    size = _parameter(request, "perPage", USUAL)
    if size > largest:
        if control.switches["per_page_over"] == "refuse":
            raise bad_request(f"perPage must be between 1 and {largest}")
        size = largest
    start = (number - 1) * size
    more = start + size < len(ids)
    links = []
    if more:
        links.append(f'<{request.url.include_query_params(page=number + 1)}>; rel="next"')
    if number > 1:
        links.append(f'<{request.url.include_query_params(page=number - 1)}>; rel="prev"')
    headers = {"X-Pagination-Has-More": "true" if more else "false"}
    if links:
        headers["Link"] = ", ".join(links)
    return Page(ids[start : start + size], headers, len(ids))


def _parameter(request: Request, name: str, default: int) -> int:
    """A whole number from 1 out of the query."""
    word = request.query_params.get(name)
    if word is None:
        return default
    if not word.isascii() or not word.isdigit() or int(word) < 1:
        raise bad_request(f"{name} must be a number from 1")
    return int(word)
