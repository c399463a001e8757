// Rules that the types cannot express: enumerations are plain strings there, and the metadata of a scale rule can
// be anything.
import { parse } from "yaml";
import { isJob } from "./bodies.mjs";

// KEDA's fields (reference/keda-and-kubernetes.md 1.1) that the metadata of a rule may have. organizationURL and
// organizationURLFromEnv are missing, because they do not work with an identity (container-apps#592).
const metadata = ["poolName", "poolID", "parent", "demands", "requireAllDemands", "requireAllDemandsAndIgnoreOthers",
  "caseInsensitiveDemandsProcessing", "targetPipelinesQueueLength", "activationTargetPipelinesQueueLength", "jobsToFetch",
  "fetchUnfinishedJobsOnly", "scaleOnInFlight"];
const trigger = { Event: "eventTriggerConfig", Manual: "manualTriggerConfig", Schedule: "scheduleTriggerConfig" };

// faults returns the faults of a body.
export function faults(arm) {
  const found = [];
  const want = (ok, what) => { if (!ok) found.push(what); };
  const { configuration, template } = arm.properties;
  const has = (id) => id !== undefined && id in (arm.identity?.userAssignedIdentities ?? {});
  const secrets = (configuration.secrets ?? []).map((s) => s.name);
  want(arm.identity?.type === "UserAssigned", "it has no user-assigned identity");
  for (const registry of configuration.registries ?? []) want(has(registry.identity), "a registry's identity is not the body's");
  for (const container of [...(template.initContainers ?? []), ...template.containers]) {
    for (const v of container.env) {
      want((typeof v.value === "string") !== secrets.includes(v.secretRef), `${v.name} has neither a value nor a secret that is there`);
    }
    for (const probe of container.probes ?? []) want(["Liveness", "Readiness", "Startup"].includes(probe.type), `a probe is ${probe.type}`);
  }
  if (isJob(arm)) return [...found, ...jobFaults(configuration, template, has, secrets)];
  const seconds = template.containers[0].env.find((v) => v.name === "AZP_GRACE_PERIOD")?.value;
  want(seconds === undefined || Number(seconds) === template.terminationGracePeriodSeconds, "azptend is told another grace period");
  const groups = template.containers[0].env.find((v) => v.name === "AZP_KEEP_GROUPS_FILE")?.value;
  if (groups) return [...found, ...groupsFaults(configuration, template, groups)];
  want(template.scale?.minReplicas === 1 && template.scale.maxReplicas === 1, "it is not one replica");
  return found;
}

// groupsFaults are those of keepers that a rule asks.
function groupsFaults(configuration, template, file) {
  const found = [];
  const want = (ok, what) => { if (!ok) found.push(what); };
  const [keep] = template.containers;
  want(template.scale?.minReplicas === 2 && template.scale.maxReplicas === 2, "it is not two replicas");
  const port = `:${configuration.ingress?.targetPort}`;
  want(configuration.ingress?.external === true && keep.env.some((v) => v.name === "AZP_KEEP_LISTEN" && v.value === port), "nobody reaches it");
  const items = (keep.volumeMounts ?? []).flatMap((m) => {
    const volume = (template.volumes ?? []).find((v) => v.name === m.volumeName);
    return (volume?.secrets ?? []).map((s) => ({ at: `${m.mountPath}/${s.path}`, secret: configuration.secrets.find((have) => have.name === s.secretRef) }));
  });
  const text = items.find((item) => item.at === file)?.secret?.value;
  want(text !== undefined && parse(text).groups.every((g) => g.name && g.max > 0), "its groups are not there");
  return found;
}

