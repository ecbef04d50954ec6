# Counts the objects that the collector tracks by type, and measures them.
#
# The dump holds two marshalled lists of one length, if sizes were asked for: the type of every n-th
# object as an index into `types`, and its size. `types` are [name, objects, bytes of the fixed
# part, 1 where that is all]. Nothing here looks an attribute up on a class of the program's, whose
# metaclass may run code: only `type`'s own getters are used.


def _names(a):
    """Every class: the index of each by its address, and what to call it."""
    subclasses = type.__subclasses__
    qualname = type.__dict__['__qualname__'].__get__
    module = type.__dict__['__module__'].__get__
    index, classes, waiting = {}, [], [object]
    while waiting:
        one = waiting.pop()
        if id(one) in index:
            continue
        index[id(one)] = len(classes)
        classes.append(one)
        waiting.extend(subclasses(one))

    def name(one):
        own, home = qualname(one), module(one)
        if type(home) is str and home not in ('builtins', ''):
            return home[:200] + '.' + own[:200]
        return own[:400]

    return index, classes, name


def _measured(a, classes):
    """For each class: 0 where all of its objects are as large as the class says, 1 where sizeof tells
    more, 2 where it is the program's own __sizeof__, which must not run."""
    namespace = type.__dict__['__dict__'].__get__
    order = type.__dict__['__mro__'].__get__
    itemsize = type.__dict__['__itemsize__'].__get__
    plain = object.__dict__['__sizeof__']
    python = type(_names)
    kinds = bytearray()
    for one in classes:
        kind = 1 if itemsize(one) else 0
        for base in order(one):
            found = namespace(base).get('__sizeof__')
            if found is not None:
                if found is not plain:
                    kind = 1 if type(found) in (type(list.__sizeof__), type(plain)) else 2
                break
        kinds.append(kind)
    return bytes(kinds)


def count(a, options):
    """(types, every, objects); `every`: sizes in the dump are of every n-th object, 0: none are."""
    want = options.get('sizes', 100000)  # how many objects are measured at most; 0: none, -1: all
    index, classes, name = _names(a)
    kinds = _measured(a, classes)
    basic = type.__dict__['__basicsize__'].__get__
    header = a.sys.getsizeof([]) - [].__sizeof__()  # what the collector puts before an object
    counts, held, lengths, types, sizes = {}, [], [], [], []
    chain, partial = a.itertools.chain.from_iterable, a.functools.partial
    tally = a.load('_collections')._count_elements
    apply = a.operator.methodcaller('__call__')
    steps = [
        partial(held.extend, map(apply, (a.gc.get_objects,))),  # one item: the list of all
        partial(lengths.extend, map(len, held)),
        partial(tally, counts, map(id, map(type, chain(held)))),
    ]
    every = 0
    if want:
        # How many there are is known too late for the steps: about as many as blocks, at most.
        about = a.sys.getallocatedblocks() if want > 0 else 0
        every = max(1, -(-about // want)) if want > 0 else 1
        sample = partial(a.itertools.islice, chain(held), 0, None, every)
        picked = map(index.get, map(id, map(type, sample())), a.itertools.repeat(0))
        # Only what varies is measured; iterators over the same list keep step with each other.
        varies = a.operator.eq
        measured = list(kinds)
        steps += [
            partial(types.extend, picked),
            partial(
                sizes.extend,
                map(
                    a.sys.getsizeof,
                    a.itertools.compress(
                        sample(),
                        map(varies, map(measured.__getitem__, types), a.itertools.repeat(1)),
                    ),
                ),
            ),
        ]
    steps.append(held.clear)
    try:
        a.still(steps)
    finally:
        held.clear()
    answer = []
    number = {}
    for address, many in counts.items():
        at = index.get(address)
        if at is None:
            answer.append(['(a type that is new)', many, 0, 0])
            continue
        one = classes[at]
        number[at] = len(answer)
        answer.append([name(one), many, basic(one) + header, 0 if kinds[at] == 1 else 1])
    if every:
        flat = [number.get(at, -1) for at in types if kinds[at] == 1]
        for part in (flat, sizes):
            a.write(a.marshal.dumps(part))
    return answer, every, sum(lengths)


def run(a, options):
    types, every, objects = count(a, options)
    return {'types': types, 'every': every, 'objects': objects, 'rss': a.rss(), 'pid': a.posix.getpid()}
