// browser.js WRITE_SAMPLES [PNG FOLDER]: opens flame graphs in Chromium and uses them as a person would: searches,
// clicks, walks by keyboard, narrows the window, turns the light off, forbids scripts. Ends with 77 and the reason
// where there is no Chromium. With a folder it leaves pictures there to look at.
"use strict";
const assert = require("node:assert");
const { spawn, execFileSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { pathToFileURL } = require("node:url");

const found = ["chromium", "chromium-browser", "google-chrome"]
  .flatMap((name) => process.env.PATH.split(":").map((folder) => path.join(folder, name)))
  .find((file) => fs.existsSync(file));
if (!found) {
  console.log("skipped: no Chromium on PATH (Debian's package is `chromium`)");
  process.exit(77);
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "basilisk-browser-"));
const pictures = process.argv[3];

// Chromium's own protocol over two pipes: messages are JSON that ends with a zero byte.
const start = () => {
  const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe", `--user-data-dir=${folder}/user`];
  const child = spawn(found, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const waiting = new Map(), events = [];
  let last = 0, rest = "", wake = () => {};
  child.stdio[4].setEncoding("utf8").on("data", (text) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop();
    for (const message of messages.map(JSON.parse)) {
      if (!message.id) { events.push(message); wake(); continue; }
      const { resolve, reject } = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) reject(new Error(message.error.message)); else resolve(message.result);
    }
  });
  child.on("exit", () => { for (const { reject } of waiting.values()) reject(new Error("Chromium has ended")); });
  const send = (method, params = {}, sessionId) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    child.stdio[3].write(JSON.stringify({ id: last, method, params, sessionId }) + "\0");
  });
  const event = async (method) => { // the next one that was not taken yet
    for (;;) {
      const at = events.findIndex((each) => each.method === method);
      if (at >= 0) return events.splice(at, 1)[0].params;
      await new Promise((resolve) => { wake = resolve; });
    }
  };
  return { child, send, event, events };
};

