// azptend's emulator, and agents for it, as separate processes. These tests only see azptend's binary, the output
// of "azptend-lab emulate", and the control API below /_emulator/ (docs/emulator.md).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import azdev from 'azure-devops-node-api';

export const org = 'Contoso';

// npm test builds them first.
const [azptend, lab] = ['azptend', 'azptend-lab'].map((name) => fileURLToPath(new URL(`node_modules/.azptend/${name}`, import.meta.url)));

/** Runs "azptend-lab emulate" until the test t ends. The pools get the ids from 1 on. */
export async function emulate(t, ...pools) {
  const dir = mkdtempSync(join(tmpdir(), 'azptend-conformance-'));
  const agentDir = join(dir, 'agent');
  const args = ['emulate', '--listen', '127.0.0.1:0', '--org', org, '--agent-dir', agentDir, ...pools.flatMap((p) => ['--pool', p])];
  const child = spawn(lab, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const e = new Emulator(agentDir);
  await e.read(child.stdout);
  t.after(async () => {
    for (const agent of e.agents) await end(agent, 'SIGTERM');
    await end(child, 'SIGINT');
    rmSync(dir, { recursive: true });
  });
  return e;
}

async function end(child, signal) {
  if (child.exitCode === null && child.kill(signal)) await once(child, 'exit');
}

class Emulator {
  agents = [];
  env = {};

  constructor(agentDir) {
    this.agentDir = agentDir;
  }

  /** Takes what to export from what the emulator prints when it listens; its last line tells how to queue a job. */
  async read(stdout) {
    for await (const line of createInterface({ input: stdout })) {
      const [, name, value] = line.match(/^export (\w+)=(.*)$/) ?? [];
      if (name) this.env[name] = value;
      this.pat = line.match(/export AZP_TOKEN=(\S+)/)?.[1] ?? this.pat;
      if (line.startsWith('# queue a job')) break;
    }
    this.org = this.env.AZP_URL;
    this.url = this.org.slice(0, -org.length - 1);
  }

  /** The library with a PAT, by default an administrator's. */
  web(pat = this.pat) {
    return new azdev.WebApi(this.org, azdev.getPersonalAccessTokenHandler(pat));
  }

  /** Runs "azptend run" in a folder of its own, and waits for its session. */
  async runAgent(name) {
    const dir = `${this.agentDir}-${this.agents.length}`;
    cpSync(this.agentDir, dir, { recursive: true });
    const env = { PATH: process.env.PATH, HOME: dir, ...this.env, AZP_AGENT_NAME: name, AZP_AGENT_DIR: dir, AZP_LOG_LEVEL: 'warn', AZP_ON_TERM: 'cancel' };
    this.agents.push(spawn(azptend, ['run'], { env, stdio: ['ignore', 'ignore', 'inherit'] }));
    await this.event((ev) => ev.type === 'session.created' && ev.agent === name);
  }

  /** One call of the control API. */
  async control(method, path, body) {
    const res = await fetch(this.url + '/_emulator' + path, { method, body: body && JSON.stringify(body) });
    const out = await res.json();
    if (!res.ok) throw new Error(`${method} ${path}: ${out.error}`);
    return out;
  }

  queue(job) {
    return this.control('POST', '/jobs', job);
  }

  break(fault) {
    return this.control('POST', '/faults', fault);
  }

  mend() {
    return this.control('DELETE', '/faults');
  }

  /** Makes a PAT whose owner has this role on all pools, or none. */
  async patOf(name, role) {
    return (await this.control('PUT', '/pats', { name, ownerRoles: role ? { '*': role } : {} })).token;
  }

  state() {
    return this.control('GET', '/state');
  }

  async agent(name) {
    return (await this.state()).pools.flatMap((p) => p.agents).find((a) => a.name === name);
  }

  /** Waits for the first event that match accepts, from the beginning of the journal. */
  async event(match) {
    for (let after = 0; ; ) {
      const events = await this.control('GET', `/events?after=${after}&wait=30s`);
      const found = events.find(match);
      if (found) return found;
      after = events.at(-1)?.seq ?? after;
    }
  }

  /** Waits until a job has got so far: job.received, job.started, job.finished. */
  async job(requestId, type) {
    await this.event((ev) => ev.type === type && ev.requestId === requestId);
  }
}

/** Says how a call of the library failed: its status and message. */
export async function failure(promise) {
  try {
    await promise;
  } catch (err) {
    return `${err.statusCode} ${err.message}`;
  }
  throw new Error('the call did not fail');
}
