import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import ta from 'azure-devops-node-api/interfaces/TaskAgentInterfaces.js';
import { emulate, failure } from './emulated.mjs';

test('who watches a queue sees each request in its state, in every form of the query', async (t) => {
  const e = await emulate(t);
  const api = await e.web().getTaskAgentApi();
  const flags = mkdtempSync(join(tmpdir(), 'flags-'));
  t.after(() => rmSync(flags, { recursive: true }));
  const goOn = join(flags, 'go-on');
  await api.addAgent({ name: 'template', version: '99.999.9', userCapabilities: { maven: '' } }, 1);
  await e.runAgent('worker');
  const done = await e.queue({ name: 'done', script: 'true' });
  await e.job(done.requestId, 'job.finished');
  const running = await e.queue({ name: 'running', script: `while [ ! -e ${goOn} ]; do sleep 0.05; done` });
  await e.job(running.requestId, 'job.started');
  const queued = await e.queue({ name: 'queued', script: 'true', demands: ['maven', 'Agent.Version -gtVersion 2.182.1'], force: true });
  const ids = (requests) => requests.map((r) => r.requestId).sort();

  const r = await api.getAgentRequest(1, done.requestId, true);
  assert.equal(r.result, ta.TaskResult.Succeeded);
  assert.equal(r.reservedAgent.name, 'worker');
  for (const time of ['queueTime', 'assignTime', 'receiveTime', 'finishTime']) assert.ok(r[time] instanceof Date, time);
  assert.ok(r.queueTime <= r.assignTime && r.assignTime <= r.receiveTime && r.receiveTime <= r.finishTime);
  const now = await api.getAgentRequest(1, running.requestId);
  assert.ok(now.receiveTime && now.lockedUntil > now.receiveTime && now.result === undefined && !now.finishTime);
  const waits = await api.getAgentRequest(1, queued.requestId);
  assert.deepEqual([waits.assignTime, waits.reservedAgent, waits.result], [undefined, undefined, undefined]);
  assert.deepEqual(waits.demands, ['maven', 'Agent.Version -gtVersion 2.182.1']);
  assert.equal(await api.getAgentRequest(1, 99), null);

  // The newest ones, in pages. The library drops the header with the position of the next page.
  const top = await api.getAgentRequests(1, 2);
  assert.deepEqual(top.map((x) => x.requestId), [queued.requestId, running.requestId]);
  assert.ok(top.every((x) => x.matchedAgents === undefined), '$top drops matchedAgents');
  assert.deepEqual(ids(await api.getAgentRequests(1, 2, String(running.requestId))), [done.requestId]);

  assert.deepEqual(ids(await api.getAgentRequestsForAgent(1, now.reservedAgent.id)), [done.requestId, running.requestId]);
  assert.deepEqual(ids(await api.getAgentRequestsForAgent(1, now.reservedAgent.id, 0)), [running.requestId]);
  const open = await api.getAgentRequestsForAgents(1, undefined, 0);
  assert.deepEqual(ids(open), [running.requestId, queued.requestId]);
  assert.deepEqual(ids(await api.getAgentRequestsForAgents(1, [now.reservedAgent.id, 77], 0)), [running.requestId]);
  const matched = open.find((x) => x.requestId === running.requestId).matchedAgents.map((a) => a.name);
  assert.deepEqual(matched.sort(), ['template', 'worker'], 'who could have taken it, the placeholder too');
  assert.deepEqual(ids(await api.getAgentRequestsForPlan(1, now.planId, now.jobId)), [running.requestId]);

  const busy = await api.getAgent(1, now.reservedAgent.id, false, true, true);
  assert.equal(busy.assignedRequest.requestId, running.requestId);
  assert.equal(busy.lastCompletedRequest.requestId, done.requestId);
  assert.equal((await api.updateAgent({ ...busy, maxParallelism: 2 }, 1, busy.id)).maxParallelism, 2);
  assert.match(await failure(api.deleteAgent(1, busy.id)), /^400 Agent "worker" is running a job for pool "Default"/);
  writeFileSync(goOn, '');
  await e.job(running.requestId, 'job.finished');
});