function jobFaults(configuration, template, has, secrets) {
  const found = [];
  const want = (ok, what) => { if (!ok) found.push(what); };
  const config = configuration[trigger[configuration.triggerType]];
  want(config !== undefined, `${configuration.triggerType} is not what it is configured for`);
  want(configuration.replicaRetryLimit === 0, "it is retried");
  want(config?.parallelism === 1 && config.replicaCompletionCount === 1, "an execution is more than one replica");
  if (configuration.triggerType !== "Event") return found;
  const env = Object.fromEntries([...(template.initContainers ?? []), ...template.containers].flatMap((c) => c.env).map((v) => [v.name, v.value]));
  if (env.AZP_REGISTERED) found.push(...registeredFaults(configuration, template));
  want(env.AZP_ONCE === "true", "its agent stays after its job");
  want(Number(env.AZP_REPLICA_TIMEOUT) === configuration.replicaTimeout, "azptend is told another replica timeout");
  want(Number(env.AZP_JOB_MAX) + 30 < configuration.replicaTimeout, "no time is left to accept a job in");
  const rules = config?.scale?.rules ?? [];
  want(rules.length === 1, "it has not one rule");
  for (const rule of rules) {
    if (rule.type === "metrics-api") {
      found.push(...keeperRuleFaults(rule, env, secrets));
      continue;
    }
    want(rule.type === "azure-pipelines", `the rule is of ${rule.type}`);
    want(has(rule.identity), "the rule has no identity of the body's");
    const url = (rule.auth ?? []).find((a) => a.triggerParameter === "organizationURL");
    want(url !== undefined && secrets.includes(url.secretRef), "organizationURL does not come through auth");
    const address = configuration.secrets?.find((s) => s.name === url?.secretRef)?.value;
    want(address === env.AZP_URL && !address?.endsWith("/"), "the rule looks at another organisation, or at one with a slash");
    for (const [key, value] of Object.entries(rule.metadata)) {
      want(metadata.includes(key), `the rule's metadata has ${key}`);
      want(typeof value === "string", `the rule's ${key} is not a text, and KEDA takes nothing else`);
    }
    want(rule.metadata.fetchUnfinishedJobsOnly === "true", "the rule asks for finished jobs too");
    want(rule.metadata.poolName === env.AZP_POOL, "the rule looks at another pool");
  }
  return found;
}

// keeperRuleFaults are those of a rule that asks a keeper. The metadata is that of test/external/conformance/keda, with
// what older versions of KEDA have too: no timeout, and authMode instead of authModes.
function keeperRuleFaults(rule, env, secrets) {
  const found = [];
  const want = (ok, what) => { if (!ok) found.push(what); };
  const { url, ...rest } = rule.metadata;
  want(/^https:\/\/[^/]+\/scale\/[A-Za-z0-9-]+$/.test(url), "the rule asks no group over https");
  want(env.AZP_GROUP !== undefined && url?.endsWith(`/scale/${env.AZP_GROUP}`), "the rule asks for another group");
  const is = Object.entries(rest).map(([key, value]) => `${key}=${value}`).sort().join(" ");
  want(is === "authMode=bearer targetValue=1 valueLocation=desired", `the rule's metadata is ${is}`);
  const [token, ...more] = rule.auth ?? [];
  want(token?.triggerParameter === "token" && secrets.includes(token.secretRef) && more.length === 0, "the rule sends no token");
  return found;
}

// registeredFaults are those of a job whose init container alone has the identity.
function registeredFaults(configuration, template) {
  const found = [];
  const [register] = template.initContainers ?? [];
  const [agent] = template.containers;
  const out = agent.env.find((v) => v.name === "AZP_REGISTERED").value;
  const init = (configuration.identitySettings ?? []).every((s) => s.lifecycle === "Init") && configuration.identitySettings?.length === 1;
  if (!init || agent.env.some((v) => ["AZP_URL", "MANAGED_IDENTITY_OBJECT_ID"].includes(v.name))) found.push("the container of jobs has the identity");
  const mounts = (container) => (container?.volumeMounts ?? []).some((m) => m.mountPath === out && template.volumes.some((v) => v.name === m.volumeName));
  if (!mounts(register) || !mounts(agent) || register.command.join(" ") !== `azptend register --out ${out}`) found.push("the files of the agent do not reach its container");
  return found;
}
