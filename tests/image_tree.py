"""The file system of an image, made here by the Dockerfile's own lines, and what runs in it as in a container.

A tree in memory with the machine's programs and Python, in a mount namespace of its own. What runs in it is not root,
has no capability and no way to get one, and a root that it cannot write. Not of an image are the network and the
processes that it sees: they are the machine's. Needs root, for the mounts.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pip

import processes
from dockerfile import Stage
from waiting import eventually

USER = 10001
_PROGRAMS = ("unshare", "nsenter", "mount", "chroot", "setpriv")
_PATHS = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

# An image of Python has pip beside it: the one that runs these tests stands in for it.
_SET_UP = r"""
set -eu
tree=$1 prefix=$2 pip=$3 wheels=$4
mount -t tmpfs -o mode=755 tree "$tree"
cd "$tree"
mkdir -p usr etc proc dev tmp data envoy wheels run .over/up .over/work
mount --rbind /usr usr && mount -o remount,bind,ro usr
mount -t overlay -o lowerdir=/usr/local,upperdir=.over/up,workdir=.over/work over usr/local
for link in bin lib lib64 sbin; do [ -e /$link ] && ln -s usr/$link $link; done
for file in passwd group shadow gshadow login.defs hosts nsswitch.conf ld.so.cache ld.so.conf localtime; do
  [ -e /etc/$file ] && cp -L /etc/$file etc/
done
mount --rbind /proc proc
for device in null zero urandom random; do touch dev/$device && mount --bind /dev/$device dev/$device; done
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 data data
mount --bind "$wheels" wheels
if [ "$prefix" != /usr/local ]; then
  if [ "$prefix" != /usr ]; then
    mkdir -p "./$prefix" && mount --bind "$prefix" "./$prefix" && mount -o remount,bind,ro "./$prefix"
  fi
  packages=usr/local/lib/python3/site-packages
  mkdir -p $packages usr/local/bin
  cp -r "$pip" $packages/pip
  printf '#!/bin/sh\nexec %s/bin/python3 "$@"\n' "$prefix" > usr/local/bin/python
  printf '#!/bin/sh\nexec python /%s/pip "$@"\n' $packages > usr/local/bin/pip
  chmod 755 usr/local/bin/python usr/local/bin/pip
fi
touch .ready
exec sleep infinity
"""

_TRIAL = """
mount -t tmpfs trial /mnt
mkdir /mnt/low /mnt/up /mnt/work /mnt/over
mount -t overlay -o lowerdir=/mnt/low,upperdir=/mnt/up,workdir=/mnt/work trial /mnt/over
"""


def missing() -> str | None:
    """Why there can be no tree here; None when there can."""
    absent = [program for program in _PROGRAMS if shutil.which(program, path=_PATHS) is None]
    if absent:
        return f"install {', '.join(absent)}"
    tried = subprocess.run(["unshare", "--mount", "sh", "-ec", _TRIAL], capture_output=True)
    return None if tried.returncode == 0 else "run as root, where mounts are allowed"


class ImageTree:
    """One image's tree; `close` ends what holds it."""

    def __init__(self, wheels: Path, log: Path) -> None:
        """Args:
        wheels: what the build's stage of wheels would have left.
        log: takes what setting up and the builds say.
        """
        self._root = Path(tempfile.mkdtemp(prefix="intertie-image-"))
        self._log = log
        prefix = str(Path(sys.base_prefix).resolve())
        arguments = [str(self._root), prefix, str(Path(pip.__file__).parent), str(wheels)]
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SET_UP, "set-up", *arguments]
        self._holder = processes.start(command, log=log)

    @classmethod
    async def make(cls, wheels: Path, log: Path) -> Self:
        """A tree that is set up."""
        tree = cls(wheels, log)
        try:
            await eventually(tree._is_ready, timeout=30)
        except BaseException:
            tree.close()
            raise
        return tree

    def build(self, commands: Sequence[str], service: str) -> None:
        """Run the commands of RUN instructions, as root while the tree can be written; AssertionError if one fails."""
        environment = ["env", "-i", f"PATH={_PATHS}", "HOME=/tmp", f"SERVICE={service}"]
        for command in commands:
            words = [*self._enter(), *environment, "sh", "-ec", command]
            done = subprocess.run(words, capture_output=True, text=True)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    def seal(self) -> None:
        """Take the wheels away, and let nothing but the volume and /tmp be written from now on."""
        script = (
            'cd "$1" && umount wheels && chown 10001:10001 data && chmod 700 data '
            '&& mount -o remount,bind,ro usr/local && mount -o remount,ro "$1"'
        )
        subprocess.run([*self._namespace(), "sh", "-ec", script, "seal", str(self._root)], check=True)

    def command(self, stage: Stage, words: Sequence[str], service: str, env: Mapping[str, str]) -> list[str]:
        """Spell a command that runs in the tree as it would in a container of the final stage."""
        dropped = ["--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        # Told here, since a change of the user takes away what the parent asked of the kernel.
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", *dropped, "--pdeathsig=KILL"]
        environment = {**stage.environment(service), **env}
        settings = [f"{name}={value}" for name, value in environment.items()]
        return [*self._enter(), *user, "env", "-i", *settings, *words]

    def close(self) -> None:
        """End what holds the tree, which is then gone."""
        processes.stop(self._holder)
        self._root.rmdir()

    def _is_ready(self) -> bool:
        if self._holder.poll() is not None:
            raise RuntimeError(f"the tree could not be set up:\n{self._log.read_text()}")
        root = Path(f"/proc/{self._holder.pid}/root")
        return (root / self._root.relative_to("/") / ".ready").exists()

    def _namespace(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt"]

    def _enter(self) -> list[str]:
        return [*self._namespace(), "chroot", str(self._root)]
