# One call into the agent, as C composes it (engine/memory/scripts.c): the names _op, _nonce, _wait_ms,
# _stopped and, for `begin`, _agent, _version, _name, _source and _options (for `undo`, _source) stand before this text.
#
# Nothing here may run the program's code: it may have patched builtins.__import__, so modules come
# from importlib's own globals, which hang on the builtins' module spec.


#
# While the program's threads stand at a breakpoint a collection on our threads could run a __del__ that
# waits for a lock of theirs, and would wait for ever: so then (_stopped) the collector is off until we
# are done. While they run it stays as it is: the program may switch it itself.


def _call(here, lib):
    modules = lib['sys'].modules
    home = modules.get('_basilisk')
    agent = getattr(home, 'agent', None)
    if _op == 'begin' and (agent is None or agent.version != _version):
        if agent is not None:
            agent.remove()
        if modules.get('_basilisk') is None:
            modules['_basilisk'] = type(lib['sys'])('_basilisk')
        home = modules['_basilisk']
        agent = type(lib['sys'])('_basilisk')
        names = agent.__dict__
        clean = dict(__build_class__.__self__.__dict__)
        for name in ('__import__', 'open', 'print', 'input', 'breakpoint'):
            clean.pop(name, None)
        # A debugger's script (PEP 768) may come by on a thread of ours, and cannot be read without this.
        clean['__import__'] = lib['__import__']
        names.update(__builtins__=clean, self=agent, home=home, lib=lib, sys=lib['sys'], version=_version)
        exec(compile(_agent, '<basilisk>', 'exec'), names)
        home.agent = agent
    if agent is None:
        return b'N'  # None, marshalled: there is no agent, so no such job
    return agent.call(here)


def _quietly(here):
    lib = type(__build_class__.__self__.__spec__).__init__.__globals__
    modules = lib['sys'].modules
    gc = modules.get('gc')
    if gc is None:
        gc = lib['_builtin_from_name']('gc')
        del modules['gc']
    here['_quiet'] = _stopped and gc.isenabled()
    here['_count'] = gc.get_count()[0]
    if here['_quiet']:
        gc.disable()
    try:
        return _call(here, lib)
    finally:
        if here['_quiet']:  # else it was not wanted, or a job's thread has taken it over
            gc.enable()


_reply = _quietly(globals())
# A function refers to this dictionary, and it to the function: garbage for the program's collector,
# with the texts in it. So nothing stays that closes the circle.
for _name in ('_call', '_quietly', '_source', '_agent', '_options'):
    globals().pop(_name, None)
_answer(_reply)
