import assert from 'node:assert/strict';
import { test } from 'node:test';
import ta from 'azure-devops-node-api/interfaces/TaskAgentInterfaces.js';
import { emulate, failure } from './emulated.mjs';

const placeholder = (name) => ({
  name,
  version: '99.999.9',
  osDescription: 'none',
  systemCapabilities: { 'Agent.OS': 'Linux', 'Agent.Version': '99.999.9' },
  userCapabilities: { maven: '3.9', docker: '' },
});

test('a placeholder is made, looked for, changed and taken away', async (t) => {
  const e = await emulate(t);
  const api = await e.web().getTaskAgentApi();
  const made = await api.addAgent(placeholder('template'), 1);
  assert.equal(made.status, ta.TaskAgentStatus.Offline);
  assert.equal(await failure(api.addAgent(placeholder('Template'), 1)), '409 Pool 1 already contains an agent with name Template.');

  const find = async (...args) => (await api.getAgents(1, ...args)).map((a) => a.name);
  assert.deepEqual(await find('TEMPLATE'), ['template']);
  assert.deepEqual(await find(undefined, false, false, false, undefined, ['maven -equals 3.9', 'docker']), ['template']);
  assert.deepEqual(await find(undefined, false, false, false, ['a'], ['gpu']), []);
  const [plain] = await api.getAgents(1);
  assert.equal(plain.userCapabilities, undefined);
  const full = await api.getAgent(1, made.id, true, true, true, ['a']);
  assert.deepEqual(full.userCapabilities, { maven: '3.9', docker: '' });
  assert.equal(full.systemCapabilities['Agent.Version'], '99.999.9');
  assert.ok(full.createdOn instanceof Date);

  assert.equal((await api.updateAgent({ id: made.id, enabled: false, maxParallelism: 2 }, 1, made.id)).enabled, false);
  assert.match(await failure(api.updateAgent({ id: made.id + 1, enabled: true }, 1, made.id)), /^400 /);
  // The agent is sent back as it was read, with the library's numbers in place of the service's names.
  assert.equal((await api.updateAgent({ ...full, enabled: true }, 1, made.id)).enabled, true);
  assert.deepEqual((await api.updateAgentUserCapabilities({ gpu: 'a100' }, 1, made.id)).userCapabilities, { gpu: 'a100' });
  assert.deepEqual((await e.agent('template')).userCapabilities, { gpu: 'a100' });
  assert.equal((await api.replaceAgent(placeholder('renamed'), 1, made.id)).id, made.id);
  await api.deleteAgent(1, made.id);
  assert.equal(await api.getAgent(1, made.id), null);
  assert.equal(await e.agent('renamed'), undefined);
  // A second delete is a 404, which the library reports as a success.
  await api.deleteAgent(1, made.id);
});

test('agents are asked to update, one or all', async (t) => {
  const e = await emulate(t);
  const api = await e.web().getTaskAgentApi();
  for (const name of ['one', 'two']) await api.addAgent({ ...placeholder(name), version: '4.200.0' }, 1);
  await api.refreshAgent(1, 1);
  const asked = await api.getAgent(1, 1);
  assert.equal(asked.pendingUpdate.sourceVersion.minor, 200);
  assert.ok(asked.pendingUpdate.targetVersion.minor > 200);
  assert.equal((await e.agent('two')).pendingUpdate, undefined);
  assert.equal(await failure(api.refreshAgent(1, 1)), '409 Agent one already has a pending update.');
  await api.refreshAgents(1);
  assert.ok((await e.agent('two')).pendingUpdate);
});
