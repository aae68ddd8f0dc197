"""Two machines in one: a network namespace beside this one, with a wire between them that can be slowed or cut."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

HERE, THERE = "10.213.77.1", "10.213.77.2"
_NAMESPACE, _NEAR, _FAR = "killassay-far", "ka-near", "ka-far"


def run(command: str) -> None:
    """A command of the system.

    Raises:
        CalledProcessError: It failed.
    """
    subprocess.run(command.split(), check=True, capture_output=True)


@dataclass(frozen=True)
class Wire:
    """Between here and the other machine."""

    def there(self, words: list[str]) -> list[str]:
        """The same command, on the other machine."""
        return ["ip", "netns", "exec", _NAMESPACE, *words]

    def cut(self) -> None:
        """Nothing passes any more, and nobody is told."""
        run(f"ip netns exec {_NAMESPACE} ip link set {_FAR} down")

    def slow(self, delay: str, loss: str) -> None:
        """Every packet takes longer, some are lost."""
        run(f"tc qdisc add dev {_NEAR} root netem delay {delay} loss {loss}")


@contextmanager
def wired() -> Iterator[Wire]:
    """The other machine, for as long as a test needs it."""
    run(f"ip netns add {_NAMESPACE}")
    try:
        run(f"ip link add {_NEAR} type veth peer name {_FAR}")
        run(f"ip link set {_FAR} netns {_NAMESPACE}")
        run(f"ip addr add {HERE}/24 dev {_NEAR}")
        run(f"ip link set {_NEAR} up")
        run(f"ip netns exec {_NAMESPACE} ip addr add {THERE}/24 dev {_FAR}")
        run(f"ip netns exec {_NAMESPACE} ip link set {_FAR} up")
        run(f"ip netns exec {_NAMESPACE} ip link set lo up")
        yield Wire()
    finally:
        subprocess.run(["ip", "link", "del", _NEAR], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", _NAMESPACE], check=False, capture_output=True)
