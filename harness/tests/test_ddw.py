# SPDX-License-Identifier: GPL-2.0
"""What came of a scenario with DMA windows, from its console; what bases/6.1/ddw/scenarios.toml wants of it."""

import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import paths, ui
from harness.runs import ddw, sides
from harness.tests.test_sides import END, OOPS, ktap

CREATED = ("[    2.5] nvme 0000:00:01.0: ibm,create-pe-dma-window(2027) 800 8000000 20000000 18 1f returned 0 "
           "(liobn = 0x80000001 starting addr = 8000000 0)\n")
FRAMES = {"compared": 300000, "lost": 0, "corrupt": 0}
TABLES = {"80000000.weight": 1}
RUN = ddw.run()


def console(name, tables=None, frames=None, says=True, windows=None, more="", **changed):
    """The console of a guest in which a scenario gave what its steps want; `changed`: other values of a step, as in
    step_2={"done": 1}."""
    scenario = RUN.rows[name]
    cases = []
    for number, (case, _, wanted) in enumerate(scenario.cases(), 1):
        values = changed.get(f"step_{number}", {})
        cases.append((case, {key: value for key, value in {**wanted, **values}.items() if value is not None}))
    cases[-2] = ("tables", TABLES if tables is None else tables)
    text = ktap("ddw", cases)
    if scenario.frames:
        text += ktap("devices", [("data", {**FRAMES, **(frames or {})}), ("overflow_buffers", {}, "skip")])
    if says and "series" in scenario.rules:
        text += f"[    3.0] ddw_probe 0000:00:01.0: {scenario.rules['series'].get('says', '')}\n"
    count = scenario.rules.get("figures", {}).get("windows", 8) if windows is None else windows
    return text + CREATED * count + more


def read(name, text, side="series", silent=False):
    """The Outcome of a console."""
    return ddw.read(RUN.rows[name], RUN.settings, side, text, silent)


