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
from harness.guest import qemu
from harness.runs import lanes, shell


class Shell(unittest.TestCase):
    """Without a guest."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        patch = mock.patch.multiple(paths, OUT=Path(folder.name), CACHE=Path(folder.name))
        patch.start()
        self.addCleanup(patch.stop)
        self.known = lanes.load("6.1")

    def test_lane(self):
        for name, chosen in (("", "arm64-slub"), ("ppc64le", "ppc64le")):
            with mock.patch.dict(os.environ, {"LANE": name}):
                self.assertEqual(shell.chosen(self.known).name, chosen)
        with mock.patch.dict(os.environ, {"LANE": "vax"}), self.assertRaises(ui.Failure):
            shell.chosen(self.known)

    def test_every_architecture(self):
        for lane in self.known.values():
            cmd = shell.command(lane, "archive")
            self.assertIn(lane.kernel.arch, shell.DEBIAN)
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
        with mock.patch.object(shell, "build", lambda lane: "archive"), mock.patch.object(shell.sys, "stdin") as stdin, \
                mock.patch.object(shell.sys, "stdout") as stdout, mock.patch.object(shell.subprocess, "run") as run:
            stdin.isatty.return_value = stdout.isatty.return_value = True
            run.return_value.returncode = 3
            self.assertEqual(shell.cmd_shell(), 3)

    def test_kernel_has_to_take_an_initramfs(self):
        lane = self.known["arm64-slub"]
        config = lanes.build_dir(lane.kernel) / ".config"
        config.parent.mkdir(parents=True)
        composed = types.SimpleNamespace(tip="t", checkout=lambda *_: None)
        with mock.patch.object(shell.debian, "ensure"), mock.patch.object(lanes, "build"), \
                mock.patch.object(shell.compose, "prepare", lambda: composed), \
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
        with mock.patch.object(shell.debian, "private") as private:
            self.assertEqual(shell.busybox("arm64"), kept)
            private.assert_not_called()
        with mock.patch.multiple(shell.debian, private=lambda *_, **__: [], offered=lambda *_: []), \
                self.assertRaises(ui.Failure):
            shell.busybox("powerpc")

    def test_program_of_the_package(self):
        """Other files of the package have its name, too."""
        def unpack(cmd, _):
            for name, text in (("usr/share/initramfs-tools/conf-hooks.d/busybox", "hook"), ("usr/bin/busybox", "program")):
                path = cmd[-1] / name
                path.parent.mkdir(parents=True)
                path.write_text(text, encoding="ascii")
        with mock.patch.multiple(shell.debian, private=lambda *_, **__: [], offered=lambda *_: ["1"],
                                 download=lambda *_: "deb"), mock.patch.object(ui, "run", unpack):
            self.assertEqual(shell.busybox("arm64").read_text(encoding="ascii"), "program")

    def test_init(self):
        self.assertTrue(shell.INIT.startswith("#!/bin/busybox sh\n"))


if __name__ == "__main__":
    unittest.main()
