/*
 * Where the members of Python's objects lie, by version: the part of a layout that objects.h needs.
 *
 * From a table made out of CPython's own headers (layouts/generate.py --objects), one row per minor
 * version, with and without the GIL. From 3.13 on _Py_DebugOffsets tells many of them as well, and
 * must agree. Offsets in bytes from the start of the structure named first; 0 where a version does
 * not have the member (the first members of objects lie behind their heads).
 */
#ifndef BSK_PYTHON_PLACES_H
#define BSK_PYTHON_PLACES_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bsk_object_places {
    int minor;
    bool free_threaded;
    uint32_t head_bytes;
    uint32_t type;
    uint32_t size;
    uint32_t type_name, type_basicsize, type_itemsize, type_flags, type_repr, type_str, type_base,
        type_dict, type_members, type_dictoffset, type_bytes;
    uint32_t heap_name, heap_qualname, heap_cached_keys, heap_bytes;
    uint32_t int_tag, int_digits;
    uint32_t float_value;
    uint32_t complex_value;
    uint32_t bytes_data;
    uint32_t bytearray_start;
    uint32_t text_length, text_state, text_ascii_bytes, text_compact_bytes, text_data;
    uint32_t tuple_items;
    uint32_t list_items;
    uint32_t dict_used, dict_keys, dict_values, dict_bytes;
    uint32_t keys_size, keys_log2_size, keys_log2_index_bytes, keys_kind, keys_nentries,
        keys_indices;
    uint32_t values_valid, values_capacity, values_items;
    uint32_t managed_dict, managed_values;
    uint32_t set_used, set_mask, set_table;
    uint32_t function_code, function_name, function_qualname, function_module;
    uint32_t method_function, method_self;
    uint32_t builtin_definition, builtin_self;
    uint32_t descriptor_type, descriptor_name;
    uint32_t wrapper_descriptor;
    uint32_t module_dict;
    uint32_t cell_content;
    uint32_t frame_data, frame_trace, frame_lineno;
    uint32_t slice_start;
    uint32_t range_start;
    uint32_t member_bytes;
    uint32_t exception_args;
    uint32_t group_message;
    uint32_t import_error_name;
    uint32_t memoryview_flags;
    uint32_t generator_qualname;
    uint32_t weakref_object;
    uint32_t view_dict;
    uint32_t first_member;
    uint32_t deque_left_block, deque_left_index, deque_max_length;
    uint32_t defaultdict_factory;
    uint32_t ordered_first;
    uint32_t code_flags, code_argcount, code_kwonlyargcount, code_nlocals, code_varnames,
        code_cellvars, code_freevars, code_localsplusnames, code_localspluskinds;
    uint32_t interpreter_modules;
};

/* `offsets` is a copy of the target's _Py_DebugOffsets, `size` bytes of it (0 for 3.12 and older).
 * Fails with BSK_E_UNSUPPORTED for a version without a row, with BSK_E_FORMAT when the target puts
 * a member elsewhere than our row; the message names it. */
int bsk_places_find(int minor, bool free_threaded, const void *offsets, size_t size,
                    struct bsk_object_places *out_places, struct bsk_error *err);

#endif
