# SPDX-License-Identifier: GPL-2.0
"""Mutants of C code, all of them in one program: each has a number, and the program runs as the one whose number it is
given. A condition is always or never true; a comparison, an operator or a constant is another; a statement is left out.

The text that comes out has each alternative on a line of its own, so that an error of the compiler names the mutant
that is no C. Of C, the statements are read, and of expressions the tokens: enough for kernel code without macros that
take statements apart.
"""

import re
from dataclasses import dataclass

TOKEN = re.compile(r"""(?P<space>\s+|/\*.*?\*/|//[^\n]*|\\\n)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
                       |(?P<number>\d[\w.]*)|(?P<name>[A-Za-z_]\w*)
                       |(?P<operator><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[-+*/%&|^~!<>=?:;,.(){}\[\]\#])""",
                   re.S | re.X)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
# The head of a function, up to its brace; 6.1 has the type and the name on one line or on two.
FUNCTION = re.compile(r"^(?:[A-Za-z_][^\n;={}#]*\n?)?[^\n;={}#]*?\b(\w+)\([^;{}]*\)\n\{", re.M)
TYPES = {"bool", "char", "const", "dma_addr_t", "enum", "gfp_t", "int", "long", "phys_addr_t", "s64", "signed", "size_t",
         "spinlock_t", "static", "struct", "u16", "u32", "u64", "u8", "union", "unsigned", "void"}
OTHERS = {"<": ["<="], "<=": ["<"], ">": [">="], ">=": [">"], "==": ["!="], "!=": ["=="], "&&": ["||"], "||": ["&&"],
          "+": ["-"], "-": ["+"], "<<": [">>"], ">>": ["<<"], "+=": ["-="], "-=": ["+="], "++": ["--"], "--": ["++"],
          "min": ["max"], "max": ["min"], "min_t": ["max_t"], "max_t": ["min_t"], "true": ["false"], "false": ["true"],
          "ALIGN": ["ALIGN_DOWN"], "ALIGN_DOWN": ["ALIGN"], "PAGE_ALIGN": [""], "round_up": ["round_down"]}
SIGNS = {"+", "-"}        # also in front of one operand
# Statements that are only left out: jumps, and what is for people to read
AS_THEY_ARE = re.compile(r"(?:goto|break|continue|pr_\w+|printk\w*|dev_warn\w*|dev_WARN\w*|trace_\w+)\b")
LOOPS = re.compile(r"(?:\w+_)?for_each\w*$")
# Conditions that the configuration decides: the other branch need not even link
CONFIGURED = re.compile(r"!?IS_ENABLED\(\w+\)")
SWITCH = "mutation"


@dataclass
class Mutant:
    """One change: its number, where it is, and what it is."""
    number: int
    function: str
    what: str
    line: int = 0               # of the text that comes out

    @property
    def name(self):
        return f"{self.function}: {self.what}"


class Token(str):
    """A token and its kind."""
    kind = ""


def tokens(text):
    """The tokens of a text, spaces and comments among them; joined they are the text."""
    found, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError(f"not understood: {text[at:at + 40]!r}")
        token = Token(match[0])
        token.kind = match.lastgroup
        found.append(token)
        at = match.end()
    return found


def plain(some):
    """Tokens as one line, without comments."""
    return " ".join("".join(" " if token.kind == "space" else token for token in some).split())


