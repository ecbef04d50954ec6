#!/usr/bin/env python3
"""Makes layouts/tables.h from CPython's own headers.

    generate.py INCLUDE_DIR... > tables.h

Each INCLUDE_DIR is an `include/python3.X` with its internal/ folder. For 3.8 to 3.12 the table holds
the offsets themselves; for 3.13 and later it holds where in _Py_DebugOffsets the target says them.
The result is checked in: a machine that builds Basilisk has not all these headers.
"""
import os
import re
import subprocess
import sys
import tempfile

CODE = "PyCodeObject"

# field of struct bsk_layout -> (C expression per range of minors); offsetof unless it begins with '='
LEGACY = [
    ("runtime.interpreters_head", [(8, 12, "_PyRuntimeState, interpreters.head")]),
    ("runtime.interpreters_main", [(8, 12, "_PyRuntimeState, interpreters.main")]),
    ("interpreter.id", [(8, 12, "PyInterpreterState, id")]),
    ("interpreter.next", [(8, 12, "PyInterpreterState, next")]),
    ("interpreter.threads_head", [(8, 10, "PyInterpreterState, tstate_head"),
                                  (11, 12, "PyInterpreterState, threads.head")]),
    ("thread.size", [(8, 12, "=sizeof(PyThreadState)")]),
    ("thread.next", [(8, 12, "PyThreadState, next")]),
    ("thread.interp", [(8, 12, "PyThreadState, interp")]),
    ("thread.frame", [(8, 10, "PyThreadState, frame"), (11, 12, "PyThreadState, cframe")]),
    ("thread.thread_id", [(8, 12, "PyThreadState, thread_id")]),
    ("thread.native_thread_id", [(11, 12, "PyThreadState, native_thread_id")]),
    ("thread.datastack_chunk", [(11, 12, "PyThreadState, datastack_chunk")]),
    ("cframe_current_frame", [(11, 12, "_PyCFrame, current_frame")]),
    ("frame.size", [(8, 10, "PyFrameObject, f_localsplus"),
                    (11, 12, "_PyInterpreterFrame, localsplus")]),
    ("frame.previous", [(8, 10, "PyFrameObject, f_back"), (11, 12, "_PyInterpreterFrame, previous")]),
    ("frame.code", [(8, 10, "PyFrameObject, f_code"), (11, 12, "_PyInterpreterFrame, f_code")]),
    ("frame.lasti", [(8, 10, "PyFrameObject, f_lasti"), (11, 12, "_PyInterpreterFrame, prev_instr")]),
    ("frame.owner", [(11, 12, "_PyInterpreterFrame, owner")]),
    ("code.size", [(8, 12, "=sizeof(PyCodeObject)")]),
    ("code.filename", [(8, 12, CODE + ", co_filename")]),
    ("code.name", [(8, 12, CODE + ", co_name")]),
    ("code.qualname", [(11, 12, CODE + ", co_qualname")]),
    ("code.linetable", [(8, 9, CODE + ", co_lnotab"), (10, 12, CODE + ", co_linetable")]),
    ("code.firstlineno", [(8, 12, CODE + ", co_firstlineno")]),
    ("code.version", [(12, 12, CODE + ", co_version")]),
    ("code.bytecode", [(11, 12, CODE + ", co_code_adaptive")]),
    ("runtime.gil_locked", [(8, 11, "_PyRuntimeState, ceval.gil.locked")]),
    ("runtime.gil_holder", [(8, 11, "_PyRuntimeState, ceval.gil.last_holder")]),
    ("runtime.collecting", [(8, 8, "_PyRuntimeState, gc.collecting")]),
    ("interpreter.gil_locked", [(12, 12, "PyInterpreterState, _gil.locked")]),
    ("interpreter.gil_holder", [(12, 12, "PyInterpreterState, _gil.last_holder")]),
    ("interpreter.collecting", [(9, 12, "PyInterpreterState, gc.collecting")]),
    ("object.type", [(8, 12, "PyObject, ob_type")]),
    ("object.type_name", [(8, 12, "PyTypeObject, tp_name")]),
    ("object.bytes_size", [(8, 12, "PyVarObject, ob_size")]),
    ("object.bytes_data", [(8, 12, "PyBytesObject, ob_sval")]),
    ("object.text_length", [(8, 12, "PyASCIIObject, length")]),
    ("object.text_state", [(8, 12, "PyASCIIObject, state")]),
    ("object.text_ascii_data", [(8, 12, "=sizeof(PyASCIIObject)")]),
]

