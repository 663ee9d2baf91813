"""Server-side apply as Kubernetes documents it, on plain objects: who manages which field, and what conflicts.

https://kubernetes.io/docs/reference/using-api/server-side-apply/ . Lists count as atomic, which is what a custom
resource's lists are unless their definition says otherwise; `spec.canary` is one.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
Owners = dict[tuple[str, str], set[Path]]  # (manager, "Apply" or "Update") -> its fields
IDENTITY = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}
SERVERS = {"uid", "creationTimestamp", "generation", "resourceVersion", "managedFields"}


@dataclass
class Conflict(Exception):
    """Fields that other managers own with another value."""

    fields: list[tuple[str, Path]]


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    """Every field that holds no further fields, with its value."""
    if isinstance(value, dict) and value:
        return {place: leaf for key, part in value.items() for place, leaf in leaves(part, (*path, key)).items()}
    return {path: value} if path else {}


def managed(document: dict[str, Any]) -> dict[Path, Any]:
    """The fields that a manager can own."""
    found = leaves(document)
    return {
        path: value
        for path, value in found.items()
        if path not in IDENTITY and not (path[0] == "metadata" and (len(path) == 1 or path[1] in SERVERS))
    }


def apply(
    live: dict[str, Any], owners: Owners, manager: str, config: dict[str, Any], force: bool
) -> tuple[dict[str, Any], Owners]:
    """The object and its owners after `manager` applied `config`.

    Raises:
        Conflict: another manager owns a field with another value, and `force` is false.
    """
    wanted, now = managed(config), managed(live)
    others = {key: fields for key, fields in owners.items() if key != (manager, "Apply")}
    taken = [
        (owner, path)
        for (owner, _), fields in others.items()
        for path in sorted(fields & wanted.keys())
        if now.get(path) != wanted[path]
    ]
    if taken and not force:
        raise Conflict(taken)
    lost = {path for _, path in taken}
    others = {key: fields - lost for key, fields in others.items()}
    gone = owners.get((manager, "Apply"), set()) - wanted.keys() - set().union(*others.values())
    result = copy.deepcopy(live)
    for path in gone:
        _remove(result, path)
    for path, value in wanted.items():
        _set(result, path, copy.deepcopy(value))
    return result, {**{key: fields for key, fields in others.items() if fields}, (manager, "Apply"): set(wanted)}


def updated(live: dict[str, Any], owners: Owners, manager: str, result: dict[str, Any]) -> Owners:
    """The owners after `manager` changed the object in another way: what it changed is its own."""
    before, after = managed(live), managed(result)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    gone = before.keys() - after.keys()
    rest = {key: fields - changed - gone for key, fields in owners.items()}
    rest[manager, "Update"] = rest.get((manager, "Update"), set()) | changed
    return {key: fields for key, fields in rest.items() if fields}


def merged(value: Any, patch: Any) -> Any:
    """JSON merge patch, RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, part in patch.items():
        if part is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), part)
    return result


def fields_v1(owners: Owners, version: str) -> list[dict[str, Any]]:
    """`metadata.managedFields`."""
    entries = []
    for (manager, operation), fields in sorted(owners.items()):
        tree: dict[str, Any] = {}
        for path in sorted(fields):
            node = tree
            for part in path:
                node = node.setdefault(f"f:{part}", {})
        entries.append(
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": version,
                "fieldsType": "FieldsV1",
                "fieldsV1": tree,
            }
        )
    return entries


def _set(document: dict[str, Any], path: Path, value: Any) -> None:
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value


def _remove(document: dict[str, Any], path: Path) -> None:
    """Removes a field, and the objects around it that it leaves empty."""
    inner = document.get(path[0])
    if len(path) == 1:
        document.pop(path[0], None)
    elif isinstance(inner, dict):
        _remove(inner, path[1:])
        if not inner:
            document.pop(path[0])
