# SPDX-License-Identifier: GPL-2.0
"""Guests: machines, kernels' configurations, the initramfs, and fio in it."""

import shutil
import subprocess
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, ui
from harness.guest import image, kernel, qemu, userspace
from harness.source import debian, kbuild


class Temporary(unittest.TestCase):
    """Has a folder for a while, which is OUT and CACHE."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in ("OUT", "CACHE"):
            patch = mock.patch.object(paths, name, self.folder)
            patch.start()
            self.addCleanup(patch.stop)


class Qemu(Temporary):
    """Machines, for kunit.py and for our own guests."""

    def test_each_architecture_has_one(self):
        self.assertEqual(set(qemu.MACHINES), set(kbuild.ARCHES))

    def test_kunit(self):
        """kunit.py imports the file as one of its own package."""
        module = types.ModuleType("kunit.qemu_config")
        module.QemuArchParams = lambda **fields: fields
        for arch, machine in qemu.MACHINES.items():
            text = qemu.kunit_config(arch).read_text(encoding="ascii")
            names = {"__name__": f"kunit.configs.{arch}", "__package__": "kunit.configs"}
            with mock.patch.dict("sys.modules", {"kunit": types.ModuleType("kunit"), "kunit.qemu_config": module,
                                                 "kunit.configs": types.ModuleType("kunit.configs")}):
                exec(compile(text, arch, "exec"), names)
            given = names["QEMU_ARCH"]
            self.assertEqual((given["linux_arch"], given["qemu_arch"]), (arch, machine.qemu))
            self.assertEqual(given["extra_qemu_params"], [*machine.machine, "-smp", "2"])
            self.assertEqual(given["kernel_command_line"], f"console={machine.console} oops=panic panic=-1")
            self.assertEqual(given["kconfig"].split(), [f"CONFIG_{option}=y" for option in machine.config])

    def test_start(self):
        for status, hung in ((0, False), (1, False), (124, True), (137, True)):
            with mock.patch.object(ui, "run", return_value=status) as run:
                self.assertEqual(qemu.start("arm64", Path("b"), "i", "log", ["quiet"], ["-smp", "4"], timeout=5), hung)
            words = run.call_args.args[0]
            self.assertEqual(words[:4], ["timeout", "--kill-after=10", "5", "qemu-system-aarch64"])
            self.assertEqual(words[-3:], ["i", "-append", "console=ttyAMA0 oops=panic panic=-1 quiet"])
            self.assertIn("-no-reboot", words)

    def test_a_guest_that_hangs_is_ended(self):
        """timeout(1) itself, with a QEMU that ignores the signal."""
        fake = self.folder / "qemu-system-aarch64"
        fake.write_text("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", encoding="ascii")
        fake.chmod(0o755)
        run = ui.run

        def with_path(words, *others, **options):
            words = ["--kill-after=1" if word == "--kill-after=10" else word for word in words]
            return run(words, *others, env={"PATH": f"{self.folder}:/usr/bin:/bin"}, **options)
        with mock.patch.object(ui, "run", with_path):
            self.assertTrue(qemu.start("arm64", Path("b"), "i", self.folder / "log", timeout=1))


class Configuration(Temporary):
    """A kernel's .config from fragments."""

    def test_lost(self):
        config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\n"
        for text, lines in (("CONFIG_A=y\n# CONFIG_B is not set\n# CONFIG_D is not set\n# a comment\n", []),
                           ("CONFIG_C=y\n", ["CONFIG_C=y"]), ("# CONFIG_A is not set\n", ["# CONFIG_A is not set"]),
                           ("CONFIG_E=y\n", ["CONFIG_E=y"])):
            self.assertEqual(kernel.lost(text, config), lines)

    def configure(self, answer):
        """Configure with a `make olddefconfig` that does this; how often it was called."""
        fragment = self.folder / "x.config"
        fragment.write_text("CONFIG_X=y\n", encoding="ascii")
        with mock.patch.object(kbuild, "make", side_effect=answer) as make:
            kernel.configure(self.folder, self.folder / "build", "arm64", [fragment], "log")
        return make.call_count

    def test_configure(self):
        self.assertEqual(self.configure(lambda *_: None), 1)
        text = (self.folder / "build/.config").read_text(encoding="ascii")
        self.assertEqual(text, qemu.config("arm64") + "CONFIG_X=y\n")
        self.assertEqual(self.configure(lambda *_: None), 0)            # it is there already

    def test_what_is_not_taken_fails_each_time(self):
        for _ in range(2):
            with self.assertRaises(ui.Failure) as raised:
                self.configure(lambda _, build, *rest: (build / ".config").write_text("", encoding="ascii"))
            self.assertIn("CONFIG_SERIAL_AMBA_PL011=y", raised.exception.what)


