"""JSON schemas of requests and answers: what the parsers check, said for machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from souk.ingest import checks
from souk.schema import TABLES, EventType, Kind
from souk.serving.fields import END_OF_TIME, ID_LENGTH, WIDEST
from souk.serving.filters import MAX_VALUES, filterable
from souk.serving.protocol.tensors import INPUTS, OUTPUTS
from souk.serving.request import (
    MAX_CANDIDATES,
    MAX_EVENTS,
    MAX_EXCLUDE,
    MAX_INSTANCES,
    MAX_TIMEOUT_MS,
    SUBJECTS,
)
from souk.serving.stated import LONGEST
from souk.serving.subjects import MAX_EXPLAINED
from souk.spec import FeatureSpec, Role

Schema = dict[str, Any]
MAX_ROWS = 1000  # of items or events in a call


def ref(name: str) -> Schema:
    """A schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def fields(properties: Mapping[str, Schema], required: Iterable[str] = (), said: str = "", **more: Any) -> Schema:
    """An object without any other field."""
    made: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False, **more}
    if required:
        made["required"] = list(required)
    return made | ({"description": said} if said else {})


def several(entries: Schema, most: int | None = None, least: int = 0, said: str = "") -> Schema:
    """A list."""
    bounds = ({"minItems": least} if least else {}) | ({"maxItems": most} if most else {})
    return {"type": "array", "items": entries, **bounds} | ({"description": said} if said else {})


