"""A real Chromium for tests. It opens a page from its own server and records requests and logs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PHONE = (390, 844)
DESK = (1280, 900)
PAPER = (688, 970)
"""Width and height of an A4 page within its margins, in CSS pixels."""


def programs() -> tuple[str, str] | None:
    """Chromium and its driver, or None where either is absent."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One tab. `received` has the paths of all requests to the server since the page was opened."""

    def __init__(
        self, driver: webdriver.Chrome, pages: dict[str, bytes], received: list[str], address: str
    ) -> None:
        self.driver = driver
        self.address = address
        self.received = received
        self._pages = pages
        self.opened = address

    def open(
        self,
        html: str,
        *,
        at: str = "",
        size: tuple[int, int] = DESK,
        scripts: bool = True,
        **features: str,
    ) -> None:
        """Show a page. `at` ends its address (`#results`), `features` are media features."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.media("", **features)
        self.driver.get("about:blank")
        self.said(), self.requests()  # what earlier pages left
        self.received.clear()
        self._pages["/"] = html.encode()
        self.opened = f"{self.address}/{at}"
        self.driver.get(self.opened)

    def media(self, media: str, **features: str) -> None:
        """Show the page as on `print` or `screen`; features by name with `_` for `-`."""
        pairs = [
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()
        ]
        self.command("Emulation.setEmulatedMedia", media=media, features=pairs)

    def command(self, name: str, **arguments: Any) -> dict[str, Any]:
        """A command of the DevTools protocol."""
        answer: dict[str, Any] = self.driver.execute_cdp_cmd(name, arguments)
        return answer

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script of the test's own returns."""
        run = self.driver.execute_script
        return run(f"return ({script})", *arguments)  # type: ignore[no-untyped-call]

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """The text of every such element that is shown."""
        every = (
            "[...document.querySelectorAll(arguments[0])]"
            ".filter((e) => e.checkVisibility()).map((e) => e.innerText)"
        )
        found: list[str] = self.run(every, selector)
        return found

    def style(self, selector: str, name: str, of: str | None = None) -> str:
        """A computed property of the first such element, or of its pseudo-element."""
        script = (
            "getComputedStyle(document.querySelector(arguments[0]), arguments[2])[arguments[1]]"
        )
        return str(self.run(script, selector, name, of))

    def wait(self, selector: str) -> str:
        """The text of the first such element, once there is one."""
        found = WebDriverWait(self.driver, 5).until(
            lambda driver: driver.find_elements("css selector", selector)
        )
        return found[0].text

    def said(self) -> list[str]:
        """New messages of the console: errors, warnings, and what the policy stopped."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries]

    def requests(self) -> list[str]:
        """The addresses of all new requests of the page, also those that its policy stopped.

        Those of `data:` are left out, since they go nowhere.
        """
        log = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        events = [json.loads(entry["message"])["message"] for entry in log]
        sent = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith(("data:", "about:"))]

    def printed(self) -> bytes:
        """The page as PDF."""
        return base64.b64decode(self.command("Page.printToPDF", preferCSSPageSize=True)["data"])


@contextmanager
def start() -> Iterator[Browser]:
    """A headless Chromium with a server on loopback that holds nothing but the page."""
    found = programs()
    assert found is not None
    pages: dict[str, bytes] = {}
    received: list[str] = []

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            received.append(self.path)
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    for argument in (
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--force-prefers-reduced-motion",
    ):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # it cannot be had as root, as containers often are
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    driver = webdriver.Chrome(options=options, service=Service(found[1]))
    try:
        yield Browser(driver, pages, received, f"http://127.0.0.1:{server.server_port}")
    finally:
        driver.quit()
        server.shutdown()
        server.server_close()
