#!/usr/bin/env python3
"""Makes layouts/tables.h from CPython's own headers.

    generate.py INCLUDE_DIR... > tables.h
    generate.py --objects INCLUDE_DIR... > object_tables.h

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

# Fields of struct bsk_object_places, as LEGACY has them; made for 3.8 to 3.15, with and without the GIL. What begins
# with '=' and names no header's structure is a structure that CPython defines inside a .c file: the order of its
# members there, which the tests hold against live objects.
HEAD = "sizeof(PyObject)"
OBJECTS = [
    ("head_bytes", [(8, 15, "=" + HEAD)]),
    ("type", [(8, 15, "PyObject, ob_type")]),
    ("size", [(8, 15, "PyVarObject, ob_size")]),
    ("type_name", [(8, 15, "PyTypeObject, tp_name")]),
    ("type_basicsize", [(8, 15, "PyTypeObject, tp_basicsize")]),
    ("type_itemsize", [(8, 15, "PyTypeObject, tp_itemsize")]),
    ("type_flags", [(8, 15, "PyTypeObject, tp_flags")]),
    ("type_repr", [(8, 15, "PyTypeObject, tp_repr")]),
    ("type_str", [(8, 15, "PyTypeObject, tp_str")]),
    ("type_base", [(8, 15, "PyTypeObject, tp_base")]),
    ("type_dict", [(8, 15, "PyTypeObject, tp_dict")]),
    ("type_members", [(8, 15, "PyTypeObject, tp_members")]),
    ("type_dictoffset", [(8, 15, "PyTypeObject, tp_dictoffset")]),
    ("type_bytes", [(8, 15, "=sizeof(PyTypeObject)")]),
    ("heap_name", [(8, 15, "PyHeapTypeObject, ht_name")]),
    ("heap_qualname", [(8, 15, "PyHeapTypeObject, ht_qualname")]),
    ("heap_cached_keys", [(8, 15, "PyHeapTypeObject, ht_cached_keys")]),
    ("heap_bytes", [(8, 15, "=sizeof(PyHeapTypeObject)")]),
    ("int_tag", [(8, 11, "PyVarObject, ob_size"), (12, 15, "PyLongObject, long_value.lv_tag")]),
    ("int_digits", [(8, 11, "PyLongObject, ob_digit"), (12, 15, "PyLongObject, long_value.ob_digit")]),
    ("float_value", [(8, 15, "PyFloatObject, ob_fval")]),
    ("complex_value", [(8, 15, "PyComplexObject, cval")]),
    ("bytes_data", [(8, 15, "PyBytesObject, ob_sval")]),
    ("bytearray_start", [(8, 15, "PyByteArrayObject, ob_start")]),
    ("text_length", [(8, 15, "PyASCIIObject, length")]),
    ("text_state", [(8, 15, "PyASCIIObject, state")]),
    ("text_ascii_bytes", [(8, 15, "=sizeof(PyASCIIObject)")]),
    ("text_compact_bytes", [(8, 15, "=sizeof(PyCompactUnicodeObject)")]),
    ("text_data", [(8, 15, "PyUnicodeObject, data")]),
    ("tuple_items", [(8, 15, "PyTupleObject, ob_item")]),
    ("list_items", [(8, 15, "PyListObject, ob_item")]),
    ("dict_used", [(8, 15, "PyDictObject, ma_used")]),
    ("dict_keys", [(8, 15, "PyDictObject, ma_keys")]),
    ("dict_values", [(8, 15, "PyDictObject, ma_values")]),
    ("dict_bytes", [(8, 15, "=sizeof(PyDictObject)")]),
    ("keys_size", [(8, 10, "=8")]),  # Objects/dict-common.h: refcnt, size, lookup, usable, nentries, indices
    ("keys_log2_size", [(11, 15, "struct _dictkeysobject, dk_log2_size")]),
    ("keys_log2_index_bytes", [(11, 15, "struct _dictkeysobject, dk_log2_index_bytes")]),
    ("keys_kind", [(11, 15, "struct _dictkeysobject, dk_kind")]),
    ("keys_nentries", [(8, 10, "=32"), (11, 15, "struct _dictkeysobject, dk_nentries")]),
    ("keys_indices", [(8, 10, "=40"), (11, 15, "struct _dictkeysobject, dk_indices")]),
    ("values_valid", [(13, 15, "struct _dictvalues, valid")]),
    ("values_capacity", [(13, 15, "struct _dictvalues, capacity")]),
    ("values_items", [(11, 15, "struct _dictvalues, values")]),
    ("managed_dict", [(11, 12, "=3 * sizeof(void *)"), (13, 15, "=-(long)MANAGED_DICT_OFFSET")]),  # before the object
    ("managed_values", [(11, 11, "=4 * sizeof(void *)")]),
    ("set_used", [(8, 15, "PySetObject, used")]),
    ("set_mask", [(8, 15, "PySetObject, mask")]),
    ("set_table", [(8, 15, "PySetObject, table")]),
    ("function_code", [(8, 15, "PyFunctionObject, func_code")]),
    ("function_name", [(8, 15, "PyFunctionObject, func_name")]),
    ("function_qualname", [(8, 15, "PyFunctionObject, func_qualname")]),
    ("function_module", [(8, 15, "PyFunctionObject, func_module")]),
    ("method_function", [(8, 15, "PyMethodObject, im_func")]),
    ("method_self", [(8, 15, "PyMethodObject, im_self")]),
    ("builtin_definition", [(8, 15, "PyCFunctionObject, m_ml")]),  # whose name comes first
    ("builtin_self", [(8, 15, "PyCFunctionObject, m_self")]),
    ("descriptor_type", [(8, 15, "PyDescrObject, d_type")]),
    ("descriptor_name", [(8, 15, "PyDescrObject, d_name")]),
    ("wrapper_descriptor", [(8, 15, "=" + HEAD)]),  # Objects/descrobject.c: wrapperobject: descr, self
    ("module_dict", [(8, 15, "=" + HEAD)]),  # Objects/moduleobject.c: md_dict is the first
    ("cell_content", [(8, 15, "PyCellObject, ob_ref")]),
    ("frame_data", [(11, 15, "PyFrameObject, f_frame")]),  # before, the frame is in the object itself
    ("frame_trace", [(8, 15, "PyFrameObject, f_trace")]),
    ("frame_lineno", [(8, 15, "PyFrameObject, f_lineno")]),
    ("slice_start", [(8, 15, "PySliceObject, start")]),  # and stop and step
    ("range_start", [(8, 15, "=" + HEAD)]),  # Objects/rangeobject.c: start, stop, step, length
    ("member_bytes", [(8, 15, "=sizeof(PyMemberDef)")]),  # whose name comes first
    ("exception_args", [(8, 15, "PyBaseExceptionObject, args")]),
    ("group_message", [(11, 15, "PyBaseExceptionGroupObject, msg")]),  # then excs and, from 3.14 on, excs_str
    ("import_error_name", [(8, 15, "PyImportErrorObject, name")]),  # and path
    ("memoryview_flags", [(8, 15, "PyMemoryViewObject, flags")]),
    ("generator_qualname", [(8, 15, "PyGenObject, gi_qualname")]),
    ("weakref_object", [(8, 15, "PyWeakReference, wr_object")]),
    ("view_dict", [(8, 15, "_PyDictViewObject, dv_dict")]),
    ("first_member", [(8, 15, "=" + HEAD)]),  # of what repr_*.c reads from its first member on, and names there
    ("deque_left_block", [(8, 15, "=sizeof(PyVarObject)")]),  # Modules/_collectionsmodule.c: leftblock, rightblock,
    ("deque_left_index", [(8, 15, "=sizeof(PyVarObject) + 16")]),  # leftindex, rightindex, state, maxlen
    ("deque_max_length", [(8, 15, "=sizeof(PyVarObject) + 40")]),
    ("defaultdict_factory", [(8, 15, "=sizeof(PyDictObject)")]),
    ("ordered_first", [(8, 15, "=sizeof(PyDictObject)")]),  # Objects/odictobject.c: od_first; a node: key, hash, next
    ("code_flags", [(8, 15, CODE + ", co_flags")]),
    ("code_argcount", [(8, 15, CODE + ", co_argcount")]),
    ("code_kwonlyargcount", [(8, 15, CODE + ", co_kwonlyargcount")]),
    ("code_nlocals", [(8, 15, CODE + ", co_nlocals")]),
    ("code_varnames", [(8, 10, CODE + ", co_varnames")]),
    ("code_cellvars", [(8, 10, CODE + ", co_cellvars")]),
    ("code_freevars", [(8, 10, CODE + ", co_freevars")]),
    ("code_localsplusnames", [(11, 15, CODE + ", co_localsplusnames")]),
    ("code_localspluskinds", [(11, 15, CODE + ", co_localspluskinds")]),
    ("interpreter_modules", [(8, 11, "PyInterpreterState, modules"), (12, 15, "PyInterpreterState, imports.modules")]),
]

# Those of them that _Py_DebugOffsets tells as well -> its member, and the first minor that has it. What it says of the
# interpreter is taken (that structure changes between micro versions), what it says of objects must agree.
OBJECT_OFFSETS = [
    ("interpreter_modules", "interpreter_state.imports_modules", 13),
    ("head_bytes", "pyobject.size", 13),
    ("type", "pyobject.ob_type", 13),
    ("type_bytes", "type_object.size", 13),
    ("type_name", "type_object.tp_name", 13),
    ("type_repr", "type_object.tp_repr", 13),
    ("type_flags", "type_object.tp_flags", 13),
    ("tuple_items", "tuple_object.ob_item", 13),
    ("size", "tuple_object.ob_size", 13),
    ("list_items", "list_object.ob_item", 13),
    ("set_used", "set_object.used", 14),
    ("set_table", "set_object.table", 14),
    ("set_mask", "set_object.mask", 14),
    ("dict_bytes", "dict_object.size", 13),
    ("dict_keys", "dict_object.ma_keys", 13),
    ("dict_values", "dict_object.ma_values", 13),
    ("float_value", "float_object.ob_fval", 13),
    ("int_tag", "long_object.lv_tag", 13),
    ("int_digits", "long_object.ob_digit", 13),
    ("bytes_data", "bytes_object.ob_sval", 13),
    ("text_state", "unicode_object.state", 13),
    ("text_length", "unicode_object.length", 13),
    ("text_ascii_bytes", "unicode_object.asciiobject_size", 13),
    ("code_argcount", "code_object.argcount", 13),
    ("code_localsplusnames", "code_object.localsplusnames", 13),
    ("code_localspluskinds", "code_object.localspluskinds", 13),
]


def minor_of(include):
    with open(os.path.join(include, "patchlevel.h")) as file:
        text = file.read()
    full = re.search(r'#define PY_VERSION\s+"([^"]+)"', text).group(1)
    return int(re.search(r"#define PY_MINOR_VERSION\s+(\d+)", text).group(1)), full


def run(include, minor, body, free_threaded=False):
    headers = ["Python.h", "frameobject.h"] + (["structmember.h"] if minor <= 11 else [])
    if minor >= 8:
        headers += ["internal/pycore_pystate.h", "internal/pycore_runtime.h"] if minor >= 9 else \
                   ["internal/pycore_pystate.h"]
    if minor >= 9:
        headers.append("internal/pycore_interp.h")
    if minor >= 11:
        headers.append("internal/pycore_frame.h")
    if minor >= 14:
        headers.append("internal/pycore_debug_offsets.h")
    if minor >= 11:
        headers.append("internal/pycore_dict.h")
    lines = ["#define Py_BUILD_CORE 1"] + (["#define Py_GIL_DISABLED 1"] if free_threaded else []) + ['#include "%s"' % name for name in headers]
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


def objects_row(include, minor, full, free_threaded):
    body = []
    for field, choices in OBJECTS:
        for first, last, what in choices:
            if first <= minor <= last:
                value = what[1:] if what[0] == "=" else "offsetof(%s)" % what
                body.append('printf("        .%s = %%zu,\\n", (size_t)(%s));' % (field, value))
    text = run(include, minor, body, free_threaded)
    return "    { /* %s%s */\n        .minor = %d,\n        .free_threaded = %s,\n%s    },\n" % (
        full, ", no GIL" if free_threaded else "", minor, "true" if free_threaded else "false", text)


def object_offsets_rows(include, minor, full):
    body = ['printf("    { %d, %%zu, offsetof(struct bsk_object_places, %s), \\"%s\\" },\\n", '
            'offsetof(struct _Py_DebugOffsets, %s) / 8);' % (minor, field, member, member)
            for field, member, first in OBJECT_OFFSETS if minor >= first]
    return "    /* %s */\n" % full + run(include, minor, body)


def print_objects(rows):
    print("/* Made by layouts/generate.py --objects from the headers of the versions named; do not edit. */")
    print("/* clang-format off */\n")
    print("static const struct bsk_object_places object_places[] = {")
    for minor, full, include in rows:
        for free_threaded in [False, True] if minor >= 13 else [False]:
            print(objects_row(include, minor, full, free_threaded), end="")
    print("};\n\nstatic const struct bsk_object_offset object_offsets[] = {")
    for minor, full, include in rows:
        if minor >= 13:
            print(object_offsets_rows(include, minor, full), end="")
    print("};")


def main():
    wants_objects = sys.argv[1:2] == ["--objects"]
    rows = sorted((minor_of(include) + (include,)) for include in sys.argv[1 + wants_objects:])
    if not rows:
        sys.exit(__doc__)
    if wants_objects:
        return print_objects(rows)
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
