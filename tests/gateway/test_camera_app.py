"""Pictures of a running gateway: an alert, its picture in the log and on the page; a bad camera."""

from __future__ import annotations

import asyncio
import json

from gateway.camera.picture import parse
from gateway.journal.kinds import EVENT
from gateway.journal.reader import reading
from simulator.camera import Camera
from simulator.modbus_load import serve
from tests.gateway import app_rig as rig
from tests.gateway.camera_rig import PASSWORD
from tools.demo.site import table


def camera(id: str, url: str, kind: str, password: str = "") -> str:
    settings = {"id": id, "kind": kind, "url": url, "timeout_s": 5.0}
    if password:
        settings |= {"user": "viewer", "password_file": password}
    return table("[[camera]]", settings)


def test_an_alert_is_raised_and_its_picture_is_there(tmp_path):
    """A door's contact is 1 from the first reading on; one camera answers by ONVIF, one refuses."""

    async def main() -> None:
        one = await Camera(lambda: {"DOOR": "open"}, password=PASSWORD).start()
        other = await Camera(password="another one").start()
        try:
            with serve(1, 2) as (port,):
                secret = rig.secret(tmp_path, "gate.password", PASSWORD)
                config = rig.write_config(
                    tmp_path, rig.bus("tank", f"modbus-tcp://127.0.0.1:{port}"),
                    rig.bus_channel("DOOR", "tank", 2, contact="door"), rig.directory(),
                    camera("gate", one.onvif_url, "onvif", secret),
                    camera("pond", other.url, "http", secret),
                )  # fmt: skip
                async with rig.running(config) as gateway:
                    await seen(gateway, one, other)
                    assert await gateway.stop() == 0
                    assert "picture" in gateway.log and PASSWORD not in gateway.log
        finally:
            await one.stop()
            await other.stop()

    asyncio.run(main())
    with reading(tmp_path / "gateway" / "journal.db") as reader:
        bodies = [entry.body for entry in reader.entries(kinds=(EVENT,))]
    assert [taken.why for body in bodies if (taken := parse(body))] == ["alert"]
    assert not any(PASSWORD.encode() in body for body in bodies)


async def seen(gateway: rig.GatewayRun, one: Camera, other: Camera) -> None:
    async def listed() -> list[dict]:
        return json.loads((await gateway.get("/api/v1/pictures"))[1])["pictures"]

    (picture,) = await rig.until(listed)
    (alert,) = [row for row in (await gateway.current())["alerts"] if row["rule"] == "door open"]
    assert (picture["camera"], picture["why"], picture["about"]) == ("gate", "alert", [alert["alert"]])
    data = await asyncio.to_thread(fetch, gateway, f"/api/v1/picture/{picture['sha256']}")
    assert data == one.given[-1]

    async def told() -> bool:
        _, problems = await gateway.health()
        return any("The camera pond: It refuses user and password." in each for each in problems)

    await rig.until(told)
    assert not other.given and (await gateway.get("/api/v1/picture/..%2fjournal.db"))[0] in (400, 404)


def fetch(gateway: rig.GatewayRun, path: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(gateway._page + path, timeout=20) as answer:
        return answer.read()
