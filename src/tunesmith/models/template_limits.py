"""Limits for chat templates, which are programs of somebody else: how long one may run, and what it may make.

jinja2's sandbox keeps a template away from files and from Python's insides, but lets it compute for ever, and some of
what it computes holds Python's lock, so that neither a time limit nor Ctrl-C comes through. Here nothing that is one
operation can take long: numbers and texts are small enough, and methods and filters are those of a list. All that
repeats (loops, macros, calls) looks at the clock. So a template always ends, and no process has to be killed.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

from jinja2 import Template, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

MOST_TEXT = 1 << 24
"""Characters of any text that a template makes, and of all that it writes."""
_MOST_ITEMS = 1 << 20
_MOST_BITS = 4096
_MOST_SOURCE = 1 << 20
_WIDEST = 1 << 12
_WIDTH = re.compile(r"\d{5}|\*|\{[^{}]*:[^{}]*\{")
"""In the format of a text: a width of five digits, one that comes with the values, or one that is a field itself."""

_METHODS = frozenset({
    "capitalize", "casefold", "center", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isascii",
    "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip",
    "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit",
    "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill",
    "copy", "get", "items", "keys", "values", "is_integer",
})  # fmt: skip
"""Methods of texts, lists, dicts and numbers that templates may call."""
_FILTERS_OUT = ("urlize", "wordwrap", "striptags", "xmlattr", "pprint", "random", "filesizeformat", "urlencode")
"""Filters that take long for what they are given, and that no template of a model needs."""


class TooMuch(SecurityError):
    """A template makes something too large, or uses what it may not."""


class TooLong(Exception):
    """A template did not end in time."""


T = TypeVar("T")


class _Now(threading.local):
    deadline = float("inf")
    written = 0


_now = _Now()
_numbers = itertools.count()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Templates that are rendered in the block raise TooLong when they are not done in time."""
    before = _now.deadline, _now.written
    _now.deadline, _now.written = time.monotonic() + seconds, 0
    try:
        yield
    finally:
        _now.deadline, _now.written = before


def limit_templates() -> None:
    """Make transformers compile chat templates with limits, from now on and in the whole process."""
    from transformers.utils import chat_template_utils as library

    theirs: Any = library._compile_jinja_template
    if getattr(theirs, "limits", None) is None:
        library._compile_jinja_template = limited(theirs)


@lru_cache
def limited(compile_template: Callable[[str], Template]) -> Callable[[str], Template]:
    """transformers' function that compiles a template, with the limits put into the environment that it makes."""

    @lru_cache
    def compiled(source: str) -> Template:
        if len(source) > _MOST_SOURCE:
            raise TooMuch(f"a template of {len(source):,} characters")
        # an environment of its own, made for a comment: not even to compile the source itself is safe without limits
        environment = compile_template(f"{{# {next(_numbers)} #}}").environment
        environment.__class__ = _Limited
        environment.filters = {name: one for name, one in environment.filters.items() if name not in _FILTERS_OUT}
        environment.filters |= {name: _checked(environment.filters[name], check) for name, check in _CHECKS.items()}
        environment.filters["join"] = _whole_list(environment.filters["join"])
        environment.filters |= {"_step": _step, "_joined": _joined, "_made": _made, "_written": _written}
        environment.globals = {name: one for name, one in environment.globals.items() if name != "lipsum"}
        return environment.from_string(source)

    compiled.limits = True  # type: ignore[attr-defined]
    return compiled


