"""What pydantic found wrong, in plain English: file, line, dotted key, and the nearest valid key."""

import difflib
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from caffdet_cli.settings.config import Config
from caffdet_cli.settings.files import Said, Source, Tree, leaves
from caffdet_cli.settings.lines import lines_of

_MOST = 20  # problems that are spelt out

_WRONG_TYPE = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text in quotes",
    "tuple": "a list",
    "list": "a list",
    "model": "a table of settings",
    "dict": "a table of settings",
}
_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


class Problem(NamedTuple):
    """One thing that is wrong, and where it was said."""

    source: Source
    line: int | None
    text: str


def explain(error: ValidationError, tree: Tree) -> str:
    """All problems of a configuration, grouped by the file that made them."""
    found = [(_place(details, tree), details) for details in error.errors(include_url=False)]
    found.sort(key=lambda one: (-one[0].source.rank, one[0].source.label, one[0].line or 0))
    problems = [place._replace(text=_sentence(details, tree)) for place, details in found[:_MOST]]
    return report([*problems, *(place for place, _ in found[_MOST:])])


def report(problems: Sequence[Problem]) -> str:
    """One problem on one line, several as a list under the file's name."""
    if len(problems) == 1:
        source, line, text = problems[0]
        return f"{source.label}: {_with_line(line, text)}"
    blocks = []
    for name, group in groupby(problems[:_MOST], key=lambda one: one.source.label):
        count = sum(one.source.label == name for one in problems)
        blocks += [f"{name}: {count} problem(s)", *(f"  {_with_line(one.line, one.text)}" for one in group)]
    if len(problems) > _MOST:
        blocks.append(f"  and {len(problems) - _MOST} more")
    return "\n".join(blocks)


def _place(details: ErrorDetails, tree: Tree) -> Problem:
    """A problem without its text, which takes long to find and is wanted of the first ones only."""
    keys = _keys(details, tree)
    source = _source(keys, tree)
    lines = lines_of(source.text)
    line = lines.get(keys) or lines.get(keys[:-1])  # of a missing key, its table's
    return Problem(source, line, "")


def _sentence(details: ErrorDetails, tree: Tree) -> str:
    """`train.epochs = 0: must be at least 1`."""
    keys = _keys(details, tree)
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    place = ".".join(keys) + "".join(f"[{item}]" for item in details["loc"] if isinstance(item, int))
    if kind == "extra_forbidden":
        return f"{place}: {_unknown(keys, tree)}"
    if kind == "missing":
        return f"{place}: must be given"
    if kind in ("union_tag_invalid", "literal_error") and "[key]" not in details["loc"]:
        field = ".name" if kind == "union_tag_invalid" else ""
        said = context["tag"] if field else value
        return f"{place}{field} = {_shown(said)}: {_one_of(said, context)}"
    if kind == "literal_error":
        return f"{place}: {_one_of(keys[-1] if keys else '', context)}"
    if kind == "union_tag_not_found":
        return f"{place}: say which kind it is: {place}.name = {_choices(_tags(keys, tree))}"
    if kind == "value_error" and isinstance(value, dict):  # a rule between the settings of a table
        return f"{place}: {_reason(kind, context, value, details['msg'])}"
    return f"{place} = {_shown(value)}: {_reason(kind, context, value, details['msg'])}"


def _reason(kind: str, context: dict[str, Any], value: object, message: str) -> str:
    """Why a value does not do."""
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return f"must be {words} {context[name]:g}"
    if kind in ("too_short", "too_long"):
        words, limit = ("at least", "min_length") if kind == "too_short" else ("at most", "max_length")
        return f"must have {words} {context[limit]} entries, has {context['actual_length']}"
    if kind == "value_error":
        return str(context.get("error", message))
    if kind == "int_from_float":
        return "must be a whole number"
    wanted = _WRONG_TYPE.get(kind.split("_")[0])
    if wanted == "a list" and isinstance(value, str) and value.startswith("["):
        return 'must be a list; the shell takes quotes away, write --set \'KEY=["a", "b"]\''
    return f"must be {wanted}" if wanted else message.replace("Input should be", "must be").replace("Input ", "")


