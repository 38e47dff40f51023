"""dlt's REST source reads Capsule's parties: `python -m tests.benchmarks.peers.with_dlt extract|load URL FOLDER`.

`extract` keeps what was read in files of the pipeline, as a Singer tap prints it; `load` brings it into a DuckDB database too.
A pipeline that has run before in FOLDER asks for what was changed since. Prints how many parties were read, as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import dlt
from dlt.sources.rest_api import rest_api_source

from tests.benchmarks.readers import EMBED, PER_PAGE, SINCE, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def source(url: str) -> Any:
    """The parties, by pages as the Link header names them."""
    endpoint = {
        "path": "parties",
        "data_selector": "parties",
        "params": {"perPage": PER_PAGE, "embed": EMBED},
        "incremental": {"cursor_path": SINCE, "start_param": "since"},
    }
    return rest_api_source(
        {
            "client": {
                "base_url": f"{url}/api/v2/",
                "auth": {"type": "bearer", "token": TOKEN},
                "paginator": {"type": "header_link"},
            },
            "resources": [{"name": "parties", "primary_key": "id", "write_disposition": "merge", "endpoint": endpoint}],
        }
    )


def extracted(metrics: Mapping[str, Iterable[Mapping[str, Any]]]) -> int:
    """How many parties an extraction wrote down, by its own metrics of each load package."""
    steps = [step["resource_metrics"] for some in metrics.values() for step in some]
    return sum(step["parties"].items_count for step in steps if "parties" in step)


def main() -> None:
    """One run of the pipeline."""
    what, url, folder = sys.argv[1:]
    database = dlt.destinations.duckdb(f"{folder}/parties.duckdb")
    pipeline = dlt.pipeline("capsule", destination=database, dataset_name="capsule", pipelines_dir=folder)
    if what == "extract":
        found = pipeline.extract(source(url)).metrics
    else:
        pipeline.run(source(url))
        found = pipeline.last_trace.last_extract_info.metrics
    print(json.dumps({"records": extracted(found)}))


if __name__ == "__main__":
    main()
