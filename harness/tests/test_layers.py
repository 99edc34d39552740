# SPDX-License-Identifier: GPL-2.0
"""Which module may import which: only from the layers above its own, never in a circle, never in a function."""

import ast
import unittest

from harness import paths

# A module imports from its own layer and from those before it.
LAYERS = ("", "source", "series", "guest", "report", "runs", "__main__")


def modules():
    """{name: (layer, syntax tree)} of the harness without its tests."""
    found = {}
    for path in sorted((paths.TOP / "harness").rglob("*.py")):
        words = path.relative_to(paths.TOP).with_suffix("").parts
        if words[1] != "tests":
            layer = words[1] if len(words) > 2 or words[1] == "__main__" else ""
            name = ".".join(words).removesuffix(".__init__")
            found[name] = (layer, ast.parse(path.read_text(encoding="utf-8")))
    return found


def imports(tree, known):
    """The modules of the harness that a syntax tree imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else node.module


class Layers(unittest.TestCase):
    """The whole package."""

    def setUp(self):
        self.modules = modules()

    def test_there_are_modules(self):
        self.assertGreater(len(self.modules), 20)
        self.assertEqual({layer for layer, _ in self.modules.values()}, set(LAYERS))

    def test_imports_go_to_layers_above(self):
        for name, (layer, tree) in self.modules.items():
            for other in imports(tree, self.modules):
                with self.subTest(f"{name} imports {other}"):
                    self.assertLessEqual(LAYERS.index(self.modules[other][0]), LAYERS.index(layer))

    def test_no_import_in_a_function(self):
        for name, (_, tree) in self.modules.items():
            for function in (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))):
                for node in ast.walk(function):
                    self.assertNotIsInstance(node, (ast.Import, ast.ImportFrom), f"{name}.{function.name}")
                    self.assertFalse(isinstance(node, ast.Attribute) and node.attr == "import_module",
                                     f"{name}.{function.name}")

    def test_no_circle(self):
        graph = {name: set(imports(tree, self.modules)) - {name} for name, (_, tree) in self.modules.items()}
        # a package's __init__ that gathers its own modules is imported with each of them
        graph = {name: {other for other in others if not name.startswith(f"{other}.")} for name, others in graph.items()}
        while graph:
            free = [name for name, others in graph.items() if not others & set(graph)]
            self.assertTrue(free, f"these import each other: {' '.join(graph)}")
            graph = {name: others for name, others in graph.items() if name not in free}
