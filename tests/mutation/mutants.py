"""Every small change of every function of a module.

Problem: the changes must be like mistakes that people make, few enough to run, and compile. How:
one visitor over the syntax tree offers the replacements of each node; a mutant is the module's tree
with one of them, and the code object of the outermost function around it.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_UNTOUCHED = ("__repr__",)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. `function`: qualified name of the outermost function that it is in."""

    path: Path
    function: str
    line: int
    change: str
    code: CodeType


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for name, function in _functions(tree, ""):
        if function.name in _UNTOUCHED:
            continue
        for place, node in enumerate(_inside(function)):
            for number, (_, change) in enumerate(_changes(node)):
                changed = copy.deepcopy(function)
                target = list(_inside(changed))[place]
                _replace(changed, target, list(_changes(target))[number][0])
                code = _compiled(tree, function, changed, path)
                if code is not None:
                    line = getattr(node, "lineno", function.lineno)
                    yield Mutant(path, name, line, change, code)


def marked(path: Path) -> Iterator[tuple[str, CodeType]]:
    """Each function of a module with code that first adds its place to the builtin `__called__`."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for name, function in _functions(tree, ""):
        changed = copy.deepcopy(function)
        changed.body[:0] = ast.parse(f"__called__.add({(str(path), name)!r})").body
        code = _compiled(tree, function, changed, path)
        if code is not None:
            yield name, code


def _functions(
    tree: ast.Module | ast.ClassDef, prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")


def _inside(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """Nodes of the body that may change: no annotation, no docstring, no text of an error (what is
    raised, or first named `detail`), and not whether `zip` is strict, which no right input shows.
    """
    waiting: list[ast.AST] = list(reversed(function.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.keyword) and node.arg == "strict" or _is_text_of_error(node):
            continue
        yield node
        if isinstance(node, ast.Raise):
            continue
        children: list[ast.AST] = []
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "format_spec"):
                continue
            found = value if isinstance(value, list) else [value]
            children += [child for child in found if isinstance(child, ast.AST)]
        waiting += reversed(children)


def _is_text_of_error(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "detail" for target in node.targets
    )


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Replacements of one node, each with a few words."""
    yield from _operator_changes(node)
    yield from _value_changes(node)
    yield from _flow_changes(node)


def _operator_changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.Compare(ops=[op, *_]) if type(op) in _COMPARISONS:
            other = _COMPARISONS[type(op)]
            new = copy.copy(node)
            new.ops = [other(), *node.ops[1:]]
            yield new, f"{ast.unparse(node)} -> {ast.unparse(new)}"
        case ast.BinOp(op=op) if type(op) in _OPERATORS:
            yield ast.BinOp(node.left, _OPERATORS[type(op)](), node.right), _told(node, op)
        case ast.AugAssign(op=op) if type(op) in _OPERATORS:
            yield ast.AugAssign(node.target, _OPERATORS[type(op)](), node.value), _told(node, op)
        case ast.BoolOp(op=op):
            other_op = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield ast.BoolOp(other_op, node.values), f"and/or in {_short(node)}"
        case ast.UnaryOp(op=ast.Not()) | ast.UnaryOp(op=ast.USub()):
            yield node.operand, f"without its sign or not: {_short(node)}"


def _value_changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value), f"{value} -> {not value}"
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1), f"{value} -> {value + 1}"
        case ast.Constant(value=str(value)):
            yield ast.Constant(f"{value}X"), f"{value!r} -> {value + 'X'!r}"
        case ast.Name(id=name, ctx=ast.Load()) if name in _NAMES:
            yield ast.Name(_NAMES[name], ast.Load()), f"{name} -> {_NAMES[name]}"


def _flow_changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.If() | ast.While():
            new = copy.copy(node)
            new.test = ast.UnaryOp(ast.Not(), node.test)
            yield new, f"not {_short(node.test)}"
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body), f"swapped: {_short(node)}"
        case ast.Return(value=ast.AST()) if not _is_none(node.value):
            yield ast.Return(ast.Constant(None)), f"return None, not {_short(node.value)}"
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
            if not isinstance(node.value, ast.Yield | ast.YieldFrom):
                yield ast.Pass(), f"without {_short(node)}"
        case ast.Break():
            yield ast.Continue(), "break -> continue"
        case ast.Continue():
            yield ast.Break(), "continue -> break"


def _is_none(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _told(node: ast.AST, op: ast.operator) -> str:
    return f"{type(op).__name__} -> {_OPERATORS[type(op)].__name__} in {_short(node)}"


def _short(node: ast.AST | None) -> str:
    return ast.unparse(node)[:90] if node is not None else ""


def _replace(root: ast.AST, target: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(root):
        for field, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, field, ast.copy_location(new, target))
                return
            if isinstance(value, list):
                for place, item in enumerate(value):
                    if item is target:
                        value[place] = ast.copy_location(new, target)
                        return


def _compiled(tree: ast.Module, function: ast.AST, changed: ast.AST, path: Path) -> CodeType | None:
    """The code of the changed function as its own module compiles it."""
    name, line = getattr(function, "name", ""), getattr(function, "lineno", 0)
    decorators = getattr(function, "decorator_list", [])
    first = min([line, *(one.lineno for one in decorators)])
    whole = _with(tree, function, changed)
    ast.fix_missing_locations(whole)
    try:
        code = compile(whole, str(path), "exec")
    except SyntaxError:
        return None
    waiting = [code]
    while waiting:
        found = waiting.pop()
        if found.co_name == name and found.co_firstlineno in (first, line):
            return found
        waiting += [const for const in found.co_consts if isinstance(const, CodeType)]
    return None


def _with(tree: ast.Module, function: ast.AST, changed: ast.AST) -> ast.Module:
    """The module with one function exchanged; the rest is shared, not copied."""

    def exchanged(body: list[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for node in body:
            if node is function:
                made.append(changed)  # type: ignore[arg-type]
            elif isinstance(node, ast.ClassDef):
                new = copy.copy(node)
                new.body = exchanged(node.body)
                made.append(new)
            else:
                made.append(node)
        return made

    return ast.Module(exchanged(tree.body), tree.type_ignores)
