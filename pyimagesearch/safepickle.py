"""Unpickle plain containers and numbers, NumPy's too, without running any code.

A pickle is a program: it names functions and calls them. Histories come by mail and
from forums, so this unpickler knows a short list of names and refuses all others.

NumPy's own functions are not on that list: a forged `numpy.dtype` can make them read
any place in memory. What stands in for them here builds numbers and nothing else.
"""

import io
import pickle
from collections import OrderedDict, defaultdict

import numpy as np


class UnsafePickleError(Exception):
    """A pickle asks for something other than containers and numbers."""


def loads(data: bytes):
    """Unpickle `data`; arrays come as objects that `numpy.asarray` takes.

    Raises:
        UnsafePickleError: if it asks for anything else, before that is imported.
        Exception: of any kind, as the pickle manual says, if the data are damaged.
    """
    # latin-1 is how Python 2 wrote the bytes of NumPy's numbers.
    return Unpickler(io.BytesIO(data), encoding="latin1").load()


# The unpickler in C fills memory up to an index that stands in the data: a few damaged
# bytes can make that 64 GB. The one in Python keeps a dict.
class Unpickler(pickle._Unpickler):
    def find_class(self, module, name):
        # Python 2's name, and NumPy's before 2.0.
        module = module.replace("__builtin__", "builtins")
        module = module.replace("numpy.core", "numpy._core")
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise UnsafePickleError(repr(f"{module}.{name}")) from None


def encode(text, encoding):
    """Stand in for `_codecs.encode`, with which old protocols write bytes."""
    return text.encode("latin1")


class Dtype:
    """Stand in for `numpy.dtype`, of numbers only."""

    def __init__(self, code, align=False, copy=False):
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biufc":
            raise UnsafePickleError(f"the dtype {code!r}")

    def __setstate__(self, state):
        _, byte_order, *_ = state
        self.dtype = self.dtype.newbyteorder(byte_order)

    def read(self, data, shape, order):
        if isinstance(data, str):
            data = data.encode("latin1")
        return np.frombuffer(data, self.dtype).reshape(shape, order=order)


class Array:
    """Stand in for a `numpy.ndarray` that gets its contents afterwards."""

    def __init__(self, kind, shape, code):
        self.array = np.empty(0)

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        self.array = dtype.read(data, shape, "F" if fortran else "C")

    def __array__(self, dtype=None, copy=None):
        return self.array


def scalar(dtype, data):
    return dtype.read(data, (), "C")[()]


def frombuffer(data, dtype, shape, order):
    return dtype.read(data, shape, order)


ALLOWED = {
    ("builtins", "complex"): complex,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "list"): list,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("_codecs", "encode"): encode,
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): None,  # named, but never called
    ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "scalar"): scalar,
    ("numpy._core.numeric", "_frombuffer"): frombuffer,
}