# field of struct bsk_offsets_index -> (member of _Py_DebugOffsets, first minor that has it)
OFFSETS = [
    ("interpreters_head", "runtime_state.interpreters_head", 13),
    ("interpreter_id", "interpreter_state.id", 13),
    ("interpreter_next", "interpreter_state.next", 13),
    ("interpreter_threads_head", "interpreter_state.threads_head", 13),
    ("code_generation", "interpreter_state.code_object_generation", 14),
    ("gil_locked", "interpreter_state.gil_runtime_state_locked", 13),
    ("gil_holder", "interpreter_state.gil_runtime_state_holder", 13),
    ("gc", "interpreter_state.gc", 13),
    ("gc_collecting", "gc.collecting", 13),
    ("thread_size", "thread_state.size", 13),
    ("thread_next", "thread_state.next", 13),
    ("thread_interp", "thread_state.interp", 13),
    ("thread_current_frame", "thread_state.current_frame", 13),
    ("thread_id", "thread_state.thread_id", 13),
    ("native_thread_id", "thread_state.native_thread_id", 13),
    ("datastack_chunk", "thread_state.datastack_chunk", 13),
    ("frame_size", "interpreter_frame.localsplus", 13),
    ("frame_previous", "interpreter_frame.previous", 13),
    ("frame_executable", "interpreter_frame.executable", 13),
    ("frame_instr_ptr", "interpreter_frame.instr_ptr", 13),
    ("frame_owner", "interpreter_frame.owner", 13),
    ("frame_tlbc_index", "interpreter_frame.tlbc_index", 14),
    ("code_size", "code_object.size", 13),
    ("code_filename", "code_object.filename", 13),
    ("code_name", "code_object.name", 13),
    ("code_qualname", "code_object.qualname", 13),
    ("code_linetable", "code_object.linetable", 13),
    ("code_firstlineno", "code_object.firstlineno", 13),
    ("code_adaptive", "code_object.co_code_adaptive", 13),
    ("code_tlbc", "code_object.co_tlbc", 14),
    ("object_type", "pyobject.ob_type", 13),
    ("type_name", "type_object.tp_name", 13),
    ("bytes_size", "bytes_object.ob_size", 13),
    ("bytes_data", "bytes_object.ob_sval", 13),
    ("text_state", "unicode_object.state", 13),
    ("text_length", "unicode_object.length", 13),
    ("text_ascii_size", "unicode_object.asciiobject_size", 13),
]


def minor_of(include):
    with open(os.path.join(include, "patchlevel.h")) as file:
        text = file.read()
    full = re.search(r'#define PY_VERSION\s+"([^"]+)"', text).group(1)
    return int(re.search(r"#define PY_MINOR_VERSION\s+(\d+)", text).group(1)), full


def run(include, minor, body):
    headers = ["Python.h", "frameobject.h"]
    if minor >= 8:
        headers += ["internal/pycore_pystate.h", "internal/pycore_runtime.h"] if minor >= 9 else \
                   ["internal/pycore_pystate.h"]
    if minor >= 9:
        headers.append("internal/pycore_interp.h")
    if minor >= 11:
        headers.append("internal/pycore_frame.h")
    if minor >= 14:
        headers.append("internal/pycore_debug_offsets.h")
    lines = ["#define Py_BUILD_CORE 1"] + ['#include "%s"' % name for name in headers]
    lines += ["#include <stddef.h>", "#include <stdio.h>", "int main(void) {"] + body + ["return 0; }"]
    with tempfile.TemporaryDirectory() as folder:
        source, program = os.path.join(folder, "a.c"), os.path.join(folder, "a")
        with open(source, "w") as file:
            file.write("\n".join(lines) + "\n")
        # Debian keeps pyconfig.h in a folder named after the machine.
        parent = os.path.dirname(os.path.abspath(include))
        extra = os.path.join(parent, "x86_64-linux-gnu", os.path.basename(include.rstrip("/")))
        command = ["cc", "-w", "-I", include, "-I", os.path.join(include, "internal"), "-I", parent]
        subprocess.check_call(command + ["-I", extra, source, "-o", program])
        return subprocess.check_output([program], text=True)


def legacy_row(include, minor, full):
    body = []
    for field, choices in LEGACY:
        for first, last, what in choices:
            if first <= minor <= last:
                value = what[1:] if what[0] == "=" else "offsetof(%s)" % what
                body.append('printf("        .%s = %%zu,\\n", (size_t)(%s));' % (field, value))
    text = run(include, minor, body)
    return "    { /* %s */\n        .minor = %d,\n%s    },\n" % (full, minor, text)


def offsets_row(include, minor, full):
    body = ['printf("        .words = %zu,\\n", sizeof(struct _Py_DebugOffsets) / 8);']
    for field, member, first in OFFSETS:
        if minor >= first:
            body.append('printf("        .%s = %%zu,\\n", offsetof(struct _Py_DebugOffsets, %s) / 8);'
                        % (field, member))
    text = run(include, minor, body)
    return "    { /* %s */\n        .minor = %d,\n%s    },\n" % (full, minor, text)


def main():
    rows = sorted((minor_of(include) + (include,)) for include in sys.argv[1:])
    if not rows:
        sys.exit(__doc__)
    print("/* Made by layouts/generate.py from the headers of the versions named; do not edit. */")
    print("/* clang-format off */\n")
    print("static const struct bsk_layout legacy[] = {")
    for minor, full, include in rows:
        if minor <= 12:
            print(legacy_row(include, minor, full), end="")
    print("};\n\nstatic const struct bsk_offsets_index debug_offsets[] = {")
    for minor, full, include in rows:
        if minor >= 13:
            print(offsets_row(include, minor, full), end="")
    print("};")


if __name__ == "__main__":
    main()
