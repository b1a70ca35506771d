"""aiohttp on uvloop: a task a stream, stamped as each piece is yielded."""

from __future__ import annotations

import asyncio
from time import monotonic_ns

import aiohttp
import uvloop

from benchmarks.readers.job import Job, Stream


def read(job: Job) -> list[Stream]:
    return uvloop.run(_read(job))


async def _read(job: Job) -> list[Stream]:
    url = f"http://{job.host}:{job.port}{job.path}"
    headers = {"content-type": "application/json"}
    streams = [Stream() for _ in range(job.num_streams)]
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def one(stream: Stream) -> None:
            async with session.post(url, data=job.body, headers=headers) as response:
                async for data in response.content.iter_any():
                    stream.add(data, monotonic_ns())

        job.start()
        await asyncio.gather(*(one(stream) for stream in streams))
        job.stop()
    return streams
