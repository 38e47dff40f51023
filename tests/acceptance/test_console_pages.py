"""The console in a real browser: at desktop and phone width, light and dark, with and without scripts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.browser import chromium
from tests.acceptance.harness import System, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

PASSWORD = "correct horse battery"
DESKTOP, PHONE = (1280, 800), (390, 844)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("console"), environment={"RELAY_CONSOLE_PASSWORD": PASSWORD}) as running:
        for number in range(3):
            running.party(
                type="person",
                firstName=f"P{number}",
                tags=[{"name": "member"}],
                emailAddresses=[{"address": f"p{number}@example.com"}],
            )
        until(running.idle, "everybody is in step")
        with running.store() as store:
            store.hincrby("relay:tally:acme", "held", 2)
            store.hset("relay:held:acme", mapping={"party|991": "no_location", "opportunity|3": "no_status"})
        yield running


def sign_in(browser: Chrome, system: System, path: str = "") -> None:
    from selenium.webdriver.common.by import By  # noqa: PLC0415 - only where there is a browser

    browser.get(f"http://127.0.0.1:{system.console_port}/{path}")
    assert "Sign in" in browser.title
    browser.find_element(By.NAME, "password").send_keys("not this one at all")
    browser.find_element(By.TAG_NAME, "button").click()
    until(lambda: "That is not the password" in browser.page_source, "the wrong password is told")
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    browser.find_element(By.TAG_NAME, "button").click()
    until(lambda: "Sign in" not in browser.title, "the console opens")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_status_is_readable_at_every_width(system: System, size: tuple[int, int], *, dark: bool, scripts: bool) -> None:
    with chromium() as browser:
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        sign_in(browser, system)
        page = browser.page_source
        assert "no tag leads to a location" in page
        assert "officernd acme-spaces" in page
        assert 'http-equiv="refresh"' in page
        # Nothing is wider than the window; to measure it takes a script.
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
        said = browser.get_log("browser")  # type: ignore[no-untyped-call] # selenium leaves it without types
        errors = [line["message"] for line in said if line["level"] == "SEVERE"]
        assert [one for one in errors if "401" not in one] == []
        if folder := os.environ.get("SHOTS"):
            name = f"{'phone' if size == PHONE else 'desktop'}-{'dark' if dark else 'light'}-{'with' if scripts else 'without'}"
            browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_signed_in_clicked_through_and_signed_out(system: System) -> None:
    from selenium.webdriver.common.by import By  # noqa: PLC0415 - only where there is a browser

    with chromium() as browser:
        sign_in(browser, system, "connections/acme")
        assert browser.current_url.endswith("/connections/acme")
        assert "Held, by reason" in browser.page_source
        browser.find_element(By.LINK_TEXT, "Status").click()
        until(lambda: browser.title.startswith("Status"), "the first page")
        browser.find_element(By.XPATH, "//button[text()='Sign out']").click()
        until(lambda: "Sign in" in browser.title, "signed out")
        browser.get(f"http://127.0.0.1:{system.console_port}/connections/acme")
        assert "Sign in" in browser.title
