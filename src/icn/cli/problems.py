"""From a refused request to an exit status and a next step: the problem documents of RFC 9457 (surface, "HTTP").

What each status asks of the person is decided here, in one table; the detail and the code are the node's.
"""

import json
from typing import Any

from icn.cli.endings import Ended, Exit

_NEXT_STEPS = {
    400: "Look at the command's --help.",
    401: "Give the node's API key: --api-key-file FILE or ICN_API_KEY; or a token: --token-file or ICN_AUTH_TOKEN.",
    402: "Look at icn-cli mana balance; mana comes back with time.",
    403: "This key may not do that: ask the node's operator.",
    404: "Look whether the name is right and the node the one you mean.",
    409: "Look at its present state, then decide anew.",
    413: "Send less, or in several pieces.",
    422: "Look at the command's --help.",
    429: "Try again later.",
    503: "Try again later; the node's log says why, under the correlation id.",
}


def exit_of(status: int) -> Exit:
    """The exit status for an HTTP status that is not success."""
    match status:
        case 401 | 403:
            return Exit.NOT_AUTHORISED
        case 404:
            return Exit.NOT_FOUND_OR_UNVERIFIED
        case _ if 400 <= status < 500:
            return Exit.REFUSED
        case _:
            return Exit.FAULT


def ended_by(status: int, body: bytes, *, retry_after: str | None, correlation_id: str) -> Ended:
    """What to report for an answer that is not a success, whether or not its body is a problem document."""
    problem = _problem(body)
    next_step = _NEXT_STEPS.get(status, "")
    if retry_after is not None and retry_after.isdecimal():
        next_step = f"Try again in {retry_after} s."
    if 300 <= status < 400:
        next_step = "Redirects are not followed, so that the key goes nowhere else: give --node the address itself."
    return Ended(
        exit_of(status),
        _text(problem, "detail") or _text(problem, "error") or _text(problem, "title") or f"HTTP status {status}",
        code=_text(problem, "code") or f"http.{status}",
        next_step=next_step or "The node's log says why, under the correlation id.",
        correlation_id=_text(problem, "correlation_id") or correlation_id,
    )


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return {}  # a proxy's page, say: the status speaks
    return problem if isinstance(problem, dict) else {}


def _text(problem: dict[str, Any], name: str) -> str:
    value = problem.get(name)
    return value if isinstance(value, str) else ""
