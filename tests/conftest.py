"""Two CPU devices, bounded memory, hypothesis without deadlines, programs that are compiled
quickly, empty pictures, and one source of random keys."""

import ctypes
import gc
import inspect
import os
import sys
from functools import partial, wraps
from importlib.metadata import version
from pathlib import Path
from typing import get_args

# Many tests compile the same small programs, some in processes of their own: compiled once, kept.
# One folder for each worker, whatever it inherits: JAX does not write these files in one piece.
_CACHE = Path(__file__).parents[1] / ".jax_cache" / os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_CACHE)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

# Each program is run once or twice, so what optimising it would save is less than what it costs.
# `make train`, the benchmarks and tests/test_canaries.py compile as users do.
_QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
)
if version("jax").startswith("0.10."):  # later ones do not know it
    _QUICK += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", _QUICK)

# Several processes share the cores: threads that have nothing to do wait without spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Set before jax starts its backend: the parallel runtimes are tested on two CPU devices.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("MPLBACKEND", "agg")

import beartype  # noqa: E402
import hypothesis  # noqa: E402
import jax  # noqa: E402
import jax.random as jr  # noqa: E402
import jaxtyping  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from _pytest import runner  # noqa: E402
from jax._src import core, literals  # noqa: E402
from jax._src.interpreters import mlir  # noqa: E402

hypothesis.settings.register_profile("default", max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.load_profile("default")


# jaxtyping binds the arguments of every call and checks them twice, so that shapes agree between
# them. A function that names no array has no shapes: its types alone are checked, at a tenth of it.
_with_shapes = jaxtyping.jaxtyped
_types = beartype.beartype(conf=beartype.BeartypeConf(violation_type=TypeError))
_OURS = str(Path(__file__).parents[1] / "cnnlab"), __file__


def _names_arrays(hint):
    """Whether this annotation, or a part of it, is an array's; text may be."""
    if isinstance(hint, str) or type(hint).__module__.startswith("jaxtyping"):
        return True
    parts = hint if isinstance(hint, list) else get_args(hint)
    return any(_names_arrays(part) for part in parts)


def _is_ours(function):
    """Whether it stands in a file of cnnlab's, and so was checked by itself, or is checked here;
    what a dataclass makes stands in none."""
    code = getattr(function, "__code__", None)
    return code is not None and code.co_filename.startswith(_OURS)


def _checked(thing=None, *, typechecker):
    if thing is None:
        return partial(_checked, typechecker=typechecker)
    if inspect.isclass(thing) and _is_ours(thing.__init__):
        return thing
    hints = getattr(thing, "__annotations__", {}).values()
    if not inspect.isfunction(thing) or any(map(_names_arrays, hints)):
        return _with_shapes(thing, typechecker=typechecker)
    return _types_only(thing, _types(thing))


def _types_only(plain, checked):
    if checked is plain:  # it has no annotations
        return plain

    @wraps(plain)
    def wrapped(*args, **kwargs):
        return (plain if jaxtyping.config.jaxtyping_disable else checked)(*args, **kwargs)

    return wrapped


jaxtyping.jaxtyped = _checked


# JAX 0.10 loads every dialect of MLIR for each program, half of the time that lowering a small one
# takes. 0.12 keeps its contexts; kept here, a program for one device after one for two crashes.
if version("jax").startswith("0.10."):
    mlir.JaxIrContext.load_all_available_dialects = lambda context: context.dialects["func"]

    # And it makes its own array of one of NumPy's, and one that is filled with a number, by a
    # program for each shape.
    def _put(program, x, **params):
        numpys = isinstance(x, literals.TypedNdArray) and not x.weak_type
        wanted = {"new_dtype": x.dtype, "weak_type": False, "sharding": None}
        if numpys and all(wanted[name] == value for name, value in params.items()):
            return jax.device_put(literals.TypedNdArray(np.array(x)))
        return program(x, **params)

    def _fill(program, x, *sizes, **params):
        number = isinstance(x, jax.Array) and x.ndim == 0 and isinstance(x.dtype, np.dtype)
        if number and not (sizes or x.weak_type or x.committed or params["sharding"]):
            filled = np.full(params["shape"], np.asarray(x))
            return jax.device_put(literals.TypedNdArray(filled))
        return program(x, *sizes, **params)

    for primitive in (core.stage_p, jax.lax.convert_element_type_p):
        primitive.def_impl(partial(_put, primitive.impl))
    jax.lax.broadcast_in_dim_p.def_impl(partial(_fill, jax.lax.broadcast_in_dim_p.impl))


# CPython takes frames from the system in chunks of 16 KiB, and gives one back as soon as the call
# that needed it returns: where the calls of a loop cross the end of a chunk, each is a mmap, a
# fault and a munmap, 400 times as long. Below a frame with a stack of 2 MiB all have one chunk.
def _with_room(function, *args):
    return function(*args)


_with_room.__code__ = _with_room.__code__.replace(co_stacksize=2**18)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    return _with_room(runner.pytest_runtest_protocol, item, nextitem)


@pytest.fixture
def getkey():
    """A function that gives a fresh key at every call, the same sequence in every run."""
    root = jr.key(5678)
    count = 0

    def _getkey():
        nonlocal count
        count += 1
        return jr.fold_in(root, count)

    return _getkey


@pytest.fixture(autouse=True)
def _runs_leave_empty_pictures():
    """Many runs train for a shorter time than their pictures take; `drawn` is for who looks."""
    with pytest.MonkeyPatch.context() as patch:
        if report := sys.modules.get("cnnlab.train.report"):
            write = report.write_figure

            def empty(path, figure):
                figure.clear()
                write(path, figure, dpi=10)

            patch.setattr(report, "write_figure", empty)
        yield patch


@pytest.fixture
def drawn(_runs_leave_empty_pictures):
    """The pictures of a run are drawn in this test."""
    _runs_leave_empty_pictures.undo()


# JAX keeps every program that it has compiled, and the suite compiles thousands.
_ROOM = 400 * 2**20
_after = None


def _resident():
    """Bytes of this process that are in memory; 0 where the system does not say."""
    file = Path("/proc/self/statm")
    return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if file.exists() else 0


@pytest.fixture(autouse=True)
def _programs_are_let_go():
    """Once the process has grown so much: what is needed again is compiled soon."""
    global _after
    _after = _resident() if _after is None else _after
    yield
    if _resident() > _after + _ROOM:
        jax.clear_caches()
        gc.collect()
        # glibc keeps what is freed between other blocks, and that is most of it.
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)
        _after = _resident()


def pytest_collection_finish():
    """What was imported stays: the collector need not look through it again and again, and what
    is traced makes so many objects that it would look a thousand times in a minute."""
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_report_header():
    """Which engine the convolutions run on; built here, before the workers want it."""
    from cnnlab.ops.native import ENGINE

    reason = ENGINE.refusal()
    return f"native engine: {reason or f'oneDNN, {ENGINE.isa()}, {ENGINE.threads()} threads'}"
