# SPDX-License-Identifier: GPL-2.0
"""`make check`: what is compiled, what counts as a complaint, and exceptions."""

import contextlib
import io
import os
import shutil
import tempfile
import types
import unittest
from collections import Counter
from pathlib import Path
from unittest import mock

from harness import paths, ui
from harness.runs import check, lanes
from harness.runs import compile as builds

KERNELS = [lanes.Kernel("slub", "arm64", ["common", "part-mm", "part-v7s"]),
           lanes.Kernel("kasan", "arm64", ["common", "kasan", "part-mm"]),
           lanes.Kernel("slob", "arm64", ["common", "slob", "part-mm"]),
           lanes.Kernel("ppc", "powerpc", ["common", "part-ddw"])]


class Warnings(unittest.TestCase):
    """From a build log to what can be compared."""

    def test_line_numbers_do_not_matter(self):
        first = builds.warnings("../../../tree/6.1/mm/x.c:12:3: warning: unused variable 'a' [-Wunused-variable]\n", "/t")
        other = builds.warnings("/t/mm/x.c:99:3: warning: unused variable 'a' [-Wunused-variable]\n", "/t")
        self.assertEqual(first, other)
        self.assertEqual(list(first), [("W=1", "mm/x.c: unused variable 'a' [-Wunused-variable]")])

    def test_sparse(self):
        found = builds.warnings("mm/x.c:1:2: warning: context imbalance in 'f' - wrong count at exit\n", "/t")
        self.assertEqual([kind for kind, _ in found], ["sparse"])

    def test_counted(self):
        line = "mm/x.c:1:2: warning: context imbalance in 'f'\n"
        self.assertEqual(list(builds.warnings(line * 2, "/t").values()), [2])

    def test_nothing(self):
        self.assertFalse(builds.warnings("  CC      mm/x.o\nmm/x.c: In function 'f':\n", "/t"))


