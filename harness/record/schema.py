"""The published JSON Schema of a ledger's lines and of what commands write with `--json`, made from the types.

python -m harness.record.schema > harness/record/schema.json
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.record.kinds import KINDS
from harness.record.ledger import SCHEMA
from harness.record.outputs import OUTPUTS
from harness.record.read import import_msgspec

SCHEMA_FILE = Path(__file__).with_name("schema.json")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NUMBER = {
    "description": 'A number, or the word for one that JSON has not: "nan", "inf", "-inf".',
    "anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}],
}


def json_schema() -> dict[str, Any]:
    """All of it. `#/$defs/line` is a line of a ledger; an output has its type's name, as in `#/$defs/CheckOutput`."""
    record_types = [type_ for types in KINDS.values() for type_ in types]
    _, components = import_msgspec().json.schema_components(
        [*record_types, *OUTPUTS], ref_template="#/$defs/{name}"
    )  # fmt: skip
    definitions = {name: with_words(component) for name, component in components.items()}
    for type_ in OUTPUTS:
        name_schema(definitions[type_.__name__])
    lines = {
        f"Line.{kind}.{type_.__name__}": line(kind, definitions[type_.__name__])
        for kind, types in KINDS.items()
        for type_ in types
    }
    return {
        "$schema": DIALECT,
        "title": SCHEMA,
        "description": "A line of a ledger, or what a command of bnproof writes with --json.",
        "anyOf": [ref("line"), *(ref(type_.__name__) for type_ in OUTPUTS)],
        "$defs": {
            "line": {"description": "A line of a ledger, by its type.", "anyOf": [ref(name) for name in lines]},
            **lines,
            **dict(sorted(definitions.items())),
            "Number": NUMBER,
        },
    }


def line(kind: str, record: dict[str, Any]) -> dict[str, Any]:
    """The schema of a record as a line of a ledger: with its type."""
    properties = {"type": {"const": kind}} | record["properties"]
    made = record | {"properties": properties, "required": ["type", *record["required"]]}
    if kind == "header":
        name_schema(made)
    return made


def name_schema(component: dict[str, Any]) -> None:
    """A field "schema" holds the name of this one."""
    if "schema" in component["properties"]:
        component["properties"]["schema"] = {"const": SCHEMA}


def with_words(schema: Any) -> Any:
    """`schema` with "nan", "inf" and "-inf" allowed where a number stands."""
    if schema == {"type": "number"}:
        return ref("Number")
    if isinstance(schema, dict):
        if schema.get("type") == "number":
            return ref("Number") | {name: value for name, value in schema.items() if name != "type"}
        return {name: with_words(value) for name, value in schema.items()}
    if isinstance(schema, list):
        return [with_words(item) for item in schema]
    return schema


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def as_text() -> str:
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(as_text(), end="")
