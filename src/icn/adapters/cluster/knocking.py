"""Whether somebody is there who can be trusted, before Ray is asked, which takes long to say less."""

import socket
import ssl

from icn.adapters.cluster import bounds
from icn.adapters.cluster.settings import TlsFiles


def knock(host: str, port: int, tls: TlsFiles | None) -> str:
    """Why the cluster's head cannot be talked to; empty where it can."""
    try:
        with socket.create_connection((host, port), timeout=bounds.KNOCK_S) as plain:
            if tls is None:
                return ""
            context = ssl.create_default_context(cafile=tls.authority)
            context.load_cert_chain(tls.certificate, tls.key)
            context.set_alpn_protocols(["h2"])  # what Ray's servers speak
            with context.wrap_socket(plain, server_hostname=host):
                return ""
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not to be trusted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS with it fails: {error.reason or error}"
    except OSError as error:
        return f"nobody can be talked to there: {error.strerror or error}"
