"""tools/demo/table.py and screen.py: what a person sees of the gateway's own view of itself."""

from __future__ import annotations

import asyncio
import io

from rich.console import Console

from gateway.web.server import Server
from tests.gateway.app_rig import until
from tests.servers.process import free_port
from tools.demo.screen import Screen
from tools.demo.site import Site
from tools.demo.table import fetch_current, render

CURRENT = {
    "station": {"name": "Trạm nước thải", "code": "NUO001"},
    "t": "2026-03-25T07:06:00+07:00",
    "channels": [
        {"symbol": "COD", "value": 24.123456, "decimals": 2, "unit": "mg/l", "quality": "OK",
         "window": {"status": "02", "value": 23.5, "valid_share": 0.5}},
        {"symbol": "pH", "value": None, "decimals": 2, "unit": "", "quality": "NO_DATA", "window": None},
    ],
    "destinations": [
        {"id": "province", "delivered": 6, "backlog": 2, "oldest_unsent_s": 61.4, "last_error": "Away."},
        {"id": "national", "delivered": 8, "backlog": 0, "oldest_unsent_s": None, "last_error": ""},
    ],
    "witnesses": [
        {"name": "w.example", "cosigned": 7, "size": 1234, "behind_s": None, "last_error": ""},
        {"name": "u.example", "cosigned": 3, "size": 99, "behind_s": 61.4, "last_error": "Away."},
    ],
}  # fmt: skip


def shown(current) -> str:
    console = Console(width=140, file=io.StringIO())
    console.print(render(current, {"province": 6}, "http://h:1/", "4 of 60 s"))
    return console.file.getvalue()


def cells(text: str, first: str) -> list[str]:
    """The cells of the row that begins with `first`."""
    (line,) = [line for line in text.splitlines() if line.strip("│ ").startswith(first)]
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_every_channel_and_destination_is_a_row():
    text = shown(CURRENT)
    assert cells(text, "COD") == ["COD", "24.12", "mg/l", "OK", "23.50", "02", "50%"]
    assert cells(text, "pH") == ["pH", "-", "", "NO_DATA", "-", "", "-"]
    assert cells(text, "province") == ["province", "6", "2", "61 s", "6", "Away."]
    assert cells(text, "national")[:5] == ["national", "8", "0", "-", "-"]
    assert cells(text, "w.example")[:4] == ["w.example", "7", "1234", "-"]
    assert cells(text, "u.example") == ["u.example", "3", "99", "61 s", "Away."]
    assert "Trạm nước thải · NUO001" in text and "http://h:1/healthz" in text and "4 of 60 s" in text


def test_a_gateway_that_does_not_answer():
    assert "does not answer at http://h:1/" in shown(None)


def test_fetch_from_a_real_page():
    async def main():
        port = free_port()
        task = asyncio.create_task(Server("127.0.0.1", port, lambda: CURRENT, list, bytes).run())
        url = f"http://127.0.0.1:{port}/api/v1/current"
        found = await until(lambda: asyncio.to_thread(fetch_current, url))
        assert found == CURRENT
        assert await asyncio.to_thread(fetch_current, f"http://127.0.0.1:{port}/metrics") is None  # no JSON
        assert await asyncio.to_thread(fetch_current, f"http://127.0.0.1:{port}/absent") is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert fetch_current(f"http://127.0.0.1:{free_port()}/") is None


def test_in_a_pipe_it_says_two_lines_and_quietly_none(tmp_path, capsys):
    for quiet, lines in ((False, 2), (True, 0)):
        screen = Screen(Site(tmp_path), 8080, quiet, "k7wm-3qpa")
        screen.note("starting")
        asyncio.run(screen.show({}, 1.0, 60.0))
        screen.close()
        out, err = capsys.readouterr()
        assert out == "" and len(err.splitlines()) == lines
        assert ("http://127.0.0.1:8080/" in err) == ("demo, password k7wm-3qpa" in err) != quiet