class What(unittest.TestCase):
    """Which kernels and folders."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = Path(folder.name)
        for name in ("Makefile", "mm/Makefile", "mm/kasan/Makefile", "drivers/iommu/Makefile", "mm/tests/none",
                     "arch/powerpc/kernel/Makefile"):
            (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / name).touch()

    def test_arch(self):
        self.assertEqual(builds.arch_of(["mm/x.c"], KERNELS), "arm64")
        self.assertEqual(builds.arch_of(["mm/x.c", "arch/powerpc/kernel/iommu.c"], KERNELS), "powerpc")
        self.assertEqual(builds.arch_of(["arch/sparc/x.c"], KERNELS), "arm64")

    def test_variants(self):
        def names(part, arch):
            return [variant.name for variant in builds.variants(part, arch, KERNELS)]
        self.assertEqual(names("mm", "arm64"), ["on-slub", "on-slob", "off-mm-slub", "module-mm-slub"])
        self.assertEqual(names("v7s", "arm64"), ["on-slub", "off-v7s-slub", "module-v7s-slub"])
        self.assertEqual(names("ddw", "powerpc"), ["on-ppc", "off-ddw-ppc", "module-ddw-ppc"])
        self.assertEqual(names("mm", "powerpc"), ["on-ppc", "off-mm-ppc", "module-mm-ppc"])

    def test_folders(self):
        def folders(*files, others=("mm/x.c", "drivers/iommu/y.c")):
            return builds.folders(files, others, "arm64", self.tree)
        self.assertEqual(folders("mm/x.c", "include/linux/x.h"), ["mm/"])
        self.assertEqual(folders("mm/x.c", "mm/kasan/y.c"), ["mm/"])
        self.assertEqual(folders("mm/tests/x_kunit.c"), ["mm/"])
        self.assertEqual(folders("include/linux/x.h"), ["drivers/iommu/", "mm/"])
        self.assertEqual(folders("mm/Kconfig"), ["drivers/iommu/", "mm/"])
        self.assertEqual(folders("Documentation/x.rst", "MAINTAINERS", "tools/testing/x.c"), [])
        self.assertEqual(folders("arch/powerpc/kernel/iommu.c", others=()), [])
        self.assertEqual(folders("x.c"), [])

    def test_plans(self):
        def mail(part, name, *files):
            return types.SimpleNamespace(id=f"{part}/{name}", part=part), "".join(f"+++ b/{f}\n" for f in files).encode()
        mails = [mail("mm", "a", "mm/x.c"), mail("mm", "doc", "Documentation/x.rst"),
                 mail("ddw", "a", "arch/powerpc/kernel/iommu.c"), mail("ddw", "doc", "Documentation/y.rst")]
        with mock.patch.dict(os.environ, {"PATCHES": "*/doc mm/a"}):
            first, end, other = check.plans(mails, KERNELS)
        self.assertEqual([plan.commit.id for plan in (first, end, other)], ["mm/a", "mm/doc", "ddw/doc"])
        self.assertEqual([plan.last for plan in (first, end, other)], [False, True, True])
        self.assertEqual(other.arch, "powerpc")             # that of its part, which it has to link
        self.assertEqual(end.folders(self.tree), ["mm/"])   # likewise
        with mock.patch.dict(os.environ, {"PATCHES": "x"}), self.assertRaises(ui.Failure):
            list(check.plans(mails, KERNELS))

    def test_options(self):
        with mock.patch.object(lanes, "fragment_of", lambda name, known: f"CONFIG_{name.upper().replace('-', '_')}=y\n"):
            for mode, inside, lines in (("on", False, ["CONFIG_PART_MM=y"]), ("off", False, []),
                                        ("module", False, ["CONFIG_PART_MM=m"])):
                text, wanted = builds.options(builds.Variant(KERNELS[0], "mm", mode), set())
                self.assertEqual((wanted, "PART_MM" in text, "PART_V7S" in text), (lines, inside, True))
            self.assertIn("CONFIG_MODULES=y", text)

    def test_configure(self):
        """An option that cannot be a module is built in; one that is lost is told at the end of a part."""
        def olddefconfig(_, build, *__):
            made.append(build)
            config = build / ".config"
            lines = config.read_text(encoding="utf-8").splitlines()
            config.write_text("\n".join(line for line in lines if line != "CONFIG_BOOL=m" and line not in lost), encoding="utf-8")
        lost, made, kconfig = [], [], [""]
        with mock.patch.object(paths, "OUT", self.tree / "out"), mock.patch.object(builds.kbuild, "make", olddefconfig), \
                mock.patch.object(lanes, "kconfig", lambda _: kconfig[0]), \
                mock.patch.object(builds, "options", lambda *_: ("", ["CONFIG_BOOL=m", "CONFIG_TRI=m"])):
            variant = builds.Variant(KERNELS[0], "mm", "module")
            build = builds.configure(variant, self.tree, True)
            for _ in range(2):      # the second time, nothing is made
                self.assertEqual((build / ".config").read_text(encoding="utf-8").split(), ["CONFIG_BOOL=y", "CONFIG_TRI=m"])
                self.assertEqual(len(made), 2)
                builds.configure(variant, self.tree, True)
            kconfig[0] = "config NEW"
            lost.append("CONFIG_TRI=m")
            lost.append("CONFIG_TRI=y")
            builds.configure(variant, self.tree)
            self.assertEqual(len(made), 4)
            with self.assertRaises(ui.Failure):
                builds.configure(variant, self.tree, True)


class Compile(unittest.TestCase):
    """Compared with the base."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for patch in (mock.patch.object(paths, "OUT", Path(folder.name)),
                      mock.patch.object(builds, "configure", lambda variant, tree, complete=False: "build"),
                      mock.patch.object(builds.kbuild, "make", self.make)):
            patch.start()
            self.addCleanup(patch.stop)
        self.variant = builds.Variant(KERNELS[0], "mm", "off")
        self.text, self.status, self.targets = "", 0, []

    def make(self, tree, build, arch, targets, log, **_):
        """Say self.text."""
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(self.text, encoding="utf-8")
        self.targets.append(targets)
        return self.status

    def compare(self, known=()):
        """The columns that fail."""
        return [column for column, _, _ in builds.compare("mm/a", self.variant, Path("/t"), ["mm/"], Counter(known))]

    def test_warnings(self):
        self.assertEqual(self.compare(), [])
        self.text = "mm/x.c:1:2: warning: odd [-Wodd]\nmm/x.c:1:2: warning: context imbalance\n"
        self.assertEqual(self.compare(), ["W=1", "sparse"])
        known = [("W=1", "mm/x.c: odd [-Wodd]"), ("sparse", "mm/x.c: context imbalance")]
        self.assertEqual(self.compare(known), [])
        self.text *= 2
        self.assertEqual(self.compare(known), ["W=1", "sparse"])

    def test_error(self):
        self.status, self.text = 2, "mm/x.c:1:2: error: bad\n"
        self.assertIn("off", self.compare())
        self.text = ""
        self.assertEqual(self.compare(), ["off"])

    def test_base(self):
        self.text = "mm/x.c:1:2: warning: odd [-Wodd]\n"
        other = builds.Variant(KERNELS[0], "mm", "off")
        known = builds.base([(self.variant, ["mm/"]), (other, ["lib/"])], Path("/t"))
        self.assertEqual(known, {"off-mm-slub": Counter([("W=1", "mm/x.c: odd [-Wodd]")])})
        self.assertEqual(self.targets, [["W=1", "C=1", "--keep-going", "lib/", "mm/"]])
        self.status = 2
        with self.assertRaises(ui.Failure):
            builds.base([(self.variant, ["mm/"])], Path("/t"))

    def test_link(self):
        builds.link("mm/a", self.variant, Path("/t"), False)
        builds.link("mm/a", builds.Variant(KERNELS[0], "mm", "module"), Path("/t"), True)
        self.assertEqual(self.targets, [["W=1", "vmlinux"], ["W=1", "vmlinux", "modules"]])

    def test_link_on(self):
        """With the options that the tree has; at the end of a part, all of the part have to be there."""
        built, kconfig, fragment = [], ["config A\n"], paths.OUT / "part-mm.config"
        fragment.parent.mkdir(parents=True, exist_ok=True)
        fragment.write_text("CONFIG_A=y\n# CONFIG_B is not set\n", encoding="ascii")
        with mock.patch.multiple(lanes, known_to=lambda *_: "known", build=lambda kernel, use, name: built.append(kernel),
                                 kconfig=lambda _: kconfig[0], fragment=lambda _: fragment):
            variant = builds.Variant(KERNELS[0], "mm", "on")
            builds.link("mm/a", variant, Path("/t"), False)
            with self.assertRaisesRegex(ui.Failure, "CONFIG_B is not to be had"):
                builds.link("mm/a", variant, Path("/t"), True)
            self.assertEqual(built, ["known"])
            kconfig[0] += "config B\n"
            builds.link("mm/a", variant, Path("/t"), True)
            fragment.unlink()
            builds.link("mm/a", variant, Path("/t"), True)
        self.assertEqual(built, ["known"] * 3)


