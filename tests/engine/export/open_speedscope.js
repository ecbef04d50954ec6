// open_speedscope.js PACKAGE FILE...: opens each file with the importers of the npm package
// `speedscope` itself, which finds out by content what a file is, and prints as JSON, by file, the
// name and weight of each profile it found; null where it knows no such format.
//
// The package carries the application only, as one bundle for browsers: it is run here with a
// browser that answers everything with nothing, and its importer is found by what it does.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");
const zlib = require("zlib");

const release = path.join(process.argv[2], "dist", "release");
const bundle = fs.readdirSync(release).find((name) => /^speedscope-\w+\.js$/.test(name));
let source = fs.readFileSync(path.join(release, bundle), "utf8");
const importer =
  /async function (\w+)\((\w+)\)\{let \w+=await \2\.name\(\),\w+=await \2\.readAsArrayBuffer\(\)/.exec(source);
if (!importer) {
  console.error("this speedscope has no importer that we know");
  process.exit(3);
}
source = source.replace(importer[0], `globalThis.importAny=${importer[1]};${importer[0]}`);

const nothing = () =>
  new Proxy(function () {}, {
    get: (_, key) =>
      key === Symbol.toPrimitive ? () => "" : ["then", "Long", "dcodeIO"].includes(key) ? undefined : nothing(),
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
console.log = console.warn = () => {};
try {
  vm.runInThisContext(source);
} catch {
  // the user interface did not start; the importers were there before
}

// A file as the application hands it to its importers.
const asSource = (file) => {
  let bytes = fs.readFileSync(file);
  if (file.endsWith(".gz")) bytes = zlib.gunzipSync(bytes);
  const text = bytes.toString("utf8");
  return {
    name: async () => path.basename(file).replace(/\.gz$/, ""),
    readAsArrayBuffer: async () => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
    readAsText: async () => ({
      parseAsJSON: () => JSON.parse(text),
      splitLines: () => text.split("\n"),
      firstChunk: () => text.slice(0, 1 << 20),
    }),
  };
};

(async () => {
  const found = {};
  for (const file of process.argv.slice(3)) {
    const group = await globalThis.importAny(asSource(file));
    found[path.basename(file)] = group && group.profiles.map((p) => [p.getName(), p.getTotalWeight()]);
  }
  process.stdout.write(JSON.stringify(found), () => process.exit(0));
})();
