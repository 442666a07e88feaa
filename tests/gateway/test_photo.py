"""POST /do/photo on a real port: by whoever may calibrate, with the token, pictures alone."""

from __future__ import annotations

import json
from hashlib import sha256

from gateway import pictures
from gateway.pictures import keep
from gateway.web import pictures as module
from gateway.web.pictures import photo_route
from tests.gateway.calibration_rig import picture
from tests.gateway.door_rig import Browser, Said, serving

PHOTO = picture()


async def send(browser: Browser, data: bytes, kind: str = "image/jpeg", **headers: str) -> Said:
    given = {"Content-Type": kind, "X-CSRF-Token": browser.csrf, "Sec-Fetch-Site": "same-origin", **headers}
    return await browser.ask("POST", "/do/photo", data, {k: v for k, v in given.items() if v})


def photographed(tmp_path, case) -> None:
    async def kept(data: bytes) -> str:
        return keep(tmp_path, data)

    serving(case, routes=lambda rig: [photo_route(kept)])


def lies(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "pictures").glob("*")) if tmp_path.exists() else []


def test_a_photo_is_kept_and_told(tmp_path):
    async def case(rig) -> None:
        browser = rig.browser()
        await browser.log_in("technician")
        rig.told.clear()
        said = await send(browser, PHOTO)
        digest = sha256(PHOTO).hexdigest()
        assert (said.status, json.loads(said.body)) == (200, {"sha256": digest})
        assert pictures.find(tmp_path, digest) is not None and said.headers["cache-control"] == "no-store"
        (deed,) = rig.told
        assert (deed.who, deed.action, list(deed.details), deed.ok) == (
            "technician", "photo", [f"sha256={digest}"], True,
        )  # fmt: skip
        assert (await send(browser, picture("PNG"), "image/png")).status == 200
        assert len(lies(tmp_path)) == 2

    photographed(tmp_path, case)


def test_what_is_no_photo_is_a_sentence_and_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PHOTO_MAX", 5000)

    async def case(rig) -> None:
        browser = rig.browser()
        await browser.log_in("technician")
        for data, kind, status, sentence in (
            (b"<html>", "image/jpeg", 400, "neither a JPEG nor a PNG"),
            (PHOTO[:-2], "image/jpeg", 400, "cut before its end"),
            (PHOTO, "text/html", 415, "sent as it is"),
            (PHOTO + bytes(9000), "image/jpeg", 413, "more than 5000 bytes"),
        ):
            said = await send(browser, data, kind)
            assert (said.status, sentence in said.text) == (status, True), said.text
        assert (await browser.post("/do/photo", {"x": "y"})).status == 415
        assert lies(tmp_path) == []

    photographed(tmp_path, case)


def test_who_may_not_and_whoever_has_no_token_keeps_nothing(tmp_path):
    async def case(rig) -> None:
        for role in ("viewer", "operator", "inspector"):
            browser = rig.browser()
            await browser.log_in(role)
            assert (await send(browser, PHOTO)).status == 403, role
        stranger = rig.browser()
        assert (await send(stranger, PHOTO)).status in (303, 403)
        browser = rig.browser()
        await browser.log_in("technician")
        for token in ("", "wrong", "0" * 64):
            assert (await send(browser, PHOTO, **{"X-CSRF-Token": token})).status in (403, 415), token
        assert lies(tmp_path) == []
        assert (await send(browser, PHOTO)).status == 200, "control: with its token it is taken"

    photographed(tmp_path, case)


def test_a_disk_that_refuses_is_a_sentence():
    async def full(data: bytes) -> str:
        raise OSError(28, "No space left on device")

    async def case(rig) -> None:
        browser = rig.browser()
        await browser.log_in("administrator")
        said = await send(browser, PHOTO)
        assert said.status == 503 and "look at the disk" in said.text

    serving(case, routes=lambda rig: [photo_route(full)])
