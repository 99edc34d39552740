# SPDX-License-Identifier: GPL-2.0
"""`make shell`: which lane, how QEMU is called, and what is refused."""

import contextlib
import os
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, ui
from harness.guest import qemu, userspace
from harness.runs import lanes, loop, shell


class Shell(unittest.TestCase):
    """Without a guest."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        patch = mock.patch.multiple(paths, OUT=Path(folder.name), CACHE=Path(folder.name))
        patch.start()
        self.addCleanup(patch.stop)
        self.known = lanes.load()

    def test_lane(self):
        for name, chosen in (("", "arm64-slub"), ("ppc64le", "ppc64le")):
            with self.terminal(), mock.patch.dict(os.environ, {"LANE": name}):
                shell.cmd_shell()
                self.assertEqual(self.built[-1].name, chosen)
        with self.terminal(), mock.patch.dict(os.environ, {"LANE": "vax"}), self.assertRaises(ui.Failure):
            shell.cmd_shell()

    @contextlib.contextmanager
    def terminal(self, status=0):
        """A terminal, and a QEMU that ends with this status; self.built are the lanes of which the kernel was built."""
        self.built = []
        with mock.patch.object(shell, "build", lambda lane: self.built.append(lane) or "archive"), \
                mock.patch.object(shell.sys, "stdin") as stdin, mock.patch.object(shell.sys, "stdout") as stdout, \
                mock.patch.object(shell.subprocess, "run") as run:
            stdin.isatty.return_value = stdout.isatty.return_value = True
            run.return_value.returncode = status
            yield

    def test_every_architecture(self):
        for lane in self.known.values():
            cmd = shell.command(lane, "archive")
            self.assertIn(lane.kernel.arch, userspace.ARCHES)
            self.assertEqual(cmd[0], f"qemu-system-{qemu.MACHINES[lane.kernel.arch].qemu}")
            self.assertIn("mon:stdio", cmd)
            for word in ("kunit.enable=0", *lane.boot):
                self.assertIn(word, cmd[-1].split())

    def test_needs_a_terminal(self):
        with mock.patch.object(shell, "build") as build, mock.patch.object(shell.sys, "stdin") as stdin:
            stdin.isatty.return_value = False
            with self.assertRaises(ui.Failure):
                shell.cmd_shell()
            build.assert_not_called()

    def test_exit_status(self):
        with self.terminal(3):
            self.assertEqual(shell.cmd_shell(), 3)

    def test_kernel_has_to_take_an_initramfs(self):
        lane = self.known["arm64-slub"]
        config = paths.build_dir(lane.kernel.name) / ".config"
        config.parent.mkdir(parents=True)
        composed = types.SimpleNamespace(tip="t", checkout=lambda *_: None)
        with mock.patch.object(loop.debian, "ensure"), mock.patch.object(lanes, "build"), \
                mock.patch.object(loop.compose, "prepare", lambda: composed), \
                mock.patch.object(shell, "initramfs", lambda *_: "archive"), open(os.devnull, "w", encoding="ascii") as null, \
                contextlib.redirect_stdout(null):
            config.write_text(f"{shell.OPTION}\n", encoding="ascii")
            self.assertEqual(shell.build(lane), "archive")
            config.write_text("# CONFIG_BLK_DEV_INITRD is not set\n", encoding="ascii")
            with self.assertRaises(ui.Failure):
                shell.build(lane)

    def test_every_kernel_takes_one(self):
        for lane in self.known.values():
            texts = [(paths.base_dir() / f"kunit/{name}.config").read_text(encoding="utf-8")
                     for name in lane.kernel.fragments]
            self.assertTrue(any(shell.OPTION in text.splitlines() for text in texts), lane.name)

    def test_busybox_is_kept(self):
        kept = paths.CACHE / "userspace/busybox-arm64"
        kept.parent.mkdir()
        kept.touch()
        with mock.patch.object(userspace, "unpack") as unpack:
            self.assertEqual(shell.busybox("arm64"), kept)
            unpack.assert_not_called()

    def test_busybox_of_the_package(self):
        """The package has another file of that name, which came first on one machine."""
        def unpack(_package, folder, arch):
            self.assertEqual(arch, "powerpc")
            for name in ("usr/share/initramfs-tools/hooks/busybox", "bin/busybox"):
                (folder / name).parent.mkdir(parents=True)
                (folder / name).write_text(name, encoding="ascii")
            return "1", folder
        with mock.patch.object(userspace, "unpack", unpack):
            self.assertEqual(shell.busybox("powerpc").read_text(encoding="ascii"), "bin/busybox")

    def test_init(self):
        self.assertTrue(shell.INIT.startswith("#!/bin/busybox sh\n"))


if __name__ == "__main__":
    unittest.main()
