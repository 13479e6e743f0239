"""What the core may not contain: anything that makes two nodes, or a run and its replay, differ.

No async, clock, global randomness, float, set order, environment, filesystem, logging, threads. Checked on syntax, so a
determined author can get around it; it is there against habit, not against malice.
"""

import ast
from collections.abc import Iterator

from tidy.source import Finding, Module

BANNED_IMPORTS = {
    "time": "time is an argument (Instant)",
    "datetime": "instants are whole milliseconds (kernel.instant)",
    "zoneinfo": "instants are whole milliseconds (kernel.instant)",
    "random": "only `from random import Random`, handed in and used for jitter",
    "secrets": "random bytes are handed in (Entropy)",
    "uuid": "ids are made from bytes handed in",
    "os": "the environment and files belong to config and adapters",
    "sys": "the interpreter is no business of a rule",
    "pathlib": "files belong to adapters",
    "shutil": "files belong to adapters",
    "tempfile": "files belong to adapters",
    "io": "files belong to adapters",
    "socket": "sockets belong to adapters",
    "ssl": "sockets belong to adapters",
    "select": "sockets belong to adapters",
    "selectors": "sockets belong to adapters",
    "http": "the surface belongs to http",
    "urllib": "the surface belongs to http and cli",
    "asyncio": "return an effect; a driver awaits",
    "anyio": "return an effect; a driver awaits",
    "threading": "the core is synchronous; node/drivers owns threads",
    "queue": "the core is synchronous; node/drivers owns threads",
    "concurrent": "the core is synchronous; node/drivers owns threads",
    "multiprocessing": "processes belong to adapters",
    "subprocess": "processes belong to adapters",
    "signal": "signals belong to node",
    "contextvars": "pass what is needed as an argument",
    "logging": "the core does not log; the engine's trace does",
    "structlog": "the core does not log; the engine's trace does",
    "prometheus_client": "metrics belong to adapters",
    "locale": "the same on every node",
    "platform": "the same on every node",
    "decimal": "integers and exact fractions; a decimal context is global state",
    "statistics": "integers and exact fractions",
}
MATH_OF_INTEGERS = {"isqrt", "gcd", "lcm", "comb", "perm", "prod"}
BANNED_CALLS = {
    "open": "files belong to adapters",
    "input": "surfaces ask people",
    "print": "surfaces print",
    "hash": "hash() differs between processes; use sha-256 or compare values",
    "id": "id() is an address",
    "eval": "no code from data",
    "exec": "no code from data",
    "breakpoint": "left over",
}
FLOATS_ALLOWED = {"kernel/encoding.py"}
"""Members' content may hold floats; checking it is the one place where they occur."""


def check(module: Module) -> list[Finding]:
    """All findings in one core module."""
    found = [*_imports(module), *_nodes(module), *_sets(module)]
    return sorted(Finding(module.path, line, what) for line, what in found)


def _imports(module: Module) -> Iterator[tuple[int, str]]:
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                if root in BANNED_IMPORTS:
                    yield node.lineno, f"imports {alias.name}: {BANNED_IMPORTS[root]}"
                elif root == "math" and module.path not in FLOATS_ALLOWED:
                    yield node.lineno, f"imports math: only `from math import {', '.join(sorted(MATH_OF_INTEGERS))}`"
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            root = node.module.split(".")[0]
            names = {alias.name for alias in node.names}
            if root == "random" and names == {"Random"}:
                continue
            if root in BANNED_IMPORTS:
                yield node.lineno, f"imports {node.module}: {BANNED_IMPORTS[root]}"
            elif root == "math" and not names <= MATH_OF_INTEGERS and module.path not in FLOATS_ALLOWED:
                yield node.lineno, "imports floating-point functions of math"


