"""The Containerfile and the one table of images: what is built, from what, under which name."""

import ast
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from components.images import IMAGES, ROOT, Image, build_command, content_tag, image, sources
from tests.test_packaging import setup_cfg

WHERE_IMAGES_ARE_NAMED = (
    "README.md",
    "charts",
    "components",
    "docs",
    "kserve",
    "manifests",
    "pipelines",
    "requirements",
)
NAMED = re.compile(r"([\w.-]+(?::\d+)?(?:/[\w.-]+)*/)?souk-([a-z]+):([\w.{}-]+)")


def instructions() -> list[tuple[str, str]]:
    parser = DockerfileParser(fileobj=io.BytesIO((ROOT / "Containerfile").read_bytes()))
    return [(line["instruction"], line["value"]) for line in parser.structure]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, FROM first."""
    found: list[list[tuple[str, str]]] = []
    for instruction, value in instructions():
        if instruction == "FROM":
            found.append([])
        if found:
            found[-1].append((instruction, value))
    return found


def test_hadolint_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    run = subprocess.run([str(linter), "--no-color", "Containerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, ""), run.stdout + run.stderr


def test_the_final_stage_only_copies_and_runs_as_nobody_special() -> None:
    *_, final = stages()
    runs = [value for instruction, value in final if instruction == "RUN"]
    assert runs == ["useradd --uid 1000 --create-home souk"]
    assert [value for instruction, value in final if instruction == "USER"] == ["1000"]
    copies = [value for instruction, value in final if instruction == "COPY"]
    assert copies
    assert all(value.startswith("--from=") for value in copies)


def test_a_changed_line_of_souk_leaves_the_packages_layer_alone() -> None:
    packages, souk, final = stages()
    copied = {word for instruction, value in packages if instruction == "COPY" for word in value.split()[:-1]}
    assert copied == {"requirements", "setup.cfg"}
    assert "souk" in {word for instruction, value in souk if instruction == "COPY" for word in value.split()[:-1]}
    order = [value.split()[0] for instruction, value in final if instruction == "COPY"]
    assert order == ["--from=packages", "--from=souk"], "what changes seldom first"


def test_every_install_is_from_a_lock_or_without_dependencies() -> None:
    installs = [value for instruction, value in instructions() if instruction == "RUN" and "pip install" in value]
    tool, packages, souk = installs
    assert re.search(r"uv==\$\{UV_VERSION\}", tool)
    assert '--constraints "requirements/$LOCK.txt"' in packages
    assert "--no-deps" in souk
    assert '--build-constraints "requirements/$LOCK.txt"' in souk, "what builds it is run, and may be no other day's"
    for built in IMAGES.values():
        assert re.search(r"^setuptools==", (ROOT / "requirements" / f"{built.lock}.txt").read_text("utf-8"), re.M)


def test_each_line_is_run_with_what_its_own_stage_declares() -> None:
    """An ENV goes on into the stages that are made from one, an ARG does not."""
    kept = dict[str, set[str]]()
    for (_, base), *rest in stages():
        parent, _, name = base.partition(" AS ")
        known = set(kept.get(parent, set()))
        for instruction, value in rest:
            if instruction in {"ARG", "ENV"}:
                known |= set(re.findall(r"(?:^|\s)(\w+)(?==|$)", value))
            elif instruction == "RUN":
                assert {*re.findall(r"\$\{?(\w+)", value)} <= known, value
        arguments = {value.partition("=")[0] for instruction, value in rest if instruction == "ARG"}
        kept[name] = known - arguments


def test_uv_is_the_one_that_makes_the_development_environment() -> None:
    [version] = re.findall(r"^UV_VERSION := (.+)$", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert ("ARG", f"UV_VERSION={version}") in instructions()


def test_each_image_is_of_extras_and_of_a_lock_that_exist() -> None:
    extras = setup_cfg()["options.extras_require"]
    for name, row in IMAGES.items():
        assert set(row.extras) <= set(extras), name
        assert (ROOT / "requirements" / f"{row.lock}.txt").is_file(), name
        assert name in row.extras, name
    libraries = {"all", "client", "datasets"}
    tools = {extra for extra in extras if extra.startswith(("dev", "drift_"))}
    assert {extra for row in IMAGES.values() for extra in row.extras} == set(extras) - libraries - tools


def test_no_other_image_of_ours_is_named_anywhere() -> None:
    folders = [ROOT / name for name in WHERE_IMAGES_ARE_NAMED]
    files = [f for path in folders for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file()]
    found = set()
    for path in files:
        if path.suffix in {".pyc", ".txt"} or path.name == "images.py":
            continue
        for registry, name, tag in NAMED.findall(path.read_text("utf-8")):
            found.add((path.relative_to(ROOT).parts[0], registry, name, tag))
    assert {"kserve", "manifests", "pipelines", "charts"} <= {place for place, *_ in found}
    for place, registry, name, tag in found:
        assert name in IMAGES, f"{place}: souk-{name}"
        assert tag != "latest", f"{place}: souk-{name}:{tag}"
        if registry == "localhost/":
            assert f"{registry}souk-{name}:{tag}" == image(name), f"{place}: golden files carry the tag dev"


def test_each_component_takes_its_image_from_the_table() -> None:
    for path in (ROOT / "components").glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.keyword)]
        for keyword in (call for call in calls if call.arg == "base_image"):
            assert isinstance(keyword.value, ast.Call), path.name
            assert keyword.value.func.id == "image", path.name  # type: ignore[attr-defined]


def test_the_documentation_shows_the_table_as_it_is() -> None:
    text = (ROOT / "docs" / "images.md").read_text("utf-8")
    rows = re.findall(r"^\| `souk-(\w+)` \| `([\w,]+)` \| (\w+) \| (.+?) \|", text, re.M)
    assert [(name, extras, lock) for name, extras, lock, _ in rows] == [
        (name, ",".join(row.extras), row.lock) for name, row in IMAGES.items()
    ]
    for name, _, _, runs in rows:
        components = (ROOT / "components").glob("*.py")
        steps = {path.stem for path in components if f'base_image=image("{name}")' in path.read_text("utf-8")}
        assert steps <= set(re.findall(r"`(\w+)`", runs)), name


def test_an_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"preprocess, train.*Received: 'tain'"):
        image("tain")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what goes into the images."""
    for path in sources(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def test_the_tag_is_the_version_and_the_content(tree: Path) -> None:
    tag = content_tag(tree)
    assert tag == content_tag(tree)
    assert re.fullmatch(r"\d+\.\d+\.\d+-[0-9a-f]{12}", tag)
    (tree / "souk" / "__pycache__").mkdir(exist_ok=True)
    (tree / "souk" / "__pycache__" / "x.pyc").write_bytes(b"not copied")
    (tree / "notes.md").write_text("not copied", "utf-8")
    assert content_tag(tree) == tag


@pytest.mark.parametrize(
    "path",
    ["Containerfile", "requirements/main.txt", "souk/errors.py", "pipelines/compiled/training.yaml", "setup.cfg"],
)
def test_whatever_goes_into_an_image_changes_the_tag(tree: Path, path: str) -> None:
    before = content_tag(tree)
    content = (tree / path).read_bytes()
    (tree / path).write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert content_tag(tree) != before


def test_a_changed_row_of_the_table_changes_the_tag(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content_tag(tree)
    monkeypatch.setitem(IMAGES, "serve", Image(("serve",)))
    assert content_tag(tree) != before


def test_only_what_is_copied_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert {path.relative_to(ROOT).parts[0] for path in sources(ROOT)} - {"Containerfile"} == allowed


def test_the_build_command_carries_the_row() -> None:
    command = build_command("train", "ghcr.io/us/", "1-a", "docker")
    assert command[:2] == ["docker", "build"]
    assert {"EXTRAS=pipeline,train", "LOCK=main", "ghcr.io/us/souk-train:1-a"} <= set(command)
    known = {value.partition("=")[0] for instruction, value in instructions() if instruction == "ARG"}
    assert {"EXTRAS", "LOCK"} <= known


def test_without_an_engine_the_command_says_what_is_missing(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "components.images", "--build"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert run.stderr == "Expected podman or docker on PATH. Received: neither. Install one of them.\n"
