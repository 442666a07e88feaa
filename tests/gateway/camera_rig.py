"""Cameras for tests: settings of one, the simulated one at work, journals that pictures are told in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gateway.config_camera import Camera as Settings
from simulator.camera import Camera

PASSWORD = "chi de xem"


def settings(folder: Path, url: str, kind: str = "http", password: str = PASSWORD, **more: Any) -> Settings:
    """Of one camera; password "" for none."""
    if password:
        path = folder / "camera.password"
        path.write_text(password + "\n", encoding="utf-8")
        path.chmod(0o600)
        more = {"user": "viewer", "password_file": "camera.password", **more}
    given = {"id": "gate", "kind": kind, "url": url, "timeout_s": 10.0, **more}
    return Settings.model_validate(given, context={"base": folder})


def with_camera(case: Callable[[Camera], Awaitable[None]], **made: Any) -> None:
    """Run a case with a simulated camera that is on."""

    async def main() -> None:
        camera = await Camera(lambda: {"COD": "25.1 mg/l"}, password=PASSWORD, **made).start()
        try:
            async with asyncio.timeout(60):
                await case(camera)
        finally:
            await camera.stop()

    asyncio.run(main())