const main = async (chromium) => {
  const { targetId } = await chromium.send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await chromium.send("Target.attachToTarget", { targetId, flatten: true });
  const send = (method, params) => chromium.send(method, params, sessionId);
  await send("Page.enable");
  await send("Runtime.enable");

  const run = async (expression) => {
    const answer = await send("Runtime.evaluate", { expression, returnByValue: true });
    assert(!answer.exceptionDetails, JSON.stringify(answer.exceptionDetails));
    return answer.result.value;
  };
  const resize = (width, height = 700) =>
    send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
  const light = (value) =>
    send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] });
  const open = async (name, fragment = "") => {
    chromium.events.length = 0;
    await send("Page.navigate", { url: "about:blank" });
    await chromium.event("Page.loadEventFired");
    await send("Page.navigate", { url: pathToFileURL(path.join(folder, name)) + fragment });
    await chromium.event("Page.loadEventFired");
    for (const { method, params } of chromium.events)
      assert(method !== "Runtime.exceptionThrown" && method !== "Page.javascriptDialogOpening",
        `${name}: ${method} ${JSON.stringify(params)}`);
  };
  const key = async (name, text) => {
    await send("Input.dispatchKeyEvent", { type: "keyDown", key: name, text });
    await send("Input.dispatchKeyEvent", { type: "keyUp", key: name });
  };
  const type = (text) => send("Input.insertText", { text });
  const picture = async (name) => {
    if (!pictures) return;
    const { data } = await send("Page.captureScreenshot", {});
    fs.writeFileSync(path.join(pictures, name + ".png"), data, "base64");
  };
  // [label, x, width, text, classes] of each box that is shown
  const boxes = () => run(`Array.from(document.querySelectorAll(".plot > g:not([display])"), (g) => [
    g.querySelector("title").textContent.split("\\n")[0], +g.querySelector("rect").getAttribute("x"),
    +g.querySelector("rect").getAttribute("width"), g.querySelector("text")?.textContent || "", g.getAttribute("class") || ""])`);
  const share = () => run(`document.querySelector(".share").textContent`);
  const click = async (label) => {
    const [x, y] = await run(`(() => {
      const g = [...document.querySelectorAll(".plot > g:not([display])")].find((each) => each.querySelector("title").textContent.startsWith(${JSON.stringify(label)}));
      const at = g.querySelector("rect").getBoundingClientRect();
      return [at.x + at.width / 2, at.y + at.height / 2]; })()`);
    for (const type of ["mouseMoved", "mousePressed", "mouseReleased"])
      await send("Input.dispatchMouseEvent", { type, x, y, button: type === "mouseMoved" ? "none" : "left", clickCount: 1 });
  };

  await resize(1200);
  await light("light");
  await open("kinds.svg");
  const whole = await boxes();
  assert.deepStrictEqual(whole[0].slice(0, 3), ["run.py", 10, 1180], "it fills the window");
  await picture("light");

  // 75 of the 158 samples are in render(), those of what it calls among them
  await key("/", "/");
  await type("render");
  assert.strictEqual(await share(), "47.5 % matched");
  assert((await boxes()).filter((box) => box[4].includes("found")).every((box) => box[0].startsWith("render (")));
  await picture("search");
  await run(`document.querySelector("input").select()`);
  await type("^loads|parse \\(");
  assert.strictEqual(await share(), "22.2 % matched", "a regular expression"); // 20 + 5 of loads, 10 of parse
  await run(`document.querySelector("input").select()`);
  await type("Render");
  assert.strictEqual(await share(), "0.0 % matched", "a capital counts");
  await run(`document.querySelector("input").select()`);
  await type("(web/SERVER"); // no regular expression: then it is text
  assert.strictEqual(await share(), "0.0 % matched");
  await run(`document.querySelector("input").select()`);
  await type("(web/server");
  assert.strictEqual(await share(), "48.7 % matched");
  await key("Escape");
  assert.strictEqual(await share(), "");

  await click("Server.serve (web/server.py:32)");
  const zoomed = await boxes();
  assert.deepStrictEqual(zoomed.map((box) => box[0]), ["run.py", "thread 7: MainThread", "<module> (run.py:3)",
    "Server.serve (web/server.py:32)", "render (templates/render.py:90)", "loads (json/__init__.py:301)"]);
  assert(zoomed.every((box) => box[1] === 10 && box[2] === 1180 && box[3] === box[0]), JSON.stringify(zoomed));
  assert.deepStrictEqual(zoomed.map((box) => box[4].includes("out")), [true, true, true, false, false, false]);
  assert.match(await run("location.hash"), /^#z=\d+$/);
  await picture("zoom");
  await key("/", "/");
  await type("render");
  assert.strictEqual(await share(), "100.0 % matched", "of what is in sight");
  const link = await run("location.hash");
  await key("Escape");
  await key("Escape");
  assert.deepStrictEqual((await boxes()).map((box) => box.slice(0, 4)), whole.map((box) => box.slice(0, 4)), "back as it was");

  for (const name of ["Home", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowDown", "Enter"]) await key(name);
  assert.strictEqual((await boxes()).at(-1)[0], "render (templates/render.py:89)", "by keyboard alone");
  await key("Backspace");
  assert.deepStrictEqual((await boxes()).map((box) => box[0]).slice(0, 2), ["run.py", "thread 7: MainThread"]);

  await open("kinds.svg", link);
  assert.deepStrictEqual((await boxes()).map((box) => box[0]), zoomed.map((box) => box[0]), "a link shows the same");
  assert.strictEqual(await share(), "100.0 % matched");

  await open("kinds.svg");
  await resize(420);
  for (let tries = 0; (await boxes())[0][2] !== 400; tries++) assert(tries < 200, "it follows the window");
  assert(await run("document.documentElement.scrollWidth <= 420"), "nothing sticks out");
  await picture("narrow");
  await resize(1200);

  // Every text can be read: WCAG asks for 4.5 to 1.
  const contrast = `(() => {
    const luminance = (css) => css.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
      .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const style = (name, of) => getComputedStyle(of || document.documentElement).getPropertyValue(name);
    const probe = document.querySelector(".plot rect"), ink = getComputedStyle(document.querySelector(".plot text")).fill;
    const worst = {}, was = probe.getAttribute("class");
    for (const kind of ["u0", "u1", "u2", "u3", "l0", "l1", "l2", "l3", "p0", "p1", "p2", "p3", "n0", "n1", "n2", "n3", "s0", "s1", "s2", "s3", "r0", "r1", "page"]) {
      probe.setAttribute("class", kind);
      const [a, b] = [luminance(getComputedStyle(probe).fill), luminance(ink)].sort((x, y) => y - x);
      worst[kind] = (a + 0.05) / (b + 0.05);
    }
    probe.setAttribute("class", was);
    return worst; })()`;
  const pages = [];
  for (const scheme of ["light", "dark"]) {
    await light(scheme);
    const ratios = await run(contrast);
    for (const [kind, ratio] of Object.entries(ratios)) assert(ratio >= 4.5, `${scheme} ${kind}: ${ratio.toFixed(2)}`);
    pages.push(await run(`getComputedStyle(document.querySelector(".page")).fill`));
    await picture(scheme);
  }
  assert.notStrictEqual(pages[0], pages[1]);

  for (const name of fs.readdirSync(folder).filter((file) => file.endsWith(".svg")).sort()) {
    await open(name);
    const all = await run(`document.querySelectorAll(".plot > g").length`);
    assert(all >= 1 && (await run(`Boolean(document.querySelector(".tools"))`)), `${name} came to life`);
    await key("/", "/");
    await type("a");
    assert.match(await share(), /^[\d.]+ % matched$/);
    if (name.startsWith("deep") || name.startsWith("pruned")) await picture(name);
  }

  await send("Emulation.setScriptExecutionDisabled", { value: true });
  await open("kinds.svg");
  await picture("no-script");
  await send("Emulation.setScriptExecutionDisabled", { value: false });
};

// "kill" ends the one that was started here; its folder goes with it
const chromium = start();
const late = setTimeout(() => { console.error("no answer for two minutes"); chromium.child.kill("SIGKILL"); }, 240000);
(async () => {
  let code = 0;
  try {
    execFileSync(process.argv[2], [folder, "20"]);
    await main(chromium);
    console.log("flame graphs search, zoom and can be read");
  } catch (error) {
    console.error(error);
    code = 1;
  }
  clearTimeout(late);
  await chromium.send("Browser.close").catch(() => {});
  if (chromium.child.exitCode === null && chromium.child.signalCode === null)
    await new Promise((resolve) => chromium.child.on("exit", resolve));
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.exit(code);
})();
