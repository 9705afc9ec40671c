"""What the server answers: to its page, to odd requests, and to whom at all."""

import asyncio
import http.client
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from cli.main import main
from dashboard.folders import RunFolders, inside
from dashboard.guard import Access
from dashboard.live import Live
from dashboard.run import Run
from tests.dashboard.fuzz import SECRET, answer, odd_request, status
from tests.dashboard.serving import Served, serving
from tests.dashboard.synthetic import Story, SyntheticRun

TOKEN = "let-me-in"


def get(served: Served, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    parts = urlsplit(served.address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body, dict(response.getheaders())


def get_json(served: Served, path: str) -> Any:
    return json.loads(get(served, path)[1])


def events(served: Served, path: str) -> Iterator[dict[str, int]]:
    """What a stream says, for ever."""
    parts = urlsplit(served.address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    assert response.getheader("Content-Type") == "text/event-stream"
    while line := response.readline():
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def test_runs_are_listed_newest_first_without_links(served: Served) -> None:
    listed = get_json(served, "/api/runs")
    assert {run["name"] for run in listed} == {"run", "other", "sick"}
    assert listed == sorted(listed, key=lambda run: run["active"], reverse=True)


def test_a_page_holds_what_the_run_wrote(served: Served) -> None:
    page = get_json(served, "/api/run/run")
    assert page["run"]["update"] == 60
    assert page["learning"]["answer"].startswith("Yes.")
    assert {
        alarm["name"] for alarm in get_json(served, "/api/run/sick")["alarms"] if alarm["state"] == "firing"
    } == {
        "entropy_collapsed",
        "nothing_comes",
        "pushed_but_unchanged",
    }


def test_episodes_can_be_chosen_by_order_and_task(served: Served) -> None:
    best = get_json(served, "/api/run/run/episodes?order=best&task=libero_spatial/0")
    assert best
    assert all(episode["success"] and episode["task"] == "libero_spatial/0" for episode in best)
    assert [episode["steps"] for episode in best] == sorted(episode["steps"] for episode in best)
    worst = get_json(served, "/api/run/run/episodes?order=worst")
    assert not any(episode["success"] for episode in worst)
    newest = get_json(served, "/api/run/other/episodes")
    assert newest[0]["evaluation"] == 40
    assert get(served, "/api/run/run/episodes?order=prettiest")[0] == 404


def test_an_episode_comes_with_its_moments(served: Served) -> None:
    details = get_json(served, "/api/run/run/episode/0-0000000")
    assert details["instruction"].startswith("pick up the black bowl")
    assert {name: len(values) for name, values in details["moments"].items()} == dict.fromkeys(
        ("rprm_score", "value", "entropy", "surprise"), 40
    )


def test_videos_come_in_ranges(served: Served, runs: Path) -> None:
    whole = (runs / "run" / "episodes" / "0-0000000.mp4").read_bytes()
    assert get(served, "/video/run/0-0000000")[:2] == (200, whole)
    code, body, headers = get(served, "/video/run/0-0000000", Range="bytes=100-199")
    assert (code, body) == (206, whole[100:200])
    assert headers["Content-Range"] == f"bytes 100-199/{len(whole)}"


@pytest.mark.parametrize("episode", ["linked", "up", "whole", "through", "../../secret", "no-such"])
def test_no_video_leads_out_of_the_run_folder(served: Served, episode: str) -> None:
    code, body, _ = get(served, f"/video/run/{quote(episode, safe='')}")
    if episode == "../../secret":  # its name is odd, its video is the run's own
        assert code == 200
    else:
        assert (code, json.loads(body)) == (404, {"error": "the video of this episode is not there"})
    assert SECRET not in body + get(served, f"/api/run/run/episode/{quote(episode, safe='')}")[1]


@pytest.mark.parametrize(
    "path",
    [
        "/api/run/nowhere",
        "/api/run/..",
        "/api/run/linked",
        "/static/..%2f..%2fserver.py",
        "/favicon.ico",
        "/x",
    ],
)
def test_what_is_not_there_is_refused_in_words(served: Served, path: str) -> None:
    code, body, _ = get(served, path)
    assert code == 404
    assert json.loads(body)["error"]


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("10.0.0.1", 403),
        ("", 403),
    ],
)
def test_only_a_host_that_means_us_is_answered(served: Served, host: str, code: int) -> None:
    assert get(served, "/api/runs", Host=host)[0] == code


def test_other_sites_and_other_methods_are_refused(served: Served) -> None:
    assert get(served, "/api/runs", Sec_Fetch_Site="cross-site")[0] == 403
    assert (
        status(
            answer(served.address, b"POST /api/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        )
        == 405
    )


def test_answers_forbid_foreign_scripts_and_frames(served: Served) -> None:
    for path in ("/", "/api/runs", "/static/app.js", "/nowhere", "/video/run/0-0000000"):
        headers = get(served, path)[2]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_token_opens_the_door_once_and_stays_in_a_cookie(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    with serving(runs, "--token-file", str(tmp_path / "token")) as served:
        assert get(served, "/")[0] == 401
        assert get(served, "/?token=wrong")[0] == 401
        code, _, headers = get(served, f"/?token={TOKEN}")
        assert (code, headers["Location"]) == (303, "/")
        assert "HttpOnly" in headers["Set-Cookie"]
        assert "SameSite=Strict" in headers["Set-Cookie"]
        assert get(served, "/api/runs", Cookie=headers["Set-Cookie"].split(";")[0])[0] == 200
        assert get(served, "/api/runs", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert get(served, "/api/runs", Authorization="Bearer é")[0] == 401


def test_an_open_address_needs_a_token() -> None:
    with pytest.raises(ValueError, match="can be reached from other machines, so a token is needed"):
        Access.make("0.0.0.0", [], None)
    access = Access.make("0.0.0.0", ["robots.lab"], TOKEN)
    assert access.admits_host("Robots.Lab:8600")
    assert access.admits_host("10.0.0.1:8600")
    assert not access.admits_host("evil.example")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere is not a folder"),
        ([".", "--port", "70000"], "cannot listen on 127.0.0.1 port 70000"),
        ([".", "--host", "0.0.0.0"], "a token is needed"),
        ([".", "--token-file", "nowhere"], "no such file, or it is empty"),
    ],
)
def test_the_command_refuses_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLARL_DASHBOARD_TOKEN", raising=False)
    assert main(["dashboard", *words]) == 2
    assert message in capsys.readouterr().err


def test_one_run_folder_can_be_named_directly(runs: Path) -> None:
    folders = RunFolders(runs / "other")
    assert [name for name, _ in folders.listed()] == ["other"]
    assert folders.path("run") is None


def test_inside_means_inside(tmp_path: Path) -> None:
    run = (tmp_path / "run").resolve()
    run.mkdir()
    (run / "file").write_text("x")
    (tmp_path / "outside").write_text("x")
    (run / "link").symlink_to(tmp_path / "outside")
    (run / "loop").symlink_to(run / "loop")
    os.mkfifo(run / "pipe")
    assert inside(run, "file") == run / "file"
    for name in (
        "link",
        "loop",
        "pipe",
        ".",
        "..",
        "../outside",
        str(tmp_path / "outside"),
        "a\0b",
        "x" * 5000,
        "no",
    ):
        assert inside(run, name) is None, name


def test_a_stream_tells_within_two_seconds_that_a_run_has_changed(tmp_path: Path) -> None:
    synthetic = SyntheticRun(tmp_path / "live", Story(num_updates=5, num_episodes=5, video_every=0)).write()
    with serving(tmp_path) as served:
        stream = events(served, "/live?run=live")
        first = next(stream)["live"]
        began = time.monotonic()
        threading.Timer(0.1, synthetic.append, ("metrics.jsonl", synthetic.scalars(6))).start()
        assert next(stream)["live"] > first
        assert time.monotonic() - began < 10.0
        assert get_json(served, "/api/run/live")["run"]["update"] == 6


def test_a_run_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    story = Story(num_updates=2, num_episodes=2, video_every=0)
    _, good = (SyntheticRun(tmp_path / name, story).write() for name in ("bad", "good"))

    def unreadable(limit_s: float = 0.0) -> bool:
        raise OSError("stale file handle")

    async def look() -> tuple[list[str], dict[str, int], dict[str, int]]:
        live = Live(RunFolders(tmp_path))
        run = await live.run("bad")
        await live.run("good")
        assert run is not None
        run.refresh = unreadable  # type: ignore[method-assign]
        before = live.revisions(["bad", "good"])
        good.append("metrics.jsonl", good.scalars(3))
        polling = asyncio.create_task(live.poll_forever())
        await asyncio.wait_for(live.change.wait(), timeout=10)
        polling.cancel()
        return run.notes(), before, live.revisions(["bad", "good"])

    notes, before, after = asyncio.run(look())
    assert notes == ["reading stopped: OSError('stale file handle')"]
    assert after["bad"] == before["bad"] + 1
    assert after["good"] > before["good"]


def test_an_odd_number_in_an_event_costs_that_line_alone(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "odd", Story(num_updates=2, num_episodes=2, video_every=0)).write()
    line = (run.folder / "events.jsonl").read_text().splitlines()
    episode = next(json.loads(text) for text in line if json.loads(text)["kind"] == "episode")
    run.append("events.jsonl", {**episode, "max_version": float("inf")})
    read = Run(run.folder)
    read.refresh()
    assert any("1 line of events.jsonl could not be understood" in note for note in read.notes())


def test_a_hundred_odd_requests_get_nothing_from_outside_and_break_nothing(served: Served) -> None:
    rng = random.Random(1)
    for _ in range(300):
        request = odd_request(rng)
        response = answer(served.address, request)
        assert SECRET not in response, request
        assert status(response) < 500, (request, response[:300])
    assert get(served, "/api/runs")[0] == 200
