"""A copy of the source of souk whose steps are small and quick, for tests of the machinery around them.

The compiled pipeline, the command line, kfp.local, its cache and its processes are the real ones. Each small step
keeps its contract (paths in, files out) and writes a hash of what it was given, so that a stale input would show.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS = (
    "ingest",
    "build_features",
    "train_two_tower",
    "load_index",
    "train_ranker",
    "evaluate",
    "package_release",
    "deploy",
)
REFITTED = ("train_two_tower", "load_index", "train_ranker")
ALL = [*STEPS[:6], *(f"{step} (release)" for step in REFITTED), *STEPS[6:]]

SMALL = '''"""Small steps: each output is a folder with a hash of what went in."""

import hashlib
import os
import sys
import time
from pathlib import Path

from souk.errors import SoukError
from souk.progress import report


def content(value):
    path = Path(str(value))
    if not str(value).startswith("/") or not path.exists():
        return str(value)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return "".join(file.read_text() for file in files if file.is_file())


def small(step, inputs, outputs):
    report(f"{step} at work")
    if os.environ.get("SMALL_WAIT") == step:
        Path(os.environ["SMALL_REACHED"]).write_text(str(os.getpid()))
        while True:
            time.sleep(60)
    if os.environ.get("SMALL_FAIL") == step:
        raise SoukError("a step that works", "one told to fail", "Unset SMALL_FAIL.")
    digest = hashlib.sha256("\\0".join([step, *map(content, inputs)]).encode()).hexdigest()
    for output in outputs:
        Path(output).mkdir(parents=True)
        (Path(output) / "content").write_text(digest)
    return digest
'''

SOURCES = {
    "ingest": """
def ingest(config, schema, workspace, tables, quarantine, report_html):
    from souk.config import parse_step_config
    data = parse_step_config("ingest", config).data
    small("ingest", [config, schema, data.events.path], [tables, quarantine])
    Path(report_html).write_text("<p>data</p>")
    return {"read": 1.0}
""",
    "build_features": """
def build_features(config, workspace, beam_runner, beam_options, tables, features):
    small("build_features", [config, beam_runner, beam_options, tables], [features])
    return {"rows": 1.0}
""",
    "train_two_tower": """
def train_two_tower(config, window, epochs, workspace, features, towers, previous=""):
    assert bool(previous) == (window == "release") and isinstance(epochs, int)
    small("train_two_tower", [config, window, epochs, features, previous], [towers])
    return {"loss": 1.0}
""",
    "load_index": """
def load_index(config, features, towers, index):
    small("load_index", [config, features, towers], [index])
    return {"recall": 1.0}
""",
    "train_ranker": """
def train_ranker(config, window, workspace, features, towers_of_boundary, ranker, previous=""):
    import json
    assert bool(previous) == (window == "release")
    small("train_ranker", [config, window, features, towers_of_boundary, previous], [ranker])
    curve = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "threshold": [1.0, 0.0]}
    (Path(ranker) / "training.json").write_text(json.dumps({"roc": {"engaged": curve}}))
    return {"auc": 1.0}
""",
    "evaluate": """
def evaluate(config, champion, workspace, tables, features, towers, ranker, index, twin, report_html, summary_md,
             evaluation, champion_condition):
    from souk.config import parse_step_config
    margin = parse_step_config("evaluate", config).evaluate.margin
    digest = small("evaluate", [config, tables, features, towers, ranker, index], [twin, evaluation])
    Path(report_html).write_text("<p>evaluation</p>")
    Path(summary_md).write_text("| model | ndcg@10 |\\n|---|---|\\n| souk | 0.5 |\\n")
    from souk.release.condition import damage, without_states
    from souk.workspace import Workspace
    current = Path(workspace, "releases", champion, "twin")
    place = Workspace(Path(workspace))
    whole = champion and not (damage(place, champion) or without_states(place))
    unchanged = whole and current.read_text() == digest
    return ("unchanged" if unchanged else "promote" if margin < 1 else "reject"), {"ndcg": 0.5}
""",
    "package_release": """
def package_release(config, tables, features, towers, ranker, index, twin, evaluation, release):
    digest = small("package_release", [config, tables, features, towers, ranker, index, twin, evaluation], [release])
    (Path(release) / "twin").write_text(content(twin))
    (Path(release) / "name").write_text(f"small-{digest[:12]}")
    from souk.release.manifest import write_manifest
    write_manifest(release, f"small-{digest[:12]}", {}, {})
    return f"small-{digest[:12]}", {"files": 1.0}
""",
    "deploy": """
def deploy(config, workspace, release, features, index):
    import shutil
    small("deploy", [], [])
    releases = Path(workspace) / "releases"
    name = Path(release, "name").read_text()
    shutil.copytree(release, releases / name, dirs_exist_ok=True)
    (Path(workspace) / "feast").mkdir(exist_ok=True)
    (Path(workspace) / "feast" / "registry.db").touch()
    (Path(workspace) / "feast" / "publication.begun").unlink(missing_ok=True)
    fresh = releases / ".current.part"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(name)
    os.replace(fresh, releases / "current")
    return {"files": 1.0}
""",
}

CONFIG = """name: small
data:
  events:
    path: events.csv
objectives:
  engaged: {events: [click]}
  satisfied: {events: [click]}
"""


@dataclass(frozen=True)
class Copy:
    """A copy of souk in `folder`, with a config, its data and a workspace, `place`."""

    folder: Path
    place: str = "workspace"

    @property
    def workspace(self) -> Path:
        return self.folder / self.place

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "souk", *words]

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder), **more}

    def souk(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs `souk` from the copy; `more` is environment."""
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return self.souk("run", "--config", "small.yaml", "--workspace", self.place, *words, **more)

    def start(self, *more_words: str, **more: str) -> "subprocess.Popen[str]":
        words = ("run", "--config", "small.yaml", "--workspace", self.place, *more_words)
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def real_copy(folder: Path) -> Copy:
    """Copies souk and the compiled pipelines, with the steps as they are."""
    shutil.copytree(ROOT / "souk", folder / "souk", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "pipelines" / "compiled", folder / "souk" / "compiled")
    return Copy(folder)


def small_copy(folder: Path) -> Copy:
    """A copy with the small steps in, a config and a data set of two rows."""
    copy = real_copy(folder)
    for step, source in SOURCES.items():
        head = "import os\nfrom pathlib import Path\n\nfrom souk.steps._small import content, small\n"
        (folder / "souk" / "steps" / f"{step}.py").write_text(head + source, encoding="utf-8")
    (folder / "souk" / "steps" / "_small.py").write_text(SMALL, encoding="utf-8")
    (folder / "small.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "events.csv").write_text("user_id,item_id\nu1,i1\nu2,i2\n", encoding="utf-8")
    return copy


def shown(output: str) -> dict[str, str]:
    """Step to `cached`, `ran` or `failed`, of what `souk run` printed."""
    ends = {}
    for line in output.splitlines():
        if line.startswith(("✓ ", "✗ ")):
            name, end = line[2:28].strip(), line[28:].strip()
            ends[name] = "failed" if line[0] == "✗" else "cached" if end == "cached" else "ran"
    return ends
