import os
import pickle
import random
import struct
import sys
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
from conftest import ended

from pyimagesearch import picklereader
from pyimagesearch.picklereader import DamagedPickleError, UnsafePickleError, loads

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
HISTORY = {"loss": [0.5, 0.25], "val_loss": [0.4, 0.3]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_are_read(protocol):
    data = {
        **HISTORY,
        "numbers": [0, 1, -1, 255, 256, 65_536, 2**31, -(2**31), 2**63, 10**40, True],
        "floats": [0.1, -1e300, float("inf")],
        "text": ["", "epoch", "\u00e9\n\u2212", "x" * 300],
        "bytes": [b"", b"\xff\n", b"y" * 300],
        "nothing": None,
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "nested": {"a": {"b": [[], {}, [1, [2]]]}},
    }
    data["again"] = data["text"]
    read = loads(pickle.dumps(data, protocol=protocol))
    assert read == data and repr(read) == repr(data)
    assert read["again"] is read["text"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpys_numbers_and_arrays_become_pythons(protocol):
    data = {
        "numbers": [np.float32(0.5), np.float64(0.25), np.float16(2), np.int64(-3)],
        "array": np.array([0.4, 0.3]),
        "big endian": np.array([0.5, 0.25], dtype=">f4"),
        "strided": np.array([[0.4, 0.1], [0.3, 0.1]])[:, 0],
        "fortran": np.asfortranarray([[1, 2], [3, 4]]),
        "flags": np.array([True, False]),
        "empty": np.array([]),
        "bytes": np.array([1, 2], dtype=np.uint8),
    }
    read = loads(pickle.dumps(data, protocol=protocol))
    assert read["numbers"] == [0.5, 0.25, 2.0, -3]
    assert [type(number) for number in read["numbers"]] == [float, float, float, int]
    for name in [*data][1:]:
        assert read[name] == data[name].tolist(), name


@pytest.mark.parametrize("numpy", [b"numpy.core.", b"numpy._core."])
def test_numpys_old_and_new_module_names_are_known(numpy):
    # By name in protocol 3, whose strings for names have no length to correct.
    content = pickle.dumps([np.float32(0.5), np.ones(1)], protocol=3)
    content = content.replace(b"numpy._core.", b"numpy.core.")
    content = content.replace(b"numpy.core.", numpy)
    assert numpy in content
    assert loads(content) == [0.5, [1.0]]


def test_histories_of_python_2_are_read():
    # What Python 2.7 wrote of the same history, in protocols 0 and 2.
    plain = b"(dp0\nS'loss'\np1\n(lp2\nF0.5\naF0.25\nasS'val_loss'\np3\n(lp4\nI1\nas."
    assert loads(plain) == {"loss": [0.5, 0.25], "val_loss": [1]}
    numpys = (
        b"\x80\x02}q\x00U\x04lossq\x01]q\x02cnumpy.core.multiarray\nscalar\nq\x03cnumpy\n"
        b"dtype\nq\x04U\x02f8q\x05K\x00K\x01\x87q\x06Rq\x07(K\x03U\x01<q\x08NNNJ\xff\xff"
        b"\xff\xffJ\xff\xff\xff\xffK\x00tq\tbU\x08\x9a\x99\x99\x99\x99\x99\xe1?q\n\x86q"
        b"\x0bRq\x0cas."
    )
    assert loads(numpys) == {"loss": [0.55]}


class Evil:
    """A pickle of this calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_runs_no_code(tmp_path, protocol):
    crime = tmp_path / "crime"
    content = pickle.dumps({"x": Evil(os.mkdir, str(crime))}, protocol=protocol)
    with pytest.raises(UnsafePickleError, match="mkdir"):
        loads(content)
    assert not crime.exists()
    pickle.loads(content)
    assert crime.exists()  # it would have


def test_what_is_known_is_numpys_numbers_and_nothing_else():
    assert {tuple(name) for name in picklereader.KNOWN} == {
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
        ("__builtin__", "bytes"),
    }


def names(module, name):
    """Both ways in which a pickle names something."""
    yield f"c{module}\n{name}\n.".encode()
    yield (
        b"\x80\x04"
        + b"".join(
            b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)
        )
        + b"\x93."
    )


@pytest.mark.parametrize(
    "name",
    ["builtins.eval", "builtins.open", "builtins.exec", "builtins.__import__"]
    + ["builtins.getattr", "__builtin__.eval", "functools.partial", "os.system"]
    + ["posix.system", "subprocess.Popen", "numpy.load", "numpy.memmap", "numpy.zeros"]
    + ["numpy.frombuffer", "builtins.complex", "collections.OrderedDict"]
    + ["collections.defaultdict", "antigravity.fly"],
)
def test_every_other_name_is_refused_by_name_and_not_imported(name):
    for content in names(*name.rsplit(".", 1)):
        with pytest.raises(UnsafePickleError, match=name):
            loads(content)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "value",
    [{1}, frozenset([1]), 1j, OrderedDict(a=1), defaultdict(list), slice(1), {1: 2}]
    + [np.array(["0.5"]), np.array([None]), np.datetime64("2019-10-14"), np.void(b"x")]
    + [np.zeros(1, [("f", "f8")]), np.zeros(1, "f8,f8"), np.complex64(1), np.str_("x")],
)
def test_every_other_value_is_refused(value):
    for protocol in PROTOCOLS:
        with pytest.raises(UnsafePickleError):
            loads(pickle.dumps({"x": value}, protocol=protocol))


CORE = b"cnumpy.core.multiarray\n"
F8 = b"cnumpy\ndtype\nU\x02f8\x85R"
ARRAY = CORE + b"_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
# {"__array_interface__": {...}} with an address that is nobody's.
FORGED = (
    b"}U\x13__array_interface__}(U\x07versionK\x03U\x05shapeK\x08\x85U\x07typestr"
    b"U\x03|u1U\x04data\x8a\x08AAAAAAAA\x88\x86us"
)
SCALAR = b"\x80\x02" + CORE + b"scalar\n" + F8


@pytest.mark.parametrize(
    "content",
    [
        b"ccollections\nOrderedDict\n)R" + FORGED + b"b.",
        b"c_codecs\nencode\n" + FORGED + b"b.",
        CORE + b"scalar\n" + FORGED + b"b.",
        b"cnumpy\nndarray\n" + FORGED + b"b.",
        b"cnumpy\ndtype\n" + FORGED + b"b.",
        F8 + FORGED + b"b.",
        ARRAY + FORGED + b"b.",
        b"]" + FORGED + b"b.",
        b"}" + FORGED + b"b.",
        b"U\x01x" + FORGED + b"b.",
        CORE + b"_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87\x81.",
        b"cnumpy\nndarray\nK\x08\x85\x81.",
        b"cnumpy\nndarray\nK\x08\x85R.",
        b"cnumpy\ndtype\nU\x01O\x85R.",
        b"cnumpy\ndtype\nU\x05f8,f8\x85R.",
        b"cnumpy\ndtype\nU\x03f16\x85R.",
        b"cnumpy\ndtype\n]\x85R.",
        # Fields and titles in the state of a dtype.
        F8 + b"(K\x03U\x01|NU\x01f\x85}J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb.",
        F8 + b"(K\x03U\x01|NNNK\x10K\x08K\x3ftb.",
        b"\x8f.",  # a set
        b"Pperson\n.",  # a persistent id
        b"\x82\x01.",  # an extension
        b"(ios\nsystem\n.",
        b"K\x01K\x02\x86K\x03}s.",
        b"}K\x01K\x02s.",
        b"}K\x01\x85K\x02s.",
    ],
)
def test_attributes_objects_and_other_opcodes_are_refused(content):
    for protocol in (b"", b"\x80\x02"):
        with pytest.raises((UnsafePickleError, DamagedPickleError)):
            loads(protocol + content)


@pytest.mark.parametrize(
    "content",
    [
        SCALAR + b"U\x07AAAAAAA\x86R.",  # a byte too few
        SCALAR + b"U\x09AAAAAAAAA\x86R.",
        SCALAR + b"K\x08\x86R.",
        SCALAR + b"U\x08AAAAAAAA\x85R.",
        SCALAR + b"U\x08AAAAAAAA\x86.",  # never called
        ARRAY + b"(K\x01K\x02\x85" + F8 + b"\x89U\x08AAAAAAAAtb.",
        ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + F8 + b"\x89U\x08AAAAAAAAtb.",
        ARRAY + b"(K\x01G?\xf0\0\0\0\0\0\0\x85" + F8 + b"\x89U\x08AAAAAAAAtb.",
        ARRAY + b"(K\x01" + F8 + F8 + b"\x89U\x08AAAAAAAAtb.",
        ARRAY + b"(K\x01K\x01\x85U\x02f8\x89U\x08AAAAAAAAtb.",
        ARRAY + b"K\x01b.",
        b"]]\x85b.",
        b"h\x05.",
        b"j\xff\xff\xff\xff.",
        b"g-1\n.",
        b"N.N",
        b"",
        b".",
        b"a.",
        b"t.",
        b"(.",
        b"u.",
        b"(]u.",
        b"N(Ne.",
        b"}(U\x01au.",
        b"R.",
        b"NNR.",
        b"b.",
        b"\x85.",
        b"\x87.",
        b"\x93.",
        b"NN\x93.",
        b"Inot a number\n.",
        b"I" + b"9" * 10_000 + b"\n.",
        b"U\xffshort.",
        b"Dear student,\n",
        b"ca b c\nd e f\n.",
        b"c\n\n.",
    ],
)
def test_damaged_data_are_said_to_be_damaged_or_refused(content):
    try:
        value = loads(content)
    except (DamagedPickleError, UnsafePickleError) as error:
        assert "\n" not in str(error)
    else:
        # Not damaged, but no history either: names and pairs of them, or None.
        assert not isinstance(value, (dict, float, int))


@pytest.mark.parametrize("shape", [(10**9, 0), (0, 10**9), (1,) * 33, (2**40, 2**40)])
def test_a_shape_costs_no_more_than_its_data(shape):
    content = pickle.dumps(np.array([]), protocol=2)
    small = pickle.dumps((0,), protocol=2)[2:-1].split(b"q")[0]
    forged = pickle.dumps(shape, protocol=2)[2:-1].rsplit(b"q", 1)[0]
    assert content.count(b"(K\x01" + small) == 1
    content = content.replace(b"(K\x01" + small, b"(K\x01" + forged)
    try:
        assert loads(content) == []
    except DamagedPickleError:
        pass


def doubled(opcodes, times):
    """Something in itself, twice, and that in itself, twice, ..."""
    return b"]q\x00" + b"h\x00" + opcodes * times


HOSTILE = {
    "tuples 200,000 deep as a key": b"})" + b"\x85" * 200_000 + b"Ns.",
    "100,000 nested dicts": b"}" + b"U\x01a}" * 100_000 + b"s" * 100_000 + b".",
    "100,000 nested lists": b"]" * 100_001 + b"a" * 100_000 + b".",
    "a tuple doubled 60 times as a key": b"}N" + b"q\x002\x86" * 60 + b"Ns.",
    "a tuple doubled 60 times by memo": b"}Nq\x00" + b"h\x00\x86q\x00" * 60 + b"Ns.",
    "lists doubled in themselves": b"}U\x04loss]q\x00"
    + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(40))
    + b"U\x08val_lossh\x00(N0.",
    "3 GB that are not there": b"\x80\x05\x96" + struct.pack("<Q", 3 * 10**9) + b"AAA",
    "a long text that is not there": b"\x80\x04\x8d" + struct.pack("<Q", 3 * 10**9),
    "a huge index": b"\x80\x02}r\xff\xff\xff\x7f",
    "a huge index of the memo": b"\x80\x02}p" + b"9" * 4000 + b"\n.",
    "a frame of 4 GB": b"\x80\x04\x95" + struct.pack("<Q", 4 * 10**9) + b"N.",
    "a set of numbers with equal hashes": b"\x80\x04\x8f("
    + b"".join(
        b"\x8a\x0a" + (i * (2**61 - 1)).to_bytes(10, "little") for i in range(50_000)
    )
    + b"\x90.",
    "memo indexes with equal hashes": b"N"
    + b"".join(b"p%d\n" % (i * (2**61 - 1)) for i in range(100_000))
    + b".",
    "the same bytes as numbers, again and again": b"\x80\x02B\x40\x42\x0f\x00"
    + bytes(1_000_000)
    + b"q\x000cnumpy._core.numeric\n_frombuffer\nq\x01cnumpy\ndtype\nU\x02u1\x85Rq\x02"
    + b"(h\x01(h\x00h\x02J\x40\x42\x0f\x00\x85U\x01CtR0" * 40_000
    + b".",
    "the same text as bytes, again and again": b"X\x40\x4b\x4c\x00"
    + b"x" * 5_000_000
    + b"q\x00U\x06latin1q\x01c_codecs\nencode\nq\x02"
    + b"h\x02h\x00h\x01\x86R" * 40_000
    + b".",
    "a state of many values, again and again": b"(K\x03U\x01<NNN"
    + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
    + b"N" * 300_000
    + b"tq\x00"
    + F8
    + b"h\x00b" * 100_000
    + b".",
    "more numbers than epochs": pickle.dumps(np.zeros(9_000_000, np.uint8)),
    "a name of megabytes": b"c" + b"x" * 5_000_000 + b"\ny\n.",
    "a dtype of megabytes": b"cnumpy\ndtype\nX\x40\x4b\x4c\x00"
    + b"x" * 5_000_000
    + b"\x85R.",
    "megabytes of marks": b"(" * 15_000_000,
    "megabytes of dicts in the memo": b"\x80\x04" + b"}\x94" * 7_000_000,
    "a number of megabytes": b"\x8b\x40\x4b\x4c\x00" + b"\x7f" * 5_000_000 + b".",
    "too many bytes": b"N" * 16_000_001,
}


LOAD_THEM = """
import sys, time
from pathlib import Path
from pyimagesearch.history import HistoryError, load

try:
    import resource
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    # What the libraries take already, and as much as makes 200 MB with them.
    limit = pages * resource.getpagesize() + 150_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print("limited")
except (ImportError, FileNotFoundError):
    print("unlimited")  # only Linux can do both
for path in sorted(Path(sys.argv[1]).iterdir()):
    began = time.process_time()
    try:
        print(path.name, "loaded", load(path))
    except HistoryError as error:
        took = time.process_time() - began
        print(path.name, "too slow" if took > 5 else ascii(str(error)), flush=True)
"""


@pytest.fixture(scope="session", autouse=True)
def loading(start, tmp_path_factory):
    """The process that loads them, beside other tests."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, content in enumerate(HOSTILE.values()):
        (folder / f"{number:02}.pickle").write_bytes(content)
    return start("-c", LOAD_THEM, folder)


def valid():
    """Histories as they are written, small enough that each byte counts."""
    history = {"loss": [0.5, np.float32(0.25)], "val_loss": np.array([0.4, 0.3])}
    return [pickle.dumps(history, protocol=protocol) for protocol in PROTOCOLS]


def damaged(count):
    chance = random.Random(1)
    for _ in range(count):
        content = bytearray(chance.choice(valid()))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(content))
            change = chance.randrange(3)
            if change == 0:
                content[place] = chance.randrange(256)
            elif change == 1:
                del content[place : place + chance.randrange(1, 9)]
            else:
                content[place:place] = content[: chance.randrange(9)]
            if not content:
                break
        yield bytes(content)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in their text
def test_thousands_of_damaged_histories_are_read_or_refused():
    ends = {"read": 0, "damaged": 0, "refused": 0}
    cut_short = [content[:end] for content in valid() for end in range(len(content))]
    for content in [*damaged(5000), *cut_short]:
        try:
            loads(content)
            ends["read"] += 1
        except DamagedPickleError:
            ends["damaged"] += 1
        except UnsafePickleError:
            ends["refused"] += 1
    assert min(ends.values()) > 100, ends


@pytest.fixture(scope="module")
def late(loading):
    """How it ended: the test that asks for it comes last."""
    return ended(loading, timeout=60)


def test_hostile_data_cost_neither_time_nor_memory(late):
    status, stdout, stderr = late
    assert (status, stderr) == (0, "")
    limited, *lines = stdout.splitlines()
    assert limited == ("limited" if sys.platform == "linux" else "unlimited")
    for number, (name, line) in enumerate(zip(HOSTILE, lines, strict=True)):
        refused = line.count(f"{number:02}.pickle") == 2 and "too slow" not in line
        assert refused, (name, line)
        assert len(line) < 600, name
