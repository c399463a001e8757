// An environment with workload profiles, and optionally with a network and a log of yours. Its output is main.bicep's
// environmentId. NOT COMPILED, like main.bicep.

param location string = resourceGroup().location
param name string = 'agents'
// A subnet of at least /27, delegated to Microsoft.App/environments. Empty: a network of the platform's.
param subnetId string = ''
// With a subnet: no public address.
param internal bool = true
// A Log Analytics workspace of the same resource group, for the containers' output. Empty: it is not stored.
param workspaceName string = ''

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' existing = if (!empty(workspaceName)) {
  name: workspaceName
}

resource environment 'Microsoft.App/managedEnvironments@2025-01-01' = {
  name: name
  location: location
  properties: {
    workloadProfiles: [
      { name: 'Consumption', workloadProfileType: 'Consumption' }
    ]
    vnetConfiguration: empty(subnetId) ? null : { infrastructureSubnetId: subnetId, internal: internal }
    appLogsConfiguration: empty(workspaceName) ? null : {
      destination: 'log-analytics'
      logAnalyticsConfiguration: {
        customerId: workspace!.properties.customerId
        sharedKey: workspace!.listKeys().primarySharedKey
      }
    }
  }
}

output environmentId string = environment.id