class Archive(Temporary):
    """The initramfs."""

    @unittest.skipUnless(shutil.which("cpio"), "cpio is not installed")
    def test_cpio_reads_it(self):
        program = self.folder / "b.ko"
        program.write_bytes(b"abcde")
        program.chmod(0o755)
        data = image.initramfs(program, [program, program], [program], [("etc/x/y", program)])
        self.assertEqual(data[:6], b"070701")               # the form that the kernel unpacks
        listed = subprocess.run(["cpio", "-it", "--quiet"], input=data, stdout=subprocess.PIPE, check=True)
        self.assertEqual(listed.stdout.decode().split(),
                         ["etc", "etc/x", "etc/x/y", "init", "modules", "modules/00-b.ko", "modules/01-b.ko",
                          "programs", "programs/00-b.ko"])
        there = self.folder / "there"
        there.mkdir()
        subprocess.run(["cpio", "-id", "--quiet", "--no-preserve-owner"], input=data, cwd=there, check=True)
        self.assertEqual((there / "etc/x/y").read_bytes(), b"abcde")
        self.assertEqual((there / "init").stat().st_mode & 0o777, 0o755)


    def test_init_is_no_program(self):
        with mock.patch.object(image, "program", lambda _, name, folder: folder / name), \
                mock.patch.object(image, "initramfs", return_value=b"cpio") as initramfs:
            path = image.archive("arm64", self.folder, ["a.ko"], ["ddw"], [("x", "y")])
        self.assertEqual(path.read_bytes(), b"cpio")
        initramfs.assert_called_once_with(self.folder / "init", ["a.ko"], [self.folder / "ddw"], [("x", "y")])


class Userspace(Temporary):
    """Which files of the packages go into the guest."""

    LINKS = {"fio": ["liba.so.1"], "liba.so.1": ["libb.so.2"], "libb.so.2": ["liba.so.1"], "libc.so.3": []}

    def unpack(self, root):
        """What its packages bring."""
        for path in (userspace.PROGRAM, "lib/liba.so.1", "usr/lib/x/libb.so.2", "usr/lib/libc.so.3"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()

    def test_libraries_of_libraries(self):
        self.unpack(self.folder)
        with mock.patch.object(userspace, "asks_for", lambda file, _: self.LINKS[file.name]):
            self.assertEqual(list(userspace.needed(self.folder, "")), ["usr/bin/fio", "lib/liba.so.1", "lib/libb.so.2"])

    def test_missing_library(self):
        self.unpack(self.folder)
        with mock.patch.object(userspace, "asks_for", return_value=["libz.so.1"]), self.assertRaises(ui.Failure):
            userspace.needed(self.folder, "")

    def test_second_time_is_from_the_cache(self):
        def run(words, *_):
            self.assertEqual(words[:3], ["dpkg-deb", "-x", "fio.deb"])
            self.unpack(words[3])
        with mock.patch.multiple(debian, private=lambda folder, suites, arch: [arch], offered=lambda *_: ["1:3.33-3"],
                                 download_all=lambda *_: ["fio.deb"]), \
                mock.patch.object(ui, "run", side_effect=run) as ran, \
                mock.patch.object(userspace, "asks_for", lambda file, _: self.LINKS[file.name]):
            first, second = userspace.files("arm64"), userspace.files("arm64")
        self.assertEqual((ran.call_count, first), (1, second))
        self.assertEqual((first[0], [path for path, _ in first[1]]),
                         ("3.33-3", ["lib/liba.so.1", "lib/libb.so.2", "usr/bin/fio"]))

    def test_package_that_is_not_offered(self):
        with mock.patch.multiple(debian, private=lambda *_: [], offered=lambda *_: []), \
                self.assertRaisesRegex(ui.Failure, "no fio in trixie for arm64"):
            userspace.unpack("fio", self.folder, ["trixie"], "arm64")


class Modules(Temporary):
    """Modules of a folder of this repository."""

    def test_copy_with_another_kbuild(self):
        (self.folder / "own").mkdir()
        (self.folder / "own/Kbuild").write_text("obj-m := a.o b.o\n", encoding="ascii")
        for text in ("", "obj-m := a.o\n"):
            with mock.patch.object(kbuild, "make") as make:
                work = kernel.modules("tree", self.folder / "build", "arm64", self.folder / "own", "log", text)
            self.assertEqual(make.call_args.args[3], [f"M={work}", "modules"])
            self.assertEqual((work / "Kbuild").read_text(encoding="ascii"), text or "obj-m := a.o b.o\n")


if __name__ == "__main__":
    unittest.main()
