# SPDX-License-Identifier: GPL-2.0
"""What came of a scenario with DMA windows, from its console."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import paths
from harness.runs import ddw

END = "ok 1 init\r\n[    9.1] reboot: Restarting system\r\n"
CREATED = ("[    2.5] nvme 0000:00:01.0: ibm,create-pe-dma-window(2027) 800 8000000 20000000 18 1f returned 0 "
           "(liobn = 0x80000001 starting addr = 8000000 0)\r\n")
TABLE = "ddw: table {} it_page_shift 12 it_size 262144 weight {}{}\r\n"
OOPS = "[    3.0] BUG: Unable to handle kernel data access at 0xbf458accfff601e8\r\n"


def console(name, windows=None):
    """The console of a guest in which a scenario gave what its steps want."""
    scenario, lines = ddw.SCENARIOS[name], []
    for step in scenario.steps:
        line, _, wanted = step.partition(" -> ")
        values = dict(zip(wanted.split()[::2], wanted.split()[1::2]))
        if line.startswith("probe"):
            lines += [f"ddw: {line}", *(f"ddw: {key} {value}" for key, value in values.items())]
        elif line.startswith("disk"):
            lines.append(f"ddw: disk {line.split()[1]} bytes 2097152 wrong {values['wrong']}")
    lines += [f"[    3.0] ddw_probe 0000:00:01.0: {scenario.says}"]
    count = scenario.windows if windows is None else windows
    return "".join(f"{line}\r\n" for line in lines) + CREATED * (count or 0) + TABLE.format("80000000", 1, "")


class Read(unittest.TestCase):
    """From console to outcome."""

    def test_every_scenario_can_succeed(self):
        frames = "devices: frames sent 512 received 512 corrupt 0 bytes 300000\r\n"
        for name in ddw.SCENARIOS:
            with self.subTest(name):
                one = ddw.read(name, "series", console(name) + frames + END)
                self.assertEqual((one.problems, one.result, one.left), ([], "ok", 0))

    def test_answer_that_is_not_wanted(self):
        one = ddw.read("busy", "base", console("busy", 0).replace("window 0", "window 1") + END)
        self.assertEqual(one.result, "wrong")
        self.assertEqual(one.problems, ["0000:00:01.0 map 1: default_window 1, not 0", "0 windows, not 1"])

    def test_steps_that_are_missing(self):
        text = console("busy")
        one = ddw.read("busy", "series", text[:text.index("ddw: probe 0000:00:01.0 check")])
        self.assertEqual(one.result, "hung")
        self.assertIn("0000:00:01.0 check: not done", one.problems)

    def test_step_that_is_refused(self):
        text = console("restore") + "ddw: error probe: check: No such device\r\n" + END.replace("ok 1 init", "not ok 1 init")
        one = ddw.read("restore", "series", text)
        self.assertEqual((one.result, one.problems), ("wrong", ["error probe: check: No such device"]))
        one = ddw.read("restore", "series", console("restore") + END.replace("ok 1 init", "not ok 1 init"))
        self.assertEqual((one.result, one.problems), ("wrong", ["a program failed in the guest"]))

    def test_costs(self):
        done = "ddw: done 1000\r\n"
        text = console("cost").replace(done, f"{done}ddw: map_ns 1000\r\nddw: unmap_ns 500\r\n")
        base, series = (ddw.read("cost", side, text + END) for side in ddw.SIDES)
        self.assertEqual((series.map, series.unmap), ([1000, 1000], [500, 500]))
        series.unmap[1] = 510
        ddw.compare_costs([base, series])
        self.assertEqual(series.result, "ok")
        series.unmap[1] = 511
        ddw.compare_costs([base, series])
        self.assertEqual((series.result, series.problems), ("wrong", ["unmap: 511 instructions, 500 on the base"]))

    def test_no_answer(self):
        text = console("restore").replace("ddw: reached 16\r\n", "")
        self.assertEqual(ddw.read("restore", "series", text + END).problems,
                         ["0000:00:01.0 check: reached unknown, not 16"])

    def test_entries_left(self):
        text = console("two-windows").replace("weight 1", "weight 17")
        self.assertEqual(ddw.read("two-windows", "base", text + END).problems, ["16 TCEs left"])

    def test_tables_that_hold_no_mapping(self):
        more = TABLE.format("80000001", 5, "") + TABLE.format("80000100", 262144, " claimed 1")
        self.assertEqual(ddw.read("two-windows", "series", console("two-windows") + more + END).left, 0)
        free = TABLE.format("80000100", 3, " claimed 0")
        self.assertEqual(ddw.read("two-windows", "series", console("two-windows") + free + END).left, 2)

    def test_lines_of_the_log(self):
        for line, key in (("/pci@800000020000000 failed to clear tces in window.", "uncleared"),
                          ("tce_freemulti_pSeriesLP: plpar_tce_stuff failed", "hcalls"),
                          ("tce_build_pSeriesLP: plpar_tce_put failed. rc=-4", "hcalls"),
                          ("iommu_free: invalid entry", "handles"),
                          ("GPR04: 000000006b6b6b6b 0000000000086b6b", "poison"),
                          ("BUG kmalloc-2k (Tainted: G    B): Poison overwritten", "poison")):
            with self.subTest(line):
                one = ddw.read("restore", "series", console("restore") + f"[    3.0] {line}\r\n" + END)
                self.assertEqual((getattr(one, key), one.result), (1, "wrong"))

    def test_crash_and_hang(self):
        text = console("sibling")
        one = ddw.read("sibling", "base", text[:text.index("ddw: probe 0000:00:02.0 map")] + OOPS)
        self.assertEqual(one.result, "crash")
        self.assertTrue(one.problems[0].startswith("BUG: Unable"))
        one = ddw.read("race", "base", "ddw: hung in probe 0000:00:01.0 race 0000:00:02.0 8\r\n")
        self.assertEqual((one.result, one.problems[0]), ("hung", "hung in probe 0000:00:01.0 race 0000:00:02.0 8"))

    def test_race(self):
        text = console("race").replace("mapped_replaced 0", "tries 3\r\nddw: replaced 1\r\n"
                                       "ddw: mapped_replaced 0\r\nddw: failed_replaced {}") + END
        one = ddw.read("race", "series", text.replace("{}", "30"))
        self.assertEqual((one.result, one.tries, one.replaced, one.refused), ("ok", 24, 8, 240))
        self.assertEqual(ddw.read("race", "series", text.replace("{}", "0")).result, "wrong")

    def test_message_that_is_missing(self):
        text = console("sibling").replace("uses it", "does not")
        self.assertEqual(ddw.read("sibling", "series", text + END).problems,
                         ["the log does not say: default DMA window stays: 0000:00:02.0 uses it"])

    def test_frames(self):
        one = ddw.read("drivers", "series", console("drivers")
                       + "devices: frames sent 512 received 500 corrupt 0 bytes 300000\r\n" + END)
        self.assertEqual(one.problems, ["frames: devices: frames sent 512 received 500 corrupt 0 bytes 300000"])


class Results(unittest.TestCase):
    """From outcomes to the table and to the counts."""

    def test_boots_are_added(self):
        first = ddw.Outcome("race", "base", windows=8, tries=16, mapped=0)
        second = ddw.Outcome("race", "base", windows=1, tries=3, mapped=40, result="wrong", problems=["a"])
        third = ddw.Outcome("race", "base", windows=1, poison=2, result="crash", problems=["b"])
        one = ddw.add([first, second, third])
        self.assertEqual((one.boots, one.windows, one.tries, one.mapped, one.poison, one.reached),
                         (3, 10, 19, 40, 2, None))
        self.assertEqual((one.result, one.problems), ("crash", ["a", "b"]))

    def test_base_beside_series(self):
        found = [ddw.Outcome(name, side) for side in ddw.SIDES for name in ddw.SCENARIOS]
        found[0].problems.append("16 TCEs left")
        lines = ddw.table(found)
        self.assertEqual([line.split()[:2] for line in lines[1:-2]],
                         [[name, side] for name in ddw.SCENARIOS for side in ddw.SIDES])
        self.assertEqual(lines[-2], "drivers, base: 16 TCEs left")

    def test_only_the_series_counts(self):
        found = [ddw.Outcome("busy", "base", result="crash", problems=["x"]), ddw.Outcome("busy", "series"),
                 ddw.Outcome("restore", "series", result="wrong", problems=["2 TCEs left"])]
        with tempfile.TemporaryDirectory() as folder, mock.patch("harness.paths.OUT", Path(folder)):
            result = ddw.judged(found)
        self.assertEqual((result.count("passed"), result.count("failed")), (1, 1))
        self.assertEqual(result.find("ddw.restore").problems, ["2 TCEs left"])

    def test_steps(self):
        self.assertEqual(ddw.steps(["series"], ddw.QUICK), 1 + len(ddw.QUICK))


class Guest(unittest.TestCase):
    """What the guest is given."""

    def test_pattern(self):
        self.assertEqual(ddw.pattern(8, 16), (0x9e3779b97f4a7c15 * 8 % 2**64).to_bytes(8, "little")
                         + (0x9e3779b97f4a7c15 * 16 % 2**64).to_bytes(8, "little"))
        self.assertEqual(ddw.pattern(0, 64)[32:], ddw.pattern(32, 32))
        self.assertIn("0x9e3779b97f4a7c15", (paths.TOP / "harness/guest/ddw.c").read_text(encoding="utf-8"))

    def test_bridges(self):
        self.assertEqual(ddw.on(0, "edu"), ["-device", "edu,bus=pci.0,addr=1"])
        self.assertEqual(ddw.on(2, "edu", "nvme"), ["-device", "spapr-pci-host-bridge,index=2,id=p2",
                                                    "-device", "edu,bus=p2.0,addr=1",
                                                    "-device", "nvme,bus=p2.0,addr=2"])

    def test_script(self):
        self.assertEqual(ddw.script("""
            bind A
            A race B 8 -> mapped_replaced 0
            """, 3), ["bind 0003:00:01.0", "probe 0003:00:01.0 race 0003:00:02.0 8 -> mapped_replaced 0"])

    def test_steps_fit_into_a_line(self):
        for name, scenario in ddw.SCENARIOS.items():
            for step in scenario.steps:
                with self.subTest(name):
                    self.assertRegex(step, r"^(un)?bind \S+$|^(probe|disk) \S+ [^>]+( -> (\w+ -?\d+ ?)+)?$")

    def test_firmware_makes_a_window_on_each_bridge(self):
        for scenario in ddw.SCENARIOS.values():
            bridges = sum("spapr-pci-host-bridge,index" in word for word in scenario.qemu) + 1
            self.assertEqual(scenario.bridges, bridges)


if __name__ == "__main__":
    unittest.main()
