# The agent: what stays in the debuggee between two calls, as `agent` of sys.modules['_basilisk'].
#
# It runs jobs (snapshot.py and so on), one at a time, each on a thread of its own, and keeps what a
# job has dumped until it is fetched. It touches nothing of the program's and runs none of its code:
# no import statement, no print, no class (which would be garbage), no lock of the program's.
# `self` (this module), `home` (that of sys.modules), `lib` (importlib's globals), `sys` and `version`
# are there before this text runs.

_builtin = type(len)


def load(name):
    """A module of the standard library without a finder of the program's; one that was not there
    before does not stay in sys.modules."""
    found = sys.modules.get(name)
    if found is not None:
        return found
    if name in sys.builtin_module_names:
        found = lib['_builtin_from_name'](name)
    else:
        found = _load_shared(name)
    sys.modules.pop(name, None)
    return found


def _load_shared(name):
    imp = lib['_imp']
    for folder in sys.path:
        if type(folder) is not str or not folder.endswith('lib-dynload'):
            continue
        for suffix in imp.extension_suffixes():
            path = folder + '/' + name + suffix
            try:
                posix.stat(path)
            except OSError:
                continue
            spec = lib['ModuleSpec'](name, None, origin=path)
            module = imp.create_dynamic(spec)
            imp.exec_dynamic(module)
            return module
    raise ImportError('no module ' + name)


marshal = load('marshal')
posix = load('posix')
time = load('time')
gc = load('gc')
itertools = load('itertools')
operator = load('_operator')
functools = load('_functools')
tracemalloc = load('_tracemalloc')
thread = lib['_thread']
modules = {}
_job = None
_apply = operator.methodcaller('__call__')


def _original(names):
    """A function of _thread as CPython made it: pydevd and gevent put their own in its place."""
    saved = sys.modules.get('gevent.monkey')
    saved = getattr(saved, 'saved', {}).get('_thread', {}) if saved is not None else {}
    for name in names:
        for place in (thread.__dict__, saved):
            found = place.get(name)
            if type(found) is _builtin and found.__name__ in names:
                return found
    return None


_start_thread = _original(('_original_start_new_thread', 'start_new_thread', 'start_new'))
_new_lock = _original(('allocate_lock', 'allocate'))


def still(steps):
    """Calls each of `steps` from one C call, with the collector off. With a GIL no other thread runs
    between them, as long as the steps are C functions that keep it: no object dies meanwhile, and
    nobody sees that the collector is off."""
    enabled = gc.isenabled()
    try:
        steps = (gc.disable,) + tuple(steps) + ((gc.enable,) if enabled else ())
        return list(map(_apply, steps))[1:]
    finally:
        if enabled and not gc.isenabled():  # a step has failed
            gc.enable()


def _enable(count):
    """Puts the collector on again while the program stands still; its counter stood at `count`.
    CPython keeps up to 2,000 freed tuples for later, so that our dump has moved it for good: soon a
    collection would be due, on debugpy's thread. All objects move to the oldest generation instead,
    as if they had lived through one; unless the program has frozen some itself. (3.12 does so with
    some hundreds of its own when it starts.)"""
    usual = 1000 if sys.version_info[:2] == (3, 12) else 0
    if gc.get_count()[0] > count + 20 and gc.get_freeze_count() <= usual:
        gc.freeze()
        gc.unfreeze()
    gc.enable()


