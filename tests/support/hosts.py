"""Hosts on one machine: each has a network, processes, a home and an address of its own, and sshd. For root on Linux.

    laptop 10.77.0.254 ── bridge ── 10.77.0.1, 10.77.0.2 …       storage 10.77.0.253

The laptop is this machine's own namespace. Hosts share its files but /tmp/ray, where Ray and their homes are.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.commands import wait_until

BRIDGE, LAPTOP, STORAGE = "sweeps0", "10.77.0.254", "10.77.0.253"
ENDPOINT, METADATA = f"http://{STORAGE}:5000", f"http://{LAPTOP}:5001"
HOME = "/tmp/ray/home"
#: What a laptop and all hosts need to reach the storage.
AWS = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}

_SSHD = """
Port 22
ListenAddress {address}
HostKey {state}/host_key
AuthorizedKeysFile {state}/key.pub
StrictModes no
PermitRootLogin yes
UsePAM no
PidFile none
"""
_BASHRC = """
export RAY_AUTH_MODE=token PATH={bin}:$PATH TMPDIR=/tmp/ray/tmp PYTHONPATH=$HOME/cifake-sweeps
export {aws}
export AWS_EC2_METADATA_SERVICE_ENDPOINT={metadata}/{number}
export RAY_gcs_rpc_server_reconnect_timeout_s={patience}
"""
_BEGIN = """
set -e
hostname {name}
mkdir -p /tmp/ray /run/sshd
rm -rf {state}/ray/tmp/*  # as a boot does
mount --bind {state}/ray /tmp/ray
mount --bind {state}/passwd /etc/passwd
exec /usr/sbin/sshd -D -e -f {state}/sshd_config
"""


def missing() -> str:
    """Why there can be no hosts here, or nothing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, for network namespaces"
    lacking = [name for name in ("ip", "unshare", "nsenter", "ssh", "rsync", "ssh-keygen") if not shutil.which(name)]
    lacking += [] if Path("/usr/sbin/sshd").exists() else ["sshd"]
    return f"needs {', '.join(lacking)}" if lacking else ""


@dataclass
class Host:
    """One of the hosts. `state` is its folder on the laptop."""

    number: int
    state: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def name(self) -> str:
        return f"sweeps-{self.number}"

    @property
    def address(self) -> str:
        return f"10.77.0.{self.number}"

    def start(self) -> None:
        """Boot: namespaces, then sshd as their first process."""
        words = ["ip", "netns", "exec", self.name, "unshare", "--mount", "--pid", "--uts", "--ipc", "--fork"]
        words += ["--kill-child", "--mount-proc", "bash", "-c", _BEGIN.format(name=self.name, state=self.state)]
        log = (self.state / "sshd.log").open("ab")
        self.process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: run("ssh-keyscan", "-T", "1", self.address, check=False).stdout != "", 20)

    def stop(self) -> None:
        """Pull the plug: every process of the host is gone."""
        if self.process:
            os.kill(self._first_process(), signal.SIGKILL)
            self.process.wait()
            self.process = None

    def cut(self, is_cut: bool = True) -> None:
        """Pull the network cable, or plug it in again."""
        run("ip", "link", "set", f"veth-{self.number}", "down" if is_cut else "up")

    def run(self, command: str) -> str:
        """What a command prints that is run on the host, whatever its exit code."""
        words = ["nsenter", "--target", str(self._first_process()), "--all", "bash", "-c", command]
        return run(*words, check=False).stdout

    def login(self, command: str) -> str:
        """What a command prints that somebody runs who has logged in: with the host's home, path and environment."""
        return self.run(f"export HOME={HOME}; source ~/.bashrc; cd ~; {command}")

    def kill(self, pattern: str) -> int:
        """Kill -9 the processes of the host whose command line matches; returns how many there were."""
        found = [int(word) for word in self.run(f"pgrep -f -- '{pattern}' | grep -vx $$").split()]
        if found:
            self.run(f"kill -9 {' '.join(map(str, found))}")
        return len(found)

    def kill_child(self, pattern: str) -> bool:
        """Kill -9 the newest child of the oldest process whose command line matches; False if there is none."""
        child = self.run(f"pgrep -n -P $(pgrep -o -f -- '{pattern}')").strip()
        if child:
            self.run(f"kill -9 {child}")
        return bool(child)

    def _first_process(self) -> int:
        assert self.process, f"{self.name} does not run"
        child = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        wait_until(lambda: child.read_text().strip() != "", 10)
        return int(child.read_text().split()[0])


@contextlib.contextmanager
def hosts(count: int, folder: Path, patience: int) -> Iterator[list[Host]]:
    """So many running hosts, the bridge between them, and a key at `folder`/key that opens all of them.

    `patience` is how many seconds a host's Ray waits for its head before it ends; Ray's default is 60.
    """
    _clean()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key"))
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    for address in (LAPTOP, STORAGE):
        run("ip", "addr", "add", f"{address}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    made = [Host(number, folder / f"host-{number}") for number in range(1, count + 1)]
    try:
        for host in made:
            _install(host, folder / "key.pub", patience)
            host.start()
        yield made
    finally:
        for host in made:
            host.stop()
        _clean()


def storage_answers(does: bool) -> None:
    """Take the storage's address away, or give it back."""
    run("ip", "addr", "add" if does else "del", f"{STORAGE}/24", "dev", BRIDGE)


def _install(host: Host, key: Path, patience: int) -> None:
    """The host's files and its cable."""
    home = host.state / "ray" / "home"
    home.mkdir(parents=True)
    (host.state / "ray" / "tmp").mkdir()
    shutil.copy(key, host.state / "key.pub")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.state / "host_key"))
    (host.state / "sshd_config").write_text(_SSHD.format(address=host.address, state=host.state))
    users = Path("/etc/passwd").read_text().splitlines()
    others = [user for user in users if not user.startswith("root:")]
    (host.state / "passwd").write_text("\n".join([f"root:x:0:0:root:{HOME}:/bin/bash", *others, ""]))
    aws = " ".join(f"{name}={value}" for name, value in AWS.items())
    words = {"bin": Path(sys.executable).parent, "aws": aws, "metadata": METADATA}
    (home / ".bashrc").write_text(_BASHRC.format(**words, number=host.number, patience=patience))
    run("ip", "netns", "add", host.name)
    run("ip", "link", "add", f"veth-{host.number}", "type", "veth", "peer", "name", "eth0", "netns", host.name)
    run("ip", "link", "set", f"veth-{host.number}", "master", BRIDGE, "up")
    inside = ["ip", "-n", host.name]
    run(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
    run(*inside, "link", "set", "eth0", "up")
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "route", "add", "default", "via", LAPTOP)  # by it Ray finds the host's own address


def _clean() -> None:
    """Remove what this or an earlier, killed run has made."""
    for line in run("ip", "netns", "list").stdout.splitlines():
        if line.startswith("sweeps-"):
            run("ip", "netns", "del", line.split()[0], check=False)
    run("ip", "link", "del", BRIDGE, check=False)


def run(*words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, check=check)
