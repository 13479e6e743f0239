"""What the page of somebody else can have a browser ask of a node that asks for no key.

A node in development answers whoever can reach its loopback address, and every page that is open in a browser on that
machine can. Forms and scripts of other sites say where they come from (`Origin`, Fetch standard, section 3.2). A site
whose name leads to this machine for once (DNS rebinding) is of the same origin for the browser, but its name is in
`Host`, and anybody's name has a dot in it.

Not here: nodes that ask for a key, which no page knows.
"""

import ipaddress
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import urlsplit

from icn.kernel.errors import Kind, Refusal

OWN_ZONES = (".localhost", ".local", ".internal")
"""Names with a dot that nobody can register."""


class ForeignPage(Refusal):
    """A browser asks on behalf of another site, and this node asks for no key."""

    code: ClassVar[str] = "access.foreign_page"
    kind: ClassVar[Kind] = Kind.FORBIDDEN

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(
            f"a page of {site} may ask nothing of a node that asks for no key: call it by its address, or set a key"
        )


def check_page(headers: Mapping[bytes, bytes]) -> None:
    """Raise `ForeignPage` for a request that a page of another site may have made. Others than browsers do as ever."""
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if host and not _is_own(host):
        raise ForeignPage(host[:200])
    origin = headers.get(b"origin")
    if origin is None:
        return
    site = origin.decode("latin-1").lower()
    if site.partition("://")[2] != host:
        raise ForeignPage(site[:200])


def _is_own(host: str) -> bool:
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith(OWN_ZONES)
    return True
