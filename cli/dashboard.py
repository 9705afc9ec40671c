"""Look at runs in a browser, while they train and after.

  vlarl dashboard runs                         every run in a folder
  vlarl dashboard runs/tiny_cpu                one run
  vlarl dashboard runs --host 0.0.0.0 --token-file token.txt    from other machines

Only reads; it may be started and stopped at any time, on any machine that sees the folder. It stays on this
machine unless --host says otherwise, and then a token is needed.
"""

import argparse
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

TOKEN_VARIABLE = "VLARL_DASHBOARD_TOKEN"
NICENESS = 5
"""Training on the same machine comes first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=Path, metavar="RUNS", help="a run folder, or a folder of run folders")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, default=8600, help="default: 8600; 0 = any free one")
    parser.add_argument("--name", action="append", default=[], help="a name under which browsers may call it")
    parser.add_argument("--token-file", type=Path, help=f"file with the token (or set {TOKEN_VARIABLE})")


def run(args: argparse.Namespace) -> int:
    import asyncio

    from dashboard.folders import RunFolders
    from dashboard.guard import Access
    from dashboard.server import make_app

    access = Access.make(args.host, args.name, _token(args.token_file))
    app = make_app(RunFolders(args.runs), access)
    os.nice(NICENESS)
    asyncio.run(_serve(app, args.host, args.port))
    return 0


async def _serve(app: "web.Application", host: str, port: int) -> None:
    """Until SIGINT or SIGTERM."""
    import asyncio

    from dashboard.server import serve_until

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve_until(stop, app, host, port)


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE)
    if not file.is_file() or not file.read_text().strip():
        raise ValueError(f"--token-file {file}: no such file, or it is empty")
    return file.read_text().strip()
