// An alert on azptend's log, for an environment with a Log Analytics workspace (environment.bicep). NOT COMPILED, like
// main.bicep. With Prometheus, use the rules of deploy/prometheus instead: they also see what no log says.

param location string = resourceGroup().location
param workspaceId string
// Whom to notify.
param actionGroupId string

// An agent may stay in its pool; azptend exits with an error; the keeper does not see its pool.
var condition = 'Log_s contains "Cannot remove the agent: it may stay in its pool" or Log_s contains "Agent failed" or Log_s contains "Cannot refresh the pool"'

resource trouble 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'azptend'
  location: location
  kind: 'LogAlert'
  properties: {
    displayName: 'azptend'
    description: 'See docs/operations.md in azptend\'s repository.'
    severity: 2
    enabled: true
    scopes: [
      workspaceId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    // The table exists only after the first line.
    skipQueryValidation: true
    criteria: {
      allOf: [
        {
          query: 'ContainerAppConsoleLogs_CL | where ${condition}'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: {
      actionGroups: [
        actionGroupId
      ]
    }
  }
}
