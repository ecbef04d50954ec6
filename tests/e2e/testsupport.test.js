// A client that no one here wrote: VS Code's own test client for debug adapters drives a session through Basilisk.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { test, beforeEach, afterEach } = require('node:test');
const { DebugClient } = require('@vscode/debugadapter-testsupport');

const repo = path.resolve(__dirname, '..', '..');
const basilisk = process.env.BASILISK || path.join(repo, 'build', 'release', 'basilisk');
const python = process.env.BASILISK_TEST_PYTHON || path.join(repo, '.venv', 'bin', 'python');
const shares = path.join(repo, 'fixtures', 'shares.py');
const walk = path.join(repo, 'fixtures', 'walk.py');

// Where `basilisk dap` without options finds a Python that has debugpy.
process.env.VIRTUAL_ENV = path.dirname(path.dirname(python));

let client, folder;

function lineOf(file, text) {
    return fs.readFileSync(file, 'utf8').split('\n').findIndex((line) => line.includes(text)) + 1;
}

beforeEach(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'basilisk-'));
    client = new DebugClient(basilisk, 'dap', 'debugpy', { cwd: folder, env: process.env });
    client.defaultTimeout = 30000;
    await client.start();
});

afterEach(async () => {
    await client.stop();
    fs.rmSync(folder, { recursive: true, force: true });
});

function launch(program, more) {
    return { type: 'python', request: 'launch', name: 'test', program, python, console: 'internalConsole', cwd: folder, ...more };
}

test('launches a program and sees it end', async () => {
    await Promise.all([
        client.configurationSequence(),
        client.launch(launch(walk)),
        client.waitForEvent('terminated'),
    ]);
});

test('stops at a breakpoint and evaluates there', async () => {
    const line = lineOf(walk, '# inner');
    await client.hitBreakpoint(launch(walk), { path: walk, line });
    const { body } = await client.stackTraceRequest({ threadId: 1, startFrame: 0, levels: 1 });
    const answer = await client.evaluateRequest({ expression: 'doubled + 1', frameId: body.stackFrames[0].id, context: 'watch' });
    assert.strictEqual(answer.body.result, '1');
    await client.setBreakpointsRequest({ source: { path: walk }, breakpoints: [] });
    await Promise.all([client.continueRequest({ threadId: 1 }), client.waitForEvent('terminated')]);
});

test('takes a profile from the debug console', async () => {
    await Promise.all([
        client.configurationSequence(),
        client.launch(launch(shares, { args: ['--seconds', '60'] })),
        client.waitForEvent('process'),
    ]);
    const started = await client.evaluateRequest({ expression: '/profile', context: 'repl' });
    assert.match(started.body.result, /100 Hz/);
    for (let samples = 0; samples < 50;) {
        const status = await client.evaluateRequest({ expression: '/basilisk', context: 'repl' });
        samples = Number(/(\d+) samples/.exec(status.body.result)[1]);
    }
    const output = [];
    client.on('output', (event) => output.push(event.body));
    const stopped = await client.evaluateRequest({ expression: '/profstop', context: 'repl' });
    assert.match(stopped.body.result, /samples/);
    const clickable = output.filter((body) => body.source && body.source.path === shares && body.line > 0);
    assert.ok(clickable.length > 0, 'hot lines have source and line');
    const files = fs.readdirSync(path.join(folder, 'basilisk-profiles'));
    assert.ok(files.some((name) => name.endsWith('.cpuprofile')), files.join());
});

test('terminates a program that runs', async () => {
    await Promise.all([
        client.configurationSequence(),
        client.launch(launch(shares, { args: ['--seconds', '60'] })),
        client.waitForEvent('process'),
    ]);
    await Promise.all([client.terminateRequest(), client.waitForEvent('terminated')]);
    // The disconnect is stop()'s, below: now and then debugpy never answers a second one.
});
