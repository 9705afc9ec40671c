"""Who may reach a cluster: refuses one that lets anybody in.

In: a dashboard's address, or that of a Ray that was joined. Out: nothing, or a `ValueError` with the way to
mend it. Whoever reaches an open Ray can run any command on all its machines.
"""

import ipaddress
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

ANSWER_S = 10.0
REFUSALS = (401, 403)
MEND = (
    "stop it, set RAY_AUTH_MODE=token on every machine before `ray start`, and put the same token (from "
    "`ray get-auth-token --generate`) into RAY_AUTH_TOKEN or ~/.ray/auth_token on each"
)


def is_loopback(host: str) -> bool:
    """Whether a host, by name or number, is this machine only."""
    try:
        addresses = {ipaddress.ip_address(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all((getattr(address, "ipv4_mapped", None) or address).is_loopback for address in addresses)


def refuse_open_dashboard(address: str, *, head: str = "") -> None:
    """Ask it for its jobs without a token: where it or its head is on the network it must refuse.

    One that cannot be reached is let pass.
    """
    url = address if "://" in address else f"http://{address}"
    if is_loopback(urlsplit(url).hostname or "") and (not head or is_loopback(_host(head))):
        return
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/api/jobs/", timeout=ANSWER_S):
            pass
    except urllib.error.HTTPError as error:
        if error.code in REFUSALS:
            return
    except OSError:  # the submission that follows says more of it
        return
    raise ValueError(
        f"the Ray dashboard at {address} asks for no token: whoever reaches it can run code. {MEND}"
    )


def refuse_open_head(gcs_address: str, environment: Mapping[str, str]) -> None:
    """A head that other machines can reach must be one that asks for a token."""
    mode = environment.get("RAY_AUTH_MODE")
    if mode != "token" and not is_loopback(_host(gcs_address)):
        raise ValueError(
            f"the Ray head at {gcs_address} is on the network, and RAY_AUTH_MODE is "
            f"{mode or 'not set'}: {MEND}"
        )


def _host(gcs_address: str) -> str:
    return gcs_address.rsplit(":", 1)[0].strip("[]")
