"""Keys and variables of the deployment guide that this release does not have.

They are refused like every unknown key, because nothing would happen; but with a message that says so, instead of a
suggestion that would be wrong. Whoever builds one of them removes it here and adds it to `schema`.
"""

from icn.config.catalog import VARIABLE_PREFIX

_CREDENTIALS_AND_TLS = ("auth_token_env", "auth_token", "tls_cert_path", "tls_key_path", "open_rate_limit")
KEYS = (
    *(f"security.{name}" for name in _CREDENTIALS_AND_TLS),
    *(f"api.{name}" for name in _CREDENTIALS_AND_TLS),
    "monitoring.health_check_interval",
    "audit",
    "auth_token",
)
VARIABLES = tuple(VARIABLE_PREFIX + key.replace(".", "_").upper() for key in KEYS)

SENTENCE = "is in the deployment guide; this build does not have it yet"
