"""Whom a connection over TLS trusts, where that is not what the system trusts, and what to do where trust fails.

The node has no TLS of its own: what is checked here is the certificate of the proxy before it. Names are always
checked, whoever is trusted.
"""

import argparse
import ssl
from collections.abc import Mapping
from pathlib import Path

from icn.cli.endings import Ended, Exit

CACERT_VARIABLE = "ICN_CACERT"
CACERT_BYTES_MAX = 4 * 1024 * 1024
"""A system's whole bundle of authorities is a twentieth of this."""

_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
"""X509_V_ERR_… of OpenSSL. Source: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/."""
_NEXT_STEPS = {
    _NOT_YET_VALID: "Are the clocks of both machines right?",
    _EXPIRED: "Whoever runs the node has to renew it.",
    _OTHER_NAME: "Give --node or ICN_NODE_URL with a name that the certificate has.",
    _OTHER_ADDRESS: "Give --node or ICN_NODE_URL with a name or address that the certificate has.",
}


def trust_of(given: argparse.Namespace, environ: Mapping[str, str], scheme: str) -> ssl.SSLContext | None:
    """Whom the command line or else the environment says to trust; None where neither does: whom the system trusts.

    The variable is nothing to a connection without TLS; the option is refused there, as it would check nothing.

    Raises:
        Ended: with USAGE for `--cacert` without TLS, with CONFIGURATION where the file holds no certificate.
    """
    flag: str | None = getattr(given, "cacert", None)
    if flag is not None and scheme != "https":
        raise Ended(
            Exit.USAGE,
            "--cacert is given, and the node's address is no https:// address: nothing would be checked",
            next_step="Give --node with https://, or leave --cacert out.",
        )
    if scheme != "https":
        return None
    if flag is not None:
        return trusting(flag, f"--cacert, file {flag}")
    path = environ.get(CACERT_VARIABLE)
    return trusting(path, f"environment {CACERT_VARIABLE}, file {path}") if path else None


def trusting(path: str, place: str) -> ssl.SSLContext:
    """A client's side that trusts the certificates in the file, PEM, and no other. `place`: who names the file.

    Each of them is an end of the search for trust, signed by itself or not: a server's own certificate will do. Raises
    `Ended` with CONFIGURATION.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(CACERT_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise Ended(Exit.CONFIGURATION, f"{place}: cannot be read: {reason}") from error
    if len(data) > CACERT_BYTES_MAX:
        raise Ended(Exit.CONFIGURATION, f"{place}: is longer than {CACERT_BYTES_MAX} bytes")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which checks certificates and names
    try:
        context.load_verify_locations(cadata=data.decode("ascii", "backslashreplace"))  # names stand between them
    except (ssl.SSLError, ValueError) as error:
        raise Ended(
            Exit.CONFIGURATION,
            f"{place}: holds no certificate that can be read",
            next_step="It has to be PEM: -----BEGIN CERTIFICATE----- and what follows.",
        ) from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["http/1.1"])  # as `http.client` does with a context of its own
    return context


def next_step_for(error: ssl.SSLCertVerificationError, *, was_told: bool) -> str:
    """What to do about a certificate that did not pass. `was_told`: whether the person had said whom to trust."""
    if error.verify_code in _NEXT_STEPS:
        return _NEXT_STEPS[error.verify_code]
    if was_told:
        return (
            "Nobody in the file of --cacert or ICN_CACERT has signed it: is it the right file, and the right address?"
        )
    return (
        "Give who signed it, or the certificate itself where that was nobody else: --cacert FILE, or the variable "
        f"{CACERT_VARIABLE}."
    )
