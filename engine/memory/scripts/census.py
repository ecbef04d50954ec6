# Counts the objects that the collector tracks by type, and measures some of them.
#
# Under tracemalloc each int that id() makes costs more than all else here, so addresses are not asked
# for one by one: the list of all objects' types is written as it lies in memory. The dump: the
# address of each object's type; the same of those that were measured; the marshalled list of their
# sizes. `types` of the answer are [name, address, bytes of the fixed part, 1 where that is all].
#
# Nothing here looks an attribute up on a class of the program's, whose metaclass may run code: only
# `type`'s own getters are used; and none is hashed whose metaclass has a hash of its own.

_namespace = type.__dict__['__dict__'].__get__
_order = type.__dict__['__mro__'].__get__


def _below(one, found):
    """`one` and every class below it, by its address."""
    waiting = [one]
    while waiting:
        one = waiting.pop()
        if id(one) not in found:
            found[id(one)] = one
            waiting.extend(type.__subclasses__(one))
    return found


def _with_own_hash():
    """The metaclasses whose classes cannot be dictionary keys without running the program's code."""
    return [
        meta for meta in _below(type, {}).values()
        if any([('__hash__' in _namespace(base) or '__eq__' in _namespace(base))
                for base in _order(meta) or () if base is not type and base is not object])
    ]


def _name(one):
    own, home = type.__dict__['__qualname__'].__get__(one), type.__dict__['__module__'].__get__(one)
    if type(home) is str and home not in ('builtins', ''):
        return home[:200] + '.' + own[:200]
    return own[:400]


def _measure(one):
    """0 where all objects of a class are as large as the class says, 1 where sizeof tells more, 2
    where it is the program's own __sizeof__, which must not run."""
    plain = object.__dict__['__sizeof__']
    for base in _order(one) or ():  # a type of C may not be finished
        found = _namespace(base).get('__sizeof__')
        if found is not None:
            if found is not plain:
                return 1 if type(found) is type(plain) else 2
            break
    return 1 if type.__dict__['__itemsize__'].__get__(one) else 0


def _write_addresses(a, values):
    """The addresses of the items of a list, from the list's own memory."""
    if not values:
        return
    try:
        memory = a.posix.open('/proc/self/mem', a.posix.O_RDONLY | a.posix.O_CLOEXEC)
    except OSError:
        memory = -1
    try:
        if memory >= 0:
            word = lambda at: int.from_bytes(a.posix.pread(memory, 8, at), 'little')
            size = 8 * len(values)
            at = word(id(values) + list.__basicsize__ - 16)
            if word(at) == id(values[0]) and word(at + size - 8) == id(values[-1]):
                while size > 0:
                    part = a.posix.pread(memory, min(size, 1 << 18), at)
                    if not part:
                        raise OSError('/proc/self/mem')
                    a.write(part)
                    at += len(part)
                    size -= len(part)
                return
    except OverflowError:
        pass
    finally:
        if memory >= 0:
            a.posix.close(memory)
    repeat = a.itertools.repeat
    for at in range(0, len(values), 1 << 16):
        part = values[at:at + (1 << 16)]
        a.write(b''.join(map(int.to_bytes, map(id, part), repeat(8), repeat('little'))))


def count(a, options):
    """(types, objects, how many of them were measured: -1: none, as was asked)"""
    want = options.get('sizes', 20000)  # how many objects are measured at most; 0: none, -1: all
    basic = type.__dict__['__basicsize__'].__get__
    header = a.sys.getsizeof([]) - [].__sizeof__()  # what the collector puts before an object
    held, kinds, measured, sizes = [], [], [], []
    chain, partial = a.itertools.chain.from_iterable, a.functools.partial
    compress, repeat, operator = a.itertools.compress, a.itertools.repeat, a.operator
    all_objects = partial(held.extend, map(operator.methodcaller('__call__'), (a.gc.get_objects,)))
    try:
        a.still((all_objects, partial(kinds.extend, map(type, chain(held))), held.clear))
        hostile = _with_own_hash()
        if hostile:
            safe = list(map(operator.not_, map(hostile.__contains__, map(type, kinds))))
            plain = list(dict.fromkeys(compress(kinds, safe)))
            distinct = plain + [
                one for one in _below(object, {}).values()
                if any([type(one) is meta for meta in hostile])
            ]
        else:
            plain = distinct = list(dict.fromkeys(kinds))
        ways = list(map(_measure, distinct))
        objects = len(kinds)
        if want:
            every = max(1, -(-objects // want)) if want > 0 else 1
            varies = dict(zip(plain, map(operator.eq, ways, repeat(1)))).get

            def every_nth():
                return a.itertools.islice(chain(held), 0, None, every)

            def sample():
                if not hostile:
                    return every_nth()
                has_own = map(hostile.__contains__, map(type, map(type, every_nth())))
                return compress(every_nth(), map(operator.not_, has_own))

            wanted = []
            a.still((
                all_objects,
                partial(wanted.extend, map(varies, map(type, sample()))),
                partial(measured.extend, compress(map(type, sample()), wanted)),
                partial(sizes.extend, map(a.sys.getsizeof, compress(sample(), wanted))),
                held.clear,
            ))
    finally:
        held.clear()
    _write_addresses(a, kinds)
    _write_addresses(a, measured)
    a.write(a.marshal.dumps(sizes))
    types = [
        [_name(one), id(one), basic(one) + header, 0 if way == 1 else 1]
        for one, way in zip(distinct, ways)
    ]
    return types, objects, len(sizes) if want else -1


def run(a, options):
    types, objects, measured = count(a, options)
    return {
        'types': types, 'objects': objects, 'measured': measured, 'rss': a.rss(),
        'pid': a.posix.getpid(), 'unix': a.time.clock_gettime(a.time.CLOCK_REALTIME),
    }
