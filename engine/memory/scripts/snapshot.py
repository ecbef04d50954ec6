# Takes a snapshot: every block that tracemalloc knows, raw, and a census by type.
#
# The dump: marshalled lists of traces as _tracemalloc._get_traces() makes them, one after the
# other, then what census.py writes. `census.py` stands before this text.


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
    if about // 2000 > budget_ms or about * 160 > budget_bytes:
        answer['missing'].append('sites')
        answer['about'] = about
    else:
        a.expect(about * 20)
        answer['lists'] = _dump(a, about, foreign)
    if not options.get('census', True):
        answer['types'] = None
    elif objects // 4000 > budget_ms or objects * 8 > budget_bytes:
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
