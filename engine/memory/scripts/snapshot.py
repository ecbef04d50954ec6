# Takes a snapshot: every block that tracemalloc knows, raw, and a census by type.
#
# The dump: marshalled lists of traces as _tracemalloc._get_traces() makes them, one after the
# other, then what census.py writes. `census.py` stands before this text.
#
# Where all blocks are more than the budget allows, lines are estimated: the lists then hold those
# of a sample of the objects, and `weights` how many objects each of a list stands for; the fourth
# field of a block is how many references share it.


def _sink(a, size, keeps_peak):
    """Where marshalled pieces go while nothing else runs. Lists of bytes are traced memory and move
    the peak of traced memory. Where that is the program's, memory that is not traced takes them."""
    if keeps_peak:
        try:
            area = a.load('mmap').mmap(-1, size)
            return area.write, area, None
        except (ImportError, OSError, ValueError):
            pass
    pieces = []
    return pieces.append, None, pieces


def _dump(a, about, keeps_peak):
    held = []  # of one item: the list of all traces, as tracemalloc makes it
    tail = slice(-16384, None)
    repeat, chain = a.itertools.repeat, a.itertools.chain.from_iterable
    partial, operator = a.functools.partial, a.operator
    apply = operator.methodcaller('__call__')
    put, area, pieces = _sink(a, about * 40 + (1 << 20), keeps_peak)
    # The last 16,384 are taken off before they are written, so that each has one reference only and
    # marshal does not note it for later; so memory goes back on the way, too.
    taken = a.itertools.compress(
        a.itertools.takewhile(len, map(operator.getitem, chain(map(repeat, held)), repeat(tail))),
        map(operator.not_, map(operator.delitem, chain(map(repeat, held)), repeat(tail))),
    )
    counted = []
    try:
        a.still(
            (
                partial(held.extend, map(apply, (a.tracemalloc._get_traces,))),
                partial(counted.extend, map(put, map(a.marshal.dumps, taken))),
                held.clear,
            )
        )
    finally:
        held.clear()
    lists = len(counted)
    if area is not None:
        size = area.tell()
        view = memoryview(area)
        a.write(view[:size])
        view.release()
        area.close()
    else:
        pieces.reverse()
        while pieces:
            a.write(pieces.pop())
    return lists


_LARGE = 1 << 16  # bytes of a container that is looked at by itself: of one that has an eighth as many entries
_LOOKED = 100000  # objects of the sample, taken in passes that are samples themselves
_PASSES = 16
_REFERENCES = 50000  # at most, of a pass or a container


def _asker(a):
    """3.11 looks for an instance's trace at the wrong address when its class has a __dict__: see references.py."""
    ask, tools = a.tracemalloc._get_object_traceback, a.sys.modules.get('ctypes')
    if a.sys.version_info[1] != 11 or tools is None:
        return ask
    try:
        at = tools.pythonapi['_PyTraceMalloc_GetTraceback']
        at.restype, at.argtypes = tools.py_object, (tools.c_uint, tools.c_size_t)
    except Exception:
        return ask
    flags = type.__dict__['__flags__'].__get__
    return lambda value: at(0, id(value) - 32) if flags(type(value)) & 16 else ask(value)