class _Limited(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        _put_in(tree)
        tree.set_environment(self)
        return tree

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        if operator == "+" and type(left) is str and type(right) is str:  # most of what templates do
            if len(left) + len(right) > MOST_TEXT:
                raise TooMuch("a text without end")
            return left + right
        for value in (left, right):
            if type(value) is int and value.bit_length() > _MOST_BITS:
                raise TooMuch("a number of more than a thousand digits")
        if operator == "**":
            if isinstance(left, int) and isinstance(right, int) and left.bit_length() * max(right, 0) > _MOST_BITS:
                raise TooMuch(f"the power {right} of a number")
        elif operator == "*":
            for some, times in ((left, right), (right, left)):
                if isinstance(some, str | bytes | list | tuple) and isinstance(times, int):
                    _count(some, times)
        elif operator == "+":
            if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
                _count(left, 1, len(right))
        elif operator == "%" and isinstance(left, str | bytes) and _WIDTH.search(str(left)):
            raise TooMuch("a text that is formatted to such a width")
        made = super().call_binop(context, operator, left, right)
        return _sized(made) if isinstance(made, list | tuple) else made

    def call(__self, __context: Context, __obj: object, *args: object, **kwargs: object) -> object:
        _look_at_clock()
        if isinstance(__obj, types.BuiltinMethodType | types.MethodWrapperType) and not isinstance(
            getattr(__obj, "__self__", None), types.ModuleType | type
        ):
            _check_method(__obj, args)
        made = super().call(__context, __obj, *args, **kwargs)
        return _sized(made) if isinstance(made, dict) else made

    def wrap_str_format(self, value: object) -> Callable[..., str] | None:
        found = super().wrap_str_format(value)
        if found is None:
            return None
        source = str(getattr(value, "__self__", ""))

        def formatted(*args: object, **kwargs: object) -> str:
            if _WIDTH.search(source):
                raise TooMuch("a text that is formatted to such a width")
            return found(*args, **kwargs)

        return formatted


def _check_method(method: types.BuiltinMethodType | types.MethodWrapperType, args: tuple[object, ...]) -> None:
    """Raises TooMuch for a method of a built-in value that is not of the list, or whose result would be too large."""
    name = method.__name__
    own: Any = method.__self__
    if name not in _METHODS:
        raise TooMuch(f"the method {name} of a value")
    if name in ("center", "ljust", "rjust", "zfill"):
        _narrow(*args[:1])
    elif name == "replace" and len(args) >= 2:
        _check_replace(own, *args[:2])
    elif name == "join" and args and isinstance(args[0], list | tuple):
        _count(own, len(args[0]), sum(len(one) for one in args[0] if isinstance(one, str)))


def _check_replace(text: object, old: object, new: object) -> None:
    if isinstance(text, str) and isinstance(old, str) and isinstance(new, str):
        _count(new, text.count(old), len(text))


def _narrow(*numbers: object, **named: object) -> None:
    """Raises TooMuch for a width, number of parts or of digits that is too large."""
    for number in (*numbers, *named.values()):
        if isinstance(number, int | float) and abs(number) > _WIDEST:
            raise TooMuch(f"a width of {number:.4g}")
        if isinstance(number, str) and len(number) > _WIDEST:
            raise TooMuch("an indent of so many letters")


_CHECKS: dict[str, Callable[..., object]] = {
    **dict.fromkeys(
        ("center", "indent", "batch", "slice", "round", "tojson", "truncate"),
        lambda _, *args, **words: _narrow(*args, **words),
    ),
    "replace": lambda text, old="", new="", *_, **__: _check_replace(str(text), str(old), str(new)),
    "format": lambda text, *_, **__: _WIDTH.search(str(text)) and _refuse("a text that is formatted to such a width"),
    "int": lambda value, *_, **__: isinstance(value, str) and len(value) > _WIDEST and _refuse("such a long number"),
}
"""What is looked at before a filter runs."""


def _checked(filter_: Callable[..., object], check: Callable[..., object]) -> Callable[..., object]:
    passes = getattr(filter_, "jinja_pass_arg", None)

    def limited_filter(*args: object, **kwargs: object) -> object:
        check(*(args[1:] if passes is not None else args), **kwargs)
        return filter_(*args, **kwargs)

    if passes is not None:
        limited_filter.jinja_pass_arg = passes  # type: ignore[attr-defined]
    return limited_filter


def _whole_list(join: Callable[..., str]) -> Callable[..., str]:
    def limited_join(context: Context, value: Iterable[object], d: object = "", *args: object, **words: object) -> str:
        parts = list(value)
        _count(str(d), len(parts), sum(len(one) for one in parts if isinstance(one, str)))
        return join(context, parts, d, *args, **words)

    limited_join.jinja_pass_arg = join.jinja_pass_arg  # type: ignore[attr-defined]
    return limited_join


def _refuse(what: str) -> NoReturn:
    raise TooMuch(what)


def _put_in(tree: nodes.Template) -> None:
    """Let loops and macros look at the clock, and whatever makes or writes something look at its size."""
    repeated: Iterable[Any] = tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock))
    for node in repeated:
        constant = sum(len(text.data) for text in node.find_all(nodes.TemplateData))
        node.body.insert(0, nodes.ExprStmt(_filter(nodes.Const(constant), "_step"), lineno=node.lineno))
    for output in list(tree.find_all(nodes.Output)):
        output.nodes = [
            one if isinstance(one, nodes.TemplateData | nodes.Const) else _filter(one, "_written")
            for one in output.nodes
        ]
    _replace(tree)


