import assert from 'node:assert/strict';
import { test } from 'node:test';
import ta from 'azure-devops-node-api/interfaces/TaskAgentInterfaces.js';
import { emulate, failure } from './emulated.mjs';

const names = (list) => list.map((x) => x.name);

test('an administrator looks for pools, makes one and takes it away', async (t) => {
  const e = await emulate(t, 'Default', 'linux', 'Linux arm64');
  const web = e.web();
  const me = await web.connect();
  assert.equal(me.authenticatedUser.providerDisplayName, 'Emulated Admin');
  const api = await web.getTaskAgentApi();

  assert.deepEqual(names(await api.getAgentPools()), ['Default', 'linux', 'Linux arm64']);
  assert.deepEqual(names(await api.getAgentPools('LINUX', undefined, undefined, ta.TaskAgentPoolActionFilter.Use)), ['linux']);
  assert.deepEqual(names(await api.getAgentPools('Linux arm64')), ['Linux arm64']);
  assert.deepEqual(names(await api.getAgentPools(undefined, undefined, ta.TaskAgentPoolType.Deployment)), []);
  assert.deepEqual(names(await api.getAgentPoolsByIds([3, 1], ta.TaskAgentPoolActionFilter.Manage)), ['Default', 'Linux arm64']);
  assert.equal((await api.getAgentPool(2)).poolType, ta.TaskAgentPoolType.Automation);

  // The service ignores autoUpdate false when it creates a pool: it must be set again.
  const made = await api.addAgentPool({ name: 'windows', autoUpdate: false, autoProvision: false, poolType: ta.TaskAgentPoolType.Automation });
  assert.equal(made.autoUpdate, true);
  assert.ok(made.createdOn instanceof Date);
  assert.equal((await api.updateAgentPool({ autoUpdate: false }, made.id)).autoUpdate, false);
  assert.equal((await api.updateAgentPool({ ...made, name: 'Windows 11' }, made.id)).name, 'Windows 11');
  assert.equal(await failure(api.addAgentPool({ name: 'Windows 11' })), '409 Agent pool Windows 11 already exists.');
  await api.deleteAgentPool(made.id);
  assert.equal(await api.getAgentPool(made.id), null, 'the library makes null of a 404');
});

test('what is seen and refused follows the role', async (t) => {
  const e = await emulate(t, 'Default', 'linux');
  const as = async (role) => (await e.web(await e.patOf('tool', role))).getTaskAgentApi();
  const reader = await as('Reader');
  const nobody = await as();
  const admin = await as('Administrator');
  const { View, Manage, Listen, Use } = { View: 1, Manage: 2, Listen: 4, Use: 16 };
  const may = (api) => Promise.all([View, Manage, Listen, Use, View | Use].map((bits) => api.hasPoolPermissions(1, bits)));

  assert.deepEqual(await may(admin), [true, true, false, true, true]);
  assert.deepEqual(await may(reader), [true, false, false, false, false]);
  assert.deepEqual(await may(await as('Service Account')), [true, false, true, true, true]);
  assert.deepEqual(names(await nobody.getAgentPools('linux')), []);
  assert.deepEqual(names(await reader.getAgentPools('linux')), ['linux']);
  assert.deepEqual(names(await reader.getAgentPools('linux', undefined, undefined, ta.TaskAgentPoolActionFilter.Manage)), []);
  assert.match(await failure(reader.updateAgentPool({ autoUpdate: false }, 1)), /^403 Access denied\. owner of tool needs Manage permissions for pool Default to perform/);
  assert.match(await failure(reader.addAgentPool({ name: 'mine' })), /^403 Access denied\. owner of tool needs Manage permissions to perform/);
  assert.match(await failure(reader.refreshAgents(1)), /^403 .*needs Manage permissions for pool Default/);
});
