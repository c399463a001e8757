import assert from "node:assert/strict";
import { test } from "node:test";
import { body, names } from "./bodies.mjs";
import { complaints } from "./types.mjs";

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
