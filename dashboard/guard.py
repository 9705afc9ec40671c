"""Who may ask, and what every answer carries.

In: requests. Out: refusals, or the answer with headers that keep the page to itself.

On a loopback address anyone on this machine may read; elsewhere a token is needed. A `Host` header that is a
foreign name is refused everywhere: a page on the web can make a browser send requests to this server by
giving its own name this server's address (DNS rebinding), but it cannot change the name that the browser then
sends. An address as `Host` cannot come from rebinding.
"""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

COOKIE = "vlarl_dashboard"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the server listens, under which names it may be called, and the token, if one is needed."""

    host: str
    names: frozenset[str]
    token: str | None

    @classmethod
    def make(cls, host: str, names: list[str], token: str | None) -> "Access":
        """Refuses an address that others can reach without a token."""
        if not is_loopback(host) and not token:
            raise ValueError(
                f"--host {host} can be reached from other machines, so a token is needed: "
                "--token-file FILE, or the environment variable VLARL_DASHBOARD_TOKEN. "
                "Or stay on 127.0.0.1 and come through `ssh -L`"
            )
        return cls(host=host, names=frozenset({"localhost", *map(str.lower, names)}), token=token or None)

    def admits_host(self, header: str) -> bool:
        """Whether this `Host` header names us."""
        name = _without_port(header)
        if name in self.names:
            return True
        address = _address(name)
        return address is not None and (address.is_loopback or not is_loopback(self.host))

    def admits_token(self, given: str) -> bool:
        """Compared in constant time."""
        return self.token is None or hmac.compare_digest(_bytes(given), _bytes(self.token))


def guarding(access: Access) -> Middleware:
    """The middleware that every request passes first."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = _refusal(access, request)
        if refusal is not None:
            return refusal
        if "token" in request.query:
            return _signed_in(access, request)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _plain(error.status, error.reason)

    return guard


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, also on streams, before its first byte."""
    response.headers.update(HEADERS)
    response.headers.pop("Server", None)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _refusal(access: Access, request: web.Request) -> web.Response | None:
    if request.method not in ("GET", "HEAD"):
        return _plain(405, "this server can only be read")
    if not access.admits_host(request.headers.get("Host", "")):
        return _plain(403, "this Host is not known here; start the dashboard with --name to allow it")
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.path != "/":
        return _plain(403, "other sites may not read this")
    if not access.admits_token(_given_token(request)):
        return _plain(401, "a token is needed: open /?token=TOKEN once, or send Authorization: Bearer TOKEN")
    return None


def _given_token(request: web.Request) -> str:
    bearer = request.headers.get("Authorization", "")
    if bearer.startswith("Bearer "):
        return bearer.removeprefix("Bearer ")
    return request.query.get("token") or request.cookies.get(COOKIE, "")


def _signed_in(access: Access, request: web.Request) -> web.Response:
    """Keep the token in a cookie and out of the address."""
    answer = web.Response(status=303, headers={"Location": "/"})
    if access.token is not None:
        answer.set_cookie(COOKIE, access.token, httponly=True, samesite="Strict")
    return answer


def _plain(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


def _bytes(text: str) -> bytes:
    """Headers may hold bytes that are no text; aiohttp keeps them as surrogates."""
    return text.encode(errors="surrogateescape")


def _without_port(header: str) -> str:
    """`name:80` and `[::1]:80` without what follows the name, in lower case."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
