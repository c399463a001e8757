import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emulate, failure } from './emulated.mjs';

test('a credential that is refused: an error with Suppress, silence without', async (t) => {
  const e = await emulate(t);
  assert.equal(await failure(e.web('no-such-token').connect()), '401 Failed request: (401)');
  const expired = await e.control('PUT', '/pats', { name: 'old', expires: '2020-01-01T00:00:00Z' });
  assert.equal(await failure(e.web(expired.token).connect()), '401 Access Denied: The Personal Access Token used has expired.');

  // The answer of the service without X-TFS-FedAuthRedirect: Suppress, for example because a proxy removes the
  // header: the library reports a success with an empty result.
  const api = await e.web().getTaskAgentApi();
  const { status, headers } = await fetch(`${e.org}/_apis/connectionData`, { headers: { Authorization: 'Basic ' + btoa(':no-such-token') } });
  assert.deepEqual([status, headers.get('content-type')], [203, 'text/html; charset=utf-8']);
  for (const fault of [{ status: 203, body: '<html>Sign In</html>', contentType: 'text/html' },
    { status: 302, headers: { Location: `${e.url}/vssps/_signin` } }]) {
    await e.break({ path: '/pools', ...fault });
    assert.equal(await api.getAgentPools(), null, `status ${fault.status}`);
    await e.mend();
  }
});

test('a service that is busy, or broken, is told with its own words', async (t) => {
  const e = await emulate(t);
  const api = await e.web().getTaskAgentApi();
  await api.getAgentPools();
  const message = 'TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource';
  await e.break({ path: '/pools', times: 1, status: 429, body: JSON.stringify({ $id: '1', message, typeKey: 'RequestBlockedException' }), headers: { 'Retry-After': '7' } });
  assert.equal(await failure(api.getAgentPools()), `429 ${message}`);
  await e.break({ path: '/pools', times: 1, status: 503 });
  assert.equal(await failure(api.getAgentPools()), '503 Failed request: (503)');
  assert.equal((await api.getAgentPools()).length, 1);
});
