"""YAML as scenarios use it: duplicate keys refused, no surprising types; and how a fault is put into words."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Collection

import yaml


class ScenarioError(ValueError):
    """A scenario is wrong. `errors` lists every fault, each with its path, the value and the fix."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class _Loader(yaml.SafeLoader):
    """SafeLoader in which ``off``, ``2016-06-21`` and ``22:00`` stay text; notes duplicate keys in `repeated`."""

    repeated: list[str]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                self.repeated.append(f"line {line}: the key {show(key)} is not a name; put it in quotes")
            elif key in seen:
                self.repeated.append(f"line {line}: {key!r} stands twice in one mapping; keep one")
            else:
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


_SURPRISING = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag not in _SURPRISING]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))


def read_yaml(text: str | bytes, label: str) -> tuple[object, list[str]]:
    """The value of YAML text, and its faults that leave a value. Raises ScenarioError if there is none.

    `label` names the text in the error.
    """
    try:
        loader = _Loader(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
        loader.repeated = []
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise ScenarioError([f"{label}: is not UTF-8 text (byte {error.start}); save it as UTF-8"]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ScenarioError([f"{label}: {where}is not YAML ({error.problem or error.context}); correct it"]) from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ScenarioError([f"{label}: is not YAML ({reason}); is it a scenario?"]) from error
    return value, loader.repeated


def show(value: object) -> str:
    """A short text of any value."""
    return reprlib.repr(value)


def hint(wrong: object, known: Collection[str]) -> str:
    """What to write instead of a name that is not known."""
    near = difflib.get_close_matches(wrong, known, 1, 0.5) if isinstance(wrong, str) else []
    if near:
        return f"did you mean {near[0]!r}?"
    some = sorted(known)
    listed = ", ".join(some[:12]) + (f" and {len(some) - 12} more" if len(some) > 12 else "")
    return f"known are {listed}" if some else "there is none"
