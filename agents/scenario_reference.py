"""The reference of scenario files, generated from the models: it cannot say what the code does not do."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from agents.scenario_units import Unit

SCENARIO = """# Scenario reference

A scenario is a YAML file. Fields without a default must be given; unknown fields are refused. Where the unit
says so, a value is text with its unit (`32 ct/kWh`, `15 min`); a pair `[least, most]` lets each member of
the group draw its own value from between the two. Relative paths start at the folder of the scenario file.
"""
LABORATORY = """# Laboratory reference

A [laboratory](laboratory.md) is a YAML file with `kind: laboratory`. Fields without a default must be given; unknown
fields are refused. Prices are plain whole numbers.
"""


def markdown(model: type[BaseModel], heading: str = SCENARIO) -> str:
    """One table for each section of `model`: field, type, unit, default and meaning."""
    parts = heading.split("\n")
    for path, section in _sections(model, ""):
        parts += [f"## {path or 'Top level'}", "", section.__doc__ or "", ""]
        parts += ["| field | type | unit | default | meaning |", "|---|---|---|---|---|"]
        parts += [_row(field.alias or name, field) for name, field in section.model_fields.items()]
        parts.append("")
    return "\n".join(parts)


def _sections(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        inner = list(_models(field.annotation))
        if inner:
            many = "[]" if _is_list(field.annotation) else ""
            yield from _sections(inner[0], f"{path}.{name}{many}" if path else f"{name}{many}")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        if not isinstance(inner, FieldInfo):
            yield from _models(inner)


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType, Annotated):
        return any(_is_list(inner) for inner in get_args(annotation))
    return origin is tuple


def _row(name: str, field: FieldInfo) -> str:
    unit, kind = _unit(field), _type(field.annotation)
    if unit and kind == "whole number":
        kind = "text"
    cells = (f"`{name}`", kind, unit, _default(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _unit(field: FieldInfo) -> str:
    """The unit from the annotated type, wherever in it the unit stands."""
    found = [item.text for item in field.metadata if isinstance(item, Unit)]
    pending = [field.annotation]
    while pending and not found:
        annotation = pending.pop()
        found = [item.text for item in getattr(annotation, "__metadata__", ()) if isinstance(item, Unit)]
        pending.extend(inner for inner in get_args(annotation) if not isinstance(inner, str | int))
    return found[0] if found else ""


def _type(annotation: Any) -> str:
    names = {int: "whole number", float: "number", str: "text", bool: "true or false", dict: "mapping"}
    if annotation in names:
        return names[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(item) for item in inner if item is not type(None))
    if origin is tuple:
        return f"list of {_type(inner[0])}" if Ellipsis in inner else f"pair of {_type(inner[0])}s"
    if origin is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {"Range": "number or pair", "PriceRange": "price or pair", "ExportLimit": "limit"}[annotation.__name__]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    annotation: Any = field.annotation
    kind: Any = Annotated[(annotation, field)]
    default = field.get_default(call_default_factory=True)
    value = TypeAdapter(kind).dump_python(default, mode="json", exclude_defaults=True, warnings=False)
    if value in (None, {}, [], ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`".replace("'", "")
