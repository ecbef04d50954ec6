# The program's objects and who refers to whom, for engine/memory/graph.h, and afterwards the words for the few that are
# shown (labels, repr, one node's inside). A job as engine/memory/scripts.h has them.
#
# Nothing here runs the program's own code: no __repr__, __eq__, __hash__, __getattr__, __sizeof__ or property of a
# class that it has written; repr() only where the options say so. All that is long is one call into C each, made on
# lists that hold the objects: whatever other threads do meanwhile, no address is used twice.


def _setup(a):
    """The names that all functions here share; run() takes them away again."""
    struct = a.modules.get('_struct')
    if struct is None:
        struct = a.modules['_struct'] = a.load('_struct')
    tools, operator = a.itertools, a.operator
    globals().update(gc=a.gc, sys=a.sys, posix=a.posix, Struct=struct.Struct, agent=a,
                     chain=tools.chain, compress=tools.compress, count=tools.count,
                     filterfalse=tools.filterfalse, repeat=tools.repeat,
                     islice=tools.islice, is_=operator.is_, is_not=operator.is_not, not_=operator.not_,
                     _MINOR=a.sys.version_info[1],
                     _IMMORTAL=a.sys.version_info[1] == 13 and object.__basicsize__ == 32, _Module=type(a.sys), _Frame=type(a.sys._getframe()),
                     _dict_of_module=type(a.sys).__dict__['__dict__'].__get__)


_Function = type(_setup)
_Getset = type(_Function.__dict__['__code__'])
_Member = type(_Function.__dict__['__closure__'])
_Cell = type((lambda value: lambda: value)(0).__closure__[0])
_Method = type(object.__dict__['__sizeof__'])
_mro_getter = type.__dict__['__mro__'].__get__
_dict_getter = type.__dict__['__dict__'].__get__


def _mro_of(kind):  # a type of C may not be finished, and has none
    return _mro_getter(kind) or ()


def _dict_of_type(kind):
    return _dict_getter(kind) or {}
_DEBUGGERS = ('pydevd', '_pydev', 'pydev_ipython', 'pydevconsole')  # how names of its modules begin


def _is_debugger(module):
    return module.startswith(_DEBUGGERS) or module == 'debugpy' or module.startswith('debugpy.') or \
        module == '_basilisk'


def _pack(numbers, count):  # struct.pack() would keep its formats for later
    return Struct('<%dQ' % count).pack(*numbers)


def _word(value):  # eight bytes
    return value.to_bytes(8, 'little')


def _text(value):
    value = value[:4096].encode('utf-8', 'backslashreplace')
    return len(value).to_bytes(4, 'little') + value


# --- addresses ----------------------------------------------------------------------------------------------------------


