"""Read a pickle of plain data as data: nothing in it is run.

A pickle is a program: its opcodes build objects, import names and call them. Histories
come by mail and from forums, so no pickle machine runs here. `pickletools.genops` of
the standard library only splits the bytes into opcodes, and this module knows those
that a history is made of: dicts with text as keys, lists, tuples, text, bytes, numbers,
None, and NumPy's numbers and arrays of numbers, which become Python's own numbers and
lists. Everything else is refused by name.
"""

import math
import pickletools
import re
import reprlib
from typing import NamedTuple

import numpy as np

# The largest history has some 100,000 epochs. Each opcode costs time and memory, and
# so few of them cost seconds and some 100 MB at most, whatever they are.
MOST_BYTES = 16_000_000
MOST_OPCODES = 1_000_000
MOST_DATA = 8 * MOST_OPCODES


class UnsafePickleError(Exception):
    """A pickle asks for something other than plain data; the message names it."""


class DamagedPickleError(Exception):
    """The bytes are no whole pickle, or a very large one; the message says which."""


class Name(NamedTuple):
    """A name that the pickle gives, as text: it is never imported."""

    module: str
    name: str


class Dtype:
    """A dtype of numbers that may get its byte order afterwards."""

    __slots__ = ("code", "order")

    def __init__(self, code):
        self.code, self.order = code, "="


class Array(list):
    """An array that gets its numbers afterwards."""

    __slots__ = ()


DTYPE = Name("numpy", "dtype")
NDARRAY = Name("numpy", "ndarray")
# NumPy 2 has moved its functions from numpy.core to numpy._core.
SCALAR = Name("numpy._core.multiarray", "scalar")
RECONSTRUCT = Name("numpy._core.multiarray", "_reconstruct")
FROMBUFFER = Name("numpy._core.numeric", "_frombuffer")
# Protocols 0 to 2 write bytes with these.
ENCODE = Name("_codecs", "encode")
BYTES = Name("__builtin__", "bytes")
KNOWN = {DTYPE, NDARRAY, SCALAR, RECONSTRUCT, FROMBUFFER, ENCODE, BYTES}

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
# The opcodes whose argument is the value itself.
VALUES = frozenset(
    ["INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"]
    + ["FLOAT", "BINFLOAT"]
    + ["STRING", "BINSTRING", "SHORT_BINSTRING"]
    + ["UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"]
    + ["BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"]
)
NOTHING_TO_DO = {"PROTO", "FRAME", "STOP"}


def loads(data: bytes):
    """Read a pickle of plain data, of any protocol.

    Python 2's protocol 0 is read too, except for NumPy's numbers in it.

    Raises:
        UnsafePickleError: if it asks for anything else.
        DamagedPickleError: if the bytes are no pickle, or too many.
    """
    if len(data) > MOST_BYTES:
        raise DamagedPickleError(f"larger than {MOST_BYTES // 1_000_000} MB")
    try:
        return Reader(len(data)).read(pickletools.genops(data))
    # genops has a ValueError for what is cut short, the stack and the memo the others.
    except (ValueError, IndexError, KeyError) as error:
        raise DamagedPickleError("damaged or not a pickle") from error


