import assert from "node:assert/strict";
import { test } from "node:test";
import { body, names, parameters, read } from "./bodies.mjs";
import { faults } from "./rules.mjs";

for (const name of names()) test(`${name} keeps the rules`, () => assert.deepEqual(faults(body(name)), []));

const rule = (b) => b.properties.configuration.eventTriggerConfig.scale.rules[0];
const agent = (b) => b.properties.template.containers[0];

test("each rule can say no", () => {
  for (const [name, spoil, what] of [
    ["agents-job.yaml", (b) => { delete rule(b).identity; }, /no identity/],
    ["agents-job.yaml", (b) => { rule(b).metadata.organizationURLFromEnv = "AZP_URL"; }, /metadata has organizationURLFromEnv/],
    ["agents-job.yaml", (b) => { rule(b).auth = []; }, /through auth/],
    ["agents-job.yaml", (b) => { rule(b).auth[0].secretRef = "other"; }, /through auth/],
    ["agents-job.yaml", (b) => { rule(b).metadata.poolID = 7; }, /not a text/],
    ["agents-job.yaml", (b) => { rule(b).metadata.poolName = "other"; }, /another pool/],
    ["agents-job.yaml", (b) => { rule(b).type = "azure-pipeline"; }, /of azure-pipeline$/],
    ["agents-job.yaml", (b) => { b.properties.configuration.secrets[0].value += "/"; }, /slash/],
    ["agents-job.yaml", (b) => { b.properties.configuration.replicaRetryLimit = 3; }, /retried/],
    ["agents-job.yaml", (b) => { b.properties.configuration.triggerType = "Manual"; }, /configured for/],
    ["agents-job.yaml", (b) => { b.properties.configuration.eventTriggerConfig.parallelism = 2; }, /more than one/],
    ["agents-job.yaml", (b) => { b.properties.configuration.replicaTimeout = 1800; }, /another replica timeout/],
    ["agents-job.yaml", (b) => { agent(b).env = agent(b).env.filter((v) => v.name !== "AZP_ONCE"); }, /stays/],
    ["agents-job.yaml", (b) => { b.properties.configuration.registries[0].identity = "system"; }, /registry/],
    ["keep-app.yaml", (b) => { b.properties.configuration.secrets = []; }, /AZP_KEEP_TOKEN/],
    ["keep-app.yaml", (b) => { b.properties.template.scale.minReplicas = 0; }, /one replica/],
    ["agents-app.yaml", (b) => { b.properties.template.terminationGracePeriodSeconds = 30; }, /another grace period/],
  ]) {
    const spoilt = body(name);
    spoil(spoilt);
    assert.match(faults(spoilt).join("\n"), what);
  }
});

test("a parameter that nobody gives is refused, and one that nobody takes is not there", () => {
  assert.throws(() => body("agents-job.yaml", new Map()), /parameters.env does not have/);
  const taken = names().map(read).join("\n");
  for (const name of parameters().keys()) assert.ok(taken.includes(`\${${name}}`), `no file takes ${name}`);
});

// There is no Bicep compiler here, so main.bicep is not checked for correctness. This test checks that it has
// nothing that the checked body lacks.
const bicep = read("main.bicep").split("\n").filter((line) => !line.trimStart().startsWith("//")).join("\n");

function keys(value, into = new Set()) {
  if (value && typeof value === "object") {
    for (const [key, inner] of Object.entries(value)) {
      if (!Array.isArray(value) && !key.startsWith("/subscriptions/")) into.add(key);
      keys(inner, into);
    }
  }
  return into;
}

test("main.bicep has the job's fields, the keeper's and no others", () => {
  const want = new Set([...keys(body("agents-job.yaml")), ...keys(body("keep-app.yaml")), "name"]);
  const got = new Set([...bicep.matchAll(/^\s*(\w+): /gm), ...bicep.matchAll(/[{,] (\w+): /g)].map((m) => m[1]));
  assert.deepEqual([...got].sort(), [...want].sort());
});

test("main.bicep gives the containers the same settings", () => {
  const want = ["agents-job.yaml", "keep-app.yaml"].flatMap((name) => agent(body(name)).env.map((v) => v.name));
  const got = [...bicep.matchAll(/name: '((?:AZP|MANAGED)_\w+)'/g)].map((m) => m[1]);
  assert.deepEqual(got.sort(), want.sort());
});
