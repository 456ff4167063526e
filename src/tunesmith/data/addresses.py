"""Pictures at addresses of the web: fetched only where that was asked for, and never from this machine's own networks.

A name is resolved once, and what is connected to is the number that was checked; each redirect is checked anew. A name
that stands for a private address would otherwise let a table of addresses ask servers that only this machine reaches.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from urllib.parse import SplitResult, urljoin, urlsplit

from tunesmith.data.pictures import PictureFault, format_of, is_address, uri_of

MOST_BYTES = 50_000_000
MOST_SECONDS = 30.0
"""Of one picture, from the first name that is resolved to the last byte."""
_REDIRECTS = 5
_TOGETHER = 8
_CHUNK = 1 << 16
_MOVED = (301, 302, 303, 307, 308)
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""Where IPv4 addresses stand within IPv6 ones (NAT64)."""
_SCHEMES = {"http": 80, "https": 443}


def fetched(given: Sequence[str]) -> list[str | PictureFault]:
    """The same with each address as a data URI of what lies there, or why it can not be had."""

    def one(cell: str) -> str | PictureFault:
        if not is_address(cell):
            return cell
        try:
            return uri_of(fetch(cell))
        except PictureFault as fault:
            return fault

    with ThreadPoolExecutor(_TOGETHER) as pool:
        return list(pool.map(one, given))


def fetch(address: str) -> bytes:
    """The picture at an address, as it lies there. Raises PictureFault for all but http and https, for places in
    networks of one's own, for what is larger than MOST_BYTES or slower than MOST_SECONDS, and for what is no
    picture."""
    until = time.monotonic() + MOST_SECONDS
    for _ in range(_REDIRECTS + 1):
        parts = _split(address)
        try:
            found = _asked(parts, until)
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = time.monotonic() >= until
            told = f"it took more than {MOST_SECONDS:g} seconds" if late else _in_words(error)
            raise PictureFault(f"it can not be fetched: {told}", "an address") from None
        if isinstance(found, bytes):
            if format_of(found) is None:
                raise PictureFault("what lies there is no picture", "an address")
            return found
        following = urljoin(address, found)
        if parts.scheme == "https" and not following.lower().startswith("https:"):
            raise PictureFault("it leads away from https, to what anybody could change on the way", "an address")
        address = following
    raise PictureFault(f"it leads elsewhere more than {_REDIRECTS} times", "an address")


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in _SCHEMES and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise PictureFault("only http and https are fetched, without a user's name", "an address")
    return parts


def _asked(parts: SplitResult, until: float) -> bytes | str:
    """The content, or where it has moved to."""
    host, port = str(parts.hostname), parts.port or _SCHEMES[parts.scheme]
    with _connected(host, port, parts.scheme == "https", until) as connection:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"User-Agent": "tunesmith", "Accept": "image/*", "Accept-Encoding": "identity"}
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as response:
            if response.status in _MOVED:
                return response.getheader("Location") or ""
            if response.status != http.client.OK:
                raise PictureFault(f"it can not be fetched: {response.status} {response.reason}", "an address")
            content = bytearray()
            while chunk := response.read1(_CHUNK):
                content += chunk
                if len(content) > MOST_BYTES:
                    raise PictureFault(f"it has more than {MOST_BYTES / 1e6:g} MB", "too large")
                if time.monotonic() >= until:
                    break
            if time.monotonic() >= until:  # then the clock may have ended it
                raise TimeoutError
            if response.length:
                raise PictureFault("it can not be fetched: it broke off", "an address")
            return bytes(content)


@contextmanager
def _connected(host: str, port: int, secure: bool, until: float) -> Iterator[http.client.HTTPConnection]:
    """A connection to a number that was checked, which ends when the time is over, whatever the other side does."""
    number = _resolved(host, port)
    plain = socket.create_connection((number, port), timeout=max(0.1, until - time.monotonic()))
    clock = threading.Timer(max(0.1, until - time.monotonic()), _end, (plain,))
    clock.daemon = True
    clock.start()
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
        yield connection
    finally:
        clock.cancel()
        connection.close()
        plain.close()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _resolved(host: str, port: int) -> str:
    """The number of a host. Raises PictureFault where one of its numbers is no public one."""
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except UnicodeError:
        found = []
    if not found:
        raise PictureFault(f"there is no host {host}", "an address")
    private = next((number for number in found if not is_public(number)), None)
    if private is not None:
        told = f"{host} is {private}, in a network of one's own, from which nothing is fetched"
        raise PictureFault(told if host != private else told.replace(f"{host} is {private}", host), "an address")
    return found[0]


def is_public(number: str) -> bool:
    """Whether an IP address belongs to the public internet, whatever other address it may hold."""
    address = ipaddress.ip_address(number.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        if address.sixtofour is not None or address.teredo is not None or address in _TRANSLATED:
            return False
    return address.is_global and not address.is_multicast


def _in_words(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(reason).split()).rstrip(".")