def _unknown(keys: tuple[str, ...], tree: Tree) -> str:
    """What to say about a key that does not exist: the nearest one here, the same one elsewhere, or all of them."""
    *above, key = keys
    table = _settings(above, tree)
    known = list(table.model_fields) if table else []
    tags = _tags(above, tree)
    whose = f" of {above[-1]} {_name(above, tree)!r}" if len(tags) > 1 else ""
    if near := difflib.get_close_matches(key, known, n=1):
        return f"unknown setting{whose}; did you mean {near[0]!r}?"
    if owners := [tag for tag, owner in tags.items() if key in owner.model_fields]:
        return f"unknown setting{whose}; {'.'.join(above)}.name = {_choices(owners)} has it"
    if elsewhere := sorted(
        dotted for dotted in _all_keys(tree) if dotted.split(".")[-1] == key and dotted != ".".join(keys)
    ):
        return f"unknown setting{whose}; did you mean {_choices(elsewhere[:3])}?"
    return f"unknown setting{whose}; known here: {', '.join(known)}"


def _one_of(said: object, context: dict[str, Any]) -> str:
    """`must be 'a' or 'b'; did you mean 'a'?`."""
    text = str(context.get("expected") or context.get("expected_tags"))
    words = [word.strip().strip("'") for word in text.replace(" or ", ", ").split(",")]
    near = difflib.get_close_matches(str(said), words, n=1)
    listed = text if " or " in text else " or ".join(text.rsplit(", ", 1))
    return f"must be {listed}" + (f"; did you mean {near[0]!r}?" if near else "")


def _keys(details: ErrorDetails, tree: Tree) -> tuple[str, ...]:
    """The path of keys in the file; pydantic's own path also names the kind of each table it went through."""
    node: Any = tree
    keys: list[str] = []
    last = len(details["loc"]) - 1
    for index, item in enumerate(details["loc"]):
        if not isinstance(item, str) or item == "[key]":
            break
        if isinstance(node, dict) and (item in node or (index == last and details["type"] == "missing")):
            keys.append(item)
            node = node.get(item)
    return tuple(keys)


def _source(keys: tuple[str, ...], tree: Tree) -> Source:
    """Who said the value, or of a whole table who had the last word about it."""
    node: Any = tree
    above: Any = tree
    for key in keys:
        above, node = node, node.get(key) if isinstance(node, dict) else None
    if isinstance(node, Said):
        return node.source
    said = [one.source for _, one in leaves(node or above)] or [one.source for _, one in leaves(tree)]
    return max(said, key=lambda source: source.rank)


def _annotation(keys: Sequence[str], tree: Tree) -> tuple[Any, Any]:
    """The declared type of a table, and the table itself."""
    declared: Any = Config
    node: Any = tree
    for key in keys:
        if get_origin(declared) is dict:
            declared = get_args(declared)[1]
        else:
            table = _chosen(declared, node)
            declared = table.model_fields[key].annotation if table and key in table.model_fields else None
        node = node.get(key) if isinstance(node, dict) else None
    return declared, node


def _settings(keys: Sequence[str], tree: Tree) -> type[BaseModel] | None:
    return _chosen(*_annotation(keys, tree))


def _chosen(declared: Any, node: Any) -> type[BaseModel] | None:
    """The settings class that a table is read as: of a union the one with the table's name."""
    classes = list(_classes(declared))
    said = node.get("name") if isinstance(node, dict) else None
    for one in classes:
        if len(classes) == 1 or (isinstance(said, Said) and _tag(one) == said.value):
            return one
    return None


def _tags(keys: Sequence[str], tree: Tree) -> dict[str, type[BaseModel]]:
    """Kinds that the table at `keys` may be, by name; empty where there is only one."""
    declared, _ = _annotation(keys, tree)
    classes = list(_classes(declared))
    return {_tag(one): one for one in classes} if len(classes) > 1 else {}


def _tag(settings: type[BaseModel]) -> str:
    return str(settings.model_fields["name"].default)


def _classes(declared: Any) -> Iterator[type[BaseModel]]:
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        yield declared
    elif get_origin(declared) not in (dict, Literal):
        for argument in get_args(declared):
            yield from _classes(argument)


def _name(keys: Sequence[str], tree: Tree) -> str:
    _, node = _annotation(keys, tree)
    said = node.get("name") if isinstance(node, dict) else None
    return str(said.value) if isinstance(said, Said) else ""


def _all_keys(tree: Tree) -> set[str]:
    """Dotted keys of all tables and values."""
    return {".".join(path[:length]) for path, _ in leaves(tree) for length in range(1, len(path) + 1)}


def _choices(words: Any) -> str:
    return " or ".join(repr(word) for word in words)


def _shown(value: object) -> str:
    """A value as a TOML file has it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _with_line(line: int | None, text: str) -> str:
    return f"line {line}: {text}" if line else text
