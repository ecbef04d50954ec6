# Stops tracemalloc where we started it.


def run(a, options):
    mine = a.modules.pop('tracing', None)
    stopped = False
    if mine is not None and not mine['foreign'] and a.tracemalloc.is_tracing():
        a.tracemalloc.stop()
        stopped = True
    return {'stopped': stopped, 'tracing': a.tracemalloc.is_tracing()}
