# What runs jobs inside a target; see channel.h for what a script finds. Executed once in a target, in
# the dictionary of the one module that Basilisk has there; `_sys` is in it already. Python 3.8 to 3.15.
# Nothing here may call what the program could have replaced: modules of C are taken, not those around
# them, and nothing that is not loaded already or part of the interpreter is imported.

_before = set(globals()) - {'_sys', '_home', '__builtins__'}
__builtins__ = dict(
    (name, value)
    for name, value in _sys.modules['builtins'].__dict__.items()
    if getattr(value, '__module__', None) == 'builtins' or value is None or value is True or value is False
)
if type(__builtins__.get('__import__')) is not type(len):
    __builtins__['__import__'] = _sys.modules['_frozen_importlib'].__import__
__builtins__['open'] = _sys.modules['_io'].open
__builtins__.update(NotImplemented=NotImplemented, Ellipsis=Ellipsis)


def _setup():
    global gc, posix, _io, _thread, _time, _start_thread, jobs

    def take(name):
        """A module of C, without leaving one in sys.modules that was not there."""
        module = _sys.modules.get(name)
        if module is None:
            module = __import__(name)
            _sys.modules.pop(name, None)
        return module

    gc, posix, _io, _thread, _time = map(take, ('gc', 'posix', '_io', '_thread', 'time'))
    # pydevd and gevent put their own in its place and keep this one.
    _start_thread = getattr(_thread, '_original_start_new_thread', None) or _thread.start_new_thread
    if type(_start_thread) is not type(len):
        saved = getattr(_sys.modules.get('gevent.monkey'), 'saved', {}).get('_thread', {})
        _start_thread = saved.get('start_new_thread', _start_thread)
    jobs = {}


_setup()
del _setup


class _Refused(Exception):
    def __init__(self, text, hint=''):
        Exception.__init__(self, text, hint)
        self.text, self.hint = text, hint


def _json(value, out):
    """Appends the pieces of `value` as JSON to the list `out`."""
    kind = type(value)
    if value is None or kind is bool:
        out.append('null' if value is None else 'true' if value else 'false')
    elif kind is int:
        out.append(int.__repr__(value))
    elif kind is float:
        out.append(float.__repr__(value) if value - value == 0 else '0')
    elif kind is dict:
        comma = '{'
        for key, item in value.items():
            out.append(comma)
            _json(key if type(key) is str else str(key), out)
            out.append(':')
            _json(item, out)
            comma = ','
        out.append('}' if value else '{}')
    elif kind is list or kind is tuple:
        comma = '['
        for item in value:
            out.append(comma)
            _json(item, out)
            comma = ','
        out.append(']' if value else '[]')
    else:
        text = value if kind is str else str(value)
        out.append('"')
        if text.isascii() and text.isprintable() and '"' not in text and '\\' not in text:
            out.append(text)
        else:
            out.append(text.translate(_Escapes()))
        out.append('"')


class _Escapes(dict):
    def __missing__(self, code):
        if code in (34, 92):
            text = '\\' + chr(code)
        elif code < 32 or 0xd800 <= code < 0xe000:
            text = '\\u%04x' % code
        else:
            text = chr(code)
        self[code] = text
        return text


def _read(path):
    try:
        fd = posix.open(path, posix.O_RDONLY)
    except OSError:
        return b''
    try:
        pieces = []
        while sum(map(len, pieces)) < 1 << 20:
            piece = posix.read(fd, 65536)
            if not piece:
                break
            pieces.append(piece)
        return b''.join(pieces)
    finally:
        posix.close(fd)


def _memory_left():
    """Bytes that this process could still take before the machine or its cgroup has none."""
    left = 1 << 62
    for line in _read('/proc/meminfo').split(b'\n'):
        if line.startswith(b'MemAvailable:'):
            left = int(line.split()[1]) * 1024
    for line in _read('/proc/self/cgroup').split(b'\n'):
        number, _, rest = line.partition(b':')
        names, _, path = rest.partition(b':')
        if names not in (b'', b'memory'):
            continue
        base = '/sys/fs/cgroup' if not names else '/sys/fs/cgroup/memory'
        limit, used = (('memory.max', 'memory.current') if not names else
                       ('memory.limit_in_bytes', 'memory.usage_in_bytes'))
        path = path.decode('utf-8', 'surrogateescape')
        while True:
            most, now = (_read('%s%s/%s' % (base, path, name)).strip() for name in (limit, used))
            if most.isdigit() and now.isdigit():
                left = min(left, max(0, int(most) - int(now)))
            if not path or path == '/':
                break
            path = path.rpartition('/')[0]
    return left


