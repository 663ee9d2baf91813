"""The tuning pipeline: settings of towers and ranker, tried side by side and judged on the validation window."""

from kfp import dsl

from components.tune_choose import tune_choose
from components.tune_draw import tune_draw
from components.tune_trial import tune_trial
from pipelines.training import data_tasks, named, trained

PARALLEL = 2  # trials at once; `souk tune --parallel` writes its own, of which kfp.local takes at most 2


@dsl.pipeline(name="tuning", description="The settings of towers and ranker that do best on the validation window.")
def tuning(
    workspace: str,
    fingerprint: str,
    ingest_config: str,
    build_features_config: str,
    train_two_tower_config: str,
    train_ranker_config: str,
    package_release_config: str,
    schema: str = "",
    beam_runner: str = "FnApiRunner",
    beam_options: str = "",
    epochs: int = 0,
    trials: int = 12,
    seed: int = 17,
):
    """Tries settings in two rounds, and chooses. The test window is not read.

    Args:
        workspace: path of the workspace; on a cluster, of the volume that holds it.
        fingerprint: hash of the data's content.
        ingest_config: JSON of the config's sections for the step; likewise the other `*_config`.
        schema: TFDV schemas to enforce, packed (souk.ingest.packed) or JSON; "" for those of the workspace.
        beam_runner: name of a Beam runner.
        beam_options: Beam flags, a JSON list; "" for none.
        epochs: overrides the config's epochs of the towers; 0 takes the config's.
        trials: how many settings are tried, the config as it is among them; at least 2.
        seed: of the draws.
    """
    _, built = data_tasks(
        {"config": ingest_config, "schema": schema, "fingerprint": fingerprint},
        {"config": build_features_config, "beam_runner": beam_runner, "beam_options": beam_options},
        workspace,
    )
    configs = {"train_two_tower_config": train_two_tower_config, "train_ranker_config": train_ranker_config}
    fixed = {"epochs": epochs, "workspace": workspace, "features": built["features"], **configs}
    fixed["package_release_config"] = package_release_config

    first = named(tune_draw(trials=trials, seed=seed, number=1, **configs), "tune_draw (round 1)")
    with dsl.ParallelFor(first.output, name="round-1", parallelism=PARALLEL) as trial:
        early = trained(tune_trial(trial=trial, **fixed), "tune_trial (round 1)")
    # A Collected serves one task: the compiler writes into it.
    before = dsl.Collected(early.outputs["result"])
    second = named(tune_draw(trials=trials, seed=seed, number=2, results=before, **configs), "tune_draw (round 2)")
    with dsl.ParallelFor(second.output, name="round-2", parallelism=PARALLEL) as trial:
        late = trained(tune_trial(trial=trial, **fixed), "tune_trial (round 2)")
    results = {"first": dsl.Collected(early.outputs["result"]), "second": dsl.Collected(late.outputs["result"])}
    named(tune_choose(**results), "tune_choose")