class Read(unittest.TestCase):
    """From a console to an outcome."""

    def check(self, come, *problems, result="wrong"):
        """The outcome has this result and these problems."""
        self.assertEqual((come.result, come.problems), (result, list(problems)))

    def test_every_scenario_can_succeed(self):
        costs = {"map_ns": 853, "unmap_ns": 410}
        changed = {"cost": {"step_2": costs, "step_4": {"map_ns": 214, "unmap_ns": 152}},
                   "race": {"step_2": {"failed_replaced": 30}}}
        for name in RUN.rows:
            with self.subTest(name):
                come = read(name, console(name, **changed.get(name, {})) + END)
                self.check(come, result="ok")
                self.assertEqual(come.figures["TCEs left"], 0)

    def test_figures(self):
        come = read("sibling", console("sibling", step_6={"reached": 12, "lost": 4}) + END)
        self.check(come, "6-B-check: reached 12, not 16", "6-B-check: lost 4, not 0")
        self.assertEqual([come.figures[name] for name in ("buffers reached", "buffers lost")], [14, 4])

    def test_answer_that_is_not_wanted(self):
        text = console("busy", step_8={"default_window": 1}, windows=0) + END
        self.check(read("busy", text, "base"), "8-A-map-1: default_window 1, not 0", "0 windows, not 1")

    def test_no_answer(self):
        self.check(read("restore", console("restore", step_4={"reached": None}) + END),
                   "4-A-check: reached unknown, not 16")

    def test_step_that_is_refused(self):
        text = console("restore").replace("    ok 4 4-A", "    # 4-A-check: check: No such device\n    not ok 4 4-A")
        self.check(read("restore", text + END), "4-A-check: check: No such device")

    def test_steps_that_are_missing(self):
        text = console("busy")
        end = "ok 1 ddw\n"
        come = read("busy", text[:text.index("    # 5-A-check")] + end + CREATED + END, "base")
        self.check(come, f"ddw: 4 cases ran, {len(RUN.rows['busy'].cases())} were expected")

    def test_entries_left(self):
        come = read("two-windows", console("two-windows", {"80000000.weight": 17}) + END, "base")
        self.check(come, "16 TCEs left")
        come = read("two-windows", console("two-windows", {"80000000.weight": 17, "80020000.weight": 3}) + END, "base")
        self.check(come, "18 TCEs left")

    def test_tables_that_hold_no_mapping(self):
        for tables, left in (({}, 0),
                             ({**TABLES, "80000001.weight": 5}, 0),             # not a default window
                             ({**TABLES, "80000100.weight": 262144, "80000100.claimed": 1}, 0),
                             ({**TABLES, "80000100.weight": 3, "80000100.claimed": 0}, 2)):
            self.assertEqual(read("two-windows", console("two-windows", tables) + END).figures["TCEs left"], left)

    def test_lines_of_the_log(self):
        for line, problem in (("/pci@800000020000000 failed to clear tces in window.", "1 windows not cleared"),
                              ("tce_freemulti_pSeriesLP: plpar_tce_stuff failed", "1 failed hypercalls"),
                              ("tce_build_pSeriesLP: plpar_tce_put failed. rc=-4", "1 failed hypercalls"),
                              ("iommu_free: invalid entry", "1 unmaps in the wrong window"),
                              ("GPR04: 000000006b6b6b6b 0000000000086b6b6b6b6b", "1 uses after free"),
                              ("BUG kmalloc-2k (Tainted: G    B): Poison overwritten", "1 uses after free"),
                              ("Redzone overwritten", "1 uses after free"),
                              ("Object padding overwritten", "1 uses after free")):
            with self.subTest(line):
                come = read("restore", console("restore", more=f"[    3.0] {line}\n") + END)
                self.assertEqual((come.result, come.problems[-1]), ("wrong", problem))

    def test_crash_and_hang(self):
        text = console("sibling")
        come = read("sibling", text[:text.index("    # 5-B-map-16")] + OOPS, "base")
        self.assertEqual((come.result, come.problems[0][:11]), ("crash", "BUG: Unable"))
        self.assertNotIn("TCEs left", come.figures)
        text = console("race", step_2={"hung": 45})
        come = read("race", text[:text.index("    ok 2 2-A")], "base")
        self.assertEqual((come.result, come.problems[0]), ("hung", "2-A-race-B-8: hung for 45 s"))
        self.assertEqual(read("race", console("race"), silent=True).result, "hung")

    def test_costs(self):
        text = console("cost", step_2={"map_ns": 853, "unmap_ns": 410}, step_4={"map_ns": 214, "unmap_ns": 152})
        figures = read("cost", text + END).figures
        self.assertEqual([figures[name] for name in RUN.rows["cost"].rules["series"]["percent"]], [853, 214, 410, 152])
        self.check(read("cost", console("cost", step_2={"map_ns": 853}) + END), "no direct map was measured")

    def test_race(self):
        race = {f"step_{number}": {"tries": 3, "replaced": 1, "failed_replaced": 30, "mapped_before": 9}
                for number in range(2, 17, 2)}
        come = read("race", console("race", **race) + END)
        self.check(come, result="ok")
        self.assertEqual([come.figures[name] for name in ("tries", "replaced", "mapped in vain", "refused", "windows")],
                         [24, 8, 0, 240, 8])
        race["step_4"]["mapped_replaced"] = 5
        self.check(read("race", console("race", **race) + END), "4-A-race-B-8-on-bridge-1: mapped_replaced 5, not 0")
        none = {"step_2": {"failed_replaced": 0}}
        self.check(read("race", console("race", **none) + END),
                   "nobody mapped after a window was replaced, so this shows nothing")
        self.check(read("race", console("race", **none) + END, "base"), result="ok")

    def test_message_that_is_missing(self):
        text = console("sibling", says=False) + END
        self.check(read("sibling", text), "the log does not say: default DMA window stays: 0000:00:02.0 uses it")
        self.check(read("sibling", text, "base"), result="ok")

    def test_frames(self):
        self.check(read("drivers", console("drivers", frames={"lost": 12, "corrupt": 1}) + END), "12 lost frames",
                   "1 corrupt frames")
        self.check(read("drivers", console("drivers", frames={"compared": 0}) + END), "no frame was compared")
        text = console("drivers")
        text = text[:text.index("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: devices")] + CREATED * 4 + END
        self.check(read("drivers", text), "suite devices did not run", "no frame was compared")

    def test_disk_that_differs(self):
        self.check(read("drivers", console("drivers", step_2={"wrong": 7}) + END), "2-disk-vda-4: wrong 7, not 0")
        self.check(read("drivers", console("drivers", step_2={"bytes": 4096}) + END),
                   "2-disk-vda-4: bytes 4096, not 2097152")


