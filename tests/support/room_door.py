"""A program in a room: a port of the loopback there that leads to a Unix socket outside. Run until it is ended.

python room_door.py PORT SOCKET
"""

import asyncio
import contextlib
import sys

CHUNK_BYTES = 64 * 1024


async def serve(port: int, path: str) -> None:
    """Relay every connection, both ways, until one of its ends closes."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def entered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(path)
        await asyncio.gather(relay(reader, back), relay(there, writer))

    server = await asyncio.start_server(entered, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
