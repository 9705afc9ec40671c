"""Requests and lines that nobody sends by mistake.

In: a random generator. Out: raw HTTP requests and raw lines for a run's files; and what a server answered.
"""

import json
import random
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SECRET = b"outside-the-run-folder-7f3a"
"""Stands in a file beside the run folders; must never come out."""
PIECES = (
    "..", ".", "%2e%2e", "%2E.", "%252e%252e", "/", "//", "%2f", "%5c", "\\", "%00", "\x00", "etc",
    "passwd", "secret.mp4", "secret.txt", "linked", "linked.mp4", "run", "episodes", "0-0000000",
    "config.yaml", "events.jsonl", "app.js", "static", "api", "video", "live", "episode", "?", "?token=",
    "&", "#", ";", "*", "~", "é", "\ud83e", "%ff", "%u002e", "a" * 300, "-1", "NaN", "{}", "' OR 1=1",
    "<script>", "\t", "file:///etc/passwd", "http://other/",
)  # fmt: skip
PREFIXES = (
    "/", "/static/", "/api/run/", "/api/run/run/", "/api/run/run/episode/", "/video/", "/video/run/",
    "/live?run=", "",
)  # fmt: skip
METHODS = (
    "GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get", "PROPFIND", "G ET", "",
)  # fmt: skip
HOSTS = (
    "127.0.0.1", "localhost", "[::1]", "evil.example", "127.0.0.1.evil.example", "localhost:80:80", "", "[",
    "\x01", "0x7f.1", "é",
)  # fmt: skip
HEADERS = (
    "Range: bytes=0-", "Range: bytes=-1", "Range: bytes=9999999999-", "Range: bytes=5-2", "Range: items=a",
    "Range: bytes=0-0,5-9", "If-Modified-Since: yesterday", "If-None-Match: *", "Authorization: Bearer",
    "Authorization: Bearer é", "Cookie: vlarl_dashboard=\x7f", "Cookie: ; ; =", "Content-Length: 10",
    "Content-Length: -1", "Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: websocket",
    "Sec-Fetch-Site: cross-site", "X-Forwarded-Host: evil.example", "Accept-Encoding: gzip;q=a",
    "No colon here", ": empty", "A" * 9000 + ": b",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 10**30, -(10**400), 1e308, float("nan"), float("inf"), "", "x", "NaN",
    "../../secret.txt", [], {}, [[]], ["a"], {"a": {}}, "\ud800", "é" * 50, [1, 2.5, None],
    "libero_spatial/0/fresh-1", [0.5] * 5, "libero_spatial/1/published-3",
)  # fmt: skip
NAMES = (
    "time", "kind", "update", "episode", "start", "success", "steps", "return", "min_version",
    "max_version", "video", "episodes", "fault", "reason", "count", "tasks", "chunk", "value", "entropy",
    "rprm_score", "complete", "rollout/success", "learner/kl", "learner/entropy", "time/interval_s",
    "curriculum/weight/x", "buffer/waiting", "weights/probe_change", "__proto__", "rollout/episodes",
    "faults/x",
)  # fmt: skip
KINDS = (
    "episode", "evaluation", "trained", "moments", "fault", "started", "resumed", "told_to_stop", "ended",
    "other",
)  # fmt: skip


def make_trap(run: Path) -> None:
    """A secret beside the run folder, and everything in the folder that could lead to it."""
    outside = run.parent / "secret.txt"
    outside.write_bytes(SECRET)
    outside.with_suffix(".mp4").write_bytes(SECRET)
    (run / "episodes" / "linked.mp4").symlink_to(outside.with_suffix(".mp4"))
    (run / "episodes" / "linked.json").symlink_to(outside)
    (run / "linked").symlink_to(run.parent)
    (run.parent / "linked").symlink_to(run)
    outcome = {
        "time": 1.0,
        "kind": "episode",
        "start": "libero_spatial/0/fresh-1",
        "success": True,
        "steps": 9,
    }
    outcome |= {"return": 1.0, "min_version": 0, "max_version": 0}
    with (run / "events.jsonl").open("a") as events:
        for name, video in (
            ("linked", "episodes/linked.mp4"),
            ("up", "episodes/../../secret.mp4"),
            ("whole", str(outside.with_suffix(".mp4"))),
            ("through", "linked/secret.mp4"),
            ("../../secret", "episodes/0-0000000.mp4"),
        ):
            events.write(json.dumps({**outcome, "episode": name, "video": video}) + "\n")


def odd_request(rng: random.Random) -> bytes:
    """Method, path and headers, any of them odd."""
    path = rng.choice(PREFIXES) + "".join(rng.choices(PIECES, k=rng.randint(0, 6)))
    host = rng.choice(HOSTS) if rng.random() < 0.3 else "127.0.0.1"
    headers = "".join(f"{line}\r\n" for line in rng.choices(HEADERS, k=rng.choice((0, 0, 1, 3))))
    method = rng.choice(METHODS) if rng.random() < 0.3 else "GET"
    request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
    return request.encode("utf-8", "surrogatepass")


def odd_line(rng: random.Random) -> bytes:
    """A line as `events.jsonl` or `metrics.jsonl` might hold it, more or less."""
    choice = rng.random()
    if choice < 0.1:
        return rng.randbytes(rng.randint(0, 200)).replace(b"\n", b" ") + b"\n"
    if choice < 0.15:
        return b"[" * rng.choice((10, 5000)) + b"\n"
    fields = {rng.choice(NAMES): rng.choice(VALUES) for _ in range(rng.randint(0, 12))}
    if choice < 0.8:
        fields |= {"time": 1.0, "kind": rng.choice(KINDS)}
    if choice < 0.5:
        fields["update"] = rng.choice((1, 5, 10**6, 10**9, -1))
    line = json.dumps(fields).encode()
    return line[: rng.randint(0, len(line))] + b"\n" if choice > 0.95 else line + b"\n"


def answer(address: str, request: bytes, timeout_s: float = 10.0) -> bytes:
    """Everything that comes back, up to a megabyte; of a stream only its beginning."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    received = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=timeout_s) as connection:
        connection.sendall(request)
        while len(received) < 2**20 and b"text/event-stream" not in received:
            part = connection.recv(2**16)
            if not part:
                break
            received += part
    return received


def status(response: bytes) -> int:
    """The status code; 0 where the server only closed the connection."""
    return int(response.split(b" ", 2)[1]) if response.startswith(b"HTTP/") else 0
