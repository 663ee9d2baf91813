"""The training pipeline: from raw data to a deployed release, if the gate lets it through."""

from typing import Any

from kfp import dsl

from components.build_features import build_features
from components.deploy import deploy
from components.evaluate import evaluate
from components.ingest import ingest
from components.load_index import load_index
from components.package_release import package_release
from components.report_run import report_run
from components.train_ranker import train_ranker
from components.train_two_tower import train_two_tower

PROMOTE = "promote"
ACCELERATOR = "nvidia.com/gpu"


def named(task: dsl.PipelineTask, name: str, cpu: str = "1", memory: str = "2Gi") -> dsl.PipelineTask:
    """Display name, requests, and the code digest that `souk run` and `souk submit` put in: changed code reruns."""
    task.set_display_name(name).set_env_variable("SOUK_CODE", "dev")
    return task.set_cpu_request(cpu).set_memory_request(memory)


def trained(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
    """A training step: more memory, and a place for accelerators, which `souk submit --accelerators N` fills.

    They are no parameters of the pipeline: kfp 2.17 does not hand resource parameters into a group of tasks.
    """
    return named(task, name, cpu="2", memory="4Gi").set_accelerator_type(ACCELERATOR).set_accelerator_limit(0)


def data_tasks(
    reading: dict[str, Any], building: dict[str, Any], workspace: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """How every pipeline begins: the outputs of `ingest` and of `build_features`, from their parameters."""
    read = named(ingest(workspace=workspace, **reading), "ingest").outputs
    built = build_features(workspace=workspace, tables=read["tables"], **building)
    return read, named(built, "build_features").outputs


@dsl.pipeline(name="training", description="Events, items and users to a deployed release.")
def training(
    workspace: str,
    fingerprint: str,
    ingest_config: str,
    build_features_config: str,
    train_two_tower_config: str,
    load_index_config: str,
    train_ranker_config: str,
    evaluate_config: str,
    package_release_config: str,
    deploy_config: str,
    schema: str = "",
    champion: str = "",
    champion_condition: str = "",
    beam_runner: str = "FnApiRunner",
    beam_options: str = "",
    epochs: int = 0,
    gate_margin: str = "",
):
    """Trains the twins, judges them, and refits and deploys what is promoted.

    Args:
        workspace: path of the workspace; on a cluster, of the volume that holds it.
        fingerprint: hash of the data's content.
        ingest_config: JSON of the config's sections for the step; likewise the other `*_config`.
        schema: TFDV schemas to enforce, packed (souk.ingest.packed) or JSON; "" for those of the workspace.
        champion: name of the release that is served; "" for the workspace's current one, if there is any.
        champion_condition: a digest of its files and whether they are whole; "" where nobody looked, as in a
            submission, and then `evaluate` must not be cached.
        beam_runner: name of a Beam runner.
        beam_options: Beam flags, a JSON list; "" for none.
        epochs: overrides the config's epochs of the towers; 0 takes the config's.
        gate_margin: overrides the config's `evaluate.margin`; "" takes the config's.
    """
    run, name = dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER, dsl.PIPELINE_JOB_NAME_PLACEHOLDER
    end = named(report_run(run=run, name=name, workspace=workspace), "report_run", memory="256Mi")
    end.set_caching_options(False)

    with dsl.ExitHandler(end, name="run"):
        read, built = data_tasks(
            {"config": ingest_config, "schema": schema, "fingerprint": fingerprint},
            {"config": build_features_config, "beam_runner": beam_runner, "beam_options": beam_options},
            workspace,
        )
        towers = trained(
            train_two_tower(
                config=train_two_tower_config,
                window="twin",
                epochs=epochs,
                workspace=workspace,
                features=built["features"],
            ),
            "train_two_tower",
        ).outputs
        loaded = named(
            load_index(config=load_index_config, features=built["features"], towers=towers["towers"]), "load_index"
        )
        ranker = trained(
            train_ranker(
                config=train_ranker_config,
                window="twin",
                workspace=workspace,
                features=built["features"],
                towers=towers["towers"],
            ).after(loaded),
            "train_ranker",
        ).outputs
        judging = named(
            evaluate(
                config=evaluate_config,
                gate_margin=gate_margin,
                champion=champion,
                champion_condition=champion_condition,
                workspace=workspace,
                tables=read["tables"],
                features=built["features"],
                towers=towers["towers"],
                ranker=ranker["ranker"],
                index=loaded.outputs["index"],
            ),
            "evaluate",
            memory="4Gi",
        )
        # It reads the champion from the workspace, which a cache knows nothing of: `souk run` looks, and lets it cache.
        judged = judging.set_caching_options(False).outputs

        with dsl.If(judged["Output"] == PROMOTE, name="promote"):
            release_towers = trained(
                train_two_tower(
                    config=train_two_tower_config,
                    window="release",
                    epochs=epochs,
                    workspace=workspace,
                    features=built["features"],
                    previous=towers["towers"],
                ),
                "train_two_tower (release)",
            ).outputs
            release_loaded = named(
                load_index(config=load_index_config, features=built["features"], towers=release_towers["towers"]),
                "load_index (release)",
            )
            release_ranker = trained(
                train_ranker(
                    config=train_ranker_config,
                    window="release",
                    workspace=workspace,
                    features=built["features"],
                    towers=release_towers["towers"],
                    previous=ranker["ranker"],
                ).after(release_loaded),
                "train_ranker (release)",
            ).outputs
            packaged = named(
                package_release(
                    config=package_release_config,
                    tables=read["tables"],
                    features=built["features"],
                    towers=release_towers["towers"],
                    ranker=release_ranker["ranker"],
                    index=release_loaded.outputs["index"],
                    twin=judged["twin"],
                    evaluation=judged["evaluation"],
                ),
                "package_release",
            ).outputs
            deployed = named(
                deploy(
                    config=deploy_config,
                    workspace=workspace,
                    release=packaged["release"],
                    features=built["features"],
                    index=release_loaded.outputs["index"],
                ),
                "deploy",
            )
            deployed.set_caching_options(False)
