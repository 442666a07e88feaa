// Runs test modules of tests/protocol inside MicroPython's WebAssembly build (32-bit words), under Node.
//
//   node tests/node/run.mjs ROOT PACKAGE_FOLDER tests.protocol.test_cbor ...
//
// What is installed must be what package.json names: its two files are hashed before one of them is loaded.
// Our sources, vectors and tests are copied into the interpreter's own file system; it sees nothing else.
// Exit status: 0 all passed, 1 a test failed, 3 the package is not the one that we named.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [root, folder, ...modules] = process.argv.slice(2);

const { integrity } = JSON.parse(readFileSync(join(root, "tests/node/package.json"), "utf8"));
for (const name of ["micropython.mjs", "micropython.wasm"]) {
  const found = "sha512-" + createHash("sha512").update(readFileSync(join(folder, name))).digest("base64");
  if (found !== integrity[name]) {
    console.error(`${name} is not the one that tests/node/package.json names: install the package again`);
    process.exit(3);
  }
}

const { loadMicroPython } = await import(pathToFileURL(join(folder, "micropython.mjs")));
const lines = [];
const mp = await loadMicroPython({
  heapsize: 128 * 1024,
  linebuffer: true,
  stdout: (line) => {
    lines.push(line);
    console.log(line);
  },
  stderr: (line) => console.log(line),
});

function copy(path) {
  const from = join(root, path);
  if (statSync(from).isDirectory()) {
    mp.FS.mkdirTree("/lib/" + path);
    for (const name of readdirSync(from)) {
      if (!name.startsWith("__pycache__") && name !== "oracles") copy(path + "/" + name);
    }
  } else if (/\.(py|jsonl|toml)$/.test(path)) {
    mp.FS.writeFile("/lib/" + path, readFileSync(from));
  }
}
copy("protocol");
mp.FS.mkdirTree("/lib/tests");
copy("tests/__init__.py");
copy("tests/protocol");

mp.runPython(`
import sys
assert sys.maxsize == 0x7fffffff, "not a 32-bit build"
if "/lib" not in sys.path:
    sys.path.append("/lib")
from tests.protocol.mpy import run
run(${JSON.stringify(modules)})
`);
const counts = JSON.parse(lines.at(-1));
process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
