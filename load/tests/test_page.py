"""The contention page in a real browser: opened, a run started from the form, numbers change.

With ONEJOB_SCREENSHOTS naming a directory the test leaves its pictures there for the docs.
"""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import pytest

from onejob_fixtures.servers import running

webdriver = pytest.importorskip("selenium.webdriver")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs Chromium and its chromedriver"
)


def until(condition: Callable[[], object], what: str, deadline: float = 60.0) -> None:
    """Wait for something to come true."""
    ends = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < ends, f"not within {deadline:g} s: {what}"
        time.sleep(0.1)


@contextmanager
def web_ui(url: str) -> Iterator[str]:
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "locust", "-f", "load/locustfile.py", "--host", url]
    process = subprocess.Popen(
        [*command, "--web-host", "127.0.0.1", "--web-port", str(port), "--stop-timeout", "10"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}/"
    try:
        until(lambda: answers(base), "the web UI answers")
        yield base
    finally:
        process.terminate()
        process.wait(timeout=60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 (our own address)
            return True
    except OSError:
        return False


@pytest.fixture
def browser() -> Iterator[object]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1500"):
        options.add_argument(argument)
    service = webdriver.ChromeService(DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()
    service.process.wait(timeout=30)


class Page:
    """What a load tester does in the browser."""

    def __init__(self, driver, base):
        self.driver, self.base = driver, base

    def open_form(self):
        self.driver.get(self.base)
        until(lambda: self.driver.find_elements("name", "userCount"), "the form is there")
        buttons = self.driver.find_elements("tag name", "button")
        next(one for one in buttons if one.text == "Custom parameters").click()
        self.fill(userCount="12", spawnRate="12")

    def fill(self, **fields):
        for name, value in fields.items():
            field = self.driver.find_element("name", name)
            until(field.is_displayed, f"the field {name} is shown")
            # The form keeps its own state, so clearing the element alone does not empty it.
            field.send_keys("\ue009a\ue000", "\ue003", value)

    def start(self):
        buttons = self.driver.find_elements("tag name", "button")
        next(one for one in buttons if one.text == "START").click()

    def alerts(self) -> str:
        return " ".join(
            one.text for one in self.driver.find_elements("css selector", "[role=alert]")
        )

    def open_contention(self):
        self.driver.find_element("partial link text", "Contention").click()
        until(lambda: self.driver.find_elements("id", "verdict-word"), "the page is there")

    def text(self, element_id):
        return self.driver.find_element("id", element_id).text

    def picture(self, name, scheme):
        feature = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
        if folder := os.environ.get("ONEJOB_SCREENSHOTS"):
            self.driver.save_screenshot(str(Path(folder) / f"{name}-{scheme}.png"))
        background = "return getComputedStyle(document.body).backgroundColor"
        return self.driver.execute_script(background)

    def stop(self):
        urllib.request.urlopen(f"{self.base}stop", data=b"", timeout=60).close()  # noqa: S310


def test_a_tester_starts_a_run_and_watches_the_lock_hold(browser, tmp_path):
    with running("correct") as url, web_ui(url) as base:
        page = Page(browser, base)
        page.open_form()
        page.fill(racers="4")
        page.start()
        page.open_contention()
        until(lambda: page.text("verdict-word") == "holding so far", "the run shows")
        first = page.text("verdict-run")
        until(lambda: page.text("verdict-run") != first, "the numbers change")
        time_to_draw = "return document.querySelectorAll('#charts svg path, #charts svg polygon')"
        until(lambda: len(browser.execute_script(time_to_draw)) > 5, "the charts are drawn")

        page.stop()

        until(lambda: page.text("verdict-word") == "passed: the lock held", "the verdict shows")
        assert page.picture("contention", "light") != page.picture("contention", "dark")
        assert not [one for one in browser.get_log("browser") if "/contention" in one["message"]]


def test_a_broken_lock_is_shown_while_the_run_goes_on(browser):
    with running("no-lock") as url, web_ui(url) as base:
        page = Page(browser, base)
        page.open_form()
        page.start()
        page.open_contention()

        until(lambda: page.text("verdict-word") == "failed", "the violation shows")

        assert "double grant in session" in page.text("violations")
        page.picture("contention-broken", "light")
        page.stop()


def test_the_form_refuses_what_cannot_be_and_says_why(browser):
    with running("correct") as url, web_ui(url) as base:
        page = Page(browser, base)
        page.open_form()
        page.fill(racers="1")
        page.start()

        until(lambda: "--racers must be from 2 to 256, not 1" in page.alerts(), "the form says why")


def test_a_server_that_is_not_there_is_told_in_the_form(browser):
    with web_ui("http://127.0.0.1:9") as base:
        page = Page(browser, base)
        page.open_form()
        page.start()

        until(lambda: "cannot be reached" in page.alerts(), "the form says that nobody is there")
