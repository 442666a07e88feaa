"""simulator/network.py: a TCP proxy with faults, between real sockets."""

import asyncio
import contextlib

import pytest

from simulator.network import TcpProxy
from tests.simulator._rig import until


@contextlib.asynccontextmanager
async def echo_behind_proxy(seed=0):
    async def echo(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = await TcpProxy("127.0.0.1", server.sockets[0].getsockname()[1], seed=seed).start()
    try:
        yield proxy
    finally:
        await proxy.stop()
        server.close()


async def connect(proxy):
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def echoed(reader, writer, data=b"hello"):
    writer.write(data)
    await writer.drain()
    return await reader.readexactly(len(data))


def test_forwards_large_data_both_ways_and_the_end():
    async def main():
        async with echo_behind_proxy() as proxy:
            reader, writer = await connect(proxy)
            data = bytes(range(256)) * 8000
            writer.write(data)
            writer.write_eof()
            assert await reader.read(-1) == data
            assert proxy.bytes_up == proxy.bytes_down == len(data)
            writer.close()
            await until(lambda: proxy.connections == 0, "closed")

    asyncio.run(main())


def test_cut_resets_and_refuses_restore_brings_the_same_port_back():
    async def main():
        async with echo_behind_proxy() as proxy:
            reader, writer = await connect(proxy)
            assert await echoed(reader, writer) == b"hello"  # control
            port = proxy.port
            await proxy.cut()
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
            with pytest.raises(ConnectionRefusedError):
                await connect(proxy)
            await proxy.restore()
            assert proxy.port == port
            assert await echoed(*await connect(proxy)) == b"hello"

    asyncio.run(main())


def test_drop_ends_connections_with_or_without_reset():
    async def main():
        async with echo_behind_proxy() as proxy:
            for reset in (True, False):
                reader, writer = await connect(proxy)
                await echoed(reader, writer)
                await proxy.drop(reset=reset)
                if reset:
                    with pytest.raises(ConnectionResetError):
                        await reader.read(1)
                else:
                    assert await reader.read(1) == b""

    asyncio.run(main())


def test_blackhole_keeps_the_connection_and_swallows():
    async def main():
        async with echo_behind_proxy() as proxy:
            reader, writer = await connect(proxy)
            proxy.blackhole = True
            writer.write(b"into the void")
            await until(lambda: proxy.bytes_swallowed == 13, "swallowed")
            assert not reader.at_eof() and proxy.bytes_down == 0
            proxy.blackhole = False
            assert await echoed(reader, writer) == b"hello"

    asyncio.run(main())


def test_half_close_ends_one_direction_only():
    async def main():
        async with echo_behind_proxy() as proxy:
            reader, writer = await connect(proxy)
            await echoed(reader, writer)
            await proxy.half_close()
            assert await reader.read(1) == b""
            up = proxy.bytes_up
            writer.write(b"still going up")
            await until(lambda: proxy.bytes_up == up + 14, "upwards")

    asyncio.run(main())


def test_flips_are_drawn_from_the_seed():
    async def flipped(seed):
        async with echo_behind_proxy(seed) as proxy:
            proxy.flip_probability = 0.01
            got = await echoed(*await connect(proxy), data=bytes(2000))
            assert proxy.bits_flipped > 0 and any(got)
            return got

    one, same, other = (asyncio.run(flipped(seed)) for seed in (3, 3, 4))
    assert one == same != other


def test_latency_and_rate_hold_data_back():
    async def main():
        async with echo_behind_proxy() as proxy:
            reader, writer = await connect(proxy)
            proxy.latency_s, proxy.rate_bytes_s = 0.01, 20_000.0
            loop = asyncio.get_running_loop()
            started = loop.time()
            assert await echoed(reader, writer, bytes(4000)) == bytes(4000)
            assert loop.time() - started >= 0.2  # 4000 bytes at 20,000 a second: never faster than asked

    asyncio.run(main())


def test_a_dead_target_resets_the_client_and_is_counted():
    async def main():
        proxy = await TcpProxy("127.0.0.1", 1).start()
        reader, _ = await connect(proxy)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert proxy.refused == 1
        await proxy.stop()

    asyncio.run(main())
