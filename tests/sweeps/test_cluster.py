"""A real cluster: three hosts with addresses and sshd of their own, `ray up`, `ray submit`, shared storage, disasters.

The configuration is cluster.yaml with the changes that docs/cluster.md names for machines of one's own.
"""

import http.server
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from data_prep.job import prepare
from data_prep.storage import Folder
from support import hosts as machines
from support.commands import ROOT, refused, run_python, wait_until
from support.hosts import AWS, LAPTOP, STORAGE, Host, storage_answers
from support.s3 import s3_server
from support.sweeps import TIMES
from support.trees import make_tree
from trainables.record import part_file, read_parts, read_trials

AGE = ROOT / "sweeps" / "age.py"
RAY = Path(sys.executable).with_name("ray")
WORK = ("--data", "s3://sweeps/shards", "--epochs", "4", "--cpus-per-trial", "1")
#: For two hosts so much that a third, which takes 40 s to be up, comes in time to help.
LONG_WORK = (*WORK, "--epochs", "60")
TRIAL = "trainables.worker.fork_server serve"
RAYS = ("ray", "pymp-")  # names of Ray's temporary files, and of its dashboard's


def variant(head: str, workers: list[str], user: str, key: str) -> dict[str, object]:
    """cluster.yaml with the changes of docs/cluster.md for machines of one's own."""
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    page = (ROOT / "docs" / "cluster.md").read_text()
    changes = yaml.safe_load(re.search(r"```yaml\n(provider:\n  type: local\n.*?)```", page, re.DOTALL)[1])
    assert {"head_node_type", "available_node_types"} <= set(re.findall(r"`(\w+)`", page))
    del config["head_node_type"], config["available_node_types"]
    changes["provider"] |= {"head_ip": head, "worker_ips": workers}
    changes["auth"] |= {"ssh_user": user, "ssh_private_key": key}
    return config | changes


def test_both_configurations_are_rays() -> None:
    aws = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    for config in (aws, variant("10.0.0.1", ["10.0.0.2"], "me", "~/.ssh/id_ed25519")):
        validate_config(prepare_config(config))
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(aws | {"max_worker": 3}))
    priorities = {name: kind.get("priority", 0) for name, kind in aws["available_node_types"].items()}
    assert max(priorities, key=priorities.get) == "spot"  # type: ignore[arg-type]


