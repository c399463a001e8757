import assert from "node:assert/strict";
import { test } from "node:test";
import { body, names } from "./bodies.mjs";
import { evaluate, bicepparam, versions } from "./bicep.mjs";
import { apiVersion, complaints } from "./types.mjs";

// Each body has one wrong field. The compiler must report it, otherwise the test of the valid bodies proves
// nothing.
const wrong = {
  "an-unknown-field": ["agents-job.yaml", (b) => { b.properties.configuration.replicaRetries = 0; }],
  "a-number-as-text": ["agents-job.yaml", (b) => { b.properties.configuration.replicaTimeout = "7200"; }],
  "no-timeout": ["agents-job.yaml", (b) => { delete b.properties.configuration.replicaTimeout; }],
  "no-location": ["agents-job.yaml", (b) => { delete b.location; }],
  "a-misspelt-scale": ["agents-job.yaml", (b) => { b.properties.configuration.eventTriggerConfig.scale.maxExecution = 3; }],
  "an-app-scale": ["agents-job.yaml", (b) => { b.properties.configuration.eventTriggerConfig.scale.maxReplicas = 3; }],
  "a-rule-of-an-app": ["agents-job.yaml", (b) => { b.properties.configuration.eventTriggerConfig.scale.rules[0].custom = {}; }],
  "two-identities": ["agents-job.yaml", (b) => { b.properties.configuration.eventTriggerConfig.scale.rules[0].identity = ["a", "b"]; }],
  "a-grace-period": ["agents-job.yaml", (b) => { b.properties.template.terminationGracePeriodSeconds = 600; }],
  "a-number-in-env": ["agents-job.yaml", (b) => { b.properties.template.containers[0].env[0].value = 1; }],
  "a-misplaced-registry": ["placeholder-job.yaml", (b) => { b.properties.registries = []; }],
  "a-probe-without-port": ["keep-app.yaml", (b) => { delete b.properties.template.containers[0].probes[0].httpGet.port; }],
  "a-misspelt-identity": ["agents-init-job.yaml", (b) => { b.properties.configuration.identitySettings[0].lifeCycle = "Init"; }],
  "a-volume-without-path": ["agents-init-job.yaml", (b) => { b.properties.template.initContainers[0].volumeMounts[0].path = "/x"; }],
  "a-misspelt-ingress": ["keep-scale-app.yaml", (b) => { b.properties.configuration.ingress.port = 8141; }],
  "a-misspelt-volume": ["keep-scale-app.yaml", (b) => { b.properties.template.volumes[0].storagetype = "Secret"; }],
  "a-number-in-auth": ["agents-scale-job.yaml", (b) => { b.properties.configuration.eventTriggerConfig.scale.rules[0].auth[0].secretRef = 1; }],
  "an-exec-probe": ["agents-app.yaml", (b) => { b.properties.template.containers[0].probes[0].exec = { command: ["azptend"] }; }],
};

test("the compiler knows every field of every body, and refuses wrong ones", () => {
  const bodies = Object.fromEntries(names().map((name) => [name.replace(".yaml", ""), body(name)]));
  for (const [key, [name, spoil]] of Object.entries(wrong)) spoil(bodies[key] = body(name));
  const found = complaints(bodies);
  assert.ok(names().length >= 4);
  for (const name of names()) assert.deepEqual(found[name.replace(".yaml", "")], [], name);
  for (const key of Object.keys(wrong)) assert.notDeepEqual(found[key], [], `${key} passes`);
});

test("what the Bicep files make with each of their options has the right types", () => {
  const { given } = bicepparam("main.bicepparam");
  const { name, ...vault } = evaluate("main.bicep", { ...given, keepToken: "", keepTokenSecretUrl: "https://yourvault.vault.azure.net/secrets/keep-token" }).keep;
  const environment = (options) => { const { name, ...arm } = evaluate("environment.bicep", options).environment; return arm; };
  const found = complaints({
    "keep-with-key-vault": vault,
    "environment": environment({}),
    "environment-with-all": environment({ subnetId: "/subscriptions/s", workspaceName: "logs" }),
    "wrong-environment": { ...environment({}), properties: { vnetConfiguration: { subnetId: "/subscriptions/s" } } },
  });
  assert.deepEqual(vault.properties.configuration.secrets, [{ name: "keep-token", identity: given.identityId, keyVaultUrl: "https://yourvault.vault.azure.net/secrets/keep-token" }]);
  for (const key of ["keep-with-key-vault", "environment", "environment-with-all"]) assert.deepEqual(found[key], [], key);
  assert.notDeepEqual(found["wrong-environment"], []);
});

test("the Bicep files use the API version of the types", () => {
  for (const name of ["main.bicep", "scale.bicep", "environment.bicep"]) {
    const own = Object.entries(versions(name)).filter(([type]) => type.startsWith("Microsoft.App/"));
    assert.ok(own.length > 0);
    for (const [type, version] of own) assert.equal(version, apiVersion(), type);
  }
});