def optional(schema: Schema) -> Schema:
    """Or null, which is the same as leaving it out."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    said = {"description": schema["description"]} if "description" in schema else {}
    return {"anyOf": [{k: v for k, v in schema.items() if k != "description"}, {"type": "null"}], **said}


def identifier(said: str = "") -> Schema:
    """The id of a user, an item or an event."""
    made: Schema = {"type": "string", "minLength": 1, "maxLength": ID_LENGTH, "pattern": r"\S"}  # it is trimmed
    return made | ({"description": said} if said else {})


def whole(least: int, most: int, said: str = "") -> Schema:
    """A whole number within bounds."""
    made: Schema = {"type": "integer", "minimum": least, "maximum": most}
    return made | ({"description": said} if said else {})


def number(said: str = "", most: float = checks.LARGEST) -> Schema:
    """A number whose square float32 can hold, or `most`."""
    made: Schema = {"type": "number", "exclusiveMinimum": -most, "exclusiveMaximum": most}
    return made | ({"description": said} if said else {})


MOMENT: Schema = {
    "type": "number",
    "minimum": 0,
    "exclusiveMaximum": END_OF_TIME,
    "description": "UTC epoch milliseconds, no seconds, of which fractions are cut; the server's clock without it.",
}
ROW_NUMBER: Schema = {"type": "number", "minimum": -checks.LARGEST, "maximum": checks.LARGEST}  # of items and events
ROW_WHOLE = whole(1 - 2**53, 2**53 - 1)  # that one with a point (`3.0`) tells exactly
ROW_TYPES: dict[str, Schema] = {
    "int64": ROW_WHOLE,
    "double": ROW_NUMBER,
    "bool": {"type": "boolean"},
}
EVENT_TYPE: Schema = {"type": "string", "enum": [str(kind) for kind in EventType]}


def of_stated(kind: Kind, width: int | None) -> Schema:
    """A value of a declared column that a request states."""
    word: Schema = {"type": "string", "maxLength": LONGEST}
    if kind is Kind.VECTOR:
        return several(number(), most=width, least=width or 0)
    if kind is Kind.LIST:
        return several(word)
    return number() if kind is Kind.NUMERIC else word


def of_kind(kind: Kind, width: int | None, text: Schema) -> Schema:
    """A value of a declared column in a row of items or events, whose texts are `text`."""
    if kind is Kind.VECTOR:
        return several(ROW_NUMBER, most=width, least=width or 0)
    if kind is Kind.LIST:
        return several({"type": "string"})
    return ROW_NUMBER if kind is Kind.NUMERIC else text


def row(table: str, spec: FeatureSpec, required: Iterable[str], longest: int | None = None) -> Schema:
    """A row of the items or the events table: the columns of the contract, and the declared ones; `longest` is what
    their texts may have of characters."""
    text: Schema = {"type": "string", **({"maxLength": longest} if longest else {})}
    kinds: Mapping[str, Kind] = getattr(spec.columns, table)
    widths = spec.columns.widths_of(table)
    properties = {name: optional(of_kind(kind, widths.get(name), text)) for name, kind in sorted(kinds.items())}
    for column in TABLES[table]:
        bounds = {"minimum": column.minimum, "maximum": column.maximum}
        bound = {name: limit for name, limit in bounds.items() if limit is not None}
        own: Schema = {**ROW_TYPES.get(column.type, text), **bound}
        if column.name == "event_type":
            own = EVENT_TYPE
        elif column.name in required:
            own = identifier() if column.type == "string" else own
        properties[column.name] = own if column.name in required else optional(own)
    return fields(properties, required)


def stated(table: str, spec: FeatureSpec, said: str) -> Schema:
    """Values of the declared columns of a table."""
    kinds: Mapping[str, Kind] = getattr(spec.columns, table)
    widths = spec.columns.widths_of(table)
    properties = {name: optional(of_stated(kind, widths.get(name))) for name, kind in sorted(kinds.items())}
    return fields(properties, said=f"{said} One of another type does not count, and is named in `degraded`.")


def conditions(spec: FeatureSpec) -> Schema:
    """What a request may ask of the columns of items."""
    word: Schema = {"anyOf": [identifier(), {"type": "boolean"}]}
    words = {"anyOf": [*word["anyOf"], several(word, MAX_VALUES, 1)]}
    bounds = fields({name: optional(number(most=WIDEST)) for name in ("min", "max")})
    columns = filterable(spec).items()
    properties = {name: optional(bounds if f.role is Role.NUMBER else words) for name, f in sorted(columns)}
    return fields(properties, said="Conditions on declared columns of items, all of which hold.")


def of_requests(spec: FeatureSpec, slate_size: int, max_slate_size: int) -> dict[str, Schema]:
    """The bodies of `:predict`, `:explain`, `/v1/items:upsert`, `/v1/events` and the V2 call, by name."""
    event = fields(
        {
            "item_id": identifier(),
            "event_type": EVENT_TYPE,
            "timestamp": optional(MOMENT),
            "value": optional(number("Of a rating, say; a hide with 0 is taken back.")),
            "event_id": optional(identifier()),
            "dwell_seconds": optional(number()),
            "context": optional(ref("Context")),
        },
        ("item_id", "event_type"),
        "What the user did.",
    )
    instance = {
        "user_id": optional(identifier("Who asks. One who is not known gets a slate too.")),
        "item_id": optional(identifier("Alone: items like it are asked for.")),
        "events": optional(
            several(ref("Event"), MAX_EVENTS, 0, "Since the user states were written; alone: a session.")
        ),
        "k": optional(whole(1, max_slate_size, f"Items wanted; {slate_size} without it.")),
        "timestamp": optional(MOMENT),
        "timeout_ms": optional(whole(1, MAX_TIMEOUT_MS, "How long the answer may take.")),
        "context": optional(ref("Context")),
        "profile": optional(ref("Profile")),
        "exclude": optional(several(identifier(), MAX_EXCLUDE, 0, "Items that must not appear.")),
        "candidates": optional(several(identifier(), MAX_CANDIDATES, 1, "The only items that may appear.")),
        "filter": optional(ref("Filter")),
    }
    asked = [{"required": [name]} for name in SUBJECTS]
    explained = {**instance, "item_id": optional(identifier("The item to explain; the first of the slate without it."))}
    tensor = fields(
        {
            "name": {"type": "string", "enum": list(INPUTS)},
            "datatype": {"type": "string", "enum": sorted({t for types in INPUTS.values() for t in types})},
            "shape": several({"type": "integer", "minimum": 0}, 2, 1),
            "data": several({}),
            "parameters": {"type": "object"},
        },
        ("name", "datatype", "shape", "data"),
    )
    output = fields({"name": {"type": "string", "enum": list(OUTPUTS)}, "parameters": {"type": "object"}}, ("name",))
    v2 = {"id": {"type": "string"}, "parameters": {"type": "object"}, "inputs": several(ref("Tensor"), least=1)}
    return {
        "Context": stated("events", spec, "The declared event columns of this moment."),
        "Profile": stated(
            "users", spec, "Declared columns of the user, for this request only, in the place of the store's."
        ),
        "Filter": conditions(spec),
        "Event": event,
        "Instance": fields(instance, said="A request of a user, a session or an item.", anyOf=asked),
        "ExplainInstance": fields(explained, anyOf=[{"required": ["user_id"]}, {"required": ["events"]}]),
        "PredictRequest": fields({"instances": several(ref("Instance"), MAX_INSTANCES, 1)}, ("instances",)),
        "ExplainRequest": fields({"instances": several(ref("ExplainInstance"), MAX_EXPLAINED, 1)}, ("instances",)),
        "ItemRow": row("items", spec, ("item_id",)),
        "ItemsRequest": fields({"items": several(ref("ItemRow"), MAX_ROWS, 1)}, ("items",)),
        "EventRow": row("events", spec, ("event_id", "user_id", "item_id", "event_type", "timestamp"), ID_LENGTH),
        "EventsRequest": {
            "anyOf": [ref("EventRow"), fields({"events": several(ref("EventRow"), MAX_ROWS, 1)}, ("events",))]
        },
        "Tensor": tensor,
        "InferRequest": fields({**v2, "outputs": several(output)}, ("inputs",)),
    }


def of_answers() -> dict[str, Schema]:
    """What the routes answer, by name. Later versions may add fields."""
    text: Schema = {"type": "string"}
    real: Schema = {"type": "number"}
    count: Schema = {"type": "integer", "minimum": 0}
    item: dict[str, Schema] = {
        "item_id": text,
        "title": text,
        "score": {**real, "description": "What the slate is ordered by, within one source."},
        "scores": {"type": "object", "additionalProperties": real, "description": "Probability by objective."},
        "source": {**text, "description": "What brought it, with + between several."},
        "position": {**count, "description": "From 0, best first."},
        "propensity": {"type": "number", "minimum": 0, "maximum": 1},
    }
    slate = {
        "request_id": text,
        "user_id": optional(text),
        "release": text,
        "arm": text,
        "items": several(ref("SlateItem")),
        "degraded": several(text, said="What the answer had to do without, or why it is empty (docs/serving.md)."),
    }
    part: dict[str, Schema] = {"contribution": {**real, "description": "To the logarithm of the score."}}
    value: Schema = {
        "type": ["number", "string", "array", "null"],
        "items": {"type": ["number", "string"]},
        "description": "Of a match (match:...) the words in common. Null where it, or one of the two, is missing.",
    }
    explanation: dict[str, Schema] = {
        **dict.fromkeys(("item_id", "title", "release", "source"), text),
        **dict.fromkeys(("score", "baseline", "log_score", "log_baseline"), real),
        **dict.fromkeys(("completeness_gap", "completeness_share"), real),
        "user_id": optional(text),
        "position": optional(count),
        "position_by_score": optional(count),
        "sentences": several(text),
        "events": several(
            open_object({"item_id": text, "title": text, "event_type": text, "timestamp": count, **part})
        ),
        "features": several(open_object({"name": text, "meaning": text, "value": value, **part})),
        "steps": count,
        "degraded": several(text),
    }
    refused: dict[str, Schema] = {"row": count, "reason": text}
    tensor: dict[str, Schema] = {"name": text, "datatype": text, "shape": several(count), "data": several({})}
    taken = {"accepted": count, "duplicates": count, "pending": count} | {
        "refused": several(open_object(refused)),
        "release": text,
    }
    return {
        "SlateItem": open_object(item),
        "Slate": open_object(slate),
        "PredictResponse": open_object({"predictions": several(ref("Slate"))}),
        "Explanation": open_object(explanation),
        "ExplainResponse": open_object({"explanations": several(ref("Explanation"))}),
        "ItemsResponse": open_object(
            {
                "accepted": count,
                "created": count,
                "ended": count,
                "refused": several(open_object(refused)),
                "release": text,
            }
        ),
        "EventsResponse": open_object(taken),
        "EventsError": {
            "allOf": [ref("Error"), {"type": "object", "properties": taken}],
            "description": "Of a single event that is refused it has the fields of EventsResponse, too.",
        },
        "InferResponse": open_object({"model_name": text, "id": text, "outputs": several(open_object(tensor))}),
        "Error": open_object({"error": {**text, "description": "Expected …. Received: …. And the remedy."}}),
    }


def open_object(properties: Mapping[str, Schema]) -> Schema:
    """An object of an answer: all of these fields, and maybe others."""
    return {"type": "object", "properties": dict(properties), "required": list(properties)}
