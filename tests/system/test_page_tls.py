# runs on: cpython
"""A gateway on a network, in a real browser: its own certificate, log-in, a page of people, one password."""

from __future__ import annotations

import re
import subprocess
import sys
import time

from playwright.sync_api import expect, sync_playwright

from gateway.journal.kinds import EVENT
from gateway.journal.reader import reading
from gateway.people import deeds
from simulator.child import dying_with_parent
from tests.gateway.door_rig import RIGHT
from tests.gateway.test_web import answers
from tests.system.browser import CHROMIUM, PHONE
from tests.tools.test_own_page import network


def deeds_in(folder) -> list[tuple[str, str, bool]]:
    with reading(folder / "gateway" / "journal.db") as reader:
        found = [deeds.parse(entry.body) for entry in reader.entries(kinds=(EVENT,))]
    return [(one.who, one.action, one.ok) for one in found if one is not None]


def test_somebody_logs_in_adds_a_person_who_changes_her_password(tmp_path):
    config, loaded = network(tmp_path)
    port = loaded.gateway.web.port
    command = [sys.executable, "-m", "tools.cli", "gateway", "run", str(config)]
    with (tmp_path / "log").open("wb") as log:
        gateway = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=dying_with_parent())
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert time.monotonic() < deadline and gateway.poll() is None
            time.sleep(0.1)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            drive(browser, f"https://127.0.0.1:{port}")
            browser.close()
        assert deeds_in(tmp_path) == [
            ("administrator", "log in", True),
            ("administrator", "people", True),
            ("lan", "log in", True),
            ("lan", "own password", True),
            ("lan", "log out", True),
        ]
    finally:
        gateway.terminate()
        gateway.wait(20)


def drive(browser, base: str) -> None:
    """Two people, each with a browser of her own, one of them a phone."""
    wrong: list[str] = []

    def person(**size):
        page = browser.new_context(ignore_https_errors=True, **size).new_page()
        page.on("console", lambda one: wrong.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        return page

    def log_in(page, name: str, password: str) -> None:
        page.goto(f"{base}/people" if name == "administrator" else f"{base}/password")
        expect(page).to_have_url(re.compile("/login"))
        page.get_by_label("Tên đăng nhập").fill(name)
        page.get_by_label("Mật khẩu").fill(password)
        page.get_by_role("button", name="Đăng nhập").click()

    admin, lan = person(), person(viewport=PHONE)
    log_in(admin, "administrator", RIGHT)
    expect(admin.get_by_role("heading", name="Người dùng", exact=True)).to_be_visible()
    cookies = {one["name"]: one for one in admin.context.cookies()}
    assert set(cookies) == {"__Host-quantrac", "__Host-quantrac-device"}
    assert all(one["secure"] and one["httpOnly"] and one["sameSite"] == "Strict" for one in cookies.values())
    form = admin.locator("form[action='/people/add']")
    form.get_by_label("Tên đăng nhập").fill("lan")
    form.get_by_role("button").click()
    once = admin.locator("#once").inner_text()
    admin.get_by_role("link", name="English").click()
    expect(admin).to_have_url(f"{base}/people?lang=en")
    expect(admin.locator("#once")).to_have_count(0)
    log_in(lan, "lan", once)
    for label, text in (("Mật khẩu hiện tại", once), ("Mật khẩu mới", "mười hai con vịt"),
                        ("Mật khẩu mới, lần nữa", "mười hai con vịt")):  # fmt: skip
        lan.get_by_label(label, exact=True).fill(text)
    lan.get_by_role("button", name="Đổi mật khẩu").click()
    expect(lan.get_by_text("Đã đổi mật khẩu của bạn.")).to_be_visible()
    lan.reload()
    expect(lan.get_by_text("Đã đổi mật khẩu của bạn.")).to_have_count(0)
    lan.get_by_role("button", name="Đăng xuất").click()
    expect(lan).to_have_url(re.compile("/login"))
    assert wrong == []
