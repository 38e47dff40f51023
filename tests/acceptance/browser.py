"""A real browser without a window: Chromium, driven through its own driver."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from typing import TYPE_CHECKING, Final

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM: Final = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
DRIVER: Final = shutil.which("chromedriver")
INSTALL: Final = "SKIPPED: no Chromium here; install it with `apt-get install chromium chromium-driver`"
# No window, no sandbox (which root has not), and no call to anybody but the pages that a test opens.
SWITCHES: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-proxy-server",
)
PAGE_SECONDS: Final = 30


@contextlib.contextmanager
def chromium() -> Iterator[Chrome]:
    """A browser with an empty profile. Skips the test where Chromium or its driver is not installed."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip(INSTALL)
    with tempfile.TemporaryDirectory(prefix="capsule-relay-chromium-", ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        for switch in (*SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        # With both paths named, nothing is looked for and nothing is downloaded.
        driver = Chrome(options=options, service=Service(executable_path=DRIVER))
        try:
            driver.set_page_load_timeout(PAGE_SECONDS)
            yield driver
        finally:
            driver.quit()
