import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { test } from 'node:test';
import azdev from 'azure-devops-node-api';
import ta from 'azure-devops-node-api/interfaces/TaskAgentInterfaces.js';
import { emulate, failure } from './emulated.mjs';

const b64 = (buffer) => Buffer.from(buffer).toString('base64url');

/** The agent's own token, for which it signs with its key that it is the client of its registration. */
async function tokenOf({ authorization }, privateKey) {
  const { clientId, authorizationUrl } = authorization;
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: clientId, iss: clientId, jti: crypto.randomUUID(), aud: authorizationUrl, nbf: now, exp: now + 300 };
  const signed = `${b64('{"alg":"RS256","typ":"JWT"}')}.${b64(JSON.stringify(claims))}`;
  const assertion = `${signed}.${b64(crypto.sign('sha256', signed, privateKey))}`;
  const res = await fetch(authorizationUrl, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'client_credentials', client_assertion: assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' }),
  });
  assert.equal(res.status, 200, await res.clone().text());
  return (await res.json()).access_token;
}

/** What is in a message, sealed with the key of the session, which is sealed with the agent's. */
function open(message, session, privateKey) {
  const key = crypto.privateDecrypt({ key: privateKey, oaepHash: 'sha1' }, Buffer.from(session.encryptionKey.value, 'base64'));
  const cipher = crypto.createDecipheriv('aes-256-cbc', key, Buffer.from(message.iv, 'base64'));
  return JSON.parse(Buffer.concat([cipher.update(Buffer.from(message.body, 'base64')), cipher.final()]).toString());
}

test('a listener made of the library alone takes a job and ends it', async (t) => {
  const e = await emulate(t);
  const admin = await e.web().getTaskAgentApi();
  const { publicKey, privateKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { n, e: exponent } = publicKey.export({ format: 'jwk' });
  const plain = (s) => Buffer.from(s, 'base64url').toString('base64');
  const agent = await admin.addAgent({ name: 'by hand', version: '5.282.3', osDescription: 'node', maxParallelism: 1,
    authorization: { publicKey: { modulus: plain(n), exponent: plain(exponent) } } }, 1);

  const web = azdev.WebApi.createWithBearerToken(e.org, await tokenOf(agent, privateKey));
  const me = await web.connect();
  assert.match(me.authenticatedUser.subjectDescriptor, /^agent\./);
  const api = await web.getTaskAgentApi();
  const wish = { ownerName: 'a laptop', agent: { id: agent.id, name: agent.name, version: agent.version, osDescription: 'node' },
    systemCapabilities: { 'Agent.OS': 'Linux' } };
  const session = await api.createAgentSession(wish, 1);
  assert.equal(await failure(api.createAgentSession(wish, 1)), '409 The task agent by hand already has an active session for owner a laptop.');
  assert.equal((await admin.getAgent(1, agent.id)).status, ta.TaskAgentStatus.Online);
  assert.match(await failure(api.deleteAgent(1, agent.id)), /^403 .*needs Manage permissions for pool Default/, 'an agent manages nothing, not even itself');

  const queued = await e.queue({ name: 'first', script: 'true' });
  const request = () => admin.getAgentRequest(1, queued.requestId);
  const message = await api.getMessage(1, session.sessionId);
  assert.equal(message.messageType, 'PipelineAgentJobRequest');
  const job = open(message, session, privateKey);
  assert.deepEqual([job.requestId, job.jobDisplayName], [queued.requestId, 'first']);
  assert.equal((await request()).receiveTime, undefined, 'assigned is not received');
  await api.deleteMessage(1, message.messageId, session.sessionId);
  assert.ok((await request()).receiveTime);

  const lock = '00000000-0000-0000-0000-000000000000';
  const renewed = await api.updateAgentRequest({ requestId: queued.requestId }, 1, queued.requestId, lock);
  assert.ok(renewed.lockedUntil instanceof Date);
  assert.match(await failure(admin.deleteAgent(1, agent.id)), /^400 /);
  const finishTime = new Date();
  const ended = await api.updateAgentRequest({ requestId: queued.requestId, finishTime, result: ta.TaskResult.SucceededWithIssues }, 1, queued.requestId, lock);
  assert.equal(ended.result, ta.TaskResult.SucceededWithIssues);

  await api.deleteAgentSession(1, session.sessionId);
  assert.equal((await admin.getAgent(1, agent.id)).status, ta.TaskAgentStatus.Offline);
  await admin.deleteAgent(1, agent.id);
});
