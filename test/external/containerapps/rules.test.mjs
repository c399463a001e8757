import assert from "node:assert/strict";
import { test } from "node:test";
import { body, names, parameters, read } from "./bodies.mjs";
import { bicepparam, evaluate } from "./bicep.mjs";
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
    ["agents-job.yaml", (b) => { delete rule(b).metadata.fetchUnfinishedJobsOnly; }, /finished jobs/],
    ["agents-init-job.yaml", (b) => { b.properties.configuration.identitySettings[0].lifecycle = "All"; }, /has the identity/],
    ["agents-init-job.yaml", (b) => { agent(b).env.push({ name: "AZP_URL", value: "https://dev.azure.com/x" }); }, /has the identity/],
    ["agents-init-job.yaml", (b) => { agent(b).volumeMounts = []; }, /files of the agent/],
    ["agents-job.yaml", (b) => { agent(b).env = agent(b).env.filter((v) => v.name !== "AZP_ONCE"); }, /stays/],
    ["agents-job.yaml", (b) => { b.properties.configuration.registries[0].identity = "system"; }, /registry/],
    ["agents-scale-job.yaml", (b) => { rule(b).metadata.url = "http://keep/scale/linux"; }, /over https/],
    ["agents-scale-job.yaml", (b) => { rule(b).metadata.url += "2"; }, /another group/],
    ["agents-scale-job.yaml", (b) => { agent(b).env = agent(b).env.filter((v) => v.name !== "AZP_GROUP"); }, /another group/],
    ["agents-scale-job.yaml", (b) => { delete rule(b).metadata.authMode; }, /metadata is targetValue=1 valueLocation=desired$/m],
    ["agents-scale-job.yaml", (b) => { rule(b).metadata.method = "GET"; }, /metadata is .*method=GET/],
    ["agents-scale-job.yaml", (b) => { rule(b).auth[0].triggerParameter = "bearer"; }, /no token/],
    ["agents-scale-job.yaml", (b) => { rule(b).auth[0].secretRef = "other"; }, /no token/],
    ["keep-scale-app.yaml", (b) => { b.properties.template.scale.minReplicas = 1; }, /two replicas/],
    ["keep-scale-app.yaml", (b) => { b.properties.configuration.ingress.targetPort = 8142; }, /nobody reaches/],
    ["keep-scale-app.yaml", (b) => { delete b.properties.configuration.ingress; }, /nobody reaches/],
    ["keep-scale-app.yaml", (b) => { b.properties.template.volumes[0].secrets[0].path = "groups.yml"; }, /groups are not there/],
    ["keep-scale-app.yaml", (b) => { b.properties.configuration.secrets[2].value = "groups: [{name: linux}]"; }, /groups are not there/],
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

test("a text of any kind stays a text", () => {
  const texts = ["AZP_POOL", "AZP_URL", "IMAGE", "KEEP_IMAGE", "LOCATION", "REGISTRY", "IDENTITY_OBJECT_ID", "KEEP_TOKEN"];
  for (const odd of ["Linux #1", "2024", "on: prem", "true", "1e3", "- a", "null", "*x"]) {
    for (const name of names()) {
      const values = new Map([...parameters(), ...texts.map((key) => [key, odd])]);
      for (const container of body(name, values).properties.template.containers) {
        for (const v of container.env.filter((v) => ["AZP_POOL", "AZP_URL"].includes(v.name))) assert.equal(v.value, odd);
        assert.equal(container.image, odd);
      }
      assert.deepEqual(faults(body(name, values)), [], `${name} with ${odd}`);
    }
  }
});

// There is no Bicep compiler here. Evaluated by bicep.mjs, main.bicep must make what the checked bodies are.
test("main.bicep makes the bodies of agents-job.yaml and keep-app.yaml", () => {
  const { using, given } = bicepparam("main.bicepparam");
  const { agents, keep } = evaluate(using, { ...given, keepToken: "0123456789abcdef" });
  assert.deepEqual(agents, { name: "agents", ...body("agents-job.yaml") });
  assert.deepEqual(keep, { name: "azptend-keep", ...body("keep-app.yaml") });
});

test("scale.bicep makes the bodies of agents-scale-job.yaml and keep-scale-app.yaml", () => {
  const { using, given } = bicepparam("scale.bicepparam");
  const { agents, keep } = evaluate(using, { ...given, keepToken: "0123456789abcdef", scaleToken: "fedcba9876543210" });
  assert.deepEqual(agents, { name: "agents", ...body("agents-scale-job.yaml") });
  assert.deepEqual(keep, { name: "azptend-keep", ...body("keep-scale-app.yaml") });
});

test("the tokens of the .bicepparam files come from Key Vault", () => {
  assert.match(read("scale.bicepparam"), /^param keepToken = az\.getSecret\(.*\nparam scaleToken = az\.getSecret\(/m);
  assert.match(read("main.bicepparam"), /^param keepToken = az\.getSecret\(/m);
});

test("a parameter of Bicep that is missing or unknown is refused", () => {
  const { using, given } = bicepparam("main.bicepparam");
  assert.throws(() => evaluate(using, { ...given, pool: "x" }), /no parameter pool/);
  assert.throws(() => evaluate(using, {}), /without a value/);
});

test("alerts.bicep asks the workspace, and notifies the group", () => {
  const { trouble } = evaluate("alerts.bicep", { workspaceId: "w", actionGroupId: "g" });
  assert.deepEqual(trouble.properties.scopes, ["w"]);
  assert.deepEqual(trouble.properties.actions, { actionGroups: ["g"] });
  assert.match(trouble.properties.criteria.allOf[0].query, /^ContainerAppConsoleLogs_CL \| where Log_s contains "/);
});
