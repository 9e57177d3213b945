"""The files of `deploy/` are well formed, and use flags that are there."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml
from typer.main import get_command

from kvgg_jax.cli.main import app
from kvgg_jax.core.config import SETTINGS
from support.runs import ROOT

FILES = [ROOT / "deploy" / name for name in ("jobset.yaml", "sky.yaml", "slurm.sh")]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / "deploy" / name).read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_calls_train_with_flags_that_it_has(file: Any) -> None:
    """And is named in the docs."""
    train = get_command(app).commands["train"]
    settings = {setting.flag for setting in SETTINGS.values()}
    known = settings | {flag for param in train.params for flag in param.opts}
    text = file.read_text()
    calls = re.findall(r"(?:kvgg train|set --) (.*)", text)
    assert calls
    for call in calls:
        assert {*re.findall(r"(?<!-)--[a-z][a-z-]*", call)} <= known
    assert f"deploy/{file.name}" in (ROOT / "docs/how-to/many-machines.md").read_text()


def test_the_slurm_script_is_a_script_with_a_task_per_gpu() -> None:
    """JAX' detection gives a task of Slurm one GPU."""
    file = ROOT / "deploy" / "slurm.sh"
    subprocess.run(["bash", "-n", str(file)], check=True)
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", file.read_text(), re.M))
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    assert asked["signal"].startswith("TERM@")


def test_the_jobset_has_as_many_pods_as_processes() -> None:
    """Their number comes from the index of the pod, the coordinator is the first one."""
    found = read("jobset.yaml")
    assert (found["apiVersion"], found["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (job,) = found["spec"]["replicatedJobs"]
    pods = job["template"]["spec"]
    assert pods["completionMode"] == "Indexed"
    (container,) = pods["template"]["spec"]["containers"]
    env = {one["name"]: one for one in container["env"]}
    assert pods["parallelism"] == pods["completions"] == int(env["JAX_NUM_PROCESSES"]["value"])
    name = found["metadata"]["name"]
    first = f"{name}-{job['name']}-0-0.{name}:"
    assert env["JAX_COORDINATOR_ADDRESS"]["value"].startswith(first)
    index = env["JAX_PROCESS_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert index == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    volumes = {one["name"] for one in pods["template"]["spec"]["volumes"]}
    assert {one["name"] for one in container["volumeMounts"]} == volumes


def test_the_jobset_is_one_by_the_schema_of_kubernetes() -> None:
    """With all of its fields: what the schema does not know, it leaves out."""
    job_set = pytest.importorskip("kubeflow_trainer_api.models.jobset_v1alpha2_job_set")
    found = read("jobset.yaml")
    assert job_set.JobsetV1alpha2JobSet.from_dict(found).to_dict() == found


def test_the_task_of_skypilot_joins_its_nodes() -> None:
    """Its scripts are scripts."""
    found = read("sky.yaml")
    assert found["num_nodes"] == 2
    for part in ("setup", "run"):
        subprocess.run(["bash", "-n", "-c", found[part]], check=True)
    assert {"SKYPILOT_NODE_IPS", "SKYPILOT_NUM_NODES", "SKYPILOT_NODE_RANK"} <= {
        *re.findall(r"SKYPILOT_\w+", found["run"])
    }