class Rules(unittest.TestCase):
    """series/check-exceptions."""

    def test_allow(self):
        rules = check.Exceptions("# why\nA_B * always\nC mm/* once # really\nD v7s/x never\n")
        self.assertTrue(rules.allow("A_B", "mm/x"))
        self.assertTrue(rules.allow("C", "mm/y"))
        self.assertFalse(rules.allow("C", "v7s/y"))
        self.assertEqual(rules.stale(), ["D v7s/x"])

    def test_no_reason(self):
        with self.assertRaises(ui.Failure):
            check.Exceptions("A_B *\n")

    def test_no_such_patch(self):
        rules = check.Exceptions("A * always\nB mm/* some\nC mm/x one\n")
        composed = types.SimpleNamespace(commits=[types.SimpleNamespace(id="mm/x"), types.SimpleNamespace(id="mm/y")])
        with mock.patch.object(check, "load_exceptions", lambda: rules):
            check.check_exceptions(composed)
            composed.commits.pop(0)
            with self.assertRaisesRegex(ui.Failure, "C mm/x: there is no such patch"):
                check.check_exceptions(composed)


class Patch(unittest.TestCase):
    """One patch: what each tool says."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for patch in (mock.patch.object(paths, "OUT", Path(folder.name)), mock.patch.object(ui, "run", self.run_tool)):
            patch.start()
            self.addCleanup(patch.stop)
        self.blobs, self.said, self.status = {}, "", 0
        repo = types.SimpleNamespace(blob=self.blobs.get, resolve=self.blobs.get)
        self.composed = types.SimpleNamespace(base=types.SimpleNamespace(repo=repo), base_commit="base",
                                              checkout=lambda *_: None, parent=lambda _: "parent")
        self.check = check.Check(self.composed, check.Exceptions("LONG mm/a reason\n"))
        self.check.tree.mkdir(parents=True)

    def run_tool(self, cmd, log, check=True, **_):
        """A tool that says self.said; of checkpatch, about the file that it is given."""
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(self.said.replace("FILE", str(cmd[-1])), encoding="utf-8")
        if self.status and check:
            raise ui.Failure("no", log=log)
        return self.status

    def quiet(self, function, *args):
        """Call it; the failures are counted in self.check.failures."""
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*args)

    def test_checkpatch(self):
        for said, result in (("", "ok"), ("FILE:7: WARNING:LONG: too long\n", "ok"),
                             ("FILE:7: CHECK:SHORT: too short\n", "FAILED"), ("perl: not found\n", "FAILED")):
            self.said = said
            self.assertEqual(self.quiet(self.check.checkpatch, "mm/a", b"diff"), result)
        self.assertEqual(len(self.check.failures), 2)
        self.said = "FILE:7: WARNING:LONG: too long\n"
        self.assertEqual(self.quiet(self.check.checkpatch, "mm/b", b"diff"), "FAILED")

    def test_kernel_doc(self):
        (self.check.tree / "mm").mkdir()
        for name in ("new.c", "old.c"):
            (self.check.tree / "mm" / name).touch()
        self.blobs["base:mm/old.c"] = b""
        self.said = "mm/new.c:1: warning: x\n"
        self.assertEqual(self.quiet(self.check.kernel_doc, "mm/a", ["mm/new.c"]), "FAILED")
        self.assertEqual(self.quiet(self.check.kernel_doc, "mm/a", ["mm/old.c", "mm/gone.c", "x.rst"]), "-")
        self.said = ""
        self.assertEqual(self.quiet(self.check.kernel_doc, "mm/a", ["mm/new.c"]), "ok")
        self.status = 1
        self.assertEqual(self.quiet(self.check.kernel_doc, "mm/a", ["mm/new.c"]), "FAILED")

    def test_docutils(self):
        (self.check.tree / "x.rst").write_text("bad\n", encoding="ascii")
        def malformed(text):
            return Counter(text.decode().split())
        with mock.patch.object(check, "malformed", malformed):
            self.assertEqual(self.quiet(self.check.docutils, "mm/a", ["x.rst"], "parent"), "FAILED")
            self.blobs["parent:x.rst"] = b"bad worse\n"
            self.assertEqual(self.quiet(self.check.docutils, "mm/a", ["x.rst"], "parent"), "ok")
            self.assertEqual(self.quiet(self.check.docutils, "mm/a", ["x.c", "gone.rst"], "parent"), "-")

    @unittest.skipUnless(shutil.which("rst2pseudoxml"), "python3-docutils is not installed")
    def test_malformed(self):
        good = b"Title\n=====\n\n.. kernel-doc:: mm/x.c\n\nSee :ref:`there`.\n\n.. include:: <isonum.txt>\n"
        self.assertFalse(check.malformed(good))
        self.assertTrue(check.malformed(b"====  ====\na     b\n====  ====\ntoo long\n====  ====\n"))
        self.assertTrue(check.malformed(b"A title\n====\n"))

    def test_tools(self):
        folder = self.check.tree / "tools/testing/x"
        folder.mkdir(parents=True)
        (folder / "Makefile").touch()
        self.quiet(self.check.tools, "mm/a", ["tools/testing/x/t.c", "mm/x.c"])
        self.assertFalse(self.check.failures)
        self.status = 1
        self.quiet(self.check.tools, "mm/a", ["tools/testing/x/t.c"])
        self.assertEqual(len(self.check.failures), 1)
        (folder / "Makefile").write_text("obj-m := probe.o\n")
        self.quiet(self.check.tools, "mm/a", ["tools/testing/x/probe.c"])       # a module
        self.assertEqual(len(self.check.failures), 1)

    def test_scripts(self):
        with mock.patch.object(check, "repository_files", lambda: ["harness/run", "harness/ui.py"]):
            self.quiet(self.check.scripts)
            self.assertFalse(self.check.failures)
            self.status = 1
            self.quiet(self.check.scripts)
            self.assertEqual(len(self.check.failures), 2)

    def plan(self, last=False):
        """A plan whose folder is mm/."""
        commit = types.SimpleNamespace(id="mm/a", part="mm", commit="1", tree="2")
        plan = check.Plan(commit, b"+++ b/mm/x.c\n", "arm64", ["mm/x.c"], builds.variants("mm", "arm64", KERNELS), last)
        plan.folders = lambda tree: ["mm/"]
        return plan

    def built(self, last=False, bad=(), unlinked=()):
        """(the row, the modes that were linked)."""
        plan, linked = self.plan(last), []
        self.check.known = {variant.name: Counter() for variant in plan.variants}

        def link(patch, variant, tree, complete):
            linked.append((variant.mode, complete))
            if variant.mode in unlinked:
                raise ui.Failure("no")
        with mock.patch.multiple(builds, link=link, compare=lambda patch, variant, *_: [
                (column, "bad", "log") for mode, column in bad if mode == variant.mode]):
            return self.quiet(self.check.build, plan), linked

    def test_build(self):
        good = dict.fromkeys(builds.COLUMNS, "ok")
        self.assertEqual(self.built(), (good, [("on", False)]))
        self.assertEqual(self.built(last=True), (good, [("off", True), ("on", True), ("module", True)]))
        self.assertEqual(self.check.failures, [])
        self.assertEqual(self.built(bad=[("off", "sparse")])[0], {**good, "sparse": "FAILED"})
        self.assertEqual(self.built(bad=[("module", "module")])[0], {**good, "module": "FAILED"})
        self.assertEqual(self.built(unlinked=["on"])[0], {**good, "on": "FAILED"})
        self.assertEqual(len(self.check.failures), 3)
        plan = self.plan()
        plan.folders = lambda tree: []
        self.assertEqual(self.quiet(self.check.build, plan), dict.fromkeys(builds.COLUMNS, "-"))

    def test_alone(self):
        composed = types.SimpleNamespace(commits=[types.SimpleNamespace(tree="2")], tip="t", checkout=lambda *_: None)
        with mock.patch.object(check.compose, "prepare", lambda parts: composed), \
                mock.patch.object(builds, "link", side_effect=ui.Failure("no")) as link:
            self.quiet(self.check.alone, self.plan())
            link.assert_not_called()                        # the same tree as in the series
            composed.commits[0].tree = "3"
            self.quiet(self.check.alone, self.plan())
        self.assertEqual(len(self.check.failures), 1)

    def test_row_and_exit_status(self):
        words = {"build": dict.fromkeys(builds.COLUMNS, "ok"), "checkpatch": "ok", "kernel_doc": "-", "docutils": "FAILED",
                 "tools": None}
        with mock.patch.multiple(self.check, **{name: mock.Mock(return_value=word) for name, word in words.items()}):
            self.quiet(self.check.patch, self.plan())
        self.assertEqual(self.check.table, [("mm/a", "ok", "ok", "ok", "ok", "ok", "ok", "-", "FAILED")])
        self.assertEqual(self.quiet(self.check.finish), 0)
        self.quiet(self.check.fail, "bad")
        self.assertEqual(self.quiet(self.check.finish), 1)
        self.check.failures, self.check.table = [], []
        self.assertEqual(self.quiet(self.check.finish), 1)


class Command(unittest.TestCase):
    """`make check` as a whole."""

    def test_order_and_stale_exceptions(self):
        calls = []
        commits = [types.SimpleNamespace(id=f"mm/{name}", part="mm", commit=name, tree=name) for name in "ab"]
        composed = types.SimpleNamespace(commits=commits, mails=lambda: [(commit, b"+++ b/mm/x.c\n") for commit in commits])

        def method(name):
            return lambda self, *args: calls.append(name)
        for patches, status, told in (("", 1, True), ("mm/b", 0, False)):
            with mock.patch.multiple(check.Check, base=method("base"), scripts=method("scripts"), alone=method("alone"),
                                     patch=lambda self, plan: self.table.append((plan.commit.id, *[""] * 8))), \
                    mock.patch.object(check.Exceptions, "stale", lambda self: ["X *"]), \
                    mock.patch.object(check.compose, "prepare", lambda: composed), \
                    mock.patch.object(check.debian, "ensure", lambda _: calls.append("packages")), \
                    mock.patch.dict(os.environ, {"PATCHES": patches}), contextlib.redirect_stdout(io.StringIO()) as out:
                self.assertEqual(check.cmd_check(), status)
            self.assertEqual("nothing needs `X *`" in out.getvalue(), told)
        self.assertEqual(calls[:4], ["packages", "scripts", "base", "alone"])

    def test_files(self):
        self.assertEqual(check.touched(b"--- a/x\n+++ b/mm/x.c\n--- a/y\n+++ /dev/null\n"), ["mm/x.c"])
        self.assertTrue(check.is_shell(paths.TOP / "harness/run"))
        self.assertTrue(check.is_shell(paths.TOP / ".ci/run"))
        self.assertFalse(check.is_shell(paths.TOP / "harness/ui.py"))


if __name__ == "__main__":
    unittest.main()
