# Stops tracking (stop.py stands before this text) and takes back what at_exit.py has begun.

_stop = run


def run(a, options):
    at_exit, atexit = a.modules.pop('at_exit', (None, None))
    if at_exit is not None:
        atexit.unregister(at_exit)
    a.modules.pop('on_main', None)
    forget = a.modules.pop('forget_signal', None)
    if forget is not None:
        forget()
    return _stop(a, options)
