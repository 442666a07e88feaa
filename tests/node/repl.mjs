// MicroPython's WebAssembly build (32-bit words) as a board: its own REPL on a serial line, files that stay.
//
//   node tests/node/repl.mjs ROOT PACKAGE_FOLDER FD        FD: the line, both ways; stdin, stdout: control
//
// Every answer on the line is the interpreter's own. What a port's main() does around it is done here: after a
// soft reset (Ctrl-D) or SystemExit a new interpreter begins, with the files of the former one, in the mode the
// former one was in, having run boot.py. main.py is not run: our firmware has no board here.
// Raw paste needs a stdin that blocks, which this build has not. The two bytes that ask for it, Ctrl-E A, are
// left out of the line, so that the Ctrl-A behind them is answered as by a MicroPython that does not know it.
//
// Control, a JSON object a line, each answered by one: {"do": "dump", "to": FOLDER} writes the files out,
// {"do": "load", "from": FOLDER} replaces them, {"do": "files"} lists {path: bytes}, {"do": "free", "bytes": N}
// makes statvfs tell so, {"do": "reset"} is a power cycle. Exit status 3: the package is not the one we named.

import { createHash } from "node:crypto";
import { mkdirSync, read, readFileSync, readdirSync, statSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [root, folder, line] = process.argv.slice(2);
const LINE = Number(line);
const OF_EMSCRIPTEN = new Set(["/dev", "/proc", "/home", "/tmp"]);
const CTRL_A = 1, CTRL_B = 2, CTRL_D = 4, CTRL_E = 5, A = 65;

const { integrity } = JSON.parse(readFileSync(join(root, "tests/node/package.json"), "utf8"));
for (const name of ["micropython.mjs", "micropython.wasm"]) {
  const found = "sha512-" + createHash("sha512").update(readFileSync(join(folder, name))).digest("base64");
  if (found !== integrity[name]) {
    console.error(`${name} is not the one that tests/node/package.json names: install the package again`);
    process.exit(3);
  }
}

// Errors of files come with WASI's numbers; on a board they are Linux's, which MicroPython knows by name.
const LINUX = { 2: 13, 8: 9, 20: 17, 28: 22, 29: 5, 31: 21, 44: 2, 51: 28, 54: 20, 55: 39, 63: 1 };
const instantiate = WebAssembly.instantiate;
WebAssembly.instantiate = (source, imports) => {
  for (const table of Object.values(imports)) {
    for (const [name, call] of Object.entries(table)) {
      if (!name.startsWith("__syscall_")) continue;
      table[name] = (...given) => {
        const result = call(...given);
        return result < 0 ? -(LINUX[-result] ?? -result) : result;
      };
    }
  }
  return instantiate(source, imports);
};
const { loadMicroPython } = await import(pathToFileURL(join(folder, "micropython.mjs")));

let mp = null;
let quiet = false;  // while a new interpreter says its banner, which a raw REPL does not
let out = [];
let raw = false;    // the mode of the REPL
let fresh = true;   // nothing stands on the raw REPL's line
let held = [];      // a Ctrl-E, and an A behind it
let freeBytes = null;

function flush() {
  const data = Buffer.from(out);
  out = [];
  for (let at = 0; at < data.length; ) {
    try {
      at += writeSync(LINE, data, at);
    } catch (error) {
      if (error.code !== "EAGAIN") return;  // nobody is on the line
    }
  }
}

// path -> content (Buffer), or null for a folder
function files() {
  const found = new Map();
  const walk = (path) => {
    for (const name of mp.FS.readdir(path || "/")) {
      const one = `${path}/${name}`;
      if (name === "." || name === ".." || OF_EMSCRIPTEN.has(one)) continue;
      if (mp.FS.isDir(mp.FS.stat(one).mode)) {
        found.set(one, null);
        walk(one);
      } else found.set(one, Buffer.from(mp.FS.readFile(one)));
    }
  };
  if (mp) walk("");
  return found;
}

async function begin(kept) {
  mp = await loadMicroPython({
    heapsize: 256 * 1024,
    linebuffer: false,
    stdout: (data) => { if (!quiet) out.push(...data); },
    stderr: (data) => { if (!quiet) out.push(...data); },
  });
  for (const [path, content] of kept) {
    if (content === null) mp.FS.mkdirTree(path);
    else mp.FS.writeFile(path, content);
  }
  const ops = mp.FS.lookupPath("/").node.mount.root.node_ops;
  ops.statfs = () => (freeBytes === null ? {} : { bfree: freeBytes >> 12, bavail: freeBytes >> 12 });
  if (kept.has("/boot.py")) {
    try {
      mp.runPython(kept.get("/boot.py").toString());
    } catch (error) {
      out.push(...Buffer.from(String(error.message)));
    }
  }
  quiet = raw;
  mp.replInit();
  quiet = false;
  fresh = true;
  if (raw) mp.replProcessChar(CTRL_A);
}

async function byte(c) {
  const ended = mp.replProcessChar(c);
  fresh = c === CTRL_A || c === CTRL_D;
  if (c === CTRL_A) raw = true;
  if (c === CTRL_B) raw = false;
  if (ended) {
    out.push(...Buffer.from("MPY: soft reboot\r\n"));
    await begin(files());
  }
}

async function take(data) {
  for (const c of data) {
    if (raw && ((c === CTRL_E && fresh && !held.length) || (c === A && held.length === 1))) {
      held.push(c);
      continue;
    }
    if (c !== CTRL_A) for (const one of held) await byte(one);
    held = [];
    await byte(c);
  }
  flush();
}

function onDisk(folder, path = "", found = new Map()) {
  for (const name of readdirSync(join(folder, path))) {
    const one = `${path}/${name}`;
    if (statSync(join(folder, one)).isDirectory()) {
      found.set(one, null);
      onDisk(folder, one, found);
    } else found.set(one, readFileSync(join(folder, one)));
  }
  return found;
}

async function control(asked) {
  if (asked.do === "dump") {
    for (const [path, content] of files()) {
      const to = join(asked.to, path);
      mkdirSync(content === null ? to : dirname(to), { recursive: true });
      if (content !== null) writeFileSync(to, content);
    }
  } else if (asked.do === "load" || asked.do === "reset") {
    raw = false;
    await begin(asked.do === "load" ? onDisk(asked.from) : files());
    flush();
  } else if (asked.do === "free") freeBytes = asked.bytes;
  else if (asked.do === "files") {
    const sizes = {};
    for (const [path, content] of files()) if (content !== null) sizes[path.slice(1)] = content.length;
    return sizes;
  }
  return {};
}

await begin(new Map());
flush();

let work = Promise.resolve();  // one thing after another
const buffer = Buffer.alloc(4096);
function listen() {
  read(LINE, buffer, 0, buffer.length, null, (error, n) => {
    if (error && error.code !== "EAGAIN") process.exit(0);  // the line is gone
    const data = Buffer.from(buffer.subarray(0, error ? 0 : n));
    work = work.then(() => take(data)).then(listen);
  });
}
listen();
for await (const line of createInterface({ input: process.stdin })) {
  work = work.then(() => control(JSON.parse(line)));
  console.log(JSON.stringify(await work.catch((error) => ({ error: String(error) }))));
}
process.exit(0);