def _replace(node: nodes.Node) -> None:
    """Literals of lists and dicts, and joined texts, go through filters that look at their size."""
    for name, value in list(node.iter_fields()):
        some = value if isinstance(value, list) else [value]
        made = []
        for one in some:
            if isinstance(one, nodes.Node):
                _replace(one)
                if isinstance(one, nodes.Concat):
                    one = _filter(nodes.List(one.nodes, lineno=one.lineno), "_joined")
                elif isinstance(one, nodes.List | nodes.Dict) or (isinstance(one, nodes.Tuple) and one.ctx == "load"):
                    full = one.items
                    one = _filter(one, "_made") if full and not _constant(one) else one
            made.append(one)
        setattr(node, name, made if isinstance(value, list) else made[0])


def _constant(node: nodes.Node) -> bool:
    return all(isinstance(one, nodes.Const | nodes.Pair) for one in node.iter_child_nodes()) and not any(
        not isinstance(part, nodes.Const) for pair in node.find_all(nodes.Pair) for part in pair.iter_child_nodes()
    )


def _filter(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@pass_context
def _step(_: Context, constant: int) -> str:
    """One round of a loop, or one call of a macro, that writes so many characters of its own."""
    _look_at_clock()
    _write(constant)
    return ""


@pass_context
def _joined(_: Context, parts: list[object]) -> str:
    texts = [one if isinstance(one, str) else str(one) for one in parts]
    _count("", 1, sum(map(len, texts)))
    return "".join(texts)


@pass_context
def _made(_: Context, value: object) -> object:
    return _sized(value)


@pass_context
def _written(_: Context, value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    _write(len(text))
    return text


def _write(count: int) -> None:
    _now.written += count
    if _now.written > MOST_TEXT and _now.deadline != float("inf"):
        raise TooMuch(f"more than {MOST_TEXT:,} characters")


def _look_at_clock() -> None:
    if time.monotonic() > _now.deadline:
        raise TooLong


def _count(some: Sized, times: int, more: int = 0) -> None:
    most = MOST_TEXT if isinstance(some, str | bytes) else _MOST_ITEMS
    if len(some) * max(times, 0) + more > most:
        raise TooMuch(f"something of {len(some) * max(times, 0) + more:,} parts")


def _sized(value: T) -> T:
    """`value`, if all that can be reached from it, each time that it can be, is not too much."""
    rest: list[object] = [value]
    seen = letters = 0
    while rest:
        one = rest.pop()
        seen += 1
        if isinstance(one, dict):
            rest.extend(one)
            rest.extend(one.values())
        elif isinstance(one, list | tuple):
            rest.extend(one)
        elif isinstance(one, str):
            letters += len(one)
        if seen + len(rest) > _MOST_ITEMS or letters > MOST_TEXT:
            raise TooMuch("lists of lists without end")
    return value