def _large(a, objects):
    """The large lists, dictionaries and sets, those that are not tracked but stand in a module among them."""
    chain, compress, repeat = a.itertools.chain.from_iterable, a.itertools.compress, a.itertools.repeat
    is_, size, tracked = a.operator.is_, a.sys.getsizeof, a.gc.is_tracked
    found = []
    for kind in (list, dict, set):
        exact = list(compress(objects, map(is_, map(type, objects), repeat(kind))))
        found.extend(compress(exact, map((_LARGE // 8).__lt__, map(len, exact))))
    module = type(a.sys)
    inside = [module.__dict__['__dict__'].__get__(one) for one in list(dict.values(a.sys.modules))
              if issubclass(type(one), module)]
    values = list(chain(map(dict.values, inside)))
    for kind in (dict, tuple):
        found.extend([one for one in compress(values, map(is_, map(type, values), repeat(kind)))
                      if not tracked(one) and size(one) > _LARGE])
    return found


def _estimate(a, until):
    """Writes the sample, as far as the time allows; (weights of the lists, objects looked at, all of them)."""
    compress, repeat, islice = a.itertools.compress, a.itertools.repeat, a.itertools.islice
    operator, size, count = a.operator, a.sys.getsizeof, a.sys.getrefcount
    untracked = lambda values: list(a.itertools.filterfalse(a.gc.is_tracked, values))
    hostile = _with_own_hash()
    ask, weights = _asker(a), []
    alone = next(map(count, untracked([b'%d' % a.posix.getpid()])))  # of one that only such a list holds

    def late():
        return a.time.clock_gettime(a.time.CLOCK_THREAD_CPUTIME_ID) > until

    def put(values, factor, number, shared):
        """Objects that stand for `factor` each, of a pass, or -1. One that others refer to as well comes by as often."""
        kinds = list(map(type, values))
        kinds = dict(zip(map(id, kinds), kinds)).values() if hostile else dict.fromkeys(kinds)
        foreign = [kind for kind in kinds if _measure(kind) == 2]
        if foreign:
            values = [one for one in values if not any([type(one) is kind for kind in foreign])]
        traces = list(map(ask, values))
        refs = map(operator.sub, map(count, values), repeat(alone)) if shared else repeat(1)
        rows = zip(repeat(0), map(size, values), traces, refs)
        a.write(a.marshal.dumps(list(compress(rows, map(operator.is_not, traces, repeat(None))))))
        weights.append((number, factor))

    def put_inside(values, number):
        """What these refer to and the collector does not track; and what that holds."""
        for _ in range(2):
            thin = sum(map(size, values)) // 8 // _REFERENCES + 1
            inside = untracked(a.gc.get_referents(*values[::thin]))
            put(inside, thin, number, True)
            kinds = list(map(type, inside))
            values = list(compress(inside, map(operator.is_, kinds, repeat(dict))))
            values += compress(inside, map(operator.is_, kinds, repeat(tuple)))
            values = list(compress(values, map(_LARGE.__ge__, map(size, values))))
            if thin > 1 or not values:
                return

    objects = a.gc.get_objects()
    large = _large(a, objects)
    known = set(map(id, large))
    for one in large[:1000]:
        if late():
            break
        step = len(one) // _REFERENCES + 1
        kind = type(one)
        if kind is list or kind is tuple:
            part = one[::step]
        elif kind is dict:
            part = list(islice(dict.keys(one), 0, None, step)) + list(islice(dict.values(one), 0, None, step))
        else:
            part = list(islice(one, 0, None, step))
        inside = untracked(part)
        part = None
        put([one], 1, -1, False)
        put(inside, step, -1, True)
    step, done, looked = len(objects) // _LOOKED + 1, 0, 0
    while done == 0 or (done < _PASSES and not late()):
        part = objects[done * step::_PASSES * step]
        part = list(compress(part, map(operator.not_, map(known.__contains__, map(id, part)))))
        put(part, 1, done, False)
        put_inside(part, done)
        looked += len(part)
        done += 1
    scale = _PASSES * step / done if done else 0.0
    return [factor * (scale if number >= 0 else 1.0) for number, factor in weights], looked, len(objects)


def _debugger(a):
    """The folders that the debugger's own files lie in."""
    folders = []
    for name in ('debugpy', 'pydevd'):
        module = a.sys.modules.get(name)
        path = getattr(module, '__dict__', {}).get('__file__') if module is not None else None
        if type(path) is str and '/' in path:
            folders.append(path.rpartition('/')[0])
    return folders


def run(a, options):
    tracing = a.tracemalloc.is_tracing()
    mine = a.modules.get('tracing')
    foreign = mine is None or mine['foreign']
    if not tracing:
        return {'tracing': False}
    wall, cpu = a.now(), a.time.clock_gettime(a.time.CLOCK_PROCESS_CPUTIME_ID)
    own = a.modules.get('cpu', 0.0)
    began = a.time.clock_gettime(a.time.CLOCK_THREAD_CPUTIME_ID)
    traced, peak = a.tracemalloc.get_traced_memory()
    tracker = a.tracemalloc.get_tracemalloc_memory()
    answer = {
        'tracing': True,
        'foreign': foreign,
        'frames': a.tracemalloc.get_traceback_limit(),
        'unix': a.time.clock_gettime(a.time.CLOCK_REALTIME),
        'uptime': wall - mine['began'] if mine else 0.0,
        'work': cpu - own,
        'traced': traced,
        'peak': peak,
        'tracker': tracker,
        'rss': a.rss(),
        'start_rss': mine['rss'] if mine else 0,
        'pid': a.posix.getpid(),
        'gc': [[g['collections'], g['collected'], g['uncollectable']] for g in a.gc.get_stats()],
        'missing': [],
        'debugger': _debugger(a),
    }
    # How many blocks there are, at most: a block takes tracemalloc 48 bytes and more; those of up to
    # 512 bytes are pymalloc's, which counts them. 0.5 us and 160 bytes each are what a dump takes,
    # most of it CPython's own copy.
    about = tracker // 48
    objects = a.sys.getallocatedblocks()
    if objects > 0:
        about = min(about, objects + traced // 512)
    budget_ms, budget_bytes = options.get('budget_ms', 2000), options.get('budget_bytes', 256 << 20)
    answer['lists'] = 0
    known = objects
    if about // 2000 > budget_ms or about * 160 > budget_bytes:
        answer['missing'].append('sites')
        answer['about'] = about
        # The list of all objects, and of those of one type.
        if objects * 16 <= budget_bytes:
            a.expect(32 << 20)
            answer['weights'], answer['looked'], known = _estimate(a, began + budget_ms / 2500.0)
            answer['of'], answer['lists'] = known, len(answer['weights'])
            budget_ms //= 2
    else:
        a.expect(about * 20)
        answer['lists'] = _dump(a, about, foreign)
    if not options.get('census', True):
        answer['types'] = None
    elif known // 4000 > budget_ms or known * 24 > budget_bytes:
        answer['types'] = None
        answer['missing'].append('types')
    else:
        answer['types'], answer['objects'], answer['measured'] = count(a, options)
    if mine is not None:
        # What our dump took is not the program's peak. 3.8 cannot set it back: there a peak that has
        # not moved since is ours.
        if peak == mine.get('ours'):
            peak = traced
        mine['peak'] = answer['peak'] = max(peak, mine['peak'])
        if not foreign and hasattr(a.tracemalloc, 'reset_peak'):
            a.tracemalloc.reset_peak()
        elif not foreign:
            mine['ours'] = a.tracemalloc.get_traced_memory()[1]
    answer['cost'] = a.time.clock_gettime(a.time.CLOCK_THREAD_CPUTIME_ID) - began
    return answer
