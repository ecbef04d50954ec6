# What the target executes, on whichever of its threads came first. `_path` and `_deadline` are there. The text itself is
# read here, so that tracemalloc puts it under our name and not under the line that the program was on.


def _basilisk(path, deadline):
    lib = type(__build_class__.__self__.__spec__).__init__.__globals__
    posix, time = (lib['sys'].modules.get(name) or lib['_builtin_from_name'](name) for name in ('posix', 'time'))

    def give(kind, to, data):
        data = kind + (data.encode('utf-8', 'backslashreplace') if type(data) is str else data)
        fd = posix.open(to + '.part', posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while len(view):
                view = view[posix.write(fd, view):]
        finally:
            posix.close(fd)
        posix.rename(to + '.part', to)

    def source():
        fd = posix.open(path + '.text', posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            pieces = [posix.read(fd, 1 << 20)]
            while pieces[-1]:
                pieces.append(posix.read(fd, 1 << 20))
            return b''.join(pieces)
        finally:
            posix.close(fd)

    try:  # whoever asked has gone, or another thread was first: not here
        posix.close(posix.open(path + '.taken', posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC, 0o600))
    except OSError:
        return
    try:
        if time.clock_gettime(time.CLOCK_MONOTONIC) < deadline:
            exec(compile(source(), '<basilisk>', 'exec'),
                 {'_answer': lambda data: give(b'A', path + '.answer', data),
                  '_later': lambda data: give(b'A', path + '.later', data)})
    except BaseException as error:
        try:
            give(b'E', path + '.answer', type(error).__name__ + ': ' + str(error)[:300])
        except OSError:
            pass


try:
    _basilisk(_path, _deadline)
except BaseException:
    pass
del _basilisk  # it and this dictionary hold each other
