"""What a cluster on AWS may do and who reaches it: no more than cluster.yaml, docs/aws.yaml and the pages say."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from data_prep import Folder
from data_prep.job import _locked_scratch
from support.commands import ROOT, wait_until
from sweeps.engine import cluster

CLUSTER = yaml.safe_load((ROOT / "cluster.yaml").read_text())
TEMPLATE = (ROOT / "docs" / "aws.yaml").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's own tags as their text."""


Loader.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))  # type: ignore[arg-type]


def parts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a nested value, and the name under which it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from parts(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner, name)
    else:
        yield name, str(value)


def policies() -> Iterator[Any]:
    """The configuration, the template, and each JSON object of the pages that has statements."""
    yield CLUSTER
    yield yaml.load(TEMPLATE, Loader)
    for page in PAGES:
        for found in re.findall(r"\{\s*\"Version\".*?\]\s*\}", page.read_text(), re.DOTALL):
            yield json.loads(found)


def test_nothing_is_open_to_all_and_nothing_may_do_all() -> None:
    found = [part for policy in policies() for part in parts(policy)]
    assert len([name for name, _ in found if name in ("Action", "Resource")]) > 10
    for name, text in found:
        assert not re.search(r"0\.0\.0\.0/0|::/0", text), (name, text)
        assert not (name in ("Action", "Resource") and re.fullmatch(r"(\w+:)?\*", text)), (name, text)


@pytest.mark.parametrize("address", ["0.0.0.0/0", "0.0.0.0/1", "10.0.0.0/8", "::/0", "x"])
def test_the_template_takes_no_address_that_is_all_the_world(address: str) -> None:
    pattern = yaml.load(TEMPLATE, Loader)["Parameters"]["Address"]["AllowedPattern"]
    assert re.fullmatch(pattern, "203.0.113.7/32")
    assert not re.fullmatch(pattern, address)


def of_another(told: Path) -> None:
    told.write_text("127.0.0.1:6379")
    os.chown(told, 12345, 12345)


def link_of_another(told: Path) -> None:
    own = told.with_name("own")
    own.write_text("127.0.0.1:6379")
    told.symlink_to(own)
    os.chown(told, 12345, 12345, follow_symlinks=False)


def in_a_circle(told: Path) -> None:
    told.symlink_to(told)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
@pytest.mark.parametrize("plant", [of_another, link_of_another, in_a_circle, Path.mkdir, lambda told: None])
def test_a_cluster_that_somebody_else_tells_of_is_not_joined(
    plant: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in /tmp/ray may be anybody's; one's own is joined, and any other one by RAY_ADDRESS."""
    told = tmp_path / "ray_current_cluster"
    monkeypatch.setattr(cluster.utils, "get_ray_address_file", lambda _: str(told))
    monkeypatch.setattr(cluster.utils, "read_ray_address", told.read_text)
    plant(told)
    assert cluster._address_of_own() is None


def test_a_cluster_of_ones_own_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "ray_current_cluster"
    told.write_text("127.0.0.1:6379")
    monkeypatch.setattr(cluster.utils, "get_ray_address_file", lambda _: str(told))
    monkeypatch.setattr(cluster.utils, "read_ray_address", told.read_text)
    assert cluster._address_of_own() == "127.0.0.1:6379"


def test_a_job_for_a_store_works_where_nobody_else_can_plant_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with _locked_scratch(Folder("s3://bucket/shards"), {}) as scratch:
        assert scratch.is_relative_to(tmp_path / "cache/cifake-sweeps")


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A stand-in for Amazon on this machine."""
    endpoint = "http://127.0.0.1:5057"
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in {"ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", CLUSTER["provider"]["region"])
    words = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", "5057"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            return bool(boto3.client("ec2").describe_vpcs()["Vpcs"])
        except Exception:
            time.sleep(0.2)
            return False

    wait_until(answers, 30)
    yield
    server.kill()
    server.wait()


@pytest.mark.slow
def test_ray_makes_no_role_and_no_group_of_its_own(amazon: None) -> None:
    """The template is one that Amazon's stand-in deploys, and with what it makes Ray wants nothing more."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.util import prepare_config

    ec2, iam, formation = (boto3.client(name) for name in ("ec2", "iam", "cloudformation"))
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    values = {"Bucket": "bucket", "Address": "203.0.113.7/32", "Vpc": vpc}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    formation.create_stack(StackName="x", TemplateBody=TEMPLATE, Parameters=parameters)
    (stack,) = formation.describe_stacks(StackName="x")["Stacks"]
    group = stack["Outputs"][0]["OutputValue"]

    def made() -> tuple[set[str], set[str]]:
        groups = {group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]}
        return groups, {role["RoleName"] for role in iam.list_roles()["Roles"]}

    before = made()
    assert {"cifake-sweeps-head", "cifake-sweeps-worker"} <= before[1]
    config = prepare_config(CLUSTER)
    for kind in config["available_node_types"].values():
        kind["node_config"] |= {"SecurityGroupIds": [group], "ImageId": "ami-12345678"}
    ready = bootstrap_aws(config)
    assert made() == before
    profiles = {name: kind["node_config"]["IamInstanceProfile"] for name, kind in ready["available_node_types"].items()}
    worker = {"Name": "cifake-sweeps-worker"}
    assert profiles == {"head": {"Name": "cifake-sweeps-head"}, "spot": worker, "on_demand": worker}
    (rules,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert [each["CidrIp"] for rule in rules["IpPermissions"] for each in rule["IpRanges"]] == ["203.0.113.7/32"]
