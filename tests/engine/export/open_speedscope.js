// open_speedscope.js PACKAGE FILE...: opens each file with the importer of the npm package
// `speedscope` itself, and prints as JSON, by file, the name and weight of each profile it found.
//
// The package carries the application only, as one bundle for browsers: it is run here with a
// browser that answers everything with nothing, and its importer is found by what it does.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const release = path.join(process.argv[2], "dist", "release");
const bundle = fs.readdirSync(release).find((name) => /^speedscope-\w+\.js$/.test(name));
let source = fs.readFileSync(path.join(release, bundle), "utf8");
const importer = /function (\w+)\((\w+)\)\{return\{name:\2\.name\|\|\2\.profiles\[0\]\.name/.exec(source);
if (!importer) {
  console.error("this speedscope has no importer that we know");
  process.exit(3);
}
source = source.replace(importer[0], `globalThis.importSpeedscope=${importer[1]};${importer[0]}`);

const nothing = () =>
  new Proxy(function () {}, {
    get: (_, key) => (key === Symbol.toPrimitive ? () => "" : key === "then" ? undefined : nothing()),
    apply: () => nothing(),
    construct: () => nothing(),
    set: () => true,
    has: () => true,
  });
for (const name of ["window", "document", "location", "localStorage"]) globalThis[name] = nothing();
for (const name of ["HTMLElement", "FileReader", "Worker"]) globalThis[name] = class {};
globalThis.self = globalThis;
globalThis.devicePixelRatio = 1;
globalThis.requestAnimationFrame = () => 0;
console.log = () => {};
try {
  vm.runInThisContext(source);
} catch {
  // the user interface did not start; the importer was there before
}
const found = {};
for (const file of process.argv.slice(3)) {
  const group = globalThis.importSpeedscope(JSON.parse(fs.readFileSync(file, "utf8")));
  found[path.basename(file)] = group.profiles.map((p) => [p.getName(), p.getTotalWeight()]);
}
process.stdout.write(JSON.stringify(found));
