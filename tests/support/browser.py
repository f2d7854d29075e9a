"""A real browser: Debian's Chromium, driven by playwright, without any download."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import attrs
import pytest


@contextmanager
def chromium() -> Iterator[Any]:
    """One that is started, and ended at the end. Where `scripts/install-test-deps` installs it, it must be there."""
    program = shutil.which("chromium")
    if program is None:
        refuse = pytest.fail if _is_installed_here() else pytest.skip
        refuse("chromium is not installed: type scripts/install-test-deps")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def _is_installed_here() -> bool:
    with suppress(OSError):
        system = platform.freedesktop_os_release().get("ID")
        return system == "debian" and os.geteuid() == 0 and not os.environ.get("HPCURATE_NO_INSTALL")
    return False


@attrs.define
class Visit:
    """A page that is open, and what went wrong or was asked for since."""

    page: Any
    address: str
    wrong: list[str] = attrs.field(factory=list)
    """Errors and warnings of the console, and requests for anything but the page itself."""

    @classmethod
    def of(cls, browser: Any, address: str, width: int = 1280, **options: Any) -> Visit:
        """Open it in a context of its own: no storage of another visit."""
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        visit = cls(context.new_page(), address)
        visit.page.on("console", lambda message: visit.wrong.append(f"{message.type}: {message.text}"))
        visit.page.on("pageerror", lambda error: visit.wrong.append(str(error)))
        visit.page.on("request", lambda request: visit._requested(request))  # a method it would give attributes
        visit.page.goto(address)
        return visit

    def _requested(self, request: Any) -> None:
        if request.url.partition("#")[0] != self.address and not request.url.startswith("data:"):
            self.wrong.append(f"asked for {request.url}")

    def texts(self, selector: str) -> list[str]:
        """Of all elements that match, as a person reads them."""
        found: list[str] = self.page.locator(selector).all_inner_texts()
        return found
