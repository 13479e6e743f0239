"""What holds everywhere under src/icn: truth, bounds, names, reasons."""

import ast
import re
from collections.abc import Iterator

from tidy.source import Finding, Module

FORBIDDEN_MODULE_WORDS = {
    *("utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager", "handler"),
    *("enhanced", "advanced", "smart", "comprehensive", "v2"),
}
INNOCENT_NAMES = {"base_encodings"}
"""Base58 and base32 are called so."""
PRETENCE_WORDS = {"stub", "fake", "mock", "dummy"}
OUTERMOST = {
    "adapters/archive/elsewhere.py": 1,
    "adapters/archive/examining.py": 1,
    "node/backups.py": 2,
    "node/drivers.py": 1,
    "http/app.py": 1,
    "http/problems.py": 1,
}
"""Where the outermost loops may catch everything, and how often."""
UNFINISHED = re.compile(
    r"\b(TODO|FIXME|XXX|HACK)\b|\bfor now\b|\bin a real\b|\bplaceholder implementation\b", re.IGNORECASE
)
SUPPRESSION = re.compile(
    r"#\s*(?:ruff:\s*|mypy:\s*)?(?P<kind>noqa|type:\s*ignore|pragma: no cover|fmt: off)(?P<rest>.*)"
)
READS_CONFIG = {"config", "assemble", "node", "cli"}
BOUNDED_BY = "# bounded:"
"""Beside a container whose bound lies elsewhere: `deque()  # bounded: PEER_QUEUE_BYTES_MAX, in offer()`."""


def check(module: Module) -> list[Finding]:
    """All findings in one module under src/icn."""
    rules = (_docstring, _names, _broad_excepts, _asserts, _bounds, _environment, _config, unfinished, suppressions)
    return sorted(Finding(module.path, line, what) for rule in rules for line, what in rule(module))


def _docstring(module: Module) -> Iterator[tuple[int, str]]:
    if not module.text.strip():
        yield 1, "empty module: a module is made when it has content (a package's __init__ has at least a docstring)"
    elif ast.get_docstring(module.tree) is None:
        yield 1, "no module docstring: say what it decides or owns, and what is deliberately elsewhere"


def _words(name: str) -> list[str]:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")


def _names(module: Module) -> Iterator[tuple[int, str]]:
    for part in module.path.removesuffix(".py").split("/"):
        if part == "__init__":
            continue
        if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", part):
            yield 1, f"file name {part!r}: lower case, words joined by underscores"
        for word in _words(part):
            if word in FORBIDDEN_MODULE_WORDS and part not in INNOCENT_NAMES:
                yield 1, f"file name {part!r} says {word!r}: name what it decides or owns"
    if module.layer == "sim":
        return
    for node in module.nodes:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                pass
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                pass
            case _:
                continue
        if not PRETENCE_WORDS.isdisjoint(_words(name)):
            yield node.lineno, f"{name}: production code contains no stub or fake; a missing dependency stops the node"


def _is_broad(caught: ast.expr | None) -> bool:
    match caught:
        case None | ast.Name(id="Exception" | "BaseException"):
            return True
        case ast.Tuple(elts=parts):
            return any(_is_broad(part) for part in parts)
        case _:
            return False


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether it only cleans up: its last word is a bare `raise`, and nothing leaves before."""
    leaves = (ast.Return, ast.Continue, ast.Break)
    last = handler.body[-1]
    return (
        isinstance(last, ast.Raise)
        and last.exc is None
        and not any(isinstance(node, leaves) for statement in handler.body for node in ast.walk(statement))
    )


def _broad_excepts(module: Module) -> Iterator[tuple[int, str]]:
    handlers = [node for node in module.nodes if isinstance(node, ast.ExceptHandler)]
    broad = [handler for handler in handlers if _is_broad(handler.type) and not _raises_again(handler)]
    broad.sort(key=lambda handler: handler.lineno)
    for handler in broad[OUTERMOST.get(module.path, 0) :]:
        yield handler.lineno, "catches everything: name what can happen, and let the rest travel up"
    for node in module.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name == "suppress" and any(_is_broad(argument) for argument in node.args):
                yield node.lineno, "suppresses everything: name what can happen"


def _asserts(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        if isinstance(node, ast.Assert):
            yield node.lineno, 'assert vanishes under -O: require(condition, "what must hold"), or a refusal'


def _bounds(module: Module) -> Iterator[tuple[int, str]]:
    lines = module.text.splitlines()
    for node in module.nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        bounds = {keyword.arg: keyword.value for keyword in node.keywords}
        match name:
            case "Queue" | "LifoQueue" | "PriorityQueue" | "JoinableQueue":
                bound = node.args[0] if node.args else bounds.get("maxsize")
            case "deque":
                bound = node.args[1] if len(node.args) > 1 else bounds.get("maxlen")
            case "SimpleQueue":
                bound = None
            case _:
                continue
        unbounded = bound is None or (isinstance(bound, ast.Constant) and bound.value in {0, None})
        spread = lines[node.lineno - 1 : node.end_lineno]
        if unbounded and not any(BOUNDED_BY in line for line in spread):
            yield node.lineno, f"{name} without a bound: everything has a limit (or say where: `{BOUNDED_BY} …`)"


def _environment(module: Module) -> Iterator[tuple[int, str]]:
    if module.layer == "config":
        return
    for node in module.nodes:
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv" | "putenv" as name):
                yield node.lineno, f"os.{name}: only config reads the environment"
            case ast.ImportFrom(module="os", names=names):
                for alias in names:
                    if alias.name in {"environ", "environb", "getenv", "putenv"}:
                        yield node.lineno, f"os.{alias.name}: only config reads the environment"
            case _:
                pass


def _config(module: Module) -> Iterator[tuple[int, str]]:
    if module.layer in READS_CONFIG:
        return
    for node in module.nodes:
        match node:
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case ast.ImportFrom(module=str(source), names=names):
                imported = [f"{source}.{alias.name}" for alias in names]
            case _:
                continue
        if any(name == "icn.config" or name.startswith("icn.config.") for name in imported):
            yield node.lineno, "imports config: only the programs read it; take the settings you need as an argument"


def unfinished(module: Module) -> Iterator[tuple[int, str]]:
    """Promises in place of work."""
    for number, line in enumerate(module.text.splitlines(), start=1):
        if found := UNFINISHED.search(line):
            yield number, f"{found.group()!r}: do it, or leave it out"


def suppressions(module: Module) -> Iterator[tuple[int, str]]:
    """A silenced check names what it silences and says why."""
    if not SUPPRESSION.search(module.text):
        return  # most have none, and comments are found slowly
    for line, comment in module.comments:
        for found in SUPPRESSION.finditer(comment):
            kind = found["kind"]
            if kind.startswith("noqa"):
                reasoned = re.match(r":\s*[A-Z]+\d+(\s*,\s*[A-Z]+\d+)*[\s#(–—-]+\w.{3,}", found["rest"])
            elif kind.startswith("type"):
                reasoned = re.match(r"\[[\w, -]+\][\s#(–—-]+\w.{3,}", found["rest"])
            else:
                reasoned = re.match(r"[\s#(:–—-]+\w.{3,}", found["rest"])
            if not reasoned:
                yield line, f"{comment.strip()!r}: name the rule and give the reason beside it"
