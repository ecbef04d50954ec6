# Stops tracking (stop.py stands before this text) and takes back what at_exit.py has begun.

_stop = run


def run(a, options):
    at_exit = a.modules.pop('at_exit', None)
    atexit = a.sys.modules.get('atexit')
    if at_exit is not None and atexit is not None:
        atexit.unregister(at_exit)
    forget = a.modules.pop('forget_signal', None)
    if forget is not None:
        forget()
    return _stop(a, options)
