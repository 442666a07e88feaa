"""The page of a gateway on a network, asked by a program of its machine: TLS, and nothing for strangers."""

from __future__ import annotations

import asyncio
import json
import ssl
import urllib.request
from pathlib import Path

import pytest

from gateway.config import load
from gateway.people import accounts
from gateway.people.devices import local_token
from tests.gateway.app_rig import bus, bus_channel, running, until, write_config
from tests.gateway.door_rig import EVERY_ROLE, RIGHT, Browser
from tests.gateway.test_web import answers
from tests.servers.process import free_port
from tools.doctor import machine
from tools.doctor.own_page import Web, fetch, web_of


def network(folder):
    web = {"host": "0.0.0.0", "port": free_port()}
    tank = bus("tank", f"modbus-tcp://127.0.0.1:{free_port()}")
    config = write_config(folder, tank, bus_channel("COD", "tank", 0), web=web)
    path = accounts.path_of(folder / "gateway")
    path.parent.mkdir(parents=True)
    accounts.save(path, EVERY_ROLE)
    return config, load(config)


def test_a_gateway_on_a_network_speaks_tls_and_shows_nothing_to_strangers(tmp_path):
    config, loaded = network(tmp_path)
    web = web_of(loaded)

    async def story():
        async with running(config) as gateway:
            await until(lambda: answers(web.port))
            found = json.loads(await asyncio.to_thread(fetch, web, "/api/v1/current"))
            assert found["station"]["code"] == "NUO001"
            assert found["page"]["tls"] and found["page"]["own_certificate"]
            assert f"sha256={found['page']['certificate_sha256']}" in gateway.log
            assert (await asyncio.to_thread(machine.page, web, "NUO001"))[0]
            stranger = web._replace(secret=None)
            assert b"Log in first" in await asyncio.to_thread(fetch, stranger, "/api/v1/current")
            wrong = web._replace(secret=config)
            assert b"Log in first" in await asyncio.to_thread(fetch, wrong, "/api/v1/current")
            assert b'"ok"' in await asyncio.to_thread(fetch, stranger, "/healthz")
            with pytest.raises(OSError):
                await asyncio.to_thread(fetch, web._replace(cert=None), "/healthz")
            browser = Browser(web.port, ssl.create_default_context(cafile=web.cert))
            assert (await browser.get("/")).to == "/login"
            assert (await browser.post("/login", {"name": "viewer", "password": RIGHT})).status == 303
            assert "__Host-quantrac" in browser.cookies and (await browser.get("/")).status == 200
            for name in ("door.key", "page.key", "page.crt"):
                assert (tmp_path / "gateway" / "keys" / name).stat().st_mode & 0o777 == 0o600

    asyncio.run(story())


def test_whoever_may_look_by_the_secret_changes_nothing(tmp_path):
    config, loaded = network(tmp_path)
    web = web_of(loaded)

    async def story():
        async with running(config):
            await until(lambda: answers(web.port))
            token = local_token(web.secret.read_bytes())
            browser = Browser(web.port, ssl.create_default_context(cafile=web.cert))
            local = {"Authorization": f"Bearer {token}"}
            assert (await browser.get("/instruments", **local)).status == 200
            assert (await browser.get("/people", **local)).to == "/login?next=/people"
            assert (await browser.post("/do/mark", {"csrf": ""}, **local)).to == "/login"
            assert (await browser.post("/people/add", {"name": "x", "role": "administrator"}, **local)).to

    asyncio.run(story())


def test_another_certificate_is_not_believed(tmp_path):
    config, loaded = network(tmp_path / "one")
    other, elsewhere = network(tmp_path / "two")

    async def story():
        async with running(config), running(other):
            one, two = web_of(loaded), web_of(elsewhere)
            await until(lambda: answers(one.port) and answers(two.port))
            with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
                await asyncio.to_thread(fetch, one._replace(cert=two.cert), "/healthz")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("web", "base"),
    [
        (Web("127.0.0.1", 8080), "http://127.0.0.1:8080"),
        (Web("0.0.0.0", 8080), "http://127.0.0.1:8080"),
        (Web("::", 8080), "http://[::1]:8080"),
        (Web("192.0.2.7", 8443, cert=Path("x")), "https://192.0.2.7:8443"),
    ],
)
def test_where_it_is_for_this_machine(web, base):
    assert web.base == base and urllib.request.Request(web.base).host
