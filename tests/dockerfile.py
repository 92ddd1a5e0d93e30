"""The Dockerfile, read as far as tests run it: its stages, and what each instruction says."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from source_tree import ROOT


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: what stands between one FROM and the next."""

    name: str
    image: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        """What each instruction of the keyword says, in order."""
        return [text for word, text in self.instructions if word == keyword]

    def runs(self) -> list[str]:
        """The shell command of each RUN, without the mounts that BuildKit makes for it."""
        return [re.sub(r"^(--\S+\s+)+", "", text) for text in self.all("RUN")]

    def words(self, keyword: str) -> list[str]:
        """The words of the last ENTRYPOINT, or HEALTHCHECK's CMD, in JSON's form."""
        text = self.all(keyword)[-1]
        parsed: list[str] = json.loads(text[text.index("[") :])
        return parsed

    def environment(self, service: str) -> dict[str, str]:
        """What ENV sets, for an image built with this SERVICE."""
        pairs = re.findall(r"(\w+)=(\S+)", " ".join(self.all("ENV")))
        return {name: value.replace("${SERVICE}", service) for name, value in pairs}


def stages(path: Path = ROOT / "Dockerfile") -> list[Stage]:
    """Read the file; ARGs before the first stage stand nowhere."""
    text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    found: list[Stage] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        keyword, _, rest = line.strip().partition(" ")
        if keyword == "FROM":
            image, _, name = rest.partition(" AS ")
            found.append(Stage(name, image))
        elif keyword and found:
            found[-1].instructions.append((keyword, rest.strip()))
    return found
