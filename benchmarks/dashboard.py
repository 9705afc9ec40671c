"""The dashboard against its targets: first paint, memory, viewers, latency, fuzz.

    python -m benchmarks.dashboard [paint memory viewers latency fuzz] [--requests 10000]

In: nothing (run folders are made up in a temporary folder; the server is the real command, the browser real
headless Chromium), and which sections to measure. Out: a table, and one JSON object on the last line.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.report import Row, below, not_measured, print_report
from dashboard.run import Run
from dashboard.snapshot import snapshot
from tests.dashboard.browser import Browser, find_chromium
from tests.dashboard.fuzz import SECRET, answer, make_trap, odd_line, odd_request, status
from tests.dashboard.serving import Served, serving
from tests.dashboard.synthetic import Story, SyntheticRun

LARGE = Story(num_updates=10_000, num_episodes=2_000, num_tasks=10, video_every=1)
HOUR_UPDATES, HOUR_EPISODES = 360, 3_600
"""An hour of a fast run: an update every ten seconds, an episode a second."""
NUM_VIEWERS = 20
VIEW_S = 60.0
UPDATE_S = 5.0
"""One update every so often while viewers look."""
NUM_NEWS = 10
NUM_PAINTS = 5
DRAWN = "performance.getEntriesByName('drawn').length > 0"
NO_BROWSER = "needs Chromium, which is not installed"


def paint(folder: Path, _num_requests: int) -> list[Row]:
    """From the address to the first drawn charts: the server freshly started, then with the run read."""
    program = find_chromium()
    if program is None:
        return [not_measured("first paint of a large run", NO_BROWSER)]
    SyntheticRun(folder / "large", LARGE).write()
    cold_s, warm_s = [], []
    with Browser(program, folder / "profile") as browser:
        for _ in range(NUM_PAINTS):
            with serving(folder / "large") as served:
                cold_s.append(_painted_s(browser, served))
                browser.wait_for(
                    "!document.querySelector('#problems').textContent.includes('still reading')", 60
                )
                warm_s.append(_painted_s(browser, served))
    note = f"{LARGE.num_updates} updates, {LARGE.num_episodes} episodes; best of {NUM_PAINTS}, worst "
    return [
        below("first paint, run already read, s", min(warm_s), 1.0, f"{note}{max(warm_s):.2f} s"),
        below("first paint, server just started, s", min(cold_s), 1.0, f"{note}{max(cold_s):.2f} s"),
    ]


def _painted_s(browser: Browser, served: Served) -> float:
    browser.open(served.address)
    browser.wait_for(DRAWN, 60)
    return float(browser.evaluate("performance.getEntriesByName('drawn')[0].startTime")) / 1000


def memory(folder: Path, _num_requests: int) -> list[Row]:
    """Resident memory of the server while it follows an hour of events, told in half a minute."""
    run = SyntheticRun(
        folder / "live", Story(num_updates=HOUR_UPDATES, num_episodes=200, ended=False)
    ).write()
    with serving(folder / "live") as served, _viewers(served, "live", 1):
        process, sizes_mb = psutil.Process(served.pid), []
        for update in range(1, HOUR_UPDATES + 1):
            for _ in range(HOUR_EPISODES // HOUR_UPDATES):
                for line in run.episode(update):
                    run.append("events.jsonl", line)
            run.append("metrics.jsonl", run.scalars(update))
            time.sleep(0.08)
            sizes_mb.append(process.memory_info().rss / 2**20)
    quarter = len(sizes_mb) // 4
    growth_mb = max(sizes_mb[-quarter:]) - max(sizes_mb[quarter : 2 * quarter])
    return [
        below("server memory over an hour of events, MB", max(sizes_mb), 200.0),
        below("its growth from the second quarter to the last, MB", growth_mb, 5.0, "flat"),
    ]


def viewers(folder: Path, _num_requests: int) -> list[Row]:
    """How much processor time the server takes while twenty look at a run that trains.

    What a run can lose at most to viewers elsewhere: the server's share of all cores, as if each of its
    seconds were taken from the run. (The server is also niced, so that it mostly takes what the run leaves.)
    """
    run = SyntheticRun(folder / "busy", Story(num_updates=200, num_episodes=2_000, ended=False)).write()
    with serving(folder / "busy") as served, _viewers(served, "busy", NUM_VIEWERS):
        process = psutil.Process(served.pid)
        time.sleep(2.0)
        began, used = time.monotonic(), sum(process.cpu_times()[:2])
        while time.monotonic() < began + VIEW_S:
            for line in run.episode(200) * 10:
                run.append("events.jsonl", line)
            run.append("metrics.jsonl", run.scalars(200))
            time.sleep(UPDATE_S)
        share = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - began) / (os.cpu_count() or 1)
    note = f"{NUM_VIEWERS} viewers, an update every {UPDATE_S:g} s, {os.cpu_count()} cores"
    return [below("slow-down of training by viewers, % at most", 100 * share, 2.0, note)]


@contextlib.contextmanager
def _viewers(served: Served, run: str, number: int) -> Iterator[None]:
    """Viewers that do what the page does: listen, and fetch the run whenever it has changed."""
    stop = threading.Event()
    threads = [threading.Thread(target=_view, args=(served.address, run, stop)) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _view(address: str, run: str, stop: threading.Event) -> None:
    parts = urlsplit(address)
    stream, pages = (http.client.HTTPConnection(parts.netloc, timeout=30) for _ in range(2))
    stream.request("GET", f"/live?run={run}")
    events = stream.getresponse()
    while not stop.is_set() and (line := events.readline()):
        if line.startswith(b"data: "):
            pages.request("GET", f"/api/run/{run}")
            pages.getresponse().read()
            stop.wait(1.0)
    stream.close()
    pages.close()


def latency(folder: Path, _num_requests: int) -> list[Row]:
    """From a line appended to the run's file to the number in the browser."""
    name, program = "a line written until it shows in the browser, s", find_chromium()
    if program is None:
        return [not_measured(name, NO_BROWSER)]
    run = SyntheticRun(folder / "news", Story(num_updates=200, num_episodes=2_000, ended=False)).write()
    seconds = []
    with Browser(program, folder / "profile-news") as browser, serving(folder / "news") as served:
        browser.open(served.address)
        browser.wait_for("document.querySelector('#live').textContent.startsWith('silent')", 60)
        for update in range(201, 201 + NUM_NEWS):
            time.sleep(1.5)
            began = time.monotonic()
            run.append("metrics.jsonl", run.scalars(update))
            browser.wait_for(f"document.querySelector('.facts dd').textContent.startsWith('{update} ')", 30)
            seconds.append(time.monotonic() - began)
    return [below(name, max(seconds), 2.0, f"slowest of {NUM_NEWS}; mean {sum(seconds) / NUM_NEWS:.2f} s")]


