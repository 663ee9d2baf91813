"""Import contracts that import-linter cannot see; its own stand in setup.cfg and run with `make check`."""

import ast
import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).parents[1]
GRAPHS = sorted(path for folder in ("components", "pipelines") for path in (ROOT / folder).rglob("*.py"))


def module_scope_imports(tree: ast.AST) -> set[str]:
    """Top-level names that run at import; bodies of functions are left out, those of classes, if and try are not."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            names |= module_scope_imports(node)
    return names


def test_kserve_is_the_installed_package() -> None:
    spec = importlib.util.find_spec("kserve")
    assert spec is not None
    assert Path(spec.origin or "").is_relative_to(sysconfig.get_path("purelib"))
    assert not list((ROOT / "kserve").rglob("*.py"))


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_graphs_import_only_the_standard_library_and_kfp_at_module_scope(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    for name in module_scope_imports(tree):
        top = name.partition(".")[0]
        assert top in sys.stdlib_module_names | {"kfp", "components", "pipelines"}, f"{path} imports {name}"
        assert name != "__future__", f"{path}: kfp reads the annotations, `from __future__` would hide them"


@pytest.mark.parametrize(
    ("modules", "spared"),
    [
        ("souk.schema, souk.config, souk.spec, souk.state", {"feast", "kserve", "pymilvus", "kubernetes"}),
        ("souk.serving.server", set()),  # half a gigabyte, and seconds of its start
    ],
)
def test_importing_them_loads_nothing_heavy(modules: str, spared: set[str]) -> None:
    """import-linter sees what is written; this sees what happens."""
    program = f"import sys, {modules}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT)
    heavy = {"tensorflow", "apache_beam", "kfp", "matplotlib"} | spared
    assert not heavy & set(run.stdout.split())


def test_reading_a_graph_tells_nobody_and_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    """ONNX Runtime's builds do, unless the environment says otherwise before they are imported."""
    (tmp_path / "home").mkdir()
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 19)])
    model.ir_version = 9
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
    program = f"from souk.graphs import Graph; Graph({str(tmp_path / 'g.onnx')!r})"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=environment)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["g.onnx", "home"]


def test_tests_import_each_other_where_collection_sees_it() -> None:
    """Within a test a name that has moved is missed by those alone who run that test."""
    for path in (ROOT / "tests").glob("test_*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        within = {name for name in names - module_scope_imports(tree) if name.startswith("tests.")}
        assert not within, f"{path.name} imports {within} within a function: at module scope collection sees it"


def test_souk_keeps_its_import_contracts() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stdout + run.stderr
