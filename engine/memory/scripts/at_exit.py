# Starts tracking (start.py stands before this text), and sees to a last snapshot when the program
# ends: by its end, an exception, sys.exit(), or SIGTERM where that has no handler. Not by os._exit(),
# SIGKILL, or a crash.
#
# The snapshot goes into a file of Basilisk's that has no name (options['path'] is a descriptor of that
# process), since nobody can be asked any more then: the dump, what snapshot.py returns, marshalled, and
# the lengths of both. In a forked child nothing happens.

_start = run


def _place(a, options):
    """A descriptor of the file, or -1: Basilisk has ended, or cannot be seen from here."""
    try:
        fd = a.posix.open(options['path'], a.posix.O_WRONLY | a.posix.O_CLOEXEC | a.posix.O_NONBLOCK)
    except OSError:
        return -1
    status = a.posix.fstat(fd)
    if (status.st_dev, status.st_ino) == (options['device'], options['inode']):
        return fd
    a.posix.close(fd)
    return -1


def _last(a, options):
    fd = _place(a, options)
    if fd < 0:
        return
    length, limit = [0], a.file_limit()

    def write(data):
        view = memoryview(data)
        length[0] += len(view)
        if limit is not None and length[0] > limit:
            raise OSError('RLIMIT_FSIZE')
        while len(view):
            view = view[a.posix.write(fd, view):]

    shim = type(a.sys)('_basilisk')
    shim.__dict__.update(a.__dict__, write=write, expect=lambda size: None)
    names = {'__builtins__': __builtins__, '__name__': '_basilisk_job'}
    enabled = a.gc.isenabled()
    a.gc.disable()
    try:
        exec(compile(options['source'], '<basilisk>', 'exec'), names)
        result = a.marshal.dumps(names['run'](shim, options))
        dump = length[0]
        write(result)
        write(b'%16x%16x' % (dump, len(result)))
    finally:
        if enabled:
            a.gc.enable()
        a.posix.close(fd)


def _watch(a, options):
    pid = a.posix.getpid()
    done = []

    def at_exit():
        if a.posix.getpid() == pid and not done and 'tracing' in a.modules:
            done.append(True)
            try:
                _last(a, options)
            except BaseException:
                pass

    # To 3.9 one that was made here would have callbacks of its own, and take the place of the program's.
    atexit = a.sys.modules.get('atexit')
    if atexit is None and a.sys.version_info >= (3, 10):
        atexit = a.load('atexit')
    if atexit is not None:
        atexit.register(at_exit)
        a.modules['at_exit'] = at_exit, atexit

    signal = a.load('_signal')
    default, number = signal.SIG_DFL, signal.SIGTERM

    def on_signal(received, frame):
        at_exit()
        signal.signal(number, default)
        a.posix.kill(a.posix.getpid(), number)

    def swap(old, new):
        """Only the main thread may. Where the debugger has ctypes it comes by as soon as it runs a line of
        Python; without a debugger most of our texts run on it, and the next one does it."""
        def on_main():
            try:
                if signal.getsignal(number) is old:
                    signal.signal(number, new)
            except ValueError:  # another thread
                return False
            return True

        ctypes = a.sys.modules.get('ctypes')
        if ctypes is None:
            a.modules['on_main'] = on_main
            return

        def pending(ignored):
            try:
                on_main()
            except BaseException:
                pass
            return 0

        call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(pending)
        # Nobody knows when it is called: it is never freed.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(call))
        ctypes.pythonapi.Py_AddPendingCall(call, None)

    swap(default, on_signal)
    a.modules['forget_signal'] = lambda: swap(on_signal, default)


def _own(names):
    """These functions with a dictionary of their own: a job's is emptied when the job has ended."""
    own = dict(names)
    for name, value in names.items():
        if type(value) is type(_own):
            own[name] = type(_own)(value.__code__, own)
    return own


def run(a, options):
    answer = _start(a, options)
    answer['last'] = False
    fd = _place(a, options)
    if fd >= 0 and 'at_exit' not in a.modules:
        a.posix.close(fd)
        _own(globals())['_watch'](a, options)
        answer['last'] = 'at_exit' in a.modules
    return answer
