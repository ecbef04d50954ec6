# Runs the garbage collector. That runs the program's code (__del__, weakref callbacks) on this
# thread of ours: so it is done only when somebody asks for it.


def run(a, options):
    traced = a.tracemalloc.get_traced_memory()[0]
    rss = a.rss()
    garbage = len(a.gc.garbage)
    before = a.gc.get_stats()
    found = a.gc.collect()
    after = a.gc.get_stats()
    collected = sum([g['collected'] for g in after]) - sum([g['collected'] for g in before])
    uncollectable = len(a.gc.garbage) - garbage
    return {
        'unreachable': found,
        'collected': max(collected, 0),
        'uncollectable': max(uncollectable, 0),
        'tracing': a.tracemalloc.is_tracing(),
        'traced_before': traced,
        'traced': a.tracemalloc.get_traced_memory()[0],
        'rss_before': rss,
        'rss': a.rss(),
    }
