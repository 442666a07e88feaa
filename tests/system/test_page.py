# runs on: cpython
"""The page of a whole demo in a real browser: what an operator, a technician and a stranger see and do."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from gateway.journal.reader import reading
from gateway.people import accounts, passwords
from gateway.people.accounts import Account, People
from protocol import note, receipt
from protocol.merkle import EvidenceError
from simulator.camera import Camera, draw
from simulator.child import dying_with_parent
from simulator.clock import mono_ms, write_timeline
from simulator.sampler import ModbusSampler
from tests.gateway.app_rig import bus, write_config
from tests.gateway.line_rig import pymodbus_tcp
from tests.servers.process import free_port
from tests.system.browser import PHONE, chromium, tab
from tests.system.test_demo import finish, received, start_demo
from tools.demo.site import table

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]
SPEED = 30
WINDOW_S = 300 / SPEED
PASSWORD = "bốn con voi đi qua cầu"


class Station:
    """A demo that runs; `log_in` gives a tab of somebody who may do everything."""

    def __init__(self, directory: Path, page: str, password: str, browser: Browser):
        self.directory, self.page, self.password, self.browser = directory, page, password, browser

    def log_in(self, page: Page, password: str | None = None) -> None:
        page.goto(self.page)
        page.get_by_role("link", name="Đăng nhập").click()
        page.get_by_label("Tên đăng nhập").fill("demo")
        page.get_by_label("Mật khẩu").fill(password or self.password)
        page.get_by_role("button", name="Đăng nhập").click()


@pytest.fixture(scope="module")
def station(tmp_path_factory) -> Iterator[Station]:
    directory = tmp_path_factory.mktemp("page") / "demo"
    demo = start_demo(directory, "--speed", str(SPEED), "--seconds", "240")
    assert demo.stderr
    said = [demo.stderr.readline() for _ in range(2)]
    page, password = said[0].split()[-1], said[1].split()[-1]
    try:
        deadline = time.monotonic() + 60
        while not received(directory):
            assert demo.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        with chromium() as browser:
            yield Station(directory, page, password, browser)
    finally:
        demo.terminate()
        finish(demo)


@contextmanager
def sewer() -> Iterator[tuple[ModbusSampler, int, str]]:
    """A sampler with COD of 100 mg/l, its port, and the address of a camera that looks at it."""
    unit, ready, over = ModbusSampler(), Future(), asyncio.Event()
    unit.level = 100

    async def serve_both() -> None:
        camera = await Camera(lambda: {"COD": "100 mg/l"}, auth="").start()
        async with pymodbus_tcp(unit.device) as port:
            ready.set_result((unit, port, camera.url, asyncio.get_running_loop()))
            await over.wait()
        await camera.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve_both()))
    thread.start()
    *served, loop = ready.result(20)
    try:
        yield tuple(served)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)


@contextmanager
def exceeding(folder: Path) -> Iterator[tuple[str, ModbusSampler]]:
    """The page of a gateway whose COD is beyond its limit, with a sampler and a camera; lan is an operator,
    thanh the department's inspector.
    """
    with sewer() as (unit, modbus, picture):
        source = {"bus": "tank", "unit": 1, "register": 1, "type": "uint16", "poll_ms": 2000}
        limits = {"max": 75.0, "basis": "QCVN 40:2011 A"}
        config = write_config(
            folder, bus("tank", f"modbus-tcp://127.0.0.1:{modbus}", timeout_ms=3000),
            table("[[channel]]", {"symbol": "COD", "unit": "mg/l", "source": source, "limits": limits}),
            table("[sampler]", {"bus": "tank", "coil": 0, "feedback_input": 0, "feedback_s": 20,
                                "seconds": 0.5, "bottles": 6, "per_day": 0}),
            table("[[camera]]", {"id": "gate", "kind": "http", "url": picture}),
            web_port=(port := free_port()), window_minutes=1,
        )  # fmt: skip
        clock = folder / "timeline.json"
        write_timeline(clock, [[int(mono_ms()), 1_774_371_600_000, SPEED]])
        (folder / "gateway" / "keys").mkdir(parents=True)
        kept = passwords.hashed(PASSWORD)
        people = {
            name: Account(name, role, kept) for name, role in (("lan", "operator"), ("thanh", "inspector"))
        }
        accounts.save(accounts.path_of(folder / "gateway"), People(people))
        command = [sys.executable, "-m", "tools.cli", "gateway", "run", str(config), "--clock", str(clock)]
        with (folder / "gateway.log").open("wb") as log:
            gateway = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=dying_with_parent())
        try:
            until_answers(port)
            yield f"http://127.0.0.1:{port}/", unit
        finally:
            gateway.terminate()
            gateway.wait(20)


def enter(page: Page, address: str, name: str) -> None:
    """Log in."""
    page.goto(address + "login")
    page.get_by_label("Tên đăng nhập").fill(name)
    page.get_by_label("Mật khẩu").fill(PASSWORD)
    page.get_by_role("button", name="Đăng nhập").click()


def seen(page: Page, what: Locator) -> None:
    """Load the page again until this is on it."""
    for _ in range(60):
        if what.count():
            return
        page.wait_for_timeout(500)
        page.reload()
    expect(what.first).to_be_visible()


def until_answers(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def row(page: Page, symbol: str):
    """Of the first page."""
    return page.locator("table.channels tr", has=page.get_by_role("link", name=symbol, exact=True))


def statuses(directory: Path, symbol: str, after: Path) -> list[str]:
    """What the files that are newer than this one say of a channel."""
    return [
        line.split("\t")[4]
        for path in received(directory)
        if path > after
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.split("\t")[0] == symbol
    ]


def test_a_stranger_on_this_machine_sees_values_change_and_the_three_answers(station):
    with tab(station.browser) as page:
        page.goto(station.page)
        for answer in ("Đo: tốt", "Lưu: tốt", "Gửi: tốt"):
            expect(page.get_by_role("heading", name=answer)).to_be_visible()
        value = row(page, "COD").locator("td.value")
        expect(value).to_have_text(re.compile(r"^\d+,\d\d?$"))
        before = value.inner_text()
        expect(value).not_to_have_text(before, timeout=20_000)
        page.get_by_role("link", name="English").click()
        expect(page.get_by_role("heading", name="Measures: yes")).to_be_visible()
        expect(row(page, "COD").locator("td.value")).to_have_text(re.compile(r"^\d+\.\d\d?$"))
        page.get_by_role("link", name="Instruments").click()
        expect(page.get_by_role("heading", name="Instruments")).to_be_visible()
        assert page.get_by_role("button").count() == 0, "a stranger can do nothing"


def test_cod_is_calibrated_and_the_next_file_says_01(station):
    with tab(station.browser) as page:
        station.log_in(page)
        page.get_by_role("link", name="Thiết bị đo").click()
        form = page.locator("form[action='/do/mark']")
        form.get_by_label("Thông số").select_option("COD")
        form.get_by_label("Trạng thái").select_option("calibrating")
        form.get_by_label("Số phút").fill("20")
        form.get_by_label("Lý do").fill("chuẩn điểm 0")
        before = received(station.directory)[-1]
        form.get_by_role("button").click()
        expect(page.get_by_role("status").first).to_contain_text("COD")
        expect(page.locator("tr", has_text="COD").first).to_contain_text("chuẩn điểm 0")
        deadline = time.monotonic() + 6 * WINDOW_S
        while "01" not in statuses(station.directory, "COD", before):
            assert time.monotonic() < deadline, statuses(station.directory, "COD", before)
            time.sleep(0.3)
        assert "01" not in statuses(station.directory, "pH", before), "only COD is calibrated"
        page.get_by_role("link", name="Sự kiện").click()
        expect(page.locator("tbody")).to_contain_text("chuẩn điểm 0")
        page.get_by_role("button", name="Đăng xuất").click()
        expect(page.get_by_role("link", name="Đăng nhập")).to_be_visible()


def test_a_calibration_is_entered_with_a_photo_and_a_refused_one_keeps_its_figures(station, tmp_path):
    photo = tmp_path / "buret.jpg"
    photo.write_bytes(draw(datetime.now(UTC), {"COD": "100 mg/l"}))
    figures = {
        "serial": "A-4711", "reference1": "0", "before1": "0,4", "reference2": "100", "before2": "98,5",
        "certificate_number": "KT-22/118", "certificate_value": "100", "certificate_until": "2099-05-01",
    }  # fmt: skip
    with tab(station.browser) as page:
        station.log_in(page)
        page.goto(station.page + "instruments")
        page.locator("summary").click()
        form = page.locator("#calibrate")
        form.get_by_label("Thông số").select_option("COD")
        for name, value in figures.items():
            form.locator(f"[name={name}]").fill(value)
        form.get_by_role("button", name="Ghi kết quả").click()
        expect(page.locator(".flash.bad")).to_be_visible()
        expect(form.locator("[name=before2]")).to_have_value("98,5")
        form.locator("[name=certificate_uncertainty]").fill("1")
        form.locator("#photo").set_input_files(photo)
        form.get_by_role("button", name="Ghi kết quả").click()
        expect(page.locator(".flash")).to_contain_text("COD")
        expect(page.locator("tr", has_text="COD").first).to_contain_text("điểm 0: 0,4, điểm dải: -1,5 mg/l")
        kept = hashlib.sha256(photo.read_bytes()).hexdigest()
        answer = page.request.get(f"{station.page}api/v1/picture/{kept}")
        assert answer.ok and answer.body() == photo.read_bytes()


def test_a_value_is_proved_by_a_receipt_that_verifies(station, tmp_path):
    newest = received(station.directory)[-1]
    stamp = newest.stem.rsplit("_", 1)[1]
    moment = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T{stamp[8:10]}:{stamp[10:12]}"
    with tab(station.browser) as page:
        page.goto(station.page + "evidence")
        form = page.locator("#prove")
        form.get_by_label("Thông số").select_option("COD")
        form.get_by_label("Thời điểm").fill(moment)
        with page.expect_download() as download:
            form.get_by_role("button").click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
    key = note.parse_vkey((station.directory / "gateway" / "log.vkey").read_text().strip())
    proof = receipt.parse(path.read_bytes())
    with reading(station.directory / "gateway" / "journal.db") as reader:
        (entry,) = reader.entries(proof.index, proof.index)
    receipt.check(proof, entry.leaf_bytes(), key)
    assert b"COD" in entry.body
    with pytest.raises(EvidenceError):
        receipt.check(proof, entry.leaf_bytes().replace(b"COD", b"BOD"), key)


def test_history_draws_the_day_with_its_limit(station):
    with tab(station.browser) as page:
        page.goto(station.page + "history?symbol=COD")
        expect(page.locator("#said")).to_contain_text("điểm")
        expect(page.locator("#chart .scatterlayer path.js-line").last).to_be_attached()
        expect(page.locator("#chart")).to_contain_text("giá trị giới hạn 75")
        page.get_by_role("button", name="7 ngày").click()
        expect(page.locator("#said")).to_contain_text("điểm")


def test_on_a_phone_nothing_is_cut_off(station):
    with tab(station.browser, PHONE) as page:
        for path in ("", "history", "alerts", "destinations", "instruments", "evidence", "events", "health"):
            page.goto(station.page + path)
            wide = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide <= 0, f"/{path} is {wide} pixels wider than the phone"
        page.goto(station.page)
        expect(row(page, "COD")).to_contain_text("COD")


def test_the_keyboard_reaches_everything_and_a_reader_hears_its_name(station):
    with tab(station.browser) as page:
        page.goto(station.page)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        tree = page.locator("body").aria_snapshot()
        for name in ("Hiện tại", "Đo: ", "Lưu: tốt", "COD", "đang đo"):
            assert name in tree


def test_an_alert_is_seen_and_acknowledged_and_the_inspector_takes_a_sample(station, tmp_path):
    with exceeding(tmp_path) as (address, unit):
        with tab(station.browser) as page:
            page.goto(address + "alerts")
            assert page.locator("form[action='/do/acknowledge']").count() == 0, "a stranger may not"
            enter(page, address, "lan")
            page.goto(address + "alerts")
            seen(page, page.get_by_role("heading", name="vượt giới hạn: COD"))
            seen(page, page.locator(".alert img"))
            wide = page.locator(".alert img").first.evaluate(
                "async (it) => { await it.decode(); return it.naturalWidth }"
            )
            assert wide == 640, "the camera's picture stands beside the alert"
            form = page.locator("form[action='/do/acknowledge']").first
            form.get_by_label("Đã làm gì?").fill("đã dừng bơm xả")
            form.get_by_role("button").click()
            expect(page.locator(".alert").first).to_contain_text("lan – đã dừng bơm xả")
            page.goto(address + "instruments")
            for action in ("mark", "sample", "calibrate"):
                assert page.locator(f"form[action='/do/{action}']").count() == 0, "an operator may not"
        with tab(station.browser, PHONE) as page:
            enter(page, address, "thanh")
            page.goto(address + "instruments")
            assert page.locator("form[action='/do/mark']").count() == 0, "an inspector changes nothing"
            form = page.locator("#sample")
            form.get_by_label("Số chai").fill("2")
            form.get_by_label("Lý do").fill("nước có màu đen")
            form.get_by_role("button").click()
            seen(page, page.locator("tr", has_text="nước có màu đen").filter(has_text="đã đầy").nth(1))
            assert unit.begun == 2 and len(unit.fills) == 2
            seen(page, page.locator("tr", has_text="nước có màu đen").get_by_role("link"))
            page.goto(address + "events")
            expect(page.locator("tbody")).to_contain_text("thanh")


def test_a_wrong_password_is_a_sentence(station):
    with tab(station.browser, refused=True) as page:
        station.log_in(page, "not-the-password")
        expect(page.get_by_role("alert")).to_be_visible()
        assert page.get_by_role("link", name="Đổi mật khẩu").count() == 0
