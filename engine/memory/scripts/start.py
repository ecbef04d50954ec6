# Starts tracemalloc, unless the program has done so itself: then it stays the program's.


def run(a, options):
    tracing = a.tracemalloc.is_tracing()
    mine = a.modules.get('tracing')
    if mine is None:
        mine = a.modules['tracing'] = {
            'foreign': tracing,
            'began': a.now(),
            'rss': a.rss(),
            'peak': 0,
        }
    if not tracing:
        mine['foreign'] = False
        mine['began'] = a.now()
        mine['peak'] = 0
        mine.pop('ours', None)
        a.tracemalloc.start(options.get('frames', 1))
    return {
        'foreign': mine['foreign'],
        'was_tracing': tracing,
        'frames': a.tracemalloc.get_traceback_limit(),
        'rss': mine['rss'],
        'pid': a.posix.getpid(),
        'python': list(a.sys.version_info[:3]),
    }
