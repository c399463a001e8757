import assert from 'node:assert/strict';
import { test } from 'node:test';
import azdev from 'azure-devops-node-api';
import { RoleAccess } from 'azure-devops-node-api/interfaces/SecurityRolesInterfaces.js';
import { emulate, failure } from './emulated.mjs';

const scope = 'distributedtask.agentpoolrole';

test('an administrator hands out roles on a pool, and takes them back', async (t) => {
  const e = await emulate(t, 'Default', 'linux');
  const oid = '55555555-aaaa-4555-8555-555555555555';
  await e.control('PUT', `/identities/${oid}`, { name: 'agents-identity', member: true });
  const { token } = await e.control('POST', '/tokens', { objectId: oid });
  const agents = azdev.WebApi.createWithBearerToken(e.org, token);
  const { id } = (await agents.connect()).authenticatedUser; // the storage key
  const pools = async () => (await (await agents.getTaskAgentApi()).getAgentPools()).map((p) => p.name);
  const roles = await e.web().getSecurityRolesApi();
  const assigned = async (pool) => (await roles.getRoleAssignments(scope, pool)).filter((a) => a.identity.id === id).map((a) => `${a.role.displayName}, ${RoleAccess[a.access]}`);

  assert.deepEqual((await roles.getRoleDefinitions(scope)).map((r) => [r.displayName, r.allowPermissions]),
    [['Reader', 1], ['Service Account', 21], ['Administrator', 27]]);
  assert.deepEqual(await pools(), []);
  const [done] = await roles.setRoleAssignments([{ roleName: 'Administrator', userId: id }], scope, '2');
  assert.deepEqual([done.role.allowPermissions, done.role.identifier, done.identity.displayName], [27, `${scope}.Administrator`, 'agents-identity']);
  assert.deepEqual(await pools(), ['linux']);
  assert.deepEqual([await assigned('1'), await assigned('2')], [[], ['Administrator, Assigned']]);

  // A trap: an object id, or an unknown id, is silently ignored.
  assert.deepEqual(await roles.setRoleAssignments([{ roleName: 'Reader', userId: oid }], scope, '1'), []);
  await roles.setRoleAssignments([{ roleName: 'Reader', userId: id }], 'distributedtask.globalagentpoolrole', '0');
  assert.deepEqual(await assigned('1'), ['Reader, Inherited']);
  assert.deepEqual(await pools(), ['Default', 'linux']);
  await roles.removeRoleAssignments([id], 'distributedtask.globalagentpoolrole', '0');

  assert.equal((await roles.setRoleAssignment({ roleName: 'Reader' }, scope, '2', id)).role.name, 'Reader');
  const own = await agents.getSecurityRolesApi();
  assert.match(await failure(own.setRoleAssignments([{ roleName: 'Administrator', userId: id }], scope, '2')), /^403 .*needs Manage permissions for pool linux/);
  assert.equal(await own.getRoleAssignments(scope, '1'), null, 'a pool that may not be seen is not there');
  await roles.removeRoleAssignment(scope, '2', id);
  assert.deepEqual(await pools(), []);
});
