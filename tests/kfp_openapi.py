"""The API of Kubeflow Pipelines (v2beta1) as published: read from the client that is generated from its OpenAPI file.

kfp_server_api has a method for each operation, with its path, its HTTP method, its parameters and the model of its
body, and a class for each model, with the names and types of its fields. Nothing of the API is written down here again.
"""

import ast
import functools
import inspect
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import kfp_server_api
from kfp_server_api import models

PRIMITIVES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}


class Invalid(Exception):
    """A request that the published API does not know."""


@dataclass(frozen=True)
class Operation:
    """One operation: `name` is the client's method, `path` has parameters in braces, `query` maps others to types."""

    name: str
    method: str
    path: str
    query: dict[str, str]
    body: str
    upload: bool
    answer: str

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The parameters in `path`, None where the operation is another one."""
        words = re.split(r"\{([\w.]+)\}", self.path)  # every second one is the name of a parameter
        groups = [f"(?P<{w.replace('.', '_')}>[^/:]+)" if i % 2 else re.escape(w) for i, w in enumerate(words)]
        found = re.fullmatch("".join(groups), path)
        return found.groupdict() if found and method == self.method else None


@functools.cache
def operations() -> tuple[Operation, ...]:
    """Every operation of the published API; those with fixed words in their path before those with parameters."""
    folder = Path(inspect.getfile(kfp_server_api)).parent / "api"
    trees = (ast.parse(path.read_text("utf-8")) for path in sorted(folder.glob("*_api.py")))
    functions = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    found = [_operation(node) for node in functions if node.name.endswith("_with_http_info")]
    return tuple(sorted(found, key=lambda operation: operation.path.count("{")))


def _operation(function: ast.FunctionDef) -> Operation:
    types = dict(re.findall(r":type (\w+): (\S+)", ast.get_docstring(function) or ""))
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    [call] = [node for node in calls if node.func.attr == "call_api"]  # type: ignore[attr-defined]
    path, method = (ast.literal_eval(argument) for argument in call.args[:2])
    answer = {keyword.arg: keyword.value for keyword in call.keywords}["response_type"]
    appended = [node for node in calls if ast.unparse(node.func) == "query_params.append"]
    query = [node.args[0].elts[0].value for node in appended]  # type: ignore[attr-defined]
    bodies = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    body = [node.value for node in bodies if ast.unparse(node.targets[0]) == "body_params"]
    named = next((node.slice.value for node in body if isinstance(node, ast.Subscript)), "")  # type: ignore[attr-defined]
    return Operation(
        name=function.name.removesuffix("_with_http_info"),
        method=method,
        path=path,
        query={name: types[name] for name in query},
        body=types.get(named, ""),
        upload=types.get("uploadfile") == "file",
        answer=ast.literal_eval(answer) or "",
    )


def find(method: str, path: str) -> tuple[Operation, dict[str, str]]:
    """The operation of a request and the parameters in its path.

    Raises:
        Invalid: there is no such path, or not with this method.
    """
    for operation in operations():
        parameters = operation.match(method, path)
        if parameters is not None:
            return operation, parameters
    raise Invalid(f"no operation {method} {path}")


def check_query(operation: Operation, query: dict[str, str]) -> None:
    """Refuses a query parameter that the operation does not have, or one of another type."""
    for name, value in query.items():
        if name not in operation.query:
            raise Invalid(f"{operation.name} has no query parameter {name!r}")
        if operation.query[name] == "int" and not re.fullmatch(r"-?\d+", value):
            raise Invalid(f"query parameter {name} is not a number: {value!r}")


def check(value: Any, kind: str, where: str = "body") -> None:
    """Refuses a JSON value that is not of the published type `kind`: a primitive, list[T], dict(str, T), or a model."""
    if kind == "object":
        return
    if kind in PRIMITIVES:
        wrong = isinstance(value, bool) and kind != "bool"
        if wrong or not isinstance(value, PRIMITIVES[kind]):
            raise Invalid(f"{where} is not {kind}: {value!r}")
    elif kind == "datetime":
        datetime.fromisoformat(value)
    elif kind.startswith("list["):
        for index, item in enumerate(_of(value, list, where)):
            check(item, kind[5:-1], f"{where}[{index}]")
    elif kind.startswith("dict("):
        for key, item in _of(value, dict, where).items():
            check(item, kind[5:-1].partition(", ")[2], f"{where}[{key}]")
    else:
        _check_model(value, getattr(models, kind), where)


def _check_model(value: Any, model: Any, where: str) -> None:
    if not model.openapi_types:  # an enumeration, or a message without fields
        allowed = {name for name in vars(model) if name.isupper()}
        if allowed and value not in allowed:
            raise Invalid(f"{where} is none of {sorted(allowed)}: {value!r}")
        return
    types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    for key, item in _of(value, dict, where).items():
        if key not in types:
            raise Invalid(f'{where}: unknown field "{key}" of {model.__name__}')
        check(item, types[key], f"{where}.{key}")


def _of(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise Invalid(f"{where} is not a {kind.__name__}: {value!r}")
    return value