def fuzz(folder: Path, num_requests: int) -> list[Row]:
    """Odd requests to the server, odd lines to the reader."""
    story = Story(num_updates=20, num_episodes=60, num_tasks=2)
    SyntheticRun(folder / "fuzzed" / "run", story).write()
    make_trap(folder / "fuzzed" / "run")
    rng, leaks, errors = random.Random(0), 0, 0
    with serving(folder / "fuzzed") as served:
        for _ in range(num_requests):
            try:
                response = answer(served.address, odd_request(rng))
            except OSError:  # nobody answers any more
                errors += 1
                continue
            leaks += SECRET in response
            errors += status(response) >= 500
        crashed = psutil.Process(served.pid).status() == psutil.STATUS_ZOMBIE
    rounds = num_requests // 100
    return [
        below(f"{num_requests} odd requests: answers from outside", leaks, 1),
        below(f"{num_requests} odd requests: server errors and crashes", errors + crashed, 1),
        below(f"{num_requests} odd lines: exceptions", _odd_lines(folder / "fuzzed" / "run", rng, rounds), 1),
    ]


def _odd_lines(run_folder: Path, rng: random.Random, rounds: int) -> int:
    run, exceptions = Run(run_folder.resolve()), 0
    for _ in range(rounds):
        for name in ("events.jsonl", "metrics.jsonl"):
            with (run_folder / name).open("ab") as file:
                file.writelines(odd_line(rng) for _ in range(50))
        try:
            run.refresh()
            json.dumps(snapshot(run, time.time()), allow_nan=False)
        except Exception as error:  # this is what is being counted
            print(f"exception: {error!r}")
            exceptions += 1
    return exceptions


SECTIONS = {"paint": paint, "memory": memory, "viewers": viewers, "latency": latency, "fuzz": fuzz}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; default: all")
    parser.add_argument("--requests", type=int, default=10_000)
    args = parser.parse_args()
    if unknown := set(args.sections) - SECTIONS.keys():
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="dashboard-") as name:
        folder = Path(name)
        for section in args.sections or SECTIONS:
            print(f"{section} ...", flush=True)
            rows += SECTIONS[section](folder, args.requests)
    print_report("dashboard", rows)


if __name__ == "__main__":
    main()
