"""Requests that debugpy never answers, and that hang its adapter: Basilisk answers them itself."""

import pytest

from conftest import PYTHON, fixture_path, line_of

WALK = fixture_path("walk.py")
REQUESTS = {
    "cancel": {"requestId": 1},
    "restart": {},
    "restartFrame": {"frameId": 1},
    "loadedSources": {},
    "breakpointLocations": {"source": {"path": WALK}, "line": 1},
    "readMemory": {"memoryReference": "0x0", "count": 4},
    "terminateThreads": {"threadIds": [1]},
}


@pytest.mark.parametrize("command", sorted(REQUESTS))
def test_a_request_that_wedges_debugpy_is_answered_and_the_session_goes_on(command, editors):
    editor = editors.through()
    editor.initialize()
    editor.launch(WALK, python=PYTHON, breakpoints={WALK: [line_of(WALK, "# inner")]})
    editor.wait_stopped()
    response = editor.ask(command, REQUESTS[command], timeout=5)
    assert response["success"] or response["message"]
    assert editor.request("threads", timeout=5)["threads"]
    editor.set_breakpoints(WALK, [])
    editor.resume()
    editor.wait_event("terminated")
    assert editor.disconnect()["success"]


def test_they_are_answered_before_the_program_is_launched_too(editors):
    editor = editors.through()
    editor.initialize()
    for command, arguments in REQUESTS.items():
        response = editor.ask(command, arguments, timeout=5)
        assert response["success"] or response["message"]
    editor.launch(WALK, python=PYTHON)
    editor.wait_event("terminated")
