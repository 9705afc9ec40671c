"""The web server over run folders: a page, its data as JSON, videos, and a stream of changes.

    /                               the page            /static/FILE         its scripts and style
    /api/runs                       which runs          /live?run=NAME       server-sent events
    /api/run/NAME                   everything shown    /video/NAME/EPISODE  an MP4, with ranges
    /api/run/NAME/episodes          choose some         /api/run/NAME/episode/ID

In: run folders, which are only ever read. Out: answers. Nothing is looked up by path: files of the page are a
table made at the start, runs and episodes are names that were found by listing and reading.
"""

import asyncio
import contextlib
import dataclasses
import json
import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from dashboard.episodes import RecordedEpisode, episode_details, video_path
from dashboard.folders import RunFolders
from dashboard.guard import Access, add_headers, guarding
from dashboard.live import Live
from dashboard.run import Run

STATIC = Path(__file__).parent / "static"
HEARTBEAT_S = 10.0
MAX_VIEWERS = 200
MAX_LISTED = 500
SHUTDOWN_S = 0.5
LINGERING_S = 0.2
"""How long a connection waits for the body of a request that nobody will read."""
ORDERS = ("newest", "best", "worst")
TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}


def make_app(folders: RunFolders, access: Access) -> web.Application:
    """The server, ready to be started."""
    live = Live(folders)
    app = web.Application(middlewares=[guarding(access)])
    app.on_response_prepare.append(add_headers)
    pages = _Pages(live)
    app.add_routes(
        [
            web.get("/", pages.index),
            web.get("/static/{file}", pages.static),
            web.get("/live", pages.live),
            web.get("/api/runs", pages.runs),
            web.get("/api/run/{run}", pages.run),
            web.get("/api/run/{run}/episodes", pages.episodes),
            web.get("/api/run/{run}/episode/{episode}", pages.episode),
            web.get("/video/{run}/{episode}", pages.video),
        ]
    )

    async def follow(app: web.Application) -> AsyncIterator[None]:
        polling = asyncio.create_task(live.poll_forever())
        newest = asyncio.create_task(_read_newest(live))
        yield
        for task in (polling, newest):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    app.cleanup_ctx.append(follow)
    return app


async def _read_newest(live: Live) -> None:
    """Read the run that will be looked at first before anybody asks."""
    for name, _ in (await asyncio.to_thread(live.folders.listed))[:1]:
        await live.page(name)


class _Pages:
    """One method per route."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._files = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.is_file()}
        self._num_viewers = 0

    async def index(self, request: web.Request) -> web.Response:
        return self._file("index.html")

    async def static(self, request: web.Request) -> web.Response:
        return self._file(request.match_info["file"])

    async def runs(self, request: web.Request) -> web.Response:
        runs = await asyncio.to_thread(self._live.folders.listed)
        return web.json_response([{"name": name, "active": active} for name, active in runs[:MAX_LISTED]])

    async def run(self, request: web.Request) -> web.Response:
        page = await self._live.page(request.match_info["run"])
        if page is None:
            return _missing(f"there is no run named {request.match_info['run'][:200]!r} here")
        return web.Response(body=page, content_type="application/json")

    async def episodes(self, request: web.Request) -> web.Response:
        run = await self._live.run(request.match_info["run"])
        order = request.query.get("order", ORDERS[0])
        if run is None or order not in ORDERS:
            return _missing(f"no such run, or no such order (there are {', '.join(ORDERS)})")
        chosen = run.events.recorded.choose(order, request.query.get("task") or None)
        return web.json_response([dataclasses.asdict(episode) for episode in chosen])

    async def episode(self, request: web.Request) -> web.Response:
        run, episode = await self._episode(request)
        if run is None or episode is None:
            return _missing("there is no such episode")
        said = run.events.recorded.moments(episode.id)
        details = await asyncio.to_thread(episode_details, run.folder, episode, said)
        return web.json_response(dataclasses.asdict(episode) | details)

    async def video(self, request: web.Request) -> web.StreamResponse:
        run, episode = await self._episode(request)
        path = None if run is None or episode is None else video_path(run.folder, episode)
        if path is None:
            return _missing("the video of this episode is not there")
        return web.FileResponse(path, headers={"Content-Type": "video/mp4"})

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Revisions of the runs that the page shows, whenever one changes."""
        if self._num_viewers >= MAX_VIEWERS:
            return web.json_response({"error": f"{MAX_VIEWERS} viewers are here already"}, status=503)
        names = request.query.getall("run", [])[:8]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._num_viewers += 1
        try:
            await response.prepare(request)
            await self._tell(response, names)
        except ConnectionResetError:
            pass
        finally:
            self._num_viewers -= 1
        return response

    async def _tell(self, response: web.StreamResponse, names: list[str]) -> None:
        """The change to wait for is taken before looking, so that none is missed."""
        told: dict[str, int] | None = None
        while True:
            for name in names:  # many other viewers may have pushed it out meanwhile
                await self._live.run(name)
            change, revisions = self._live.change, self._live.revisions(names)
            line = ": still here" if revisions == told else f"data: {json.dumps(revisions)}"
            await response.write(f"{line}\n\n".encode())
            told = revisions
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(change.wait(), HEARTBEAT_S)

    async def _episode(self, request: web.Request) -> tuple[Run | None, RecordedEpisode | None]:
        run = await self._live.run(request.match_info["run"])
        return run, None if run is None else run.events.recorded.get(request.match_info["episode"])

    def _file(self, name: str) -> web.Response:
        body = self._files.get(name)
        if body is None:
            return _missing("there is no such file")
        kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
        return web.Response(body=body, content_type=kind, charset="utf-8")


def _missing(text: str) -> web.Response:
    return web.json_response({"error": text}, status=404)


async def serve_until(stop: asyncio.Event, app: web.Application, host: str, port: int) -> None:
    """Listen, say where, and end all streams when told to stop."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, lingering_time=LINGERING_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as error:
            raise ValueError(
                f"cannot listen on {host} port {port} ({error}); --port 0 takes any free one"
            ) from error
        print(f"dashboard: http://{host}:{runner.addresses[0][1]}/", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()
