// agents-scale-job.yaml and keep-scale-app.yaml of this directory, as Bicep: instead of main.bicep, the scale rule asks the
// keeper. scale.bicepparam has its values. NOT COMPILED, like main.bicep.

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
param pollingInterval int = 5
// The group of the agents, and the address that the keeper's app gets: its domain is that of the environment.
param group string
param keepUrl string
// The token of the keeper's page, and the one that KEDA sends.
@secure()
param keepToken string
@secure()
param scaleToken string

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
              name: 'keeper'
              type: 'metrics-api'
              metadata: { url: '${keepUrl}/scale/${group}', valueLocation: 'desired', targetValue: '1', authMode: 'bearer' }
              auth: [
                { triggerParameter: 'token', secretRef: 'scale-token' }
              ]
            }
          ]
        }
      }
      secrets: [
        { name: 'scale-token', value: scaleToken }
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
            { name: 'AZP_GROUP', value: group }
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
      ingress: { external: true, targetPort: 8141 }
      secrets: [
        { name: 'keep-token', value: keepToken }
        { name: 'scale-token', value: scaleToken }
        { name: 'groups', value: 'groups:\n- name: "${group}"\n  max: ${maxExecutions}\n' }
      ]
      registries: [
        { server: registry, identity: identityId }
      ]
    }
    template: {
      terminationGracePeriodSeconds: 30
      volumes: [
        { name: 'groups', storageType: 'Secret', secrets: [{ secretRef: 'groups', path: 'groups.yaml' }] }
      ]
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
            { name: 'AZP_KEEP_SCALE_TOKEN', secretRef: 'scale-token' }
            { name: 'AZP_KEEP_GROUPS_FILE', value: '/etc/azptend/groups.yaml' }
          ]
          volumeMounts: [
            { volumeName: 'groups', mountPath: '/etc/azptend' }
          ]
          probes: [
            { type: 'Liveness', httpGet: { path: '/healthz', port: 8141 }, periodSeconds: 30 }
            { type: 'Readiness', httpGet: { path: '/readyz', port: 8141 }, periodSeconds: 10 }
          ]
          resources: { cpu: json('0.25'), memory: '0.5Gi' }
        }
      ]
      scale: { minReplicas: 2, maxReplicas: 2 }
    }
  }
}
