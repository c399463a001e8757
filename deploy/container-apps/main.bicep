// agents-job.yaml and keep-app.yaml of this directory, as Bicep. main.bicepparam has its values; environment.bicep creates
// the environment, and alerts.bicep alerts on the log.
//
// NOT COMPILED: no Bicep compiler was available. `make test-containerapps` evaluates this file, compares the result with
// the YAML files, and checks it against the types of Microsoft's SDK. Run `az deployment group what-if` before you deploy.

param location string = resourceGroup().location
param environmentId string
param identityId string
param identityObjectId string
param registry string
param image string
param keepImage string
param azpUrl string
param azpPool string
param replicaTimeout int = 7200
param jobMax int = 3600
param maxExecutions int = 10
param pollingInterval int = 30
// The token of the keeper's page: its value, for example by getSecret in main.bicepparam, ...
@secure()
param keepToken string = ''
// ... or the address of a secret in Key Vault, which the app reads itself. The identity needs "Key Vault Secrets User".
param keepTokenSecretUrl string = ''

resource agents 'Microsoft.App/jobs@2025-01-01' = {
  name: 'agents'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    environmentId: environmentId
    configuration: {
      triggerType: 'Event'
      replicaTimeout: replicaTimeout
      replicaRetryLimit: 0
      eventTriggerConfig: {
        parallelism: 1
        replicaCompletionCount: 1
        scale: {
          minExecutions: 0
          maxExecutions: maxExecutions
          pollingInterval: pollingInterval
          rules: [
            {
              name: 'queue'
              type: 'azure-pipelines'
              metadata: { poolName: azpPool, fetchUnfinishedJobsOnly: 'true' }
              auth: [
                { triggerParameter: 'organizationURL', secretRef: 'organization-url' }
              ]
              identity: identityId
            }
          ]
        }
      }
      secrets: [
        { name: 'organization-url', value: azpUrl }
      ]
      registries: [
        { server: registry, identity: identityId }
      ]
    }
    template: {
      containers: [
        {
          name: 'agent'
          image: image
          env: [
            { name: 'AZP_URL', value: azpUrl }
            { name: 'AZP_POOL', value: azpPool }
            { name: 'MANAGED_IDENTITY_OBJECT_ID', value: identityObjectId }
            { name: 'AZP_ONCE', value: 'true' }
            { name: 'AZP_REPLICA_TIMEOUT', value: string(replicaTimeout) }
            { name: 'AZP_JOB_MAX', value: string(jobMax) }
          ]
          resources: { cpu: 2, memory: '4Gi' }
        }
      ]
    }
  }
}

resource keep 'Microsoft.App/containerApps@2025-01-01' = {
  name: 'azptend-keep'
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    environmentId: environmentId
    configuration: {
      activeRevisionsMode: 'Single'
      secrets: [
        empty(keepTokenSecretUrl) ? { name: 'keep-token', value: keepToken } : { name: 'keep-token', keyVaultUrl: keepTokenSecretUrl, identity: identityId }
      ]
      registries: [
        { server: registry, identity: identityId }
      ]
    }
    template: {
      terminationGracePeriodSeconds: 30
      containers: [
        {
          name: 'keep'
          image: keepImage
          env: [
            { name: 'AZP_URL', value: azpUrl }
            { name: 'AZP_POOL', value: azpPool }
            { name: 'MANAGED_IDENTITY_OBJECT_ID', value: identityObjectId }
            { name: 'AZP_KEEP_LISTEN', value: ':8141' }
            { name: 'AZP_KEEP_TOKEN', secretRef: 'keep-token' }
          ]
          probes: [
            { type: 'Liveness', httpGet: { path: '/healthz', port: 8141 }, periodSeconds: 30 }
            { type: 'Readiness', httpGet: { path: '/readyz', port: 8141 }, periodSeconds: 10 }
          ]
          resources: { cpu: json('0.25'), memory: '0.5Gi' }
        }
      ]
      scale: { minReplicas: 1, maxReplicas: 1 }
    }
  }
}