class Body:
    """The body of one function, rewritten; `out` collects the text, `mutants` what is in it."""

    def __init__(self, function, body, mutants, skip=()):
        self.function, self.tokens, self.mutants, self.skip = function, tokens(body), mutants, skip
        self.at, self.out = 0, []

    def rewrite(self):
        while self.at < len(self.tokens):
            self.statement()
        return "".join(self.out)

    # ---- reading

    def peek(self, ahead=0):
        """The next token that is no space; "" at the end."""
        at = self.at
        while at < len(self.tokens):
            if self.tokens[at].kind != "space":
                if not ahead:
                    return self.tokens[at]
                ahead -= 1
            at += 1
        return ""

    def keep(self, until=1):
        """Hand on the next tokens, with the spaces before them."""
        while until and self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.out.append(token)
            self.at += 1
            until -= token.kind != "space"

    def spaces(self):
        """Hand on spaces and comments."""
        while self.at < len(self.tokens) and self.tokens[self.at].kind == "space":
            self.out.append(self.tokens[self.at])
            self.at += 1

    def take(self, *ends):
        """The tokens up to one of `ends` outside of parentheses, which is not taken."""
        taken, depth = [], 0
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if not depth and token in ends:
                break
            depth += (token in ("(", "[", "{")) - (token in (")", "]", "}"))
            taken.append(token)
            self.at += 1
        return taken

    # ---- writing

    def add(self, what):
        """A new mutant; its number."""
        earlier = sum(mutant.function == self.function and mutant.what.split(" #")[0] == what for mutant in self.mutants)
        self.mutants.append(Mutant(len(self.mutants) + 1, self.function, what + (f" #{earlier + 1}" if earlier else "")))
        return self.mutants[-1].number

    def variants(self, expression):
        """(what, tokens) of each change of one token."""
        said = plain(expression)
        for index, token in enumerate(expression):
            others = OTHERS.get(token, [])
            before = next((other for other in reversed(expression[:index]) if other.kind != "space"), "")
            unary = not (before and (before.kind in ("number", "name", "text") or before in (")", "]")))
            if token in SIGNS and unary:
                others = []
            if token.kind == "number" and re.fullmatch(r"\d+[uUlL]*", token):
                value = re.match(r"\d+", token)[0]
                others = [str(int(value) + 1) + token[len(value):]]
            elif token in ("!", "~") and unary:
                others = [""]
            for other in others:
                word = Token(other)
                word.kind = token.kind
                changed = [*expression[:index], word, *expression[index + 1:]]
                yield f"{said} -> {plain(changed)}", changed

    def expression(self, expression, condition=False):
        """An expression with its alternatives."""
        said, text = plain(expression), "".join(expression).strip()
        if not said or self.function in self.skip or CONFIGURED.fullmatch(said):
            self.out.append("".join(expression))
            return
        ways = []
        if condition:
            ways += [(self.add(f"{said} is always true"), f"(({text}), 1)"),
                     (self.add(f"{said} is never true"), f"(({text}), 0)")]
        ways += [(self.add(what), f"({''.join(changed).strip()})") for what, changed in self.variants(expression)]
        lines = "".join(f"\n/*{number}*/ {SWITCH} == {number} ? {way} :" for number, way in map(self.flat, ways))
        self.out.append(f"({lines}\n({text}))\n")

    @staticmethod
    def flat(way):
        """On one line."""
        return way[0], " ".join(way[1].split())

    # ---- statements

    def parenthesis(self, condition=True):
        """`( ... )` after a keyword."""
        self.keep()                     # (
        self.expression(self.take(")"), condition)
        self.keep()

    def statement(self):
        """The next statement, or what closes a block."""
        word = self.peek()
        if word in ("", "{", "}", ";", "else", "do"):
            self.keep()
        elif word in ("if", "while", "switch"):
            self.keep()
            self.parenthesis(word != "switch")
        elif word == "for":
            self.keep(2)
            self.out.append("".join(self.take(";")))
            self.keep()
            condition = self.take(";")
            self.expression(condition, True) if plain(condition) else self.out.append("".join(condition))
            self.keep()
            self.out.append("".join(self.take(")")))
            self.keep()
        elif word in ("case", "default") or (self.peek(1) == ":" and word.kind == "name"):
            self.out.append("".join(self.take(":")))
            self.keep()
        elif word == "return":
            self.keep()
            self.expression(self.take(";"))
            self.keep()
        elif LOOPS.match(word) and self.peek(1) == "(":
            self.keep(2)
            self.out.append("".join(self.take(")")))
            self.keep()
        elif word in TYPES:
            self.declaration(word == "static")
        elif word == "#":
            self.spaces()
            while self.at < len(self.tokens) and "\n" not in self.tokens[self.at]:
                self.keep()
        else:
            self.alone()

    def declaration(self, static):
        """Only what initializes variables that are not static changes."""
        while True:
            self.out.append("".join(self.take("=", ";", ",")))
            if self.peek() != "=":
                end = self.peek()
                self.keep()
                if end in (";", ""):
                    return
                continue
            self.keep()
            value = self.take(",", ";")
            if static or plain(value).startswith("{"):
                self.out.append("".join(value))
            else:
                self.expression(value)

    def alone(self):
        """A statement of one expression, or a jump: with other tokens, or left out."""
        self.spaces()
        statement = self.take(";")
        self.keep()
        end = self.out.pop()
        said = plain(statement)
        if self.function in self.skip or said.startswith("BUG_ON"):
            self.out.append("".join(statement) + end)
            return
        lines = []
        if not AS_THEY_ARE.match(said):
            lines = [self.flat((self.add(what), "".join(changed))) for what, changed in self.variants(statement)]
        number = self.add(f"without {said}")
        self.out.append("{" + "".join(f"\n/*{other}*/ if ({SWITCH} == {other}) {{ {text}; }} else"
                                      for other, text in lines)
                        + f"\n/*{number}*/ if ({SWITCH} != {number}) {{ {''.join(statement)}; }} }}\n")


def rewrite(text, functions=None, skip=(), mutants=None, drop=()):
    """A C file with all mutants, and these. `functions`: only in those; `skip`: not in those; `drop`: names of mutants
    that the compiler refuses, which stay out."""
    mutants = [] if mutants is None else mutants
    first, out, at = len(mutants), [], 0
    for match in FUNCTION.finditer(COMMENT.sub(lambda comment: re.sub(r"[^\n]", " ", comment[0]), text)):
        if match.start() < at:
            continue
        begin = match.end() - 1
        end = text.index("\n}\n", begin) + 2
        if match[1] in skip or (functions is not None and match[1] not in functions):
            continue
        out.append(text[at:begin])
        out.append(Body(match[1], text[begin:end], mutants).rewrite())
        at = end
    whole = "".join([*out, text[at:]])
    lines = whole.split("\n")
    numbers = {mutant.number: mutant for mutant in mutants[first:]}
    for index, line in enumerate(lines):
        marked = re.match(r"/\*(\d+)\*/", line)
        if marked and int(marked[1]) in numbers:
            mutant = numbers[int(marked[1])]
            mutant.line = index + 1
            if mutant.name in drop and " is " not in mutant.what and not mutant.what.startswith("without"):
                lines[index] = ""
    return "\n".join(lines), [mutant for mutant in mutants[first:] if mutant.name not in drop]
