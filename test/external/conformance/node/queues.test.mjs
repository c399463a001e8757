import assert from 'node:assert/strict';
import { test } from 'node:test';
import ta from 'azure-devops-node-api/interfaces/TaskAgentInterfaces.js';
import { emulate } from './emulated.mjs';

test('pools in a project, and the packages of the agent', async (t) => {
  const e = await emulate(t, 'Default', 'linux');
  const web = e.web();
  const [project] = await (await web.getCoreApi()).getProjects();
  const api = await web.getTaskAgentApi();
  const names = (queues) => queues.map((q) => q.name);

  const [linux] = await api.getAgentQueues(project.id, 'linux', ta.TaskAgentQueueActionFilter.Manage);
  assert.deepEqual([linux.pool.id, linux.pool.poolType, linux.projectId], [2, ta.TaskAgentPoolType.Automation, project.id]);
  assert.deepEqual(names(await api.getAgentQueuesByNames(['Default', 'linux', 'no'], project.name)), ['Default', 'linux']);
  assert.deepEqual(names(await api.getAgentQueuesForPools([2], project.id)), ['linux']);
  assert.deepEqual(names(await api.getAgentQueuesByIds([linux.id], project.id)), ['linux']);
  const made = await api.addAgentQueue({ name: 'windows' }, project.id, true); // creates the pool too
  assert.equal((await api.getAgentPool(made.pool.id)).name, 'windows');
  await api.deleteAgentQueue(made.id, project.id);
  assert.equal(await api.getAgentQueue(made.id, project.id), null);

  const platform = process.arch === 'arm64' ? 'linux-arm64' : 'linux-x64'; // the platform of the fake agent
  const [newest] = await api.getPackages('agent', platform, 1);
  assert.equal(newest.platform, platform);
  const { major, minor, patch } = newest.version;
  assert.equal((await api.getPackage('agent', platform, [major, minor, patch].join('.'))).filename, newest.filename);
});
