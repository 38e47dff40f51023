"""Dead letters and explanations in the console, clicked in a real browser: the count, the replay, what it says, what it did."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.browser import chromium
from tests.acceptance.harness import System, until
from tests.acceptance.signing_in import member

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

PASSWORD = "correct horse battery"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("letters"), environment={"RELAY_CONSOLE_PASSWORD": PASSWORD}) as running:
        yield running


def letters(system: System, number: int) -> list[int]:
    """People whom OfficeRnD refuses once each; it would take them now."""
    refusal = {"statusCode": 400, "message": ["phone must be a string"], "error": "Bad Request"}
    fault = {"route": "POST /members", "count": number, "kind": "status", "status": 400, "body": refusal}
    system.officernd.control("POST", "faults", fault)
    made = [
        member(system, firstName="Ada", lastName=f"Nightcall{n}", emailAddresses=[{"address": f"a{n}@example.com"}])
        for n in range(number)
    ]
    with system.store() as store:
        until(lambda: all(store.hexists("relay:letters", f"acme|party|{one}") for one in made), "the letters", seconds=60)
    return made


def opened(browser: Chrome, system: System, path: str, size: tuple[int, int]) -> None:
    """Signs in and opens a page."""
    from selenium.webdriver.common.by import By  # noqa: PLC0415 - only where there is a browser

    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == SIZES["phone"]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(f"http://127.0.0.1:{system.console_port}/{path}")
    browser.find_element(By.NAME, "password").send_keys(PASSWORD)
    browser.find_element(By.TAG_NAME, "button").click()
    until(lambda: "Sign in" not in browser.title, "the console opens")


def click(browser: Chrome, how: str, what: str, title: str) -> None:
    """Clicks and waits for the page with this title."""
    browser.find_element(how, what).click()
    until(lambda: browser.title.startswith(title), f"the page {title}")


def seen(browser: Chrome, name: str, width: int) -> str:
    """The page's text. Nothing is wider than the window; the page is kept as a picture where SHOTS names a folder."""
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    if folder := os.environ.get("SHOTS"):
        height = browser.execute_script("return document.documentElement.scrollHeight")
        whole = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}, "captureBeyondViewport": True}
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", **whole})
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
    return str(browser.execute_script("return document.body.innerText"))


@pytest.mark.parametrize("size", SIZES)
def test_a_letter_is_looked_at_and_tried_again(system: System, size: str) -> None:
    from selenium.webdriver.common.by import By  # noqa: PLC0415 - only where there is a browser

    width = SIZES[size][0]
    with chromium() as browser:
        first, second = letters(system, 2)
        opened(browser, system, "letters", SIZES[size])
        listed = seen(browser, f"letters-{size}", width)
        assert "2 in all" in listed
        click(browser, By.XPATH, "//td/a[contains(@href, 'letters/r')]", "Dead letter -")
        one = seen(browser, f"letter-{size}", width)
        assert "phone must be a string" in one
        assert "POST POST" not in one
        assert "Nightcall" not in one
        assert "example.com" not in one
        # Why the record is as it is: its values too, since somebody has signed in.
        click(browser, By.PARTIAL_LINK_TEXT, "Why the record", "party")
        why = seen(browser, f"explained-{size}", width)
        assert "It is a dead letter" in why
        assert "Nightcall" in why
        assert 'tag "member"' in why
        # The count comes first, and nothing is done before the question is answered.
        browser.get(f"http://127.0.0.1:{system.console_port}/letters")
        click(browser, By.PARTIAL_LINK_TEXT, "Try again", "Try again")
        asked = seen(browser, f"asked-{size}", width)
        assert "Try again: 2 letters" in asked
        assert not any(system.linked("members", number) for number in (first, second))
        click(browser, By.CSS_SELECTOR, "main button", "Dead letters")
        assert "Begun: 2 letters tried again" in seen(browser, f"begun-{size}", width)
        until(lambda: all(system.linked("members", number) for number in (first, second)), "both are members", seconds=60)
        until(system.idle, "nothing is open")

        def ended() -> bool:
            browser.refresh()
            text = seen(browser, f"done-{size}", width)
            return "0 in all" in text and "done (2 handed over, 2 in step)" in text

        until(ended, "the page says how it ended", every=0.5)
        # Somebody who sends the form again, or clicks twice, does nothing more.
        assert all(system.linked("members", number) for number in (first, second))
    audit = system.run("dead", "audit").stdout
    assert "replay of 2" in audit
    assert "console" in audit


@pytest.mark.parametrize("size", SIZES)
def test_a_record_is_asked_for_and_explained(system: System, size: str) -> None:
    from selenium.webdriver.common.by import By  # noqa: PLC0415 - only where there is a browser

    number = member(system, firstName="Grace", lastName="Instep", phoneNumbers=[{"number": "+44 20 7946 0001"}])
    until(lambda: system.linked("members", number) and system.idle(), "it is in step", seconds=60)
    width = SIZES[size][0]
    with chromium() as browser:
        opened(browser, system, "connections/acme", SIZES[size])
        click(browser, By.PARTIAL_LINK_TEXT, "Why is a record", "Explain a record")
        seen(browser, f"form-{size}", width)
        browser.find_element(By.NAME, "id").send_keys(str(number))
        click(browser, By.CSS_SELECTOR, "main button", f"party {number}")
        told = seen(browser, f"in-step-{size}", width)
        for words in ("It is in step.", "Grace Instep", "Capsule holds", "Rules", "Last written", "no difference"):
            assert words in told
