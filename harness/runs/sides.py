# SPDX-License-Identifier: GPL-2.0
"""The base and the series of a part that boots both.  Each has a work tree and a kernel of its own, so that
nothing is built again when they take turns."""

from dataclasses import dataclass

from harness import paths
from harness.guest import guest
from harness.runs import lanes

SIDES = ("base", "series")


@dataclass(frozen=True)
class Side:
    """One of SIDES, for a part such as devices, on an architecture."""
    part: str
    arch: str
    name: str

    @property
    def use(self):
        """Its name for lanes.tree_dir() and the like."""
        return f"{self.part}/{self.name}"

    @property
    def folder(self):
        """Objects of its kernel."""
        return lanes.out(self.use) / "build" / paths.BASE / f"{self.arch}-{self.name}"

    @property
    def logs(self):
        """Where its logs go."""
        return lanes.log_dir(self.use)

    def build(self, tip, *targets):
        """Build its kernel, with what bases/BASE/PART/ has for the architecture and the side; the work tree."""
        tree = tip.checkout(tip.base_commit if self.name == "base" else tip.tip, lanes.tree_dir(self.use))
        fragments = [paths.TOP / "bases" / paths.BASE / self.part / f"{name}.config"
                     for name in (self.arch, self.name)]
        guest.build(tree, self.folder, self.arch, [path for path in fragments if path.exists()],
                    self.logs / f"{self.arch}-{self.name}", *targets)
        return tree