class Reader:
    """The stack and the memo of a pickle, for plain data only."""

    def __init__(self, length):
        self.length = length
        self.stack = []
        self.marked = []  # the stacks below each mark
        self.memo = {}
        self.spent = 0  # bytes that numbers were made of

    def read(self, opcodes):
        for count, (opcode, argument, _) in enumerate(opcodes):
            if count >= MOST_OPCODES:
                raise DamagedPickleError(f"longer than {MOST_OPCODES} values")
            self.do(opcode.name, argument)
        return self.stack.pop()

    def do(self, opcode, argument):
        stack = self.stack
        if opcode in VALUES:
            stack.append(argument)
        elif opcode in CONSTANTS:
            stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            stack.append(EMPTY[opcode]())
        elif opcode == "MARK":
            self.marked.append(stack)
            self.stack = []
        elif opcode in ("PUT", "BINPUT", "LONG_BINPUT"):
            # Numbers that Python's dict can be slow with are all larger.
            self.memo[checked(argument, 0 <= argument < self.length)] = stack[-1]
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif opcode in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[checked(argument, 0 <= argument < self.length)])
        elif opcode == "TUPLE":
            self.append_marked(tuple)
        elif opcode in ("TUPLE1", "TUPLE2", "TUPLE3"):
            size = int(opcode[-1])
            stack[-size:] = [tuple(checked(stack[-size:], len(stack) >= size))]
        elif opcode == "LIST":
            self.append_marked(list)
        elif opcode == "DICT":
            self.append_marked(dict_of)
        elif opcode == "APPEND":
            item = stack.pop()
            checked(stack[-1], type(stack[-1]) is list).append(item)
        elif opcode == "APPENDS":
            items = self.pop_marked()
            target = self.stack[-1]
            checked(target, type(target) is list).extend(items)
        elif opcode == "SETITEM":
            value, key = stack.pop(), stack.pop()
            checked(stack[-1], type(stack[-1]) is dict).update(dict_of([key, value]))
        elif opcode == "SETITEMS":
            items = self.pop_marked()
            target = self.stack[-1]
            checked(target, type(target) is dict).update(dict_of(items))
        elif opcode == "GLOBAL":
            module, _, name = argument.partition(" ")
            stack.append(known(module, name))
        elif opcode == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(known(module, name))
        elif opcode == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(self.result(function, arguments))
        elif opcode == "BUILD":
            state = stack.pop()
            self.build(stack[-1], state)
        elif opcode not in NOTHING_TO_DO:
            raise UnsafePickleError(f"the opcode {opcode}")

    def pop_marked(self):
        items, self.stack = self.stack, self.marked.pop()
        return items

    def append_marked(self, kind):
        items = self.pop_marked()
        self.stack.append(kind(items))

    def result(self, function, arguments):
        """Return what one of NumPy's functions would, as numbers of Python's."""
        checked(arguments, type(arguments) is tuple and len(arguments) <= 4)
        if type(function) is not Name:
            raise UnsafePickleError(f"a call of a {type(function).__name__}")
        if function == DTYPE:
            code, *_ = arguments
            # Letter and bytes of a number: no text, dates, objects, fields or shapes.
            if type(code) is not str or not re.fullmatch("b1|[iu][1248]|f[248]", code):
                raise UnsafePickleError(f"the dtype {short(code)}")
            return Dtype(code)
        if function == SCALAR:
            dtype, data = arguments
            return self.numbers(data, dtype, shape=())
        if function == FROMBUFFER:
            data, dtype, shape, order = arguments
            return self.numbers(data, dtype, shape, order)
        if function == RECONSTRUCT:
            return Array()
        if function == ENCODE:
            text, encoding = arguments
            checked(encoding, encoding in ("latin1", "latin-1"))
            return self.data(checked(text, type(text) is str))
        if function == BYTES and not arguments:
            return b""
        raise UnsafePickleError(f"a call of {short('.'.join(function))}")

    def build(self, target, state):
        """Give a dtype its byte order, or an array its numbers."""
        checked(state, type(state) is tuple and len(state) <= 9)
        if type(target) is Dtype:
            _, order, *others = state
            checked(order, order in ("<", ">", "|", "="))
            # What stands here for a dtype without fields, titles or alignment.
            if others[:6] != [None, None, None, -1, -1, 0]:
                raise UnsafePickleError("a dtype with fields")
            target.order = order
        elif type(target) is Array and not target:
            _, shape, dtype, fortran, data = state
            values = self.numbers(data, dtype, shape, "F" if fortran is True else "C")
            target.extend(checked(values, type(values) is list))
        else:
            raise UnsafePickleError("BUILD, which sets attributes")

    def numbers(self, data, dtype, shape, order="C"):
        """Return the bytes of an array as a list of numbers, or as a number."""
        checked(dtype, type(dtype) is Dtype and order in ("C", "F"))
        checked(shape, type(shape) is tuple and len(shape) <= 32)
        checked(shape, all(type(size) is int and size >= 0 for size in shape))
        data = self.data(data)
        array = np.frombuffer(data, np.dtype(dtype.code).newbyteorder(dtype.order))
        checked(array, math.prod(shape) == array.size)
        return array.reshape(shape, order=order).tolist() if array.size else []

    def data(self, data):
        """Return bytes; Python 2 and old protocols wrote them as text."""
        checked(data, type(data) in (bytes, bytearray, str))
        # The same bytes may be used again and again.
        self.spent += len(data)
        if self.spent > MOST_DATA:
            raise DamagedPickleError(f"larger than {MOST_DATA} bytes of numbers")
        return data.encode("latin1") if type(data) is str else data


def checked(value, condition):
    if not condition:
        raise ValueError("not what plain data are pickled as")
    return value


def dict_of(items):
    keys, values = items[::2], items[1::2]
    checked(items, len(keys) == len(values))
    for key in keys:
        if type(key) is not str:
            raise UnsafePickleError(f"a {type(key).__name__} as the key of a dict")
    return dict(zip(keys, values))


def known(module, name):
    """Return a name if it is one of NumPy's that make numbers."""
    checked((module, name), type(module) is str and type(name) is str)
    named = Name(module.replace("numpy.core.", "numpy._core."), name)
    if named not in KNOWN:
        raise UnsafePickleError(short(f"{module}.{name}"))
    return named


def short(text):
    """Return text with quotes, shortened in its middle: it may be megabytes long."""
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = 80
    return shortener.repr(text)
