// Starts the bundle once and holds it against each official library: `node run.mjs` with STOREWARD naming the built program,
// after `npm ci` in each folder that has a package.json, and STOREWARD_PYTHON a Python that has what each requirements.txt asks for.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import assert from 'node:assert/strict';

const program = process.env.STOREWARD;
assert.ok(program, 'set STOREWARD to the built program, such as target/debug/storeward');
const python = process.env.STOREWARD_PYTHON;
assert.ok(python, 'set STOREWARD_PYTHON to the Python of target/conformance-venv');

const at = (path) => new URL(path, import.meta.url).pathname;
const inPython = readdirSync(at('.')).map((folder) => `${folder}/conformance.py`).filter((script) => existsSync(at(script)));
const checks = [
  [process.execPath, 'shopify/conformance.mjs'],
  [process.execPath, 'resend/check.mjs'],
  ...inPython.map((script) => [python, script]),
];

/** Starts the bundle at a free port; its first lines say which. */
async function start() {
  const child = spawn(program, ['--port', '0', '--log', 'off'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    text += chunk;
    const found = text.match(/http:\/\/127\.0\.0\.1:(\d+)/);
    if (found) {
      // Whatever else it says is read and left: a full pipe would stop it.
      child.stdout.resume();
      return { child, base: found[0] };
    }
  }
  throw new Error(`the program ended: ${text}`);
}

const { child, base } = await start();
try {
  for (const [command, script] of checks) {
    const env = { ...process.env, STOREWARD_URL: base, STOREWARD_RESEND: `${base}/resend` };
    const check = spawn(command, [at(script)], { env, stdio: 'inherit' });
    const [status] = await once(check, 'exit');
    if (status !== 0) {
      process.exitCode = 1;
      break;
    }
  }
} finally {
  child.kill('SIGTERM');
}
