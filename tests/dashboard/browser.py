"""A real browser for tests and screenshots: headless Chromium, spoken to in its own protocol.

In: a page's address, JavaScript, sizes. Out: values, screenshots, and everything the page complained about.
Needs no package beyond aiohttp; where Chromium is not installed, `find_chromium` says so.
"""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
START_S = 60.0
COMPLAINTS = ("Runtime.exceptionThrown", "Log.entryAdded")


def find_chromium() -> str | None:
    """The browser's path, or None where there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One browser with one page. All calls wait for their answer."""

    def __init__(self, program: str, profile: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._numbers = 0
        self.complaints: list[str] = []
        """Errors and exceptions of the page, refused resources included."""
        self._run(self._connect(_wait_for_port(profile / "DevToolsActivePort")))
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._disconnect())
        self._loop.close()
        self._process.terminate()
        self._process.wait(10)

    def open(self, address: str) -> None:
        """Go to a page, anew even if only what follows # differs; returns at once."""
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=address)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise ValueError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, script: str, timeout_s: float = 30.0) -> None:
        """Until a JavaScript expression is true. What is not there yet is not true."""
        deadline = time.monotonic() + timeout_s
        while not self.evaluate(f"(() => {{ try {{ return !!({script}) }} catch {{ return false }} }})()"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s} s: {script}\n{self.complaints}")
            time.sleep(0.05)

    def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """How large the window is, and which colours its user prefers."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path, *, whole_page: bool = False) -> None:
        """A PNG of what is in the window, or of the page from top to bottom."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole_page)
        path.write_bytes(base64.b64decode(shot["data"]))

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol."""
        return self._run(self._send(method, parameters))

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(what)

    async def _connect(self, port: int) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(target for target in await answer.json() if target["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)

    async def _disconnect(self) -> None:
        await self._socket.close()
        await self._session.close()

    async def _send(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._numbers += 1
        await self._socket.send_json({"id": self._numbers, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(timeout=60)).data)
            if message.get("id") == self._numbers:
                if "error" in message:
                    raise ValueError(f"{method}: {message['error']}")
                return message["result"]
            if message.get("method") in COMPLAINTS:
                self.complaints.append(json.dumps(message["params"])[:1000])


def _wait_for_port(file: Path) -> int:
    """Chromium writes its port into its profile folder once it listens."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if file.is_file() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError(f"Chromium did not start within {START_S} s")