def _is_memory(device):
    """Is the file system with this st_dev kept in memory? What cannot be told is taken for one."""
    name = b'%d:%d' % (posix.major(device), posix.minor(device))
    for line in _read('/proc/self/mountinfo').split(b'\n'):
        fields = line.split()
        if len(fields) > 6 and fields[2] == name and b'-' in fields:
            return fields[fields.index(b'-') + 1] in (b'tmpfs', b'ramfs', b'devtmpfs')
    return True


def _places():
    """(folder, bytes that may be written there) of each temporary folder that there is."""
    memory = None
    wanted = [posix.environ.get(name, b'').decode('utf-8', 'surrogateescape')
              for name in (b'TMPDIR', b'TEMP', b'TMP')]
    for folder in wanted + ['/tmp', '/var/tmp', '/dev/shm']:
        if not folder.startswith('/'):
            continue
        try:
            room = posix.statvfs(folder)
            free = room.f_bavail * room.f_frsize // 2
            if _is_memory(posix.stat(folder).st_dev):
                if memory is None:
                    memory = _memory_left()
                free = min(free, memory // 2)
        except OSError:
            continue
        yield folder, free


def _unnamed(folder):
    """The descriptor of a new file in `folder` that has no name, or -1."""
    flags = posix.O_RDWR | posix.O_CLOEXEC | getattr(posix, 'O_NOFOLLOW', 0)
    try:
        return posix.open(folder, flags | posix.O_TMPFILE | posix.O_EXCL, 0o600)
    except (OSError, AttributeError):
        pass
    try:
        path = '%s/.basilisk-%d-%s' % (folder, posix.getpid(), posix.urandom(8).hex())
        fd = posix.open(path, flags | posix.O_CREAT | posix.O_EXCL, 0o600)
        posix.unlink(path)
        return fd
    except OSError:
        return -1


def _as_text(size):
    for unit in ('bytes', 'KiB', 'MiB'):
        if size < 4096:
            return '%d %s' % (size, unit)
        size //= 1024
    return '%d GiB' % size


class _Job:
    """One script that runs, or has run and waits to be fetched."""

    __slots__ = ('answer', 'state', 'fd', 'file', 'max_bytes', 'wall', 'cpu', 'lock', 'gc_enabled')

    def __init__(self, max_bytes):
        self.answer, self.state, self.fd, self.file = b'', 'running', -1, None
        self.max_bytes, self.wall, self.cpu = max_bytes, 0, 0
        self.lock = _thread.allocate_lock()
        self.lock.acquire()

    def take(self, value=''):
        if type(value) is not str and type(value) is not bytes:
            pieces = []
            _json(value, pieces)
            value = ''.join(pieces)
        if type(value) is str:
            value = value.encode('utf-8', 'surrogatepass')
        self.answer = value

    def room(self):
        best = max([free for folder, free in _places()] or [0])
        if hasattr(posix, 'memfd_create'):
            best = max(best, _memory_left() // 2)
        return min(best, self.max_bytes)

    def dump(self, size):
        if size > self.max_bytes:
            raise _Refused('The dump would have up to %s, and %s are allowed' %
                           (_as_text(size), _as_text(self.max_bytes)))
        most = 0
        for folder, free in _places():
            most = max(most, free)
            if free >= size:
                self.fd = _unnamed(folder)
                if self.fd >= 0:
                    break
        else:
            free = _memory_left() // 2
            most = max(most, free)
            if free >= size and hasattr(posix, 'memfd_create'):
                self.fd = posix.memfd_create('basilisk')
        if self.fd < 0:
            raise _Refused('The dump would have up to %s, and there is room for %s in the temporary folders and '
                           'in memory' % (_as_text(size), _as_text(most)), 'free some, or set TMPDIR')
        self.file = _io.open(self.fd, 'wb', 1 << 20, closefd=False)
        return self.file

    def close(self):
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            posix.close(fd)

    def head(self):
        """What describes it in one line."""
        if self.state == 'running':
            return b'running\n'
        size = device = inode = 0
        if self.fd >= 0:
            status = posix.fstat(self.fd)
            size, device, inode = status.st_size, status.st_dev, status.st_ino
        return b'%s %d %d %d %d %d %d %d\n' % (self.state.encode(), self.wall, self.cpu, size, posix.getpid(),
                                                self.fd, device, inode)


def _execute(job, source, arguments):
    begun, used = _time.monotonic_ns(), _time.thread_time_ns()
    names = None
    try:
        try:
            ours = [job, jobs, _home.__dict__, __builtins__]
            names = {
                '__name__': '__basilisk__', '__builtins__': __builtins__, '_arguments': arguments,
                '_answer': job.take, '_dump': job.dump, '_room': job.room, '_Refused': _Refused,
                '_gc_enabled': job.gc_enabled, '_home': _home, '_ours': ours,
            }
            ours += [names, arguments, ours, _sys._getframe()]
            exec(compile(source, '<basilisk>', 'exec'), names)
            if job.file is not None:
                job.file.flush()
            state = 'done'
        except _Refused as refusal:
            job.answer = ('%s\n%s' % (refusal.text, refusal.hint)).encode('utf-8', 'backslashreplace')
            state = 'refused'
        except BaseException as error:
            line = 0
            trace = error.__traceback__
            while trace is not None:
                if trace.tb_frame.f_code.co_filename == '<basilisk>':
                    line = trace.tb_lineno
                trace = trace.tb_next
            job.answer = ('%s: %s (line %d)' % (type(error).__name__, error, line)).encode('utf-8', 'backslashreplace')
            error = trace = None
            state = 'failed'
        if names is not None:
            names.clear()
            ours.clear()
        names = ours = source = arguments = None
        job.file = None
        if state != 'done':
            job.close()
    finally:
        if job.gc_enabled:
            gc.enable()
        job.wall, job.cpu = _time.monotonic_ns() - begun, _time.thread_time_ns() - used
    job.state = state
    job.lock.release()


# A debugger that traces every thread of the program takes one that begins so for one that has not begun:
# it looks for this file's name and this function's.
exec(compile('def _bootstrap(execute, *rest):\n    execute(*rest)\n', '<basilisk>/threading.py', 'exec'))


def _begin(max_bytes):
    """The collector is off from here on: what it calls is the program's, and at a breakpoint that would
    wait for ever for a lock of a thread that stands."""
    enabled = gc.isenabled()
    gc.disable()
    job = _Job(max_bytes)
    job.gc_enabled = enabled
    return job


def start(number, source, arguments, max_bytes, wait):
    """Begins a job, waits for at most `wait` seconds, and says how it stands; what was not fetched is dropped."""
    for other in [other for other in jobs if jobs[other].state != 'running']:
        drop(other)
    job = jobs[number] = _begin(max_bytes)
    _start_thread(_bootstrap, (_execute, job, source, arguments))
    return fetch(number, wait)


def run(number, source, arguments, max_bytes):
    """The same on this thread, where nothing waits for it."""
    job = jobs[number] = _begin(max_bytes)
    _bootstrap(_execute, job, source, arguments)
    return fetch(number, 0)


def fetch(number, wait):
    job = jobs.get(number)
    if job is None:
        return b'unknown\n'
    if job.state == 'running' and job.lock.acquire(True, wait):
        job.lock.release()
    head = job.head()
    return head if job.state == 'running' or head == b'running\n' else head + job.answer


def piece(number, offset, size):
    job = jobs.get(number)
    return posix.pread(job.fd, size, offset) if job is not None and job.fd >= 0 else b''


def drop(number):
    job = jobs.pop(number, None)
    if job is not None:
        job.close()


def leave():
    """Takes all this out again; a job that runs goes on to its end."""
    for number in list(jobs):
        drop(number)
    home, modules = _home.__dict__, _sys.modules
    for name in _prelude:
        home.pop(name, None)
    if not home.keys() - {'__name__', '__doc__', '__package__', '__loader__', '__spec__'}:
        modules.pop('_basilisk', None)  # nobody else has anything there


_prelude = set(globals()) - _before