class Guest(unittest.TestCase):
    """What the guest is given."""

    def test_pattern(self):
        self.assertEqual(ddw.pattern(8, 16), (0x9e3779b97f4a7c15 * 8 % 2**64).to_bytes(8, "little")
                         + (0x9e3779b97f4a7c15 * 16 % 2**64).to_bytes(8, "little"))
        self.assertEqual(ddw.pattern(0, 64)[32:], ddw.pattern(32, 32))
        self.assertIn("0x9e3779b97f4a7c15", (paths.TOP / "harness/guest/ddw.c").read_text(encoding="utf-8"))

    def test_steps(self):
        cases = RUN.rows["race"].cases()
        self.assertEqual(cases[:4], [("1-bind-A", "bind 0000:00:01.0", {}),
                                     ("2-A-race-B-8", "probe 0000:00:01.0 race 0000:00:02.0 8", {"mapped_replaced": 0}),
                                     ("3-bind-A-on-bridge-1", "bind 0001:00:01.0", {}),
                                     ("4-A-race-B-8-on-bridge-1", "probe 0001:00:01.0 race 0001:00:02.0 8",
                                      {"mapped_replaced": 0})])
        self.assertEqual(cases[-2:], [("tables", "tables", {}), ("validate", "validate", {})])
        self.assertEqual(len(cases), 2 * 8 + 2)
        for scenario in RUN.rows.values():
            names = [name for name, _, _ in scenario.cases()]
            self.assertEqual(len(names), len(set(names)))
            self.assertLess(max(map(len, names)), 64)           # in ddw.c

    def test_step_that_does_not_exist(self):
        for line in ("bind C", "probe A map 1", "A map 1 -> done", "A map 1 -> done x", "A", "disk vda"):
            with self.subTest(line), self.assertRaises(ValueError):
                ddw.Scenario("x", {}, "about", [["edu"]], f"bind A\n{line}\n")

    def test_arguments(self):
        scenario = ddw.Scenario("x", {}, "about", [["edu"], ["pci-testdev", "nvme,drive=d"]], "bind A", disks=["d"],
                                qemu=["-smp cpus=1"])
        self.assertEqual(scenario.arguments(RUN.settings, "/a b"),
                         ["-drive", "if=none,id=d,format=raw,cache=unsafe,file=/a b/d",
                          "-device", "edu,dma_mask=0xffffffffffffffff,bus=pci.0,addr=1",
                          "-device", "spapr-pci-host-bridge,index=1,id=p1",
                          "-device", "pci-testdev,bus=p1.0,addr=1", "-device", "nvme,drive=d,bus=p1.0,addr=2",
                          "-smp", "cpus=1"])

    def test_firmware_makes_a_window_on_each_bridge(self):
        for name, count in (("race", 8), ("busy", 1), ("drivers-single", 4), ("two-windows", 0)):
            words = RUN.rows[name].arguments(RUN.settings, "/x")
            self.assertEqual(words[-1].count("one-entry"), count + 1 if count else 0)
        words = RUN.rows["drivers-single"].arguments(RUN.settings, "/x")[-1].split()
        self.assertEqual(words[-8:], ["20000000", "one-entry", "20000001", "one-entry", "20000002", "one-entry",
                                      "20000003", "one-entry"])
        self.assertEqual(words[words.index("rtas>args2") + 2:][:1], ["c"])

    def test_choice(self):
        self.assertEqual({name: row.boots for name, row in ddw.run(short=True).rows.items()},
                         dict.fromkeys(("two-windows", "coherent", "busy", "sibling", "coherent-mask", "restore",
                                        "race"), 1))
        self.assertEqual((len(RUN.rows), RUN.rows["race"].boots), (13, 16))
        with mock.patch.dict(os.environ, {"SCENARIO": "mixed"}):
            self.assertEqual([list(ddw.run(short=short).rows) for short in (False, True)], [["mixed"], ["mixed"]])
        with mock.patch.dict(os.environ, {"SCENARIO": "x"}), self.assertRaisesRegex(ui.Failure, "no scenario x"):
            ddw.cmd_ddw()


class Boot(unittest.TestCase):
    """A boot, without QEMU."""

    def boot(self, number=0, second_half=None):
        """(Outcome, parameters of the kernel, steps in the guest) of a boot of drivers."""
        given = {}

        def boot_guest(_run, side, name, _initramfs, parameters, _qemu):
            given.update(name=name, parameters=parameters, steps=(folder / "ddw/steps").read_text(encoding="ascii"))
            for disk in ("nvme", "virtio", "usb"):
                data = (folder / "ddw" / disk).read_bytes()
                self.assertEqual(data, ddw.pattern(0, ddw.HALF) + bytes(ddw.HALF))
                written = ddw.pattern(ddw.HALF, ddw.HALF) if second_half is None or disk != "virtio" else second_half
                (folder / "ddw" / disk).write_bytes(data[:ddw.HALF] + written)
            return console("drivers") + END, False

        with tempfile.TemporaryDirectory() as top, mock.patch("harness.paths.OUT", Path(top)), \
                mock.patch("harness.guest.image.archive", lambda *words: given.update(programs=words[3])), \
                mock.patch.object(sides.Run, "boot_guest", boot_guest):
            folder = Path(top)
            (folder / "ddw").mkdir()
            come = RUN.boot(RUN.rows["drivers"], "series", number)
            self.assertFalse((folder / "ddw/virtio").exists())
        return come, given

    def test_steps_and_parameters(self):
        come, given = self.boot()
        self.assertEqual((come.result, come.problems), ("ok", []))
        self.assertEqual(given["steps"].splitlines()[2:],
                         ["3-disk-sda-4 disk sda 4", "tables tables", "validate validate"])
        self.assertEqual((given["name"], given["programs"], given["parameters"]),
                         ("drivers", ["ddw", "devices"], ["slub_debug=FZPU", "DEVICE=eth", "FRAMES=256"]))

    def test_every_second_boot_is_without_poison(self):
        _, given = self.boot(1)
        self.assertEqual((given["name"], given["parameters"]), ("drivers-1", ["DEVICE=eth", "FRAMES=256"]))

    def test_what_was_written_is_compared(self):
        come, _ = self.boot(second_half=bytes(ddw.HALF))
        self.assertEqual((come.result, come.problems), ("wrong", ["virtio: what was written is not there"]))


if __name__ == "__main__":
    unittest.main()
