"""Debian's Chromium, led over the page as a person would: by what stands on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
PHONE = {"width": 390, "height": 800}
OURS = ("http://127.0.0.1:", "data:", "blob:")
DESK = {"width": 1280, "height": 900}


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser. As root it has no sandbox: it sees nothing but our own page."""
    assert CHROMIUM, "there is no Chromium here: run tests/setup/servers"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Browser, size: dict[str, int] = DESK, refused: bool = False) -> Iterator[Page]:
    """A person of his own: no cookie of others. What fails in a page, or is loaded from elsewhere, fails the
    test; where something is `refused` on purpose, an answer that says so does not.
    """
    context = browser.new_context(viewport=size, accept_downloads=True)  # type: ignore[arg-type]
    context.set_default_timeout(20_000)
    page = context.new_page()
    wrong: list[str] = []

    def said(text: str) -> None:
        if not (refused and "responded with a status of 4" in text):
            wrong.append(text)

    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda one: said(one.text) if one.type == "error" else None)
    page.on("request", lambda one: None if one.url.startswith(OURS) else wrong.append(one.url))
    try:
        yield page
    finally:
        context.close()
    assert wrong == [], wrong