def _open_memory():
    """Our own memory as a file: a list's addresses come out of it 20 times faster than through id()."""
    try:
        return posix.open('/proc/self/mem', posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return -1


def _words(memory, address, number):
    """`number` words at an address, or None. A wrong address is an error of the read, never of the program."""
    if memory < 0 or number <= 0:
        return None
    try:
        found = posix.pread(memory, number * 8, address)
    except (OSError, OverflowError):
        return None
    return memoryview(found).cast('Q') if len(found) == number * 8 else None


def _write_ids(memory, values):
    """The addresses of all objects in a list, in its order."""
    number = len(values)
    if not number:
        return
    place = _words(memory, id(values) + list.__basicsize__ - 16, 1)  # ob_item
    if place is not None:
        place = place[0]
        first, last = _words(memory, place, 1), _words(memory, place + (number - 1) * 8, 1)
        if first is not None and last is not None and first[0] == id(values[0]) and last[0] == id(values[-1]):
            done, end = 0, number * 8
            buffer = memoryview(bytearray(1 << 18))
            while done < end:
                got = posix.preadv(memory, [buffer[:end - done]], place + done)
                if got <= 0:
                    raise OSError('/proc/self/mem')
                agent.write(buffer[:got])
                done += got
            return
    for start in range(0, number, 1 << 16):
        part = values[start:start + (1 << 16)]
        agent.write(_pack(map(id, part), len(part)))


# --- sizes --------------------------------------------------------------------------------------------------------------


def _sizer(kind):
    """The C function that tells sizes of this type, and whether sys.getsizeof() calls just that."""
    own = True
    for base in _mro_of(kind):
        found = _dict_of_type(base).get('__sizeof__')
        if found is None:
            continue
        if type(found) is _Method:
            return found, own
        own = False
    return object.__sizeof__, False


def _sizes(values, ask=None):
    """In pieces of packed words."""
    ask = ask or sys.getsizeof
    pieces = []
    for start in range(0, len(values), 1 << 16):
        part = values[start:start + (1 << 16)]
        try:
            sizes = _pack(map(ask, part), len(part))
        except Exception:  # one of them has a broken size
            sizes = b''.join(_size_or_none(ask, value) for value in part)
        pieces.append(sizes)
    return pieces


def _size_or_none(ask, value):
    try:
        return _word(ask(value))
    except Exception:
        return bytes(8)


def _foreign_size(value):
    """Of an object whose type has a __sizeof__ of its own, written in Python: its memory all the same."""
    return _sizer(type(value))[0](value) + (16 if gc.is_tracked(value) else 0)


# --- types, modules, frames ---------------------------------------------------------------------------------------------


def _by_type(values, kinds=None):
    """The distinct types by address. (A set would call a metaclass's __hash__.)"""
    kinds = list(map(type, values)) if kinds is None else kinds
    return dict(zip(map(id, kinds), kinds))


def _measured(values):
    """The objects again, in an order of their own, and the size of each."""
    foreign = {key for key, kind in _by_type(values).items() if not _sizer(kind)[1]}
    if not foreign:
        return values, _sizes(values)
    flags = list(map(foreign.__contains__, map(id, map(type, values))))
    behind = list(compress(values, flags))
    values = list(compress(values, map(not_, flags)))
    sizes = _sizes(values)
    sizes += _sizes(behind, _foreign_size)
    return values + behind, sizes


def _type_names(kind):
    name = type.__dict__['__qualname__'].__get__(kind)
    module = type.__dict__['__module__'].__get__(kind)
    return module if type(module) is str else '', name if type(name) is str else ''


def _type_records(types):
    parts = []
    for key, kind in types.items():
        module, name = _type_names(kind)
        nominal = type.__dict__['__basicsize__'].__get__(kind) + type.__dict__['__itemsize__'].__get__(kind)
        flags = (1 if _is_debugger(module) else 0) | (2 if issubclass(kind, type) else 0)
        parts.append(_word(key) + _word(max(nominal, 0)) + _word(flags) + _text(module) + _text(name))
    return b''.join(parts)


def _modules():
    """(name, module, its dictionary or None), __main__ first."""
    table = sys.modules
    if not issubclass(type(table), dict):
        return
    found = [(name, module) for name, module in list(dict.items(table)) if type(name) is str and module is not None]
    found.sort(key=lambda item: item[0] != '__main__')
    for name, module in found:
        inside = _dict_of_module(module) if issubclass(type(module), _Module) else None
        yield name, module, inside


def _module_records(ours):
    parts, hidden = [], set(ours)
    for name, module, inside in _modules():
        is_hidden = _is_debugger(name)
        if is_hidden:
            hidden.add(id(inside))
        parts.append(_word(id(module)) + _word(id(inside) if inside is not None else 0) +
                     _word(1 if is_hidden else 0) + _text(name))
    return b''.join(parts), hidden


def _raw_locals(memory, frame):
    """(name, address of the object) of a function's variables, out of the frame's own memory: f_locals would leave a
    dictionary behind in 3.12 and older, which keeps alive what it holds."""
    code = frame.f_code
    names = code.co_varnames
    if _MINOR >= 11:
        start = _words(memory, id(frame) + 24, 1)  # f_frame
        if start is None:
            return
        start = start[0]
        proof = _words(memory, start + (32 if _MINOR == 11 else 0), 1)
        if proof is None or proof[0] != id(code):
            return
        names += tuple(name for name in code.co_cellvars if name not in names)
        start += 72
    else:
        names += code.co_cellvars
        start = id(frame) + _Frame.__basicsize__ - 8
    names += code.co_freevars
    found = _words(memory, start, len(names))
    if found is not None:
        yield from ((name, value) for name, value in zip(names, found) if value)


def _locals(memory, frame):
    if not frame.f_code.co_flags & 1:  # a module's or a class's body: its variables are in a dictionary
        return []
    if _MINOR >= 13:
        cells = frame.f_code.co_cellvars + frame.f_code.co_freevars
        found = []
        for name, value in frame.f_locals.items():
            found.append((name, id(value), value, name in cells))
        return found
    return [(name, value, None, False) for name, value in _raw_locals(memory, frame)]


def _frames(hidden, limit=4000):
    """The user's frames of all threads: (thread, frame), innermost first."""
    number = 0
    threads = sys.modules.get('threading')
    active = _dict_of_module(threads).get('_active') if type(threads) is _Module else None
    for thread, frame in list(sys._current_frames().items()):
        kind = type(active.get(thread)) if type(active) is dict else object
        if any(_is_debugger(_type_names(base)[0]) for base in _mro_of(kind)):
            continue
        while frame is not None and number < limit:
            if id(frame.f_globals) not in hidden and frame.f_globals is not globals():
                number += 1
                yield thread, frame
            frame = frame.f_back


def _frame_records(memory, hidden):
    parts = []
    for thread, frame in _frames(hidden):
        found = _locals(memory, frame)
        inside = [_text(name) + _word(key) for name, key, _, _ in found]
        code = frame.f_code
        outside = id(frame.f_locals) if _MINOR >= 13 and not code.co_flags & 1 and type(frame.f_locals) is dict else 0
        parts.append(_word(id(frame)) + _word(id(_Frame)) + _word(thread & (1 << 64) - 1) + _word(frame.f_lineno or 0) +
                     _word(sys.getsizeof(frame)) + _word(outside) + _word(len(inside)) + _text(code.co_name) +
                     _text(code.co_filename) + b''.join(inside))
    return b''.join(parts)


# --- the dump -----------------------------------------------------------------------------------------------------------


def _edges(values, mark):
    """One flat list: the referents of each, and after each the mark. This frame and the mark were made after the list
    of objects was taken: no object in the list refers to them."""
    return gc.get_referents(*chain.from_iterable(zip(values, repeat((mark,)))))


_HUGE = 100000  # entries; of a container that has more, a part may have to do


def _part_of(value, number):
    """The first entries of a container, or None: it is of another type."""
    kind = type(value)
    if kind is list or kind is tuple:
        return tuple(value[:number])
    if kind is set or kind is frozenset:
        return tuple(islice(value, number))
    if kind is dict:
        return tuple(islice(dict.keys(value), number // 2)) + tuple(islice(dict.values(value), number // 2))
    return None


def _bounded(values, sizes, room):
    """The objects again, huge containers replaced by a part of each where all their entries are more than there is room
    for; and how many entries that leaves out."""
    found, at = [], 0
    for piece in sizes:
        words = memoryview(piece).cast('Q')
        for number in compress(count(at), map((_HUGE * 8).__lt__, words)):
            kind = type(values[number])
            if kind is list or kind is tuple or kind is dict or kind is set or kind is frozenset:
                found.append(number)
        at += len(words)
    total = sum([len(values[number]) for number in found])
    if total <= room:
        return values, 0
    values, each, lost = list(values), max(room // len(found), 1000), 0
    for number in found:
        part = _part_of(values[number], min(each, _HUGE))
        lost += len(values[number]) - min(len(part), len(values[number]))
        values[number] = part
    return values, lost


def _sort_leaves(flat):
    """What the collector does not track, each as often as it is referred to: text; what is of a fixed size; the rest."""
    leaves = list(filterfalse(gc.is_tracked, flat))
    kinds = list(map(type, leaves))
    texts = list(compress(leaves, map(is_, kinds, repeat(str))))
    rest = list(compress(leaves, map(is_not, kinds, repeat(str))))
    plain = {id(int), id(float), id(bool), id(complex), id(type(None)), id(type(len))}
    flags = list(map(plain.__contains__, map(id, map(type, rest))))
    return texts, list(compress(rest, flags)), list(compress(rest, map(not_, flags)))


def _immortal():
    """The free-threaded 3.13 makes modules, their dictionaries, functions and classes immortal when the first thread
    begins: the collector does not know them from then on. Where one comes to all of them."""
    found = []
    for _, module, inside in _modules() if _IMMORTAL else ():
        found += [module] if inside is None else [module, inside]
    return list(filterfalse(gc.is_tracked, found))


def _open_leaves(rest, seen):
    """Dictionaries and tuples that hold nothing but text and numbers are not tracked, and refer to objects all the
    same. Each once."""
    kinds = list(map(type, rest))
    if _IMMORTAL:
        flags = type.__dict__['__flags__'].__get__
        opened = {key for key, kind in _by_type(rest, kinds).items() if flags(kind) & 1 << 14}
        found = list(compress(rest, map(opened.__contains__, map(id, kinds))))
    else:
        found = list(compress(rest, map(is_, kinds, repeat(dict)))) + \
            list(compress(rest, map(is_, kinds, repeat(tuple))))
    fresh = {id(value): value for value in found if id(value) not in seen}
    seen.update(fresh)
    return list(fresh.values())


def _asker(trace):
    """3.11 looks for an instance's trace at the wrong address when its class has a __dict__: there CPython's own
    function is asked, where the program (or its debugger) has ctypes already."""
    ask, tools = trace._get_object_traceback, sys.modules.get('ctypes')
    if _MINOR != 11 or tools is None:
        return ask
    try:
        at = tools.pythonapi['_PyTraceMalloc_GetTraceback']
        at.restype, at.argtypes = tools.py_object, (tools.c_uint, tools.c_size_t)
    except Exception:
        return ask
    flags = type.__dict__['__flags__'].__get__
    return lambda value: at(0, id(value) - 32) if flags(type(value)) & 16 else ask(value)


def _groups(sites, values):
    """For each wanted allocation site the objects that tracemalloc saw allocated there."""
    trace = agent.tracemalloc
    groups = [[] for _ in sites]
    if not trace.is_tracing():
        return groups
    index = {((path, line),): number for number, (path, line) in enumerate(sites)}
    traces = map(_asker(trace), values)
    if trace.get_traceback_limit() == 1:
        numbers = list(map(index.get, traces))
    else:
        numbers = [index.get(found[:1]) if found else None for found in traces]
    for value, number in compress(zip(values, numbers), map(is_not, numbers, repeat(None))):
        groups[number].append(value)
    return groups


def _limits(types, kinds, values):
    """Containers that bound themselves: deques with maxlen, functools.lru_cache with maxsize."""
    parts = []
    for key, kind in types.items():
        module, name = _type_names(kind)
        if (module, name) == ('collections', 'deque'):
            ask = _dict_of_type(kind)['maxlen'].__get__
        elif (module, name) == ('functools', '_lru_cache_wrapper'):
            info = _dict_of_type(kind)['cache_info']
            ask = lambda value: info(value)[2]
        else:
            continue
        for value in compress(values, map(is_, kinds, repeat(kind))):
            limit = ask(value)
            if type(limit) is int and 0 <= limit < 1 << 63:
                parts.append(_word(id(value)) + _word(limit))
    return b''.join(parts)


def _take_targets():
    found = agent.__dict__.pop('graph_target', None)
    return found if type(found) is list else []


def _dump_graph(memory, options):
    most = options.get('max_objects') or 5000000
    sites = [(options['path%d' % number], line) for number, line in enumerate(options.get('lines') or [])]
    targets = _take_targets() if options.get('expression') else []
    values = gc.get_objects()
    truncated = 0
    room = (options.get('budget_bytes') or 256 << 20) // 96  # about what an object takes, with its references
    if len(values) > min(most, room):
        truncated = len(values) - min(most, room)
        del values[:truncated]  # the youngest: what holds the others is old
    values, sizes = _measured(values)
    tracked = len(values)
    mark, seen = [], set()
    shown, lost = _bounded(values, sizes, room)
    truncated += lost
    flat = _edges(shown, mark)
    del shown
    texts, plains, rest = _sort_leaves(flat)
    rest += _immortal()
    inner = rest
    for _ in range(20):
        opened = _open_leaves(inner, seen)
        if not opened:
            break
        values += opened
        opened_sizes = _sizes(opened)
        sizes += opened_sizes
        opened, lost = _bounded(opened, opened_sizes, max(room - len(flat), _HUGE))
        truncated += lost
        inner = _edges(opened, mark)
        flat += inner
        more_texts, more_plains, inner = _sort_leaves(inner)
        texts += more_texts
        plains += more_plains
        rest += inner
    text_sizes = _sizes(texts, str.__sizeof__)
    rest, rest_sizes = _measured(rest)
    kinds = list(map(type, values))
    types = _by_type(values, kinds)
    for more in (plains, rest, targets):
        types.update(_by_type(more))
    types[id(str)] = str
    types[id(_Frame)] = _Frame

    ours = [agent.__dict__, globals(), options, agent._job, targets]
    modules, hidden = _module_records(map(id, ours))
    frames = _frame_records(memory, hidden)
    names = _type_records(types)
    limits = _limits(types, kinds, values)
    groups = [targets] if targets else _groups(sites, values + texts + rest) if sites else []
    small = len(names) + len(modules) + len(frames) + len(limits) + 8 * len(ours) + 4096
    agent.expect(small + 8 * (len(flat) + 3 * len(values) + 2 * len(texts) + 2 * len(plains) + 3 * len(rest) +
                        sum(map(len, groups)) + 4 * len(groups)) + len(targets) * 24)

    def section(tag, number):
        agent.write(tag + b'\0\0\0\0' + _word(number))

    def ids(tag, found):
        section(tag, len(found) * 8)
        _write_ids(memory, found)

    def numbers(tag, pieces):
        section(tag, sum(map(len, pieces)))
        for piece in pieces:
            agent.write(piece)

    def records(tag, found):
        section(tag, len(found))
        agent.write(found)

    agent.write(b'bskrefs1')
    records(b'fact', _word(truncated) + _word(_MINOR) + _word(id(mark)) + _word(id(str)) + _word(tracked) +
            _word(0 if getattr(sys, '_is_gil_enabled', lambda: True)() else 1))
    records(b'type', names)
    ids(b'objs', values)
    ids(b'otyp', kinds)
    numbers(b'osiz', sizes)
    ids(b'edge', flat)
    ids(b'text', texts)
    numbers(b'tsiz', text_sizes)
    ids(b'plai', plains)
    ids(b'ptyp', list(map(type, plains)))
    ids(b'rest', rest)
    ids(b'rtyp', list(map(type, rest)))
    numbers(b'rsiz', rest_sizes)
    if targets:  # they may be objects that nothing tracked refers to
        ids(b'rest', targets)
        ids(b'rtyp', list(map(type, targets)))
        numbers(b'rsiz', _sizes(targets))
    records(b'modu', modules)
    records(b'fram', frames)
    records(b'limi', limits)
    ids(b'ours', ours)
    for number, found in enumerate(groups):
        section(b'grou', 8 + 8 * len(found))
        agent.write(_word(number))
        _write_ids(memory, found)
    section(b'end!', 0)
    return {'objects': tracked, 'references': len(flat) - len(values), 'truncated': truncated}


# --- words for what is shown --------------------------------------------------------------------------------------------

# Their repr() is the interpreter's own. (By address: a class may say that it equals any other.)
_SAFE = {id(kind) for kind in (str, bytes, int, float, complex, bool, type(None))}


def _line(*fields):
    text = '\t'.join(str(field).replace('\\', '\\\\').replace('\t', '\\t').replace('\n', '\\n').replace('\r', '\\r')
                     for field in fields)
    return text + '\n'


def _cut(text, limit=80):
    return text if len(text) <= limit else text[:limit - 3] + '...'


def _safe_repr(value, depth=0):
    kind = type(value)
    if kind is str or kind is bytes:
        return repr(value if len(value) <= 60 else value[:57]) + ('...' if len(value) > 60 else '')
    if kind is int and value.bit_length() > 256:
        return '<int of %d bits>' % value.bit_length()
    if id(kind) in _SAFE:
        return repr(value)
    if kind is tuple and depth < 2 and len(value) <= 6:
        inside = ', '.join(_safe_repr(item, depth + 1) for item in value)
        return '(' + inside + (',)' if len(value) == 1 else ')')
    if issubclass(kind, type):
        return '<class %s>' % _type_names(value)[1]
    if kind is _Function:
        return '<function %s>' % value.__name__
    return '<%s at 0x%x>' % (_type_names(kind)[1], id(value))


def _position(values, wanted):
    return next(compress(count(), map(is_, values, repeat(wanted))), None)


def _own_dict(value):
    """An instance's dictionary, or None. Asked of its type, as no property of the program can answer; and only where
    there is one, or attributes without one (3.11 and later): asking makes one."""
    flags = type.__dict__['__flags__'].__get__(type(value))
    if not (_MINOR >= 11 and flags & 16) and not any(issubclass(type(found), dict) for found in gc.get_referents(value)):
        return None
    for base in _mro_of(type(value)):
        found = _dict_of_type(base).get('__dict__')
        if type(found) is _Getset:
            try:
                inside = found.__get__(value)
            except Exception:
                return None
            return inside if issubclass(type(inside), dict) else None
    return None


def _slots(value):
    for base in _mro_of(type(value)):
        for name, found in list(_dict_of_type(base).items()):
            if type(found) is _Member and type(name) is str:
                try:
                    yield name, found.__get__(value)
                except Exception:
                    pass  # not set


_FUNCTION_PARTS = ('__closure__', '__globals__', '__defaults__', '__kwdefaults__', '__dict__', '__code__')


def _function_parts(value):
    names = _dict_of_type(_Function)
    known = [names[name].__get__(value) for name in ('__globals__', '__kwdefaults__', '__builtins__') if name in names]
    known = set(map(id, known))
    has_dict = any(type(found) is dict and id(found) not in known for found in gc.get_referents(value))
    for name in _FUNCTION_PARTS:
        if name == '__dict__' and not has_dict:  # asking makes one
            continue
        found = _dict_of_type(_Function)[name].__get__(value)
        if found is not None:
            yield name, found


def _inner_frame(value):
    for name in ('gi_frame', 'cr_frame', 'ag_frame'):
        found = _dict_of_type(type(value)).get(name)
        if type(found) is _Getset or type(found) is _Member:
            return found.__get__(value)
    return None


def _parts(memory, value):
    """(kind, words, address, object or None) of what an object refers to, as far as it has words. Kinds: attr, slot,
    key, index, local, cell, closure, dict (its __dict__), item (of a set), keyof (a key itself), part (something that
    every object of its type has)."""
    kind = type(value)
    if kind is _Frame:
        for name, key, found, in_cell in _locals(memory, value):
            yield 'local', name, key, found
            if in_cell:
                yield 'local', name, 0, found
        if not value.f_code.co_flags & 1 and type(value.f_locals) is dict:
            yield 'dict', 'variables', id(value.f_locals), value.f_locals
        return
    if issubclass(kind, _Module):
        inside = _dict_of_module(value)
        if inside is not None:
            yield 'dict', '__dict__', id(inside), inside
    elif kind is _Function:
        for name, found in _function_parts(value):
            yield 'dict' if name == '__dict__' else 'part', name, id(found), found
    elif issubclass(kind, type):
        for found in gc.get_referents(_dict_of_type(value)):
            yield 'dict', '__dict__', id(found), found
        yield 'part', '__mro__', id(_mro_of(value)), _mro_of(value)
        bases = type.__dict__['__bases__'].__get__(value)
        yield 'part', '__bases__', id(bases), bases
    else:
        inside = _own_dict(value)
        if inside is not None:
            yield 'dict', '__dict__', id(inside), inside
            for name, found in list(dict.items(inside)):
                yield 'attr', name if type(name) is str else _safe_repr(name), id(found), found
        for name, found in _slots(value):
            yield 'cell' if name == 'cell_contents' else 'slot', name, id(found), found
        frame = _inner_frame(value)
        if frame is not None:
            for name, key, found, _ in _locals(memory, frame):
                yield 'local', name, key, found
        if type(_dict_of_type(kind).get('cell_contents')) is _Getset:
            for found in gc.get_referents(value):
                yield 'cell', 'cell_contents', id(found), found
    yield 'part', '__class__', id(kind), kind


def _contents(value):
    """(kind, its words or None, the objects) of a container: what is found by place rather than by name."""
    kind = type(value)
    most = _most_of(value)
    if issubclass(kind, dict):
        return 'key', list(islice(dict.keys(value), most)), list(islice(dict.values(value), most))
    for base in (list, tuple):
        if issubclass(kind, base):
            return 'index', None, list(islice(base.__iter__(value), most))
    for base in (set, frozenset):
        if issubclass(kind, base):
            return 'item', None, list(islice(base.__iter__(value), most))
    for base in _mro_of(kind):
        if _type_names(base) == ('collections', 'deque'):
            return 'index', None, list(_dict_of_type(base)['__iter__'](value))
    return None, None, []


def _entries(value):
    """How many a container has; None: it is none of C's."""
    for base in (dict, list, tuple, set, frozenset):
        if issubclass(type(value), base):
            return base.__len__(value)
    return None


def _most_of(value):
    """How many entries are looked at: the dump has no more of one that is larger than all that it has room for."""
    entries = _entries(value)
    return _HUGE if entries is not None and entries > 3000000 else None


def _edge_words(memory, value, wanted, closures):
    where, keys, inside = _contents(value)
    if where is not None:
        at = _position(inside, wanted)
        if at is not None:
            if where == 'key':
                key = keys[at]
                return 'key', key if type(key) is str and _is_name(key) else _cut(_safe_repr(key)), \
                    'name' if type(key) is str and _is_name(key) else ''
            if where == 'index':
                function = closures.get(id(value))
                if function is not None and at < len(function.__code__.co_freevars):
                    return 'closure', function.__code__.co_freevars[at], ''
                return 'index', at, ''
            return where, '', ''
        if keys is not None and _position(keys, wanted) is not None:
            return 'keyof', _cut(_safe_repr(wanted)), ''
    for kind, name, key, found in _parts(memory, value):
        if key == id(wanted) or found is wanted:
            return kind, _cut(str(name)), ''
    for kind, name, key, found in _parts(memory, value):  # a cell that a frame shows the content of
        if kind == 'local' and key == 0 and type(wanted) is _Cell and found is not None and \
                _position(gc.get_referents(wanted), found) is not None:
            return 'local', _cut(str(name)), ''
    return '', '', ''


def _is_name(text):
    return len(text) <= 80 and text.isidentifier()


def _find(memory, wanted, around):
    """{address: object} of those wanted that are still there: among the tracked, the frames, and what these refer to."""
    found = {}
    values = gc.get_objects() + _immortal()
    for value in compress(values, map(wanted.__contains__, map(id, values))):
        found[id(value)] = value
    del values
    _, hidden = _module_records(())
    for _, frame in _frames(hidden):
        if id(frame) in wanted:
            found[id(frame)] = frame
    missing = wanted.difference(found)
    for key in around * 20 if _IMMORTAL else around:  # there one leads to the next
        if not missing:
            break
        if key not in found:
            continue
        most = _most_of(found[key])
        part = _part_of(found[key], most) if most else None
        inside = gc.get_referents(found[key] if part is None else part)
        for value in compress(inside, map(missing.__contains__, map(id, inside))):
            found[id(value)] = value
            missing.discard(id(value))
        if type(found[key]) is _Frame:
            for _, place, value, _ in _locals(memory, found[key]):
                if value is not None and place in missing:
                    found[place] = value
                    missing.discard(place)
    return found


def _repr_of(value):
    try:
        return _cut(repr(value), 200)
    except BaseException as error:
        return '<repr() failed: %s>' % type(error).__name__


def _go_down(memory, wanted, edges):
    """The same where ways are told from modules and frames on, each step after the one before it: without a look at
    all objects."""
    _, hidden = _module_records(())
    found = {id(frame): frame for _, frame in _frames(hidden)}
    found.update((id(module), module) for _, module, _ in _modules())
    for start, end in edges:
        if start not in found or end in found:
            continue
        value = found[start]
        inside = gc.get_referents(value)
        if type(value) is _Frame:
            inside += [local for _, _, local, _ in _locals(memory, value) if local is not None]
        for value in compress(inside, map(end.__eq__, map(id, inside))):
            found[end] = value
    return {key: value for key, value in found.items() if key in wanted}


def _label_nodes(memory, options):
    nodes, edges, may_repr = options['nodes'], options['edges'], options.get('repr')
    wanted = {key for key, _ in nodes}
    if options.get('ways'):
        found = _go_down(memory, wanted, [(nodes[start][0], nodes[end][0]) for start, end in edges])
    else:
        found = _find(memory, wanted, [nodes[start][0] for start, _ in edges])
    for key, kind in nodes:
        if key in found and id(type(found[key])) != kind:
            del found[key]
    closures = {}
    for value in found.values():
        if type(value) is _Function and value.__closure__ is not None:
            closures[id(value.__closure__)] = value
    lines = []
    for number, (key, kind) in enumerate(nodes):
        if key not in found:
            lines.append(_line('gone', number))
            continue
        value = found[key]
        if options.get('ways'):
            continue  # names alone: a holder may be large
        if may_repr and not issubclass(type(value), (_Module, _Frame)):
            lines.append(_line('repr', number, _repr_of(value)))
        elif id(type(value)) in _SAFE or type(value) is _Function or issubclass(type(value), type):
            lines.append(_line('repr', number, _safe_repr(value)))
        where, _, inside = _contents(value)
        if where is not None:
            entries = _entries(value)
            lines.append(_line('len', number, len(inside) if entries is None else entries))
    for number, (start, end) in enumerate(edges):
        start, end = found.get(nodes[start][0]), found.get(nodes[end][0])
        if start is not None and end is not None:
            lines.append(_line('edge', number, *_edge_words(memory, start, end, closures)))
    return {'text': ''.join(lines)}


def _size(value):
    try:
        return sys.getsizeof(value) if _sizer(type(value))[1] else _foreign_size(value)
    except Exception:
        return 0


def _inspect(memory, options, limit=200):
    key, kind = options['node']
    found = _find(memory, {key}, options.get('around') or []).get(key)
    if found is None or id(type(found)) != kind:
        return {'text': _line('gone')}
    module, name = _type_names(type(found))
    lines = [_line('node', module, name, _size(found))]
    if options.get('repr'):
        lines.append(_line('repr', _repr_of(found)))
    elif id(type(found)) in _SAFE:
        lines.append(_line('repr', _safe_repr(found)))
    shown = []
    where, keys, inside = _contents(found)
    for number, value in enumerate(inside[:limit]):
        shown.append((where, _cut(_safe_repr(keys[number])) if keys is not None else number, value))
    entries = len(inside) if _entries(found) is None else _entries(found)
    if entries > limit:
        lines.append(_line('more', entries - limit))
    for part, words, _, value in _parts(memory, found):
        if value is not None and len(shown) < 2 * limit:
            shown.append((part, words, value))
    for part, words, value in shown:
        lines.append(_line('part', part, words, _type_names(type(value))[1], _size(value), id(value),
                           _safe_repr(value) if id(type(value)) in _SAFE else ''))
    return {'text': ''.join(lines)}


def run(a, options):
    _setup(a)
    memory = _open_memory()
    try:
        work = {'dump': _dump_graph, 'label': _label_nodes, 'inspect': _inspect}[options.get('do') or 'dump']
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return work(memory, options)
        finally:
            if was_enabled:
                gc.enable()
    finally:
        work = None
        if memory >= 0:
            posix.close(memory)
        globals().clear()  # functions and their globals hold each other: nothing is left for the collector