def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def rss():
    """Resident bytes of this process, or 0."""
    try:
        fd = posix.open('/proc/self/statm', posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            return int(posix.read(fd, 200).split()[1]) * posix.sysconf('SC_PAGE_SIZE')
        finally:
            posix.close(fd)
    except (OSError, ValueError, IndexError):
        return 0


_of_thread = {}  # the job that each thread of ours does


def stop_asked():
    """Whether the job that asks is not wanted any more."""
    return _of_thread[thread.get_ident()]['dropped']


# ---- what a job dumps --------------------------------------------------------------------------


def expect(size):
    """Opens the dump: a descriptor that has no name anywhere, so that nothing is left of it however
    this process ends. It is memory where the C library has memfd_create, else a file already
    unlinked with twice `size` free; without either, or where RLIMIT_FSIZE is less, the dump stays in
    a list."""
    job = _of_thread[thread.get_ident()]
    limit = job['limit'] = file_limit()
    fd = -1 if limit is not None and limit < size + 4096 else _open_unnamed(job, size)
    job['fd'] = fd
    job['opened'] = True
    if fd >= 0:
        posix.write(fd, job['nonce'])


def file_limit():
    """RLIMIT_FSIZE, or None. Past it a write() sends SIGXFSZ, which ends a program that does not
    ignore it as CPython does when it starts: so nobody may come near."""
    try:
        fd = posix.open('/proc/self/limits', posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            return int(posix.read(fd, 4096).partition(b'Max file size')[2].split(None, 1)[0])
        finally:
            posix.close(fd)
    except (OSError, ValueError, IndexError):
        return None


def _open_unnamed(job, size):
    try:
        return posix.memfd_create('basilisk')  # close-on-exec by default
    except (AttributeError, OSError):
        pass
    flags = posix.O_RDWR | posix.O_CLOEXEC | posix.O_EXCL
    folders = [posix.environ.get(b'TMPDIR', b''), b'/tmp', b'/var/tmp', b'/dev/shm']
    for folder in folders:
        if not folder:
            continue
        fd = -1
        try:
            try:
                fd = posix.open(folder, flags | getattr(posix, 'O_TMPFILE', 0o20200000), 0o600)
            except OSError:
                path = folder + b'/.basilisk-' + job['nonce'].hex().encode()
                fd = posix.open(path, flags | posix.O_CREAT, 0o600)
                posix.unlink(path)
            free = posix.fstatvfs(fd)
            if free.f_bavail * free.f_frsize > 2 * size:
                return fd
        except OSError:
            pass
        if fd >= 0:
            posix.close(fd)
    return -1


def write(data):
    """Appends to the dump."""
    job = _of_thread[thread.get_ident()]
    if not job['opened']:
        expect(len(data))
    done, size = job['dump'], len(data)
    job['dump'] += size
    if job['fd'] >= 0 and not _write_all(job, data, done):
        _keep_in_memory(job, done)
    if job['fd'] < 0:
        job['kept'].append(bytes(data))


def _write_all(job, data, done):
    """False: there is no room for it, and what was written before is as it was."""
    if job['limit'] is not None and len(job['nonce']) + done + len(data) > job['limit']:
        return False
    view = memoryview(data)
    try:
        while len(view):
            view = view[posix.write(job['fd'], view):]
    except OSError:
        return False
    return True


def _keep_in_memory(job, done):
    fd, at = job['fd'], 0
    while at < done:
        job['kept'].append(posix.pread(fd, min(done - at, 1 << 20), at + len(job['nonce'])))
        if not job['kept'][-1]:
            raise OSError('the dump cannot be read again')
        at += len(job['kept'][-1])
    job['fd'] = -1
    posix.close(fd)


def _piece(job, at, size):
    if job['fd'] >= 0:
        return posix.pread(job['fd'], size, at + len(job['nonce']))
    out = []
    for part in job['kept']:
        if at < len(part) and size > 0:
            out.append(part[at:at + size])
            size -= len(out[-1])
        at = max(at - len(part), 0)
    return b''.join(out)


# ---- jobs --------------------------------------------------------------------------------------


def _run(job, code, options, later):
    _of_thread[thread.get_ident()] = job
    names = {}
    # What an expression was worth, whose graph was never made: it is the program's, and let go.
    stale = None if options.get('expression') else self.__dict__.pop('graph_target', None)
    try:
        if job['dropped']:
            raise RuntimeError('not wanted any more')
        names = {'__builtins__': __builtins__, '__name__': '_basilisk_job'}
        exec(code, names)
        job['result'] = names['run'](self, options)
        marshal.dumps(job['result'])
        job['state'] = 'done'
    except BaseException as e:  # SystemExit too: it must not end anything
        job['error'] = type(e).__name__ + ': ' + str(e)[:300]
        job['state'] = 'failed'
        job['result'] = None
        e = None
    names.clear()  # its functions refer to it
    names = code = options = None
    del _of_thread[thread.get_ident()]
    job['seconds'] = now() - job['began']
    try:
        job['cpu'] = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
        modules['cpu'] = modules.get('cpu', 0.0) + job['cpu']
        if job['dropped']:
            _close(job)
        if later is not None:
            later(_state(job))
    except BaseException:
        pass
    later = stale = None
    if job['undo'] is not None:
        _take_back(job['undo'])
    if job['lock'] is not None:
        job['lock'].release()
    if job['quiet']:
        _enable(job['count'])


# A debugger that watches every thread of the program takes one that begins so for one that has not
# begun yet: it goes by this file's name and this function's.
exec(compile('def _bootstrap(run, *rest):\n    run(*rest)\n', '<basilisk>/threading.py', 'exec'))


def _begin(here):
    global _job
    _drop()
    nonce = here['_nonce']
    job = _job = {
        'nonce': nonce, 'state': 'running', 'result': None, 'error': '', 'fd': -1, 'opened': False,
        'dump': 0, 'kept': [], 'limit': None, 'began': now(), 'seconds': 0.0, 'cpu': 0.0, 'dropped': False,
        'quiet': here['_quiet'], 'count': here['_count'],
        'lock': _new_lock() if _new_lock is not None else None,
        'undo': None,
    }
    code = compile(here['_source'], '<basilisk>', 'exec')
    later = here.get('_later')
    arguments = (job, code, here['_options'], later)
    if job['lock'] is not None:
        job['lock'].acquire()
    if _start_thread is None:
        here['_quiet'] = False
        _run(*arguments)  # in the caller's time: no thread can be had
    else:
        try:
            _start_thread(_bootstrap, (_run,) + arguments)
        except BaseException:
            _job = None
            raise
        here['_quiet'] = False  # the job's thread puts the collector on again
    return _poll(nonce, 0 if later is not None else here['_wait_ms'])


def _state(job):
    answer = {'state': job['state'], 'seconds': job['seconds'], 'cpu': job['cpu'],
              'result': job['result'], 'dump': job['dump'], 'fd': job['fd'], 'error': job['error']}
    if job['state'] == 'running':
        answer['seconds'] = now() - job['began']
    return marshal.dumps(answer)


def _poll(nonce, wait_ms):
    job = _job
    if job is None or job['nonce'] != nonce:
        return marshal.dumps(None)
    if job['state'] == 'running' and wait_ms > 0 and job['lock'] is not None:
        if job['lock'].acquire(True, wait_ms / 1000.0):
            job['lock'].release()
    return _state(job)


def _close(job):
    fd, job['fd'], job['kept'] = job['fd'], -1, []
    if fd >= 0:
        posix.close(fd)


def _drop():
    global _job
    job, _job = _job, None
    if job is None:
        return
    job['dropped'] = True
    if job['state'] != 'running':  # else its thread closes it at its end
        _close(job)


def remove():
    _drop()
    home.__dict__.pop('agent', None)
    if not home.__dict__.keys() - {'__name__', '__doc__', '__package__', '__loader__', '__spec__'}:
        sys.modules.pop('_basilisk', None)  # nobody else has anything there


def _undo(here):
    """What a start has begun whose answer came too late is taken back: now, or by its own thread as soon
    as it has ended."""
    code = compile(here['_source'], '<basilisk>', 'exec')
    at_work = False
    for job in list(_of_thread.values()) + [_job]:
        if job is not None and job['state'] == 'running':
            job['undo'] = code
            job['dropped'] = True
            at_work = at_work or job['state'] == 'running'  # then its thread is still to see it
    if not at_work:
        _take_back(code)
    return marshal.dumps({'state': 'running' if at_work else 'done'})


def _take_back(code):
    names = {'__builtins__': __builtins__, '__name__': '_basilisk_job'}
    try:
        exec(code, names)
        names['run'](self, {})
    except BaseException:
        pass
    names.clear()
    remove()


def call(here):
    """One of the six calls (scripts.h); answers marshalled bytes."""
    began = time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)
    wanted = modules.pop('on_main', None)
    if wanted is not None and not wanted():  # this is not the main thread: the next one may be
        modules['on_main'] = wanted
    try:
        return _call(here)
    finally:
        modules['cpu'] = modules.get('cpu', 0.0) - began + time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)


def _call(here):
    op = here['_op']
    if op == 'begin':
        return _begin(here)
    if op == 'poll':
        return _poll(here['_nonce'], here['_wait_ms'])
    if op == 'undo':
        return _undo(here)
    if op == 'remove':
        remove()
        return marshal.dumps(None)
    if _job is None or _job['nonce'] != here['_nonce']:
        return marshal.dumps(None)
    if op == 'piece':
        return marshal.dumps(_piece(_job, here['_at'], here['_size']))
    _drop()
    return marshal.dumps(None)