# ── three hosts ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Cluster:
    """A running cluster, and the laptop that commands it."""

    def __init__(self, hosts: list[Host], folder: Path) -> None:
        self.hosts, self.head, self.folder = hosts, hosts[0], folder
        self.config = folder / "cluster.yaml"
        self.environment = os.environ | AWS | {"RAY_UP_enable_autoscaler_v2": "0", "RAY_USAGE_STATS_ENABLED": "0"}
        config = variant(self.head.address, [host.address for host in hosts[1:]], "root", str(folder / "key"))
        config |= {"setup_commands": [], "worker_setup_commands": []}  # hosts share this machine's packages
        (folder / "auth_token").write_text(secrets.token_hex(32))
        config["file_mounts"]["~/.ray/auth_token"] = str(folder / "auth_token")  # type: ignore[index]
        self.config.write_text(yaml.safe_dump(config))

    def ray(self, *words: object) -> "subprocess.CompletedProcess[str]":
        given = [str(RAY), *map(str, words)]
        return subprocess.run(given, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300)

    def up(self) -> None:
        done = self.ray("up", "--yes", "--no-config-cache", self.config)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: self.nodes() == len([host for host in self.hosts if host.process]), 120)

    def nodes(self) -> int:
        where = f"address='{self.head.address}:6379', log_to_driver=False"
        count = f"import ray; ray.init({where}); print('alive:', sum(node['Alive'] for node in ray.nodes()))"
        printed = self.head.login(f'{sys.executable} -c "{count}" 2>/dev/null')  # Ray, too, may print
        alive = re.search(r"^alive: (\d+)$", printed, re.MULTILINE)
        return int(alive[1]) if alive else 0

    def submit(self, *options: object) -> "subprocess.Popen[str]":
        words = [str(RAY), "submit", "--no-config-cache", str(self.config), str(AGE), "--", *map(str, options)]
        log = (self.folder / "submit.log").open("w")
        return subprocess.Popen(words, cwd=ROOT, env=self.environment, stdout=log, stderr=log, text=True)

    def output(self) -> str:
        return (self.folder / "submit.log").read_text()

    def sweep(self, results: str, *options: object) -> None:
        """Submit a sweep and see it end well."""
        code = self.submit("--results", results, *options).wait(timeout=300)
        assert code == 0, self.output()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three hosts, a bucket `sweeps` on a server at an address of its own, and `ray up`."""
    reason = machines.missing()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("hosts")
    has_disasters = any(item.get_closest_marker("disaster") for item in request.session.items)
    patience = 60 if has_disasters else 10  # a disaster may last as long as Ray's default lets it
    with (
        pytest.MonkeyPatch.context() as patch,
        machines.hosts(3, folder, patience) as hosts,
        s3_server(folder, STORAGE, 5000),
    ):
        for name, value in AWS.items():
            patch.setenv(name, value)
        prepare(str(make_tree(folder / "tree", images=250)), "s3://sweeps/shards")  # which every network can learn
        cluster = Cluster(hosts, folder)
        cluster.up()
        yield cluster
        down = cluster.ray("down", "--yes", cluster.config)
        assert down.returncode == 0, down.stdout + down.stderr
        for host in hosts:
            # `ray down` stops the head's Ray only; the others' ends when it has missed that for a minute. What started
            # it, `ray start --block`, waits for ever if all that it started has been stopped in good order.
            others = "-e grep -e sshd -e 'ray start'"
            listing = partial(host.run, f"ps -ww -eo args | grep -E 'ray|fork_server' | grep -v {others}")
            wait_until(lambda listing=listing: not listing(), 120, listing)
            files = host.run("ls /tmp/ray/tmp").split()
            ours = [name for name in files if not name.startswith(RAYS)]
            assert not ours, host.run("ls -lR " + " ".join(f"/tmp/ray/tmp/{name}" for name in ours))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Folder:
    """The record of the same sweep on this machine, left in peace."""
    return in_peace(tmp_path_factory.mktemp("undisturbed"), *WORK)


@pytest.fixture(scope="module")
def undisturbed_long(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Folder:
    """The record of the long sweep on this machine, left in peace."""
    return in_peace(tmp_path_factory.mktemp("undisturbed-long"), *LONG_WORK)


def in_peace(place: Path, *options: str) -> Folder:
    done = run_python(AGE, *options, cwd=place)
    assert done.returncode == 0, done.stderr
    return Folder(str(place / "results" / "age"))


def table(record: Folder, name: str) -> pd.DataFrame:
    frame = read_parts(record, f"{name}.parquet").to_pandas().sort_values(["trial"], kind="stable", ignore_index=True)
    return frame.drop(columns=[column for column in (*TIMES, "device") if column in frame])


def assert_as_undisturbed(undisturbed: Folder, results: str) -> None:
    record = Folder(f"{results}/age")
    epochs = table(record, "epochs")
    assert not epochs.duplicated(["trial", "epoch"]).any()
    assert (table(record, "trials")["status"] == "finished").sum() == 12
    pd.testing.assert_frame_equal(epochs, table(undisturbed, "epochs"), check_exact=True)
    pd.testing.assert_frame_equal(table(record, "trials"), table(undisturbed, "trials"), check_exact=True)


def epochs_done(results: str) -> int:
    record = Folder(f"{results}/age")
    return len(table(record, "epochs")) if record.exists(part_file("epochs.parquet", 0)) else 0


@pytest.mark.cluster
def test_a_submitted_sweep_runs_on_several_hosts_and_reports_on_shared_storage(cluster: Cluster) -> None:
    cluster.sweep("s3://sweeps/smoke", "--smoke")
    record = Folder("s3://sweeps/smoke/age")
    rows = read_trials(record)
    assert (rows["status"] == "finished").sum() == 12
    assert rows["device"].str.partition(",")[0].nunique() >= 2
    assert record.size("report.html") > 10_000
    assert "joined" in cluster.output().lower()


@pytest.mark.cluster
def test_nobody_joins_the_cluster_without_its_token(cluster: Cluster) -> None:
    """Neither Ray, from another host, nor its jobs, on the head alone, let in who has no token, or another one."""
    head, stranger = cluster.head.address, cluster.hosts[1]
    code = f"import ray; ray.init('{head}:6379', log_to_driver=False); print('joined')"
    for token in ("", "a" * 64):
        nobody = f"env -u RAY_AUTH_MODE HOME=/nowhere {'RAY_AUTH_MODE=token RAY_AUTH_TOKEN=' + token if token else ''}"
        assert "joined" not in stranger.login(f'timeout 30 {nobody} {sys.executable} -c "{code}" 2>&1')
        listed = cluster.head.login(f"timeout 30 {nobody} ray job list --address http://127.0.0.1:8265 2>&1")
        assert "SubmissionId" not in listed
        assert "auth" in listed.lower(), listed


@pytest.mark.disaster
def test_a_killed_process_costs_nothing_but_time(cluster: Cluster, undisturbed: Folder) -> None:
    sweep = cluster.submit("--results", "s3://sweeps/process", *WORK)
    wait_until(lambda: epochs_done("s3://sweeps/process") >= 4, 120)
    unhurt = list(cluster.hosts)

    def kill_one_a_host() -> bool:
        """Kill a trial of each host that has not lost one yet, for one that dies again and again has failed.

        Returns whether two hosts have lost one.
        """
        unhurt[:] = [host for host in unhurt if not host.kill_child(TRIAL)]
        return len(unhurt) <= len(cluster.hosts) - 2

    wait_until(kill_one_a_host, 60)
    assert sweep.wait(timeout=300) == 0, cluster.output()
    assert_as_undisturbed(undisturbed, "s3://sweeps/process")


@pytest.mark.disaster
def test_a_killed_driver_goes_on(cluster: Cluster, undisturbed: Folder) -> None:
    sweep = cluster.submit("--results", "s3://sweeps/driver", *WORK)
    wait_until(lambda: epochs_done("s3://sweeps/driver") >= 6, 120)
    assert cluster.head.kill("python.*age.py") >= 1
    assert sweep.wait(timeout=60) != 0
    cluster.sweep("s3://sweeps/driver", *WORK)
    assert_as_undisturbed(undisturbed, "s3://sweeps/driver")


@pytest.mark.disaster
def test_a_second_sweep_on_the_same_record_says_so_and_stops(cluster: Cluster, undisturbed: Folder) -> None:
    first = cluster.submit("--results", "s3://sweeps/two", *WORK)
    wait_until(lambda: epochs_done("s3://sweeps/two") >= 1, 120)
    second = run_python(AGE, *WORK, "--results", "s3://sweeps/two", cwd=cluster.folder)
    assert "is being written by another sweep" in refused(second)
    assert first.wait(timeout=300) == 0, cluster.output()
    assert_as_undisturbed(undisturbed, "s3://sweeps/two")


@pytest.mark.disaster
def test_storage_that_does_not_answer_is_waited_for(cluster: Cluster, undisturbed: Folder) -> None:
    sweep = cluster.submit("--results", "s3://sweeps/storage", *WORK)
    wait_until(lambda: epochs_done("s3://sweeps/storage") >= 6, 120)
    storage_answers(False)
    time.sleep(20)
    storage_answers(True)
    assert sweep.wait(timeout=300) == 0, cluster.output()
    assert_as_undisturbed(undisturbed, "s3://sweeps/storage")


@pytest.mark.disaster
def test_a_folder_that_is_not_shared_is_refused(cluster: Cluster) -> None:
    assert cluster.submit("--results", "/tmp/ray/results", "--smoke").wait(timeout=120) != 0
    assert "give --results a folder that all nodes share" in cluster.output()


@pytest.mark.disaster
def test_a_network_that_is_cut_for_a_minute(cluster: Cluster, undisturbed: Folder) -> None:
    sweep = cluster.submit("--results", "s3://sweeps/cut", *WORK)
    wait_until(lambda: epochs_done("s3://sweeps/cut") >= 6, 120)
    cluster.hosts[2].cut()
    time.sleep(60)
    cluster.hosts[2].cut(False)
    assert sweep.wait(timeout=300) == 0, cluster.output()
    assert_as_undisturbed(undisturbed, "s3://sweeps/cut")


@pytest.mark.disaster
def test_a_head_whose_ray_dies_is_brought_up_again(cluster: Cluster, undisturbed: Folder) -> None:
    sweep = cluster.submit("--results", "s3://sweeps/head", *WORK)
    wait_until(lambda: epochs_done("s3://sweeps/head") >= 6, 120)
    assert cluster.head.kill("gcs_server|raylet") >= 2
    assert sweep.wait(timeout=180) != 0
    cluster.up()
    cluster.sweep("s3://sweeps/head", *WORK)
    assert_as_undisturbed(undisturbed, "s3://sweeps/head")


class Metadata(http.server.BaseHTTPRequestHandler):
    """Amazon's service that tells a spot instance of its end: /HOST/latest/…"""

    noticed: ClassVar[set[int]] = set()

    def do_PUT(self) -> None:
        self._answer(200, b"token")

    def do_GET(self) -> None:
        number = int(self.path.split("/")[1])
        is_asked = self.path.endswith("/latest/meta-data/spot/instance-action")
        known = is_asked and number in self.noticed and self.headers["X-aws-ec2-metadata-token"] == "token"
        self._answer(200 if known else 404, b'{"action": "terminate"}' if known else b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.disaster
def test_a_machine_that_joins_late_gets_work(cluster: Cluster, undisturbed_long: Folder) -> None:
    """Within half a minute of `ray start`, a trial runs there. The autoscaler, which would start it too, is asleep."""
    late = cluster.hosts[2]
    cluster.head.run("pkill -STOP -f autoscaler/_private/monitor.py")
    late.login("ray stop")
    wait_until(lambda: cluster.nodes() == 2, 120)
    sweep = cluster.submit("--results", "s3://sweeps/late", *LONG_WORK)
    wait_until(lambda: epochs_done("s3://sweeps/late") >= 2, 120)
    # Blocking as `ray up` starts it: else its log monitor outlives the raylet that has lost its head.
    late.login(f"nohup ray start --address={cluster.head.address}:6379 --block > /dev/null 2>&1 &")
    wait_until(lambda: bool(late.run("pgrep -f '^ray::ImplicitFunc.train'")), 30)
    cluster.head.run("pkill -CONT -f autoscaler/_private/monitor.py")
    assert sweep.wait(timeout=600) == 0, cluster.output()
    assert_as_undisturbed(undisturbed_long, "s3://sweeps/late")
    assert read_trials(Folder("s3://sweeps/late/age"))["device"].str.startswith(late.name).any()


@pytest.mark.disaster
def test_a_submitted_job_is_a_sweep(cluster: Cluster, undisturbed: Folder) -> None:
    words = ("python", "cifake-sweeps/sweeps/age.py", "--results", "s3://sweeps/job", *WORK)
    log = cluster.head.login(f"ray job submit -- {' '.join(words)} 2>&1")
    assert "succeeded" in log, log
    assert_as_undisturbed(undisturbed, "s3://sweeps/job")


@pytest.mark.disaster
def test_trials_leave_a_machine_that_is_given_notice(cluster: Cluster, undisturbed: Folder) -> None:
    server = http.server.ThreadingHTTPServer((LAPTOP, 5001), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sweep = cluster.submit("--results", "s3://sweeps/spot", *WORK)
    wait_until(lambda: epochs_done("s3://sweeps/spot") >= 2, 120)
    Metadata.noticed.add(3)
    wait_until(lambda: not cluster.hosts[2].run("pgrep -f '^ray::ImplicitFunc.train'"), 60)
    assert sweep.poll() is None, "the sweep was over before the machine was left"
    assert sweep.wait(timeout=300) == 0, cluster.output()
    server.shutdown()
    assert_as_undisturbed(undisturbed, "s3://sweeps/spot")


@pytest.mark.disaster
def test_a_host_that_stops(cluster: Cluster, undisturbed: Folder) -> None:
    sweep = cluster.submit("--results", "s3://sweeps/host", *WORK)
    wait_until(lambda: epochs_done("s3://sweeps/host") >= 6, 120)
    cluster.hosts[1].stop()
    assert sweep.wait(timeout=300) == 0, cluster.output()
    assert_as_undisturbed(undisturbed, "s3://sweeps/host")
    cluster.hosts[1].start()