def _nodes(module: Module) -> Iterator[tuple[int, str]]:
    floats = module.path not in FLOATS_ALLOWED
    for node in module.nodes:
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield node.lineno, "async: the core is synchronous; return an effect"
            case ast.Constant(value=float() | complex()) if floats:
                yield node.lineno, f"float {ast.unparse(node)}: integers, or fractions compared by multiplication"
            case ast.Name(id="float" | "complex") if floats:
                yield node.lineno, "float: integers, or fractions compared by multiplication"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()) if floats:
                yield node.lineno, "`/` makes a float: use `//`, or compare by multiplication"
            case ast.Call(func=ast.Name(id=name)) if name in BANNED_CALLS:
                yield node.lineno, f"{name}(): {BANNED_CALLS[name]}"
            case ast.Call(func=ast.Name(id="Random")):
                yield node.lineno, "Random(): a machine is given its Random"
            case ast.Call(func=ast.Attribute(attr="generate" | "urandom" | "generate_key")):
                yield node.lineno, "makes randomness: keys and nonces are bytes handed in (Entropy)"
            case ast.Global():
                yield node.lineno, "global: state is owned and passed"
            case _:
                pass


# --- sets ---

SET_TYPES = {"set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
ORDER_TAKING = {"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "reversed", "dict", "deque", "next"}
"""Calls whose result depends on the order of the walk. That of sorted, len, min, max, sum, any, all does not."""


def _names_set(annotation: ast.expr | None) -> bool:
    match annotation:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in SET_TYPES
        case ast.Subscript(value=value):
            return _names_set(value)
        case ast.Constant(value=str(text)):
            return _names_set(ast.parse(text, mode="eval").body)
        case _:
            return False


class _Sets(ast.NodeVisitor):
    """Finds walks over sets. Knows displays, calls, annotations and assignments of this module; not other modules'."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[tuple[int, str]] = []
        self.scopes: list[set[str]] = [set()]
        self.attributes = {
            node.target.id if isinstance(node.target, ast.Name) else node.target.attr
            for cls in ast.walk(tree)
            if isinstance(cls, ast.ClassDef)
            for node in ast.walk(cls)
            if isinstance(node, ast.AnnAssign)
            and _names_set(node.annotation)
            and isinstance(node.target, ast.Name | ast.Attribute)
        }
        self.functions = {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _names_set(node.returns)
        }

    def is_set(self, node: ast.expr) -> bool:
        match node:
            case ast.Set() | ast.SetComp():
                return True
            case ast.Call(func=ast.Name(id=name)):
                return name in {"set", "frozenset"} or name in self.functions
            case ast.Call(func=ast.Attribute(attr=name, value=value)):
                return name in self.functions or name in SET_METHODS or (name == "copy" and self.is_set(value))
            case ast.BinOp(left=left, op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), right=right):
                return any(self.is_set(side) or _is_keys(side) for side in (left, right))
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_set(body) or self.is_set(orelse)
            case ast.NamedExpr(value=value):
                return self.is_set(value)
            case ast.Name(id=name):
                return any(name in scope for scope in self.scopes)
            case ast.Attribute(attr=name):
                return name in self.attributes
            case _:
                return False

    def refuse(self, node: ast.expr) -> None:
        if self.is_set(node):
            self.found.append((node.lineno, "walks a set, whose order differs between processes: sorted(…) first"))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self.scopes.append({argument.arg for argument in arguments if _names_set(argument.annotation)})
        self.generic_visit(node)
        self.scopes.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name) and _names_set(node.annotation):
            self.scopes[-1].add(node.target.id)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                (self.scopes[-1].add if self.is_set(node.value) else self.scopes[-1].discard)(target.id)
            elif isinstance(target, ast.Tuple | ast.List):
                self.refuse(node.value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self.refuse(node.iter)
        self.generic_visit(node)

    def _visit_generators(self, node: ast.ListComp | ast.DictComp | ast.GeneratorExp) -> None:
        for generator in node.generators:
            self.refuse(generator.iter)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_generators(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_generators(node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        self.refuse(node.value)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        self.refuse(node.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node.func:
            case ast.Name(id=name) if name in ORDER_TAKING:
                walked = node.args
            case ast.Attribute(attr="join" | "extend"):
                walked = node.args
            case ast.Attribute(attr="pop", value=value) if not node.args and self.is_set(value):
                walked = [value]
            case _:
                walked = []
        for argument in walked:
            self.refuse(argument)
            if isinstance(argument, ast.GeneratorExp):
                for generator in argument.generators:
                    self.refuse(generator.iter)
        self.generic_visit(node)


def _is_keys(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"keys", "items"}


def _sets(module: Module) -> list[tuple[int, str]]:
    visitor = _Sets(module.tree)
    visitor.visit(module.tree)
    return visitor.found
